"""What a parser hands over, and how structure is written down as text.

Knows: the Markdown that damda writes for formats that have structure (headings, lists, tables), without escapes and
emphasis, since a quote shows people this very text. Does not know: any file format.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from damda.types import NO_META


@dataclass(frozen=True, slots=True)
class Parsed:
    """The content of one file.

    Attributes:
        text: Markdown-like text, not yet cleaned.
        title: the title that the file declares about itself, "" if it has none.
        pages: instead of ``text``, for formats with pages: the text of each, empty pages included.
        meta: what else the file declares.
    """

    text: str = ""
    title: str = ""
    pages: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=lambda: NO_META)


@dataclass(frozen=True, slots=True)
class Cell:
    """A table cell; ``cols`` and ``rows`` say how many columns and rows it covers."""

    text: str
    cols: int = 1
    rows: int = 1


_MAX_SPAN = 1000
_REPEAT = 40
_LONG = 100
_SECTION = re.compile(r"제\s?\d{1,3}\s?([편장절관])(?:의\s?\d+)?(?:\s|$)")
_NUMBER = re.compile(r"(\d{1,2}(?:\.\d{1,2}){1,4}\.|\d{1,2}(?:\.\d{1,2}){2,4}) +[^\W\d]")
_ROMAN = re.compile(r"[ⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩ]{1,3} ?[.．] ?[^\W\d]")
_NO_HEADING = re.compile(r"[.。,:;]$|다$|\d$|[·.…]{3}")
_LEVELS = {"편": 1, "장": 2, "절": 3, "관": 4}
_TITLE_MARKUP = re.compile(r"\s*\{\s*#[^}]*\}|\s+#+\s*$|</?[A-Za-z][^<>]{0,200}>|[*`]+|!?\[([^\]]*)\]\([^)]*\)")


def one_line(text: str) -> str:
    return " ".join(text.split())


def heading(level: int, text: str) -> str:
    return f"{'#' * min(6, max(1, level))} {one_line(text)}"


def section_level(line: str) -> int:
    """Heading level of a line such as ``제2장 총칙``, ``Ⅱ. 추진 계획`` or ``2.1.3. 범위``, else 0.

    For formats that lose what was a heading (PDF, HWP). A sentence that begins like that, or a line of a table of
    contents, is no heading.
    """
    if len(line) > 50 or _NO_HEADING.search(line):
        return 0
    match = _SECTION.match(line)
    if match:
        return _LEVELS[match[1]]
    number = _NUMBER.match(line)
    return min(6, number[1].rstrip(".").count(".") + 1) if number else int(bool(_ROMAN.match(line)))


def plain_title(text: str) -> str:
    """A heading's text without its Markdown: anchors, emphasis, links."""
    return one_line(_TITLE_MARKUP.sub(lambda m: m[1] or "", text))


def table(rows: Iterable[Sequence[Cell]]) -> str:
    """A Markdown table; "" if no cell has text.

    A cell that covers several rows is repeated in each of them if it is short, so that every row can be read alone;
    one that covers several columns is written once. Columns and rows without any text are left out. Forms, whose grid
    is mostly empty, keep only the cells with text: their columns line up with nothing. Boxes (a single column) and
    long texts that have a row to themselves are paragraphs, not tables.
    """
    rows = [list(row) for row in rows]
    grid = _grid(rows)
    keep = [i for i in range(max(map(len, grid), default=0)) if any(i < len(row) and row[i] for row in grid)]
    lines = [[row[i] if i < len(row) else "" for i in keep] for row in grid if any(row)]
    is_form = any(cell.cols > 1 and cell.text for row in rows for cell in row)
    if is_form and sum(bool(text) for line in lines for text in line) * 3 < len(keep) * len(lines):
        lines = [[text for text in line if text] for line in lines]
    blocks: list[str] = []
    held: list[list[str]] = []
    for line in lines:
        filled = [text for text in line if text]
        if len(keep) == 1 or (len(filled) == 1 and len(filled[0]) > _LONG):
            blocks += [_markdown(held), filled[0]]
            held = []
        else:
            held.append(line)
    blocks.append(_markdown(held))
    return "\n\n".join(block for block in blocks if block)


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table; a single row is a line of text, as people use such tables to lay out a heading."""
    if len(lines) < 2:
        return " ".join(one_line(text) for line in lines for text in line if text)
    width = max(map(len, lines))
    head, *body = [[one_line(text).replace("|", "\\|") for text in line] for line in lines]
    out = ["| " + " | ".join(head + [""] * (width - len(head))) + " |", "|" + " --- |" * width]
    for line in body:
        while not line[-1]:
            line.pop()
        out.append("| " + " | ".join(line) + " |")
    return "\n".join(out)


def _grid(rows: Sequence[Sequence[Cell]]) -> list[list[str]]:
    """Rows of equal columns: what a cell covers is "" or, below a short cell, its text again."""
    grid: list[list[str]] = []
    below: dict[int, tuple[int, str]] = {}
    for row in rows:
        line: list[str] = []
        for cell in row:
            _cover(line, below)
            text = cell.text.strip()
            cols, spans = min(max(1, cell.cols), _MAX_SPAN), max(1, cell.rows)
            if spans > 1:
                again = text if len(text) <= _REPEAT else ""
                below.update({len(line) + i: (spans - 1, again if i == 0 else "") for i in range(cols)})
            line += [text] + [""] * (cols - 1)
        _cover(line, below)
        while len(line) < max(below, default=0):
            line.append("")
            _cover(line, below)
        grid.append(line)
        below = {i: span for i, span in below.items() if span[0] > 0}
    return grid


def _cover(line: list[str], below: dict[int, tuple[int, str]]) -> None:
    """Fill the places at the end of ``line`` that a cell of an earlier row covers."""
    while below.get(len(line), (0, ""))[0] > 0:
        left, text = below[len(line)]
        below[len(line)] = (left - 1, text)
        line.append(text)
