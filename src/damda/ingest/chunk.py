"""Document -> Chunks: by structure, then by sentences, to a token budget.

Knows: Markdown's blocks, the articles of Korean rules and statutes, sentence ends. Does not know: which tokenizer
counts (it is given), or what the passages are for.

Every chunk is a span: ``document.text[chunk.start:chunk.end] == chunk.text``. The path of headings above a chunk goes
into ``heading``, outside the offsets, so that "제2항" alone in a passage still says which article it belongs to.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from damda.korean import sentences
from damda.types import Chunk, Document

CHUNKER_VERSION = "blocks-4"

Counter = Callable[[Sequence[str]], list[int]]
Span = tuple[int, int]

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)$")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_TABLE = re.compile(r"\s*\|")
_RULE = re.compile(r"\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?\s*$")
_ITEM = re.compile(
    r"\s*(?:[-*+•·○◦▪□■※]|\(?\d{1,3}\\?[.)]|[가-하]\\?[.)]|[\u2460-\u2473\u326e-\u327b]|\*\*[\u2460-\u2473]\*\*)\s+"
)
# Parts of a Korean rule in plain text: 편 > 장 > 절 > 관 are headings, 조 is a heading with its text on the same line.
_PART = re.compile(r"\s*제\s?\d+\s?(편|장|절|관)(?:의\d+)?(?:\s|$)")
_ARTICLE = re.compile(r"\s*(제\s?\d+\s?조(?:의\s?\d+)?\s*[(（][^)）\n]{1,80}[)）])")
_PART_LEVEL = {"편": 1, "장": 2, "절": 3, "관": 4}
_ARTICLE_LEVEL = 5
_MARKUP = re.compile(r"\{\s*(?:#|/\*)[^}]*\}|\[([^\]]*)\]\([^)]*\)|\*\*|__|`|\\(?=\W)|<[^>]{1,80}>")


@dataclass(slots=True)
class _Section:
    """What stands between two headings."""

    path: tuple[str, ...]
    head: Span | None = None
    blocks: list[Span] = field(default_factory=list)


def chunk(document: Document, count_tokens: Counter, budget: int) -> list[Chunk]:
    """Cut a document into passages.

    Args:
        document: its text is not changed.
        count_tokens: tokens of each of several texts.
        budget: most tokens of one chunk, its headings not counted.

    Returns:
        Chunks in the order of the text; they don't overlap, and together they hold every word but headings that have
        text below them. Empty for a blank document.
    """
    text = document.text
    chunks: list[Chunk] = []
    for section in _sections(text):
        path = section.path[1:] if section.path[:1] == (document.title,) else section.path
        for (start, end), columns in _pack(text, section.blocks, count_tokens, budget):
            chunks.append(
                Chunk(
                    id=f"{document.id}#{len(chunks)}",
                    doc_id=document.id,
                    text=text[start:end],
                    start=start,
                    end=end,
                    title=document.title,
                    heading=" > ".join((*path, columns) if columns else path),
                    source=document.source,
                    version=document.version,
                )
            )
    return chunks


def _sections(text: str) -> Iterator[_Section]:
    path: list[tuple[int, str]] = []
    section = _Section(())
    for kind, start, end, level, name in _blocks(text):
        if kind == "text":
            section.blocks.append((start, end))
            continue
        yield _closed(section, level, path)
        while path and path[-1][0] >= level:
            path.pop()
        path.append((level, name))
        section = _Section(tuple(name for _, name in path if name), (start, end))
        if kind == "article":  # its text begins on the heading's own line
            section.blocks.append((start, end))
    yield _closed(section, 0, path)


def _closed(section: _Section, next_level: int, path: list[tuple[int, str]]) -> _Section:
    """A heading with nothing below it, not even a deeper heading, is a passage itself."""
    if section.head and not section.blocks and not (path and next_level > path[-1][0]):
        section.blocks.append(section.head)
    return section


def _blocks(text: str) -> Iterator[tuple[str, int, int, int, str]]:
    """(kind, start, end, level, name); kind is text, heading, or article."""
    open_at: int | None = None  # start of the paragraph, item or table that is being read
    end_at = 0
    kind = ""  # of the open block: paragraph, item, table
    for start, end, fenced in _lines(text):
        line = text[start:end]
        this, level, name = ("fence", 0, "") if fenced else _kind(line)
        continues = this == kind and this in ("table", "paragraph", "fence")
        continues = continues or (kind == "item" and this == "paragraph")
        if open_at is not None and not continues:
            yield "text", open_at, end_at, 0, ""
            open_at = None
        if this == "heading":
            yield "heading", start, end, level, name
            kind = ""
            continue
        if this == "blank":
            kind = ""
            continue
        if this == "article":
            yield "article", start, end, level, name
            kind = ""
            continue
        if open_at is None:
            open_at, kind = start, this
        end_at = end
    if open_at is not None:
        yield "text", open_at, end_at, 0, ""


def _lines(text: str) -> Iterator[tuple[int, int, bool]]:
    """(start, end, inside a code fence) of each line; blank lines inside a fence count as its text."""
    fence = ""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        mark = _FENCE.match(text, start, end)
        if fence:
            yield start, end, True
            if mark and mark[1].startswith(fence):
                fence = ""
        else:
            fence = mark[1] if mark else ""
            yield start, end, bool(mark)
        start = end + 1


def _kind(line: str) -> tuple[str, int, str]:
    if not line.strip():
        return "blank", 0, ""
    if heading := _HEADING.match(line):
        return "heading", len(heading[1]), plain(_unclosed(heading[2].strip()))
    if _TABLE.match(line):
        return "table", 0, ""
    if part := _PART.match(line):
        if len(line) < 60:
            return "heading", _PART_LEVEL[part[1]], plain(line)
    if article := _ARTICLE.match(line):
        return "article", _ARTICLE_LEVEL, plain(article[1])
    return ("item" if _ITEM.match(line) else "paragraph"), 0, ""


def _unclosed(heading: str) -> str:
    """A heading's text without closing marks: "이름 ##" is "이름", but "C#" is "C#"."""
    bare = heading.rstrip("#")
    return bare if not bare or bare[-1].isspace() else heading


def plain(markdown: str) -> str:
    """A heading without its markup: links keep their text, anchors and emphasis go."""
    return _MARKUP.sub(lambda m: m[1] or "", markdown).strip()


def _pack(text: str, blocks: list[Span], count_tokens: Counter, budget: int) -> Iterator[tuple[Span, str]]:
    """Neighbouring blocks together while they fit; one over the budget is cut. Yields (span, columns of its table)."""
    sizes = count_tokens([text[a:b] for a, b in blocks])
    run: Span | None = None
    used = 0
    for (start, end), size in zip(blocks, sizes, strict=True):
        if run and used + size > budget:
            yield run, ""
            run = None
        if size > budget:
            pieces = list(_cut(text, (start, end), count_tokens, budget))
            columns = _columns(text, (start, end))
            for n, piece in enumerate(pieces):
                yield piece, columns if n else ""
            continue
        run, used = ((run[0], end), used + size) if run else ((start, end), size)
    if run:
        yield run, ""


def _columns(text: str, span: Span) -> str:
    """Header row of a table, for the parts of it that have lost sight of theirs."""
    lines = text[span[0] : span[1]].split("\n", 2)
    if len(lines) < 3 or not _TABLE.match(lines[0]) or not _RULE.match(lines[1]):
        return ""
    return " | ".join(cell.strip() for cell in lines[0].strip().strip("|").split("|"))


def _cut(text: str, span: Span, count_tokens: Counter, budget: int) -> Iterator[Span]:
    """Spans within the budget: rows of a table, lines of code, sentences of the rest; longer ones are halved."""
    pieces: list[Span] = [(span[0] + a, span[0] + b) for a, b in sentences(text[span[0] : span[1]], wrapped=True)]
    sizes = count_tokens([text[a:b] for a, b in pieces])
    run: Span | None = None
    used = 0
    for piece, size in zip(pieces, sizes, strict=True):
        if run and used + size > budget:
            yield run
            run = None
        if size > budget:
            yield from _halve(text, piece, count_tokens, budget)
            continue
        run, used = ((run[0], piece[1]), used + size) if run else (piece, size)
    if run:
        yield run


def _halve(text: str, span: Span, count_tokens: Counter, budget: int) -> Iterator[Span]:
    """A single endless sentence: cut in two at the white space nearest to its middle, else anywhere, until it fits."""
    start, end = span
    if end - start < 2 or count_tokens([text[start:end]])[0] <= budget:
        yield span
        return
    middle = (start + end) // 2
    before, after = text.rfind(" ", start + 1, middle), text.find(" ", middle, end - 1)
    spaces = [at for at in (before, after) if at > 0]
    at = min(spaces, key=lambda at: abs(at - middle)) if spaces else middle
    for a, b in ((start, at), (at, end)):
        piece = text[a:b]
        a, b = a + len(piece) - len(piece.lstrip()), a + len(piece.rstrip())
        if b > a:
            yield from _halve(text, (a, b), count_tokens, budget)
