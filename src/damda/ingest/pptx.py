"""PPTX -> text: a page a slide, its title as a heading, its texts, tables and speaker notes.

Knows: PresentationML and DrawingML (ECMA-376 part 1, chapters 19 to 21), as far as text goes. Does not know: layout;
texts come in the order in which they were drawn, the title first.
"""

import zipfile
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from damda.errors import ReadError
from damda.ingest import ooxml
from damda.ingest.containers import open_zip
from damda.ingest.ooxml import attr, child, children, local
from damda.ingest.structure import Cell, Parsed, heading, table

_NOT_CONTENT = frozenset("dt ftr hdr sldNum sldImg".split())
_MAX_DEPTH = 100


def parse(data: bytes) -> Parsed:
    with open_zip(data) as archive:
        name = ooxml.main_part(archive, "ppt/presentation.xml")
        root = ooxml.part(archive, name)
        if root is None:
            raise ReadError("has no presentation inside; open it in its program and save it again")
        targets = {key: target for key, kind, target in ooxml.relations(archive, name) if kind == "slide"}
        order = [_relation_id(found) for found in children(child(root, "sldIdLst"), "sldId")]
        pages = tuple(_slide(archive, targets[key]) for key in order if key in targets)
        # The properties' title is what the template was called, more often than not.
        first = pages[0].partition("\n")[0] if pages else ""
        return Parsed(pages=pages, title=first[3:] if first.startswith("## ") else ooxml.title(archive))


def _relation_id(element: Element) -> str:
    return next((value for key, value in element.attrib.items() if key.endswith("}id")), "")


def _slide(archive: zipfile.ZipFile, name: str) -> str:
    root = ooxml.part(archive, name)
    shapes = list(_shapes(child(root, "cSld", "spTree"), 0))
    titles = [text for kind, text in shapes if kind == "title"]
    blocks = [heading(2, text) for text in titles] + [text for kind, text in shapes if kind != "title"]
    notes = ooxml.related(archive, name, "notesSlide")
    blocks += [text for _, text in _shapes(child(notes, "cSld", "spTree"), 0)]
    return "\n\n".join(blocks)


def _shapes(parent: Element | None, depth: int) -> Iterator[tuple[str, str]]:
    """("title" or "", text) of each shape, groups and tables looked through."""
    if depth > _MAX_DEPTH:
        raise ReadError(f"nested more than {_MAX_DEPTH} deep; the file is damaged")
    for element in parent if parent is not None else ():
        if local(element) == "sp":
            holder = child(element, "nvSpPr", "nvPr", "ph")
            kind = attr(holder, "type") if holder is not None else ""
            text = _text(child(element, "txBody"))
            if text and kind not in _NOT_CONTENT:
                yield "title" if kind in ("title", "ctrTitle") else "", text
        elif local(element) == "tbl":
            text = table(_rows(element))
            if text:
                yield "", text
        elif local(element) not in ("Fallback", "txBody"):
            yield from _shapes(element, depth + 1)


def _rows(element: Element) -> Iterator[list[Cell]]:
    for row in children(element, "tr"):
        line = []
        for cell in children(row, "tc"):
            if attr(cell, "hMerge") not in ("1", "true") and attr(cell, "vMerge") not in ("1", "true"):
                line.append(Cell(_text(child(cell, "txBody")), _span(cell, "gridSpan"), _span(cell, "rowSpan")))
        yield line


def _span(cell: Element, name: str) -> int:
    value = attr(cell, name, "1")
    return int(value) if value.isdigit() else 1


def _text(body: Element | None) -> str:
    """Paragraphs a line each, bulleted by their level of indentation."""
    lines = []
    for paragraph in children(body, "p"):
        pieces = []
        for run in paragraph.iter():
            pieces.append({"t": run.text or "", "br": " ", "tab": "\t"}.get(local(run), ""))
        text = " ".join("".join(pieces).split())
        properties = child(paragraph, "pPr")
        level = attr(properties, "lvl", "0") if properties is not None else "0"
        deep = int(level) if level.isdigit() else 0
        bulleted = deep > 0 or child(properties, "buChar") is not None or child(properties, "buAutoNum") is not None
        if text:
            lines.append(f"{'  ' * min(deep, 8)}- {text}" if bulleted else text)
    return "\n".join(lines)
