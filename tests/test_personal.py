"""Personal data in Korean text: what is found, where, and what the guard does about it."""

import re
import string
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from personal_cases import FOUND, NOTHING

from damda.answer.guards.identifiers import business_checks, luhn, registration_checks
from damda.answer.guards.personal import KINDS, Personal, find, mask
from damda.errors import ConfigError
from damda.types import MASK, Found, Guard

_MARKED = re.compile(r"\{([a-z]+):([^{}]*)\}")


def read(case: str) -> tuple[str, list[Found]]:
    """A text and what has to be found in it, of a text with ``{kind:value}`` in it."""
    text, found, at = "", [], 0
    for match in _MARKED.finditer(case):
        text += case[at : match.start()]
        found.append(Found(match[1], len(text), len(text) + len(match[2])))
        text += match[2]
        at = match.end()
    return text + case[at:], found


@pytest.mark.parametrize("case", FOUND)
def test_personal_data_is_found_whole_and_nothing_else(case: str) -> None:
    text, wanted = read(case)
    named = [(found.rule, text[found.start : found.end]) for found in find(text)]
    assert named == [(found.rule, text[found.start : found.end]) for found in wanted]
    assert find(text) == wanted


@pytest.mark.parametrize("text", NOTHING)
def test_what_only_looks_like_personal_data_is_left_alone(text: str) -> None:
    assert [(found.rule, text[found.start : found.end]) for found in find(text)] == []


# --- numbers, made by the rules that they have to keep to -------------------------------------------------------------

SURROUNDINGS = [
    "{}",
    "그의 번호는 {}이다.",
    "({})",
    "번호:{}\n다음 줄",
    '{{"value": "{}"}}',
    "| 가 | {} | 나 |",
    "가,{},나",
    "<td>{}</td>",
    "‘{}’라고 적혀 있다",
    "\t{}\r\n",
]
dates = st.dates(min_value=date(1900, 1, 1), max_value=date(2099, 12, 31))


@st.composite
def registrations(draw: st.DrawFn, digits: tuple[str, str]) -> str:
    """A number that checks, given the gender digits of both centuries."""
    born = draw(dates)
    sex = draw(st.sampled_from(digits[0] if born.year < 2000 else digits[1]))
    body = f"{born:%y%m%d}{sex}" + draw(st.text(string.digits, min_size=5, max_size=5))
    last = next(digit for digit in string.digits if registration_checks(body + digit))
    whole = body + last
    return draw(st.sampled_from([whole, f"{whole[:6]}-{whole[6:]}", f"{whole[:6]} - {whole[6:]}"]))


@st.composite
def cards(draw: st.DrawFn) -> str:
    body = draw(st.sampled_from("3459")) + draw(st.text(string.digits, min_size=14, max_size=14))
    whole = body + next(digit for digit in string.digits if luhn(body + digit))
    mark = draw(st.sampled_from("- "))
    return mark.join(whole[n : n + 4] for n in (0, 4, 8, 12))


@st.composite
def businesses(draw: st.DrawFn) -> str:
    body = str(draw(st.integers(100, 999))) + draw(st.text(string.digits, min_size=6, max_size=6))
    whole = body + next(digit for digit in string.digits if business_checks(body + digit))
    return f"{whole[:3]}-{whole[3:5]}-{whole[5:]}"


@st.composite
def mobiles(draw: st.DrawFn) -> str:
    one, two = draw(st.integers(0, 9999)), draw(st.integers(0, 9999))
    form = draw(st.sampled_from(["010-{}-{}", "010{}{}", "010 {} {}", "010.{}.{}", "+82-10-{}-{}", "+82 10 {} {}"]))
    return form.format(f"{one:04}", f"{two:04}")


@pytest.mark.parametrize("around", SURROUNDINGS)
@given(st.data())
def test_valid_numbers_are_found_in_any_surroundings(around: str, data: st.DataObject) -> None:
    kind, number = data.draw(
        st.one_of(
            st.tuples(st.just("rrn"), registrations(("12", "34"))),
            st.tuples(st.just("frn"), registrations(("56", "78"))),
            st.tuples(st.just("card"), cards()),
            st.tuples(st.just("brn"), businesses()),
            st.tuples(st.just("phone"), mobiles()),
        )
    )
    text = around.format(number)
    assert [(found.rule, text[found.start : found.end]) for found in find(text)] == [(kind, number)]


@pytest.mark.parametrize("edge", ["7{}", "{}7", "12-{}", "{}-12", "0.{}", "AB-{}", "{}.5"])
@pytest.mark.parametrize("number", ["900101-2345678", "9001012345678", "4111-1111-1111-1111", "010-1234-5678"])
def test_the_edge_of_something_longer_is_no_number(edge: str, number: str) -> None:
    assert find(edge.format(number)) == []


def test_registration_numbers_need_a_birthday_but_no_checksum() -> None:
    assert not registration_checks("9601211234567")
    assert [found.rule for found in find("960121-1234567")] == ["rrn"]  # given since October 2020
    assert [found.rule for found in find("960121-5234567")] == ["frn"]
    assert find("961321-1234567") == []  # no month
    assert find("230229-3234567") == []  # no leap year
    assert [found.rule for found in find("000229-3234567")] == ["rrn"]
    assert find("960121-9234567") == []  # born before 1900


def test_words_decide_where_the_form_does_not() -> None:
    assert [found.rule for found in find("계좌번호 9001012345678")] == ["account"]
    assert [found.rule for found in find("주민번호 9001012345678")] == ["rrn"]
    assert find("상품코드 900101-2345678") == []
    assert find("번호 110-234-567890") == []
    assert [found.rule for found in find("신한 110-234-567890")] == ["account"]
    # the word before another number is that one's
    assert [found.rule for found in find("주문번호 20240101, 900101-2345678")] == ["rrn"]


def test_the_head_of_a_column_is_a_word_beside_the_number() -> None:
    table = "| 이름 | 값 | 계좌번호 |\n|---|---|---|\n| 김민수 | 3 | 11023456789012 |\n| 박서연 | 4 | 22023456789 |"
    assert [found.rule for found in find(table)] == ["name", "account", "name", "account"]
    assert find(table.replace("이름", "제목").replace("계좌번호", "값")) == []


@pytest.mark.parametrize(
    "hidden",
    [
        "９００１０１－２３４５６７８",
        "900101\u20112345678",
        "900101\u22122345678",
        "900101\u30fc2345678",
        "9\u200b0\u200b0\u200b1\u200b0\u200b1-2345678",
        "900101\u00ad-\u00ad2345678",
        "900101\u00a0-\u00a02345678",
        "9️⃣0️⃣0️⃣1️⃣0️⃣1️⃣-2345678",
        "٩٠٠١٠١-٢٣٤٥٦٧٨",
        "900101\u31612345678",
    ],
)
def test_odd_characters_hide_nothing_and_places_are_those_of_the_text(hidden: str) -> None:
    text = f"\u200b번호 {hidden} 끝"
    (found,) = find(text)
    assert found.rule == "rrn"
    verdict = Personal(["rrn"]).check(text)
    assert not any(char.isdigit() for char in verdict.text)
    assert len(verdict.text) == len(text) and verdict.text.endswith(" 끝") and verdict.text.startswith("\u200b번호 ")


# --- the guard --------------------------------------------------------------------------------------------------------


def test_it_is_a_guard_that_masks_or_blocks_or_allows() -> None:
    text = "고객명: 김민수, 주민등록번호 900101-2345678, 010-1234-5678"
    guard: Guard = Personal(redact=["rrn", "phone"], block=["card"])
    verdict = guard.check(text)
    assert verdict.action == "redact" and verdict.guard == "personal" and verdict.rule == "rrn, phone"
    assert verdict.text == f"고객명: 김민수, 주민등록번호 {MASK * 6}-{MASK * 7}, {MASK * 3}-{MASK * 4}-{MASK * 4}"
    blocked = guard.check(text + " 카드 4111-1111-1111-1111")
    assert (blocked.action, blocked.text, blocked.rule) == ("block", "", "card")
    allowed = Personal(redact=["ip"]).check(text)
    assert (allowed.action, allowed.text, allowed.found) == ("allow", text, ())


def test_a_kind_that_blocks_and_is_masked_blocks() -> None:
    assert Personal(["rrn"], ["rrn"]).check("900101-2345678").action == "block"


def test_asking_for_fewer_kinds_finds_the_same_of_those() -> None:
    text = "담당자 김민수 과장(ms.kim@example.com, 010-1234-5678), 국민은행 123456-04-123456, 서울시 강남구 테헤란로 1"
    everything = find(text)
    assert {found.rule for found in everything} == {"name", "email", "phone", "account", "address"}
    for kind in KINDS:
        assert find(text, [kind]) == [found for found in everything if found.rule == kind]


def test_ids_name_what_is_done() -> None:
    assert Personal(["rrn", "card"]).id == Personal(["card", "rrn"]).id
    assert len({Personal(["rrn"]).id, Personal(["card"]).id, Personal([], ["rrn"]).id, Personal([]).id}) == 4


def test_an_unknown_kind_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"guard\.block: no kind ssn; there are rrn, frn"):
        Personal(["rrn"], ["ssn"])


def test_marks_between_stay_and_letters_go() -> None:
    text = "메일 a.b@c-d.kr"
    assert mask(text, find(text)) == f"메일 {MASK}.{MASK}@{MASK}-{MASK}.{MASK * 2}"


ANY = st.text(
    alphabet=st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("0123456789-. @()|,:\n서울시강남구로김민수씨님계좌\u200b"),
    ),
    max_size=120,
)


@given(ANY, st.data())
def test_masking_keeps_length_and_everything_outside(noise: str, data: st.DataObject) -> None:
    number = data.draw(st.one_of(mobiles(), cards(), registrations(("12", "34"))))
    at = data.draw(st.integers(0, len(noise)))
    text = f"{noise[:at]} {number} {noise[at:]}"
    found = find(text)
    assert all(one.end <= other.start for one, other in zip(found, found[1:], strict=False))
    assert all(0 <= one.start < one.end <= len(text) and one.rule in KINDS for one in found)
    masked = mask(text, found)
    inside = {place for one in found for place in range(one.start, one.end)}
    assert len(masked) == len(text)
    assert all(masked[n] == char for n, char in enumerate(text) if n not in inside or not char.isalnum())
    assert all(masked[n] == MASK for n in inside if text[n].isalnum())


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Nd"], exclude_characters="@＠"), max_size=200))
def test_a_text_without_digits_and_at_signs_has_no_numbers(text: str) -> None:
    numbers = set(KINDS) - {"name", "address", "email", "phone"}  # digits can be said in words, @ too
    assert not numbers & {found.rule for found in find(text)}


@pytest.mark.parametrize(
    "text",
    [
        "1" * 20_000,
        "1-" * 10_000,
        "1 " * 10_000,
        "a@" * 10_000,
        "김민수 " * 5_000,
        "(" * 9_000,
        "김민수,010-1234-5678,M12345678\n" * 5_000,
    ],
)
def test_texts_made_to_be_slow_come_to_an_end(text: str) -> None:
    # Quadratic work on these would take minutes.
    assert len(mask(text, find(text))) == len(text)


@pytest.mark.parametrize("gap", ["-", "", " ", "\n", "-\n", "\n-", " - "])
def test_a_labelled_registration_number_is_found_across_a_line_end(gap: str) -> None:
    text = f"주민등록번호는 900101{gap}2345678 이다."
    (found,) = find(text)
    assert (found.rule, text[found.start : found.end]) == ("rrn", f"900101{gap}2345678")
    assert mask(text, [found]) == text.replace("900101", "●" * 6).replace("2345678", "●" * 7)


def test_two_columns_of_numbers_are_no_registration_number() -> None:
    assert not find("수량\n900101\n2345678\n"), "the checksum is against it, and nothing says what they are"
