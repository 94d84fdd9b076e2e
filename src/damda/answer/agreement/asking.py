"""What a question wants to know: who, when, where, why, how, how much, which, or whether.

Knows: question words and the nouns that stand for them ("이유를 알려 줘" asks why). Does not know: answers.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from damda.answer.agreement.quantities import unit_of
from damda.answer.agreement.question import Question
from damda.types import Morpheme

_WORDS = {
    "누구": "who", "누": "who", "언제": "when", "어디": "where", "왜": "why", "어째서": "why", "어쩌다": "why",
    "어쩌다가": "why", "어찌하": "why",
    "얼마": "how much", "얼마나": "how much", "며칠": "when", "몇": "how many", "어떻게": "how",
}  # fmt: skip
_NOUNS = {
    "이름": "who", "성함": "who", "마감": "when", "이유": "why", "까닭": "why", "원인": "why", "계기": "why",
    "사유": "why", "방법": "how", "법": "how",
    "방식": "how",
    "절차": "how", "과정": "how", "장소": "where", "위치": "where", "주소": "where", "날짜": "when", "시간": "when",
    "시각": "when",
    "시기": "when", "시점": "when", "요일": "when", "일시": "when", "날": "when", "기한": "when", "마감일": "when",
    "가격": "how much",
    "비용": "how much", "금액": "how much", "요금": "how much", "값": "how much", "개수": "how many",
    "갯수": "how many",
    "횟수": "how many", "수": "how many", "인원": "how many", "사람": "who", "인물": "who", "곳": "where",
    "때": "when",
    "정도": "how much", "크기": "how much", "길이": "how much", "높이": "how much", "무게": "how much",
    "용량": "how much",
    "속도": "how much", "빠르기": "how much", "거리": "how much", "기간": "how much", "나이": "how much",
    "온도": "how much",
    "몇몇": "how many", "얼마": "how much",
}  # fmt: skip
_ANY = frozenset("무엇 뭐 무슨 어떤 어느 뭣 머 어떻 어떠 웬 뭘 무어".split())
_TELL = frozenset("알리 궁금 말하 설명 가르치 알 고르 물어보 추천 찾 확인 보이 보여주".split())
_NEAR = {
    frozenset(pair)
    for pair in (
        ("how much", "how many"), ("when", "how much"), ("how", "how much"),
    )
}  # fmt: skip
"""Different words for what may be one question: "며칠 걸려" and "얼마나 걸려"."""
_ENGLISH = {
    "who": "who", "whom": "who", "whose": "who", "when": "when", "where": "where", "why": "why", "how": "how",
    "what": "what", "which": "what",
}  # fmt: skip
_ENGLISH_PHRASES = (
    (re.compile(r"\bhow (?:much|long|far|old|tall|big|high|often|large|deep|heavy|fast|expensive)\b"), "how much"),
    (re.compile(r"\bhow many\b|\bwhat number\b|\bnumber of\b"), "how many"),
    (re.compile(r"\bwhat (?:time|date|day|year|month)\b|\bin (?:what|which) year\b"), "when"),
    (re.compile(r"\b(?:what|which) (?:place|city|country|location|town)\b"), "where"),
    (re.compile(r"\bwhat(?:'s| is| was| are)? (?:the )?(?:reason|cause)s?\b|\bwhat made\b|\bhow come\b"), "why"),
    (re.compile(r"\bwhat (?:person|man|woman)\b"), "who"),
    (re.compile(r"\b(?:way|steps|method|procedure) (?:to|for|of)\b"), "how"),
    (re.compile(r"\bwhat(?:'s| is| was| are)? (?:the )?(?:price|cost|fee|size|length|height)\b"), "how much"),
)


def stands_for(noun: str) -> str:
    """What a noun asks for where it is asked about: "when" for "시간"; "" for none."""
    return _NOUNS.get(noun, "")


@lru_cache(maxsize=1024)
def asked(question: Question) -> frozenset[str]:
    """What is asked for; "what" for anything at all, "whether" for yes or no, nothing where it is no question."""
    return frozenset(_korean(question)) if question.korean else frozenset(_english(question))


def differ(one: Question, other: Question) -> str:
    """ "question word: who/when" where they do."""
    if (unit := counted(one)) and (their_unit := counted(other)) and not unit & their_unit:
        return f"unit: {min(unit)}/{min(their_unit)}"
    mine, theirs = asked(one), asked(other)
    if "choice" in mine & theirs:
        return ""
    sure, their_sure = mine - _VAGUE, theirs - _VAGUE
    if sure and their_sure:
        if sure & their_sure or any(frozenset((a, b)) in _NEAR for a in sure for b in their_sure):
            return ""
        # A noun of one kind beside a word of another: "몇 시" and "시간"; what the words say counts.
        return f"question word: {min(sure)}/{min(their_sure)}"
    if ("choice" in mine) != ("choice" in theirs) and (how := (sure | their_sure) & {"how", "why"}):
        return f"question word: {min(how)}/choice"
    for here, there in ((mine, theirs), (theirs, mine)):
        if "choice" not in here and "whether" in there and here & _ASKING:
            return f"question word: {min(here & _ASKING)}/whether"
    return ""


@lru_cache(maxsize=1024)
def counted(question: Question) -> frozenset[str]:
    """What "몇" counts, in one spelling."""
    said = question.said if question.korean else ()
    return frozenset(
        unit_of(after.form)
        for token, after in zip(said, said[1:], strict=False)
        if token.form == "몇" and after.tag in ("NNG", "NNB", "SL") and after.form not in _ANY_COUNT
    )


_ANY_COUNT = frozenset("번 회 차례 통 건 번째 시 일 월 년 분".split())
_VAGUE = frozenset(("what", "whether", "choice"))
_ASKING = frozenset(("who", "when", "where", "why", "how", "how much", "how many"))


def _korean(question: Question) -> Iterator[str]:
    said = question.said
    words = False
    tells = any(token.form in _TELL and token.tag.startswith("V") for token in said[-9:])
    for n, token in enumerate(said):
        form, tag = token.form, token.tag
        if tag == "MM" and form == "몇" and n + 1 < len(said):
            words = True
            yield "when" if said[n + 1].form in ("시", "월", "일", "년") else "how many"
        elif form in ("어떻", "어떠하", "어찌", "어떻게"):
            words = True
            # "어떻게 돼?" asks what something is, "어떻게 해?" how it is done.
            done = any(t.tag in ("VV", "XSV") and t.form not in ("되", "생각") for t in said[n + 1 : n + 6])
            yield "how" if done and (form == "어떻게" or said[n + 1].form == "게") else "what"
        elif form in _WORDS and tag in ("NP", "MAG", "NNG", "NR", "MM"):
            words = True
            yield _WORDS[form]
        elif form in _ANY:
            words = True
            yield "what"
            yield from (_NOUNS[t.form] for t in said[n + 1 : n + 2] if t.form in _NOUNS)
        elif form in _NOUNS and tag in ("NNG", "NNB") and _is_wanted(said, n, tells):
            words = True
            yield _NOUNS[form]
    if tells and not words:
        yield "what"
    if _chooses(question):
        yield "choice"
    elif not words and not tells and _asks(question):
        yield "whether"


def _is_wanted(said: tuple[Morpheme, ...], n: int, tells: bool) -> bool:
    """Whether the n-th is the noun that the question is about: "이유가 뭐야", "날짜 알려 줘", "가격은?"."""
    if said[n].form in _AMBIGUOUS:
        return False
    after = said[n + 1 : n + 4]
    close = [t for t in after if not t.tag.startswith("J") and t.form not in ("좀", "이", "가")]
    if not close:
        return True
    return close[0].form in _ANY or close[0].form in ("어떻게", "궁금", "있") or (tells and close[0].form in _TELL)


_AMBIGUOUS = frozenset(("수", "사람", "때", "곳", "날", "법", "정도"))
_CHOICE = re.compile(
    r"아니면|중에|중에서|(?<=\s)중(?=\s|,|$)|비교|[가-힣](?:지|까|니|나|야|요|래|어|해|아)\s*[,?]\s*[가-힣]"
)


def _chooses(question: Question) -> bool:
    """Whether it offers some to choose from: then what it calls them may vary."""
    return _CHOICE.search(question.text) is not None or sum(t.tag == "EF" for t in question.said) > 1


def _asks(question: Question) -> bool:
    return question.text.rstrip().endswith(("?", "？")) and any(t.tag == "EF" for t in question.said[-2:])


_WHICH = re.compile(r"\b(?:what|which) (?:kinds? of |types? of |sorts? of )?([a-z]+)")
_NO_KIND = frozenset(
    "is are was were be do does did can could may might must should will would has have had am the a an i you we"
    " they he"
    " she it made happens happened causes caused number reason of in on to about if one ones".split()
)
_KINDS = {
    "time": "when", "date": "when", "day": "when", "year": "when", "month": "when", "place": "where", "city": "where",
    "country": "where", "location": "where", "town": "where", "person": "who", "man": "who", "woman": "who",
}  # fmt: skip


def _english(question: Question) -> Iterator[str]:
    text = " ".join(question.words)
    if (which := _WHICH.search(text)) and which[1] not in _NO_KIND:
        yield _KINDS.get(which[1], f"which {which[1]}")
        return
    told = False
    for pattern, kind in _ENGLISH_PHRASES:
        if pattern.search(text):
            told = True
            yield kind
    if told:
        return
    for word in question.words[:6] if question.words else ():
        if word in _ENGLISH:
            yield _ENGLISH[word]
            return
    for word in question.words:
        if word in _ENGLISH:
            yield _ENGLISH[word]
            return
    if question.words and question.words[0] in _AUXILIARIES:
        yield "whether"


_AUXILIARIES = frozenset(
    "is are was were do does did can could may might must should will would has have had am".split()
)
