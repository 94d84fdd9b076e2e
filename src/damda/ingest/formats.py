"""Which endings are read, what a file really is, and which parser reads it.

Knows: names of formats. Does not know: where bytes come from, what becomes of the text.
"""

from damda.errors import ReadError
from damda.ingest import containers, decode, html, plain
from damda.ingest.process import WORKER
from damda.ingest.structure import Parsed

FORMATS = {
    "md": "md",
    "markdown": "md",
    "txt": "txt",
    "html": "html",
    "htm": "html",
    "csv": "csv",
    "tsv": "tsv",
    "jsonl": "jsonl",
    "pdf": "pdf",
    "docx": "docx",
    "pptx": "pptx",
    "xlsx": "xlsx",
    "hwp": "hwp",
    "hwpx": "hwpx",
}
"""Ending, without its dot and in lower case -> format."""

IMAGES = {
    "png": "png",
    "jpg": "jpeg",
    "jpeg": "jpeg",
    "webp": "webp",
    "gif": "gif",
    "bmp": "bmp",
    "tif": "tiff",
    "tiff": "tiff",
}
"""The same for images, which are only read where there is a model that sees them."""

OLD = {"doc": "docx", "xls": "xlsx", "ppt": "pptx"}
"""Endings of old binary formats -> what to save them as. Files so named may be anything, often HTML."""

_TEXT = frozenset(("md", "txt", "html", "csv", "tsv", "jsonl"))


def ending(name: str) -> str:
    """The ending of a file's name without its dot, in lower case; "" if it has none."""
    stem, dot, last = name.rpartition(".")
    return last.lower() if dot and stem else ""


def identify(data: bytes, name_ending: str) -> str:
    """The format of a file's content, by its first bytes if they tell, else by its ending.

    Raises:
        ReadError: locked, too old, or not what its ending says.
    """
    found = containers.identify(data)
    if found:
        return found
    named = FORMATS.get(name_ending, "")
    if named in _TEXT:
        return named
    if data[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
        return "html"
    if name_ending in OLD:
        raise ReadError(f"not a .{name_ending} file inside; save it as .{OLD[name_ending]}")
    raise ReadError(f"not a .{name_ending} file inside, or damaged; open it in its program and save it again")


def parse(data: bytes, found: str, *, seconds: float, chars: int) -> Parsed:
    """The content of a file of format ``found``; jsonl is not parsed here, as it holds many documents.

    Raises:
        ReadError: it can't be read; says why.
    """
    if found not in _TEXT:
        return WORKER.parse(found, data, seconds=seconds, chars=chars)
    text = decode.decode(data, found, html.declared_charset(data) if found == "html" else "")
    if found == "html":
        return html.parse(text)
    text = decode.clean(text)
    if found == "md":
        return plain.markdown(text)
    return plain.delimited(text, found) if found in ("csv", "tsv") else Parsed(text)
