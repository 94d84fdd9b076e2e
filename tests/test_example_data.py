"""The example documents and their questions agree with each other.

Knows the files below examples/ and reads them with the standard library only (no reader of damda): a quote must
stand in the stored file itself, whatever a reader later makes of it. The text of the PDF is not looked at.
"""

from __future__ import annotations

import csv
import html.parser
import json
import re
import unicodedata
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
DOCUMENTS = EXAMPLES / "documents"
FILES = sorted(path for path in DOCUMENTS.rglob("*") if path.is_file())
QUESTIONS: list[dict[str, Any]] = [
    json.loads(line) for line in (EXAMPLES / "questions.jsonl").read_text(encoding="utf-8").splitlines()
]
ANSWERABLE = [question for question in QUESTIONS if question["kind"] != "unanswerable"]
KINDS = {"fact", "number", "procedure", "condition", "table", "english", "unanswerable"}
CP949 = "법인카드_사용_기준.txt"


class _Text(html.parser.HTMLParser):
    """Collects the visible text of a page, without scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def _zipped_paragraphs(path: Path, part: str, paragraph: str) -> str:
    """The text of a zipped XML format: each ``paragraph`` element of the matching parts on its own line."""
    lines: list[str] = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if re.fullmatch(part, name):
                root = ElementTree.fromstring(archive.read(name))
                lines += ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("}" + paragraph)]
    return "\n".join(lines)


def text_of(path: Path) -> str:
    """The file's text in NFC; a table's cells stand on lines of their own."""
    if path.suffix == ".docx":
        text = _zipped_paragraphs(path, r"word/document\.xml", "p")
    elif path.suffix == ".hwpx":
        text = _zipped_paragraphs(path, r"Contents/section\d+\.xml", "p")
    elif path.suffix == ".xlsx":
        text = _zipped_paragraphs(path, r"xl/worksheets/sheet\d+\.xml", "c")  # strings are stored in the cells
    else:
        text = path.read_bytes().decode("cp949" if path.name == CP949 else "utf-8")
        if path.suffix == ".html":
            page = _Text()
            page.feed(text)
            text = "".join(page.parts)
        elif path.suffix == ".csv":
            text = "\n".join(cell for row in csv.reader(text.splitlines()) for cell in row)
    return unicodedata.normalize("NFC", text)


def test_questions_have_the_same_fields_unique_ids_and_known_kinds() -> None:
    assert all(set(q) == {"id", "text", "answers", "document", "quote", "kind"} for q in QUESTIONS)
    assert len({q["id"] for q in QUESTIONS}) == len({q["text"] for q in QUESTIONS}) == len(QUESTIONS)
    assert {q["kind"] for q in QUESTIONS} == KINDS


def test_thirty_eight_questions_have_an_answer_and_ten_have_none() -> None:
    assert len(ANSWERABLE) == 38
    assert len(QUESTIONS) - len(ANSWERABLE) == 10
    for question in QUESTIONS:
        if question["kind"] == "unanswerable":
            assert (question["document"], question["answers"], question["quote"]) == ("", [], "")


def test_every_document_is_asked_about() -> None:
    assert {q["document"] for q in ANSWERABLE} == {path.relative_to(DOCUMENTS).as_posix() for path in FILES}


def test_file_names_are_nfc_and_binary_files_are_small() -> None:
    for path in FILES:
        name = path.relative_to(DOCUMENTS).as_posix()
        assert unicodedata.is_normalized("NFC", name), name
        assert path.stat().st_size < 100_000, name


@pytest.mark.parametrize("question", ANSWERABLE, ids=lambda question: question["id"])
def test_the_quote_holds_the_answer_and_stands_in_the_document(question: dict[str, Any]) -> None:
    path = DOCUMENTS / question["document"]
    assert path.is_file()
    assert question["answers"]
    assert all(answer in question["quote"] for answer in question["answers"])
    if path.suffix != ".pdf":
        assert question["quote"] in text_of(path)


def test_one_text_file_is_cp949_and_not_utf_8() -> None:
    with pytest.raises(UnicodeDecodeError):
        next(DOCUMENTS.rglob(CP949)).read_bytes().decode("utf-8")


def test_hwpx_files_begin_with_a_stored_mimetype() -> None:
    for path in DOCUMENTS.rglob("*.hwpx"):
        with zipfile.ZipFile(path) as archive:
            first = archive.infolist()[0]
            assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
            assert archive.read("mimetype") == b"application/hwp+zip"
            assert {"META-INF/container.xml", "Contents/content.hpf", "Contents/header.xml"} <= set(archive.namelist())
