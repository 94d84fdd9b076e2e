"""Texts as means of word vectors that know no neighbours: word2vec of the corpus at hand, or a model's input layer.

Knows: gensim (extra ``lab``), the table inside the built-in encoder. Does not know: what the vectors are compared for.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from damda.errors import MissingExtra
from damda.korean import nfc
from damda.runtime import open_tokenizer
from damda.types import Analyser, Kind


class Word2Vec:
    """Fits ``Encoder``: the mean of skip-gram vectors (Mikolov et al. 2013) of a text's content words.

    Args:
        analyser: text to words.
        corpus: to learn from; takes seconds a thousand passages.
        dim: length of the vectors.

    Raises:
        MissingExtra: gensim is not installed.
    """

    def __init__(self, analyser: Analyser, corpus: Sequence[str], dim: int = 200, seed: int = 42) -> None:
        try:
            from gensim.models import Word2Vec as Model
        except ImportError as error:
            raise MissingExtra("word2vec", "lab") from error
        # One worker: with several, the same seed gives other vectors every time.
        learnt = Model(
            analyser.content(corpus), vector_size=dim, window=5, min_count=2, sg=1, epochs=10, seed=seed, workers=1
        )
        self._words, self._analyser, self.dim = learnt.wv, analyser, dim
        self.id = f"word2vec({analyser.id},{dim},{len(learnt.wv)})"

    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        """Unit vectors, shape (len(texts), dim); all zeros for a text without a known word."""
        known = [[w for w in words if w in self._words] for words in self._analyser.content(texts)]
        return _unit([self._words[words].mean(axis=0) if words else np.zeros(self.dim) for words in known], self.dim)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Words of each text."""
        return [len(words) for words in self._analyser.content(texts)]


class InputLayer:
    """Fits ``Encoder``: the mean of a transformer's token embeddings, without the transformer.

    Args:
        folder: of a built-in encoder.
    """

    def __init__(self, folder: Path) -> None:
        import onnx
        from onnx import numpy_helper

        weights = {w.name: w for w in onnx.load(str(folder / "model.onnx")).graph.initializer}
        scales = numpy_helper.to_array(weights["words.scale"])
        self._table = numpy_helper.to_array(weights["words"]).astype(np.float32) * scales
        self._tokenizer = open_tokenizer(folder / "tokenizer.json")
        self.dim = int(self._table.shape[1])
        self.id = f"static({folder.name})"

    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        """Unit vectors, shape (len(texts), dim)."""
        found = self._tokenizer.encode_batch_fast([nfc(text) for text in texts], add_special_tokens=False)
        rows = [self._table[e.ids].mean(axis=0) if e.ids else np.zeros(self.dim) for e in found]
        return _unit(rows, self.dim)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return [len(e.ids) for e in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def _unit(rows: Sequence[NDArray[np.float32] | NDArray[np.float64]], dim: int) -> NDArray[np.float32]:
    vectors = np.array(rows, np.float32).reshape(len(rows), dim)
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
