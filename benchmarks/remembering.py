"""An encoder that encodes no text twice: benchmarks of guards ask for the same ones again and again."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from damda.types import Encoder, Kind


class Remembering:
    """Fits ``Encoder``."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self.id, self.dim = encoder, encoder.id, encoder.dim
        self._known: dict[tuple[str, Kind], NDArray[np.float32]] = {}

    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if (text, kind) not in self._known]
        if new:
            self._known |= {(text, kind): v for text, v in zip(new, self._encoder.encode(new, kind=kind), strict=True)}
        return np.stack([self._known[text, kind] for text in texts])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._encoder.count_tokens(texts)
