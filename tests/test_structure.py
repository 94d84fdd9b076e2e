"""Tables, headings and the lines of PDFs as text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damda.ingest import hwp
from damda.ingest import pdf as pdf_text
from damda.ingest.structure import Cell, section_level, table


def test_lines_of_a_sentence_are_joined_as_hancom_broke_them() -> None:
    page = (
        "이것은 한컴오피스가 오른쪽 여백에 닿아서 자른 문장이고 낱말의 가운데에서도 잘\r\n"
        "릴 수 있으며 빈칸에서 잘리면 그 빈칸이 남으므로 그것을 보고 알 수가 있는 것이 \r\n"
        "좋다.\r\n"
        "1. 항목"
    )
    first, last = pdf_text.paragraphs([page])[0].split("\n")
    assert "에서도 잘릴 수 있으며" in first and first.endswith("있는 것이 좋다.") and last == "1. 항목"
    bare = page.replace(" \r\n", "\r\n")
    assert "잘 릴 수" in pdf_text.paragraphs([bare])[0]  # without any such spaces, a space is the better guess


def test_rows_and_items_are_not_joined() -> None:
    rows = [f"{year} 1,234,567 2,345,678 3,456,789 4,567,890 5,678,901 6,789,012" for year in range(2020, 2026)]
    assert pdf_text.paragraphs(["\n".join(rows)])[0].split("\n") == rows
    items = [
        f"{sign} 오른쪽 여백에 닿을 만큼 긴 항목이며 마침표 없이 명사로 끝나는 것, 공문서에 흔한 것"
        for sign in "○가①※-"
    ]
    items[1] = items[1].replace("가 ", "가. ")
    assert pdf_text.paragraphs(["\r\n".join(items)])[0].split("\n") == items


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("제2장 총칙", 2),
        ("제 1 관 목적 및 용어의 정의", 4),
        ("Ⅱ. 추진 계획", 1),
        ("2.1.3. 범위", 3),
        ("1.1.2 범위", 3),
        ("제2장 총칙 ······ 4", 0),
        ("제2장에 따른다", 0),
        ("제1조(목적)", 0),
        ("3.5 이상", 0),
        ("1. 항목", 0),
        ("2.1. 서론 7", 0),
    ],
)
def test_section_levels(line: str, level: int) -> None:
    assert section_level(line) == level


# --- tables


@given(st.lists(st.lists(st.builds(Cell, st.text("가a|\n ", max_size=5), st.integers(-1, 4), st.integers(-1, 4)))))
def test_no_table_loses_text(rows: list[list[Cell]]) -> None:
    written = re.sub(r"\s", "", table(rows))
    assert all(
        re.sub(r"\s", "", cell.text).replace("|", "\\|") in written or "|" in cell.text for row in rows for cell in row
    )


def test_boxes_and_long_rows_are_paragraphs() -> None:
    long = "이 서식은 " * 30
    assert table([[Cell("알림\n둘째 줄")]]) == "알림\n둘째 줄"
    assert table([[Cell("1"), Cell("제목")]]) == "1 제목"
    rows = [[Cell("a"), Cell("b")], [Cell("c"), Cell("d")], [Cell(long, cols=2)]]
    assert table(rows) == f"| a | b |\n| --- | --- |\n| c | d |\n\n{long.strip()}"


# --- HWP


def _paragraph(*inline: object, level: int = 0) -> dict[str, object]:
    return {"style": {"heading_level": level}, "content": list(inline)}


def _run(text: str) -> dict[str, object]:
    return {"Text": {"text": text, "style": {"bold": True}}}


def test_hwp_paragraphs_and_tables() -> None:
    inner = {"rows": [{"cells": [{"content": [_paragraph(_run("속 표"))]}]}]}
    cells = [
        {"content": [_paragraph(_run("구분"))], "rowspan": 2},
        {"content": [_paragraph(_run("가")), _paragraph(_run("나"))], "nested_tables": [inner]},
    ]
    content = [
        {"Paragraph": _paragraph(_run("총칙"), level=2)},
        {"Paragraph": _paragraph(_run("이 항은 제목처럼 꾸민 문장이다."), level=3)},
        {"Paragraph": _paragraph(_run("식 "), {"Equation": {"script": "a over b", "latex": None}}, "LineBreak")},
        {"Paragraph": _paragraph({"Link": {"text": "누리집", "url": "http://a"}}, {"Footnote": "각주 글"})},
        {"Paragraph": _paragraph({"Image": {"id": "BIN0001.bmp", "alt_text": "그림"}})},
        {"Table": {"rows": [{"cells": cells}, {"cells": [{"content": [_paragraph(_run("다"))]}]}]}},
        {"Table": {"rows": [{"cells": [{"content": [_paragraph(_run("제1장 총칙"))]}]}]}},
    ]
    document = {"metadata": {"title": "제목"}, "sections": [{"content": content}], "skipped_sections": [{}]}
    parsed = hwp.parse(document)
    assert parsed.text.split("\n\n") == [
        "## 총칙",
        "이 항은 제목처럼 꾸민 문장이다.",
        "식 a over b",
        "누리집 (각주 글)",
        "| 구분 | 가 나 |\n| --- | --- |\n| 구분 | 다 |",
        "속 표",
        "## 제1장 총칙",
    ]
    assert parsed.meta == {"incomplete": "1 damaged sections left out"}
