"""Questions to learn from that nobody wrote down: from answers that somebody liked, and from the documents themselves.

Knows: what a liked answer teaches. Does not know: files of questions (``measure/dataset.py``), how questions are made
(``measure/synthesise.py``).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from damda.korean import nfc
from damda.measure.dataset import Question
from damda.traces import Step, Traces

_MOST = 10_000
_DOCUMENT = "damda.document"


def liked(traces: Traces) -> list[Question]:
    """Questions whose answers got a thumbs-up, with the documents that were quoted; each question once, the latest.

    Traces hold questions only where ``trace.content`` was on.
    """
    found: dict[str, Question] = {}
    for summary in traces.recent(_MOST):
        text = " ".join(nfc(summary.question).split())
        if summary.feedback != 1 or not text or text in found:
            continue
        kept = traces.get(summary.id)
        documents = frozenset(_documents(kept.steps)) if kept else frozenset()
        if documents:
            found[text] = Question(f"liked-{summary.id[:8]}", text, documents, source="feedback")
    return list(found.values())


def _documents(steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        if quoted := step.attributes.get(_DOCUMENT):
            yield str(quoted)
        yield from _documents(step.steps)


def made(rows: Sequence[Mapping[str, Any]]) -> list[Question]:
    """Rows of ``measure/synthesise.py`` as questions."""
    return [
        Question(
            f"made-{row['id']}", nfc(row["text"]), frozenset((row["document"],)), tuple(row["answers"]), row["made"]
        )
        for row in rows
    ]
