"""HTML -> text: the main content as headings, lists, tables and paragraphs.

Knows: how elements are written as text. Does not know: scripts (nothing is run), styles (nothing is laid out).

Two passes, both without recursion, so that a page nested 100,000 deep is only a long page: ``Events`` makes a balanced
list of events and finds the main content in it, ``_Writer`` writes that range.
"""

import re
from dataclasses import dataclass, field

from damda.ingest.html_events import BLOCKS, HEADINGS, VOID, Attrs, Event, Events, dropped
from damda.ingest.structure import Cell, Parsed, heading, one_line, table

_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]{3,40})""")


def declared_charset(data: bytes) -> str:
    """The encoding that a page says it is in, "" if it doesn't."""
    match = _CHARSET.search(data[:2048])
    return match[1].decode("ascii") if match else ""


def parse(text: str) -> Parsed:
    """The main content of a page.

    The main content is ``<main>``/``role=main``, else ``<article>``, if it holds at least a quarter of the page's text,
    else the body; within main, an article that holds three quarters of it. Frames (navigation, footers, forms'
    controls, hidden elements) are left out of it.
    """
    reader = Events()
    reader.feed(text)
    reader.finish()
    writer = _Writer(reader.layout_tables)
    for index in range(*reader.main_range()):
        writer.event(index, reader.events[index])
    body = writer.finish()
    return Parsed(body, title=one_line(reader.title))


@dataclass(slots=True)
class _Table:
    rows: list[list[Cell]] = field(default_factory=list)
    cell: Attrs = field(default_factory=dict)


class _Writer:
    """Events to text: a line at a time, blank lines between blocks, tables held back until they end."""

    def __init__(self, layout_tables: set[int]) -> None:
        self._layout = layout_tables
        self._out: list[str] = []
        self._line: list[str] = []
        self._marks: list[str] = []  # of open lists: "-" or the next number
        self._prefix = ""
        self._heading = 0
        self._skip = 0
        self._pre = 0
        self._table: _Table | None = None

    def event(self, index: int, event: Event) -> None:
        if event.kind == "text":
            if not self._skip:
                self._line.append(event.value if self._pre else re.sub(r"\s+", " ", event.value))
        elif event.value in VOID:
            self._void(event.value)
        elif self._skip or dropped(event.value, event.attrs):
            self._skip += 1 if event.kind == "start" else -1
        elif event.kind == "start":
            self._start(index, event.value, event.attrs)
        else:
            self._end(event.value)

    def finish(self) -> str:
        self._flush()
        return re.sub(r"\n{3,}", "\n\n", "\n".join(self._out)).strip()

    def _void(self, tag: str) -> None:
        if tag in ("br", "hr") and not self._skip:
            self._line.append("\n")

    def _start(self, index: int, tag: str, attrs: Attrs) -> None:
        if tag == "pre":
            self._flush()
            self._pre += 1
        if self._table is not None:
            self._start_in_table(tag, attrs)
        elif tag == "table" and index not in self._layout:
            self._flush()
            self._table = _Table()
        elif tag in BLOCKS:
            self._flush()
            self._heading = HEADINGS.get(tag, self._heading)
            self._list(tag)

    def _list(self, tag: str) -> None:
        if tag in ("ul", "ol"):
            self._marks.append("-" if tag == "ul" else "1")
        elif tag == "li" and self._marks:
            mark = self._marks[-1]
            self._prefix = "  " * (len(self._marks) - 1) + (mark if mark == "-" else f"{mark}.") + " "
            if mark != "-":
                self._marks[-1] = str(int(mark) + 1)

    def _start_in_table(self, tag: str, attrs: Attrs) -> None:
        if self._table is None:
            return
        if tag == "tr":
            self._take_cell()
            self._table.rows.append([])
        elif tag in ("td", "th"):
            self._take_cell()
            self._table.cell = {"open": "", **attrs}
        elif tag in BLOCKS:
            self._line.append("\n")

    def _take_cell(self) -> None:
        """End the open cell; text between cells (a caption) becomes a paragraph before the table."""
        held = self._table
        if held is None:
            return
        text = "".join(self._line).strip()
        self._line = []
        if "open" in held.cell:
            if not held.rows:
                held.rows.append([])
            held.rows[-1].append(Cell(text, _span(held.cell, "colspan"), _span(held.cell, "rowspan")))
        elif text:
            self._out += ["", one_line(text)]
        held.cell = {}

    def _end(self, tag: str) -> None:
        if tag == "pre":
            self._end_pre()
        elif self._table is not None:
            self._end_in_table(tag)
        elif tag in BLOCKS:
            self._flush()
            if tag in HEADINGS:
                self._heading = 0
            if tag in ("ul", "ol") and self._marks:
                self._marks.pop()
                self._prefix = ""
                self._out += [""] if not self._marks else []

    def _end_in_table(self, tag: str) -> None:
        if self._table is None:
            return
        if tag in ("td", "th", "tr", "caption", "table"):
            self._take_cell()
        elif tag in BLOCKS:
            self._line.append("\n")
        if tag == "table":
            text = table(self._table.rows)
            self._table = None
            self._out += ["", text, ""]

    def _end_pre(self) -> None:
        self._pre -= 1
        if self._table is None and not self._pre:
            code = "".join(self._line).strip("\n").rstrip()
            self._line = []
            self._out += ["", "```", code, "```", ""] if code else []

    def _flush(self) -> None:
        """Write the open line as a paragraph, heading or list item."""
        lines = [" ".join(line.split()) for line in "".join(self._line).split("\n")]
        text = "\n".join(line for line in lines if line)
        self._line = []
        if not text:
            return
        if self._heading:
            self._out += ["", heading(self._heading, text), ""]
        elif self._prefix:
            self._out.append(self._prefix + text.replace("\n", "\n" + " " * len(self._prefix)))
        else:
            self._out += ["", text, ""] if not self._marks else ["  " * len(self._marks) + text]
        self._prefix = ""


def _span(attrs: Attrs, name: str) -> int:
    value = attrs.get(name, "1").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 6 else 1
