"""How much vectors count beside words, and when not to answer: two numbers, learnt from questions.

Knows: which numbers are tried, what a number is worth on questions with known documents. Does not know: how lists and
confidences come about, or how a number gets into the settings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from damda.measure.dataset import Question
from damda.measure.evaluate import Asked
from damda.search.hybrid import additive
from damda.tune.verdict import by_question
from damda.types import Hit, Progress

WORTHS = (0.0, 1.0, 2.0, 3.0, 4.5, 6.0, 7.5, 9.0, 11.0, 13.0, 16.0, 20.0, 30.0)
"""Units of BM25 that a standard deviation of cosine may be worth: from words alone to nearly vectors alone."""

_BATCH = 32
_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Lists:
    """A question's hits by words and by vectors, best first."""

    question: Question
    words: Sequence[Hit]
    vectors: Sequence[Hit]


def listed(kb: Asked, asked: Sequence[Question], progress: Progress) -> list[Lists]:
    """Both lists of every question."""
    found: list[Lists] = []
    for at in range(0, len(asked), _BATCH):
        progress("searching", at, len(asked))
        batch = asked[at : at + _BATCH]
        texts = [question.text for question in batch]
        words, vectors = (kb.search_batch(texts, _DEPTH, mode=mode) for mode in ("bm25", "dense"))
        found += [Lists(*row) for row in zip(batch, words, vectors, strict=True)]
    progress("searching", len(asked), len(asked))
    return found


def worth(lists: Sequence[Lists], cosines: tuple[float, float]) -> tuple[float, dict[float, float]]:
    """The worth with the best mean nDCG@10, and the means of all that were tried.

    Args:
        cosines: mean and standard deviation between passages of the corpus.
    """
    means = {tried: _mean(fused(lists, cosines, tried)) for tried in WORTHS}
    return max(WORTHS, key=lambda tried: means[tried]), means


def fused(lists: Sequence[Lists], cosines: tuple[float, float], tried: float) -> dict[str, float]:
    """nDCG@10 by question with one worth, as the hybrid search would order the two lists."""
    fuse = additive(*cosines, tried)

    def ordered(one: Lists) -> list[Hit]:
        hits = {hit.chunk.id: hit for hit in (*one.words, *one.vectors)}
        scores = fuse([(h.chunk.id, h.bm25) for h in one.words], [(h.chunk.id, h.cosine) for h in one.vectors], _DEPTH)
        return [hits[chunk] for chunk in sorted(scores, key=lambda chunk: -scores[chunk])]

    return by_question((one.question, ordered(one)) for one in lists)


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / max(len(values), 1)


@dataclass(frozen=True, slots=True)
class Sureness:
    """How sure the reader is of a question with its passages, and with the right documents hidden."""

    question: str
    there: float
    hidden: float


def sureness(
    kb: Asked,
    confidence: Callable[[str, Sequence[Hit]], float],
    asked: Sequence[Question],
    passages: int,
    progress: Progress,
) -> list[Sureness]:
    """Of questions whose document is among the first passages: of the others nobody should be sure."""
    found = []
    for done, question in enumerate(asked):
        progress("reading", done, len(asked))
        (hits,) = kb.search_batch([question.text], 4 * passages)
        first = hits[:passages]
        if not any(hit.chunk.doc_id in question.relevant for hit in first):
            continue
        others = [hit for hit in hits if hit.chunk.doc_id not in question.relevant][:passages]
        found.append(Sureness(question.id, confidence(question.text, first), confidence(question.text, others)))
    progress("reading", len(asked), len(asked))
    return found


def right(seen: Sequence[Sureness], threshold: float) -> dict[str, float]:
    """By question: half for answering when the document is there, half for not answering when it is hidden."""
    return {one.question: ((one.there >= threshold) + (one.hidden < threshold)) / 2 for one in seen}


def threshold(seen: Sequence[Sureness]) -> tuple[float, dict[float, float]]:
    """The threshold with the best mean of `right`, the middle one of several, and the means of all that were tried."""
    tried = [n / 100 for n in range(5, 96)]
    means = {one: _mean(right(seen, one)) for one in tried}
    best = [one for one in tried if means[one] >= max(means.values()) - 1e-9]
    return best[len(best) // 2], means
