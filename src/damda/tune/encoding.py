"""A model of torch in training as damda's ``Encoder``: so that the same measuring judges it before it is exported.

Knows: prompts, batches by length. Does not know: what is measured.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from damda.korean import nfc
from damda.types import Kind

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def prefix(model: "SentenceTransformer", kind: Kind) -> str:
    """What the model wants before a text; sentence-transformers' own name of passages is documents."""
    return model.prompts.get(kind) or (model.prompts.get("document") if kind == "passage" else "") or ""


class TorchEncoder:
    """Fits ``Encoder``. Its vectors change while the model is trained."""

    def __init__(self, model: "SentenceTransformer", name: str, *, batch: int = 32) -> None:
        self.id = name
        self.dim = int(model.get_embedding_dimension() or 0)
        self._model, self._batch = model, batch

    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        """Unit vectors, shape (len(texts), dim)."""
        first = prefix(self._model, kind)
        trained = self._model.training
        vectors = self._model.encode(
            [first + nfc(text) for text in texts], prompt="", batch_size=self._batch, show_progress_bar=False
        )
        self._model.train(trained)
        return np.asarray(vectors, np.float32).reshape(len(texts), self.dim)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special ones."""
        found = self._model.tokenizer(list(texts), add_special_tokens=False)
        return [len(ids) for ids in found["input_ids"]]
