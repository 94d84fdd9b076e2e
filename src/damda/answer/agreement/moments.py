"""Days, weeks, seasons and times of day of a question, in one spelling.

Knows: their names in Korean and English, and what "다음" and "last" stand before. Does not know: the calendar.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from damda.answer.agreement.quantities import timed
from damda.answer.agreement.question import Question

_SAME = {
    "금일": "오늘", "명일": "내일", "익일": "내일", "작일": "어제", "그저께": "그제", "엊그제": "그제",
    "그그저께": "그제",
    "금년": "올해", "지난해": "작년", "전년": "작년", "전년도": "작년", "명년": "내년", "내년도": "내년",
    "올해": "올해",
    "성탄절": "크리스마스", "설": "설날", "구정": "설날", "한가위": "추석", "아침": "오전", "월욜": "월요일",
    "화욜": "화요일", "수욜": "수요일", "목욜": "목요일", "금욜": "금요일", "토욜": "토요일", "일욜": "일요일",
    "매달": "매월", "금주": "이번주", "차주": "다음주", "내주": "다음주", "전주": "지난주", "금월": "이번달",
    "당월": "이번달", "익월": "다음달", "전월": "지난달", "여름철": "여름", "겨울철": "겨울", "주중": "평일",
    "정오": "낮", "하절기": "여름", "동절기": "겨울",
}  # fmt: skip
_NAMES = frozenset(
    "오늘 내일 모레 글피 어제 그제 올해 작년 내년 재작년 내후년 주말 평일 공휴일 휴일 월요일 화요일 수요일"
    " 목요일 금요일 토요일"
    " 일요일 봄 여름 가을 겨울 상반기 하반기 연초 연말 월초 월말 새벽 오전 오후 저녁 밤 점심 자정 낮 크리스마스"
    " 설날 추석 매일"
    " 매주 매월 매년 당일 전날 격주 방학 개학 평생 격일 초반 중반 후반".split()
)
_SPAN = r"주말|주|달|월|해|년도|년|학기|분기|시즌|번|회차|회|차|기"
_RELATIVE = re.compile(
    rf"(다다음|지지난|저저번|이번|요번|지난|저번|다음|직전|현재)\s?({_SPAN})(?![가-힣]*(?:소|메일|카페))"
)
_CALLED = {"요번": "이번", "저번": "지난", "저저번": "지지난", "직전": "지난", "현재": "이번"}
_SPANS = {"월": "달", "년": "해", "년도": "해"}
_YEARS = {"이번해": "올해", "지난해": "작년", "다음해": "내년"}

_ENGLISH = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|weekdays?|weekends?"
    r"|january|february|march|april|june|july|august|september|october|november|december|morning|afternoon|evening"
    r"|night|noon|midnight|spring|summer|autumn|winter|christmas|daily|weekly|monthly|yearly|annual(?:ly)?"
    r"|(?:this|next|last|previous|current|every) (?:week|weekend|month|year|semester|quarter|season|term))\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=1024)
def moments(question: Question) -> frozenset[str]:
    """All of them."""
    return frozenset(_korean(question)) if question.korean else frozenset(_english(question.text))


def is_moment(form: str) -> bool:
    """Whether a noun says when."""
    return form in _NAMES or form in _SAME


def differ(one: frozenset[str], other: frozenset[str]) -> str:
    """ "date: 오늘/내일" where they do. "이번" and the like without what they are of count where both have one."""
    bare, theirs = one & _BARE, other & _BARE
    if not bare or not theirs:
        one, other = one - _BARE, other - _BARE
    if one == other:
        return ""
    return "date: " + "/".join(", ".join(sorted(side)) or "-" for side in (one - other, other - one))


def _korean(question: Question) -> Iterator[str]:
    taken: list[tuple[int, int]] = []
    rest, _ = timed(question.text)  # "오후" of "오후 2시" is told by `quantities`
    for match in _RELATIVE.finditer(question.text):
        which, span = _CALLED.get(match[1], match[1]), _SPANS.get(match[2], match[2])
        taken.append(match.span())
        yield _YEARS.get(which + span, which + span)
    for token in question.said:
        if token.tag not in ("NNG", "NNP", "MAG", "NNB") or any(a <= token.start < b for a, b in taken):
            continue
        if rest[token.start : token.end].isspace():
            continue
        name = token.form.removesuffix("시간")
        name = _SAME.get(name, name)
        if name in _NAMES or name in _NAMED:
            yield name
        elif token.form in _BARE_FORMS and token.tag == "NNG":
            yield _BARE_FORMS[token.form]
    if _RATE.search(question.text):
        yield from (_PER[match[1]] for match in _RATE.finditer(question.text))


_BARE_FORMS = {"이번": "이번", "저번": "지난", "지난번": "지난", "다음번": "다음", "다음": "다음"}
_BARE = frozenset(_BARE_FORMS.values())
_RATE = re.compile(r"(?:일|한|1)\s?(주일|주|달|년|해)에(?=.*(?:몇|얼마))")
_PER = {"주일": "매주", "주": "매주", "달": "매월", "년": "매년", "해": "매년"}
_NAMED = frozenset(("이번주", "다음주", "지난주", "이번달", "다음달", "지난달"))


def _english(text: str) -> Iterator[str]:
    for match in _ENGLISH.finditer(text):
        name = re.sub(r"\s+", " ", match[0].lower())
        yield name.removesuffix("s") if name.endswith(("days", "ends")) else name.replace("previous", "last")
