"""Content words that one question has and the other has not.

Knows: which words carry content, spellings of compounds. Does not know: vectors.
"""

from dataclasses import dataclass
from functools import lru_cache

from damda.answer.agreement import asking, moments, quantities
from damda.answer.agreement.bounds import LITTLE
from damda.answer.agreement.names import called
from damda.answer.agreement.question import NOUNS, VERBS, Question
from damda.answer.agreement.synonyms import same

_EMPTY = frozenset(
    "있 하 되 이 같 주 보 싶 싶어하 알 알리 말하 말씀 말 드리 가지 거 것 수 등 중 중간 좀 나 너 우리 저 제 내 네"
    " 니 당신 그쪽 자네 그대 저기 야 여기"
    " 그 이 저 그거 이거 저거 뭐 무엇 무슨 어떤 어느 어떻 어떻게 왜 언제 어디 누구 얼마 얼마나 몇 며칠 궁금 혹시"
    " 좀 정말 진짜 그냥 바로 꼭 제발"
    " 대하 관하 위하 통하 따르 의하 때 경우 정도 쪽 것 데 줄 뿐 만 번 개 명 더 가장 제일 젤 너무 매우 아주 잘"
    " 많이 다 또 및 그리고 그러면 그럼 그런데"
    " 아니 아니면 안 못 않 없 말 모르 생각 예정 원하 고르 부탁 싶 가르치 설명 안내 저희 님 분 들 계시 계획 기억"
    " 여쭈 묻 질문 필요 해당 관련 현재 지금"
    " 그렇 이렇 저렇 자신 본인 여러분 친구야 총 모두 전부 시키 놓 두 버리 오 가 나 나오 들 아시 예 네 그러 ᆫ데"
    " 궁금하 정하 찾 기준 권하 잊 조심하 이번 요번 저번 뜻 의미 가능 기준 사용 이용 활용 제공 비교 곳 지역"
    " 찾아보 뽑 걸 낫 괜찮".split()
)


_SUBSTITUTED, _ADDED = (1.5, 0.7), (0.9, 0.4)
"""What a noun and a verb weigh, by their share of the content words: in another's place, and beside the others."""
_MODIFIER = 0.2
"""What each noun weighs besides that stands right before a shared one: "단체 환불" for "환불"."""


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Content words that only one of the two has: ``nouns`` and ``verbs`` each of the one and of the other.

    ``modifiers``: how many of the nouns stand right before another noun; ``shared``: how many words both have.
    """

    nouns: tuple[tuple[str, ...], tuple[str, ...]]
    verbs: tuple[tuple[str, ...], tuple[str, ...]]
    modifiers: int
    shared: int

    @property
    def weight(self) -> float:
        """How much they separate the two, on the scale of likeness; 0 where there are none.

        A linear model, fitted by hand on a half of ParaKQC: see benchmarks/cache.py.
        """
        total = max(1, self.shared + max(len(a) + len(b) for a, b in zip(self.nouns, self.verbs, strict=True)))
        weight = self.modifiers * _MODIFIER
        for (one, other), substituted, added in zip((self.nouns, self.verbs), _SUBSTITUTED, _ADDED, strict=True):
            both, more = min(len(one), len(other)), abs(len(one) - len(other))
            weight += (substituted * both + added * more) / total
        return weight


def unmatched(one: Question, other: Question) -> Unmatched:
    """The words, in their order."""
    mine, theirs = words(one), words(other)
    left = [_missing(mine, theirs, other), _missing(theirs, mine, one)]
    nouns = tuple(tuple(form for form, verb in side if not verb) for side in left)
    verbs = tuple(tuple(form for form, verb in side if verb) for side in left)
    modifiers = _modifiers(one, nouns[0]) + _modifiers(other, nouns[1])
    return Unmatched((nouns[0], nouns[1]), (verbs[0], verbs[1]), modifiers, len(mine) - len(left[0]))


def _modifiers(question: Question, nouns: tuple[str, ...]) -> int:
    if not question.korean:
        return 0
    pairs = zip(question.said, question.said[1:], strict=False)
    return sum(
        a.tag in NOUNS and b.tag in NOUNS and a.form.lower() in nouns and b.form.lower() not in nouns for a, b in pairs
    )


@lru_cache(maxsize=1024)
def words(question: Question) -> list[tuple[str, bool]]:
    """Content words, each once, and whether it is a verb."""
    if not question.korean:
        return [(word, False) for word in dict.fromkeys(question.words) if word not in LITTLE]
    found: dict[str, bool] = {}
    for form, n in question.content:
        tag = question.said[n].tag
        told = moments.is_moment(form) or quantities.is_quantity(form)  # elsewhere
        if form not in _EMPTY and not told and (tag in NOUNS or tag in VERBS):
            found.setdefault(form, tag in VERBS)
    return list(found.items())


def _missing(mine: list[tuple[str, bool]], theirs: list[tuple[str, bool]], there: Question) -> list[tuple[str, bool]]:
    return [(form, verb) for form, verb in mine if not _has(form, verb, theirs, there)]


def _has(form: str, verb: bool, theirs: list[tuple[str, bool]], there: Question) -> bool:
    if form in there.forms or (len(form) > 1 and form in there.compact):
        return True
    if asking.stands_for(form) in asking.asked(there) or called(form) in map(called, there.forms):
        return True
    if same((form,), there.forms):
        return True
    if not there.korean:
        return any(_stem(form) == _stem(other) for other, _ in theirs)
    return any(_alike(form, other, verb, other_verb) for other, other_verb in theirs)


def _alike(form: str, other: str, verb: bool, other_verb: bool) -> bool:
    """Parts of a compound, or forms of one verb."""
    if verb and other_verb:
        return min(len(form), len(other)) > 1 and (form.startswith(other) or other.startswith(form))
    return len(other) > 1 and other in form and len(form) - len(other) <= 1


def _stem(word: str) -> str:
    for ending in ("ing", "ies", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word
