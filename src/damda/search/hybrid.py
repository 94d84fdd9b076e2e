"""Hits by words and hits by meaning, put together.

Knows: three ways to fuse two ranked lists. Does not know: how either list was made.

- ``hybrid`` (the default) adds the BM25 score, which measures evidence in absolute units, to the cosine measured in
  units of its own spread over the corpus. Neither is rescaled by what happens to be in the list, so a question whose
  words are rare lets BM25 decide, and one whose words are everywhere lets the vectors decide. On no set measured is it
  worse than the better of the two by more than chance (docs/decisions/0003-fusion.md).
- ``rrf`` is reciprocal rank fusion, 1 / (k + rank) summed over the lists, ranks from 1 (Cormack, Clarke and
  Büttcher, SIGIR 2009).
- ``convex`` is a weighted mean of both scores, each scaled to 0..1 within its list (Bruch, Gai and Ingber, TOIS 2023).
"""

from collections.abc import Hashable, Sequence
from typing import Protocol, TypeVar

from damda.search.single import Bm25, Dense, fetch
from damda.search.store import Store
from damda.search.view import View
from damda.types import Hit, Where

Item = TypeVar("Item", bound=Hashable)
Scored = Sequence[tuple[Item, float]]


class Fuse(Protocol):
    """(BM25 list, cosine list, length that was asked for) -> fused score by item; lists are best first."""

    def __call__(self, words: Scored[Item], vectors: Scored[Item], n: int, /) -> dict[Item, float]: ...


# Units of BM25 score that one standard deviation of cosine is worth. Flat optimum: 7 to 11 did about as well on four
# kinds of questions and on corpora of 60 to 6,800 documents.
BM25_PER_DEVIATION = 9.0


def reciprocal_rank(k: int) -> Fuse:
    """Reciprocal rank fusion with the constant ``k``."""

    def fuse(words: Scored[Item], vectors: Scored[Item], n: int) -> dict[Item, float]:
        fused: dict[Item, float] = {}
        for ranked in (words, vectors):
            for rank, (item, _) in enumerate(ranked, 1):
                fused[item] = fused.get(item, 0.0) + 1 / (k + rank)
        return fused

    return fuse


def convex(weight: float) -> Fuse:
    """``weight`` times scaled BM25 plus ``1 - weight`` times scaled cosine; a hit missing in a list has 0 there."""

    def fuse(words: Scored[Item], vectors: Scored[Item], n: int) -> dict[Item, float]:
        fused: dict[Item, float] = {}
        for ranked, share in ((words, weight), (vectors, 1 - weight)):
            low, high = min((s for _, s in ranked), default=0.0), max((s for _, s in ranked), default=0.0)
            for item, score in ranked:
                scaled = (score - low) / (high - low) if high > low else 1.0
                fused[item] = fused.get(item, 0.0) + share * scaled
        return fused

    return fuse


def additive(mean: float, deviation: float, worth: float = BM25_PER_DEVIATION) -> Fuse:
    """BM25 plus cosine in standard deviations from the mean, both of cosines between passages of the corpus.

    ``worth`` is what one deviation counts, in units of BM25.

    A hit that only one list has gets the least that the other list can say of it: the lowest cosine listed, and half of
    the lowest BM25 listed (0 where the list was not full: then its BM25 is known to be 0). Fetching the true values
    instead changed no figure in the third decimal.
    """

    def fuse(words: Scored[Item], vectors: Scored[Item], n: int) -> dict[Item, float]:
        bm25, cosine = dict(words), dict(vectors)
        no_bm25 = min(bm25.values()) / 2 if len(words) >= n else 0.0
        no_cosine = min(cosine.values(), default=0.0)
        return {
            item: bm25.get(item, no_bm25) + worth * (cosine.get(item, no_cosine) - mean) / deviation
            for item in bm25.keys() | cosine.keys()
        }

    return fuse


class Fused:
    """BM25 and dense search of one store, fused. Fits ``Searcher``.

    Args:
        name: what hits are marked with.
        fuse: how; None: ``additive`` with the store's own spread of cosines, and ``worth``.
        candidates: length of each list before fusion.
        weights: what ``fuse`` was made with: another order must have another id.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        bm25: Bm25,
        dense: Dense,
        *,
        candidates: int,
        fuse: Fuse | None = None,
        weights: str = "",
        worth: float = BM25_PER_DEVIATION,
    ) -> None:
        self.id = f"{name}({dense.id},{candidates}{weights and f',{weights}'})"
        self._name, self._store, self._bm25, self._dense = name, store, bm25, dense
        self._candidates, self._fuse, self._worth = candidates, fuse, worth

    def search(self, queries: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        """At most ``k`` hits for each query, best first."""
        n = max(self._candidates, k)
        view = self._store.view()
        words = self._bm25.scored(view, queries, n, where)
        vectors = self._dense.scored(view, queries, n, where)
        fuse = self._fuse or additive(*view.cosines(), self._worth)
        return [self._hits(view, w, v, fuse(w, v, n), k) for w, v in zip(words, vectors, strict=True)]

    def _hits(self, view: View, words: Scored[int], vectors: Scored[int], fused: dict[int, float], k: int) -> list[Hit]:
        # Ties go by row: the same question to the same index gives the same order in every process.
        best = sorted(fused.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
        return fetch(view, best, self._name, bm25=dict(words), cosine=dict(vectors))
