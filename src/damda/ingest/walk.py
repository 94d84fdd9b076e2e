"""A path -> the files to read.

Knows: folders, symbolic links, patterns of what to leave out. Does not know: what is in a file.
"""

import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pathspec import GitIgnoreSpec

from damda.errors import ReadError
from damda.ingest.formats import FORMATS, IMAGES, OLD, ending
from damda.settings import ReadSettings

IGNORE_FILE = ".damdaignore"
IGNORED = (".*", "node_modules/", "__pycache__/", "~$*", "Thumbs.db", "desktop.ini")
"""Left out of every folder, in gitignore syntax; a later ``!pattern`` takes one back in."""
_BEIR = re.compile(r"(?:^|/)(?:queries[^/]*\.jsonl|qrels[^/]*\.tsv|qrels/[^/]+\.tsv)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """A file to read.

    Attributes:
        path: to open; as the file system spells it.
        source: path below the root, NFC, ``/`` between parts: its identity.
        size: bytes.
        stamp: size, times of change and inode; equal stamps mean an unchanged file.
    """

    path: Path
    source: str
    size: int
    stamp: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that was seen and not read. What patterns leave out is not listed."""

    source: str
    reason: str


def walk(root: Path, settings: ReadSettings, *, images: bool = False) -> tuple[list[Found], list[Skipped]]:
    """The files below ``root``, or ``root`` itself if it is a file, and what was passed over and why.

    With ``images``, those are found too; without, they are passed over like any unknown format.

    Symbolic links are followed to what lies inside the root, and only to what is not read under its own name.

    Returns:
        Both lists sorted by ``source``.

    Raises:
        ReadError: ``root`` does not exist or can't be listed, or a pattern of what to ignore is malformed.
    """
    try:
        status = root.stat()
    except OSError as error:
        raise ReadError(f"{root} can't be found ({error.strerror}); name a folder or file that exists") from error
    walker = _Walker(root, settings, FORMATS.keys() | OLD.keys() | (IMAGES.keys() if images else set()))
    if stat.S_ISDIR(status.st_mode):
        walker.folder_of_documents()
    else:
        walker.file(root, _nfc(root.name), status)
    return sorted(walker.found, key=lambda f: f.source), sorted(walker.skipped, key=lambda s: s.source)


def stamp(status: os.stat_result) -> str:
    """What changes whenever a file does; ctime tells even when a program sets the time of modification back."""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"


@dataclass(slots=True)
class _Walker:
    root: Path
    settings: ReadSettings
    endings: set[str]
    found: list[Found] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    _sources: dict[str, str] = field(default_factory=dict)
    _seen: dict[tuple[int, int], str] = field(default_factory=dict)
    _links: list[tuple[Path, str]] = field(default_factory=list)

    def folder_of_documents(self) -> None:
        spec = _spec(self.root, self.settings)
        home = os.path.realpath(self.root)
        self._tree(self.root, "", spec)
        while self._links:  # after all real names, so that a file is read under its own
            links, self._links = sorted(self._links), []
            for path, source in links:
                self._link(path, source, home, spec)

    def file(self, path: Path, source: str, status: os.stat_result) -> None:
        """Take a file, or say why not."""
        kind = ending(source)
        reason = ""
        if not stat.S_ISREG(status.st_mode):
            reason = "not a regular file (a pipe, socket or device)"
        elif kind not in self.endings:
            reason = f"unknown format .{kind}" if kind else "no ending that tells its format"
        elif _BEIR.search(source):
            reason = "questions and judgements, not documents (BEIR layout)"
        elif status.st_size > self.settings.max_bytes:
            reason = f"larger than {self.settings.max_bytes / 1e6:,.0f} MB"
        elif not _is_unicode(str(path)):
            reason = "its name is not valid Unicode; rename it"
        elif source in self._sources:
            reason = "has the same name as another file, but for how its letters are encoded; rename it"
        if reason:
            self._skip(source, reason)
            return
        self._sources[source] = str(path)
        self.found.append(Found(path, source, status.st_size, stamp(status)))

    def _skip(self, source: str, reason: str) -> None:
        self.skipped.append(Skipped(source.encode("utf-8", "replace").decode(), reason))

    def _tree(self, folder: Path, source: str, spec: GitIgnoreSpec) -> None:
        """All below a folder, without recursion: paths may be thousands deep."""
        folders = [(folder, source)]
        while folders:
            path, below = folders.pop()
            try:
                status = path.stat()
                entries = sorted(os.scandir(path), key=lambda entry: entry.name)
            except OSError as error:
                if not below:
                    raise ReadError(f"{path} can't be listed ({error.strerror}); make it readable") from error
                self._skip(below, _refused(error))
                continue
            if self._seen.setdefault((status.st_dev, status.st_ino), below) != below:
                continue
            folders += reversed(list(self._entries(entries, below, spec)))

    def _entries(
        self, entries: list["os.DirEntry[str]"], below: str, spec: GitIgnoreSpec
    ) -> Iterator[tuple[Path, str]]:
        """Take the files of a folder; yield the folders in it."""
        for entry in entries:
            source = f"{below}/{_nfc(entry.name)}" if below else _nfc(entry.name)
            path = Path(entry.path)
            try:
                if entry.is_symlink():
                    if not spec.match_file(source):
                        self._links.append((path, source))
                elif entry.is_dir():
                    if not spec.match_file(source + "/"):
                        yield path, source
                elif not spec.match_file(source):
                    self._file_once(path, source, path.stat())
            except OSError as error:
                self._skip(source, _refused(error))

    def _file_once(self, path: Path, source: str, status: os.stat_result) -> None:
        self._seen.setdefault((status.st_dev, status.st_ino), source)
        self.file(path, source, status)

    def _link(self, path: Path, source: str, home: str, spec: GitIgnoreSpec) -> None:
        try:
            status = path.stat()
        except OSError:
            self._skip(source, "symlink to nothing, or to itself")
            return
        target = os.path.realpath(path)
        already = self._seen.get((status.st_dev, status.st_ino))
        if os.path.commonpath([home, target]) != home:
            self._skip(source, "symlink leaves the folder")
        elif already is not None:
            self._skip(source, f"symlink to {already or 'the folder itself'}, which is read under that name")
        elif stat.S_ISDIR(status.st_mode):
            if not spec.match_file(source + "/"):
                self._tree(path, source, spec)
        else:
            self._file_once(path, source, status)


def _spec(root: Path, settings: ReadSettings) -> GitIgnoreSpec:
    patterns: list[str] = list(IGNORED)
    file = root / IGNORE_FILE
    try:
        if file.is_file():
            patterns += file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(f"{file} can't be read; save it as UTF-8 text") from error
    patterns += settings.ignore
    # Last, so that no pattern takes it back in: damda must not read what it wrote.
    patterns.append(".damda/")
    try:
        return GitIgnoreSpec.from_lines(map(_nfc, patterns))
    except ValueError as error:
        raise ReadError(f"a pattern in {IGNORE_FILE} or read.ignore is malformed: {error}") from error


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _is_unicode(name: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in name)


def _refused(error: OSError) -> str:
    return "permission denied" if isinstance(error, PermissionError) else f"can't be listed ({error.strerror})"
