"""The folder that an index lives in: where it is, who may write, what it was made with.

Knows: `.damda`, its lock and its description. Does not know: tables, models.

Everything in a home can be made again from the documents; deleting it loses nothing but time.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from damda import adopted
from damda.errors import BusyError, ConfigError, StoreError
from damda.korean import nfc

_DESCRIPTION = "home.json"
_LOCK = "write.lock"


def home_of(root: Path, given: str = "") -> Path:
    """Where the index of ``root`` lives: the folder given, else ``.damda`` among the documents.

    A single file has a home of its own below its folder's, so that indexing it leaves the folder's index alone.
    """
    if given:
        return Path(given).expanduser()
    return root / ".damda" if root.is_dir() else root.parent / ".damda" / nfc(root.name)


def fingerprint_of(parts: Mapping[str, object]) -> str:
    """Short name of whatever decides what a stored passage looks like; tables are named after it."""
    return hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()[:12]


class Home:
    """A home and the settings that its rows depend on.

    Args:
        folder: need not exist yet.
        root: the documents.
        parts: whatever decides what a stored passage looks like, by name: encoder, chunking, morphemes.
        candidate: these are settings to be measured. Their tables are made beside those that are in use, which stay,
            and which other processes may write at the same time; the home goes on being described as it was.

    Raises:
        ConfigError: the folder is the home of other documents.
    """

    def __init__(self, folder: Path, root: Path, parts: Mapping[str, str], *, candidate: bool = False) -> None:
        self.folder, self._root, self._parts, self._candidate = folder, root, dict(parts), candidate
        self.fingerprint = fingerprint_of(self._parts)
        other = _description(self.folder).get("root")
        if other not in (None, str(root)):
            raise ConfigError(f"{folder} is the home of {other}, not of {root}: give another --home")

    def changes(self) -> str:
        """What makes everything be encoded again, e.g. "encoder a -> b"; "" when nothing does."""
        before = _description(self.folder).get("parts")
        if not isinstance(before, dict) or self._candidate or self.fingerprint in self.kept():
            return ""
        names = [*self._parts, *(before.keys() - self._parts.keys())]
        pairs = [(name, before.get(name), self._parts.get(name)) for name in names]
        return ", ".join(f"{name} {old} -> {new}" for name, old, new in pairs if old != new)

    def kept(self) -> frozenset[str]:
        """Fingerprints of other tables that stay: adopted, being measured, or wanted for a roll back."""
        return adopted.read(self.folder).spared

    def describe(self) -> None:
        """Remember root and parts, in one step. A candidate leaves no trace."""
        if self._candidate:
            return
        draft = self.folder / f".{_DESCRIPTION}.{os.getpid()}"
        text = json.dumps({"root": str(self._root), "parts": self._parts}, ensure_ascii=False, indent=1)
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(self.folder / _DESCRIPTION)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise StoreError(f"{self.folder} can't be written ({error.strerror}): make room and run again") from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the write lock. The operating system drops it when the process ends, however it ends.

        There is one for the home and one for its tables with this fingerprint: a candidate takes the second only.

        Raises:
            BusyError: another process has it.
            StoreError: the folder can't be made or written.
        """
        with ExitStack() as locks:
            if not self._candidate:
                locks.enter_context(_locked(self.folder, _LOCK))
            locks.enter_context(writing_tables(self.folder, self.fingerprint))
            if self._candidate and self.fingerprint != described(self.folder):
                adopted.keep(self.folder, self.fingerprint)
            yield


def described(folder: Path) -> str:
    """Fingerprint of the tables in use that were brought up to date last; "" when none were."""
    parts = _description(folder).get("parts")
    return fingerprint_of(parts) if isinstance(parts, dict) else ""


def writing_tables(folder: Path, fingerprint: str) -> AbstractContextManager[None]:
    """Hold the lock of the tables with one fingerprint, as `Home.writing` does.

    Raises:
        BusyError: another process has it.
        StoreError: the folder can't be made or written.
    """
    return _locked(folder, f"write-{fingerprint}.lock")


@contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / name, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise BusyError(f"another process is indexing into {folder}; wait for it, or give another --home") from error
    except OSError as error:
        raise StoreError(f"{folder} can't be written ({error.strerror}): give another place with --home") from error
    try:
        yield
    finally:
        lock.release()


def _description(folder: Path) -> dict[str, object]:
    try:
        return {**json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{folder / _DESCRIPTION} can't be read ({error}); delete {folder} and index again") from error
