"""Ties what was said to where it stands.

Knows: when words of an answer are words of a passage, and when a passage supports a sentence. Does not know: who
wrote the sentence. A quote is verbatim or it is not a quote: each is compared with the stored document before it is
returned.
"""

import re
from collections.abc import Callable, Sequence

from damda.korean import sentences
from damda.types import MASK, Analyser, Document, Hit, Quote

Documents = Callable[[str, str], Document | None]
"""(document id, version) -> the stored document."""

# A sentence in other words than the passage's counts as supported when this share of its content words, and every one
# of its numbers, stands in one or two neighbouring sentences of a passage.
_SUPPORT = 0.6
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_MARKS = re.compile(r"\s*\[\d+\]|^[\s\-*•]+|[\s\"'“”‘’]+$")


class Grounder:
    """Finds the words of a passage that a sentence repeats, or that support it.

    Args:
        hits: the passages that the answer was made from.
        documents: looks up stored documents.
        analyser: for support in other words; it is not asked when a sentence is verbatim.
    """

    def __init__(self, hits: Sequence[Hit], documents: Documents, analyser: Analyser) -> None:
        self._hits, self._documents, self._analyser = hits, documents, analyser
        self._words: list[tuple[Hit, int, int, frozenset[str]]] | None = None

    def ground(self, sentence: str) -> Quote | None:
        """The quote that a sentence is tied to; None: no passage supports it."""
        wanted = _MARKS.sub("", sentence).strip()
        if not wanted:
            return None
        for hit in self._hits:
            if (span := find(wanted, hit.chunk.text)) is not None:
                return self._quote(hit, *_whole(hit.chunk.text, *span))
        return self._supported(wanted)

    def _supported(self, sentence: str) -> Quote | None:
        said = frozenset(self._analyser.content([sentence])[0])
        numbers = set(_NUMBER.findall(sentence))
        best, where = 0.0, None
        for hit, start, end, words in self._windows():
            share = len(said & words) / len(said) if said else 0.0
            if share > best and numbers <= set(_NUMBER.findall(hit.chunk.text[start:end])):
                best, where = share, (hit, start, end)
        return self._quote(*where) if where and best >= _SUPPORT else None

    def _windows(self) -> list[tuple[Hit, int, int, frozenset[str]]]:
        """Single sentences first, then neighbouring pairs: of two equally good ones the shorter is quoted."""
        if self._words is None:
            spans = [(hit, start, end) for hit in self._hits for start, end in sentences(hit.chunk.text, wrapped=True)]
            words = self._analyser.content([hit.chunk.text[start:end] for hit, start, end in spans])
            singles = [(*span, frozenset(w)) for span, w in zip(spans, words, strict=True)]
            pairs = [
                (a[0], a[1], b[2], a[3] | b[3]) for a, b in zip(singles, singles[1:], strict=False) if a[0] is b[0]
            ]
            self._words = singles + pairs
        return self._words

    def _quote(self, hit: Hit, start: int, end: int) -> Quote | None:
        chunk = hit.chunk
        document = self._documents(chunk.doc_id, chunk.version)
        start, end = chunk.start + start, chunk.start + end
        text = chunk.text[start - chunk.start : end - chunk.start]
        if document is None or not _same(document.text[start:end], text):
            return None  # the document changed since the search: what was found is no longer in it
        header = columns(document.text, start)
        if chunk.heading.endswith(header):
            header = ""  # the chunker says it already, for a table that it had to cut
        heading = " > ".join(part for part in (chunk.heading, header) if part)
        page = document.page_at(start)
        return Quote(text, chunk.doc_id, start, end, chunk.source, chunk.title, heading, page, version=chunk.version)


def _same(stored: str, text: str) -> bool:
    """Whether a document still says what a passage of it says; a masked character stands for any."""
    if MASK not in text:
        return stored == text
    return len(stored) == len(text) and all(a == b or b == MASK for a, b in zip(stored, text, strict=True))


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    """A part of a sentence is quoted with the rest of it: "3일까지" alone can't be checked by a reader."""
    touched = [(a, b) for a, b in sentences(text, wrapped=True) if a < end and b > start]
    return (min(start, touched[0][0]), max(end, touched[-1][1])) if touched else (start, end)


def columns(text: str, at: int) -> str:
    """Header of the Markdown table that the row at ``at`` belongs to; "" for the header itself, and outside tables."""
    rows = []
    start = text.rfind("\n", 0, at) + 1
    while (line := text[start : text.find("\n", start) % (len(text) + 1)]).lstrip().startswith("|"):
        rows.append(line)
        if start == 0:
            break
        start = text.rfind("\n", 0, start - 1) + 1
    if len(rows) < 3 or not set(rows[-2]) <= set("|-: "):
        return ""
    return " | ".join(cell.strip() for cell in rows[-1].strip().strip("|").split("|"))


def find(wanted: str, text: str) -> tuple[int, int] | None:
    """Span of ``wanted`` in ``text``; runs of white space may differ, nothing else may."""
    at = text.find(wanted)
    if at >= 0:
        return at, at + len(wanted)
    words = wanted.split()
    if len(words) < 2:
        return None
    match = re.search(r"\s+".join(map(re.escape, words)), text)
    return match.span() if match else None
