"""Files that can't be read: each is named with its reason, and none hangs."""

import io
import os
import zipfile
from pathlib import Path

import pytest
from reading_fixtures import (
    NO_PASSWORD,
    docx,
    found,
    hwp_header,
    ole_with,
    para,
    pdf,
    pptx,
    read_bytes,
    refused,
    zipped,
)

from damda.errors import ReadError
from damda.ingest.read import read
from damda.settings import ReadSettings

FLAGS = [
    (1 << 1, NO_PASSWORD),
    (1 << 2, "locked for distribution (배포용 문서)"),
    (1 << 4, "DRM"),
    (1 << 8, "certificate"),
]


@pytest.mark.parametrize(("flags", "reason"), FLAGS)
def test_locked_hwp(tmp_path: Path, flags: int, reason: str) -> None:
    assert reason in refused(tmp_path, "a.hwp", hwp_header(flags | 1))


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.md", b"", "empty (0 bytes)"),
        ("a.md", b" \n\t", "no text"),
        ("a.md", "---\ntitle: x\n---\n", "no text"),
        ("a.html", "<html><body><script>x()</script></body>", "no text"),
        ("a.pdf", pdf([]), "no text layer; OCR it first"),
        ("a.pdf", pdf(["secret"], password="pw"), NO_PASSWORD),
        ("a.pdf", pdf(["x"])[:150], "damaged"),
        ("a.pdf", b"plain text", "not a .pdf file inside"),
        ("a.docx", ole_with("EncryptedPackage"), NO_PASSWORD),
        ("a.xlsx", ole_with("EncryptedPackage"), NO_PASSWORD),
        ("a.doc", ole_with("WordDocument"), "save as .docx"),
        ("a.xls", ole_with("Workbook"), "save as .xlsx"),
        ("a.ppt", ole_with("PowerPoint Document"), "save as .pptx"),
        ("a.docx", ole_with("Something"), "OLE"),
        ("a.docx", docx(para("x" * 5000))[:200], "damaged"),
        ("a.docx", docx(para("x")).replace(b"PK\x05\x06", b"PK\x05\x07"), "damaged"),
        ("a.docx", zipped({"readme.md": "x"}), "a zip archive, not a document"),
        ("a.docx", zipped({"content.xml": "x"}), "OpenDocument"),
        ("a.docx", docx("<w:p>"), "damaged"),
        ("a.pptx", pptx(""), "no text"),
        ("a.xlsx", zipped({"xl/workbook.xml": "<workbook/>"}), ""),
        ("a.hwp", hwp_header(1), "damaged"),
        ("a.hwp", b"HWP Document File V3.00 \x1a\1\2\3", "HWP 3.x; save it as HWP 5 or HWPX"),
        ("a.hwpx", zipped({"Contents/section0.xml": "x", "META-INF/manifest.xml": "<encryption-data/>"}), NO_PASSWORD),
        ("a.hwpx", zipped({"Contents/section0.xml": "x"}), ""),
    ],
)  # fmt: skip
def test_refused_with_a_reason(tmp_path: Path, name: str, data: bytes | str, reason: str) -> None:
    assert reason in refused(tmp_path, name, data)


def test_content_goes_before_the_ending(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "a.docx": pdf(["inside"]),
        "b.pdf": docx(para("inside")),
        "c.txt": docx(para("inside")),
        "d.xls": "<html>inside",
    }
    kinds = {name: read_bytes(tmp_path, name, data)[0] for name, data in files.items()}
    assert {name: document.meta["format"] for name, document in kinds.items()} == {
        "a.docx": "pdf", "b.pdf": "docx", "c.txt": "docx", "d.xls": "html",
    }  # fmt: skip
    assert {document.text for document in kinds.values()} == {"inside"}


def test_bombs_are_not_inflated(tmp_path: Path) -> None:
    honest = docx(" " * 60_000_000)
    assert len(honest) < 100_000 and "zip bomb" in refused(tmp_path, "a.docx", honest)
    lying = bytearray(honest)
    with zipfile.ZipFile(io.BytesIO(honest)) as archive:
        info = archive.getinfo("word/document.xml")
    directory = lying.index(b"word/document.xml", info.header_offset + 100) - 46
    for at in (info.header_offset + 22, directory + 24):
        assert lying[at : at + 4] == info.file_size.to_bytes(4, "little")
        lying[at : at + 4] = (1000).to_bytes(4, "little")
    assert "damaged" in refused(tmp_path, "b.docx", bytes(lying))
    many = zipped({"word/document.xml": "x", **{f"word/{n}.xml": "x" for n in range(20_001)}})
    assert "files inside" in refused(tmp_path, "c.docx", many)


def test_archives_inside_are_not_opened(tmp_path: Path) -> None:
    inner = zipped({"x.xml": b"\0" * 1_000_000})
    data = docx(para("밖"))
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as archive, zipfile.ZipFile(io.BytesIO(data)) as old:
        for name in old.namelist():
            archive.writestr(name, old.read(name))
        archive.writestr("word/embeddings/inner.zip", inner)
    assert read(found(tmp_path / "a.docx"), ReadSettings())[0].text == "밖"


def test_limits(tmp_path: Path) -> None:
    assert "raise read.max_chars" in refused(tmp_path, "a.txt", "가" * 101, max_chars=100)
    assert "raise read.max_chars" in refused(tmp_path, "a.docx", docx(para("가" * 999)), max_chars=100)
    assert "raise read.max_bytes" in refused(tmp_path, "a.txt", "가" * 101, max_bytes=100)


def test_things_that_are_not_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "folder.md").mkdir()
    for name in ("pipe.md", "folder.md"):
        with pytest.raises(ReadError, match="not a regular file|can't be opened"):
            read(found(tmp_path / name), ReadSettings())


def test_a_file_that_vanished_or_is_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.md"
    path.write_text("글")
    there = found(path)
    path.unlink()
    with pytest.raises(ReadError, match="vanished"):
        read(there, ReadSettings())

    def forbidden(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", forbidden)  # root may open everything, so permissions prove nothing
    with pytest.raises(ReadError, match="permission denied"):
        read(there, ReadSettings())


@pytest.mark.parametrize(("changes", "outcome"), [(1, "글"), (2, "changes while being read")])
def test_a_file_that_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: int, outcome: str) -> None:
    path = tmp_path / "a.md"
    path.write_text("글")
    real, calls = os.fstat, [0]

    def fstat(handle: int) -> os.stat_result:
        calls[0] += 1
        if calls[0] % 2 == 0 and calls[0] <= 2 * changes:
            os.utime(path, ns=(calls[0], calls[0]))
        return real(handle)

    monkeypatch.setattr(os, "fstat", fstat)
    if changes == 1:
        assert read(found(path), ReadSettings())[0].text == outcome
    else:
        with pytest.raises(ReadError, match=outcome):
            read(found(path), ReadSettings())
