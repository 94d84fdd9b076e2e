"""Sentences that tell a language model what to do.

Knows: how evidence in one sentence is put together: rules, each several patterns that must all be found, and a sum of
weaker signs. Does not know: the patterns of a language (instructions_ko, instructions_en), disguises, offsets.

Two things have to come together: the mood (an imperative, in Korean an ending) and what it is about (the assistant,
instructions that it was given, its answers, its user). A manual's "이 명령을 실행하세요" has the mood and not the
rest; a report on attacks has the rest and not the mood.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

STATED, DUTY, POLITE, BLUNT = range(4)
"""Moods: none of the following; "must", "야 한다"; "please", "하세요"; an imperative without courtesy, "하라"."""


class Rule(NamedTuple):
    """``kind`` of instruction of a sentence in which all ``signs`` are found, ``but`` is not, with at least ``mood``."""

    kind: str
    mood: int
    signs: tuple[re.Pattern[str], ...]
    but: re.Pattern[str] | None

    def holds(self, text: str) -> bool:
        for sign in self.signs:
            if not sign.search(text):
                return False
        return self.but is None or not self.but.search(text)


class Sign(NamedTuple):
    """Something that is worth ``weight`` towards an instruction wherever it stands in a sentence."""

    weight: float
    pattern: re.Pattern[str]


class Language(NamedTuple):
    """What is known of a language.

    Attributes:
        topics: found in every sentence that instructs, spaces or not; to be looked for first, since that is quick.
        moods: for DUTY, POLITE and BLUNT what shows them; the strongest counts.
        rules: the surest first.
        signs: what adds up where no rule holds and ``core`` is found; from ``enough`` on, the sentence instructs.
        reports: where this is found, signs do not count.
    """

    topics: re.Pattern[str]
    moods: tuple[tuple[int, re.Pattern[str]], ...]
    rules: tuple[Rule, ...]
    signs: tuple[Sign, ...] = ()
    enough: float = 0.0
    core: re.Pattern[str] | None = None
    reports: re.Pattern[str] | None = None

    def mood(self, text: str) -> int:
        return max((mood for mood, pattern in self.moods if pattern.search(text)), default=STATED)

    def kinds(self, text: str) -> list[str]:
        """Kinds of instruction in a sentence, the surest first; none in others."""
        mood = self.mood(text)
        found = [rule.kind for rule in self.rules if mood >= rule.mood and rule.holds(text)]
        if not found and mood and self.score(text, mood) >= self.enough:
            found = ["answer-steering"]
        return list(dict.fromkeys(found))

    def score(self, text: str, mood: int) -> float:
        """The sum of the signs, the mood's among them; 0 without ``core``, and for reports."""
        if self.core is None or not self.core.search(text) or (self.reports and self.reports.search(text)):
            return 0.0
        return _MOODS[mood] + sum(sign.weight for sign in self.signs if sign.pattern.search(text))


_MOODS = (0.0, 0.5, 1.5, 2.0)


def compiled(pattern: str, names: Mapping[str, str]) -> re.Pattern[str]:
    """A verbose pattern in which ``<name>`` stands for one of ``names``."""
    return re.compile(_NAME.sub(lambda match: names[match[1]], pattern), re.VERBOSE)


_NAME = re.compile("<([a-z]+)>")


def rule(kind: str, mood: int, *signs: str, but: str = "", names: Mapping[str, str]) -> Rule:
    """A rule of verbose patterns."""
    return Rule(kind, mood, tuple(compiled(sign, names) for sign in signs), compiled(but, names) if but else None)
