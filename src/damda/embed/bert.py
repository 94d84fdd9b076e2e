"""A BERT as an int8 ONNX graph.

Knows: BERT's layer arithmetic, onnxruntime's fused operators, transformers' names of the weights. Does not know: where
weights come from, or what the vectors are for.

The graph uses dynamic-quantised matrix products and multi-head attention: an exporter plus an optimiser would arrive
there too, by way of torch. Pooling and normalisation are part of the graph, or a head that makes a number of a text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Float = NDArray[np.float32]
Pooling = Literal["mean", "cls", "max"]
NO_NUMBERS: Mapping[str, int | float | list[int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Bert:
    """A trained BERT, RoBERTa or XLM-RoBERTa.

    Attributes:
        layers, heads, epsilon: as in its config.
        tensors: by transformers' names, such as ``encoder.layer.0.attention.self.query.weight``.
        first_position: row of the position table that the first token takes: 0 for BERT, 2 for RoBERTa.
    """

    layers: int
    heads: int
    epsilon: float
    tensors: Mapping[str, Float]
    first_position: int = 0

    @property
    def hidden(self) -> int:
        """Length of a token's vector."""
        return int(self.tensors["embeddings.word_embeddings.weight"].shape[1])


def quantise(weight: Float) -> tuple[NDArray[np.int8], Float]:
    """Symmetric int8, one scale a row: ``weight ≈ values * scales[:, None]``; shapes (rows, columns) and (rows,)."""
    scales = np.maximum(np.abs(weight).max(axis=1), 1e-12) / 127
    return np.rint(weight / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def graph(model: Bert, name: str, pooling: Pooling = "mean") -> "onnx.ModelProto":
    """ids, int64 (batch, tokens) -> float32 unit vectors (batch, hidden), and the tokens' (batch, tokens, hidden).

    There is no mask: the texts of a batch must have the same number of tokens. That is faster than padding, and
    alone in its batch a text has the same vector always, since activations are quantised over the whole batch.
    """
    g = _Graph()
    x = _layers(g, model)
    vector = g.op("LpNormalization", [_pool(g, x, pooling)], "sentence_embedding", axis=-1, p=2)
    return _whole(g, name, {vector: ["batch", model.hidden], x: ["batch", "tokens", model.hidden]})


def scoring_graph(model: Bert, name: str, weight: Float, bias: float) -> "onnx.ModelProto":
    """ids, int64 (batch, tokens) -> float32 (batch, 1): ``weight @ mean of the tokens' vectors + bias``.

    Without a mask, as `graph` is.

    Args:
        weight: shape (hidden,).
    """
    g = _Graph()
    pooled = _pool(g, _layers(g, model), "mean")
    head = [g.constant("head.weight", weight.reshape(-1, 1)), g.constant("head.bias", np.array([bias], np.float32))]
    return _whole(g, name, {g.op("Gemm", [pooled, *head], "score"): ["batch", 1]})


def _whole(g: "_Graph", name: str, outputs: Mapping[str, list[str | int]]) -> "onnx.ModelProto":
    from onnx import TensorProto, helper

    out = [helper.make_tensor_value_info(of, TensorProto.FLOAT, shape) for of, shape in outputs.items()]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    body = helper.make_graph(g.nodes, name, [ids], out, g.weights)
    return helper.make_model(body, opset_imports=opsets, ir_version=8, producer_name="damda")


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


def _embeddings(g: _Graph, model: Bert) -> str:
    tensors = model.tensors
    values, scales = quantise(tensors["embeddings.word_embeddings.weight"])
    taken = g.op("Gather", [g.constant("words", values), "input_ids"], "words.int8")
    scale = g.op("Gather", [g.constant("words.scale", scales[:, None]), "input_ids"], "words.scales")
    words = g.op("Mul", [g.op("Cast", [taken], "words.cast", to=1), scale], "words.float")
    # Every token is of type 0, so its row is folded into the positions.
    places = tensors["embeddings.position_embeddings.weight"][model.first_position :]
    places = places + tensors["embeddings.token_type_embeddings.weight"][0]
    g.constant("zero", np.array([0], np.int64))
    g.constant("one", np.array([1], np.int64))
    length = g.op(
        "Slice", [g.op("Shape", ["input_ids"], "shape"), "one", g.constant("two", np.array([2], np.int64))], "n"
    )
    used = g.op("Slice", [g.constant("positions", places), "zero", length, "zero"], "positions.used")
    total = g.op("Add", [words, used], "embedded")
    norm = [
        g.constant("norm.weight", tensors["embeddings.LayerNorm.weight"]),
        g.constant("norm.bias", tensors["embeddings.LayerNorm.bias"]),
    ]
    return g.op("LayerNormalization", [total, *norm], "layer.in", axis=-1, epsilon=model.epsilon)


def _layers(g: _Graph, model: Bert) -> str:
    """The tokens' vectors after all layers."""
    x = _embeddings(g, model)
    for layer in range(model.layers):
        x = _layer(g, model, f"encoder.layer.{layer}.", layer, x)
    return x


def _layer(g: _Graph, model: Bert, prefix: str, layer: int, x: str) -> str:
    tensor: Callable[[str], Float] = lambda name: model.tensors[prefix + name]  # noqa: E731

    def linear(x: str, name: str, short: str) -> str:
        return g.linear(x, tensor(f"{name}.weight"), tensor(f"{name}.bias"), f"{layer}.{short}")

    def add_and_norm(x: str, skip: str, name: str, short: str) -> str:
        # Not SkipLayerNormalization: onnxruntime 1.32's CPU kernel of it made the whole encoder a fifth slower.
        inputs = [g.constant(f"{layer}.{short}.{s[0]}", tensor(f"{name}.{s}")) for s in ("weight", "bias")]
        total = g.op("Add", [x, skip], f"{layer}.{short}.sum")
        return g.op("LayerNormalization", [total, *inputs], f"{layer}.{short}", axis=-1, epsilon=model.epsilon)

    q, k, v = (linear(x, f"attention.self.{name}", name[0]) for name in ("query", "key", "value"))
    seen = g.fused("MultiHeadAttention", [q, k, v], f"{layer}.attention", num_heads=model.heads)
    x = add_and_norm(linear(seen, "attention.output.dense", "ao"), x, "attention.output.LayerNorm", "aln")
    wide = g.fused("Gelu", [linear(x, "intermediate.dense", "fi")], f"{layer}.gelu")
    return add_and_norm(linear(wide, "output.dense", "fo"), x, "output.LayerNorm", "oln")


def _pool(g: _Graph, x: str, pooling: Pooling) -> str:
    """One vector of the tokens'."""
    if pooling == "cls":
        return g.op("Gather", [x, g.constant("first", np.array(0, np.int64))], "cls", axis=1)
    kind = "ReduceMean" if pooling == "mean" else "ReduceMax"
    return g.op(kind, [x], pooling, axes=[1], keepdims=0)
