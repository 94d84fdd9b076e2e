"""Pages of a PDF's raw text -> paragraphs. Pure text; the PDF itself is read by the worker.

Knows: how words, lines, headers and page numbers come out of PDFs, Hancom Office's above all. Does not know: fonts and
places of characters, so neither tables nor headings other than 제1장 are recognised. (kreuzberg's Markdown for PDFs
guesses both; on Korean documents it made code blocks of articles and headings of page numbers, so its raw text it is.)
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from damda.ingest.structure import heading, section_level

_ITEM = re.compile(
    r"\s*(?:[-–—•·○●◦□■▪▶▷※*☞✓]|[①-⑳㉠-㉻ⓐ-ⓩ❶-❿]|[(（]?(?:\d{1,3}|[가-하]|[A-Za-z]|[ivxIVX]{1,4})[.)）](?:\s|$)"
    r"|\d+(?:\.\d+)+\.?\s|[ⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩ]+[.\s]|제\s?\d+\s?(?:[편장절관조]|[편장절관조]의)|[<\[【「『|#])"
)
_ENDS = re.compile(r"[.!?。:;…][\"'”’)\]」』]*$|다$|[·.…]{4,}|\|$")
_JOINED = re.compile(r"(?<=다\.) (?=\d{1,2}(?:\.\d{1,2})+\. )")  # a heading that pdfium put into the line before it
_HANGUL = re.compile("[가-힣]")
_FULL = 0.8
_MIN_WIDTH = 50
_MIN_RUNNING = 10


def paragraphs(pages: Sequence[str]) -> tuple[str, ...]:
    """The text of each page, running headers and page numbers left out, lines of a sentence joined.

    A line is joined to the next if it reaches the right margin, ends no sentence, and the next begins no list item.
    Hancom Office breaks lines within words and keeps the space where it doesn't; where a document keeps such spaces,
    a line that ends without one is joined without one.
    """
    lines = [_JOINED.sub("\n", page.replace("\r\n", "\n").replace("\r", "\n")).split("\n") for page in pages]
    lines = _without_furniture([[line for line in page if line.strip()] for page in lines])
    every = [line for page in lines for line in page]
    keeps_spaces = _keeps_spaces(every)
    # The median of the longer ones: parsers join some lines, so that the longest tell nothing.
    widths = sorted(width for line in every if (width := _width(line)) >= _MIN_WIDTH and not _ENDS.search(line))
    margin = _FULL * widths[len(widths) // 2] if widths else 0
    return tuple(_page(page, margin, keeps_spaces) for page in lines)


def _page(lines: Sequence[str], margin: float, keeps_spaces: bool) -> str:
    out: list[str] = []
    open_line = ""  # what the line to come may continue
    for line in lines:
        level = section_level(line.strip())
        if level:
            out.append(f"\n{heading(level, line)}\n")
            open_line = ""
            continue
        if open_line and _continues(open_line, line, margin):
            out[-1] = _join(out[-1], line.strip(), open_line[-1:].isspace(), keeps_spaces)
        else:
            out.append(line.strip())
        open_line = line
    return re.sub("\n{3,}", "\n\n", "\n".join(out)).strip()


def _continues(line: str, following: str, margin: float) -> bool:
    if _width(line) < margin or _ENDS.search(line.rstrip()) or _ITEM.match(following):
        return False
    words = line.split()
    return sum(any(c.isdigit() for c in word) for word in words) * 2 < len(words)  # else a table's row


def _join(text: str, following: str, spaced: bool, keeps_spaces: bool) -> str:
    if text.endswith("-") and text[-2:-1].isalpha() and following[:1].islower():
        return text[:-1] + following
    within_word = keeps_spaces and not spaced and _HANGUL.match(text[-1:]) and _HANGUL.match(following)
    return text + ("" if within_word else " ") + following


def _keeps_spaces(lines: Sequence[str]) -> bool:
    """Whether lines that end between words end in a space: some do, often."""
    ends = [line for line in lines if _width(line) >= _MIN_WIDTH and _HANGUL.match(line.rstrip()[-1:])]
    return sum(line[-1].isspace() for line in ends) >= max(1, 0.3 * len(ends))


def _width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line.strip())


def _without_furniture(pages: list[list[str]]) -> list[list[str]]:
    """Without what stands at the top or bottom of half of the pages; its first appearance stays, unless a number."""
    edges = [{_shape(line) for line in page[:2] + page[-2:]} for page in pages]
    often = max(3, sum(map(bool, edges)) / 2)
    count = Counter(shape for edge in edges for shape in edge)
    running = {shape for shape, times in count.items() if times >= often}
    shown: set[str] = set()
    kept = []
    for page in pages:
        lines = []
        for number, line in enumerate(page):
            shape = _shape(line)
            at_edge = number < 2 or number >= len(page) - 2
            if at_edge and shape in running and (shape in shown or not re.search(r"[^\W#\d]", shape)):
                continue
            if at_edge and shape in running:
                shown.add(shape)
            lines.append(line)
        kept.append(lines)
    return kept


def _shape(line: str) -> str:
    """The line, its number made alike if it looks like a page's; other numbers tell lines of content apart."""
    text = " ".join(line.split())
    if not re.search(r"[^\W\d_]", re.sub("(?i)page|쪽|페이지", "", text)):
        return re.sub(r"\d+", "#", text)
    bare = re.sub(r"^\d+ | \d+$", "#", text)
    return bare if len(bare) > _MIN_RUNNING else text
