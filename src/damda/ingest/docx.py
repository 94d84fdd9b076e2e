"""DOCX -> text: headings, numbered and bulleted paragraphs, tables, text boxes, notes.

Knows: WordprocessingML (ECMA-376 part 1, chapter 17), as far as text goes. Does not know: layout, pictures.

Written here because kreuzberg 4.10 deletes every entity of a docx: "R&D" comes out as "RD", "5 > 3" as "5 3"
(xberg-io/xberg issue 1242).
"""

import re
from collections.abc import Iterable, Iterator
from xml.etree.ElementTree import Element

from damda.errors import ReadError
from damda.ingest import ooxml
from damda.ingest.containers import open_zip
from damda.ingest.numbering import Numbering
from damda.ingest.ooxml import attr, child, children, local
from damda.ingest.structure import Cell, Parsed, heading, table

_CHARS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "softHyphen": ""}
# Deleted or moved-away text, codes of fields, the older copy of a drawing, settings: nothing that a reader sees.
_UNSEEN = frozenset("del moveFrom instrText delText Fallback pPr rPr tblPr trPr tcPr sectPr".split())
_MAX_DEPTH = 200


def parse(data: bytes) -> Parsed:
    """The body in reading order, then footnotes and endnotes."""
    with open_zip(data) as archive:
        name = ooxml.main_part(archive, "word/document.xml")
        root = ooxml.part(archive, name)
        if root is None:
            raise ReadError("has no document inside; open it in its program and save it again")
        body = _Body(
            _heading_levels(ooxml.related(archive, name, "styles")),
            Numbering(ooxml.related(archive, name, "numbering")),
        )
        blocks = list(body.blocks(child(root, "body")))
        for kind, note in (("footnotes", "footnote"), ("endnotes", "endnote")):
            for found in children(ooxml.related(archive, name, kind), note):
                if attr(found, "type") not in ("separator", "continuationSeparator", "continuationNotice"):
                    blocks += body.blocks(found)
        return Parsed(_join(blocks), title=ooxml.title(archive))


def _join(blocks: list[str]) -> str:
    """Blank lines between blocks, none between the items of a list."""
    out: list[str] = []
    in_list = False
    for block in blocks:
        is_item = block.lstrip(" ").startswith("- ")
        out += ["\n" if is_item and in_list else "\n\n", block]
        in_list = is_item
    return "".join(out[1:])


def _heading_levels(styles: Element | None) -> dict[str, int]:
    """Style id -> heading level, by outline level or built-in name ("heading 2", "제목 2"), inherited ones too."""
    levels: dict[str, int] = {}
    parents: dict[str, str] = {}
    for style in children(styles, "style"):
        key = attr(style, "styleId")
        name = child(style, "name")
        outline = child(style, "pPr", "outlineLvl")
        based = child(style, "basedOn")
        if based is not None:
            parents[key] = attr(based, "val")
        named = re.fullmatch(r"(?:heading|제목) ?([1-9])", attr(name, "val").lower()) if name is not None else None
        if named:
            levels[key] = int(named[1])
        elif outline is not None and attr(outline, "val").isdigit():
            levels[key] = int(attr(outline, "val")) + 1
        elif name is not None and attr(name, "val").lower() == "title":
            levels[key] = 1
    for key in list(parents):
        ancestor, seen = key, {key}
        while ancestor not in levels and parents.get(ancestor, "") not in seen | {""}:
            ancestor = parents[ancestor]
            seen.add(ancestor)
        if ancestor in levels:
            levels[key] = levels[ancestor]
    return {key: level for key, level in levels.items() if level <= 9}


class _Body:
    def __init__(self, levels: dict[str, int], numbering: Numbering) -> None:
        self._levels = levels
        self._numbering = numbering

    def blocks(self, elements: Iterable[Element] | None, depth: int = 0) -> Iterator[str]:
        """Paragraphs and tables, containers (content controls, insertions) looked through."""
        if depth > _MAX_DEPTH:
            raise ReadError(f"nested more than {_MAX_DEPTH} deep; the file is damaged")
        for element in elements if elements is not None else ():
            name = local(element)
            if name == "p":
                yield from self._paragraph(element, depth)
            elif name == "tbl":
                text = table(self._rows(element, depth))
                if text:
                    yield text
                yield from self._nested_tables(element, depth)
            elif name not in _UNSEEN:
                yield from self.blocks(element, depth + 1)

    def _paragraph(self, element: Element, depth: int) -> Iterator[str]:
        pieces: list[str] = []
        boxes: list[Element] = []
        _run_text(element, pieces, boxes, 0)
        text = re.sub(r"[ \u00a0]+", " ", "".join(pieces)).strip()
        label, indent = self._numbering.label(child(element, "pPr"))
        if text:
            level = self._level(element)
            if level:
                yield heading(level, f"{label} {text}" if label not in ("", "-") else text)
            else:
                yield f"{'  ' * indent if label == '-' else ''}{label} {text}" if label else text
        for box in boxes:
            yield from self.blocks(box, depth + 1)

    def _level(self, paragraph: Element) -> int:
        outline = child(paragraph, "pPr", "outlineLvl")
        if outline is not None and attr(outline, "val").isdigit() and int(attr(outline, "val")) < 9:
            return int(attr(outline, "val")) + 1
        style = child(paragraph, "pPr", "pStyle")
        key = attr(style, "val") if style is not None else ""
        named = re.fullmatch(r"[Hh]eading([1-9])", key)
        return self._levels.get(key, int(named[1]) if named else 0)

    def _rows(self, element: Element, depth: int) -> list[list[Cell]]:
        rows: list[list[Cell]] = []
        open_cells: dict[int, tuple[int, int]] = {}  # column -> place of the cell that is merged downwards from there
        for row in _within(element, "tr"):
            line: list[Cell] = []
            column = 0
            for cell in _within(row, "tc"):
                span = child(cell, "tcPr", "gridSpan")
                cols = int(attr(span, "val")) if span is not None and attr(span, "val").isdigit() else 1
                merge = child(cell, "tcPr", "vMerge")
                if merge is not None and attr(merge, "val", "continue") != "restart" and column in open_cells:
                    above, place = open_cells[column]
                    first = rows[above][place]
                    rows[above][place] = Cell(first.text, first.cols, first.rows + 1)
                else:
                    open_cells.pop(column, None)
                    if merge is not None:
                        open_cells[column] = (len(rows), len(line))
                    line.append(Cell("\n".join(self._cell_blocks(cell, depth)), cols))
                column += cols
            rows.append(line)
        return rows

    def _cell_blocks(self, cell: Element, depth: int) -> Iterator[str]:
        for element in cell:
            if local(element) == "p":
                yield from self._paragraph(element, depth)
            elif local(element) not in _UNSEEN | {"tbl"}:
                yield from self.blocks(element, depth + 1)

    def _nested_tables(self, element: Element, depth: int) -> Iterator[str]:
        """Tables within cells come after the table that holds them: a row of text can't hold a table."""
        for row in _within(element, "tr"):
            for cell in _within(row, "tc"):
                yield from self.blocks([e for e in cell if local(e) == "tbl"], depth + 1)


def _within(element: Element, name: str) -> Iterator[Element]:
    """Children of that name, also inside content controls."""
    for found in element:
        if local(found) == name:
            yield found
        elif local(found) in ("sdt", "sdtContent", "customXml", "ins"):
            yield from _within(found, name)


def _run_text(element: Element, pieces: list[str], boxes: list[Element], depth: int) -> None:
    """Collect the text below an element into ``pieces``; text boxes, blocks of their own, go into ``boxes``."""
    if depth > _MAX_DEPTH:
        raise ReadError(f"nested more than {_MAX_DEPTH} deep; the file is damaged")
    for found in element:
        name = local(found)
        if name == "t":
            pieces.append(found.text or "")
        elif name in _CHARS:
            pieces.append(_CHARS[name])
        elif name == "sym":
            pieces.append(_symbol(attr(found, "char")))
        elif name == "txbxContent":
            boxes.append(found)
        elif name not in _UNSEEN:
            _run_text(found, pieces, boxes, depth + 1)


def _symbol(code: str) -> str:
    """A character of a symbol font; without the font only ASCII has a known shape."""
    value = int(code, 16) & 0xFF if re.fullmatch("[0-9A-Fa-f]{4}", code) else 0
    return "•" if value else ""
