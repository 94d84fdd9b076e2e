"""What is remembered: rows of `answers.sqlite`, found by a question or by a vector.

Knows: keys, checksums, age, size, vectors in memory. Does not know: what a payload means, which questions may share
one.

Everything here is cheap and none of it fails: a row that is damaged or too old is not there, and a file that can't be
used is an empty one (`shelf`).
"""

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from damda.answer.memory.shelf import Shelf
from damda.answer.memory.spelling import normalised
from damda.answer.memory.vectors import Vectors
from damda.korean import nfc

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

How = Literal["exact", "semantic"]

_ROW_BYTES = 300
"""What a row takes beside its texts and its vector: columns, indexes, pages that are not full."""
_DAY = 86_400.0
_FULL = 0.95
"""Of the size that is allowed; down to it goes what was not used for longest, so that not every answer has to."""
_NEAREST = 5
"""Candidates of one search: beyond the nearest few, none is of the same meaning."""


class Entry(NamedTuple):
    """A row. Times are Unix seconds; ``took``: seconds that it took to make the payload, 0 where unknown."""

    id: int
    question: str
    payload: str
    made: float
    hits: int
    took: float


class Near(NamedTuple):
    """An entry, and the cosine of its question to the one that was asked."""

    cosine: float
    entry: Entry


@dataclass(frozen=True, slots=True)
class Stats:
    """What is in the file, and what it was good for since it was begun.

    Attributes:
        entries: of them ``semantic_entries`` have a vector.
        bytes: what the rows weigh; `Memory` bounds it.
        exact, semantic, misses: look-ups, by what came of them.
        refused: look-ups that found a similar question whose answer was not given, for the two do not agree.
        oldest, newest: Unix seconds; 0 where there is nothing.
        saved: seconds that it took to make the answers that were given again.
    """

    entries: int = 0
    semantic_entries: int = 0
    bytes: int = 0
    exact: int = 0
    semantic: int = 0
    misses: int = 0
    refused: int = 0
    oldest: float = 0.0
    newest: float = 0.0
    saved: float = 0.0


class Memory:
    """The remembered of one home. Safe to use from threads and from several processes.

    Args:
        path: the file; made when the first answer is remembered.
        days: older entries are not there.
        megabytes: of the rows; beyond, what was not used for longest goes.
        clock: Unix seconds.
    """

    def __init__(self, path: Path, *, days: float, megabytes: float, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._days, self._most, self._clock = days, int(megabytes * 1_000_000), clock
        self._vectors = Vectors()
        self._shelf = Shelf(path, self._vectors.clear)

    def get_exact(self, question: str, scope: str) -> Entry | None:
        """The entry of this question, as `normalised` sees it, in this very scope."""

        def work(db: sqlite3.Connection) -> Entry | None:
            row = db.execute(f"{_SELECT} WHERE key = ?", (_key(question, scope),)).fetchone()
            return self._sound(db, row, scope) if row else None

        return self._shelf.reading(work, None) if self._there() else None

    def near(self, vector: "NDArray[np.float32]", scope: str, least: float, space: str = "") -> list[Near]:
        """Entries of the scope whose question's vector is near, best first, at most five.

        Args:
            vector: unit length, shape (dim,).
            scope: as for `put`.
            least: cosines below it are not near.
            space: which vectors can be compared: the encoder's id.
        """

        def work(db: sqlite3.Connection) -> list[Near]:
            found = []
            for number, cosine in self._vectors.search(db, scope, space, vector, least, _NEAREST):
                row = db.execute(f"{_SELECT} WHERE id = ?", (number,)).fetchone()
                entry = self._sound(db, row, scope) if row else None
                if entry is None:
                    self._vectors.forget(scope, space, number)
                else:
                    found.append(Near(cosine, entry))
            return found

        return self._shelf.reading(work, []) if self._there() else []

    def put(
        self,
        question: str,
        scope: str,
        payload: str,
        *,
        kind: str,
        vector: "NDArray[np.float32] | None" = None,
        space: str = "",
        took: float = 0.0,
    ) -> bool:
        """Remember a payload for a question, in place of an earlier one; whether it was.

        Args:
            question: as it was asked.
            scope: all else that the payload depends on.
            payload: text; JSON as a rule.
            kind: what it is: "answer".
            vector: unit length, shape (dim,), for `near`; None: only this very question finds it.
            space: which vectors can be compared: the encoder's id.
            took: seconds that it took to make.
        """
        question, now = nfc(question), self._clock()
        raw = None if vector is None else vector.astype("<f4").tobytes()
        size = sum(len(text.encode()) for text in (question, scope, payload, space)) + len(raw or b"") + _ROW_BYTES
        if size > self._most:
            return False
        checksum = _checksum(scope, question, payload, raw)
        row = (kind, scope, _key(question, scope), question, space, raw, payload, checksum, now, now, size, took)

        def work(db: sqlite3.Connection) -> bool:
            db.execute("DELETE FROM entries WHERE key = ?", (row[2],))
            self._too_old(db, now)
            self._too_much(db, size)
            db.execute(
                "INSERT INTO entries (kind, scope, key, question, space, vector, payload, checksum, made, used,"
                " bytes,"
                " took, hits) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                row,
            )
            return True

        return self._shelf.writing(work, False)

    def looked(self, entry: Entry | None, how: How | None, *, refused: bool = False) -> None:
        """Count what came of a look-up, and that an entry was used."""
        now = self._clock()

        def work(db: sqlite3.Connection) -> None:
            counts: Iterable[tuple[float, str]] = [(1, how or "misses")]
            if refused:
                counts = [*counts, (1, "refused")]
            if entry is not None:
                counts = [*counts, (entry.took, "saved")]
                db.execute("UPDATE entries SET used = ?, hits = hits + 1 WHERE id = ?", (now, entry.id))
            db.executemany("UPDATE counts SET value = value + ? WHERE name = ?", counts)

        if self._there():
            self._shelf.writing(work, None)

    def stats(self) -> Stats:
        """What is in the file now."""

        def work(db: sqlite3.Connection) -> Stats:
            query = "SELECT count(*), count(vector), ifnull(min(made), 0), ifnull(max(made), 0) FROM entries"
            entries, semantic, oldest, newest = db.execute(query).fetchone()
            counts = dict(db.execute("SELECT name, value FROM counts").fetchall())
            saved = counts.pop("saved")
            whole = {name: int(value) for name, value in counts.items()}
            return Stats(entries, semantic, **whole, oldest=oldest, newest=newest, saved=saved)

        return self._shelf.reading(work, Stats()) if self._there() else Stats()

    def clear(self, scope_prefix: str = "", *, kind: str = "") -> int:
        """Forget the entries whose scope begins so, of one kind or all; how many they were."""

        def work(db: sqlite3.Connection) -> int:
            condition = "substr(scope, 1, ?) = ? AND (? = '' OR kind = ?)"
            found = db.execute(f"DELETE FROM entries WHERE {condition}", (len(scope_prefix), scope_prefix, kind, kind))
            return found.rowcount

        def shrink(db: sqlite3.Connection) -> None:
            db.executescript("PRAGMA incremental_vacuum")  # `execute` gives back one page only
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        if not self._there():
            return 0
        count = self._shelf.writing(work, 0)
        self._shelf.reading(shrink, None)
        self._vectors.clear()
        return count

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        self._shelf.close()

    def _there(self) -> bool:
        """Nothing is made of a mere question."""
        return self.path.exists()

    def _sound(self, db: sqlite3.Connection, row: tuple[Any, ...], scope: str) -> Entry | None:
        """The row as an entry; one that is damaged or too old is deleted."""
        number, stored_scope, question, vector, payload, checksum, made, hits, took = row
        sound = (
            isinstance(stored_scope, str)
            and isinstance(question, str)
            and isinstance(payload, str)
            and _checksum(stored_scope, question, payload, vector) == checksum
            and stored_scope == scope
        )
        now = self._clock()
        if sound and now - self._days * _DAY <= made <= now + _DAY:
            return Entry(number, question, payload, made, hits, took)
        db.execute("DELETE FROM entries WHERE id = ?", (number,))
        return None

    def _too_old(self, db: sqlite3.Connection, now: float) -> None:
        # More than a day in the future: the clock was wrong then. Their age is not known, and they would never go.
        db.execute("DELETE FROM entries WHERE made < ?", (now - self._days * _DAY,))
        db.execute("DELETE FROM entries WHERE made > ?", (now + _DAY,))
        db.execute("UPDATE entries SET used = ? WHERE used > ?", (now, now + _DAY))

    def _too_much(self, db: sqlite3.Connection, more: int) -> None:
        (total,) = db.execute("SELECT value FROM counts WHERE name = 'bytes'").fetchone()
        if total + more <= self._most:
            return
        going = []
        excess = total + more - self._most * _FULL
        for number, size in db.execute("SELECT id, bytes FROM entries ORDER BY used, id"):
            if excess <= 0:
                break
            going.append((number,))
            excess -= size
        db.executemany("DELETE FROM entries WHERE id = ?", going)


_SELECT = "SELECT id, scope, question, vector, payload, checksum, made, hits, took FROM entries"


def _key(question: str, scope: str) -> bytes:
    return _digest(scope.encode(), normalised(question).encode())


def _checksum(scope: str, question: str, payload: str, vector: bytes | None) -> bytes:
    return _digest(scope.encode(), question.encode(), payload.encode(), vector or b"")


def _digest(*parts: bytes) -> bytes:
    """Of parts whose borders count: ("a", "bc") and ("ab", "c") differ."""
    whole = hashlib.blake2b(digest_size=16)
    for part in parts:
        whole.update(len(part).to_bytes(8, "little"))
        whole.update(part)
    return whole.digest()
