"""Sentences that tell a language model what to do.

Knows: how evidence in one sentence is put together: rules, each several patterns that must all be found, and a sum of
weaker signs. Does not know: the words of a language (they stand in instructions_*.toml), disguises, offsets.

Two things have to come together: the mood (an imperative, in Korean an ending) and what it is about (the assistant,
instructions that it was given, its answers, its user). A manual's "이 명령을 실행하세요" has the mood and not the
rest; a report on attacks has the rest and not the mood.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Literal, NamedTuple, get_args

Tongue = Literal["ko", "en", "other"]
MOODS = ("stated", "duty", "polite", "blunt")
"""None of the following; "must", "야 한다"; "please", "하세요"; an imperative without courtesy, "하라"."""
POLITE = MOODS.index("polite")
_WORTH = (0.0, 0.5, 1.5, 2.0)


class Pattern:
    """A regular expression in verbose mode, compiled when it is first looked for: most never are."""

    __slots__ = ("_compiled", "_source")

    def __init__(self, source: str) -> None:
        self._source = source
        self._compiled: re.Pattern[str] | None = None

    def search(self, text: str) -> re.Match[str] | None:
        if self._compiled is None:
            self._compiled = re.compile(self._source, re.VERBOSE)
        return self._compiled.search(text)


class Rule(NamedTuple):
    """A sentence with all ``signs`` and without ``but``, of at least this ``mood``, instructs: what is its ``kind``."""

    kind: str
    mood: int
    signs: tuple[Pattern, ...]
    but: Pattern | None

    def holds(self, text: str) -> bool:
        for sign in self.signs:
            if not sign.search(text):
                return False
        return self.but is None or not self.but.search(text)


class Sign(NamedTuple):
    """Something that is worth ``weight`` towards an instruction wherever it stands in a sentence."""

    weight: float
    pattern: Pattern


class Language(NamedTuple):
    """What is known of a language.

    Attributes:
        topics: found in every sentence that instructs, spaces or not; to be looked for first, since that is quick.
        moods: for each mood above "stated" what shows it; the strongest counts.
        statements: found in every sentence that instructs without one of these moods.
        rules: the surest first.
        signs: what adds up where no rule holds and ``core`` is found; from ``enough`` on, the sentence instructs.
        reports: where this is found, signs do not count.
    """

    topics: Pattern
    moods: tuple[tuple[int, Pattern], ...]
    statements: Pattern
    rules: tuple[Rule, ...]
    signs: tuple[Sign, ...]
    enough: float
    core: Pattern | None
    reports: Pattern | None

    def mood(self, text: str) -> int:
        """The strongest mood in a sentence, as an index into `MOODS`."""
        return max((mood for mood, pattern in self.moods if pattern.search(text)), default=0)

    def kinds(self, text: str) -> list[str]:
        """Kinds of instruction in a sentence, the surest first; none in others."""
        mood = self.mood(text)
        if not mood and not self.statements.search(text):
            return []
        found = [rule.kind for rule in self.rules if mood >= rule.mood and rule.holds(text)]
        if not found and mood and self.score(text, mood) >= self.enough:
            found = ["answer-steering"]
        return list(dict.fromkeys(found))

    def score(self, text: str, mood: int) -> float:
        """The sum of the signs, the mood's among them; 0 without ``core``, and for reports."""
        if self.core is None or not self.core.search(text) or (self.reports and self.reports.search(text)):
            return 0.0
        return _WORTH[mood] + sum(sign.weight for sign in self.signs if sign.pattern.search(text))


@lru_cache
def language(tongue: Tongue) -> Language:
    """Read once in a process."""
    given = tomllib.loads(_table(tongue))
    names = _Names(given.get("moods", {}) | given.get("names", {}))
    return Language(
        topics=names.pattern(given["topics"]),
        moods=tuple((MOODS.index(mood), names.pattern(pattern)) for mood, pattern in given.get("moods", {}).items()),
        statements=names.pattern(given.get("statements", "")),
        rules=tuple(
            Rule(
                rule["kind"],
                MOODS.index(rule.get("mood", "stated")),
                tuple(map(names.pattern, rule["signs"])),
                names.pattern(rule["but"]) if "but" in rule else None,
            )
            for rule in given["rules"]
        ),
        signs=tuple(Sign(sign["weight"], names.pattern(sign["pattern"])) for sign in given.get("signs", ())),
        enough=given.get("enough", 0.0),
        core=names.pattern(given["core"]) if "core" in given else None,
        reports=names.pattern(given["reports"]) if "reports" in given else None,
    )


def fingerprint() -> str:
    """Of all the tables: another one whenever a rule changes."""
    return hashlib.sha256("".join(map(_table, get_args(Tongue))).encode()).hexdigest()[:8]


def _table(tongue: Tongue) -> str:
    return files("damda.answer.guards").joinpath(f"instructions_{tongue}.toml").read_text(encoding="utf-8")


class _Names:
    """Patterns that stand for ``<name>`` in others."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._patterns = patterns

    def pattern(self, source: str) -> Pattern:
        return Pattern(self._whole(source))

    def _whole(self, source: str) -> str:
        return _NAME.sub(lambda match: f"(?:{self._whole(self._patterns[match[1]])})", source)


_NAME = re.compile(r"(?<!\?)<([a-z]+)>")
_QUOTES = str.maketrans("", "", "\"'`*“”‘’「」『』")


def squashed(sentence: str) -> str:
    """A sentence in lower case as the Korean rules read it: without spaces, which vary, and quotation marks."""
    return "".join(sentence.split()).translate(_QUOTES)


def kinds(sentence: str) -> list[str]:
    """Kinds of instruction in a sentence in lower case without disguise, the surest first; none in others."""
    found: Sequence[str] = ()
    if (korean := language("ko")).topics.search(sentence):
        found = korean.kinds(squashed(sentence))
    if _LATIN.search(sentence) and (english := language("en")).topics.search(sentence):
        found = [*found, *english.kinds(sentence)]
    if not found and (other := language("other")).topics.search(sentence):
        found = other.kinds(sentence)
    return list(found)


_LATIN = re.compile("[a-z]{3}")


def commands(sentence: str) -> bool:
    """Whether a sentence in lower case is an imperative, whatever it is about, in Korean, or in English on speech."""
    return language("ko").mood(squashed(sentence)) >= POLITE or language("en").mood(sentence) >= POLITE
