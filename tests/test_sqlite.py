"""Files that several processes open at once: who is refused tries again, and tables are brought up to date by one."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from damda.sqlite import busy, prepare, version

MIGRATIONS = (("CREATE TABLE one (a)", "INSERT INTO one VALUES (1)"), ("CREATE TABLE two (b)",))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.sqlite"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """One without SQLite's own patience, which does not cover the switch to the write-ahead log."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as made:
        yield made


def held(path: Path, seconds: float) -> threading.Thread:
    """Somebody else has the file for so long; returns when he has."""
    has = threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            has.set()
            time.sleep(seconds)
            other.execute("ROLLBACK")

    thread = threading.Thread(target=hold)
    thread.start()
    assert has.wait(10)
    return thread


def test_who_comes_second_waits(path: Path, connection: sqlite3.Connection) -> None:
    other = held(path, 0.2)
    prepare(connection, MIGRATIONS, 10)
    other.join()
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert version(connection) == 2


def test_not_for_ever(path: Path, connection: sqlite3.Connection) -> None:
    other = held(path, 0.5)
    with pytest.raises(sqlite3.OperationalError, match="locked") as refused:
        prepare(connection, MIGRATIONS, 0.05)
    assert busy(refused.value)
    other.join()


def test_only_what_is_missing(connection: sqlite3.Connection) -> None:
    prepare(connection, MIGRATIONS[:1], 0)
    prepare(connection, MIGRATIONS, 0)
    prepare(connection, MIGRATIONS, 0)
    assert version(connection) == 2
    assert connection.execute("SELECT count(*) FROM one").fetchone() == (1,)
    prepare(connection, MIGRATIONS[:1], 0)  # a newer damda's file
    assert version(connection) == 2


def test_a_migration_that_fails_leaves_nothing(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="nonsense"):
        prepare(connection, [*MIGRATIONS[:1], ("CREATE TABLE two (b)", "nonsense")], 0)
    assert version(connection) == 0
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
