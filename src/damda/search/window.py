"""The part of a passage that has most to do with a question.

Knows: letters, a tokenizer's tokens. Does not know: words, models, languages: pairs of letters serve Korean, whose
words change their ends, without analysis.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from damda.types import Chunk

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def shortened(query: str, chunk: Chunk, tokenizer: "Tokenizer", width: int) -> str:
    """A passage with title and headings, its text cut to the best ``width`` tokens; 0: whole."""
    if not width:
        return chunk.in_context()
    tokens = tokenizer.encode(chunk.text, add_special_tokens=False).offsets
    start, end = best_window(query, chunk.text, tokens, width)
    return replace(chunk, text=chunk.text[start:end]).in_context()


def best_window(query: str, text: str, tokens: Sequence[tuple[int, int]], width: int) -> tuple[int, int]:
    """Span of the ``width`` tokens of ``text`` that have most of the question in them.

    Of equal ones the middle: what they share then stands amid what is said of it. The first, where they share nothing.

    A pair of letters of the question counts the less the more often the text has it.

    Args:
        tokens: spans of the text's tokens, as string offsets, in order.
    """
    if len(tokens) <= width:
        return 0, len(text)
    asked = {pair for word in query.casefold().split() for pair in _pairs(word)}
    low = text.casefold()
    if len(low) != len(text):  # a letter that becomes two, as İ does: offsets would no longer fit
        low = text
    there = Counter(pair for pair in _pairs(low) if pair in asked)
    worth = np.zeros(len(text) + 1)
    for at, pair in enumerate(_pairs(low)):
        if pair in there:
            worth[at + 1] = 1 / there[pair]
    total = np.cumsum(worth)
    starts, ends = (np.array(side) for side in zip(*tokens, strict=True))
    ends = ends[width - 1 :]
    shared = total[np.maximum(ends - 1, 0)] - total[starts[: len(ends)]]
    best = np.flatnonzero(shared >= shared.max() - 1e-9)
    found = best[len(best) // 2] if shared.max() > 0 else 0
    return int(starts[found]), int(ends[found])


def _pairs(text: str) -> list[str]:
    return [text[at : at + 2] for at in range(len(text) - 1)]
