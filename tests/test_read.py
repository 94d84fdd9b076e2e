"""What each format becomes, and the real files of ../shared/data."""

import codecs
import json
import re
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading_fixtures import (
    NO_PASSWORD,
    SHARED,
    docx,
    found,
    para,
    pdf,
    pptx,
    read_bytes,
    refused,
    shape,
    word_table,
    xlsx,
    zipped,
)

from damda.errors import ReadError
from damda.ingest import html
from damda.ingest.decode import clean, decode
from damda.ingest.read import read
from damda.settings import ReadSettings

KOREAN = "대한민국의 주권은 국민에게 있고, 모든 권력은 국민으로부터 나온다.\n"


# --- text and its encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_korean_text_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    (document,) = read_bytes(tmp_path, "a.txt", (KOREAN * 3).encode(encoding))
    assert document.text == (KOREAN * 3).strip()


def test_utf16_with_marks(tmp_path: Path) -> None:
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        (document,) = read_bytes(tmp_path, "a.md", mark + KOREAN.encode(encoding))
        assert document.text == KOREAN.strip()


def test_japanese_is_not_taken_for_korean() -> None:
    text = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 5
    assert decode(text.encode("shift_jis"), "txt") == text


def test_chinese_is_not_taken_for_korean() -> None:
    text = "中华人民共和国的一切权力属于人民。人民行使国家权力的机关是全国人民代表大会。" * 5
    assert not re.search("[가-힣]", decode(text.encode("gbk"), "txt"))


def test_a_broken_byte_does_not_cost_the_text() -> None:
    data = (KOREAN * 100).encode()
    assert decode(data[:31] + b"\xff" + data[31:], "txt").count("대한민국") >= 99
    assert decode(data[:-2], "txt").startswith(KOREAN)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)), bytes(range(1, 32)) * 20])
def test_binary_text_is_refused(tmp_path: Path, data: bytes) -> None:
    assert "binary content in a .txt file" in refused(tmp_path, "a.txt", data)


@given(st.text(st.characters(codec=None), max_size=200))
def test_clean_text_is_clean(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned == unicodedata.normalize("NFC", cleaned)
    assert all(c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") for c in cleaned)
    assert "\ufeff" not in cleaned


def test_a_document_is_nfc_with_plain_newlines(tmp_path: Path) -> None:
    text = unicodedata.normalize("NFD", "각하") + "\r\n다음\r줄\0\x07\ufeff\t끝"
    (document,) = read_bytes(tmp_path, "a.md", text)
    assert document.text == "각하\n다음\n줄\t끝"


# --- Markdown


def test_markdown_keeps_its_text_and_gives_up_its_front_matter(tmp_path: Path) -> None:
    head = "---\n제목: '저작권법 시행령'\n시행일자: 2026-08-11 # 예정\n소관부처:\n- 문화체육관광부\n빈칸: ''\n"
    head += "format: x\n---\n\n"
    (document,) = read_bytes(tmp_path, "a.md", head + "# 다른 제목\n\n**①** 본문 \\- 그대로\n")
    assert document.text == "# 다른 제목\n\n**①** 본문 \\- 그대로"
    assert document.title == "저작권법 시행령"
    assert document.meta == {"제목": "저작권법 시행령", "시행일자": "2026-08-11", "format": "md"}
    assert (document.id, document.source) == ("a.md", "a.md")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("본문\n\n# 제목 {#anchor}\n", "제목"),
        ("# **굵은** `코드` [링크](http://a)  ##\n", "굵은 코드 링크"),
        ("제목\n====\n", "제목"),
        ("```sh\n# 주석\n```\n# 진짜\n", "진짜"),
        ("## 아래 것\n", "파일"),
        ("+++\ntitle = '토믈'\n+++\n본문", "토믈"),
        ("---\n가로줄 뒤의 글\n---\n# 첫째\n", "첫째"),
    ],
)
def test_titles(tmp_path: Path, text: str, title: str) -> None:
    assert read_bytes(tmp_path, "파일.md", text)[0].title == title


def test_a_rule_at_the_start_is_text(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, "a.md", "---\n글이다\n---\n끝")[0].text == "---\n글이다\n---\n끝"


def test_the_version_is_the_hash_of_the_bytes(tmp_path: Path) -> None:
    first, again, other = (read_bytes(tmp_path, "a.md", text)[0].version for text in ("가", "가", "가\n"))
    assert first == again != other and re.fullmatch("[0-9a-f]{32}", first)


# --- delimited values and lines of JSON


def test_csv_becomes_a_table(tmp_path: Path) -> None:
    data = '이름;금액;비고\n홍길동;"1;000";"두\n줄 | 칸"\n\n김;2;\n'.encode("cp949")
    text = read_bytes(tmp_path, "a.csv", data)[0].text
    assert text == "| 이름 | 금액 | 비고 |\n| --- | --- | --- |\n| 홍길동 | 1;000 | 두 줄 \\| 칸 |\n| 김 | 2 |"
    assert read_bytes(tmp_path, "a.tsv", "a\tb,c\n1\t2\n")[0].text == "| a | b,c |\n| --- | --- |\n| 1 | 2 |"


def test_csv_with_an_open_quote(tmp_path: Path) -> None:
    assert "quotation marks" in refused(tmp_path, "a.csv", 'a,"b\n' + "x" * 200_000)


def test_a_corpus_is_many_documents(tmp_path: Path) -> None:
    lines = [
        {"_id": 7, "title": "제목", "text": "첫\u2028글", "role": "gold", "n": 3, "tags": ["x"]},
        {"_id": "빈", "text": " "},
        {"_id": "b", "text": "둘째"},
    ]
    data = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    first, second = read_bytes(tmp_path, "corpus.jsonl", data)
    assert (first.id, first.title, first.text, first.source) == ("7", "제목", "첫\n글", "corpus.jsonl")
    assert first.meta == {"role": "gold", "n": "3", "format": "jsonl"}
    assert second.id == "b" and second.version != first.version
    moved = read_bytes(tmp_path, "corpus.jsonl", "\n".join(reversed(data.split("\n"))))
    assert {d.id: d.version for d in moved} == {d.id: d.version for d in (first, second)}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2 is not a JSON object"),
        ('{"id": "b"}', "line 2 has no"),
        ('{"id": "a", "text": "x"}', 'line 2 repeats the id "a" of line 1'),
        ("[" * 100_000, "line 2 is not JSON"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    assert reason in refused(tmp_path, "c.jsonl", '{"id": "a", "text": "x"}\n' + line)


# --- HTML


def test_html_is_its_main_content(tmp_path: Path) -> None:
    page = """<!doctype html><html><head><meta charset=euc-kr><title>탭 &mdash; 사이트</title>
    <style>x{}</style></head><body><nav><a>메뉴</a></nav><header>머리</header>
    <main><h1>제목<a class=headerlink>#</a></h1>
    <p>R&amp;D 5 &gt; 3&nbsp;<b>굵게</b><br>다음 줄<ul><li>하나<li>둘<ol><li>안쪽</ol></ul>
    <table><caption>표 설명</caption>
    <tr><th>구분<th colspan=2>값<tr><td rowspan=2>세로<td>1<td>2<tr><td>3<td>4</table>
    <pre><code>def f():
        return 1 &lt; 2</code></pre><script>var 나쁜 = 1</script></main><footer>저작권</footer></body></html>"""
    (document,) = read_bytes(tmp_path, "a.html", page.encode("cp949"))
    assert document.title == "제목"
    assert document.text.split("\n\n") == [
        "# 제목",
        "R&D 5 > 3 굵게\n다음 줄",
        "- 하나\n- 둘\n  1. 안쪽",
        "표 설명",
        "| 구분 | 값 |  |\n| --- | --- | --- |\n| 세로 | 1 | 2 |\n| 세로 | 3 | 4 |",
        "```\ndef f():\n        return 1 < 2\n```",
    ]


def test_html_without_a_main_element(tmp_path: Path) -> None:
    page = "<title>탭 이름</title><body class=sidebar><form><table><tr><td><h2>옛날</h2><p>배치용 표</td></tr></table>"
    (document,) = read_bytes(tmp_path, "a.htm", page)
    assert (document.text, document.title) == ("## 옛날\n\n배치용 표", "탭 이름")
    page = "<main>광고</main><div><p>" + KOREAN * 3 + "</div>"
    assert "대한민국" in read_bytes(tmp_path, "b.html", page)[0].text  # what calls itself main is too small to be it


@pytest.mark.parametrize("unit", ["<a ", "<!--", '<a b="', "<div>", "<p></div>", "</", "<table><td>", "<li>", "<a a="])
def test_hostile_html_takes_linear_time(unit: str) -> None:
    start = time.perf_counter()
    html.parse(unit * (300_000 // len(unit)))
    assert time.perf_counter() - start < 5


# --- docx, pptx, xlsx


def test_docx(tmp_path: Path) -> None:
    number = '<w:numPr><w:ilvl w:val="{}"/><w:numId w:val="{}"/></w:numPr>'.format
    level = '<w:lvl w:ilvl="{}"><w:numFmt w:val="{}"/><w:lvlText w:val="{}"/></w:lvl>'.format
    body = (
        para("연구 R&amp;D &lt;5&gt; &quot;3&quot;", '<w:pStyle w:val="a3"/>')
        + para("목적", number(0, 1))
        + para("정의", number(0, 1))
        + para("가나", number(1, 1))
        + para("다라", number(1, 1))
        + para("적용", number(0, 1))
        + para("마바", number(1, 1))
        + para("점", number(0, 2))
        + para("점점", number(0, 2))
        + "<w:p><w:del><w:r><w:delText>지운 글</w:delText></w:r></w:del>"
        "<w:moveFrom><w:r><w:t>옮긴 글</w:t></w:r></w:moveFrom>"
        "<w:ins><w:r><w:t>넣은 글</w:t></w:r></w:ins>"
        "<w:r><w:instrText>PAGEREF</w:instrText><w:br/></w:r><w:hyperlink><w:r><w:t>링크</w:t></w:r></w:hyperlink></w:p>"
        + word_table(
            [("구분", ""), ("값", '<w:gridSpan w:val="2"/>')],
            [("세로", '<w:vMerge w:val="restart"/>'), ("1", ""), ("2", "")],
            [("", "<w:vMerge/>"), ("3", ""), ("4", "")],
        )
        + "<w:sdt><w:sdtContent>"
        + para("컨트롤")
        + "</w:sdtContent></w:sdt>"
        + "<w:p><w:r><w:pict><w:txbxContent>"
        + para("글상자")
        + "</w:txbxContent></w:pict></w:r></w:p>"
    )
    styles = '<w:style w:styleId="a3"><w:name w:val="heading 1"/></w:style>'
    lists = (
        '<w:abstractNum w:abstractNumId="5">'
        + level(0, "decimal", "제%1조")
        + level(1, "ganada", "%2.")
        + "</w:abstractNum>"
        '<w:abstractNum w:abstractNumId="6">' + level(0, "bullet", "") + "</w:abstractNum>"
        '<w:num w:numId="1"><w:abstractNumId w:val="5"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="6"/></w:num>'
    )
    notes = (
        '<w:footnote w:type="separator">' + para("---") + "</w:footnote><w:footnote>" + para("각주") + "</w:footnote>"
    )
    (document,) = read_bytes(tmp_path, "a.docx", docx(body, styles=styles, numbering=lists, footnotes=notes))
    assert document.title == '연구 R&D <5> "3"'
    assert document.text.split("\n\n") == [
        '# 연구 R&D <5> "3"',
        "제1조 목적",
        "제2조 정의",
        "가. 가나",
        "나. 다라",
        "제3조 적용",
        "가. 마바",
        "- 점\n- 점점",
        "넣은 글\n링크",
        "| 구분 | 값 |  |\n| --- | --- | --- |\n| 세로 | 1 | 2 |\n| 세로 | 3 | 4 |",
        "컨트롤",
        "글상자",
        "각주",
    ]


def test_docx_nested_beyond_reason(tmp_path: Path) -> None:
    deep = "<w:sdt><w:sdtContent>" * 5000 + para("x") + "</w:sdtContent></w:sdt>" * 5000
    assert "nested" in refused(tmp_path, "a.docx", docx(deep))


def test_docx_entities_are_not_expanded(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><w:document xmlns:w="w">&a;</w:document>'
    assert "damaged" in refused(tmp_path, "a.docx", zipped({"word/document.xml": bomb}))


def test_pptx_has_a_page_a_slide(tmp_path: Path) -> None:
    deck = pptx(shape("7", "sldNum") + shape("첫 R&amp;D\n둘") + shape("발표 제목", "title"), "", shape("셋째 장"))
    (document,) = read_bytes(tmp_path, "a.pptx", deck)
    assert document.text == "## 발표 제목\n\n첫 R&D\n둘\n\n셋째 장"
    assert document.title == "발표 제목"
    assert [document.page_at(document.text.index(word)) for word in ("발표", "둘", "셋째")] == [1, 1, 3]


def test_xlsx_has_a_table_a_sheet(tmp_path: Path) -> None:
    book = xlsx(매출=[["품목 R&amp;D", "값"], ["사과|배", "1"]], 빈=[], 비용=[["항목", "원"], ["", "3"], ["임대", "2"]])
    text = read_bytes(tmp_path, "a.xlsx", book)[0].text
    assert text.split("\n\n") == [
        "## 매출",
        "| 품목 R&D | 값 |\n| --- | --- |\n| 사과\\|배 | 1 |",
        "## 비용",
        "| 항목 | 원 |\n| --- | --- |\n|  | 3 |\n| 임대 | 2 |",
    ]


# --- PDF


def test_pdf_pages_can_be_cited(tmp_path: Path) -> None:
    pages = [["Annual Report 2026", f"- {n} -", f"word{n} on page {n}."] for n in range(1, 6)]
    pages.insert(2, [])
    (document,) = read_bytes(tmp_path, "a.pdf", pdf(*pages, title="Annual Report 2026"))
    places = {n: document.page_at(document.text.index(f"word{n}")) for n in range(1, 6)}
    assert places == {1: 1, 2: 2, 3: 4, 4: 5, 5: 6}
    assert document.text.count("Annual Report") == 1 and "- 3 -" not in document.text
    assert document.title == "Annual Report 2026"
    assert len(document.pages) == 6 and document.pages[2] == document.pages[3]  # the empty page is where the next is
    assert all(document.text[start - 2 : start] in ("", "\n\n") for start in document.pages)


def test_a_pdf_title_that_the_document_does_not_show_is_no_title(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, "규정.pdf", pdf(["text"], title="Microsoft Word - Template1"))[0].title == "규정"


# --- real files


LOCKED = "locked for distribution"
EXPECTED = {
    "hwplib__distribution.hwp": LOCKED,
    "openhwp__한글문서파일형식_배포용문서_revision1.2.hwp": LOCKED,
    "openhwp__한글문서파일형식_5.0_revision1.3.hwp": LOCKED,
    "openhwp__한글문서파일형식_수식_revision1.3.hwp": LOCKED,
    "kordoc__HWP3-password-123456.hwp": "HWP 3.x",
    "kordoc__HWP5-password-123456.hwpx": NO_PASSWORD,
    "HwpForge__chart_01_single_column.hwp": "no text",
    "HwpForge__chart_01_single_column.hwpx": "no text",
}
# The table counts all of the XML; the rest is a page's footer, or the prompts of fields that nobody filled in.
FEWER_HANGUL = {
    "hwpxlib__HeaderFooter.hwpx": 6,
    "hwpxlib__Table.hwpx": 29,
    "hwpxlib__sample1.hwpx": 10,
    "kordoc__일반기안문_서식.hwpx": 39,
}


def _real_files() -> list[tuple[str, int]]:
    """(path, Hangul syllables that a careful parser found) of each row of the table that is present."""
    index = SHARED / "formats" / "PROVENANCE.tsv"
    if not index.is_file():
        return []
    rows = [line.split("\t") for line in index.read_text("utf-8").splitlines()[1:]]
    counted = [(row[0], re.search(r"hangul=(\d+)", row[-1])) for row in rows]
    return [(path, int(m[1]) if m else 0) for path, m in counted if (SHARED / "formats" / path).is_file()]


@pytest.mark.skipif(not _real_files(), reason="../shared/data/formats is not here")
@pytest.mark.parametrize(("name", "hangul"), _real_files())
def test_real_files(name: str, hangul: int) -> None:
    path = SHARED / "formats" / name
    expected = EXPECTED.get(unicodedata.normalize("NFC", path.name))
    if expected:
        with pytest.raises(ReadError, match=re.escape(expected)):
            read(found(path), ReadSettings())
        return
    (document,) = read(found(path), ReadSettings())
    syllables = len(re.findall("[가-힣]", document.text))
    wanted = FEWER_HANGUL.get(unicodedata.normalize("NFC", path.name), hangul)
    if path.suffix == ".html":  # the table counts the whole page
        assert 0.3 * wanted <= syllables <= wanted
    else:
        assert syllables >= (0.94 if path.suffix == ".pdf" else 0.97) * wanted  # a PDF's running headers are left out
    assert document.text == clean(document.text)
    assert not re.search(r"&[a-z]+;|\*\*[가-힣]+\*\*|!\[|<br|\ufffd|Skip to main|Rate this Page", document.text)


@pytest.mark.skipif(not (SHARED / "ko_docs").is_dir(), reason="../shared/data/ko_docs is not here")
def test_real_pages_have_no_frame() -> None:
    pages = sorted((SHARED / "ko_docs" / "pytorch_html").glob("*.html"))
    assert pages
    for page in pages:
        (document,) = read(found(page), ReadSettings())
        assert not re.search(
            "Skip to main|Rate this|PyTorchKorea @ GitHub|cookies on this site|한국어 모델 허브", document.text
        )
        assert f"# {document.title}\n" in document.text
        assert document.text.count("```") % 2 == 0
