"""Quotes are verbatim and located, or they are not quotes."""

import pytest
from fakes import FakeAnalyser

from damda.answer.quote import Grounder, columns, find
from damda.types import Chunk, Document, Hit

TEXT = (
    "머리말입니다.\n\n재택근무는 일주일에\n최대 3일까지 할 수 있습니다. 신청은 하루 전 오후 3시까지 합니다.\n\n"
    "| 수습 | 주 1일 |\n"
)
DOCUMENT = Document("인사/재택.md", TEXT, title="재택근무", source="인사/재택.md", version="v1", pages=(0, 9))


def grounder(document: Document | None = DOCUMENT, start: int = 9) -> Grounder:
    chunk = Chunk("c", DOCUMENT.id, TEXT[start:], start, len(TEXT), "재택근무", "2. 대상", DOCUMENT.source, "v1")
    return Grounder([Hit(chunk, 1.0, "hybrid")], lambda doc_id, version: document, FakeAnalyser())


def test_a_repeated_sentence_is_quoted_as_it_stands_in_the_document() -> None:
    quote = grounder().ground("신청은 하루 전 오후 3시까지 합니다.")
    assert quote is not None
    assert TEXT[quote.start : quote.end] == quote.text == "신청은 하루 전 오후 3시까지 합니다."
    assert (quote.page, quote.heading, quote.source) == (2, "2. 대상", "인사/재택.md")


def test_other_white_space_still_gives_the_document_s_own_text() -> None:
    quote = grounder().ground("재택근무는 일주일에 최대 3일까지 할 수 있습니다.")
    assert quote is not None
    assert quote.text == "재택근무는 일주일에\n최대 3일까지 할 수 있습니다."
    assert TEXT[quote.start : quote.end] == quote.text


@pytest.mark.parametrize("said", ["- 신청은 하루 전 오후 3시까지 합니다.", "“신청은 하루 전 오후 3시까지 합니다.” [1]"])
def test_marks_around_a_sentence_do_not_matter(said: str) -> None:
    quote = grounder().ground(said)
    assert quote is not None
    assert quote.text.startswith("신청은 하루 전 오후 3시까지 합니다")


def test_other_words_are_tied_to_the_sentence_that_supports_them() -> None:
    quote = grounder().ground("신청은 오후 3시까지 합니다. 하루 전")
    assert quote is not None
    assert "신청은 하루 전" in quote.text


def test_another_number_is_not_supported() -> None:
    assert grounder().ground("신청은 하루 전 오후 4시까지 합니다.") is None


@pytest.mark.parametrize("said", ["주차장은 지하 2층에 있습니다.", "", " [1] ", "…"])
def test_what_no_passage_says_has_no_quote(said: str) -> None:
    assert grounder().ground(said) is None


def test_a_document_that_changed_since_the_search_gives_no_quote() -> None:
    changed = Document(DOCUMENT.id, TEXT.replace("하루", "이틀"), version="v1")
    assert grounder(changed).ground("신청은 하루 전 오후 3시까지 합니다.") is None
    assert grounder(None).ground("신청은 하루 전 오후 3시까지 합니다.") is None


def test_find_takes_special_characters_as_they_are() -> None:
    assert find("a.b (c)", "xa.b\n(c)") == (1, 8)
    assert find("a.b (c)", "xaxb (c)") is None


TABLE = "| 구분 | 한도 |\n| --- | --- |\n| 수습 | 주 1일 |\n| 육아 | 주 4일 |\n\n끝."


@pytest.mark.parametrize(
    ("row", "header"), [("| 수습", "구분 | 한도"), ("| 육아", "구분 | 한도"), ("| 구분", ""), ("끝.", "")]
)
@pytest.mark.parametrize("before", ["", "머리말\n\n"])
def test_a_row_is_shown_with_the_header_of_its_table(row: str, header: str, before: str) -> None:
    text = before + TABLE
    assert columns(text, text.index(row)) == header


def test_a_part_of_a_sentence_is_quoted_with_the_rest_of_it() -> None:
    quote = grounder().ground("오후 3시까지")
    assert quote is not None
    assert quote.text == "신청은 하루 전 오후 3시까지 합니다."


@pytest.mark.parametrize("heading", ["2. 대상", "2. 대상 > 구분 | 한도"])
def test_the_header_of_a_cut_table_is_said_once(heading: str) -> None:
    start = TABLE.index("| 육아")
    chunk = Chunk("c", "t", TABLE[start:-4], start, len(TABLE) - 4, heading=heading, version="v")
    tables = Grounder([Hit(chunk, 1.0, "bm25")], lambda doc_id, version: Document("t", TABLE), FakeAnalyser())
    quote = tables.ground("| 육아 | 주 4일 |")
    assert quote is not None
    assert quote.heading == "2. 대상 > 구분 | 한도"
