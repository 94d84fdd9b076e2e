"""What a classifier looks at: an encoder's vector of a text, and its character n-grams.

Knows: how both are made, and how rows of them are multiplied. Does not know: labels, files, what is looked for.

Vectors tell what a text is about; n-grams tell how it is written, and see words that no vocabulary has: Hangul goes in
its letters (jamo), so that a changed final consonant or a syllable typed in pieces still shares most of its n-grams.
"""

import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from damda.korean import nfc

Float = NDArray[np.float64]
Whole = NDArray[np.int64]

BITS = 16
"""N-grams are counted in 2**BITS cells (feature hashing, Weinberger et al. 2009, arXiv:0902.2206)."""
SHORTEST, LONGEST = 2, 5
BESIDE = 2.0
"""How much the n-grams weigh beside the vectors; both rows have about length 1. Measured: decisions/0018."""

UNSURE = 1.0
"""What an n-gram that is as frequent in both classes counts, beside the log of how much more frequent another is."""

_PRIME = np.uint64(0x100000001B3)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def letters(text: str) -> str:
    """A text as n-grams see it: one form for each letter, Hangul in jamo, no invisible characters, single spaces."""
    plain = unicodedata.normalize("NFKC", nfc(text)).lower()
    seen = "".join(char for char in plain if unicodedata.category(char) not in ("Cf", "Cc") or char.isspace())
    return unicodedata.normalize("NFD", f" {' '.join(seen.split())} ")


def cells(text: str) -> Whole:
    """Cells of the n-grams of a text, each once, in order; shape (n,). A text without a letter has none."""
    codes = np.frombuffer(letters(text).encode("utf-32-le", "replace"), np.uint32).astype(np.uint64)
    found = []
    rolling = np.zeros(len(codes), np.uint64)
    for n in range(1, LONGEST + 1):
        if len(codes) < n or len(codes) <= 2:  # two spaces are no text
            break
        rolling = rolling[: len(codes) - n + 1] * _PRIME + codes[n - 1 :] + np.uint64(1)
        if n >= SHORTEST:
            found.append(rolling * _GOLDEN >> np.uint64(64 - BITS))
    return np.unique(np.concatenate(found)).astype(np.int64) if found else np.empty(0, np.int64)


def telling(rows: Sequence[Whole], positive: NDArray[np.bool_]) -> Float:
    """How much an n-gram of each cell weighs in its row, shape (2**BITS,).

    Its inverse document frequency, as in scikit-learn's TfidfTransformer, times how much more often it stands in one
    class than in the other: the size of the log-count ratio of naive Bayes (Wang and Manning 2012, "Baselines and
    Bigrams"), and a constant for what it does not know yet. A cell that no row has weighs nothing.
    """
    yes, no = _counts(rows, positive), _counts(rows, ~positive)
    idf = np.log((1 + len(rows)) / (1 + yes + no)) + 1
    ratio = np.log((yes + 1) / max(positive.sum(), 1)) - np.log((no + 1) / max((~positive).sum(), 1))
    weights: Float = np.where(yes + no > 0, idf * (np.abs(ratio) + UNSURE), 0.0)
    return weights


def _counts(rows: Sequence[Whole], chosen: NDArray[np.bool_]) -> Whole:
    found = [row for row, on in zip(rows, chosen, strict=True) if on]
    return np.bincount(np.concatenate([*found, np.empty(0, np.int64)]), minlength=1 << BITS)


class Table:
    """Rows of features: a dense part, and one with few entries a row, of length `BESIDE`.

    A cell that weighs nothing has no column: a small set of texts has few that do.

    Args:
        dense: shape (rows, d).
        rows: cells of each row; empty sequences where n-grams are left out.
        weigh: of `telling`; None for no n-grams.
    """

    def __init__(self, dense: Float, rows: Sequence[Whole], weigh: Float | None) -> None:
        columns = 0 if weigh is None else int(np.count_nonzero(weigh))
        self.dense, self.shape, self._ngrams = dense, (len(dense), dense.shape[1] + columns), weigh is not None
        if weigh is None:
            return
        column = np.cumsum(weigh > 0) - 1
        kept = [cells[weigh[cells] > 0] for cells in rows]
        counts = np.array([len(cells) for cells in kept], np.int64)
        cell, row = np.concatenate([*kept, np.empty(0, np.int64)]), np.repeat(np.arange(len(kept)), counts)
        values = weigh[cell]
        length = np.sqrt(np.bincount(row, values**2, minlength=len(kept)))
        values = BESIDE * values / np.maximum(length, 1e-12)[row]
        cell = column[cell]
        self._by_row = _Runs(row, cell, values)
        order = np.argsort(cell, kind="stable")
        self._by_cell = _Runs(cell[order], row[order], values[order])

    def dot(self, weights: Float) -> Float:
        """Table times weights, shape (rows,)."""
        d = self.dense.shape[1]
        out: Float = self.dense @ weights[:d]
        if self._ngrams:
            self._by_row.add(out, weights[d:])
        return out

    def transposed(self, values: Float) -> Float:
        """The transposed table times one value a row, shape (columns,)."""
        out = np.zeros(self.shape[1])
        d = self.dense.shape[1]
        out[:d] = self.dense.T @ values
        if self._ngrams:
            self._by_cell.add(out[d:], values)
        return out


class _Runs:
    """Entries of a matrix in runs of one line each."""

    def __init__(self, line: Whole, other: Whole, values: Float) -> None:
        self._starts = np.flatnonzero(np.diff(line, prepend=-1))
        self._lines, self._other, self._values = line[self._starts], other, values

    def add(self, out: Float, by: Float) -> None:
        """Add the matrix times ``by`` to ``out``."""
        if len(self._starts):
            out[self._lines] += np.add.reduceat(self._values * by[self._other], self._starts)
