"""An encoder whose questions are turned by a matrix, and whose passages stay as they are.

Knows: a matrix from `damda tune encoder --method adapter`. Does not know: how it was learnt.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from damda.errors import EncoderError, WeightsError
from damda.types import Encoder, Kind


class Turned:
    """Fits ``Encoder``.

    Args:
        encoder: makes the vectors.
        matrix: shape (dim, dim); a question's vector is ``unit(vector @ matrix)``.

    Raises:
        EncoderError: the matrix is of another encoder.
    """

    def __init__(self, encoder: Encoder, matrix: NDArray[np.float32]) -> None:
        if matrix.shape != (encoder.dim, encoder.dim):
            raise EncoderError(f"an adapter of shape {matrix.shape} was learnt for another encoder than {encoder.id}")
        self._encoder, self._matrix = encoder, np.asarray(matrix, np.float32)
        self.id = f"{encoder.id}*{hashlib.sha256(self._matrix.tobytes()).hexdigest()[:8]}"
        self.dim = encoder.dim

    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        """Unit vectors, shape (len(texts), dim)."""
        vectors = self._encoder.encode(texts, kind=kind)
        if kind == "passage":
            return vectors
        turned: NDArray[np.float32] = vectors @ self._matrix
        turned /= np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)
        return turned

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return self._encoder.count_tokens(texts)


def read_matrix(path: Path) -> NDArray[np.float32]:
    """The matrix of an adapter's file.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    try:
        matrix = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise WeightsError(f"{path} is no adapter ({error}): see search.adapter") from error
    return np.asarray(matrix, np.float32)
