"""Questions -> examples to learn from: the passage that answers, and passages that look as if they did.

Knows: which passage of a document answers, round trips, which passages are wrong for sure. Does not know: how hits are
found, models.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from damda.measure.dataset import Question
from damda.types import Chunk, Hit, Mode, Progress

_BATCH = 32


class Finds(Protocol):
    """The searching half of a KnowledgeBase."""

    def search_batch(self, queries: Sequence[str], k: int = 10, *, mode: Mode | None = None) -> list[list[Hit]]: ...


@dataclass(frozen=True, slots=True)
class Example:
    """A question, the passage that answers it, and others that do not, hardest first; texts as they are encoded."""

    question: str
    passage: str
    wrong: tuple[str, ...]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Mined:
    """Examples, and questions that nothing was made of: id -> why."""

    examples: list[Example]
    doubtful: dict[str, str] = field(default_factory=dict)


def mine(
    kb: Finds,
    asked: Sequence[Question],
    progress: Progress,
    *,
    depth: int = 20,
    wrong: int = 1,
    margin: float = 0.95,
    aside: frozenset[str] = frozenset(),
    shown: Callable[[str, Chunk], str] = lambda question, chunk: chunk.in_context(),
) -> Mined:
    """Search for every question; its own passage must be among the hits, else it is doubtful: the round trip.

    A passage of another document counts as wrong when it has none of the known answers and scores below ``margin``
    times the right one; those that score higher may answer too, without anybody having said so (Moreira et al.,
    "NV-Retriever", 2024, arXiv:2407.15831: positive-aware mining).

    Args:
        depth: hits a question.
        wrong: most wrong passages an example.
        margin: infinite: whatever it scores.
        aside: documents that must not be seen in training at all: those that are held out.
        shown: what is read of a passage, given the question.
    """
    found = Mined([])
    for at in range(0, len(asked), _BATCH):
        progress("looking for wrong passages", at, len(asked))
        batch = asked[at : at + _BATCH]
        results = kb.search_batch([question.text for question in batch], depth, mode="hybrid")
        for question, hits in zip(batch, results, strict=True):
            right = right_passage(question, hits)
            if right is None:
                found.doubtful[question.id] = f"its passage is not among the first {depth}"
                continue
            false = wrong_passages(question, right, hits, margin)
            allowed = [hit.chunk for hit in false if hit.chunk.doc_id not in aside]
            texts = dict.fromkeys(shown(question.text, chunk) for chunk in allowed)
            passage = shown(question.text, right.chunk)
            found.examples.append(Example(question.text, passage, tuple(texts)[:wrong], question.id))
    progress("looking for wrong passages", len(asked), len(asked))
    return found


def right_passage(question: Question, hits: Sequence[Hit]) -> Hit | None:
    """The best hit of the question's documents, one with an answer in it before others; None: there is none."""
    own = [hit for hit in hits if hit.chunk.doc_id in question.relevant]
    return next((hit for hit in own if _answers(question, hit)), own[0] if own else None)


def wrong_passages(question: Question, right: Hit, hits: Sequence[Hit], margin: float) -> list[Hit]:
    """Hits of other documents that are wrong for sure, hardest first."""
    return [
        hit
        for hit in hits
        if hit.chunk.doc_id not in question.relevant
        and (margin == inf or hit.score < margin * right.score)
        and not _answers(question, hit)
    ]


def _answers(question: Question, hit: Hit) -> bool:
    text = _flat(hit.chunk.text)
    return any(_flat(answer) in text for answer in question.answers if answer.strip())


def _flat(text: str) -> str:
    return re.sub(r"\s+", "", text.casefold())


def random_pairs(
    examples: Sequence[Example], documents: Mapping[str, str], *, seed: int = 0
) -> list[tuple[str, str, float]]:
    """(question, passage, label): each example's own passage as 1, and one of another example, drawn at random, as 0.

    The textbook's baseline. As a metric (Spearman of cosines against these labels) it ends at .866, whatever the model
    does: half of the labels are ties.

    Args:
        documents: example id -> its document, so that the other passage is of another one.
    """
    generator = random.Random(seed)
    rows = []
    for example in examples:
        others = [other for other in examples if documents.get(other.id) != documents.get(example.id)]
        rows.append((example.question, example.passage, 1.0))
        if others:
            rows.append((example.question, generator.choice(others).passage, 0.0))
    return rows
