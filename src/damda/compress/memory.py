"""A shape -> bytes: weights in each form, and the KV cache.

Knows: how many bytes each form takes, which matrices a method leaves as they are, how llama.cpp lays out its cache.
Does not know: machines, speed.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import ceil, prod

from damda.compress.shape import Shape

BLOCKS: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    30: ("BF16", 1, 2),
}
"""ggml's number of a form -> its name, weights a block, bytes a block. Source: ggml-common.h of llama.cpp."""

CACHED: Mapping[str, float] = {"f16": 2, "fp8": 1, "q8_0": 34 / 32, "q4_0": 18 / 32}
"""Form of a number in the cache -> bytes. fp8 is vLLM's, the q forms are llama.cpp's."""

NF4 = (4 + 8 / 64 + 32 / (64 * 256)) / 8
"""Bytes a weight with double quantisation: 4 bits, a scale of 8 bits for 64 weights, and one of 32 for 256 scales
(Dettmers et al., "QLoRA", 2023, section 3)."""

METHODS: Mapping[str, tuple[float, float]] = {
    "f32": (4, 4),
    "f16": (2, 2),
    "int8": (1, 2),
    "nf4": (NF4, 2),
    "w4a16": (4.25 / 8, 2),
    "gguf:Q8_0": (34 / 32, 34 / 32),
    "gguf:Q4_0": (18 / 32, 210 / 256),
    "gguf:Q4_K_M": (4.83 / 8, 210 / 256),
}
"""Method -> bytes a weight of a matrix in a layer, and of the table and the head. bitsandbytes' and llmcompressor's
methods leave the latter as they are; llama.cpp gives them Q6_K (but see `FALLBACK`). w4a16 is with a 16-bit scale for
64 weights. Q4_K_M keeps half of the value and down matrices in Q6_K: 4.83 bits in models of Llama's proportions."""

OPENVINO: Mapping[str, tuple[float, float]] = {
    "openvino:f16": (2, 2),
    "openvino:int8": (1, 1),
    "openvino:int4": (4.31 / 8, 1),
}
"""The same of OpenVINO's forms, whose speed is not foreseen: 4 bits have a zero point of 4 bits beside the scale."""

FALLBACK: Mapping[str, tuple[float, float]] = {
    "gguf:Q4_0": (18 / 32, 34 / 32),
    "gguf:Q4_K_M": (22 / 32, 34 / 32),
}
"""The same for models whose width is no multiple of 256, the weights of a K-block: llama.cpp then takes Q5_0 for Q4_K,
and Q8_0 for Q6_K."""

BATCH = 512
"""Tokens that damda lets llama.cpp read at once: a sliding window's cache needs that much room more."""

_PADDED = 256
"""llama.cpp's caches have a multiple of so many cells."""


def weights(shape: Shape, method: str) -> float:
    """Bytes of all weights, in the form that a method makes; norms and biases stay as they are, at 32 bits."""
    linear, rest = _bytes(method, whole_blocks=shape.hidden % 256 == 0)
    of = shape.counts
    return of.linear * linear + (of.table + of.head) * rest + of.small * 4


def _bytes(method: str, *, whole_blocks: bool) -> tuple[float, float]:
    """Of a weight in a layer, and of one of the table and the head."""
    if method in ("gptq", "awq"):
        return METHODS["w4a16"]
    if method == "gguf:F16":
        return METHODS["f16"]
    if method in OPENVINO:
        return OPENVINO[method]
    if not whole_blocks and method in FALLBACK:
        return FALLBACK[method]
    if method in METHODS:
        return METHODS[method]
    form = method.partition(":")[2].removesuffix("_S").removesuffix("_M")
    linear = next(size / weights for name, weights, size in BLOCKS.values() if name == form)
    return linear * (1.05 if method.endswith("_M") else 1), 210 / 256 if whole_blocks else 34 / 32


def stored(shape: Shape) -> float | None:
    """Bytes of a GGUF's weights as they are; None: of a config, or in a form that is not known here."""
    if not shape.tensors or any(of.kind not in BLOCKS for of in shape.tensors):
        return None
    return sum(prod(of.shape) * of.copies / BLOCKS[of.kind][1] * BLOCKS[of.kind][2] for of in shape.tensors)


def a_token(shape: Shape, kind: str = "f16") -> float:
    """Bytes that one more token takes where no window has slid past its beginning yet."""
    return CACHED[kind] * sum(shape.kv_heads) * (shape.key_dim + shape.value_dim)


def cache(shape: Shape, context: int, requests: int = 1, kind: str = "f16", *, windowed: bool = True) -> int:
    """Bytes of the KV cache as llama.cpp allocates it, with flash attention or without.

    Args:
        context: tokens of prompt and answer together, a request.
        windowed: layers with a window keep no more than that and one batch; False: everything (``swa_full``), which
            saved states need.
    """
    bytes_a_number, total = CACHED[kind], 0.0
    for heads, window in zip(shape.kv_heads, shape.windows, strict=True):
        cells = _padded(context)
        if window and windowed:
            cells = min(cells, _padded(window + BATCH))
        total += cells * heads * (shape.key_dim + shape.value_dim) * bytes_a_number
    return int(total) * requests


def looked_at(shape: Shape, tokens: int, kind: str = "f16") -> float:
    """Bytes of keys and values that the next token of one request reads when so many are there."""
    layers = zip(shape.kv_heads, shape.windows, strict=True)
    seen = sum(heads * (min(tokens, window) if window else tokens) for heads, window in layers)
    return CACHED[kind] * (shape.key_dim + shape.value_dim) * seen


def had_it_been(shape: Shape, kv_heads: int) -> Shape:
    """The same model with so many heads of keys and values in every layer, all else equal."""
    return replace(shape, kv_heads=(kv_heads,) * shape.layers)


def _padded(cells: int) -> int:
    return ceil(cells / _PADDED) * _PADDED
