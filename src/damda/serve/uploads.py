"""Files that come over the network, and where they are kept: ``damda-uploads`` among the documents.

Knows: which names are harmless, that a file is there whole or not at all. Does not know: what is in it. Nothing of a
request is ever part of a path but a name that went through `safe_name`.
"""

import errno
import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from damda.errors import ConfigError, ReadError, StoreError
from damda.ingest.formats import FORMATS, IMAGES, OLD, ending
from damda.korean import nfc

FOLDER = "damda-uploads"
_LONGEST = 200
_NOT_IN_NAMES = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
_BLOCK = 1 << 20


def safe_name(name: str) -> str:
    """The last part of a name, without what a path, a terminal or another system could take for something else.

    Raises:
        ReadError: nothing is left of it, or it is a hidden file or an office program's lock ("~$report.docx"), which
            would take the place of the file that it stands for.
    """
    last = nfc(name).replace("\\", "/").rpartition("/")[2]
    kept = "".join(c for c in last if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
    # Once more: what was taken out may have stood between a letter and its accent.
    plain = nfc(_NOT_IN_NAMES.sub("", kept))
    plain = "".join(" " if unicodedata.category(c) == "Zs" else c for c in plain).strip()  # spaces of any width
    if plain.startswith((".", "~$")):
        raise ReadError(f"{plain[:80]!r} is a hidden or temporary file")
    stem, dot, suffix = plain.strip(" .~$").rpartition(".")
    room = _LONGEST - len(suffix.encode()) - 1
    stem = stem.encode()[: max(room, 0)].decode("utf-8", "ignore").strip(" .~$")
    if not stem or not dot or not suffix.isalnum():
        raise ReadError(f"{plain[:80]!r} is no file name with an ending")
    return f"{stem}.{suffix}"


class Uploads:
    """The folder of uploads of one set of documents.

    Args:
        root: the documents.
        images: whether images are taken too.
        on: whether anything is.
    """

    def __init__(self, root: Path, *, images: bool, on: bool) -> None:
        self._folder = root / FOLDER
        self.formats = tuple(sorted({*FORMATS, *OLD, *(IMAGES if images else ())}))
        self.on = on and root.is_dir()

    def save(self, name: str, content: BinaryIO, taken: Collection[str] = ()) -> str:
        """Keep a file, in the place of one of the same name that came the same way. Returns its source.

        Args:
            name: as it came.
            content: of the file.
            taken: sources that came in the same request, which it must not replace.

        Raises:
            ConfigError: uploads are switched off, or the folder is not damda's to write.
            ReadError: the name is none, is taken, or its ending none that is read.
            StoreError: the disk refused; nothing is left behind.
        """
        self._check()
        name = safe_name(name)
        if ending(name) not in self.formats:
            raise ReadError(f"{ending(name) or 'no ending'} is not read; these are: {', '.join(self.formats)}")
        if f"{FOLDER}/{name}" in taken:
            raise ReadError(f"another file of the same upload is called {name}; rename one of them")
        draft = self._folder / f".{os.getpid()}-{os.urandom(4).hex()}.part"  # hidden: the index leaves it out
        try:
            self._folder.mkdir(exist_ok=True)
            with draft.open("xb") as file:
                for block in _blocks(content):
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._folder / name)
        except OSError as error:
            draft.unlink(missing_ok=True)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            todo = "the disk is full: make room" if full else "check who may write there"
            raise StoreError(f"{FOLDER}/{name} can't be written ({error.strerror}); {todo}") from error
        return f"{FOLDER}/{name}"

    def remove(self, source: str) -> None:
        """Delete an upload. The name is compared with those of the files that are there; it never becomes a path.

        Raises:
            ConfigError: uploads are switched off.
            ReadError: no upload has this source.
            StoreError: the disk refused.
        """
        self._check()
        path = next((path for path in self._files() if _source(path) == nfc(source)), None)
        if path is None:
            raise ReadError(f"{source!r} is no upload; other documents are changed where they lie")
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{source} can't be deleted ({error.strerror}); check who may write there") from error

    def sources(self) -> frozenset[str]:
        """Sources of all uploads that are there."""
        return frozenset(map(_source, self._files()))

    def _check(self) -> None:
        if not self.on:
            raise ConfigError("uploads are switched off here (serve.uploads), or the documents are a single file")
        if self._folder.is_symlink() or (self._folder.exists() and not self._folder.is_dir()):
            raise ConfigError(f"{FOLDER} among the documents is not a folder of its own; uploads would go elsewhere")

    def _files(self) -> Iterable[Path]:
        if self._folder.is_symlink() or not self._folder.is_dir():
            return []
        return [path for path in self._folder.iterdir() if path.is_file() and not path.name.startswith(".")]


def _source(path: Path) -> str:
    return f"{FOLDER}/{nfc(path.name)}"


def _blocks(content: BinaryIO) -> Iterator[bytes]:
    while block := content.read(_BLOCK):
        yield block
