"""Figures -> settings that are better on this machine, each with its reason.

Knows: what must be gained for a setting to be changed, and what must not be lost. Does not know: files.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from damda.bench.subject import Row

GAIN, LOSS = 1.05, 0.97
"""Times as fast as without: what is a gain, and what is none yet."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting and why."""

    key: str
    value: str | int | bool
    why: str


def choices(rows: Sequence[Row], draft: str = "") -> list[Choice]:
    """Settings that are worth a change; those that are best as they come are not named.

    Args:
        draft: the smaller model that guessed.
    """
    found = [choice for choose in (_speculation, _flash, _prefixes) for choice in choose(_Table(rows))]
    if any(choice.value == "draft" for choice in found):
        found.append(Choice("llama.draft", draft, "it guesses"))
    return found


class _Table:
    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def ways(self, study: str) -> dict[str, dict[str, Row]]:
        """Task -> way -> row."""
        found: dict[str, dict[str, Row]] = {}
        for row in self._rows:
            if row["study"] == study:
                found.setdefault(row["task"], {})[row["way"]] = row
        return found


def _speculation(table: _Table) -> Iterator[Choice]:
    tasks = table.ways("speculation")
    if not tasks:
        return

    def gains(way: str) -> dict[str, float]:
        return {task: _ratio(ways, way, "none") for task, ways in tasks.items() if way in ways and ways[way]["same"]}

    best, found = "", dict[str, float]()
    for way in ("ngram", "draft"):
        mine = gains(way)
        enough = len(mine) == len(tasks) and max(mine.values()) >= GAIN and min(mine.values()) >= LOSS
        if enough and sum(mine.values()) > sum(found.values()):
            best, found = way, mine
    if best:
        said = ", ".join(f"{gain:.2f} times on {task}" for task, gain in found.items())
        yield Choice("llama.speculation", best, f"tokens a second: {said}; the same words")


def _flash(table: _Table) -> Iterator[Choice]:
    tasks = table.ways("flash attention")
    if not tasks:
        return
    gains = [_ratio(ways, "off", "on", _whole_speed) for ways in tasks.values()]
    if min(gains) >= GAIN:
        yield Choice("llama.flash_attention", "off", f"{min(gains):.2f} times as fast without, at every length")


def _prefixes(table: _Table) -> Iterator[Choice]:
    for task, ways in table.ways("prefixes").items():
        gain = ways["computed"]["first"] / ways["restored"]["first"]
        if gain >= 2 and ways["restored"]["same"]:
            yield Choice("llama.kv", True, f"first words {gain:.0f} times as early behind {task}")


def _speed(row: Row) -> float:
    return float(row["tokens_per_second"])


def _whole_speed(row: Row) -> float:
    return 1 / (float(row["first"]) + 48 / float(row["tokens_per_second"]))


def _ratio(ways: Mapping[str, Any], one: str, other: str, speed: Callable[[Row], float] = _speed) -> float:
    return speed(ways[one]) / speed(ways[other])
