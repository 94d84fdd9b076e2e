"""A GGUF file -> the same model with its weights in another form, as llama.cpp's quantiser makes it.

Knows: which form each tensor of a mix gets, how a GGUF is copied. Does not know: how a form is computed (`ggml`), where
the file came from.

Source of the rules: llama-quant.cpp of llama.cpp, for models with neither experts nor Falcon's layers; without an
importance matrix.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damda.compress import ggml
from damda.compress.memory import BLOCKS
from damda.errors import ConfigError, MissingExtra, WeightsError
from damda.generate.gguf import Tensor, header
from damda.types import Progress

F32, F16, BF16, Q8_0 = 0, 1, 30, 8
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
        source: a GGUF whose weights are floats.
        target: is overwritten; the caller sees to it that half a file is never found.

    Raises:
        MissingExtra: the extras ``tune`` (which brings gguf) and ``llama`` are not installed.
        ConfigError: the mix is not known, or the model's layers are of a kind whose rules are not.
        WeightsError: the source is damaged, or quantised already.
    """
    about = header(source)
    experts = about.fact("expert_count")
    if mix not in MIXES:
        raise ConfigError(f"{mix} is no form of a GGUF that damda makes: take one of {', '.join(MIXES)}")
    if (isinstance(experts, int) and experts > 1) or about.architecture == "falcon":
        raise ConfigError(f"{source.name}: models of {about.architecture} with experts are not quantised here")
    if done := {_named(one.kind) for one in about.tensors if one.kind not in (F32, F16, BF16)}:
        raise WeightsError(f"{source.name} is quantised ({', '.join(sorted(done))}): give the model it was made of")
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


def _named(kind: int) -> str:
    return BLOCKS[kind][0] if kind in BLOCKS else f"ggml's form {kind}"


def _write(source: Path, target: Path, mix: str, forms: Mapping[str, int], progress: Progress) -> None:
    try:
        from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
    except ImportError as error:
        raise MissingExtra("writing GGUF files", "tune") from error
    if ggml.library() is None:
        raise MissingExtra("llama.cpp's forms of weights", "llama")
    reader = GGUFReader(source)
    writer = GGUFWriter(target, header(source).architecture)
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key not in ("general.architecture", *_SAID):
            several = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type=several)
    writer.add_quantization_version(2)
    writer.add_file_type(MIXES[mix][0])
    for one in reader.tensors:
        kind, shape = forms[one.name], tuple(int(n) for n in reversed(one.shape))
        _, weights, size = BLOCKS[kind]
        stored = (*shape[:-1], shape[-1] // weights * size)
        writer.add_tensor_info(
            one.name, stored, np.dtype(np.uint8), int(np.prod(stored)), raw_dtype=GGMLQuantizationType(kind)
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for n, one in enumerate(reader.tensors):
        progress(f"packing weights ({mix})", n, len(reader.tensors))
        writer.write_tensor_data(np.concatenate([*_packs(one, forms[one.name])]))
    progress(f"packing weights ({mix})", len(reader.tensors), len(reader.tensors))
    writer.close()


_SAID = ("general.file_type", "general.quantization_version")
"""What is no longer true of the copy."""


def _packs(tensor: Any, kind: int) -> Iterator[NDArray[np.uint8]]:  # noqa: ANN401  gguf's ReaderTensor
    """The tensor's bytes in a form, some rows at a time."""
    if kind == int(tensor.tensor_type):
        yield tensor.data.view(np.uint8).reshape(-1)
        return
    from gguf import dequantize

    width = int(tensor.shape[0])
    rows = tensor.data.reshape(-1, tensor.data.shape[-1])
    step = max(1, _ROWS // width)
    for at in range(0, len(rows), step):
        floats = dequantize(rows[at : at + step], tensor.tensor_type)
        packed = floats.astype(np.float16).view(np.uint8) if kind == F16 else ggml.packed(floats, kind)
        yield packed.reshape(-1)
