"""The tables of a home from outside: whose they are, how large, and away with them.

Knows: names of tables and folders. Does not know: what is in them, which are needed.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from damda.errors import StoreError

_ENDING = ".lance"
# What LanceDB's messages say of its own source.
_NOISE = re.compile(r", /\S+\.rs:\d+:\d+|lance error: |Wrapped error: |Generic N/A error: ")


def fingerprint_in(name: str) -> str:
    """The fingerprint in a table's name. Whoever uses the store as a library names it freely, hyphens and all."""
    return name.partition("-")[2]


def sizes(folder: Path) -> dict[str, int]:
    """Bytes on disk, by fingerprint. What vanishes while it is counted has none.

    Raises:
        StoreError: the folder can't be read.
    """
    found: dict[str, int] = {}
    with reported("reading", folder):
        for path in folder.glob(f"*-*{_ENDING}"):
            fingerprint = fingerprint_in(path.name.removesuffix(_ENDING))
            found[fingerprint] = found.get(fingerprint, 0) + size_of(path)
    return found


def present(folder: Path, fingerprint: str) -> int:
    """Bytes of the tables as they are now, without the versions that are kept for a while for those who read them.

    Raises:
        StoreError: they can't be read.
    """
    import lancedb

    with reported("reading", folder):
        connection = lancedb.connect(folder)
        names = [path.stem for path in folder.glob(f"*-{fingerprint}{_ENDING}")]
        return sum(int(connection.open_table(name).stats()["total_bytes"]) for name in names)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder. What vanishes while it is counted has none."""
    total = 0
    for file in (path, *path.rglob("*")):
        try:
            total += file.lstat().st_size if file.is_symlink() or file.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def drop(folder: Path, fingerprint: str) -> None:
    """Drop all tables with this fingerprint.

    Raises:
        StoreError: the disk refused.
    """
    import lancedb

    if not folder.is_dir():
        return
    with reported("dropping tables", folder):
        connection = lancedb.connect(folder)
        for name in connection.list_tables(limit=1000).tables:
            if fingerprint_in(name) == fingerprint:
                connection.drop_table(name)


@contextmanager
def reported(doing: str, folder: Path) -> Iterator[None]:
    """Failures become one line that says where and what to do."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        reason = _NOISE.sub("", str(error).partition("\n")[0])
        full = "No space left" in reason or "os error 28" in reason
        advice = "free some space and run again" if full else "if it stays so, delete that folder and index again"
        raise StoreError(f"{doing} in {folder} failed: {reason}; {advice}") from error
