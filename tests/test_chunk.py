"""Chunks are spans: of any text, in order, without overlap, within the budget, and with every word in them."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading_fixtures import SHARED, found

from damda.embed.encoder import OnnxEncoder
from damda.errors import ReadError
from damda.ingest.chunk import Counter, chunk
from damda.ingest.read import read
from damda.settings import ReadSettings
from damda.types import Chunk, Document

HEADING = re.compile(r" {0,3}#{1,6}[ \t]|\s*제\s?\d+\s?[편장절관]")


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def characters(texts: Sequence[str]) -> list[int]:
    """A tokenizer that knows no word at all."""
    return [sum(not c.isspace() for c in text) for text in texts]


def check(document: Document, count: Counter, budget: int, least: int = 1) -> list[Chunk]:
    """What must hold of the chunks of any document. ``least``: tokens of the smallest piece there can be."""
    text = document.text
    chunks = chunk(document, count, budget)
    at = 0
    for number, piece in enumerate(chunks):
        assert text[piece.start : piece.end] == piece.text and piece.text.strip()
        assert piece.start >= at, "overlap, or out of order"
        assert (piece.id, piece.doc_id) == (f"{document.id}#{number}", document.id)
        assert (piece.title, piece.source, piece.version) == (document.title, document.source, document.version)
        for line in left_out(text, at, piece.start):
            assert HEADING.match(line), f"lost: {line!r}"
        at = piece.end
    for line in left_out(text, at, len(text)):
        assert HEADING.match(line), f"lost at the end: {line!r}"
    for piece, size in zip(chunks, count([piece.text for piece in chunks]), strict=True):
        assert size <= max(budget, least), f"{size} tokens: {piece.text!r}"
    return chunks


def left_out(text: str, start: int, end: int) -> list[str]:
    """Lines with words between two chunks."""
    return [line for line in text[start:end].split("\n") if line.strip()]


def doc(text: str, title: str = "제목") -> Document:
    return Document("d", text, title, "d.md", "1")


LINES = st.sampled_from(
    ["", "", "# 제목", "## 1장 개요", "### 나. 세부 #", "#태그", "####### seven", "제1장 총칙", "제 2 절", "---", "```"]
    + [
        "제1조(목적) 이 규정은",
        "제2조의2 (정의) ① 뜻은 다음과 같다.",
        "- 항목 하나",
        "  * 안쪽 항목",
        "1. 첫째",
        "가. 둘째",
    ]
    + [
        "① 셋째",
        "~~~~",
        "```python",
        "| a | b |",
        "|---|:-:|",
        "| 1 | 2 |",
        "문장이다. 또 문장이다.",
        "한 문장",
        "    code",
    ]
    + ["word " * 40, "가" * 60, "> 인용", "\u3000전각", "\u200b", "e\u0301\u0327", "\U0001f468\u200d\U0001f469 가족"]
    + ["\u2028", "\x0b", "\u1100\u1161\u11a8", "ㄱㄴㄷ", "漢字"]
)
TEXTS = st.one_of(
    st.lists(LINES, max_size=30).map("\n".join),
    st.lists(st.one_of(LINES, st.text(max_size=80)), max_size=15).map("\n".join),
    st.text(max_size=400),
)


@given(TEXTS, st.sampled_from([1, 2, 5, 16, 64, 1000]), st.sampled_from([words, characters]))
def test_any_text(text: str, budget: int, count: Callable[[Sequence[str]], list[int]]) -> None:
    check(doc(text), count, budget)


@given(TEXTS)
def test_any_text_by_the_real_tokenizer(encoder: OnnxEncoder, text: str) -> None:
    # One character may be several tokens; what can't be cut further may be over the budget.
    least = max(encoder.count_tokens(list(text) or [""]))
    check(doc(text), encoder.count_tokens, 16, least)


@given(TEXTS)
def test_the_same_text_has_the_same_chunks(text: str) -> None:
    assert chunk(doc(text), words, 16) == chunk(doc(text), words, 16)


FILES = sorted(
    path for name in ("ko_docs", "formats") if (SHARED / name).is_dir() for path in (SHARED / name).rglob("*.*")
)


@pytest.mark.skipif(not FILES, reason="../shared/data is not here")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_files(encoder: OnnxEncoder, path: Path) -> None:
    try:
        documents = read(found(path), ReadSettings())
    except ReadError as error:
        assert "formats" in path.parts  # some of those are meant to be refused
        pytest.skip(f"not readable: {error}")
    for document in documents:
        chunks = check(document, encoder.count_tokens, 256, least=256)
        assert chunks


# --- structure


def test_headings_are_context(encoder: OnnxEncoder) -> None:
    text = "# 규정\n\n## 휴가\n\n연차는 15일이다.\n\n### 반차\n\n반차는 4시간이다.\n\n## 급여\n\n매달 25일."
    chunks = check(doc(text, "규정"), words, 64)
    assert [(c.heading, c.text) for c in chunks] == [
        ("휴가", "연차는 15일이다."),
        ("휴가 > 반차", "반차는 4시간이다."),
        ("급여", "매달 25일."),
    ]
    assert chunks[1].in_context() == "규정\n휴가 > 반차\n반차는 4시간이다."


def test_a_heading_with_nothing_below_is_a_passage() -> None:
    chunks = check(doc("# 하나\n\n## 둘\n\n# 셋\n\n글\n\n# 넷"), words, 64)
    assert [c.text for c in chunks] == ["## 둘", "글", "# 넷"]


def test_marks_that_close_a_heading() -> None:
    chunks = check(doc("# 이름 ##\n\n글\n\n# C#\n\n글\n\n# ##\n\n글"), words, 64)
    assert [c.heading for c in chunks] == ["이름", "C#", ""]


def test_articles_of_a_rule() -> None:
    text = (
        "제1장 총칙\n제1조(목적) 이 규정은 목적을 정한다.\n① 하나\n② 둘\n"
        "제2조의2 (정의) 뜻은 이렇다.\n제2장 휴가\n제3조(연차) 15일."
    )
    chunks = check(doc(text), words, 100)
    assert [(c.heading, c.text[:8]) for c in chunks] == [
        ("제1장 총칙 > 제1조(목적)", "제1조(목적) "),
        ("제1장 총칙 > 제2조의2 (정의)", "제2조의2 (정"),
        ("제2장 휴가 > 제3조(연차)", "제3조(연차) "),
    ]
    assert chunks[0].text.endswith("② 둘")


def test_a_cut_table_keeps_its_columns_in_sight() -> None:
    rows = "\n".join(f"| 이름{i} | {i} |" for i in range(20))
    chunks = check(doc(f"| 이름 | 나이 |\n|---|---|\n{rows}"), words, 20)
    assert len(chunks) > 3 and chunks[0].heading == ""
    assert {c.heading for c in chunks[1:]} == {"이름 | 나이"}
    assert all(c.text.startswith("|") and c.text.endswith("|") for c in chunks), "cut between rows"


def test_code_is_no_structure() -> None:
    text = "앞\n\n```\n# no heading\n\n제1장 no part\n```\n\n# 진짜\n\n뒤"
    chunks = check(doc(text), words, 100)
    assert [c.heading for c in chunks] == ["", "진짜"] and "# no heading" in chunks[0].text


def test_a_fence_that_is_never_closed() -> None:
    check(doc("글\n\n```\n# a\n\n끝 " * 3), words, 4)


def test_neighbours_share_a_chunk_while_they_fit() -> None:
    text = "\n\n".join(f"문단 {i} 넷 다섯" for i in range(10))
    assert [words([c.text])[0] for c in check(doc(text), words, 12)] == [12, 12, 12, 4]


def test_sentences_are_cut_before_words_are() -> None:
    text = " ".join(f"문장 {i}번은 여기서 끝난다." for i in range(20))
    chunks = check(doc(text), words, 10)
    assert all(c.text.endswith("끝난다.") for c in chunks)


def test_an_endless_word_is_cut_all_the_same() -> None:
    chunks = check(doc("가" * 10_000), characters, 100)
    assert "".join(c.text for c in chunks) == "가" * 10_000


@pytest.mark.parametrize("line", ["# " + "#" * 20_000 + "a", "[" * 20_000, "# " + "[" * 5_000, "|" + " " * 20_000])
def test_hostile_lines_take_no_minutes(line: str) -> None:
    check(doc(f"{line}\n{line}\n\n글"), words, 64)


def test_blank_documents() -> None:
    assert chunk(doc(""), words, 16) == chunk(doc(" \n\t\n"), words, 16) == []
