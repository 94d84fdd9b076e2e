"""Builds the files that the reading tests read: small real ones of each format, and broken ones."""

import hashlib
import io
import struct
import zipfile
from pathlib import Path

import pytest

from damda.errors import ReadError
from damda.ingest.read import read
from damda.ingest.walk import Found, stamp
from damda.settings import ReadSettings
from damda.types import Document

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
SHARED = Path(__file__).parents[1] / ".." / "shared" / "data"
_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
_P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
_S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
_RELS = "http://schemas.openxmlformats.org/package/2006/relationships"
_KIND = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def found(path: Path, source: str = "") -> Found:
    status = path.stat()
    return Found(path, source or path.name, status.st_size, stamp(status))


def read_bytes(folder: Path, name: str, data: bytes | str, **settings: float) -> list[Document]:
    """What ``read`` makes of a file of that name and content."""
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read(found(path), ReadSettings.model_validate(settings))


def refused(folder: Path, name: str, data: bytes | str, **settings: float) -> str:
    with pytest.raises(ReadError) as caught:
        read_bytes(folder, name, data, **settings)
    reason = str(caught.value)
    assert "\n" not in reason and "Traceback" not in reason and len(reason) < 300
    return reason


def zipped(parts: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def relations(*targets: tuple[str, str]) -> str:
    rows = "".join(
        f'<Relationship Id="rId{i}" Type="{_KIND}/{kind}" Target="{target}"/>'
        for i, (kind, target) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{_RELS}">{rows}</Relationships>'


def docx(body: str, **parts: str) -> bytes:
    """A .docx; ``parts`` are the inner XML of further parts (styles, numbering, footnotes)."""
    more = {f"word/{name}.xml": f"<w:{name} {_W}>{inner}</w:{name}>" for name, inner in parts.items()}
    return zipped(
        {
            "_rels/.rels": relations(("officeDocument", "word/document.xml")),
            "word/_rels/document.xml.rels": relations(*((name, f"{name}.xml") for name in parts)),
            "word/document.xml": f"<w:document {_W}><w:body>{body}</w:body></w:document>",
            **more,
        }
    )


def para(text: str, properties: str = "") -> str:
    return f'<w:p><w:pPr>{properties}</w:pPr><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def word_table(*rows: list[tuple[str, str]]) -> str:
    """Rows of (text, properties) cells."""
    lines = (
        "<w:tr>" + "".join(f"<w:tc><w:tcPr>{props}</w:tcPr>{para(text)}</w:tc>" for text, props in row) + "</w:tr>"
        for row in rows
    )
    return f"<w:tbl>{''.join(lines)}</w:tbl>"


def pptx(*slides: str) -> bytes:
    """A .pptx of slides, each given by the XML of its shapes."""
    parts: dict[str, str | bytes] = {
        "_rels/.rels": relations(("officeDocument", "ppt/presentation.xml")),
        "ppt/_rels/presentation.xml.rels": relations(*(("slide", f"slides/s{i}.xml") for i in range(len(slides)))),
        "ppt/presentation.xml": f"<p:presentation {_P} {_R}><p:sldIdLst>"
        + "".join(f'<p:sldId id="{256 + i}" r:id="rId{i + 1}"/>' for i in range(len(slides)))
        + "</p:sldIdLst></p:presentation>",
    }
    for i, shapes in enumerate(slides):
        parts[f"ppt/slides/s{i}.xml"] = f"<p:sld {_P} {_A}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"
    return zipped(parts)


def shape(text: str, kind: str = "body") -> str:
    paragraphs = "".join(f"<a:p><a:r><a:t>{line}</a:t></a:r></a:p>" for line in text.split("\n"))
    return f'<p:sp><p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr><p:txBody>{paragraphs}</p:txBody></p:sp>'


def xlsx(**sheets: list[list[str]]) -> bytes:
    main = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="{main}.worksheet+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{main}.sheet.main+xml"/></Types>',
        "_rels/.rels": relations(("officeDocument", "xl/workbook.xml")),
        "xl/_rels/workbook.xml.rels": relations(*(("worksheet", f"worksheets/s{i}.xml") for i in range(len(sheets)))),
        "xl/workbook.xml": f"<workbook {_S} {_R}><sheets>"
        + "".join(f'<sheet name="{name}" sheetId="{i}" r:id="rId{i}"/>' for i, name in enumerate(sheets, 1))
        + "</sheets></workbook>",
    }
    for i, rows in enumerate(sheets.values()):
        lines = "".join(
            f'<row r="{r}">'
            + "".join(f'<c r="{chr(65 + c)}{r}" t="inlineStr"><is><t>{v}</t></is></c>' for c, v in enumerate(row))
            + "</row>"
            for r, row in enumerate(rows, 1)
        )
        parts[f"xl/worksheets/s{i}.xml"] = f"<worksheet {_S}><sheetData>{lines}</sheetData></worksheet>"
    return zipped(parts)


def pdf(*pages: list[str], password: str = "", title: str = "") -> bytes:
    """A PDF whose pages have these lines; encrypted (RC4, 40 bit) if a password is given."""
    key, encrypt = _encryption(password) if password else (b"", b"")
    count = len(pages)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%s]>>" % (count, b" ".join(b"%d 0 R" % (5 + 2 * i) for i in range(count))),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        b"<</Title(%s)>>" % title.encode(),
    ]
    for i, lines in enumerate(pages):
        drawn = b"BT /F 10 Tf 14 TL 40 780 Td " + b"".join(b"(%s) Tj T* " % line.encode() for line in lines) + b"ET"
        drawn = (
            _rc4(hashlib.md5(key + struct.pack("<I", 6 + 2 * i)[:3] + b"\0\0").digest()[:10], drawn) if key else drawn
        )
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F 3 0 R>>>>/Contents %d 0 R>>"
            % (6 + 2 * i)
        )
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(drawn), drawn))
    out, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj" % number + content + b"endobj\n"
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"<</Size %d/Root 1 0 R/Info 4 0 R%s>>" % (len(objects) + 1, encrypt)
    end = b"trailer%s\nstartxref\n%d\n%%%%EOF" % (trailer, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + end


_PAD = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


NO_PASSWORD = "needs a password; save a copy without one"


def _encryption(password: str) -> tuple[bytes, bytes]:
    """PDF 1.4, 3.5.2, algorithms 3.2 to 3.4: (key, entries of the trailer)."""
    padded = (password.encode() + _PAD)[:32]
    owner = _rc4(hashlib.md5(padded).digest()[:5], padded)
    key = hashlib.md5(padded + owner + struct.pack("<i", -4) + b"id").digest()[:5]
    entries = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>/ID[(id)(id)]"
    return key, entries % (owner.hex().encode(), _rc4(key, _PAD).hex().encode())


def _rc4(key: bytes, data: bytes) -> bytes:
    box, j = list(range(256)), 0
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) % 256
        box[i], box[j] = box[j], box[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + box[i]) % 256
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(out)


def hwp_header(flags: int) -> bytes:
    """What tells an HWP 5 file and its locks: an OLE magic number and a FileHeader stream."""
    return OLE + bytes(504) + b"HWP Document File".ljust(32, b"\0") + struct.pack("<II", 0x05000300, flags) + bytes(216)


def ole_with(stream: str) -> bytes:
    return OLE + bytes(504) + stream.encode("utf-16-le") + bytes(64)
