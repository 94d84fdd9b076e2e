"""Labelled texts to train a classifier with, from JSON lines or a table.

Knows: the shapes of such files, which labels say yes, texts that stand there twice. Does not know: features, models.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from damda.errors import ReadError
from damda.korean import nfc

YES = frozenset(("1", "true", "yes", "예", "참"))
NO = frozenset(("0", "false", "no", "아니요", "거짓"))
_COLUMNS = {"text": ("text", "question", "글", "문장", "질문"), "label": ("label", "라벨", "레이블", "분류")}


class Example(NamedTuple):
    """A text, and whether it is what the guard looks for."""

    text: str
    positive: bool


@dataclass(frozen=True, slots=True)
class Examples:
    """A set of examples, each text once.

    Attributes:
        rows: in the order of the file.
        words: what the file calls those that are looked for, and the others.
        repeated: rows left out because their text had been there with the same label.
        unclear: texts left out because they stood there with both labels.
        sha256: of the file.
    """

    rows: tuple[Example, ...]
    words: tuple[str, str] = ("1", "0")
    repeated: int = 0
    unclear: int = 0
    sha256: str = ""


def read(path: Path, positive: str = "") -> Examples:
    """Examples of a file: JSON lines of {text, label}, or a .csv or .tsv with the columns text and label.

    Args:
        path: the file.
        positive: the label that is looked for; all others are negative. "": 1, true or yes, against 0, false or no.

    Raises:
        ReadError: the file can't be read, a row has another shape, or the labels leave open what is looked for.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from error
    positive = _label(positive)
    table = path.suffix.lower() in (".csv", ".tsv")
    rows = [(text, label) for text, label in (_table if table else _lines)(path, raw) if text]
    words = _words(path, Counter(label for _, label in rows), positive)
    yes = {positive} if positive else YES
    found = unique([Example(text, label in yes) for text, label in rows])
    return Examples(found.rows, words, found.repeated, found.unclear, hashlib.sha256(raw).hexdigest())


def unique(rows: Sequence[Example]) -> Examples:
    """Each text once, white space aside: what stands in two parts of a split would be tested on what was learnt."""
    labels: dict[str, set[bool]] = {}
    first: dict[str, Example] = {}
    for row in rows:
        key = " ".join(nfc(row.text).split())
        labels.setdefault(key, set()).add(row.positive)
        first.setdefault(key, row)
    kept = tuple(row for key, row in first.items() if len(labels[key]) == 1)
    unclear = len(first) - len(kept)
    among = sum(len(labels[" ".join(nfc(row.text).split())]) == 2 for row in rows)
    return Examples(kept, repeated=len(rows) - among - len(kept), unclear=unclear)


def _words(path: Path, counts: Counter[str], positive: str) -> tuple[str, str]:
    """What those looked for and the others are called."""
    shown = ", ".join(f"{label!r} ({count:,})" for label, count in counts.most_common(6))
    if not counts:
        raise ReadError(f'{path}: no examples in it; a line looks like {{"text": "...", "label": 1}}')
    if positive:
        if positive not in counts:
            raise ReadError(f"{path}: no example has the label {positive!r}; its labels are {shown}")
        others = sorted(counts.keys() - {positive})
        return positive, others[0] if len(others) == 1 else "other"
    if counts.keys() <= YES | NO:
        return "1", "0"
    raise ReadError(f"{path}: its labels are {shown}: name the one to look for with --positive; the others count as no")


def _lines(path: Path, raw: bytes) -> Iterator[tuple[str, str]]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReadError(f"{path}: not UTF-8") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            said, label = row["text"], row["label"]
        except (ValueError, KeyError, TypeError) as error:
            raise ReadError(f"{path}, line {number}: not a JSON object with text and label") from error
        if not isinstance(said, str) or not isinstance(label, str | bool | int):
            raise ReadError(f"{path}, line {number}: text has to be a string, label a string, 0, 1, true or false")
        yield said.strip(), _label(label)


def _label(given: str | bool | int) -> str:
    word = str(given).strip()
    return word.lower() if word.lower() in YES | NO else word


def _table(path: Path, raw: bytes) -> Iterator[tuple[str, str]]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:  # as Korean Excel saves it
        text = raw.decode("cp949", errors="replace")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    header = [cell.strip().lower() for cell in next(rows, [])]
    at = {name: next((header.index(n) for n in names if n in header), -1) for name, names in _COLUMNS.items()}
    if missing := [name for name, place in at.items() if place < 0]:
        raise ReadError(f"{path}: its first row has no column called {' or '.join(missing)}")
    for cells in rows:
        if not any(cells):
            continue
        if len(cells) <= max(at.values()):
            raise ReadError(f"{path}, line {rows.line_num}: {len(cells)} cells, fewer than the first row has")
        yield cells[at["text"]].strip(), _label(cells[at["label"]])
