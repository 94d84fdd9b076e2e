"""A sentence encoder in ONNX: text to unit vectors on a CPU, without torch.

Knows: tokenizer files, pooling, prefixes, batching by length, threads. Does not know: which model it runs, where its
folder came from, or what the vectors are for.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from damda.embed.bert import Pooling
from damda.errors import EncoderError
from damda.korean import nfc
from damda.runtime import model_file, model_length, open_session, open_tokenizer, read_json
from damda.types import Kind

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Item = TypeVar("Item")

# A batch holds texts of about one length; past this many tokens the activations fall out of the cache and every
# further text makes the batch slower than two small ones.
_BATCH_TOKENS = 1024
_INPUTS = frozenset(("input_ids", "attention_mask", "token_type_ids"))


@dataclass(frozen=True, slots=True)
class Card:
    """What a model folder says of its use."""

    query_prefix: str = ""
    passage_prefix: str = ""
    max_tokens: int = 512
    pooling: Pooling = "mean"
    id: str = ""
    dim: int = 0
    cosines: tuple[float, float] | None = None
    """Mean and standard deviation of the cosine between two unrelated texts, where known."""


class _Loaded:
    """What takes time and memory: tokenizer and session, and what the session says of itself."""

    def __init__(self, tokenizer: "Tokenizer", session: Any) -> None:  # noqa: ANN401  onnxruntime has no type for sessions
        self.tokenizer, self.session = tokenizer, session
        self.inputs = {i.name for i in session.get_inputs()}
        output, *others = session.get_outputs()
        if unknown := self.inputs - _INPUTS:
            raise EncoderError(f"the model wants {', '.join(sorted(unknown))}: it is no sentence encoder")
        if not isinstance(output.shape[-1], int):
            raise EncoderError(f"the model does not say how long its vectors are ({output.name}: {output.shape})")
        self.output, self.dim = output.name, int(output.shape[-1])
        # Where the tokens' own vectors come out; None: the model pools by itself and keeps them.
        tokens = (o.name for o in (output, *others) if len(o.shape) == 3 and o.shape[-1] == self.dim)
        self.states: str | None = next(tokens, None)
        self.pooled = len(output.shape) == 2
        # Whether a special token stands at the end, which a text that is cut keeps.
        self.closes = tokenizer.encode("a").special_tokens_mask[-1:] == [1]


def read_card(folder: Path) -> Card:
    """Read damda's own ``damda.json``, or the files that sentence-transformers writes beside a model.

    Raises:
        EncoderError: a file is there but is not the JSON that it should be, or asks for a pooling unknown here.
    """
    try:
        if (folder / "damda.json").is_file():
            about = read_json(folder / "damda.json")
            cosines = about.pop("cosines", None)
            return Card(**about, cosines=tuple(cosines) if cosines else None)
        prompts = read_json(folder / "config_sentence_transformers.json").get("prompts") or {}
        length = model_length(folder)
        pooling = read_json(folder / "1_Pooling" / "config.json")
        query = prompts.get("query", "")
        passage = prompts.get("passage") or prompts.get("document") or ""
        return Card(query, passage, length, _pooling(pooling))
    except (ValueError, TypeError, AttributeError) as error:
        raise EncoderError(f"{folder}: its description can't be read: {error}") from error


def _pooling(config: dict[str, Any]) -> Pooling:
    chosen = [key for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
    known: dict[str, Pooling] = {
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_cls_token": "cls",
        "pooling_mode_max_tokens": "max",
    }
    if mode := config.get("pooling_mode"):  # sentence-transformers from 6 on: a name, or several
        chosen = [mode] if isinstance(mode, str) else list(mode)
        known = {"mean": "mean", "cls": "cls", "max": "max"}
    if not chosen:
        return "mean"
    if len(chosen) > 1 or chosen[0] not in known:
        raise ValueError(f"pooling {' + '.join(chosen)} is not supported (mean, cls and max are)")
    return known[chosen[0]]


class OnnxEncoder:
    """Fits ``Encoder``. Opening is cheap; the model loads when it is first needed, or by ``load``.

    Args:
        folder: holds ``model.onnx`` or ``onnx/model.onnx``, and ``tokenizer.json``.
        query_prefix, passage_prefix, pooling: instead of what the folder says; None keeps that. A model that pools by
            itself and keeps its tokens' vectors stays as it is.
        threads: batches that run at the same time; 0: one a core.

    Raises:
        WeightsError: files are missing or damaged.
        EncoderError: the model is no sentence encoder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        query_prefix: str | None = None,
        passage_prefix: str | None = None,
        pooling: Pooling | None = None,
        threads: int = 0,
    ) -> None:
        model = model_file(folder)
        card = read_card(folder)
        self.id = card.id or f"onnx:{_digest(model, folder / 'tokenizer.json', card)}"
        given = {"query_prefix": query_prefix, "passage_prefix": passage_prefix, "pooling": pooling}
        changed = {name: prefix for name, prefix in given.items() if prefix not in (None, getattr(card, name))}
        if changed:
            self.id += ":" + hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:8]
            # No longer known for these.
            card = replace(card, cosines=None)
        self.card = replace(
            card,
            query_prefix=card.query_prefix if query_prefix is None else query_prefix,
            passage_prefix=card.passage_prefix if passage_prefix is None else passage_prefix,
            pooling=pooling or card.pooling,
        )
        self._model, self._folder, self._pooling = model, folder, pooling
        self._threads = threads or os.cpu_count() or 1
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None
        # A question is encoded for its guards, the cache and the search: once is enough.
        self._single = lru_cache(maxsize=256)(lambda text, kind: self._encode([text], kind))

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self.card.dim or self.load().dim

    @property
    def cosines(self) -> tuple[float, float] | None:
        """Mean and standard deviation of the cosine between two unrelated texts, where the model says so."""
        return self.card.cosines

    def load(self) -> "_Loaded":
        """Load the model now; later calls return at once."""
        with self._lock:
            if self._loaded is None:
                self._loaded = _Loaded(open_tokenizer(self._folder / "tokenizer.json"), open_session(self._model))
            return self._loaded

    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        """Unit vectors, shape (len(texts), dim). Longer texts are cut at the model's window."""
        if len(texts) == 1:
            return self._single(texts[0], kind).copy()
        return self._encode(texts, kind)

    def _encode(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        prefix = self._prefix(kind)
        found = self.load().tokenizer.encode_batch_fast([prefix + nfc(text) for text in texts])
        tokens = [self._cut(e.ids) for e in found]
        out = np.empty((len(texts), self.dim), np.float32)
        for batch, vectors in self._batched(tokens, self._run):
            out[batch] = vectors
        return out

    def encode_parts(
        self, texts: Sequence[str], parts: Sequence[Sequence[tuple[int, int]]], *, kind: Kind
    ) -> list[NDArray[np.float32]]:
        """Vectors of parts of texts, each read in its text: late chunking (Günther et al. 2024, arXiv:2409.04701).

        The text runs through the model whole, and the vectors of a part's tokens are averaged. A part behind the
        model's window is encoded without its text; so are all where the model does not pool by averaging, or keeps its
        tokens' vectors to itself.

        Args:
            texts: in NFC.
            parts: for each text spans of it, as string offsets.

        Returns:
            For each text unit vectors, shape (its parts, dim).
        """
        model = self.load()
        vectors = [np.zeros((len(spans), self.dim), np.float32) for spans in parts]
        if model.states is not None and self.card.pooling == "mean":
            prefix = self._prefix(kind)
            found = model.tokenizer.encode_batch([prefix + text for text in texts])
            for batch, states in self._batched([self._cut(e.ids) for e in found], self._states):
                for i, state in zip(batch, states, strict=True):
                    vectors[i] = _averages(state, self._cut(found[i].offsets), len(prefix), parts[i])
        left = [(i, n) for i, rows in enumerate(vectors) for n in np.flatnonzero(~rows.any(axis=1)).tolist()]
        if left:
            alone = self.encode([texts[i][slice(*parts[i][n])] for i, n in left], kind=kind)
            for (i, n), vector in zip(left, alone, strict=True):
                vectors[i][n] = vector
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without prefix and special tokens."""
        return [len(e.ids) for e in self.load().tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def _prefix(self, kind: Kind) -> str:
        return self.card.query_prefix if kind == "query" else self.card.passage_prefix

    def _cut(self, ids: list[Item]) -> list[Item]:
        # The tokenizer's own truncation would be a state shared with count_tokens.
        if len(ids) <= self.card.max_tokens:
            return ids
        kept = self.card.max_tokens - self.load().closes
        return ids[:kept] + ids[len(ids) - self.load().closes :]

    def _batched(
        self, tokens: list[list[int]], run: Callable[[list[list[int]]], NDArray[np.float32]]
    ) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """Indices of each batch, and what ``run`` made of it; as many side by side as there are threads."""
        # A model without a mask can't be padded for: its texts run alone, so a vector never depends on its neighbours.
        masked = "attention_mask" in self.load().inputs
        batches = _batches(tokens) if masked else [[i] for i in range(len(tokens))]
        if len(batches) == 1 or self._threads == 1:
            for batch in batches:
                yield batch, run([tokens[i] for i in batch])
            return
        with ThreadPoolExecutor(self._threads) as pool:
            yield from zip(batches, pool.map(lambda b: run([tokens[i] for i in b]), batches), strict=True)

    def _run(self, tokens: list[list[int]]) -> NDArray[np.float32]:
        """Unit vectors of the texts of one batch."""
        model = self.load()
        feed = _feed(tokens)
        if model.pooled and (self._pooling is None or model.states is None):
            vectors = self._outputs(model.output, feed)
        else:
            states = self._outputs(model.states or model.output, feed)
            vectors = _pool(states, feed["attention_mask"], self.card.pooling)
        return _unit(vectors)

    def _states(self, tokens: list[list[int]]) -> NDArray[np.float32]:
        """The tokens' vectors of the texts of one batch, shape (texts, tokens, dim)."""
        return self._outputs(self.load().states or "", _feed(tokens))

    def _outputs(self, name: str, feed: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        model = self.load()
        found: NDArray[np.float32] = model.session.run([name], {k: v for k, v in feed.items() if k in model.inputs})[0]
        return found


def _feed(tokens: list[list[int]]) -> dict[str, NDArray[np.int64]]:
    width = max(map(len, tokens))
    ids = np.zeros((len(tokens), width), np.int64)
    mask = np.zeros((len(tokens), width), np.int64)
    for row, sequence in enumerate(tokens):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def _averages(
    states: NDArray[np.float32], offsets: list[tuple[int, int]], prefix: int, parts: Sequence[tuple[int, int]]
) -> NDArray[np.float32]:
    """Unit means of the token vectors that overlap each part; zeros where none does. Tokens of no text have no span."""
    spans = np.array(offsets, np.int64).reshape(-1, 2) - prefix
    starts, ends = spans[:, 0], spans[:, 1]
    sums = [states[: len(spans)][(ends > starts) & (starts < b) & (ends > a)].sum(axis=0) for a, b in parts]
    return _unit(np.array(sums, np.float32).reshape(len(parts), states.shape[-1]))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit


def _pool(states: NDArray[np.float32], mask: NDArray[np.int64], how: Pooling) -> NDArray[np.float32]:
    if how == "cls":
        return states[:, 0]
    real = mask[:, :, None].astype(np.float32)
    pooled: NDArray[np.float32] = (
        np.where(real > 0, states, -np.inf).max(axis=1)
        if how == "max"
        else (states * real).sum(axis=1) / np.maximum(real.sum(axis=1), 1)
    )
    return pooled


def _batches(tokens: list[list[int]]) -> list[list[int]]:
    """Indices grouped by length, so that little is padded, each group at most ``_BATCH_TOKENS`` long."""
    batches: list[list[int]] = []
    for i in sorted(range(len(tokens)), key=lambda i: len(tokens[i])):
        if not batches or (len(batches[-1]) + 1) * len(tokens[i]) > _BATCH_TOKENS:
            batches.append([])
        batches[-1].append(i)
    return batches


def _digest(model: Path, tokenizer: Path, card: Card) -> str:
    """Of all that decides the vectors; big models keep their weights beside the graph, as ``model.onnx_data`` or so."""
    whole = hashlib.sha256(repr(card).encode())
    for path in (*sorted(model.parent.glob(f"{model.name}*")), tokenizer):
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:16]
