"""Texts as vectors over a vocabulary: one-hot, bag of words, TF-IDF, and BM25 written as a product of two vectors.

Knows: counting. Does not know: which words a text has (an analyser says), or what the vectors are compared for.

A vector is as long as the vocabulary, so these are for looking at and measuring (`damda lab encoders`), not for
storing: search has an inverted index for the same purpose.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from damda.types import Analyser, Kind

Weighting = Literal["one-hot", "bow", "tf-idf", "bm25"]
WEIGHTINGS: dict[str, Weighting] = {"one-hot": "one-hot", "bow": "bow", "tf-idf": "tf-idf", "bm25": "bm25"}

_K1, _B = 1.2, 0.75
"""Robertson's constants, as LanceDB and most others have them."""


class Remembered:
    """Fits ``Analyser``: another one whose answers are kept, for texts that several encoders look at."""

    def __init__(self, analyser: Analyser) -> None:
        self.id = analyser.id
        self._analyser = analyser
        self._known: dict[str, list[str]] = {}

    def content(self, texts: Sequence[str]) -> list[list[str]]:
        """The words of each text."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(new, self._analyser.content(new), strict=True))
        return [self._known[text] for text in texts]


class Lexical:
    """Fits ``Encoder``, except that BM25's vectors have no unit length: their product is the score itself.

    Args:
        weighting: one-hot: 1 for a word that the text has; bow: how often; tf-idf: (1 + ln tf) ln(N / df) (Salton and
            Buckley 1988); bm25: Robertson's weights in passages, counts in questions.
        analyser: text to words.
        corpus: whose words are the vocabulary, most frequent first.
        words: most words of it; rarer ones are not seen.
    """

    def __init__(self, weighting: Weighting, analyser: Analyser, corpus: Sequence[str], words: int = 50_000) -> None:
        self._weighting, self._analyser = weighting, analyser
        documents = analyser.content(corpus)
        df = Counter(word for document in documents for word in set(document))
        kept = sorted(df, key=lambda word: (-df[word], word))[:words]
        self._index = {word: i for i, word in enumerate(kept)}
        count = max(len(documents), 1)
        self._mean_length = sum(map(len, documents)) / count
        if weighting == "bm25":
            idf = [math.log(1 + (count - df[word] + 0.5) / (df[word] + 0.5)) for word in kept]
        else:
            idf = [math.log(count / df[word]) if weighting == "tf-idf" else 1.0 for word in kept]
        self._idf = np.array(idf, np.float32)
        self.id = f"{weighting}({analyser.id},{len(kept)})"

    @property
    def dim(self) -> int:
        """Words of the vocabulary."""
        return len(self._index)

    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        """Vectors, shape (len(texts), dim); a text without a known word is all zeros."""
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for row, words in enumerate(self._analyser.content(texts)):
            for word, tf in Counter(words).items():
                if (column := self._index.get(word)) is not None:
                    vectors[row, column] = self._weight(tf, len(words), kind)
            if self._weighting == "tf-idf" or (self._weighting == "bm25" and kind == "passage"):
                vectors[row] *= self._idf
        if self._weighting == "bm25":
            return vectors
        unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return unit

    def _weight(self, tf: int, length: int, kind: Kind) -> float:
        if self._weighting == "one-hot":
            return 1.0
        if self._weighting == "tf-idf":
            return 1 + math.log(tf)
        if self._weighting == "bm25" and kind == "passage":
            return tf * (_K1 + 1) / (tf + _K1 * (1 - _B + _B * length / max(self._mean_length, 1e-9)))
        return float(tf)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Words of each text."""
        return [len(words) for words in self._analyser.content(texts)]
