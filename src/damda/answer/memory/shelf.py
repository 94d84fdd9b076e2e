"""The file that answers are remembered in: `answers.sqlite` in the home.

Knows: its tables, their numbered migrations, opening it, what to do when it is damaged or the disk refuses. Does not
know: what a row means.

What is in it can be made again, so no failure here is an error: it is said once in the log, and nothing is remembered
until the cause is gone.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from damda.sqlite import busy, prepare

log = logging.getLogger("damda.cache")

NAME = "answers.sqlite"

MIGRATIONS = (
    (
        """
        CREATE TABLE entries (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL, scope TEXT NOT NULL, key BLOB NOT NULL UNIQUE,
            question TEXT NOT NULL, space TEXT NOT NULL, vector BLOB, payload TEXT NOT NULL, checksum BLOB NOT NULL,
            made REAL NOT NULL, used REAL NOT NULL, hits INTEGER NOT NULL, bytes INTEGER NOT NULL, took REAL NOT NULL
        ) STRICT
        """,
        "CREATE INDEX entries_scope ON entries (scope, id)",
        "CREATE INDEX entries_made ON entries (made)",
        "CREATE INDEX entries_used ON entries (used)",
        "CREATE TABLE counts (name TEXT PRIMARY KEY, value REAL NOT NULL) STRICT, WITHOUT ROWID",
        "INSERT INTO counts VALUES ('bytes', 0), ('exact', 0), ('semantic', 0), ('misses', 0), ('refused', 0)",
        "INSERT INTO counts VALUES ('saved', 0)",
        "CREATE TRIGGER entries_in AFTER INSERT ON entries"
        " BEGIN UPDATE counts SET value = value + new.bytes WHERE name = 'bytes'; END",
        "CREATE TRIGGER entries_out AFTER DELETE ON entries"
        " BEGIN UPDATE counts SET value = value - old.bytes WHERE name = 'bytes'; END",
    ),
)
"""Ids only grow, and of a row nothing changes but ``used`` and ``hits``: whoever has read all rows up to an id has to
read only those after it. ``bytes`` is what a row weighs; their sum is kept by the triggers.
"""

_PATIENCE = 0.25
"""Seconds to wait for another process that is writing; then the answer is not remembered."""

Result = TypeVar("Result")


class Shelf:
    """One SQLite file, used by threads and by several processes at once.

    Args:
        path: made, with its folder, when it is first needed; readable for its owner only.
        opened: told when the file is another one than before.
    """

    def __init__(self, path: Path, opened: Callable[[], None]) -> None:
        self.path = path
        self._told_opened = opened
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._opened = (0, 0)  # process and inode
        self._said: set[str] = set()

    def reading(self, work: Callable[[sqlite3.Connection], Result], otherwise: Result) -> Result:
        """What ``work`` makes of the file; ``otherwise`` where it can't be used."""
        return self._run(work, otherwise)

    def writing(self, work: Callable[[sqlite3.Connection], Result], otherwise: Result) -> Result:
        """The same in a transaction of its own: all of it, or nothing."""

        def whole(connection: sqlite3.Connection) -> Result:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

        return self._run(whole, otherwise)

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        with self._lock:
            connection, self._connection = self._connection, None
            # Another process's connection, from before a fork, must not even be closed here.
            if connection is not None and self._opened[0] == os.getpid():
                try:
                    connection.close()
                except sqlite3.Error as error:
                    self._say(f"{self.path} could not be closed ({error})")

    def _run(self, work: Callable[[sqlite3.Connection], Result], otherwise: Result) -> Result:
        with self._lock:
            try:
                try:
                    return work(self._open())
                except sqlite3.DatabaseError as error:
                    if not _is_damage(error) or not self._replaced(error):
                        raise
                    return work(self._open())
            except sqlite3.OperationalError as error:
                if busy(error):  # another process is writing: nothing is wrong, this one thing is not kept
                    return otherwise
                self._refused(error)
            except (sqlite3.Error, OSError) as error:
                self._refused(error)
            return otherwise

    def _refused(self, error: Exception) -> None:
        # On a full disk what is open can still be read, and nothing can be opened anew.
        if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_FULL:
            self.close()
        reason = error.strerror if isinstance(error, OSError) else error
        self._say(f"answers can't be remembered in {self.path} ({reason}); make room, or set cache.mode = 'off'")

    def _open(self) -> sqlite3.Connection:
        """The connection: a new one after a fork, and when somebody has taken the file away."""
        here = (os.getpid(), _inode(self.path))
        if self._connection is not None and self._opened == here:
            return self._connection
        self.close()
        self._told_opened()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = _connect(self.path)
        self._opened = (os.getpid(), _inode(self.path))
        return self._connection

    def _replaced(self, error: sqlite3.Error) -> bool:
        """Move a damaged file aside; True also where another process was faster."""
        from filelock import FileLock, Timeout

        self.close()
        try:
            with FileLock(self.path.with_name(f"{self.path.name}.lock"), timeout=5):
                if not _damaged(self.path):
                    return True
                number = 1
                while (aside := self.path.with_name(f"{self.path.name}.broken-{number}")).exists():
                    number += 1
                self.path.replace(aside)
                for ending in ("-wal", "-shm"):
                    Path(f"{self.path}{ending}").unlink(missing_ok=True)
        except (OSError, Timeout) as refusal:
            self._say(f"{self.path} is damaged ({error}) and can't be moved aside ({refusal}); delete it")
            return False
        self._say(f"{self.path} is damaged ({error}); it is now {aside.name}, and remembering begins anew")
        return True

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            log.warning(what)


def _connect(path: Path) -> sqlite3.Connection:
    # Before SQLite makes it with whatever rights the umask leaves: it holds questions and answers.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    # What is no text any more is found out by its checksum.
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file only
        connection.execute("PRAGMA journal_size_limit = 4000000")
        prepare(connection, MIGRATIONS, _PATIENCE)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file's content is to blame: not the disk, and not this program."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # Tables that are not there (ERROR): some other file of this name, or one that lost its first page.
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def _damaged(path: Path) -> bool:
    try:
        connection = _connect(path)
    except sqlite3.DatabaseError as error:
        return _is_damage(error)
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"entries", "counts"} <= tables:
            return True
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
    except sqlite3.DatabaseError:
        return True
    finally:
        connection.close()


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0
