"""The two searches that everything else is made of: by words (BM25) and by meaning (vectors).

Knows: how a question becomes words or a vector. Does not know: how hits of several searches are put together.
"""

from collections.abc import Mapping, Sequence
from math import nan

from damda.search.store import Store
from damda.types import Analyser, Encoder, Hit, Where

_NONE: Mapping[str, float] = {}


class Bm25:
    """BM25 over content morphemes; k1 = 1.2, b = 0.75 (LanceDB's). Fits ``Searcher``."""

    def __init__(self, store: Store, analyser: Analyser) -> None:
        self.id = f"bm25({store.fingerprint})"
        self._store, self._analyser = store, analyser

    def search(self, queries: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        """At most ``k`` hits for each query, best first; none for a query without content words."""
        return [fetch(self._store, pairs, "bm25", bm25=dict(pairs)) for pairs in self.scored(queries, k, where)]

    def scored(self, queries: Sequence[str], n: int, where: Where | None = None) -> list[list[tuple[str, float]]]:
        """(chunk id, BM25) of at most ``n`` hits for each query, best first."""
        self._store.refresh()
        return [self._store.match(words, n, where) for words in self._analyser.content(queries)]


class Dense:
    """Cosine of sentence vectors. Fits ``Searcher``."""

    def __init__(self, store: Store, encoder: Encoder) -> None:
        self.id = f"dense({store.fingerprint})"
        self._store, self._encoder = store, encoder

    def search(self, queries: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        """At most ``k`` hits for each query, best first."""
        return [fetch(self._store, pairs, "dense", cosine=dict(pairs)) for pairs in self.scored(queries, k, where)]

    def scored(self, queries: Sequence[str], n: int, where: Where | None = None) -> list[list[tuple[str, float]]]:
        """(chunk id, cosine) of at most ``n`` hits for each query, best first."""
        self._store.refresh()
        return [self._store.near(vector, n, where) for vector in self._encoder.encode(queries, kind="query")]


def fetch(
    store: Store,
    scored: Sequence[tuple[str, float]],
    by: str,
    *,
    bm25: Mapping[str, float] = _NONE,
    cosine: Mapping[str, float] = _NONE,
) -> list[Hit]:
    """Hits for (chunk id, score) pairs. Texts are fetched last, for the few hits that are shown."""
    chunks = store.chunks([chunk_id for chunk_id, _ in scored])
    return [
        Hit(chunks[chunk_id], score, by, cosine=cosine.get(chunk_id, nan), bm25=bm25.get(chunk_id, nan))
        for chunk_id, score in scored
        if chunk_id in chunks  # else removed by another process since the search
    ]
