"""The traces that were kept, to be read, and what people think of the answers.

Knows: one home's `traces.sqlite`. Does not know: how spans got there (``damda.trace``), how they are shown.

Each call opens the file for itself: safe from any thread, and another process' latest traces are seen.
"""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from damda import trace
from damda.errors import StoreError
from damda.sqlite import version
from damda.trace import genai
from damda.trace.schema import MIGRATIONS, NAME, open_for_reading, open_for_writing
from damda.trace.spans import CANCELLED

Status = Literal["ok", "error", "cancelled", "unfinished"]
Score = Literal[-1, 0, 1]

_TRACES = "SELECT id, began, ended, name, spans FROM traces WHERE"
_MOST_SPANS = 2000
"""Of one trace; a caller may say that all its requests belong to one."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One trace in a list. None and "": not known, or not kept.

    Attributes:
        id: 32 hexadecimal digits.
        name: of its first span.
        started: seconds since 1970, to the microsecond.
        ms: from its first to its last moment.
        status: of the whole; ``unfinished``: it is running, or its process was killed.
        question: only with ``trace.content``.
        found, quotes, unsupported: of an answer.
        input_tokens, output_tokens: of the language model.
        feedback: 1, 0 or -1, as somebody gave it, with a ``comment``.
    """

    id: str
    name: str
    started: float
    ms: float | None
    status: Status
    question: str = ""
    found: bool | None = None
    quotes: int | None = None
    unsupported: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    feedback: int | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A span. ``start_ms`` counts from the trace's beginning; ``said`` is an error's message, where it was kept."""

    id: str
    name: str
    start_ms: float
    ms: float
    status: Status
    said: str
    attributes: Mapping[str, Any]
    steps: tuple["Step", ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """A whole trace: its summary, and its spans as trees in the order in which they began."""

    summary: Summary
    steps: tuple[Step, ...]


class Traces:
    """The traces of a home; there need not be any.

    Raises:
        StoreError: the file can't be read.
    """

    def __init__(self, home: Path) -> None:
        self.path = home / NAME

    def recent(
        self, limit: int = 20, before: float | None = None, *, slow_ms: float | None = None, bad: bool = False
    ) -> list[Summary]:
        """The latest traces, newest first.

        Args:
            limit: at most so many.
            before: only those that began before, in seconds since 1970: to turn pages.
            slow_ms: only those that took at least so long.
            bad: only those that somebody gave a thumb down.
        """
        conditions, values = ["1"], list[float]()
        if before is not None:
            conditions.append("began < ?")
            values.append(round(before * 1e6) * 1000)
        if slow_ms is not None:
            conditions.append("ended - began >= ?")
            values.append(int(slow_ms * 1e6))
        if bad:
            conditions.append("id IN (SELECT trace FROM feedback WHERE score < 0)")
        query = f"{_TRACES} {' AND '.join(conditions)} ORDER BY began DESC LIMIT ?"
        with self._reading() as connection:
            if connection is None:
                return []
            rows = connection.execute(query, (*values, limit)).fetchall()
            return [_summary(row, _spans(row[4]), _feedback(connection, row[0])) for row in rows]

    def get(self, trace_id: str) -> Kept | None:
        """One trace; None: it is not kept (any more)."""
        with self._reading() as connection:
            if connection is None:
                return None
            row = connection.execute(f"{_TRACES} id = ?", (trace_id,)).fetchone()
            if row is None:
                return None
            spans = _spans(row[4])
            return Kept(_summary(row, spans, _feedback(connection, trace_id)), _tree(spans))

    def matching(self, start: str, limit: int = 10) -> list[str]:
        """Ids that begin like this."""
        with self._reading() as connection:
            if connection is None:
                return []
            query = "SELECT id FROM traces WHERE substr(id, 1, ?) = ? LIMIT ?"
            return [row[0] for row in connection.execute(query, (len(start), start.lower(), limit))]

    def feedback(self, trace_id: str, score: Score, comment: str = "") -> bool:
        """Keep what somebody thinks of an answer, in the place of what was said before; 0 takes it back.

        Returns:
            Whether there is such a trace.

        Raises:
            StoreError: it can't be written.
        """
        started = self._flushed()
        if not self.path.exists():
            return False
        try:
            with closing(open_for_writing(self.path)) as connection:
                if connection.execute("SELECT 1 FROM traces WHERE id = ?", (trace_id,)).fetchone() is None:
                    return False
                row = (trace_id, time.time_ns(), score, comment)
                connection.execute("INSERT OR REPLACE INTO feedback VALUES (?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} can't be written ({error}); free some space, or delete it") from error
        if started is not None:
            started.feedback(trace_id, score)
        return True

    def _flushed(self) -> trace.Tracing | None:
        """This process's own tracing into the file, if it has any; what it has not written yet is written."""
        started = trace.active()
        if started is None or started.home / NAME != self.path:
            return None
        started.flush()
        return started

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        self._flushed()
        if not self.path.exists():
            yield None
            return
        try:
            with closing(open_for_reading(self.path)) as connection:
                known = version(connection)
                if known > len(MIGRATIONS):
                    raise StoreError(f"{self.path} was written by a newer damda: update this one, or delete the file")
                yield connection if known else None
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} can't be read ({error}); delete it: traces begin anew") from error


_Row = tuple[str, int, int | None, str, str]


@dataclass(slots=True)
class _Span:
    id: str
    parent: str | None
    name: str
    start_ms: float
    ms: float
    status: Status
    said: str
    attributes: dict[str, Any]


def _spans(kept: str) -> list[_Span]:
    found = sorted(json.loads(f"[{kept}]"), key=lambda span: int(span["began"]))
    return [_span(span, found[0]["began"]) for span in found[:_MOST_SPANS]]


def _span(kept: Mapping[str, Any], first: int) -> _Span:
    facts = kept["attributes"]
    status: Status = "error" if "error" in kept else "cancelled" if facts.get(CANCELLED) else "ok"
    start_ms, ms = _ms(kept["began"] - first), _ms(kept["ended"] - kept["began"])
    return _Span(kept["id"], kept["parent"], kept["name"], start_ms, ms, status, kept.get("error", ""), facts)


def _tree(spans: Sequence[_Span]) -> tuple[Step, ...]:
    """Spans whose parent is not there (it is another program's, or has not ended) stand at the top."""
    known = {span.id for span in spans}
    children: dict[str | None, list[_Span]] = {}
    for span in spans:
        children.setdefault(span.parent if span.parent in known else None, []).append(span)
    order, waiting = list[_Span](), children.get(None, [])[::-1]
    while waiting:
        order.append(waiting.pop())
        waiting += children.get(order[-1].id, [])[::-1]
    made: dict[str, Step] = {}
    for span in reversed(order):
        below = tuple(made[child.id] for child in children.get(span.id, ()))
        made[span.id] = Step(span.id, span.name, span.start_ms, span.ms, span.status, span.said, span.attributes, below)
    return tuple(made[span.id] for span in children.get(None, ()))


def _summary(row: _Row, spans: Sequence[_Span], feedback: tuple[int | None, str]) -> Summary:
    id, began, ended, name, _ = row
    answers = [span for span in spans if genai.FOUND in span.attributes]
    facts = answers[0].attributes if answers else {}
    # A server turns an error into a response: the request's own span does not fail.
    bad = [span.status for span in spans if span.status != "ok"]
    ended_as: Status = "error" if "error" in bad else bad[0] if bad else "ok"
    status: Status = "unfinished" if ended is None else ended_as
    return Summary(
        id=id,
        name=name or (spans[0].name if spans else ""),
        started=began // 1000 / 1e6,
        ms=None if ended is None else _ms(ended - began),
        status=status,
        question=_question(spans),
        found=facts.get(genai.FOUND),
        quotes=facts.get(genai.QUOTES),
        unsupported=facts.get(genai.UNSUPPORTED),
        input_tokens=_total(spans, genai.INPUT_TOKENS),
        output_tokens=_total(spans, genai.OUTPUT_TOKENS),
        feedback=feedback[0],
        comment=feedback[1],
    )


def _question(spans: Sequence[_Span]) -> str:
    for span in spans:
        if span.name.startswith("invoke_workflow") and (said := span.attributes.get(genai.INPUT)):
            return str(json.loads(said)[-1]["parts"][0]["content"])
        if query := span.attributes.get(genai.QUERY):
            return str(query)
    return ""


def _total(spans: Sequence[_Span], name: str) -> int | None:
    """Of the models that were asked; the answer's own span says the same once more."""
    found = [span.attributes[name] for span in spans if name in span.attributes and genai.MODEL in span.attributes]
    return sum(found) if found else None


def _feedback(connection: sqlite3.Connection, trace_id: str) -> tuple[int | None, str]:
    row = connection.execute("SELECT score, comment FROM feedback WHERE trace = ?", (trace_id,)).fetchone()
    return (row[0] or None, row[1]) if row else (None, "")


def _ms(ns: int) -> float:
    return round(ns / 1e6, 3)
