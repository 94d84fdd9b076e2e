"""The folder of saved KV caches: what a model has computed of a prompt's beginning, a file a beginning.

Knows: names, checksums, which file goes when there are too many. Does not know: models, prompts; what is in a file.

A file is called KEY-CHECKSUM.kv and gets that name once it is whole, so nothing but the folder itself has to be kept in
step, and any number of processes may use it. llama.cpp ends the process over a damaged file (`GGML_ASSERT`), so each
one is read and compared with its checksum before it is handed over. The files hold what the passages hold, in another
form: keep them as close as the documents.
"""

import hashlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from damda.errors import StoreError

log = logging.getLogger(__name__)

ENDING, DRAFT = ".kv", ".part"
STALE = 600.0
"""Seconds after which nobody is writing a draft any more: its process was killed."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a folder holds: files, and bytes on disk."""

    files: int
    bytes: int


class States:
    """Safe to use from several threads and processes. Nothing here raises while answers are made: without a folder
    that can be written there is no saving, and one warning.

    Args:
        folder: need not exist.
        megabytes: of 10^6 bytes; above, the files that were not used for longest go.

    Attributes:
        saving: False once saving has failed.
    """

    def __init__(self, folder: Path, megabytes: float) -> None:
        self.folder = folder
        self._most = int(megabytes * 1_000_000)
        self.saving = True
        self._naming = threading.Lock()

    def fits(self, size: float) -> bool:
        """Whether a file of so many bytes would be kept at all."""
        return size <= self._most

    def find(self, key: str) -> Path | None:
        """The file saved under a key, unharmed, and from now on the one used last; a harmed one is deleted."""
        for path in sorted(self.folder.glob(f"{key}-*{ENDING}")):
            try:
                if path.stem == f"{key}-{_checksum(path)}":
                    self._touch(path)
                    return path
                log.warning("%s is damaged: it is deleted and will be made again", path)
                path.unlink()
            except OSError:  # another process took it meanwhile, or it can't be read: not there
                log.debug("%s can't be used", path, exc_info=True)
        return None

    def ready(self) -> bool:
        """Makes the folder; whether there is one, be it only to read."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            self.fail(f"{self.folder} can't be made: {error.strerror or error}")
        return self.folder.is_dir()

    def draft(self) -> Path | None:
        """A new name for llama.cpp to write to; None where nothing can be saved. To be handed to `keep`."""
        if not self.saving or not self.ready():
            return None
        return self.folder / f"{os.getpid()}-{secrets.token_hex(8)}{DRAFT}"

    def keep(self, key: str, draft: Path, size: int) -> bool:
        """Gives a draft its name and makes room for it. The draft is gone afterwards, kept or not.

        Args:
            size: bytes that should be in the draft. A full disk may leave fewer, without an error.
        """
        try:
            if draft.stat().st_size != size:
                self.fail(f"{self.folder} took {draft.stat().st_size} of {size} bytes: is the disk full?")
            elif not self.fits(size):
                log.warning("a saved prompt has %.0f MB, more than llama.kv_megabytes: it is not kept", size / 1e6)
            else:
                self._name(key, draft, size)
            return self.fits(size) and self.saving
        except OSError as error:
            self.fail(f"{self.folder} can't be written: {error.strerror or error}")
            return False
        finally:
            self._unlink(draft)

    def _name(self, key: str, draft: Path, size: int) -> None:
        with self._naming:  # two slots may have read the same beginning side by side, each with its own rounding
            if self.find(key) is None:  # else somebody else was faster
                kept = self.folder / f"{key}-{_checksum(draft)}{ENDING}"
                draft.replace(kept)
                self._shrink(kept, size)

    def fail(self, why: str) -> None:
        """No more saving in this process; says so once. What is saved already is still used."""
        if self.saving:
            log.warning("%s; prompts are no longer saved, answers take longer for it", why)
        self.saving = False

    def stats(self) -> Kept:
        """What the folder holds; nothing where there is none."""
        sizes = [size for _, _, size in self._files()]
        return Kept(len(sizes), sum(sizes))

    def clear(self) -> int:
        """Deletes all, also what another process uses (it makes its own anew), and tells how many files that were.

        Raises:
            StoreError: a file can't be deleted.
        """
        paths = [path for path, _, _ in self._files()] + self._drafts()
        for path in paths:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(f"{path} can't be deleted: {error.strerror or error}") from error
        return len(paths)

    def _shrink(self, newest: Path, its: int) -> None:
        for draft in self._drafts():
            try:
                stale = time.time() - draft.stat().st_mtime > STALE
            except OSError:  # finished meanwhile
                continue
            if stale:
                self._unlink(draft)
        files = sorted((used, path, size) for path, used, size in self._files() if path != newest)
        room = self._most - its - sum(size for _, _, size in files)
        for _, path, size in files:
            if room >= 0:
                break
            self._unlink(path)
            room += size

    def _files(self) -> Iterator[tuple[Path, float, int]]:
        """Path, time of the last use, bytes."""
        for path in self.folder.glob(f"*-*{ENDING}"):
            try:
                found = path.stat()
            except OSError:  # another process deleted it meanwhile
                continue
            yield path, found.st_mtime, found.st_size

    def _drafts(self) -> list[Path]:
        return list(self.folder.glob(f"*{DRAFT}"))

    @staticmethod
    def _touch(path: Path) -> None:
        try:
            os.utime(path)
        except OSError:  # a home that can only be read serves all the same
            log.debug("%s can't be marked as used", path, exc_info=True)

    @staticmethod
    def _unlink(path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            log.debug("%s can't be deleted", path, exc_info=True)


def key(parts: Sequence[str], tokens: Sequence[int]) -> str:
    """A name for what these tokens become under these conditions: another one for any other token or condition."""
    told = "\0".join([*(f"{len(part)}:{part}" for part in parts), " ".join(map(str, tokens))])
    return hashlib.sha256(told.encode()).hexdigest()[:40]


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
