"""One file -> its Documents.

Knows: how to get a file's bytes once and whole, and what a Document must look like. Does not know: how any format is
parsed, which files there are, what happens to a Document.
"""

import hashlib
import os
import re
import stat
from pathlib import Path

from damda.errors import ReadError
from damda.ingest import formats, plain
from damda.ingest.decode import clean, decode
from damda.ingest.structure import Parsed, one_line
from damda.ingest.walk import Found, stamp
from damda.settings import ReadSettings
from damda.types import Document

_NO_TEXT = {
    "pdf": "no text layer; OCR it first",
    "pptx": "no text, only pictures; OCR it first",
    "hwp": "no text, only pictures; OCR it first",
    "hwpx": "no text, only pictures; OCR it first",
    "docx": "no text, only pictures; OCR it first",
}
_EMPTY = "empty (0 bytes); delete it or write it again"
_PROPERTIES = frozenset(("pdf", "docx", "pptx", "hwp", "hwpx"))
_HEADED = frozenset(("html", "docx", "hwp", "hwpx"))


READER_VERSION = "1"
"""Goes up when the same bytes would give another text: what was read before is then read again."""


def read(found: Found, settings: ReadSettings) -> list[Document]:
    """The documents in a file: one, except for a corpus.jsonl, which has one a line.

    Its text is NFC with ``\\n`` as newline and no control characters; its version is the hash of the very bytes that
    the text was made from.

    Raises:
        ReadError: the file can't be read; the message says why and what to do, and leaves out the file's name.
    """
    data = _bytes(found.path, settings.max_bytes)
    if not data:
        raise ReadError(_EMPTY)
    name = formats.ending(found.path.name)
    kind = formats.identify(data, name)
    if kind == "jsonl":
        return _corpus(data, found.source, settings)
    parsed = formats.parse(data, kind, seconds=settings.timeout, chars=settings.max_chars)
    text, pages = _text(parsed, keep_front=kind == "md")
    _check(text, kind, settings)
    return [
        Document(
            id=found.source,
            text=text,
            title=_title(parsed, text, found.source, kind),
            source=found.source,
            version=_version(data),
            meta={**{key: one_line(clean(value)) for key, value in parsed.meta.items()}, "format": kind},
            pages=pages,
        )
    ]


def read_image(found: Found, settings: ReadSettings) -> tuple[Document, bytes]:
    """An image file as a document without text, and its bytes; what they show is not looked at.

    Raises:
        ReadError: the file can't be read.
    """
    data = _bytes(found.path, settings.max_bytes)
    if not data:
        raise ReadError(_EMPTY)
    name = found.source.rpartition("/")[2].rpartition(".")[0]
    meta = {"format": formats.IMAGES[formats.ending(found.path.name)]}
    return Document(found.source, "", name, found.source, _version(data), meta), data


def _corpus(data: bytes, source: str, settings: ReadSettings) -> list[Document]:
    documents = []
    for key, parsed, line in plain.corpus(decode(data, "jsonl")):
        text = clean(parsed.text).strip("\n")
        _check(text, "jsonl", settings)
        documents.append(
            Document(
                id=clean(key),
                text=text,
                title=one_line(clean(parsed.title)),
                source=source,
                version=_version(line.encode("utf-8", "replace")),
                meta={**{clean(name): clean(value) for name, value in parsed.meta.items()}, "format": "jsonl"},
            )
        )
    if not documents:
        raise ReadError('no line has any text; a corpus.jsonl needs "id" and "text" on every line')
    return documents


def _text(parsed: Parsed, *, keep_front: bool) -> tuple[str, tuple[int, ...]]:
    """Clean text, and the offset at which each page starts; a page without text starts where the next one does."""
    if not parsed.pages:
        text = clean(parsed.text)
        return (text.strip("\n").rstrip() if keep_front else text.strip()), ()
    text = ""
    starts: list[int] = []
    for page in map(clean, parsed.pages):
        body = page.strip()
        starts.append(len(text) + (2 if text and body else 0))
        if body:
            text += ("\n\n" if text else "") + body
    for number in range(len(starts) - 2, -1, -1):
        if not parsed.pages[number].strip():
            starts[number] = starts[number + 1]
    return text, tuple(starts)


def _check(text: str, kind: str, settings: ReadSettings) -> None:
    if not text.strip():
        raise ReadError(_NO_TEXT.get(kind, "no text in it"))
    if len(text) > settings.max_chars:
        raise ReadError(f"{len(text):,} characters of text; split it, or raise read.max_chars")


def _title(parsed: Parsed, text: str, source: str, kind: str) -> str:
    """What the author called it: front matter, first top-level heading, properties, else the file's name."""
    declared = one_line(clean(parsed.title))
    if kind in _PROPERTIES and not _is_shown(declared, text):
        declared = ""
    shown = plain.first_heading(text) if kind in _HEADED else ""
    stem = source.rpartition("/")[2]
    return shown or declared or stem.rpartition(".")[0] or stem


def _is_shown(title: str, text: str) -> bool:
    """Whether a document shows the title of its properties: Office programs keep that of whatever was its template."""
    bare = re.sub(r"[\W_]", "", title)
    return len(bare) >= 4 and bare in re.sub(r"[\W_]", "", text[:3000])


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _bytes(path: Path, max_bytes: int) -> bytes:
    """The whole content of a regular file that did not change meanwhile.

    A second try, since a program that saves a file takes moments; then it is a log or the like.
    """
    for _ in range(2):
        try:
            data = _read_once(path, max_bytes)
        except FileNotFoundError as error:
            raise ReadError("vanished after it was found; run again") from error
        except PermissionError as error:
            raise ReadError("permission denied; make it readable to the user who runs damda") from error
        except OSError as error:
            raise ReadError(f"can't be opened ({error.strerror or type(error).__name__}); check the disk") from error
        if data is not None:
            return data
    raise ReadError("changes while being read; run again")


def _read_once(path: Path, max_bytes: int) -> bytes | None:
    """The content; None if the file changed meanwhile."""
    # Without O_NONBLOCK, opening a pipe waits for someone to write into it.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise ReadError("not a regular file (a folder, pipe or device); leave it out with .damdaignore")
        if before.st_size > max_bytes:
            raise ReadError(f"larger than {max_bytes / 1e6:,.0f} MB; split it, or raise read.max_bytes")
        data = file.read(max_bytes + 1)
        after = os.fstat(handle)
    unchanged = stamp(before) == stamp(after) and len(data) == before.st_size
    return data if unchanged else None
