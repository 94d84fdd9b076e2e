"""What a question denies, forbids, wants or allows.

Knows: Korean negation by morphemes, English by words,
and what each one is of. Does not know: opposites that are words
of their own (`opposites`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from damda.answer.agreement.question import NOUNS, VERBS, Question
from damda.answer.agreement.synonyms import same
from damda.types import Morpheme

_REFUSING = frozenset("금지 불가 불가능 불능 불허 거부 거절 미지원 미포함 미사용 제한 불필요".split())
"""Nouns that deny what stands before them."""
_PREFIXES = ("불", "부", "비", "미", "무", "몰", "반")
_ENGLISH = frozenset(
    "not never without no none nobody nothing nowhere neither nor cannot cant wont dont doesnt didnt isnt arent avoid"
    " except exclude excluding lack lacks lacking refuse forbid forbidden prohibited banned unless hardly".split()
)
_ENGLISH_PREFIXES = ("un", "in", "im", "il", "ir", "dis", "non", "de", "mis")


@dataclass(frozen=True, slots=True)
class Polarity:
    """``denied``: what is negated, by its stem or noun; ``plain``: what is there and is not; ``wanted``: "must",
    "must not", "need not", "may", as far as it is said."""

    denied: frozenset[str]
    plain: frozenset[str]
    wanted: frozenset[str]


@lru_cache(maxsize=1024)
def polarity(question: Question) -> Polarity:
    """Of all that is said in the question."""
    if not question.korean:
        return _english(question)
    denied = frozenset(_denied(question.said))
    return Polarity(denied, question.forms - denied, frozenset(_wanted(question.said)))


def differ(one: Polarity, other: Polarity) -> str:
    """ "negation" or "must/may" where they do."""
    if bool(one.denied) != bool(other.denied):
        return "negation"
    for mine, theirs in ((one, other), (other, one)):
        if (mine.denied - theirs.denied) & theirs.plain:
            return "negation"
        for form in mine.plain:
            if len(form) > 1 and any(prefix + form in theirs.plain | theirs.denied for prefix in _prefixes(form)):
                longer = {prefix + form for prefix in _prefixes(form)}
                if not longer & (mine.plain | mine.denied):
                    return "negation"
    if one.denied and not one.denied & other.denied and not same(one.denied, other.denied):
        return "negation"
    if one.wanted and other.wanted and not one.wanted & other.wanted:
        return f"{min(one.wanted)}/{min(other.wanted)}"
    return ""


def _prefixes(form: str) -> tuple[str, ...]:
    return _ENGLISH_PREFIXES if form.isascii() else _PREFIXES


def _denied(said: tuple[Morpheme, ...]) -> Iterator[str]:
    for n, token in enumerate(said):
        form, tag = token.form, token.tag
        after = said[n + 1].form if n + 1 < len(said) else ""
        if tag == "MAG" and form in ("안", "못"):
            forbids = n and said[n - 1].form in _IF and after == "되"
            yield _before(said, n) if forbids else _behind(said, n)
        elif _is_denial(said, n, after):
            yield _before(said, n)
        elif tag == "VV" and form == "모르" and after not in ("", "겠"):  # "방법을 모르겠어요" asks for it
            yield "알"
        elif tag == "XPN" and form in _PREFIXES and after:
            yield after


def _is_denial(said: tuple[Morpheme, ...], n: int, after: str) -> bool:
    """Whether the n-th denies what stands before it."""
    form, tag = said[n].form, said[n].tag
    if tag in ("VX", "VV", "VA") and form in ("않", "못하", "말"):
        return n > 0 and said[n - 1].tag in ("EC", "JX") and not _is_polite(said, n)
    if tag == "VCN":
        return after not in ("", "면", "ᆷ")  # "아니면", "아님": or
    return form == "없" or (form == "없이" and tag == "MAG") or (tag == "NNG" and form in _REFUSING)


def _is_polite(said: tuple[Morpheme, ...], n: int) -> bool:
    """ "알려 주시지 않겠습니까", "하지 않을래요" at the end ask for it."""
    return said[n].form == "않" and any(t.form in ("겠", "ᆯ래", "을래", "을래요", "ᆯ래요") for t in said[n + 1 : n + 3])


_IF = frozenset("면 으면 어서 아서 어서는 면은 는 어선".split())


def _before(said: tuple[Morpheme, ...], n: int) -> str:
    """The predicate or noun before the n-th: "받" of "받으면 안 돼", "받을 수 없다", "필요" of "필요 없다"."""
    for token in reversed(said[:n]):
        if token.tag in VERBS and token.form not in ("하", "되") or token.tag in NOUNS or token.tag == "NP":
            return token.form
    return "?"


def _behind(said: tuple[Morpheme, ...], n: int) -> str:
    for token in said[n + 1 :]:
        if token.tag in VERBS or token.tag in NOUNS or token.tag == "VX":
            return token.form if token.form not in ("하", "되") else _before(said, n)
    return "?"


def _wanted(said: tuple[Morpheme, ...]) -> Iterator[str]:
    for n, token in enumerate(said):
        before = said[n - 1] if n else None
        if before is None or token.tag not in ("VV", "VX", "VA", "MAG", "NNG"):
            continue
        if token.form in ("하", "되") and before.tag == "EC" and before.form in ("어야", "아야", "여야", "어야만"):
            yield "must"
        elif token.form in ("되", "괜찮", "좋") and before.tag == "EC" and before.form in ("어도", "아도", "여도"):
            negative = any(t.form in ("않", "안", "못", "말") for t in said[max(0, n - 4) : n])
            yield "need not" if negative else "may"
        elif token.form == "말" and token.tag == "VX" and before.form == "지":
            yield "must not"
        elif token.form == "안" and before.form in _IF and n + 1 < len(said) and said[n + 1].form == "되":
            yield "must not"
        elif token.form == "없" and before.form in ("필요", "가"):
            if "필요" in (before.form, said[n - 2].form if n > 1 else ""):
                yield "need not"
        elif token.form == "금지":
            yield "must not"


def _english(question: Question) -> Polarity:
    words = question.words
    denied = set()
    for n, word in enumerate(words):
        if word in _ENGLISH or word.endswith("n't"):
            denied.add(next((w for w in words[n + 1 :] if w not in _LITTLE), "?"))
    wanted = set()
    text = f" {' '.join(words)} "
    for name, phrases in _WANTED.items():
        if any(f" {phrase} " in text for phrase in phrases):
            wanted.add(name)
    plain = frozenset(words) - denied
    return Polarity(frozenset(denied), plain, frozenset(wanted))


_LITTLE = frozenset(
    "a an the i you we they he she it is are was were be been do does did have has had to of my your any able".split()
)
_WANTED = {
    "must": ("must", "have to", "has to", "need to", "required to", "needs to"),
    "may": ("may i", "can i", "allowed to", "am i allowed"),
}
