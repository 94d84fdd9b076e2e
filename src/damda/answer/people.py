"""Names of people in a Korean text.

Knows: surnames, syllables of given names, and the signs beside a name: labels, columns, titles, a number of the same
person. Does not know: words (but some that look like names). There is no dictionary and no morphological analysis: a
name without a sign beside it is not found, and those of public roles (a president, a player) are no personal data here.
"""

import re
from collections.abc import Iterator, Sequence

from damda.answer.cues import Candidate, column
from damda.answer.nouns import LABELS, STEMS, TITLES, WORDS

_SURNAMES = frozenset(
    "김이박최정강조윤장임한오서신권황안송류유홍전고문양손배백허남심노하곽성차주우구민진지엄채원천방공현함변염여추도소석선설마"
    "길연위표명기반라왕금옥육인맹제모탁국어은편용예경봉사부가복태목형피두감음빈동온호범좌팽승간상시갈"
)
_RARE = frozenset("어은편용예경봉사부가복태목형피두감음빈동온호범좌팽승간상시갈기반라왕")
_DOUBLE = frozenset("남궁 황보 제갈 사공 선우 서문 독고 동방 망절".split())
_FIRST = frozenset(
    "가강건경계관광교국규근금기길나남다대덕도동두라란래려루리린마만명모무문미민바범병보복봄봉빈빛상새서석선설성세소솔송수순슬"
    "승시신아안애양언여연열영예오옥완용우욱운웅원유윤율은을이인일임자장재전정제조종주준중지진찬창채천철초춘충치태필하학한해향"
    "헌혁현형혜호홍화환효훈휘희"
)
_SECOND = frozenset(
    "건겸결경곤관광교국규균근금기길나남늘담덕동라람란래련령례록룡름리린림명모문미민백범별본봄복봉배빈상서석선섭성세소솔송수숙"
    "순슬승식신실심아안애양언연열엽영예옥완용욱우운웅원월유윤율은음익인일임자장재전정제조종주준중지진찬창채천철초춘출충태택표"
    "필하학한해향헌혁현협형혜호홍화환회효훈휘흠희"
)
_PARTICLE = (
    "입니다|이에요|예요|이?라고|이?라는|이며|이고|이나|이랑|인데|에게서?|한테|께서?|의|은|는|이[가는의를]?|가|을|를|과|와|도|으?로"
    "|로부터|이?라|인"
)
_REST = re.compile(rf"(?P<title>{'|'.join(sorted(TITLES, key=len, reverse=True))})?(?P<sir>님)?(?:{_PARTICLE})?")
_WORD = re.compile("[가-힣]+")
_LATIN = re.compile(
    r"(?:\b(?:name|customer|patient|applicant|holder|employee|contact)\"?|성명|이름|영문명|고객명)\s?[:=]\s?\"?"
    r"((?:[A-Z][a-z]+|[A-Z]{2,})(?:[ -](?:[A-Z][a-z]+|[A-Z]{2,}))?,? (?:[A-Z][a-z]+|[A-Z]{2,})(?:-[A-Za-z][a-z]+)?)"
    r"(?![A-Za-z])"
)
_KEY = re.compile(
    r"(?:name|customer|patient|user|owner|holder|recipient|sender|manager|employee|applicant|contact)[\"']?\s?[:=>|]\s?[\"']?$",
    re.IGNORECASE,
)
_VERBAL = "한하해"
_ENDINGS = "한하해은인기지화성자형서학식제장상의"


def names(text: str, words: Sequence[re.Match[str]], beside: Sequence[Candidate] = ()) -> Iterator[Candidate]:
    """Names with a sign beside them.

    Args:
        text: with plain characters.
        words: runs of Hangul in it (`hangul`).
        beside: other personal data in it; a name on one line with a person's number is found without another sign.
    """
    near = [_around(text, one) for one in beside if one.kind in _PERSONS]
    for n, word in enumerate(words):
        for length in _lengths(word[0]):
            endings = _sign(text, words, n, length, near)
            if endings is not None and not _is_word(word[0][:length], endings):
                yield Candidate("name", word.start(), word.start() + length, 0)
                break
    if ":" in text or "=" in text:
        for match in _LATIN.finditer(text):
            yield Candidate("name", *match.span(1), 0)


def hangul(text: str) -> list[re.Match[str]]:
    """Runs of Hangul syllables."""
    return list(_WORD.finditer(text))


def _lengths(word: str) -> tuple[int, ...]:
    """How many of a word's first syllables look like a name; the most likely first."""
    if word[0] not in _SURNAMES or len(word) < 2:
        return ()
    if word[:2] in _DOUBLE and len(word) >= 4 and word[2] in _FIRST and word[3] in _SECOND:
        return (4,)
    if len(word) >= 3 and word[1] in _FIRST and word[2] in _SECOND:
        return (3, 2) if word[0] not in _RARE and word[1] in _SECOND else (3,)
    return (2,) if word[0] not in _RARE and word[1] in _SECOND else ()


def _sign(
    text: str, words: Sequence[re.Match[str]], n: int, length: int, near: Sequence[tuple[int, int]]
) -> str | None:
    """Endings that would make a word of it, given how sure its sign is; None: it has no sign."""
    word = words[n]
    start, end = word.start(), word.start() + length
    rest = _REST.fullmatch(word[0], length)
    if rest is None or (text[start - 1 : start].isalnum() and start) or text[word.end() : word.end() + 1].isalnum():
        return None
    full, rare = length > 2, word[0][0] in _RARE
    if _labelled(text, words, n) or _incolumn(text, start, word.end()):
        return ""
    if (
        rest["title"] in ("씨", "님")
        or rest["sir"]
        or (_title_after(text, words, n) in ("씨", "님") and end == word.end())
    ):
        return _VERBAL
    if not full or rare:
        return None
    if rest["title"] or (end == word.end() and _title_after(text, words, n)) or _told(text, words, n):
        return _VERBAL
    return _ENDINGS if any(begin <= start and end <= stop for begin, stop in near) else None


def _labelled(text: str, words: Sequence[re.Match[str]], n: int) -> bool:
    """A label and a colon, a bar or a bracket stand before: "예금주: 김민수", "담당자(김민수)", `"name": "김민수"`."""
    start = words[n].start()
    before = text[max(0, start - 24) : start]
    mark = before.rstrip(" \"'*`")
    if not mark or mark[-1] not in ":=|(>[":
        return False
    if mark[-1] not in "([" and _KEY.search(before):
        return True
    return _label_ends(text, words, n, start - len(before) + len(mark) - 1)


def _label_ends(text: str, words: Sequence[re.Match[str]], n: int, at: int) -> bool:
    """Whether one of the words before is a label that ends at ``at``, give or take a bracket and marks."""
    if not n or text[words[n - 1].end() : at].strip(" \"'*`)"):
        return n > 1 and text[at - 1 : at] == ")" and words[n - 2][0] in LABELS
    last = words[n - 1][0]
    return last in LABELS or (n > 1 and (words[n - 2][0] in LABELS or words[n - 2][0] + last in LABELS))


def _told(text: str, words: Sequence[re.Match[str]], n: int) -> bool:
    """A label and a space stand before: "신청인 김민수는", "이름은 김민수입니다"."""
    if not n or text[words[n - 1].end() : words[n].start()] not in (" ", " (", ", ", " '", ' "'):
        return False
    last = words[n - 1][0]
    return last in LABELS or (last[-1] in "은는인" and last[:-1] in LABELS)


def _title_after(text: str, words: Sequence[re.Match[str]], n: int) -> str:
    """The title that follows, with one space between."""
    if n + 1 == len(words) or text[words[n].end() : words[n + 1].start()] != " ":
        return ""
    match = _REST.fullmatch(words[n + 1][0])
    return (match["title"] or match["sir"] or "") if match else ""


def _incolumn(text: str, start: int, end: int) -> bool:
    """It is a whole cell of a table, below a head that is a label."""
    before, after = text[:start].rstrip(' "')[-1:], text[end:].lstrip(' "')[:1]
    if before not in "|\t,;\n" or after not in "|\t,;\n":
        return False
    head = column(text, start).strip(" \"'*`").lower()
    return head in LABELS or head.endswith("name")


_PERSONS = frozenset(("rrn", "frn", "driver", "passport", "card", "account", "phone", "email"))
_FAR = 60
"""Characters between a number and the name of whom it is, at most."""


def _around(text: str, one: Candidate) -> tuple[int, int]:
    begin = text.rfind("\n", 0, one.start) + 1
    end = text.find("\n", one.end)
    return max(begin, one.start - _FAR), min(len(text) if end < 0 else end, one.end + _FAR)


def _is_word(name: str, endings: str) -> bool:
    """Whether it only looks like a name: a word, or one with an ending."""
    return name in WORDS or name in STEMS or (name[-1] in endings and name[:-1] in STEMS)
