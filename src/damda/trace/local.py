"""The local sink: spans into `traces.sqlite`, in batches, in the background.

Knows: writing, retention, what to do when the disk does not want to. Does not know: reading (``damda.traces``).

No failure here reaches an answer: it is said once in the log, the spans are lost, and the next batch is tried. A file
that is damaged is moved aside.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic_core import to_json

from damda.trace.schema import NAME, open_for_writing
from damda.trace.spans import Place

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


class Local:
    """Writes to ``home``; used by one thread at a time.

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
        self._parts: dict[int, _Part] = {}

    def add(
        self,
        at: Place,
        parent: Place | None,
        name: str,
        began: int,
        ended: int,
        attributes: Mapping[str, object],
        said: str | None,
    ) -> None:
        """A span for the next `write`; ``said``: what was wrong, None if nothing was. Times are ns since 1970."""
        part = self._parts.get(at.trace)
        if part is None:
            part = self._parts[at.trace] = _Part(began)
        shown: dict[str, object] = {
            "id": f"{at.span:016x}",
            "parent": f"{parent.span:016x}" if parent is not None else None,
            "name": name,
            "began": began,
            "ended": ended,
            "attributes": attributes,
        }
        if said is not None:
            shown["error"] = said
        part.spans.append(shown)
        if began < part.began:
            part.began = began
        if parent is None or parent.remote:  # the first span of the trace tells its name and its end
            part.ended, part.name = max(part.ended or 0, ended), part.name or name

    def write(self) -> bool:
        """Write what was added, or lose it; whether it was written."""
        rows = [
            (f"{trace:032x}", part.began, part.ended, part.name, to_json(part.spans, fallback=str)[1:-1].decode())
            for trace, part in self._parts.items()
        ]
        self._parts = {}
        try:
            try:
                self._write(rows)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) or not self._replaced(error):
                    raise
                self._write(rows)
        except (sqlite3.Error, OSError) as error:
            self.close()
            reason = error.strerror if isinstance(error, OSError) else error
            self._tell(f"traces can't be kept in {self.path} ({reason}); free some space, or set trace.on = false")
            return False
        return True

    def _write(self, rows: Sequence[tuple[object, ...]]) -> None:
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
            self.close()
        self._connection = None  # another process's must not even be closed here
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = open_for_writing(self.path)
        self._opened = (os.getpid(), _inode(self.path))
        return self._connection

    def close(self) -> None:
        """Close the file; `write` opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None and self._opened[0] == os.getpid():
            try:
                connection.close()
            except sqlite3.Error as error:
                self._tell(f"{self.path} could not be closed ({error})")

    def _replaced(self, error: sqlite3.Error) -> bool:
        """Move a damaged file aside; False where it is sound after all (another process was faster)."""
        from filelock import FileLock

        self.close()
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

    def __init__(self, began: int) -> None:
        self.spans: list[dict[str, object]] = []
        self.began, self.name = began, ""
        self.ended: int | None = None


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
