"""The two searches that everything else is made of: by words (BM25) and by meaning (vectors).

Knows: how a question becomes words or a vector. Does not know: how hits of several searches are put together.
"""

from collections.abc import Mapping, Sequence
from math import nan

from damda import trace
from damda.search.store import Store
from damda.search.view import View
from damda.types import Analyser, Encoder, Hit, Where

_NONE: Mapping[int, float] = {}


class Bm25:
    """BM25 over content morphemes; k1 = 1.2, b = 0.75 (LanceDB's). Fits ``Searcher``."""

    def __init__(self, store: Store, analyser: Analyser) -> None:
        self.id = f"bm25({store.fingerprint})"
        self._store, self._analyser = store, analyser

    def search(self, queries: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        """At most ``k`` hits for each query, best first; none for a query without content words."""
        view = self._store.view()
        return [fetch(view, pairs, "bm25", bm25=dict(pairs)) for pairs in self.scored(view, queries, k, where)]

    def scored(self, view: View, queries: Sequence[str], n: int, where: Where | None) -> list[list[tuple[int, float]]]:
        """(row, BM25) of at most ``n`` hits for each query, best first."""
        with trace.searching("bm25") as step:
            lists = [view.match(words, n, where) for words in self._analyser.content(queries)]
            trace.searched(step, lists)
        return lists


class Dense:
    """Cosine of sentence vectors. Fits ``Searcher``."""

    def __init__(self, store: Store, encoder: Encoder) -> None:
        # An adapter turns the questions of the same tables.
        self.id = f"dense({store.fingerprint},{encoder.id})"
        self._store, self._encoder = store, encoder

    def search(self, queries: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        """At most ``k`` hits for each query, best first."""
        view = self._store.view()
        return [fetch(view, pairs, "dense", cosine=dict(pairs)) for pairs in self.scored(view, queries, k, where)]

    def scored(self, view: View, queries: Sequence[str], n: int, where: Where | None) -> list[list[tuple[int, float]]]:
        """(row, cosine) of at most ``n`` hits for each query, best first."""
        with trace.searching("dense") as step:
            with trace.embeddings(self._encoder.id, self._encoder.dim, len(queries)):
                vectors = self._encoder.encode(queries, kind="query")
            lists = [view.near(vector, n, where) for vector in vectors]
            trace.searched(step, lists)
        return lists


def fetch(
    view: View,
    scored: Sequence[tuple[int, float]],
    by: str,
    *,
    bm25: Mapping[int, float] = _NONE,
    cosine: Mapping[int, float] = _NONE,
) -> list[Hit]:
    """Hits for (row, score) pairs. Texts are fetched last, for the few hits that are shown."""
    chunks = view.chunks([row for row, _ in scored])
    return [Hit(chunks[row], score, by, cosine=cosine.get(row, nan), bm25=bm25.get(row, nan)) for row, score in scored]
