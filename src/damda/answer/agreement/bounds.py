"""How far a question reaches (only, all, except, most), and who does what to whom in it.

Knows: particles, the words around "말고" and "보다",
order where only order tells. Does not know: what the words mean.
"""

import re
from collections import defaultdict
from functools import lru_cache

from damda.answer.agreement.question import NOUNS, VERBS, Question
from damda.types import Morpheme

_SCOPES = {
    "모두": "all", "모든": "all", "전부": "all", "전체": "all", "온갖": "all", "죄다": "all", "일체": "all", 
    "오직": "only", "단지": "only", "밖에": "only", "유일": "only",
    "제외": "except", "이외": "except", "대신": "except",
    "가장": "most", "제일": "most", "젤": "most", "각각": "each", "각자": "each", "마다": "each",
    "다시": "again", "아직": "yet", "이미": "already", "벌써": "already", "거의": "almost",
    "적어도": "at least", "기껏해야": "at most", "두번째": "second",
}  # fmt: skip
_LEAD = frozenset(("only", "except", "most", "all", "each", "again", "yet", "at least", "at most", "almost"))
_ENGLISH = {
    "all": "all", "every": "all", "each": "each", "only": "only", "just": "only", "except": "except",
    "besides": "except", "most": "most", "least": "least", "both": "all", "any": "any", "another": "another",
    "again": "again", "still": "yet", "yet": "yet", "already": "already", "almost": "almost", "other": "other",
    "exactly": "only", "without": "except", "instead": "except", "than": "than",
}  # fmt: skip
_STRICT_ENGLISH = frozenset(("all", "only", "except", "most", "least", "almost", "than", "other", "another"))

_TO, _FROM = "to", "from"
_ROLES = {
    "이": "does", "가": "does", "께서": "does", "은": "does", "는": "does", "ᆫ": "does", "을": "is done",
    "를": "is done",
    "ᆯ": "is done", "에게": _TO, "한테": _TO, "께": _TO, "더러": _TO, "보고": _TO, "에게서": _FROM, "한테서": _FROM,
    "로부터": _FROM,
    "으로부터": _FROM, "로": "toward", "으로": "toward", "에서": "at", "부터": "since", "까지": "until",
    "보다": "than",
    "의": "of", "처럼": "like", "말고": "not",
}  # fmt: skip
_AGAINST = {
    frozenset(pair)
    for pair in ((_TO, _FROM), ("since", "until"), ("does", _TO), ("at", "toward"), ("not", "does"), ("not", "is done"),
                 ("at", "until"), ("toward", _FROM), ("is done", _TO), ("than", "does"))
}  # fmt: skip
_SWAPS = {frozenset(pair) for pair in (("does", "is done"), ("does", "than"), ("does", _TO), ("does", _FROM),
          ("at", "toward"), ("at", "until"), ("since", "until"), ("is done", _TO), ("is done", "toward"),
          ("is done", "not"), ("does", "toward"), ("does", "not"), ("is done", "than"), ("not", "toward"),
          ("does", "like"), ("at", "is done"), ("is done", _FROM))}  # fmt: skip
_ORDERS = frozenset(("전", "이전", "후", "뒤", "이후", "직전", "직후"))
_PERSONS = frozenset(
    "친구 동생 형 누나 언니 오빠 아버지 어머니 아빠 엄마 부모 부모님 할머니 할아버지 남편 아내 아들 딸 삼촌 이모"
    " 고모 사촌 조카 선생 선생님"
    " 학생 교수 사장 부장 과장 팀장 직원 상사 고객 손님 의사 환자 임대인 임차인 판매자 구매자 회사 학교 남자"
    " 여자 아이".split()
)


@lru_cache(maxsize=1024)
def scopes(question: Question) -> frozenset[str]:
    """Of "only", "all", "except" and the like those that bound what is asked."""
    if not question.korean:
        return frozenset(_ENGLISH[word] for word in question.words if word in _ENGLISH) & _STRICT_ENGLISH
    found = {kind for n in range(len(question.said)) if (kind := _scope(question.said, n))}
    if "제일" in question.text or any(form[:2] in _MOST for form in question.forms):
        found.add("most")
    return frozenset(found)


def _scope(said: tuple[Morpheme, ...], n: int) -> str:
    form, tag = said[n].form, said[n].tag
    before, after = said[n - 1] if n else said[n], said[n + 1].form if n + 1 < len(said) else ""
    if form in _ONLY_AS:
        tags, kind = _ONLY_AS[form]
        if tag not in tags.split():
            return ""
        if form == "만" and (n == 0 or before.form in ("하나", "좀") or before.tag == "EF"):
            return ""
        if (form == "빼" and after != "고") or (form == "말" and before.tag not in _NOUNISH):
            return ""
        return kind
    return _SCOPES.get(form, "")


_ONLY_AS = {
    "만": ("JX", "only"),
    "뿐": ("NNB JX", "only"),
    "다": ("MAG", "all"),
    "매": ("MM XPN", "each"),
    "재": ("XPN", "again"),
    "빼": ("VV", "except"),
    "말": ("VV", "except"),
    "외": ("NNB NNG", "except"),
}
"""Words that bound only as one of some tags."""
_NOUNISH = NOUNS | {"NNB", "JKO"}
_MOST = frozenset("최고 최저 최대 최소 최장 최단 최다 최악 최초".split())


_LIMITS = {"부터": "since", "까지": "until", "since": "since", "until": "until", "till": "until"}
_OVER = frozenset("후 뒤 이후 직후 끝나 지나 마치 끝내 after once".split())


@lru_cache(maxsize=1024)
def _limits(question: Question) -> tuple[frozenset[str], bool]:
    """Whether it says since or until, and whether something has to be over before."""
    words = [t.form for t in question.said if t.tag[0] in "JVN"] if question.korean else question.words
    return frozenset(_LIMITS[word] for word in words if word in _LIMITS), not _OVER.isdisjoint(words)


def differ(one: Question, other: Question) -> str:
    """ "only", "until" or "roles: 철수" where they do."""
    mine, theirs = scopes(one), scopes(other)
    lead = _LEAD if one.korean else _STRICT_ENGLISH
    if odd := (mine ^ theirs) & lead:
        return min(odd)
    (ends, over), (other_ends, other_over) = _limits(one), _limits(other)
    if ends and other_ends and ends != other_ends:  # one alone may say it in another way: "기한", "deadline"
        return min(ends ^ other_ends)
    if over != other_over:
        return "after"
    return _korean_roles(one, other) if one.korean else _english_order(one, other)


def _korean_roles(one: Question, other: Question) -> str:
    mine, theirs = _roles(one), _roles(other)
    shared = sorted(set(mine) & set(theirs))
    for noun in shared:
        for verb in set(mine[noun]) & set(theirs[noun]):
            if frozenset((mine[noun][verb], theirs[noun][verb])) in _AGAINST:
                return f"roles: {noun}"
    for n, first in enumerate(shared):
        for second in shared[n + 1 :]:
            for verb in set(mine[first]) & set(mine[second]) & set(theirs[first]) & set(theirs[second]):
                pair = (mine[first][verb], mine[second][verb])
                if pair == (theirs[second][verb], theirs[first][verb]) and frozenset(pair) in _SWAPS:
                    return f"roles: {first}/{second}"
    if (pair_of := _reversed(one, other)) or (pair_of := _reordered(one, other)):
        return f"roles: {pair_of}"
    return ""


@lru_cache(maxsize=1024)
def _roles(question: Question) -> dict[str, dict[str, str]]:
    """For each noun its part in what each verb says."""
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    said = question.said
    for n, token in enumerate(said):
        if not n or not (said[n - 1].tag in NOUNS or said[n - 1].tag in ("XSN", "NR")):
            continue
        role = _ROLES.get(token.form, "") if token.tag.startswith("J") else ""
        if token.tag == "VV" and token.form == "말":
            role = "not"
        elif role == "is done" and n + 1 < len(said) and said[n + 1].form in ("빼", "제외", "말"):
            role = "not"
        if role:
            found[_phrase(said, n)].setdefault(_verb(said, n), role)
    return found


def _phrase(said: tuple[Morpheme, ...], n: int) -> str:
    """The nouns before the n-th, as far as they are written as one word: "A팀"."""
    first = n - 1
    while first and said[first - 1].end == said[first].start and said[first - 1].tag in _PARTS:
        first -= 1
    return "".join(t.form for t in said[first:n] if t.tag != "XSN" or t.form not in ("들", "님"))


_PARTS = NOUNS | {"XPN", "XSN", "SN", "NR"}


_PASSIVE = frozenset(("받", "당하", "시키"))


def _verb(said: tuple[Morpheme, ...], n: int) -> str:
    """The verb, adjective, or noun of one, that follows the n-th; "" for none."""
    for at, token in enumerate(said[n + 1 :], n + 1):
        verbal = at + 1 < len(said) and (said[at + 1].tag in ("XSV", "XSA") or said[at + 1].form in _PASSIVE)
        if token.tag in VERBS or verbal:
            return token.form
    return ""


def _reversed(one: Question, other: Question) -> str:
    """Two nouns side by side in one order here, in the other there: "동생 친구", "친구의 동생"."""
    mine, theirs = _beside(one), _beside(other)
    for first, second in sorted(mine):
        if (second, first) in theirs and (second, first) not in mine and (first, second) not in theirs:
            return f"{first} {second}"
    return ""


@lru_cache(maxsize=1024)
def _beside(question: Question) -> set[tuple[str, str]]:
    said = [t for t in question.said if not (t.form == "의" and t.tag == "JKG")]
    return {
        (a.form, b.form)
        for a, b in zip(said, said[1:], strict=False)
        if a.form != b.form and all(t.tag == "NNP" or t.form in _PERSONS for t in (a, b))
    }


def _reordered(one: Question, other: Question) -> str:
    """What stands before "전에" or "후에" here is what comes after it there."""
    mine, theirs = _ordered(one), _ordered(other)
    for order, verbs in mine.items():
        for verb in verbs - theirs.get(order, verbs):
            if verb in other.forms and theirs[order] & one.forms - verbs:
                return f"{verb} {order}"
    return ""


@lru_cache(maxsize=1024)
def _ordered(question: Question) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    said = question.said
    for n, token in enumerate(said):
        if token.form in _ORDERS and token.tag in ("NNG", "NNB"):
            before = next((t for t in reversed(said[:n]) if t.tag in VERBS or t.tag in NOUNS), None)
            if before is not None:
                found[token.form].add(before.form)
    return found


_CAPITALS = re.compile(r"(?<!^)(?<![.?!] )\b[A-Z][\w-]*")
_FREE = frozenset("and or vs versus with between".split())


def _english_order(one: Question, other: Question) -> str:
    """The same words in another order say another thing, unless they are joined by "and"."""
    mine, theirs = _content(one), _content(other)
    if mine == theirs or sorted(mine) != sorted(theirs) or _FREE & {*one.words, *other.words}:
        return ""
    return "roles: " + next(word for word, there in zip(mine, theirs, strict=True) if word != there)


def _content(question: Question) -> list[str]:
    return [word for word in question.words if word not in LITTLE]


LITTLE = frozenset(
    "a an the of in on at to for from by with and or is are was were be been being do does did has have had it"
    " its i me my"
    " we you your our us they them their he his she her that this these those there what which who whom whose"
    " when where"
    " how why can could may might must should will would am please tell if as about into than so not no any some"
    " s t d"
    " ll re ve m did doing does get got one ones".split()
)
