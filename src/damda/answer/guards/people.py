"""Names of people in a Korean text.

Knows: surnames, syllables of given names, and the signs beside a name: labels, columns, titles, a number of the same
person. Does not know: words (but some that look like names). There is no dictionary and no morphological analysis: a
name without a sign beside it is not found, and those of public roles (a president, a player) are no personal data here.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from damda.answer.guards.cues import Candidate, column
from damda.answer.guards.nouns import LABELS, STEMS, TITLES, WORDS

_SURNAMES = frozenset(
    "김이박최정강조윤장임한오서신권황안송류유홍전고문양손배백허남심노하곽성차주우구민진지엄채원천방공현함변염여추도소석선설마"
    "길연위표명기반라왕금옥육인맹제모탁국어은편용예경봉사부가복태목형피두감음빈동온호범좌팽승간상시갈"
)
_RARE = frozenset("어은편용예경봉사부가복태목형피두감음빈동온호범좌팽승간상시갈기반라왕")
_DOUBLE = ("남궁", "황보", "제갈", "사공", "선우", "서문", "독고", "동방", "망절")
_FIRST = frozenset(
    "말점분복갑판삼막쌍가강건경계관광교국규근금기길나남다대덕도동두라란래려루리린마만명모무문미민바범병보복봄봉빈빛상새서석선설성세소솔송수순슬"
    "승시신아안애양언여연열영예오옥완용우욱운웅원유윤율은을이인일임자장재전정제조종주준중지진찬창채천철초춘충치태필하학한해향"
    "헌혁현형혜호홍화환효훈휘희"
)
_SECOND = frozenset(
    "녀건겸결경곤관광교국규균근금기길나남늘담덕동라람란래련령례록룡름리린림명모문미민백범별본봄복봉배빈상서석선섭성세소솔송수숙"
    "순슬승식신실심아안애양언연열엽영예옥완용욱우운웅원월유윤율은음익인일임자장재전정제조종주준중지진찬창채천철초춘출충태택표"
    "필하학한해향헌혁현협형혜호홍화환회효훈휘흠희"
)
_PARTICLE = (
    "입니다|이에요|예요|이?라고|이?라는|이며|이고|이나|이랑|인데|에게서?|한테|께서?|의|은|는|이[가는의를]?|가|을|를|과|와|도|으?로"
    "|로부터|이?라|이?요|인"
)
_TITLE = "|".join(sorted(TITLES, key=len, reverse=True))
_REST = re.compile(rf"(?P<title>{_TITLE})?(?P<sir>님)?(?:{_PARTICLE})?")
_NEXT = re.compile(rf" (?P<title>{_TITLE})?(?P<sir>님)?(?:{_PARTICLE})?(?![가-힣])")
_WORD = re.compile(
    f"(?<![가-힣A-Za-z0-9])(?:[{''.join(_SURNAMES)}][{''.join(_FIRST | _SECOND)}]|{'|'.join(_DOUBLE)})[가-힣]*"
    "(?![A-Za-z0-9])"
)
_LATIN = re.compile(
    r"(?:\b(?i:name|customer|patient|applicant|holder|employee|contact)\"?|성명|이름|영문명|고객명)\s?[:=]\s?\"?"
    r"((?:[A-Z][a-z]+|[A-Z]{2,})(?:[ -](?:[A-Z][a-z]+|[A-Z]{2,}))?,? (?:[A-Z][a-z]+|[A-Z]{2,})(?:-[A-Za-z][a-z]+)?)"
    r"(?!\w)"
)
_KEY = re.compile(
    r"(?:name|customer|patient|user|owner|holder|recipient|sender|manager|employee|applicant|contact)[\"']?\s?[:=>|]\s?[\"']?$",
    re.IGNORECASE,
)
_VERBAL = "한하해나라은"
_ENDINGS = "한하해나라은인기지화성자형서학식제장상의"


def names(text: str, beside: Sequence[Candidate] = ()) -> Iterator[Candidate]:
    """Names with a sign beside them.

    Args:
        text: with plain characters.
        beside: other personal data in it; a name on one line with a person's number is found without another sign.
    """
    near = sorted(_around(text, one) for one in beside if one.kind in _PERSONS)
    listed = -1  # where a name would begin that is listed after the one before
    for match in _WORD.finditer(text):
        for length in _lengths(match[0]):
            endings = _sign(text, match, length, near)
            if endings is None and length > 2 and listed == match.start():
                endings = _ENDINGS
            if endings is not None and not _is_word(match[0][:length], endings):
                yield Candidate("name", match.start(), match.start() + length, 0)
                mark = _LISTED.match(text, match.start() + length)
                listed = mark.end() if mark else -1
                break
    if ":" in text or "=" in text:
        for match in _LATIN.finditer(text):
            yield Candidate("name", *match.span(1), 0)


def _lengths(word: str) -> tuple[int, ...]:
    """How many of a word's first syllables look like a name; the most likely first."""
    if word[:2] in _DOUBLE:
        return (4,) if len(word) >= 4 and word[2] in _FIRST and word[3] in _SECOND else ()
    short = (2,) if word[0] not in _RARE and word[1] in _SECOND else ()
    return (3, *short) if len(word) >= 3 and word[1] in _FIRST and word[2] in _SECOND else short


def _sign(text: str, word: re.Match[str], length: int, near: Sequence[tuple[int, int]]) -> str | None:
    """Endings that would make a word of it, given how sure its sign is; None: it has no sign."""
    rest = _REST.fullmatch(word[0], length)
    if rest is None:
        return None
    start, end = word.start(), word.start() + length
    title = rest["title"] or rest["sir"]
    if title in ("군", "양"):  # counties and words end so: "남제주군"
        return None
    if not title and end == word.end() and (following := _NEXT.match(text, end)):
        title = following["title"] or following["sir"]
    if title in ("씨", "님") or rest["sir"]:
        return _VERBAL
    if (mark := _labelled(text, start)) or _in_column(text, start, word.end()):
        return _ENDINGS if mark and mark in "([" else ""
    if length == 2 or word[0][0] in _RARE:
        return None
    if title or _told(text, start) or (end == word.end() and _AGED.match(text, end)):
        return _VERBAL if title else _ENDINGS
    before = bisect_right(near, (start, len(text)))  # of those that begin before, only the last ones can reach so far
    return _ENDINGS if any(end <= stop for _, stop in near[max(0, before - _REACH) : before]) else None


_REACH = 12


_LISTED = re.compile(r" ?[,·/] ?")
_AGED = re.compile(r" ?\((?:[남여][,) ]|[남여]?만? ?\d{1,3}세)")
_MARKS = " \"'*`"


def _labelled(text: str, start: int) -> str:
    """The mark of a label before: "예금주: 김민수", "담당자(김민수)", `"name": "김민수"`; "" for no label."""
    at = start
    while at and text[at - 1] in _MARKS:
        at -= 1
    if at and text[at - 1] == "\n":  # a form: the label has a line of its own
        return "\n" if text[text.rfind("\n", 0, at - 1) + 1 : at - 1].strip(_MARKS) in LABELS else ""
    if not at or text[at - 1] not in ":=|(>[":
        return ""
    if text[at - 1] not in "([" and _KEY.search(text, max(0, start - 24), start):
        return text[at - 1]
    label = text[max(0, at - 1 - _LABEL) : at - 1].rstrip(_MARKS)
    if label.endswith(")"):  # "담당자 (정): 김민수"
        label = label.rpartition("(")[0].rstrip()
    return text[at - 1] if _is_label(label) else ""


_LABEL = 24
"""Characters before a name in which its label stands."""


def _is_label(before: str) -> bool:
    """Whether a text ends with a label, of one word or two."""
    last = _run(before)
    rest = before[: len(before) - len(last)]
    if len(last) > 2 and last[-1] in "자인명":  # 접수자, 동의인, 직원명
        return True
    return last in LABELS or (rest.endswith(" ") and f"{_run(rest[:-1])}{last}" in LABELS)


def _run(before: str) -> str:
    """The Hangul at the end of a text."""
    at = len(before)
    while at and "가" <= before[at - 1] <= "힣":
        at -= 1
    return before[at:]


def _told(text: str, start: int) -> bool:
    """A label and a space stand before: "신청인 김민수는", "이름은 김민수입니다"."""
    if text[start - 1 : start] not in (" ", "'", '"'):
        return False
    last = _run(text[max(0, start - _LABEL) : start].rstrip(" '\"(,"))
    return last in LABELS or (last[-1:] in ("은", "는", "인") and last[:-1] in LABELS)


def _in_column(text: str, start: int, end: int) -> bool:
    """It is a whole cell of a table, below a head that is a label."""
    before, after = text[max(0, start - 3) : start].rstrip(' "')[-1:], text[end : end + 3].lstrip(' "')[:1]
    if before not in "|\t,;\n" or after not in "|\t,;\n":
        return False
    head = column(text, start).strip(_MARKS).lower()
    return head in LABELS or head.endswith("name")


_PERSONS = frozenset(("rrn", "frn", "driver", "passport", "card", "account", "phone", "email"))
_FAR = 60
"""Characters between a number and the name of whom it is, at most."""


def _around(text: str, one: Candidate) -> tuple[int, int]:
    begin = text.rfind("\n", 0, one.start) + 1
    end = text.find("\n", one.end)
    return max(begin, one.start - _FAR), min(len(text) if end < 0 else end, one.end + _FAR)


def _is_word(name: str, endings: str) -> bool:
    """Whether it only looks like a name: a word, or one with an ending that can follow its last sound."""
    if name in WORDS or name in STEMS:
        return True
    consonant = (ord(name[-2]) - ord("가")) % 28 > 0
    possible = consonant if name[-1] == "은" else not consonant if name[-1] in "나라" else True
    return possible and name[-1] in endings and name[:-1] in STEMS
