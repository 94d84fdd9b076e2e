"""The local sink: spans into `traces.sqlite`, in batches, in the background.

Knows: writing, retention, what to do when the disk does not want to. Does not know: reading (``damda.traces``).

No failure here reaches an answer: it is said once in the log, the spans are lost, and the next batch is tried. A file
that is damaged is moved aside.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, StatusCode
from pydantic_core import to_json

from damda.trace.schema import NAME, open_for_writing

log = logging.getLogger("damda.trace")

_PRUNE_AFTER = 500
"""Traces that are written between two looks at what is too old or too much."""

_MOST = 4_000_000
"""Characters of one trace: whoever calls may say that all his requests belong to one."""

_PUT = (
    "INSERT INTO traces (id, began, ended, name, spans) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
    "name = CASE WHEN excluded.ended IS NOT NULL AND (ended IS NULL OR excluded.began < began) "
    "THEN excluded.name ELSE name END, "
    "ended = CASE WHEN excluded.ended IS NULL THEN ended ELSE max(ifnull(ended, 0), excluded.ended) END, "
    "began = min(began, excluded.began), "
    f"spans = CASE WHEN length(spans) < {_MOST} THEN spans || ',' || excluded.spans ELSE spans END"
)
"""A part of a trace; without an end, if its first span is not in it."""


class Local(SpanExporter):
    """Writes to ``home``.

    Args:
        home: made when the first trace is written.
        keep: traces; older ones go.
        days: older traces go.
    """

    def __init__(self, home: Path, *, keep: int, days: float) -> None:
        self.path = home / NAME
        self._keep, self._days = keep, days
        self._connection: sqlite3.Connection | None = None
        self._opened = (0, 0)  # process and inode
        self._told: set[str] = set()
        self._until_pruning = 1

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write a batch; called by one thread at a time."""
        try:
            try:
                self._write(spans)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) or not self._replaced(error):
                    raise
                self._write(spans)
        except (sqlite3.Error, OSError) as error:
            self._drop_connection()
            reason = error.strerror if isinstance(error, OSError) else error
            self._tell(
                f"traces can't be kept in {self.path} ({reason}); free some space, delete it, or set trace.on = false"
            )
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file."""
        self._drop_connection()

    def _write(self, spans: Sequence[ReadableSpan]) -> None:
        parts = dict[str, _Part]()
        for span in spans:
            context = span.get_span_context()
            assert context is not None
            trace = format(context.trace_id, "032x")
            part = parts.get(trace)
            if part is None:
                part = parts[trace] = _Part()
            part.add(span, context)
        rows = [part.row(trace) for trace, part in parts.items()]
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(_PUT, rows)
            self._until_pruning -= len(rows)
            if self._until_pruning <= 0:
                self._until_pruning = _PRUNE_AFTER
                self._prune(connection)
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _prune(self, connection: sqlite3.Connection) -> None:
        oldest = time.time_ns() - int(self._days * 86400e9)
        beyond = connection.execute("SELECT began FROM traces ORDER BY began DESC LIMIT 1 OFFSET ?", (self._keep - 1,))
        row = beyond.fetchone()
        before = max(oldest, row[0] if row else 0)
        connection.execute("DELETE FROM feedback WHERE trace IN (SELECT id FROM traces WHERE began < ?)", (before,))
        connection.execute("DELETE FROM traces WHERE began < ?", (before,))

    def _open(self) -> sqlite3.Connection:
        """The connection: a new one after a fork, and when somebody has taken the file away."""
        here = (os.getpid(), _inode(self.path))
        if self._connection is not None and self._opened == here:
            return self._connection
        if self._opened[0] == here[0]:
            self._drop_connection()
        self._connection = None  # another process's must not even be closed here
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = open_for_writing(self.path)
        self._opened = (os.getpid(), _inode(self.path))
        return self._connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and self._opened[0] == os.getpid():
            try:
                connection.close()
            except sqlite3.Error as error:
                self._tell(f"{self.path} could not be closed ({error})")

    def _replaced(self, error: sqlite3.Error) -> bool:
        """Move a damaged file aside; False where it is sound after all (another process was faster)."""
        from filelock import FileLock

        self._drop_connection()
        with FileLock(self.path.with_name(f"{NAME}.lock"), timeout=5):
            if not _damaged(self.path):
                return True
            number = 1
            while (aside := self.path.with_name(f"{NAME}.broken-{number}")).exists():
                number += 1
            self.path.replace(aside)
            for ending in ("-wal", "-shm"):
                Path(f"{self.path}{ending}").unlink(missing_ok=True)
        self._tell(f"{self.path} is damaged ({error}); it is now {aside.name}, and traces begin anew")
        return True

    def _tell(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            log.warning(what)


class _Part:
    """Spans of one trace that are written together."""

    __slots__ = ("began", "ended", "name", "spans")

    def __init__(self) -> None:
        self.spans = list[dict[str, object]]()
        self.began, self.name = 0, ""
        self.ended: int | None = None

    def row(self, trace: str) -> tuple[str, int, int | None, str, str]:
        """For `_PUT`."""
        return trace, self.began, self.ended, self.name, to_json(self.spans)[1:-1].decode()

    def add(self, span: ReadableSpan, context: SpanContext) -> None:
        """A span; the first one of the trace tells its name and its end."""
        began, ended, parent = span.start_time or 0, span.end_time or 0, span.parent
        shown: dict[str, object] = {
            "id": format(context.span_id, "016x"),
            "parent": format(parent.span_id, "016x") if parent is not None else None,
            "name": span.name,
            "began": began,
            "ended": ended,
            "attributes": dict(span.attributes or {}),
        }
        if span.status.status_code is StatusCode.ERROR:
            shown["error"] = span.status.description or ""
        self.spans.append(shown)
        self.began = min(self.began, began) if self.began else began
        if parent is None or parent.is_remote:
            self.ended, self.name = max(self.ended or 0, ended), self.name or span.name


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _damaged(path: Path) -> bool:
    try:
        connection = open_for_writing(path)
    except sqlite3.OperationalError:
        return False
    except sqlite3.DatabaseError:
        return True
    try:
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
    except sqlite3.DatabaseError:
        return True
    finally:
        connection.close()
