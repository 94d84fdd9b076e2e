"""How much the order in which hits were found counts beside a cross-encoder's opinion, learnt from questions.

Knows: which numbers are tried, what one is worth on questions with known documents. Does not know: models, settings.

A small cross-encoder that has learnt from a few thousand questions knows other things than the hybrid search does, not
more: its order alone may be worse, and the sum of both better than either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from damda.measure.dataset import Question
from damda.measure.evaluate import Asked
from damda.measure.retrieval import best_of_documents, per_query
from damda.tune.verdict import METRIC
from damda.types import Hit, Progress, Reranker

WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 2.0)
"""Logits that a unit of the hybrid's score may be worth: from the cross-encoder alone to nearly the hybrid alone."""

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Read:
    """A question's hits as they were found, best first, and the cross-encoder's logit for each of the first of them."""

    question: Question
    hits: Sequence[Hit]
    logits: Sequence[float]


@dataclass(frozen=True, slots=True)
class Blend:
    """What was learnt.

    Attributes:
        weight: as in ``rerank.weight``.
        ceiling: the highest logit that was seen.
        before: mean nDCG@10 of the hits as they were found.
        means: weight -> that of the hits in its order.
    """

    weight: float
    ceiling: float
    before: float
    means: dict[float, float]


def read(kb: Asked, reranker: Reranker, asked: Sequence[Question], top: int, progress: Progress) -> list[Read]:
    """Search for every question, and have its first ``top`` hits read.

    Args:
        reranker: gives a probability for each hit, all that it was given, and nothing else.
    """
    found: list[Read] = []
    for at in range(0, len(asked), _BATCH):
        batch = asked[at : at + _BATCH]
        results = kb.search_batch([question.text for question in batch], top, mode="hybrid")
        for question, hits in zip(batch, results, strict=True):
            progress("reading what was found", len(found), len(asked))
            said = {hit.chunk.id: hit.score for hit in reranker.rerank(question.text, hits)}
            found.append(Read(question, hits, [_logit(said[hit.chunk.id]) for hit in hits]))
    progress("reading what was found", len(asked), len(asked))
    return found


def learn(seen: Sequence[Read]) -> Blend:
    """The weight with the best mean nDCG@10; of equal ones the one that changes least."""
    means = {weight: _mean(seen, weight) for weight in WEIGHTS}
    ceiling = max((logit for one in seen for logit in one.logits), default=0.0)
    best = max(reversed(WEIGHTS), key=lambda weight: means[weight])
    return Blend(best, ceiling, _mean(seen, None), means)


def _mean(seen: Sequence[Read], weight: float | None) -> float:
    """Mean nDCG@10 with a weight; None: of the hits as they were found."""
    run: dict[str, dict[str, float]] = {}
    for one in seen:
        hits = list(one.hits)
        if weight is not None:
            sums = [logit + weight * hit.score for hit, logit in zip(one.hits, one.logits, strict=True)]
            hits = [hits[n] for n in sorted(range(len(hits)), key=lambda n: -sums[n])]
        best = best_of_documents(hits)[:10]
        run[one.question.id] = {document: float(-rank) for rank, (document, _) in enumerate(best)}
    values = per_query({one.question.id: one.question.relevant for one in seen}, run, (METRIC,))[METRIC]
    return sum(values.values()) / max(len(values), 1)


def _logit(probability: float) -> float:
    certain = min(max(probability, 1e-9), 1 - 1e-9)
    return log(certain / (1 - certain))
