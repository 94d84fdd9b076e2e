"""Questions in three parts, none of which shares a document with another.

Knows: which questions belong together, how they are dealt out, what a leak is. Does not know: what the parts are for.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from damda.measure.dataset import Question
from damda.types import NO_META


@dataclass(frozen=True, slots=True)
class Parts:
    """What is learnt from, what says when to stop, and what nobody looks at before the end."""

    train: tuple[Question, ...]
    validation: tuple[Question, ...]
    held_out: tuple[Question, ...]


def by_document(
    asked: Sequence[Question],
    texts: Mapping[str, str] = NO_META,
    *,
    validation: float = 0.1,
    held_out: float = 0.25,
    seed: int = 42,
) -> Parts:
    """Deal out questions by their documents. A question with several documents ties these together, and so do two
    questions of the same words about different ones.

    Where a document goes depends on its id and the seed alone: it stays there when others come or go, unless a question
    ties it to them. Questions without documents are left out.

    Args:
        texts: document id -> its text, or a hash of it: copies of one text belong together.
        validation, held_out: shares of the documents.
    """
    group = _groups(asked, texts)
    parts: dict[str, list[Question]] = {"train": [], "validation": [], "held_out": []}
    for question in asked:
        if not question.relevant:
            continue
        drawn = int(hashlib.sha256(f"{seed} {group[min(question.relevant)]}".encode()).hexdigest()[:8], 16) / 16**8
        part = "held_out" if drawn < held_out else "validation" if drawn < held_out + validation else "train"
        parts[part].append(question)
    return Parts(tuple(parts["train"]), tuple(parts["validation"]), tuple(parts["held_out"]))


def _groups(asked: Sequence[Question], texts: Mapping[str, str]) -> dict[str, str]:
    """Document -> the least id among all documents that questions tie to it."""
    leader: dict[str, str] = {}

    def lead(document: str) -> str:
        while leader.setdefault(document, document) != document:
            document = leader[document]
        return document

    tied: dict[str, set[str]] = {}
    for question in asked:
        tied.setdefault(f"question {_flat(question.text)}", set()).update(question.relevant)
        for document in question.relevant & texts.keys():
            tied.setdefault(f"text {_flat(texts[document])}", set()).add(document)
    for documents in tied.values():
        first, *others = sorted({lead(document) for document in documents}) or [""]
        for other in others:
            leader[other] = first
    return {document: lead(document) for document in list(leader)}


def leaks(parts: Parts, texts: Mapping[str, str]) -> list[str]:
    """What a part knows of another: documents, questions, or the same text under two ids. Nothing, if all is well.

    Args:
        texts: document id -> text, of as many documents as are known.
    """
    named = {"train": parts.train, "validation": parts.validation, "held out": parts.held_out}
    found = []
    for what, key in (
        ("document", lambda q: q.relevant),
        ("question", lambda q: {_flat(q.text)}),
        ("text", lambda q: {_flat(texts[d]) for d in q.relevant if d in texts}),
    ):
        seen: dict[str, str] = {}
        for part, questions in named.items():
            for mark in sorted({mark for question in questions for mark in key(question)}):
                if seen.setdefault(mark, part) != part:
                    found.append(f"the {what} {mark[:60]!r} is in {seen[mark]} and in {part}")
    return found


def _flat(text: str) -> str:
    return " ".join(text.casefold().split())
