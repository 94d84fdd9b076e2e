"""The folder that an index lives in: where it is, who may write, what it was made with.

Knows: `.damda`, its lock and its description. Does not know: tables, models.

Everything in a home can be made again from the documents; deleting it loses nothing but time.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

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


class Home:
    """A home and the settings that its rows depend on.

    Args:
        folder: need not exist yet.
        root: the documents.
        parts: whatever decides what a stored passage looks like, by name: encoder, chunking, morphemes.

    Raises:
        ConfigError: the folder is the home of other documents.
    """

    def __init__(self, folder: Path, root: Path, parts: Mapping[str, str]) -> None:
        self.folder, self._root, self._parts = folder, root, dict(parts)
        text = json.dumps(self._parts, sort_keys=True)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:12]
        other = self._described().get("root")
        if other not in (None, str(root)):
            raise ConfigError(f"{folder} is the home of {other}, not of {root}: give another --home")

    def changes(self) -> str:
        """What makes everything be encoded again, e.g. "encoder a -> b"; "" when nothing does."""
        before = self._described().get("parts")
        if not isinstance(before, dict):
            return ""
        names = [*self._parts, *(before.keys() - self._parts.keys())]
        pairs = [(name, before.get(name), self._parts.get(name)) for name in names]
        return ", ".join(f"{name} {old} -> {new}" for name, old, new in pairs if old != new)

    def describe(self) -> None:
        """Remember root and parts, in one step."""
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

        Raises:
            BusyError: another process has it.
            StoreError: the folder can't be made or written.
        """
        from filelock import FileLock, Timeout

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / _LOCK, timeout=0)
            lock.acquire()
        except Timeout as error:
            raise BusyError(
                f"another process is indexing into {self.folder}; wait for it, or give another --home"
            ) from error
        except OSError as error:
            raise StoreError(
                f"{self.folder} can't be written ({error.strerror}): give another place with --home"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _described(self) -> dict[str, object]:
        try:
            return {**json.loads((self.folder / _DESCRIPTION).read_text(encoding="utf-8"))}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(
                f"{self.folder / _DESCRIPTION} can't be read ({error}); delete {self.folder} and index again"
            ) from error
