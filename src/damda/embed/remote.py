"""Vectors from any OpenAI-compatible ``/v1/embeddings``.

Knows: the request's shape, batches. Does not know: which model answers, so tokens are counted roughly.
"""

import time
from collections.abc import Callable, Sequence
from math import isfinite

import httpx
import numpy as np
from numpy.typing import NDArray

from damda.api import Api
from damda.errors import EncoderError
from damda.korean import nfc
from damda.types import Kind

_BATCH = 64


class RemoteEncoder:
    """Fits ``Encoder``.

    Args:
        url: base URL that ends in ``/v1``.
        model: its name there; empty: the first that the server lists.
        api_key: sent as a bearer token when not empty.
        query_prefix, passage_prefix: put before texts, for models that want them.
        transport: for tests.
        sleep: for tests.

    Raises:
        EncoderError: the server can't be reached, refuses, or answers something else than vectors.
    """

    def __init__(
        self,
        url: str,
        model: str = "",
        *,
        api_key: str = "",
        query_prefix: str = "",
        passage_prefix: str = "",
        timeout: float = 60,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = Api(
            url,
            api_key=api_key,
            key_setting="DAMDA_ENCODER__API_KEY",
            error=EncoderError,
            timeout=timeout,
            transport=transport,
            sleep=sleep,
        )
        self._url = url
        self._prefix = {"query": query_prefix, "passage": passage_prefix}
        self._model = model or self._api.first_model("encoder.model")
        self._dim = 0
        self.id = f"remote:{self._model}@{self._api.host}:{query_prefix}|{passage_prefix}"

    @property
    def dim(self) -> int:
        """Length of the vectors; asks the server once."""
        if not self._dim:
            self._embed(["dim"])
        return self._dim

    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        """Unit vectors, shape (len(texts), dim)."""
        inputs = [self._prefix[kind] + nfc(text) for text in texts]
        rows = [row for at in range(0, len(inputs), _BATCH) for row in self._embed(inputs[at : at + _BATCH])]
        vectors = np.array(rows, np.float32).reshape(len(texts), self.dim)
        unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return unit

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """An upper guess, for the tokenizer is elsewhere: a token a Hangul or Han character, or three of the rest."""
        return [sum(3 if c > "ᄀ" else 1 for c in text) // 3 + 1 for text in texts]

    def _embed(self, inputs: list[str]) -> list[list[float]]:
        data = self._api.ask("POST", "embeddings", {"model": self._model, "input": inputs, "encoding_format": "float"})
        try:
            rows = sorted(data["data"], key=lambda row: row["index"])
            vectors = [[float(x) for x in row["embedding"]] for row in rows]
        except (KeyError, TypeError, ValueError) as error:
            raise EncoderError(f"{self._url} did not answer with vectors; is it an OpenAI-compatible /v1?") from error
        if len(vectors) != len(inputs):
            raise EncoderError(f"{self._url} answered {len(vectors)} vectors for {len(inputs)} texts")
        self._dim = self._dim or len(vectors[0])
        if any(len(vector) != self._dim or not all(map(isfinite, vector)) for vector in vectors):
            raise EncoderError(f"{self._url} answered vectors of other lengths than {self._dim}, or not of numbers")
        return vectors
