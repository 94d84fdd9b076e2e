"""What a question's grammar says about it: whether it can stand alone, and where another one says the same place.

Knows: openings, words that point back, sentences without an end or a noun, in Korean (by Kiwi's tags) and English (by
word lists). Does not know: conversations, searches.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from damda.types import Morpheme

Kind = Literal["fragment", "reference", "bare", "thin", "open", "alone"]
"""fragment: no sentence ("수습 직원은?"); reference: points back ("그건 얼마예요?"); bare: a sentence without a noun
("왜 미뤄졌어요?"); thin: its only noun is its verb's ("언제까지 신청해야 하나요?"); open: a sentence with one or two
nouns and at most three content words, which may stand alone or not ("휴가는 며칠이에요?"); alone: one with more."""

_OPENING = re.compile(
    r"(?:(?:아니(?:요|오)?|아|음|네|예|참|혹시|또|그럼|그러면|그렇다면|그런데|근데|그리고|그래서|그래도|그렇군요|알겠습니다|감사합니다"
    r"|고마워요?|안녕(?:하세요|하십니까)?|반갑습니다|그게 아니라|그거 말고|no|not that|ok|okay|so|and|but|then"
    r"|also|sorry|thanks|thank you|i mean|hello|hi|hey)"
    r"(?:[\s,.!~…]+|$))+",
    re.IGNORECASE,
)


def opening(question: str) -> int:
    """Where a question begins after "그럼", "아니,", "And" and the like; 0 where nothing else is left."""
    match = _OPENING.match(question)
    return match.end() if match and question[match.end() :].strip(" ?？.!~") else 0


def only_opens(question: str) -> bool:
    """Whether nothing is asked: "안녕하세요", "네, 감사합니다."."""
    match = _OPENING.match(question)
    return match is not None and not question[match.end() :].strip(" ?？.!~")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A run of nouns: ``words`` are spans of its words, split at white space; ``names``: which of them are names.

    ``verb``: it is the noun of a verb ("결혼" of "결혼하면").
    """

    start: int
    end: int
    words: tuple[tuple[int, int], ...]
    names: tuple[bool, ...]
    verb: bool


_NOUN = frozenset("NNG NNP SL SN XPN XSN NR SH W_SERIAL".split())
_PLAIN = frozenset("NNG NNP SL".split())
_POINTS = frozenset("그거 그것 거기 그곳 그쪽 그때 그분 걔 이거 이것 여기 이곳 이때 저거 저것".split())
_POINTS_BEFORE = frozenset("그 이 저 그런 이런".split())
# Nouns that say when, how much or how, but not what about.
_VAGUE = frozenset(
    "언제 얼마 며칠 몇 전 후 뒤 앞 안 때 경우 동안 이상 이하 이내 최대 최소 처음 다음 사람 방법 중 정도 가능 필요 무엇"
    " 뭐 데 말 하루 이틀 매일 매년 매월 매주 이유 기준 나중 지금 오늘 내일 어제".split()
)
_MARKS = frozenset("SF SP SS SE SO SY SSO SSC".split())


def korean(tokens: Sequence[Morpheme]) -> Kind:
    """The kind of a question without its opening, given its morphemes."""
    said = [token for token in tokens if token.tag not in _MARKS]
    while said and said[-1].form == "요":
        said = said[:-1]
    if _points(said):
        return "reference"
    nouns = [token for n, token in enumerate(said) if _plain(said, n)]
    if not said or said[-1].tag not in _ENDS or said[-1].form in _WHILE or (len(said) <= _SHORT and _only_nouns(said)):
        keywords = len(nouns) == _SHORT == len(said) and tokens[-1].tag not in _MARKS
        return "fragment" if len(nouns) <= _SHORT and not keywords else "open"
    verbs = sum(token.tag in ("XSV", "XSA") for token in said)
    if nouns or verbs > 1:
        acts = verbs + sum(token.tag in ("VV", "VA") and token.form not in _WEAK for token in said)
        return "open" if len(nouns) <= _SHORT and len(nouns) + acts <= _SHORT + 1 else "alone"
    return "thin" if verbs else "bare"


_SHORT = 2
"""Words."""
_ENDS = frozenset("EF NNG NNP SL SN".split())
"""What a question ends with that is a whole sentence, or keywords."""
_WHILE = frozenset(("때", "경우"))
_WEAK = frozenset("하 되 있 없 이 같 어떻 그렇 이렇 알리".split())
"""Verbs that nearly every question has."""


def has_verb(tokens: Sequence[Morpheme]) -> bool:
    """Whether there is a verb or an adjective among the morphemes."""
    return any(token.tag in ("VV", "VA", "VX", "XSV", "XSA") for token in tokens)


def _only_nouns(said: Sequence[Morpheme]) -> bool:
    return all(token.tag in _NOUN or token.tag in ("NNB", "MM", "MAG") for token in said)


def _plain(tokens: Sequence[Morpheme], n: int) -> bool:
    """Whether this is a noun that says what a question is about: no "얼마", and no part of a verb ("신청하다")."""
    token, after = tokens[n], tokens[n + 1].tag if n + 1 < len(tokens) else ""
    return token.tag in _PLAIN and token.form not in _VAGUE and after not in ("XSV", "XSA")


def _points(said: Sequence[Morpheme]) -> bool:
    """Whether it points to something that was not said in this question before."""
    for n, token in enumerate(said):
        if token.form in _POINTS and token.tag in ("NP", "NNG"):
            return True
        if (
            token.tag == "MM"
            and token.form in _POINTS_BEFORE
            and n + 1 < len(said)
            and said[n + 1].tag in _NOUN | {"NNB"}
        ):
            return True
        if _plain(said, n):
            return False
    return False


def phrases(text: str, tokens: Sequence[Morpheme]) -> list[Phrase]:
    """The noun phrases of a text, in order; "며칠" and the like are none."""
    found: list[Phrase] = []
    run: list[Morpheme] = []
    for token in [*tokens, Morpheme("", "", len(text), len(text))]:
        if token.tag in _NOUN and token.form not in _VAGUE:
            run.append(token)
        elif run:
            start, end = run[0].start, run[-1].end
            words = tuple((start + m.start(), start + m.end()) for m in re.finditer(r"\S+", text[start:end]))
            names = tuple(all(part.tag == "NNP" for part in run if a <= part.start < b) for a, b in words)
            found.append(Phrase(start, end, words, names, token.tag in ("XSV", "XSA")))
            run = []
    return found


def parallel(new: str, asked: Phrase, old: str, said: Sequence[Phrase]) -> tuple[int, int] | None:
    """Span of ``old`` in whose place the phrase of ``new`` stands: "국내 출장" for "해외 출장", "P1" for "P2".

    None: nothing in ``old`` is of its kind.
    """
    wanted = new[asked.start : asked.end]
    words = wanted.split()
    if any(wanted in old[phrase.start : phrase.end] for phrase in said):
        return None
    for at, phrase in enumerate(said):
        have = [old[a:b] for a, b in phrase.words]
        for n, word in enumerate(have):
            if word == words[-1]:  # the same head
                first = n + 1 - len(words)
                if first < 0 and phrase.verb and at:  # "자녀가 결혼하면" for "본인 결혼"
                    return said[at - 1].start, phrase.words[n][1]
                return phrase.words[max(0, first)][0], phrase.words[n][1]
        if len(words) > 1 and words[0] in have:  # the same beginning
            return phrase.words[have.index(words[0])]
    if len(words) > 1:
        return None
    particle = new[asked.end :].rstrip(" ?？.요").removesuffix("는").removesuffix("은")
    every = [(span, name) for phrase in said for span, name in zip(phrase.words, phrase.names, strict=True)]
    alike = [(a, b) for (a, b), _ in every if _shape(old[a:b]) == _shape(wanted)]
    names = [span for span, name in every if name] if asked.names[0] else []
    found = alike + names
    return next((span for span in found if particle and old.startswith(particle, span[1])), next(iter(found), None))


_FORMS = {"은": "는", "이": "가", "을": "를", "과": "와", "으로": "로", "이나": "나", "이면": "면", "이라": "라"}
_PARTICLE = re.compile(rf"(?:{'|'.join(sorted({*_FORMS, *_FORMS.values()}, key=len, reverse=True))})(?=[\s?,.]|$)")


def put(new: str, old: str, start: int, end: int) -> str:
    """``old`` with ``new`` in place of old[start:end], and the particle after it in the form that ``new`` wants."""
    rest = old[end:]
    match = _PARTICLE.match(rest)
    if match and "가" <= new[-1] <= "힣":
        final = (ord(new[-1]) - ord("가")) % 28
        closed = bool(final) and not (match[0] in ("으로", "로") and final == _RIEUL)
        closing = {after: before for before, after in _FORMS.items()}
        given = match[0]
        form = closing.get(given, given) if closed else _FORMS.get(given, given)
        rest = form + rest[len(given) :]
    return old[:start] + new + rest


_RIEUL = 8


def _shape(word: str) -> str:
    """ "A0" for "P1"; of a word without Latin letters or digits, itself."""
    return re.sub(r"\d[\d,.]*", "0", re.sub(r"[A-Za-z]+", "A", word))


_ASKS = frozenset(
    "is are was were am be do does did can could may might must should will would has have had what which who whom"
    " whose when where why how".split()
)
_REFERS = frozenset(
    "it its they them their theirs he she him her his there those these this that one ones same such here".split()
)
_ABOUT = re.compile(r"(?:what|how) (?:about|if)\b|(?:what )?else\b", re.IGNORECASE)
_EMPTY = re.compile(  # words of `_REFERS` that refer to nothing
    r"\b(?:is|are|was|were) there\b|\bthere (?:is|are)\b|\bthis (?:year|month|week)\b"
    r"|\bis it (?=ok|okay|all right|possible|allowed|permitted|necessary|required|safe|true)\b"
    r"|\bhow long does it take\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z0-9'’-]+")


def english(question: str) -> Kind:
    """The kind of a question without its opening."""
    words = [word.lower() for word in _WORD.findall(question)]
    sentence = bool(_ASKS & set(words))
    if not sentence and len(words) >= _SHORT and not question.rstrip().endswith("?"):
        return "open"  # keywords
    if _ABOUT.match(question) or len(words) <= _SHORT or (len(words) <= 6 and not sentence):
        return "fragment"
    plain = [word.lower() for word in _WORD.findall(_EMPTY.sub(" ", question))]
    content = 0
    for word in plain:
        if word in _REFERS:
            return "reference" if content <= _SHORT else "open"
        content += len(word) > 3 and word not in _ASKS
    return "open" if content <= _SHORT + 1 else "alone"
