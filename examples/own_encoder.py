"""An encoder of your own, with the parts that damda.assemble puts together put together by hand."""

import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from damda.ingest.sync import Sync
from damda.korean import Morphemes
from damda.search.hybrid import Fused
from damda.search.single import Bm25, Dense
from damda.search.store import Store
from damda.settings import ReadSettings
from damda.types import Kind, quiet


class Trigrams:
    """Fits damda.types.Encoder: counts of hashed character trigrams. No model; it knows spelling, not meaning."""

    id, dim = "trigrams-1", 512

    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        hashed = [[zlib.crc32(text[i : i + 3].encode()) % self.dim for i in range(len(text) or 1)] for text in texts]
        counts = np.array([np.bincount(row, minlength=self.dim) for row in hashed]).reshape(len(texts), self.dim)
        return np.asarray(counts / np.linalg.norm(counts, axis=1, keepdims=True), np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]


with tempfile.TemporaryDirectory() as home:
    encoder, words, root = Trigrams(), Morphemes(), Path(__file__).parent / "documents"
    store = Store(Path(home), encoder.id, encoder.dim)  # rows of two encoders must never share this second argument
    Sync(root, store, encoder, words, reading=ReadSettings(), chunk_tokens=300).run(quiet)
    searcher = Fused("hybrid", store, Bm25(store, words), Dense(store, encoder), candidates=100)
    print(*(hit.chunk.source for hit in searcher.search(["사직서는 언제까지 내나요?"], 3)[0]), sep="\n")
