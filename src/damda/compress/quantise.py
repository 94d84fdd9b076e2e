"""A GGUF file -> the same model with its weights in another form, as llama.cpp's quantiser makes it.

Knows: which form each tensor of a mix gets, how a GGUF is copied. Does not know: how a form is computed (`ggml`), where
the file came from.

Source of the rules: llama-quant.cpp of llama.cpp, for models with neither experts nor Falcon's layers; without an
importance matrix.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from damda.compress import ggml
from damda.compress.memory import BLOCKS
from damda.errors import ConfigError, MissingExtra, WeightsError
from damda.generate.gguf import MAGIC, Tensor, header
from damda.types import Progress

F32, F16, BF16, Q8_0 = 0, 1, 30, 8
FLOATS: Mapping[str, tuple[int, int]] = {"F16": (1, F16)}
"""As `MIXES`: every matrix in one form of floats."""

MIXES: Mapping[str, tuple[int, int]] = {
    "Q4_0": (2, 2),
    "Q4_1": (3, 3),
    "Q8_0": (7, Q8_0),
    "Q5_0": (8, 6),
    "Q5_1": (9, 7),
    "Q4_K_S": (14, 12),
    "Q4_K_M": (15, 12),
    "Q5_K_S": (16, 13),
    "Q5_K_M": (17, 13),
    "Q6_K": (18, 14),
}
"""Mix -> its number among llama.cpp's file types, and the form that most tensors get."""

_Q4_K, _Q5_K, _Q6_K = 12, 13, 14
_FALLBACK = {_Q4_K: 6, _Q5_K: 7, _Q6_K: Q8_0}
"""Form with blocks of 256 -> the one for tensors whose rows are no multiple of that."""

_KEPT = re.compile(
    r"_norm\.weight|ffn_gate_inp|altup|laurel|per_layer_model_proj|ssm_conv1d|shortconv\.conv|position_embd|token_types"
)
"""Matrices that are small, and stay as they are."""

_ROWS = 1 << 24
"""Weights at a time: 64 MB in float32."""


def quantise(source: Path, target: Path, mix: str, progress: Progress) -> None:
    """Write ``target``: the model of ``source``, every matrix in the form that the mix has for it.

    Args:
        source: a GGUF; one that is quantised is unpacked first, which does not bring back what was lost.
        target: is overwritten; the caller sees to it that half a file is never found.

    Raises:
        MissingExtra: xllamacpp is not installed, or gguf, and the source is quantised.
        ConfigError: the mix is not known, or the model's layers are of a kind whose rules are not.
        WeightsError: the source is damaged, or in a form that is not known here.
    """
    about = header(source)
    experts = about.fact("expert_count")
    if mix not in MIXES and mix not in FLOATS:
        raise ConfigError(f"{mix} is no form of a GGUF that damda makes: take one of {', '.join((*FLOATS, *MIXES))}")
    if (isinstance(experts, int) and experts > 1) or about.architecture == "falcon":
        raise ConfigError(f"{source.name}: models of {about.architecture} with experts are not quantised here")
    layers, tied = about.fact("block_count"), all(one.name != "output.weight" for one in about.tensors)
    count = layers if isinstance(layers, int) else 0
    _write(source, target, mix, {one.name: form(one, mix, count, tied=tied) for one in about.tensors}, progress)


def form(tensor: Tensor, mix: str, layers: int, *, tied: bool) -> int:
    """ggml's number of the form that a tensor gets.

    Args:
        layers: of the model.
        tied: there is no head beside the table: the table is treated as one.
    """
    if len(tensor.shape) < 2 or not tensor.name.endswith("weight") or _KEPT.search(tensor.name):
        return tensor.kind
    if mix in FLOATS:
        return FLOATS[mix][1]
    _, kind = MIXES[mix]
    width = tensor.shape[0]
    if tensor.name == "output.weight" or (tied and tensor.name == "token_embd.weight"):
        blocks = width % BLOCKS[kind][1] == 0
        kind = _Q6_K if blocks and kind != Q8_0 else Q8_0
    else:
        kind = _by_layer(tensor.name, mix, kind, layers)
    if width % BLOCKS[kind][1] == 0:
        return kind
    other = _FALLBACK.get(kind, F16)
    return other if width % BLOCKS[other][1] == 0 else F16


def _by_layer(name: str, mix: str, kind: int, layers: int) -> int:
    """Values and what leaves the MLP matter most; of their layers the first, the last and every third between."""
    found = re.match(r"blk\.(\d+)\.(attn_v|attn_qkv|ffn_down)\.", name)
    if not found:
        return kind
    layer, value = int(found[1]), found[2] != "ffn_down"
    more = layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
    if mix in ("Q4_K_M", "Q5_K_M") and more:
        return _Q6_K
    if mix == "Q4_K_S" and layer < (4 if value else layers // 8):
        return _Q5_K
    return kind


def packed_already(source: Path) -> str:
    """Names of the forms in which a GGUF's weights are quantised; "" for floats."""
    kinds = {one.kind for one in header(source).tensors} - {F32, F16, BF16}
    return ", ".join(sorted(BLOCKS[kind][0] if kind in BLOCKS else f"ggml's form {kind}" for kind in kinds))


def _write(source: Path, target: Path, mix: str, forms: Mapping[str, int], progress: Progress) -> None:
    """In llama.cpp's order, so that the files are the same to the last byte."""
    if ggml.library() is None and mix not in FLOATS:
        raise MissingExtra("llama.cpp's forms of weights", "llama")
    about = header(source)
    tensors = sorted(about.tensors, key=lambda one: _place(one.name))
    says = {"general.quantization_version": 2, "general.file_type": {**FLOATS, **MIXES}[mix][0]}
    kept = [span for key, span in about.spans.items() if key not in says]
    with source.open("rb") as old, target.open("wb") as new:
        new.write(MAGIC + struct.pack("<IQQ", 3, len(tensors), len(kept) + len(says)))
        for begin, end in kept:
            old.seek(begin)
            new.write(old.read(end - begin))
        for key, value in says.items():
            new.write(_named(key) + struct.pack("<II", _UINT32, value))
        offset = 0
        for one in tensors:
            new.write(_named(one.name) + struct.pack(f"<I{len(one.shape)}Q", len(one.shape), *one.shape))
            new.write(struct.pack("<IQ", forms[one.name], offset))
            offset += _padded(_size(one, forms[one.name]), about.alignment)
        new.write(bytes(_padded(new.tell(), about.alignment) - new.tell()))
        for n, one in enumerate(tensors):
            progress(f"packing weights ({mix})", n, len(tensors))
            for piece in _packs(old, about.data, one, forms[one.name]):
                new.write(piece.data)
            new.write(bytes(_padded(new.tell(), about.alignment) - new.tell()))
    progress(f"packing weights ({mix})", len(tensors), len(tensors))


_UINT32 = 4
"""GGUF's number of the type."""


def _place(name: str) -> tuple[int, str]:
    """llama.cpp's order: what belongs to no layer, then layer by layer, each by name."""
    layer = re.match(r"blk\.(\d+)\.", name)
    return int(layer[1]) if layer else -1, name


def _named(name: str) -> bytes:
    text = name.encode()
    return struct.pack("<Q", len(text)) + text


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _size(tensor: Tensor, kind: int) -> int:
    """Bytes in a form."""
    _, weights, size = BLOCKS[kind]
    return tensor.count // weights * size


def _packs(file: BinaryIO, data: int, tensor: Tensor, kind: int) -> Iterator[NDArray[np.uint8]]:
    """The tensor's bytes in a form, some rows at a time.

    Raises:
        WeightsError: the file ends before, or the tensor is in a form that is not known here.
    """
    if tensor.kind not in BLOCKS:
        raise WeightsError(f"{file.name}: {tensor.name} is in ggml's form {tensor.kind}, which is not known here")
    width = tensor.shape[0]
    row, rows = _size(tensor, tensor.kind) // (tensor.count // width), tensor.count // width
    step = max(1, _ROWS // width)
    file.seek(data + tensor.offset)
    for at in range(0, rows, step):
        count = min(step, rows - at)
        read = np.fromfile(file, np.uint8, count * row)
        if len(read) < count * row:
            raise WeightsError(f"{file.name} ends in the middle: get it again")
        if kind == tensor.kind:
            yield read
            continue
        floats = _floats(read.reshape(count, row), tensor.kind)
        yield floats.astype(np.float16).view(np.uint8) if kind == F16 else ggml.packed(floats, kind).reshape(-1)


def _floats(rows: NDArray[np.uint8], kind: int) -> NDArray[np.float32]:
    """Weights of any form, shape (n, width)."""
    if kind == F32:
        return rows.view(np.float32)
    if kind == F16:
        return rows.view(np.float16).astype(np.float32)
    if kind == BF16:
        return (rows.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    try:
        from gguf import GGMLQuantizationType, dequantize
    except ImportError as error:
        raise MissingExtra("unpacking a GGUF", "compress") from error
    return np.asarray(dequantize(rows, GGMLQuantizationType(kind)), np.float32)
