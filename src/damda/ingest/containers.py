"""Looks into a file before a parser does: what is it really, is it locked, is it a bomb?

Knows: the magic numbers of document formats, what locks them, and how much a zip may inflate to.
Does not know: how to read any of them, beyond the names of their parts.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

from damda.errors import ReadError

MAX_PART_BYTES = 256 * 1024 * 1024
"""Most XML that a file may inflate to. 20 million characters of text, the default limit, need a tenth of it even in
the wordiest format; ten times it would not fit the memory of a small machine once parsed."""

_SUSPECT_BYTES = 50 * 1024 * 1024
_MAX_RATIO = 200  # XML deflates 5 to 50 times; deflate itself can't do more than 1,032
_MAX_ENTRIES = 20_000
_STEP = 1 << 20

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HWP_HEADER = b"HWP Document File".ljust(32, b"\0")
_HWP3 = b"HWP Document File V3"
_DAMAGED = "damaged or cut off; open it in its program and save it again"
# Streams are named in UTF-16 in an OLE directory. Order matters: an encrypted package may keep other names.
_OLE_KINDS = (
    ("EncryptedPackage", "needs a password; save a copy without one"),
    ("WordDocument", "old binary Word format; save as .docx"),
    ("PowerPoint Document", "old binary PowerPoint format; save as .pptx"),
    ("Workbook", "old binary Excel format; save as .xlsx"),
    ("Book", "old binary Excel format; save as .xlsx"),
)
_HWP_LOCKS = (
    (1, "needs a password; save a copy without one"),
    (2, "locked for distribution (배포용 문서); save an unlocked copy in Hancom Office"),
    (4, "locked by DRM; save an unlocked copy"),
    (8, "encrypted with a certificate; save an unlocked copy"),
    (10, "locked by certificate DRM; save an unlocked copy"),
)
_ZIP_KINDS = (
    ("word/document.xml", "docx"),
    ("ppt/presentation.xml", "pptx"),
    ("xl/workbook.xml", "xlsx"),
    ("xl/workbook.bin", "xlsb"),
    ("contents/content.hpf", "hwpx"),
    ("contents/section0.xml", "hwpx"),
    ("content.xml", "odf"),
)
_OFFICE_KINDS = ((b"wordprocessingml", "docx"), (b"presentationml", "pptx"), (b"spreadsheetml", "xlsx"))


def identify(data: bytes) -> str:
    """The format that the first bytes tell: pdf, hwp, docx, pptx, xlsx, hwpx; "" if they tell nothing.

    Raises:
        ReadError: a format that damda knows but can't read, or a locked file.
    """
    if data.startswith(b"PK\x03\x04"):
        return _zip_kind(data)
    if data.startswith(_OLE):
        return _ole_kind(data)
    if data.startswith(_HWP3):
        raise ReadError("HWP 3.x; save it as HWP 5 or HWPX")
    if data.startswith(b"{\\rtf"):
        raise ReadError("RTF; save as .docx")
    return "pdf" if b"%PDF-" in data[:1024] else ""


def _ole_kind(data: bytes) -> str:
    at = data.find(_HWP_HEADER)
    if at >= 0 and len(data) >= at + 40:
        (flags,) = struct.unpack_from("<I", data, at + 36)
        for bit, reason in _HWP_LOCKS:
            if flags >> bit & 1:
                raise ReadError(reason)
        return "hwp"
    for name, reason in _OLE_KINDS:
        if name.encode("utf-16-le") + b"\0\0" in data:
            raise ReadError(reason)
    raise ReadError(f"an OLE file of unknown kind, or {_DAMAGED}")


def _zip_kind(data: bytes) -> str:
    with open_zip(data) as archive:
        names = {info.filename.lower(): info for info in archive.infolist()}
        kind = next((kind for name, kind in _ZIP_KINDS if name in names), "")
        if not kind and "[content_types].xml" in names:  # Office may name its main part differently
            types = read_part(archive, names["[content_types].xml"].filename)
            kind = next((kind for word, kind in _OFFICE_KINDS if word in types), "")
        if kind == "hwpx" and "meta-inf/manifest.xml" in names:
            manifest = read_part(archive, names["meta-inf/manifest.xml"].filename)
            if b"encryption-data" in manifest:
                raise ReadError("needs a password; save a copy without one")
    if kind == "odf":
        raise ReadError("OpenDocument format; save as .docx, .xlsx or .pptx")
    if kind == "xlsb":
        raise ReadError("binary Excel format; save as .xlsx")
    if not kind:
        raise ReadError("a zip archive, not a document; unpack it")
    return kind


def open_zip(data: bytes) -> zipfile.ZipFile:
    """The archive, after its directory was checked against zip bombs. Archives within it are never opened.

    Raises:
        ReadError: damaged, encrypted, or it would inflate to too much.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise ReadError(_DAMAGED) from error
    parts = [info for info in archive.infolist() if is_part(info.filename)]
    size = sum(info.file_size for info in parts)
    packed = sum(info.compress_size for info in parts)
    if len(archive.infolist()) > _MAX_ENTRIES:
        raise ReadError(f"{len(archive.infolist()):,} files inside; a document has no more than {_MAX_ENTRIES:,}")
    if size > MAX_PART_BYTES or (size > _SUSPECT_BYTES and size > _MAX_RATIO * packed):
        raise _bomb(size)
    if any(info.flag_bits & 1 for info in parts):
        raise ReadError("needs a password; save a copy without one")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in parts):
        raise ReadError(f"an unusual zip compression, or {_DAMAGED}")
    return archive


def is_part(name: str) -> bool:
    """Whether a zip entry may hold text; pictures and embedded files do not."""
    return name.lower().endswith((".xml", ".rels", ".hpf", ".rdf")) or name == "mimetype"


def read_part(archive: zipfile.ZipFile, name: str) -> bytes:
    """One entry, inflated. A directory that lies about a size can't make this inflate more than it says.

    Raises:
        ReadError: the entry is damaged or missing.
    """
    try:
        # Not archive.read(): it inflates all that there is before it looks at the size.
        with archive.open(name) as part:
            return b"".join(iter(lambda: part.read(_STEP), b""))
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, OSError, NotImplementedError, ValueError) as error:
        raise ReadError(_DAMAGED) from error


def repack(data: bytes) -> bytes:
    """The same archive without pictures and without compression.

    For parsers that inflate by themselves: what they see was inflated here, within limits, and checked by CRC, so that
    an archive whose directory lies can't grow in their hands.
    """
    out = io.BytesIO()
    with open_zip(data) as archive, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as copy:
        for name, content in _parts(archive):
            copy.writestr(name, content)
    return out.getvalue()


def _parts(archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    total = 0
    seen: set[str] = set()
    for info in archive.infolist():
        if not is_part(info.filename) or info.filename in seen:
            continue
        seen.add(info.filename)
        content = read_part(archive, info.filename)
        total += len(content)
        if total > MAX_PART_BYTES:
            raise _bomb(total)
        yield info.filename, content


def _bomb(size: int) -> ReadError:
    return ReadError(f"would inflate to {size / 1e6:,.0f} MB of XML (a zip bomb?); split it, or save it as text")
