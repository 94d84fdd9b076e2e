"""Whether two questions may share an answer: what a vector does not see.

Knows: the order of the looks. Does not know: how alike the vectors are, or what either answer is.

Encoders put "불 켜 줘" beside "불 꺼 줘". So a near question counts only where numbers, dates, names, denial,
opposites, scope,
roles and what is asked for are the same. A look that can't tell says no: an answer made anew is never wrong.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from damda.answer.agreement import asking, bounds, moments, names, polarity, quantities
from damda.answer.agreement.opposites import opposites
from damda.answer.agreement.question import Question
from damda.answer.agreement.wording import unmatched
from damda.types import Tagger

_LONGEST = 2000
"""Characters; longer texts, and those of several lines, are no questions that two people ask in other words."""
_SIGN = re.compile(r"[<>=+*/^&|@#\\±×÷≤≥≠√∑∫∈⊂∪∩¬→]|(?<![\w.])-(?=\d)")
"""Signs that mean something: of comparison, arithmetic, logic, addresses."""


class Agreement:
    """Fits ``Judge``.

    Args:
        tagger: for morphemes.
    """

    def __init__(self, tagger: Tagger) -> None:
        self._tagger = tagger
        self._read = lru_cache(maxsize=4096)(self._look)

    def agree(self, asked: str, earlier: str) -> str:
        """ "" where they may share an answer, else why not: "negation", "number: 3/5", "opposite: 켜/끄"."""
        if max(len(asked), len(earlier)) > _LONGEST or "\n" in asked.strip() + earlier.strip():
            return "length"
        if sorted(_SIGN.findall(asked)) != sorted(_SIGN.findall(earlier)):
            return "sign"
        one, other = self._read(asked), self._read(earlier)
        if one.korean != other.korean:
            return "language"
        return next((reason for look in _LOOKS if (reason := look(one, other))), "")

    def penalty(self, asked: str, earlier: str) -> float:
        """How much more alike than the threshold they must be, for the content words that only one of them has."""
        return unmatched(self._read(asked), self._read(earlier)).weight

    def _look(self, text: str) -> Question:
        return Question(text, self._tagger.tags([text])[0])


_LOOKS: tuple[Callable[[Question, Question], str], ...] = (
    lambda one, other: quantities.differ(quantities.quantities(one), quantities.quantities(other)),
    lambda one, other: moments.differ(moments.moments(one), moments.moments(other)),
    lambda one, other: polarity.differ(polarity.polarity(one), polarity.polarity(other)),
    opposites,
    names.differ,
    bounds.differ,
    asking.differ,
)
