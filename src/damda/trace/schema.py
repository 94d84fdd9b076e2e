"""The file that traces are kept in: `traces.sqlite` in the home.

Knows: its tables, their numbered migrations, how it is opened. Does not know: spans' names, retention.

Several processes write and read it at once: write-ahead log, and a few seconds of patience for the one that is writing.
"""

import sqlite3
from pathlib import Path

from damda.sqlite import prepare

NAME = "traces.sqlite"

MIGRATIONS = (
    (
        """
        CREATE TABLE traces (
            id TEXT NOT NULL UNIQUE,
            began INTEGER NOT NULL,
            ended INTEGER,
            name TEXT NOT NULL,
            spans TEXT NOT NULL
        )
        """,
        "CREATE INDEX traces_began ON traces (began)",
        """
        CREATE TABLE feedback (
            trace TEXT PRIMARY KEY,
            given INTEGER NOT NULL,
            score INTEGER NOT NULL,
            comment TEXT NOT NULL
        ) WITHOUT ROWID
        """,
    ),
)
"""Times are nanoseconds since 1970. A trace without ``ended`` is running, or was cut off. ``spans`` are JSON objects
with a comma between them: one row a trace, for a row a span, with an index to find it by, takes longer to write.
"""

_PATIENCE = 5.0


def open_for_writing(path: Path) -> sqlite3.Connection:
    """The file, made and brought up to date if need be.

    Raises:
        sqlite3.Error: it can't be.
    """
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        prepare(connection, MIGRATIONS, _PATIENCE)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """The file as it is; also where the disk is read-only.

    Raises:
        sqlite3.Error: it can't be opened.
    """
    uri = path.absolute().as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=5, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:
        connection.close()  # no place for the log that readers share: then nobody writes either
        connection = sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    return connection
