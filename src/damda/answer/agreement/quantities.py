"""Numbers with their units, clock times and dates of a question, in one spelling.

Knows: digits, Korean and Sino-Korean numerals, English ones,
units that are the same unit. Does not know: which of two
questions is right.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from damda.answer.agreement.question import Question
from damda.types import Morpheme

Quantity = tuple[str, str]
"""Value and unit; "" for none."""

_SINO = {char: value for value, char in enumerate("영일이삼사오육칠팔구")} | {"공": 0}
_TENS = {"십": 10, "백": 100, "천": 1000}
_MYRIADS = {"만": 10**4, "억": 10**8, "조": 10**12}
_NATIVE_TENS = {
    "열": 10, "스물": 20, "스무": 20, "서른": 30, "마흔": 40, "쉰": 50, "예순": 60, "일흔": 70, "여든": 80,
    "아흔": 90,
}  # fmt: skip
_NATIVE = {
    "하나": 1, "한": 1, "첫": 1, "첫째": 1, "둘": 2, "두": 2, "둘째": 2, "셋": 3, "세": 3, "석": 3, "서": 3,
    "셋째": 3,
    "넷": 4, "네": 4, "넉": 4, "너": 4, "넷째": 4, "다섯": 5, "여섯": 6, "일곱": 7, "여덟": 8, "아홉": 9,
}  # fmt: skip
_DAYS = {"하루": 1, "이틀": 2, "사흘": 3, "나흘": 4, "닷새": 5, "엿새": 6, "이레": 7, "여드레": 8, "아흐레": 9,
         "열흘": 10, "보름": 15}  # fmt: skip
_MONTHS = {f"{name}월": number for number, name in enumerate("일 이 삼 사 오 유 칠 팔 구 시 십일 십이".split(), 1)}
_MONTHS["육월"], _MONTHS["십월"] = 6, 10

_UNITS = {
    same: line.split()[0]
    for line in (
        "번 회 차례", "명 인 사람", "개월 달", "주 주일 주간", "년 해 년도 년간", "일 날 일간",
        "% 퍼센트 프로 percent",
        "원 ₩ won", "달러 $ 불 dollar dollars usd", "유로 € euro euros", "파운드 £",
        "km 킬로미터 ㎞ kilometer kilometers",
        "kg 킬로그램 킬로 ㎏", "cm 센티미터 센티 ㎝", "mm 밀리미터 ㎜", "m 미터 meter meters", "g 그램 gram grams",
        "l 리터 liter liters", "ml 밀리리터", "gb 기가바이트 기가", "mb 메가바이트 메가", "tb 테라바이트 테라",
        "도 ℃",
        "시간 hour hours", "분 분간 minute minutes", "초 second seconds", "day days", "week weeks", "month months",
        "year years", "mile miles", "개 가지 건", "살 세", "시 o'clock",
    )
    for same in line.split()
}  # fmt: skip
_SOFT = frozenset(("", "번", "명", "개", "가지"))
"""With these, "one" says little: "한 번 알려 줘", "a"."""

_HALVES = {
    "오전": 0,
    "새벽": 0,
    "아침": 0,
    "am": 0,
    "a.m.": 0,
    "오후": 12,
    "저녁": 12,
    "밤": 12,
    "낮": 12,
    "pm": 12,
    "p.m.": 12,
}
_HOUR = r"(?:\d{1,2}|열두|열한|다섯|여섯|일곱|여덟|아홉|한|두|세|네|열)"
_CLOCK = re.compile(
    rf"(?:(?P<half>오전|오후|새벽|아침|저녁|밤|낮)\s*에?\s*)?(?P<hour>{_HOUR})\s?시(?!간|[가-힣]*험)"
    rf"(?:\s?(?:(?P<minute>\d{{1,2}}|[이삼사오]?십[일이삼사오육칠팔구]?|[오])\s?분|(?P<mid>반)))?"
)
_DIGITAL = re.compile(
    r"(?:(?P<half>오전|오후)\s*)?(?<![\d:])(?P<hour>\d{1,2}):(?P<minute>\d{2})(?![\d:])\s*(?P<late>[ap]\.?m)?", re.I
)
_ENGLISH_CLOCK = re.compile(r"\b(?P<hour>\d{1,2})\s*(?P<half>[ap]\.?m\b\.?|o'clock)", re.I)
_ISO = re.compile(r"(?<!\d)(\d{4})[-./]\s?(\d{1,2})[-./]\s?(\d{1,2})(?!\d)")
_ENGLISH = {
    word: str(value)
    for value, words in enumerate(
        "zero|one first once|two second twice|three third|four fourth|five fifth|six sixth|seven seventh|eight"
        " eighth|nine ninth|ten"
        " tenth|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty".split("|")
    )
    for word in words.split()
} | {
    "thirty": "30",
    "forty": "40",
    "fifty": "50",
    "hundred": "100",
    "thousand": "1000",
    "million": "1000000",
    "half": "1/2",
}


@lru_cache(maxsize=1024)
def quantities(question: Question) -> frozenset[Quantity]:
    """All of them; "one" where it says little is left out."""
    rest, found = timed(question.text)
    found |= set(_korean(question, rest)) if question.korean else set(_english(rest))
    return frozenset((value, unit) for value, unit in found if not (value == "1" and unit in _SOFT))


def differ(one: frozenset[Quantity], other: frozenset[Quantity]) -> str:
    """ "number: 3/5" or "unit: km/m" where they do; one that has no unit is equal to the same number with one."""
    left, right = set(one - other), set(other - one)
    for value, unit in sorted(left):
        same = next((pair for pair in right if pair[0] == value and not (pair[1] and unit)), None)
        if same:
            left.discard((value, unit))
            right.discard(same)
    if not left and not right:
        return ""
    for value, unit in sorted(left):
        for theirs, their_unit in sorted(right):
            if theirs == value:
                return f"unit: {unit}/{their_unit}"
    return "number: " + "/".join(", ".join(sorted(v + u for v, u in side)) or "-" for side in (left, right))


def timed(text: str) -> tuple[str, set[Quantity]]:
    """Clock times and dates, and the text with blanks in their place."""
    found: set[Quantity] = set()

    def date(match: re.Match[str]) -> str:
        found.update(((match[1], "년"), (str(int(match[2])), "월"), (str(int(match[3])), "일")))
        return " " * len(match[0])

    def clock(match: re.Match[str]) -> str:
        parts = match.groupdict()
        hour = _value(parts["hour"]) or 0
        minute = 30 if parts.get("mid") else int(_value(parts.get("minute") or "0") or 0)
        half = (parts.get("half") or parts.get("late") or "").lower().replace(".", "")
        half = "" if half == "o'clock" else half
        if hour > 24 or minute > 59:
            return match[0]
        if half:
            hour = hour % 12 + _HALVES[half] if hour <= 12 else hour
            if half == "밤" and hour == 12:
                hour = 0
        sure = "" if half or hour > 12 or hour == 0 else "?"
        found.add((f"{int(hour)}:{minute:02}{sure}", "시"))
        return " " * len(match[0])

    text = _ISO.sub(date, text)
    for pattern in (_CLOCK, _DIGITAL, _ENGLISH_CLOCK):
        text = pattern.sub(clock, text)
    return text, found


def _korean(question: Question, rest: str) -> Iterator[Quantity]:
    said = question.said
    run, at = "", -1
    for n, token in enumerate(said):
        form = token.form
        if rest[token.start : token.end].isspace() or form in ("몇", "여러", "수") or _is_none(said, n):
            continue  # told by `timed`, or no number
        yield from _named(said, n)
        if token.tag == "W_SERIAL":
            yield form, ""
        elif token.tag in ("NR", "SN") or (token.tag == "MM" and _value(form) is not None):
            joins = at == n - 1 and "NR" in (token.tag, said[at].tag)
            run, at = run + form if joins else form, n
            after = said[n + 1].tag if n + 1 < len(said) else ""
            if after in ("NR", "SN") and "NR" in (after, token.tag):
                continue  # "2만 5천" goes on
            value = _value(run)
            if value is not None:
                unit = _unit_at(question, n)
                if not (value == 1 and unit in ("년", "주", "일", "개월") and _is_rate(said, n + 1)):
                    yield _shown(value), unit


def _named(said: tuple[Morpheme, ...], n: int) -> Iterator[Quantity]:
    """Words that are a number and its unit in one."""
    form, tag = said[n].form, said[n].tag
    if form in _DAYS and tag in ("NNG", "NR"):
        yield str(_DAYS[form]), "일"
    elif form in _MONTHS and tag == "NNG":
        yield str(_MONTHS[form]), "월"
    elif form == "일주일" and not _is_rate(said, n):
        yield "1", "주"
    elif form == "반" and n and said[n - 1].form in ("시간", "년", "달", "개월", "배"):
        yield "1/2", ""


def _unit_at(question: Question, n: int) -> str:
    """The unit of the number that is the n-th morpheme: behind it, or a sign on either side."""
    token = question.said[n]
    after = question.said[n + 1].form if n + 1 < len(question.said) else ""
    sign = question.text[token.start - 1 : token.start] if token.start else ""
    mark = question.text[token.end : token.end + 1]
    return _unit(after, token.form) or _UNITS.get(sign, "") or (_UNITS[mark] if mark in ("%", "℃") else "")


def _is_none(said: tuple[Morpheme, ...], n: int) -> bool:
    """ "둘 중", "이번", "만" (only), which are tagged as numbers."""
    form, after = said[n].form, said[n + 1].form if n + 1 < len(said) else ""
    alone = n == 0 or said[n - 1].tag not in ("NR", "SN")
    if said[n].tag not in ("NR", "MM"):
        return False
    return (form in ("둘", "두", "셋") and after in ("중", "가운데")) or (
        alone
        and (
            (form == "이" and (n + 1 == len(said) or said[n + 1].tag not in ("NR", "SN")))
            or (form == "만" and after not in _UNITS)
        )
    )


def _is_rate(said: tuple[Morpheme, ...], n: int) -> bool:
    """ "일주일에", "1년에": told by `moments`."""
    return n + 1 < len(said) and said[n + 1].form == "에" and any(t.form in ("몇", "얼마나", "얼마") for t in said)


def unit_of(name: str) -> str:
    """The unit's first name: "번" for "회"."""
    return _UNITS.get(name.lower(), name.lower())


def _unit(form: str, numeral: str) -> str:
    if form == "분" and numeral in _NATIVE:
        return "명"
    if form.lower() in _UNITS:
        return _UNITS[form.lower()]
    return form if form in _OTHERS else ""


_OTHERS = frozenset(
    "월 배 층 호 조 항 권 편 대 위 등 급 점 쌍 장 잔 병 박 평 마리 인분 학년 분기 차 호선 번지 번째 째 인치"
    " 칼로리".split()
)


def _english(rest: str) -> Iterator[Quantity]:
    words = re.findall(r"[A-Za-z']+|\d[\d,]*(?:\.\d+)?|[%$€£₩]", rest)
    for n, word in enumerate(words):
        value = _shown(float(word.replace(",", ""))) if word[0].isdigit() else _ENGLISH.get(word.lower())
        if value is None:
            continue
        after = words[n + 1].lower() if n + 1 < len(words) else ""
        before = words[n - 1] if n else ""
        yield value, _UNITS.get(before if before in "$€£₩" and before else after, "")


def _value(numeral: str) -> float | None:
    """Of digits, Korean and Sino-Korean numerals, mixed too: "2만 5천", "스물다섯"."""
    text = numeral.replace(",", "").replace(" ", "")
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    if text in _NATIVE:
        return _NATIVE[text]
    for tens, value in _NATIVE_TENS.items():
        if text.startswith(tens) and (text == tens or text[len(tens) :] in _NATIVE):
            return value + _NATIVE.get(text[len(tens) :], 0)
    return _sino(text)


def is_quantity(form: str) -> bool:
    """Whether a noun is a number and its unit in one: "사흘", "오월"."""
    return form in _DAYS or form in _MONTHS or form == "일주일"


def _sino(text: str) -> float | None:
    total = group = digit = 0.0
    for part in re.findall(r"\d+(?:\.\d+)?|.", text):
        if part[0].isdigit():
            digit = float(part)
        elif part in _SINO:
            digit = digit * 10 + _SINO[part]
        elif part in _TENS:
            group += (digit or 1) * _TENS[part]
            digit = 0
        elif part in _MYRIADS:
            total += (group + digit or 1) * _MYRIADS[part]
            group = digit = 0
        else:
            return None
    return total + group + digit if text else None


def _shown(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
