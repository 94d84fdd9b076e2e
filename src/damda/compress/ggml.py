"""llama.cpp's own arithmetic, without its programs: ggml through ctypes, from the library that xllamacpp brings.

Knows: names, arguments and conventions of ggml's functions. Does not know: files, models.
"""

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damda.compress.memory import BLOCKS
from damda.errors import MissingExtra
from damda.generate import native
from damda.generate.native import Library


class Init(ctypes.Structure):
    """``ggml_init_params``."""

    _fields_ = (("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


_POINTER, _INT64, _SIZE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_size_t
_CALLS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "ggml_cpu_init": (None, ()),
    "ggml_init": (_POINTER, (Init,)),
    "ggml_free": (None, (_POINTER,)),
    "ggml_new_tensor_2d": (_POINTER, (_POINTER, ctypes.c_int, _INT64, _INT64)),
    "ggml_new_tensor_4d": (_POINTER, (_POINTER, ctypes.c_int, _INT64, _INT64, _INT64, _INT64)),
    "ggml_get_data": (_POINTER, (_POINTER,)),
    "ggml_nbytes": (_SIZE, (_POINTER,)),
    "ggml_used_mem": (_SIZE, (_POINTER,)),
    "ggml_mul_mat": (_POINTER, (_POINTER, _POINTER, _POINTER)),
    "ggml_mul": (_POINTER, (_POINTER, _POINTER, _POINTER)),
    "ggml_add": (_POINTER, (_POINTER, _POINTER, _POINTER)),
    "ggml_rms_norm": (_POINTER, (_POINTER, _POINTER, ctypes.c_float)),
    "ggml_flash_attn_ext": (_POINTER, (_POINTER,) * 5 + (ctypes.c_float,) * 3),
    "ggml_new_graph": (_POINTER, (_POINTER,)),
    "ggml_build_forward_expand": (None, (_POINTER, _POINTER)),
    "ggml_graph_compute_with_ctx": (ctypes.c_int, (_POINTER, _POINTER, ctypes.c_int)),
    "ggml_quantize_chunk": (_SIZE, (ctypes.c_int, _POINTER, _POINTER, _INT64, _INT64, _INT64, _POINTER)),
}
"""What they return, what they take. Source: ggml.h and ggml-cpu.h."""


@cache
def library() -> Library | None:
    """Ready to be called; None: xllamacpp is not there, or is built otherwise."""
    loaded = native.opened()
    if loaded is None:
        return None
    try:
        native.declare(loaded, _CALLS)
    except AttributeError:
        return None  # whoever can do without says what was done instead; whoever can't fails by naming the extra
    loaded.ggml_cpu_init()
    return loaded


def packed(rows: NDArray[np.float32], kind: int) -> NDArray[np.uint8]:
    """Weights in another form, as llama.cpp's quantiser writes them without an importance matrix.

    Args:
        rows: shape (n, width); the width is a multiple of the form's block.
        kind: ggml's number of a form with blocks.

    Returns:
        Shape (n, bytes a row).

    Raises:
        MissingExtra: xllamacpp is not installed.
    """
    loaded = library()
    if loaded is None:
        raise MissingExtra("llama.cpp's forms of weights", "llama")
    (count, width), (_, weights, size) = rows.shape, BLOCKS[kind]
    made = np.empty((count, width // weights * size), np.uint8)
    source = np.ascontiguousarray(rows, np.float32)
    written = loaded.ggml_quantize_chunk(kind, source.ctypes.data, made.ctypes.data, 0, count, width, None)
    assert written == made.nbytes, "ggml's blocks are of another size than `BLOCKS` says"
    return made
