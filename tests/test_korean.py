"""Sentence ends and morphemes, on hard cases and on anything."""

import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damda.errors import ConfigError
from damda.korean import Morphemes, nfc, sentences

PIECES = st.sampled_from(
    [
        " ",
        "\n",
        "\n\n",
        ".",
        "...",
        "?!",
        "…",
        "。",
        '"',
        "”",
        ")",
        "1.",
        "가.",
        "제3조",
        "했다.",
        "그리고",
        "Mr.",
        "- ",
    ]
    + ["e.g.", "3.14", "\t", "\u3000", "\u200b", "\r", "\x0b", "\u2028", "e\u0301", "\u1100\u1161\u11a8", "①", "다.A"]
)


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@given(st.one_of(st.lists(PIECES).map("".join), st.text()))
def test_sentences_hold_all_but_white_space(text: str) -> None:
    at = 0
    for start, end in sentences(text):
        assert at <= start < end <= len(text)
        assert not text[at:start].strip(), "text between two sentences"
        assert text[start:end] == text[start:end].strip()
        at = end
    assert not text[at:].strip()


@pytest.mark.parametrize(
    "expected",
    [
        ["1. 목적을 정한다.", "가. 범위는 다음과 같다."],
        ["다음과 같다.", "1의2. 범위를 정한다.", "4의2\\. 기한을 정한다."],
        ["이 회사는 J. Kim이 세웠다.", "좋다."],
        ["값은 3.14이다.", "끝."],
        ["이 규칙은 2024. 1. 1. 시행한다.", "다만, 제3조는 2025. 12. 31.부터 시행한다."],
        ["정말?!", "네…", "아니요."],
        ["인구가 늘었다.[12]", "그 뒤 줄었다.[3][4]", "끝이다."],
        ["“그렇다.”", "라고 했다."],
        ["See Fig. 3 for e.g. this.", "Next one!"],
        ["www.example.com에 접속하세요.", "감사합니다."],
        ["휴가는 15일이다.", "(단, 수습은 제외한다.)", "끝"],
        ["- 하나", "- 둘", "마지막 줄"],
        ["끝에 점이 없는 문장"],
    ],
)
def test_hard_sentence_ends(expected: list[str]) -> None:
    assert split(" ".join(expected) if not expected[0].startswith("-") else "\n".join(expected)) == expected


def test_sentences_typed_without_a_space() -> None:
    assert split("보고했다.그리고 갔다.") == ["보고했다.", "그리고 갔다."]
    assert split("A.B.C 주식회사는 v1.2.3을 낸다.") == ["A.B.C 주식회사는 v1.2.3을 낸다."]


WRAPPED = """\
`rustfix` 도구는 러스트 설치에 포함되어 있으며 원하는 문제를 해결할
수 있는 명확한 방법이 있는 컴파일러 경고를 자동으로 수정할 수
있습니다. 컴파일러 경고를 이미 본 적이 있을 것입니다. 예를 들어
봅시다:

- 해외 출장 중에 카드를 잃어버리면 바로 카드사 분실 신고 전화에 알리고,
  그다음 재무팀에 알린다
- Lost cards are reported to the bank at once, by telephone, and then to the
  finance team."""


def test_a_wrapped_paragraph_is_one() -> None:
    found = [" ".join(WRAPPED[a:b].split()) for a, b in sentences(WRAPPED, wrapped=True)]
    assert found == [
        "`rustfix` 도구는 러스트 설치에 포함되어 있으며 원하는 문제를 해결할 수 있는 명확한 방법이 있는 "
        "컴파일러 경고를 자동으로 수정할 수 있습니다.",
        "컴파일러 경고를 이미 본 적이 있을 것입니다.",
        "예를 들어 봅시다:",
        "- 해외 출장 중에 카드를 잃어버리면 바로 카드사 분실 신고 전화에 알리고, 그다음 재무팀에 알린다",
        "- Lost cards are reported to the bank at once, by telephone, and then to the finance team.",
    ]
    assert len(sentences(WRAPPED)) == 10, "what a model writes is no wrapped paragraph"


@pytest.mark.parametrize(
    "lines",
    [
        ["담당 부서와 연락처는 다음과 같이 정하여 운영함", "경영지원팀 내선 1234"],  # a final form
        ["주소 서울특별시 담다구 담다로 1길 23, 담다빌딩 4층 경영지원팀", "전화: 02-000-0000"],  # a label
        ["서류를 갖추어 재무팀에 제출하고 승인을 받은 사람 및 그 대리인", "1의2. 제3조에 따른 서류를 낸 사람"],
        ["짧은 줄", "그다음 줄은 앞의 줄보다 훨씬 더 길어서 여백이 그것을 끊지 않았음을 안다"],
        ["담당      내용                              기한이 되는 날짜", "탁온유    일정 알림"],
        ["| 구분이 되는 값을 여기에 적는다 | 한도가 되는 값을 여기에 적는다", "그다음"],
        ["이 줄은 일부러 여기서 끊으려고 빈칸 두 개를 뒤에 남겨 두었으므로  ", "그다음"],
        ["```", 'value = make_something_long("an argument", another_argument) +', "another_value", "```"],
    ],
)
def test_lines_that_their_author_ended(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert [text[a:b] for a, b in sentences(text, wrapped=True)] == [line.strip() for line in lines]


@given(st.one_of(st.lists(PIECES).map("".join), st.text()))
def test_wrapped_sentences_are_joined_lines(text: str) -> None:
    plain, joined = sentences(text), sentences(text, wrapped=True)
    assert {a for a, _ in joined} <= {a for a, _ in plain} and {b for _, b in joined} <= {b for _, b in plain}
    assert "".join("".join(text[a:b].split()) for a, b in joined) == "".join(text.split())


def test_no_sentences() -> None:
    assert sentences("") == sentences(" \n\t\u3000 ") == []


def test_a_long_line_takes_no_longer_than_its_length() -> None:
    text = "가나다 " * 100_000 + "." * 100_000
    assert split(text) == [text]


@given(st.text())
def test_nfc(text: str) -> None:
    assert nfc(text) == unicodedata.normalize("NFC", text)


def test_half_characters() -> None:
    """From an argument or a file name that is no UTF-8."""
    assert nfc("가\udc80나") == "가\ufffd나" == nfc("가\ud800나")
    assert nfc("\U0001f600") == "\U0001f600"


# --- morphemes


def words(morphemes: Morphemes, text: str) -> list[str]:
    return morphemes.content([text])[0]


@pytest.mark.parametrize(
    "compound, parts",
    [
        ("재택근무규정", {"재택", "근무", "규정"}),
        ("정보보호관리체계", {"정보", "보호", "관리", "체계"}),
        ("국민건강보험공단", {"국민건강보험공단", "국민", "건강", "보험", "공단"}),
        ("연차유급휴가", {"연차", "유급", "휴가"}),
        ("개인정보처리방침", {"개인", "정보", "처리", "방침"}),
        ("데이터베이스관리시스템", {"데이터베이스", "데이터", "관리", "시스템"}),
        ("삼성전자", {"삼성전자", "삼성", "전자"}),
    ],
)
def test_compounds_are_found_by_their_parts(morphemes: Morphemes, compound: str, parts: set[str]) -> None:
    assert parts <= set(words(morphemes, f"{compound}에 대해 알려 주세요"))


def test_no_parts_of_what_is_no_compound(morphemes: Morphemes) -> None:
    for noun in ("컴퓨터", "고양이", "아버지"):
        assert words(morphemes, noun) == [noun]


def test_english_and_numbers_stay_whole(morphemes: Morphemes) -> None:
    found = words(morphemes, "GPT-4o와 Python 3.11로 1,000원의 3.2%를 2024년에 ISO27001 AWS")
    assert {"gpt", "python", "3.11", "1,000", "3.2", "2024", "iso", "27001", "aws"} <= set(found)
    assert words(morphemes, "kim@example.com") == ["kim@example.com"]
    assert words(morphemes, "What is the Retention Period?") == ["retention", "period"]


def test_particles_and_endings_are_left_out(morphemes: Morphemes) -> None:
    asked = words(morphemes, "휴가는 며칠까지 쓸 수 있습니까?")
    assert "휴가" in asked and not {"는", "까지", "습니까", "수", "있"} & set(asked) - {"수"}
    assert words(morphemes, "휴가를") == words(morphemes, "휴가에서는") == ["휴가"]


def test_decomposed_text_has_the_same_words(morphemes: Morphemes) -> None:
    text = "재택근무는 주 2일까지 값어치가 있다"
    assert words(morphemes, unicodedata.normalize("NFD", text)) == words(morphemes, text) != []


def test_a_batch_is_its_texts_one_by_one(morphemes: Morphemes) -> None:
    texts = ["휴가 규정", "", "재택근무규정", "\n", "GPT-4", "ㅋㅋ 😀", "漢字", "a" * 5000, "\udc80 휴가"]
    assert morphemes.content(texts) == [words(morphemes, text) for text in texts]
    assert morphemes.content([]) == []


def test_threads_share_one_analyser(morphemes: Morphemes) -> None:
    """Searches come from many threads while a folder is indexed in another."""
    texts = [f"재택근무규정 제{i}조 국민건강보험공단" for i in range(100)]
    expected = morphemes.content(texts)
    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(morphemes.content, [texts] * 8))


def test_a_user_dictionary(tmp_path: Path, morphemes: Morphemes) -> None:
    file = tmp_path / "words.tsv"
    # As Notepad writes it: with a mark at the start and \r\n.
    file.write_text("담다봇\tNNP\r\n# a comment\r\n사내메신저앱\tNNG\t5\r\n", encoding="utf-8-sig", newline="")
    own = Morphemes(str(file))
    text = "담다봇과 사내메신저앱을 쓴다"
    assert {"담다봇", "사내메신저앱", "사내", "메신저"} <= set(words(own, text))
    assert not {"담다봇", "사내메신저앱"} & set(words(morphemes, text))
    assert own.id != morphemes.id, "stored words of another dictionary are made again"
    file.write_text("담다봇\tNNP\n")
    assert Morphemes(str(file)).id not in (own.id, morphemes.id)


@pytest.mark.parametrize("content", [b"no tab", "담다봇\tNO_SUCH_TAG".encode(), "담다봇\tNNP".encode("cp949")])
def test_a_user_dictionary_that_is_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "words.tsv"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"words\.tsv"):
        Morphemes(str(file)).load()


def test_a_user_dictionary_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        Morphemes(str(tmp_path / "none.tsv"))


def test_a_number_at_the_start_of_a_line_is_no_sentence() -> None:
    assert split("다음과 같다.\n1. 목적\n가. 범위\n  2) 기한\n1의2. 벌칙\n4의2\\. 부칙") == [
        "다음과 같다.",
        "1. 목적",
        "가. 범위",
        "2) 기한",
        "1의2. 벌칙",
        "4의2\\. 부칙",
    ]
