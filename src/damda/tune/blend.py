"""How much the order in which hits were found counts beside a cross-encoder's opinion, learnt from questions.

Knows: which numbers are tried, what one is worth on questions with known documents. Does not know: models, settings.

A small cross-encoder that has learnt from a few thousand questions knows other things than the hybrid search does, not
more: its order alone may be worse, and the sum of both better than either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import fmean, pstdev

from damda.measure.dataset import Question
from damda.measure.evaluate import Asked
from damda.tune.verdict import by_question
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
        sure: weight -> the mean gain in units of its standard error.
    """

    weight: float
    ceiling: float
    before: float
    means: dict[float, float]
    sure: dict[float, float]


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
    """The weight whose gain in nDCG@10 is the surest, not the one whose mean is the highest: a small weight gains much
    for some questions and loses much for others, of which there may be more elsewhere. Of equal ones the largest, which
    changes least."""
    before = by_question((one.question, one.hits) for one in seen)
    after = {weight: by_question((one.question, _ordered(one, weight)) for one in seen) for weight in WEIGHTS}
    sure = {weight: _sure([values[one] - before[one] for one in before]) for weight, values in after.items()}
    return Blend(
        max(reversed(WEIGHTS), key=lambda weight: sure[weight]),
        max((logit for one in seen for logit in one.logits), default=0.0),
        fmean(before.values()) if before else 0.0,
        {weight: fmean(values.values()) if values else 0.0 for weight, values in after.items()},
        sure,
    )


def _sure(gains: Sequence[float]) -> float:
    """Mean by standard error; where all are the same, it is as large as a float needs to be."""
    if not gains:
        return 0.0
    error = pstdev(gains) / sqrt(len(gains))
    return fmean(gains) / max(error, 1e-9)


def _ordered(one: Read, weight: float) -> list[Hit]:
    """The hits in the order that a weight gives."""
    sums = [logit + weight * hit.score for hit, logit in zip(one.hits, one.logits, strict=True)]
    return [one.hits[n] for n in sorted(range(len(sums)), key=lambda n: -sums[n])]


def _logit(probability: float) -> float:
    certain = min(max(probability, 1e-9), 1 - 1e-9)
    return log(certain / (1 - certain))
