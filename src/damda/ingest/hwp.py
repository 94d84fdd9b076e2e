"""What unhwp tells of an HWP or HWPX document -> text.

Knows: the JSON that unhwp 0.23 makes of a document. Does not know: either file format.

From JSON rather than its Markdown: that writes emphasis and links to pictures, and makes headings of whole articles.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from damda.ingest.structure import Cell, Parsed, heading, section_level, table

_MAX_HEADING = 80
_MAX_DEPTH = 50
Node = Mapping[str, Any]


def parse(document: Node) -> Parsed:
    """Paragraphs, tables and boxes in reading order; headers and footers of pages are left out."""
    blocks = [text for section in document["sections"] for text in _blocks(section["content"])]
    lost = document.get("skipped_sections") or ()
    return Parsed(
        "\n\n".join(blocks),
        title=str(document["metadata"].get("title") or ""),
        meta={"incomplete": f"{len(lost)} damaged sections left out"} if lost else {},
    )


def _blocks(content: Sequence[Node]) -> Iterator[str]:
    for node in content:
        if "Paragraph" in node:
            text = _paragraph(node["Paragraph"])
            if text:
                yield text
        elif "Table" in node:
            yield from _table(node["Table"], 0)


def _paragraph(node: Node) -> str:
    text = _text(node)
    level = int(node["style"].get("heading_level") or 0)
    if "\n" in text or len(text) > _MAX_HEADING or text.endswith(("다.", "다")):
        level = 0
    level = level or section_level(text)
    return heading(level, text) if level and text else text


def _text(node: Node) -> str:
    pieces = []
    for inline in node["content"]:
        if inline == "LineBreak":
            pieces.append("\n")
        elif isinstance(inline, dict):
            for kind, value in inline.items():
                pieces.append(_inline(kind, value))
    lines = (" ".join(line.split()) for line in "".join(pieces).split("\n"))
    return "\n".join(line for line in lines if line)


def _inline(kind: str, value: object) -> str:
    """Text of whatever stands in a line: a run, a link, an equation's script, a footnote."""
    if isinstance(value, str):
        return f" ({value.strip()})" if kind == "Footnote" else value
    return str(value.get("text") or value.get("script") or "") if isinstance(value, dict) else ""


def _table(node: Node, depth: int) -> Iterator[str]:
    rows: list[list[Cell]] = []
    nested: list[Node] = []
    for row in node["rows"]:
        line = []
        for cell in row["cells"]:
            lines = [_text(paragraph) for paragraph in cell["content"]]
            text = "\n".join(line for line in lines if line)
            line.append(Cell(text, int(cell.get("colspan") or 1), int(cell.get("rowspan") or 1)))
            nested += cell.get("nested_tables") or ()
        rows.append(line)
    text = table(rows)
    level = section_level(text)
    if text:
        yield heading(level, text) if level else text
    for inner in nested if depth < _MAX_DEPTH else ():
        yield from _table(inner, depth + 1)
