"""Guards that are plain rules: how long a text is, what it is written in, an owner's own patterns.

Knows: characters and expressions. Does not know: personal data (`personal`), meanings, or where a text comes from.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from damda.errors import ConfigError
from damda.types import MASK, Action, Found, Hit, Verdict

if TYPE_CHECKING:
    import pyarrow as pa


class Length:
    """Blocks texts of more than ``max_chars`` characters."""

    def __init__(self, max_chars: int) -> None:
        self._most = max_chars
        self.id = f"length:{max_chars}"

    def check(self, text: str, hits: Sequence[Hit] = ()) -> Verdict:
        """``found`` is what is too much."""
        if len(text) <= self._most:
            return Verdict("allow", text, guard="length")
        return Verdict("block", "", (Found("length", self._most, len(text)),), guard="length")


# --- language ---------------------------------------------------------------------------------------------------------

# By script alone: "en" is every language in Latin letters. Han by itself is Chinese; beside Hangul or kana it is not.
_SCRIPTS: Mapping[str, str] = {
    "ko": "가-힣ㄱ-ㅎㅏ-ㅣ\u1100-\u11ff",
    "en": "A-Za-z\u00c0-\u024f",
    "ja": "\u3041-\u30fa",
    "zh": "\u3400-\u4dbf\u4e00-\u9fff",
    "ru": "\u0400-\u052f",
    "el": "\u0370-\u03ff",
    "ar": "\u0600-\u06ff\u0750-\u077f",
    "he": "\u0590-\u05ff",
    "th": "\u0e00-\u0e7f",
    "hi": "\u0900-\u097f",
}
LANGUAGES = tuple(_SCRIPTS)
"""Languages that can be told from one another, each by its script."""
_LETTERS = {language: re.compile(f"[{letters}]") for language, letters in _SCRIPTS.items()}
_DENSE = frozenset(("ko", "ja", "zh"))
_SYLLABLE = 3
"""A character of these says as much as so many letters of an alphabet."""
_FEW = 12
"""Fewer letters (of an alphabet; a third of that in syllables) are too few to judge by."""
_HALF = 0.5
# Fenced and quoted code, lines that begin or end as code does, and words with signs or digits in them are no language.
_CODE = re.compile(
    r"```(?s:.*?)(?:```|\Z)|`[^`\n]*`"
    r"|^[ \t]*(?:import|return|def|const|var|function|SELECT|INSERT|UPDATE|[$>])(?!\w).*$|^.*[;{}][ \t]*$"
    r"|(?<!\S)-{1,2}[A-Za-z]\S*|\S*[0-9_/\\(){}\[\]<>=;:$#@&*|+^%]\S*",
    re.MULTILINE,
)


class Language:
    """Blocks texts that are mostly in the script of a language that is not allowed.

    Short texts, numbers and code pass. Rule names are "language:ja" and so on.

    Raises:
        ConfigError: a language is none of `LANGUAGES`.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        if unknown := [language for language in allowed if language not in _SCRIPTS]:
            raise ConfigError(f"guard.languages: no language {', '.join(unknown)}; there are {', '.join(LANGUAGES)}")
        self._allowed = frozenset(allowed)
        self.id = f"language:1:{','.join(sorted(self._allowed))}"

    def check(self, text: str, hits: Sequence[Hit] = ()) -> Verdict:
        """``found`` reaches from the first letter of the language to its last one."""
        language = dominant(text)
        if not language or language in self._allowed:
            return Verdict("allow", text, guard="language")
        places = [match.start() for match in _LETTERS[language].finditer(text)]
        return Verdict("block", "", (Found(f"language:{language}", places[0], places[-1] + 1),), guard="language")


def dominant(text: str) -> str:
    """The language that most of a text's letters belong to; "" where they are few, code, or of no one language."""
    words = _CODE.sub(" ", text)
    counts = {language: len(letters.findall(words)) for language, letters in _LETTERS.items()}
    if counts["ja"] and counts["ja"] * 4 >= counts["zh"]:
        counts["ja"] += counts.pop("zh")
    elif counts["ko"] > counts["zh"]:
        counts["ko"] += counts.pop("zh")
    weights = {language: count * (_SYLLABLE if language in _DENSE else 1) for language, count in counts.items()}
    total = sum(weights.values())
    most = max(weights, key=weights.__getitem__)
    if weights[most] < _FEW or weights[most] <= _HALF * total:
        return ""
    if most == "en" and counts["en"] <= _HALF * len(_LETTERS["en"].findall(text)):
        return ""  # more code than words
    return most


# --- an owner's patterns ----------------------------------------------------------------------------------------------


class Pattern(NamedTuple):
    """One of the owner's own: what it is called, what it looks for, what is done."""

    name: str
    regex: str
    action: Action


_ACTIONS: tuple[Action, ...] = ("block", "redact", "flag")
"""The gravest first."""


class Patterns:
    """Regular expressions of the owner's own, from a TOML file.

    ::

        [[pattern]]
        name = "employee number"
        regex = "E-[0-9]{6}"
        action = "redact"        # or "block", "flag"

    The expressions are RE2's (by pyarrow): they take time in proportion to the text, whatever they are, so none can
    hang the service; for that they know no lookaround and no backreference, and ``\\b`` and ``\\w`` are ASCII's.

    Raises:
        ConfigError: the file can't be read, or an entry is wrong; names the file and the pattern.
    """

    def __init__(self, file: str | Path) -> None:
        self._patterns = load(Path(file))
        self._any = "|".join(f"(?:{pattern.regex})" for pattern in self._patterns)
        whole = repr([tuple(pattern) for pattern in self._patterns])
        self.id = f"patterns:1:{hashlib.sha256(whole.encode()).hexdigest()[:12]}"

    def check(self, text: str, hits: Sequence[Hit] = ()) -> Verdict:
        """The gravest action of those that match; ``found`` holds what it is for, named as in the file."""
        import pyarrow.compute as pc

        # Half characters can't be encoded; one odd character for another keeps the places.
        array = _array(text.encode("utf-8", "replace").decode() if not text.isascii() else text)
        if not self._any or not pc.match_substring_regex(array, self._any)[0].as_py():
            return Verdict("allow", text, guard="patterns")
        found = [(pattern, one) for pattern in self._patterns for one in _places(array, pattern)]
        action = next(action for action in _ACTIONS if any(pattern.action == action for pattern, _ in found))
        named = sorted((one for pattern, one in found if pattern.action == action), key=lambda one: one.start)
        kept = "" if action == "block" else _hide(text, named) if action == "redact" else text
        return Verdict(action, kept, tuple(named), guard="patterns")


def load(file: Path) -> list[Pattern]:
    """Patterns of a file, in its order.

    Raises:
        ConfigError: as `Patterns`.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"guard.patterns {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"guard.patterns {file} is not TOML: {error}") from error
    entries = table.pop("pattern", [])
    if table or not isinstance(entries, list) or not entries:
        raise ConfigError(f"guard.patterns {file}: it has to hold [[pattern]] tables with name, regex and action")
    return [_pattern(file, n, entry) for n, entry in enumerate(entries, 1)]


def _pattern(file: Path, n: int, entry: object) -> Pattern:
    fields = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
    where = f"guard.patterns {file}, pattern {n} ({fields.get('name', 'without a name')})"
    if fields.keys() != {"name", "regex", "action"} or not all(isinstance(value, str) for value in fields.values()):
        raise ConfigError(f"{where}: it needs name, regex and action, all of them text, and nothing else")
    if fields["action"] not in _ACTIONS:
        raise ConfigError(f"{where}: action is one of {', '.join(_ACTIONS)}, not {fields['action']}")
    unnamed = re.sub(r"\(\?P?<[A-Za-z_]\w*>", "(", fields["regex"])  # all are put into one, where names would clash
    pattern = Pattern(fields["name"], unnamed, fields["action"])
    _try(where, pattern)
    return pattern


def _try(where: str, pattern: Pattern) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        empty = pc.match_substring_regex(_array(""), pattern.regex)[0].as_py()
    except pa.ArrowInvalid as error:
        why = str(error).splitlines()[0].removeprefix("Invalid regular expression: ")
        raise ConfigError(f"{where}: {why}; lookaround and backreferences are not known here") from error
    if empty:
        raise ConfigError(f"{where}: it matches the empty text, so everything")


def _array(text: str) -> "pa.Array":
    import pyarrow as pa

    return pa.array([text], pa.string())


def _places(array: "pa.Array", pattern: Pattern) -> list[Found]:
    """Where a pattern matches: marks that the text does not have are put around each match, and read again."""
    import pyarrow.compute as pc

    text = cast(str, array[0].as_py())
    opened, closed = [mark for mark in map(chr, range(0xE000, 0xE100)) if mark not in text][:2]
    marked = pc.replace_substring_regex(array, f"({pattern.regex})", rf"{opened}\1{closed}")[0].as_py()
    found: list[Found] = []
    start = at = 0
    for char in marked:
        if char == opened:
            start = at
        elif char == closed:
            found += [Found(pattern.name, start, at)] if at > start else []
        else:
            at += 1
    return found


def _hide(text: str, found: Sequence[Found]) -> str:
    """The text with every character of what was found masked, but white space."""
    chars = list(text)
    for one in found:
        chars[one.start : one.end] = [char if char.isspace() else MASK for char in chars[one.start : one.end]]
    return "".join(chars)
