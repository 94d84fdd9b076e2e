"""What guards do with each line of a file, and how right they are where it says what they should do.

Knows: lines, counts, times. Does not know: what a guard looks for.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from damda.answer.guard import name_of
from damda.errors import ReadError
from damda.types import Guard, Place, Progress, Verdict, quiet

_YES, _NO = ("1", "true", "yes"), ("0", "false", "no")


class Line(NamedTuple):
    """A text, and whether something is to be found in it; None: the file doesn't say."""

    number: int
    text: str
    label: bool | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A line, and what each guard makes of it by itself."""

    number: int
    text: str
    label: bool | None
    verdicts: tuple[Verdict, ...]

    @property
    def found(self) -> tuple[Verdict, ...]:
        """Of the guards that found something."""
        return tuple(verdict for verdict in self.verdicts if verdict.action != "allow")


@dataclass(frozen=True, slots=True)
class Tally:
    """How one guard did.

    Attributes:
        guard: which; "all" for whether any of them found something.
        found: lines in which it found something; of them ``right``, ``wrong`` where lines have labels.
        missed: labelled lines in which it should have.
        passed: labelled lines in which there was nothing, and it found nothing.
        seconds: of each check.
    """

    guard: str
    found: int = 0
    right: int = 0
    wrong: int = 0
    missed: int = 0
    passed: int = 0
    seconds: tuple[float, ...] = field(default=(), repr=False)

    @property
    def precision(self) -> float | None:
        """Share of what it found that was to be found; None where that is not known."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None

    @property
    def recall(self) -> float | None:
        """Share that it found of what was to be found."""
        return self.right / (self.right + self.missed) if self.right + self.missed else None

    @property
    def false_positives(self) -> float | None:
        """Share of harmless lines in which it found something."""
        return self.wrong / (self.wrong + self.passed) if self.wrong + self.passed else None

    def percentile(self, share: float) -> float:
        """Seconds that so many of the checks took at most; 0.5: the median."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    def counted(self, found: bool, label: bool | None) -> "Tally":
        """With one more line."""
        tally = replace(self, found=self.found + found)
        if label is None:
            return tally
        name = ("right" if label else "wrong") if found else ("missed" if label else "passed")
        return replace(tally, **{name: getattr(tally, name) + 1})


def read(path: Path) -> list[Line]:
    """The lines of a file: JSON lines of {text, label} with the label left out or not, else plain text.

    Raises:
        ReadError: the file can't be read, or a line of a .jsonl is none.
    """
    try:
        raw = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ReadError(f"{path} is not UTF-8 text: byte {error.start} can't be read") from error
    rows = [(number, line.rstrip("\r")) for number, line in enumerate(raw.split("\n"), 1) if line.strip()]
    if path.suffix not in (".jsonl", ".ndjson"):
        return [Line(number, line) for number, line in rows]
    return [_line(path, number, line) for number, line in rows]


def _line(path: Path, number: int, line: str) -> Line:
    try:
        row = json.loads(line)
        text, label = row["text"], str(row.get("label", "")).lower()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReadError(f"{path}, line {number}: not a JSON object with text") from error
    if not isinstance(text, str):
        raise ReadError(f"{path}, line {number}: text has to be a string")
    return Line(number, text, True if label in _YES else False if label in _NO else None)


def check(
    guards: Sequence[Guard], place: Place, lines: Sequence[Line], progress: Progress = quiet
) -> Iterator[tuple[Seen, list[float]]]:
    """Each line with each guard's verdict on it as it stands there, and the seconds that each took."""
    for done, line in enumerate(lines):
        progress("checking", done, len(lines))
        verdicts, took = [], []
        for guard in guards:
            begun = time.perf_counter()
            verdict = guard.check(line.text)
            took.append(time.perf_counter() - begun)
            verdicts.append(replace(verdict, place=place))
        yield Seen(line.number, line.text, line.label, tuple(verdicts)), took
    progress("checking", len(lines), len(lines))


def tallied(guards: Sequence[Guard], seen: Sequence[tuple[Seen, list[float]]]) -> list[Tally]:
    """How each guard did, then all of them together."""
    tallies = []
    for n, guard in enumerate(guards):
        tally = Tally(name_of(guard), seconds=tuple(took[n] for _, took in seen))
        for line, _ in seen:
            tally = tally.counted(line.verdicts[n].action != "allow", line.label)
        tallies.append(tally)
    together = Tally("all", seconds=tuple(sum(took) for _, took in seen))
    for line, _ in seen:
        together = together.counted(bool(line.found), line.label)
    return [*tallies, together]
