"""SQLite files that several processes open, make and bring up to date at once.

Knows: the write-ahead log, numbered migrations, patience. Does not know: any table.
"""

import sqlite3
import time
from collections.abc import Sequence

_PAUSE = 0.005


def prepare(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]], patience: float) -> None:
    """Switch a file to the write-ahead log, and bring its tables up to date.

    Args:
        connection: without transactions of its own (``isolation_level=None``).
        migrations: statements; each group brings the file from its number to the next, and ``user_version`` says how
            many it has seen. A file that has seen more is left as it is.
        patience: seconds to wait for another process that does the same.

    Raises:
        sqlite3.Error: it can't be done.
    """
    # SQLite's own patience does not cover this one: of two processes that open a new file one is refused at once.
    until = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if not busy(error) or time.monotonic() > until:
                raise
            time.sleep(_PAUSE)
    connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost what was written last, not the file
    if version(connection) >= len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again: another process may have been faster.
        for number, statements in enumerate(migrations[version(connection) :], version(connection) + 1):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def version(connection: sqlite3.Connection) -> int:
    """How many migrations the file has seen."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def busy(error: sqlite3.OperationalError) -> bool:
    """Whether somebody else is at the file: it may go well later."""
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
