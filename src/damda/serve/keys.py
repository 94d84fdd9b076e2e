"""API keys: who may ask, and how often.

Knows: a SQLite file in the home. Does not know: HTTP. Only a hash of a key is stored; the key itself is told once, when
it is made. It has 256 random bits, so a plain SHA-256 is enough: there is no dictionary to try.
"""

import hashlib
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from damda.errors import ConfigError, StoreError
from damda.sqlite import prepare

FILE = "keys.sqlite"
PREFIX = "damda-"
_MIGRATIONS = (
    (
        """
        CREATE TABLE keys (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, made REAL NOT NULL,
            per_minute INTEGER NOT NULL, revoked REAL, tokens REAL NOT NULL, refilled REAL NOT NULL
        ) STRICT
        """,
    ),
)
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key. ``per_minute`` 0: no limit. Times are Unix seconds."""

    id: str
    name: str
    made: float
    per_minute: int
    revoked: float | None


class Keys:
    """The keys of one home. Safe to use from threads and from several processes.

    Args:
        folder: the home; need not exist before a key is made.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None
        self._inode = (0, 0)

    def make(self, name: str, per_minute: int = 0) -> tuple[Key, str]:
        """A new key, and its secret, which is not stored."""
        secret = PREFIX + secrets.token_urlsafe(32)
        key = Key(secrets.token_hex(4), name, time.time(), per_minute, None)
        row = (key.id, name, _hash(secret), key.made, per_minute, float(per_minute), key.made)
        with self._open(make=True) as db:
            db.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, NULL, ?, ?)", row)
        return key, secret

    def all(self) -> list[Key]:
        """Oldest first; revoked ones too."""
        if not self._path.exists():
            return []
        with self._open() as db:
            rows = db.execute("SELECT id, name, made, per_minute, revoked FROM keys ORDER BY made").fetchall()
        return [Key(*row) for row in rows]

    def any(self) -> bool:
        """Whether a key was ever made: whether the file is there, whatever is left of what it held. Neither revoking
        the last key nor damage to the file opens the door again."""
        try:
            self._path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # it may be there
        return True

    def revoke(self, name: str) -> Key:
        """End a key, by its id or its name.

        Raises:
            ConfigError: none, or more than one, is called so.
        """
        found = [key for key in self.all() if name in (key.id, key.name) and key.revoked is None]
        if len(found) != 1:
            what = "no key in force" if not found else f"{len(found)} keys"
            raise ConfigError(f"{what} is called {name!r}; `damda keys FOLDER` lists them, give an id")
        with self._open() as db:
            db.execute("UPDATE keys SET revoked = ? WHERE id = ?", (time.time(), found[0].id))
        return found[0]

    def find(self, secret: str) -> Key | None:
        """The key in force that a secret belongs to."""
        if not self._path.exists():
            return None
        query = "SELECT id, name, made, per_minute, revoked FROM keys WHERE hash = ? AND revoked IS NULL"
        with self._open() as db:
            row = db.execute(query, (_hash(secret),)).fetchone()
        return Key(*row) if row else None

    def wait(self, key: Key, now: float) -> float:
        """Count a request of a key; seconds until its next one is welcome, 0 when this one is.

        A token bucket that holds a minute's worth, shared by all processes.
        """
        if not key.per_minute:
            return 0.0
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            tokens, refilled = db.execute("SELECT tokens, refilled FROM keys WHERE id = ?", (key.id,)).fetchone()
            tokens = min(key.per_minute, tokens + max(0.0, now - refilled) * key.per_minute / 60)
            allowed = tokens >= 1
            left = tokens - 1 if allowed else tokens
            db.execute("UPDATE keys SET tokens = ?, refilled = ? WHERE id = ?", (left, now, key.id))
            db.execute("COMMIT")
        return 0.0 if allowed else (1 - tokens) * 60 / key.per_minute

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    @contextmanager
    def _open(self, *, make: bool = False) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._opened is not None and self._now() != self._inode:
                    self._opened.close()  # the file was deleted, and others hold another one for it
                    self._opened = None
                if self._opened is None:
                    if make:
                        self._path.parent.mkdir(parents=True, exist_ok=True)
                        # Before SQLite makes it with whatever rights the umask leaves.
                        os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600))
                    self._opened = _connect(self._path)
                    self._inode = self._now()
                yield self._opened
            except (sqlite3.Error, OSError) as error:
                if self._opened is not None:
                    self._opened.close()
                    self._opened = None
                raise StoreError(
                    f"{self._path} can't be used ({error}); if it is damaged, delete it and make new keys"
                ) from error

    def _now(self) -> tuple[int, int]:
        """Which file it is."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        return status.st_dev, status.st_ino


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False, isolation_level=None)
    try:
        prepare(db, _MIGRATIONS, _PATIENCE)
    except BaseException:
        db.close()
        raise
    return db


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
