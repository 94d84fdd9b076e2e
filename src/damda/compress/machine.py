"""This machine as a device: measured with the kernels that llama.cpp runs, where it is installed.

Knows: which products to time, NumPy's where ggml's are not there. Does not know: models.

Weights are read as fast as a product of one vector with a matrix larger than any cache goes, which is what a step of
decoding consists of; arithmetic is as fast as the product of that matrix with many vectors. Both depend on the form
that the weights are stored in: unpacking four bits takes instructions.
"""

import ctypes
import time
from collections.abc import Callable, Sequence

import numpy as np

from damda.compress import ggml
from damda.compress.memory import BLOCKS
from damda.compress.roofline import Device
from damda.errors import ConfigError
from damda.generate.engine import cores
from damda.generate.native import Library
from damda.runtime import memory

_WIDE, _LONG = 2048, 16_384
"""Shape of the matrix: 19 MB at 4 bits, 134 MB at 32."""

_MANY = 64
"""Vectors of the product that arithmetic is measured with."""

_SECONDS = 0.4
"""Of each measurement: the best of what fits is taken, since another program can only make it slower."""

_RUNS = 200
"""Most: ggml takes some of the memory that it was given for each, and gives none back."""


def measured(kind: int = 1) -> Device:
    """This machine, for weights in a form of ggml's.

    Raises:
        ConfigError: the form is not known here, or the system doesn't say how much memory it has.
    """
    if kind not in BLOCKS:
        raise ConfigError(f"weights of ggml's form {kind} are not known here: plan with --method")
    total = memory()
    if total is None:
        raise ConfigError("this system doesn't say how much memory it has: plan for a GPU with --device")
    threads = cores()
    library = ggml.library()
    if library is None:
        bandwidth, flops, source = *_numpy(), f"measured: float32 products of NumPy, {threads} threads"
    else:
        one, many = (_product(library, kind, vectors, threads) for vectors in (1, _MANY))
        size = _WIDE * _LONG / BLOCKS[kind][1] * BLOCKS[kind][2]
        bandwidth, flops = size / one, 2 * _WIDE * _LONG * _MANY / many
        source = f"measured: {BLOCKS[kind][0]} products of llama.cpp, {threads} threads"
    return Device("this machine", float(total), bandwidth, flops, source)


def form(kinds: Sequence[tuple[int, int]], method: str = "") -> int:
    """The form that most of a model's weights are in: by its file, or by the method that makes it.

    bitsandbytes' and llmcompressor's forms have no kernels in ggml: those of as many bits stand for them.
    """
    made = {"f32": 0, "f16": 1, "int8": 8, "nf4": 2, "w4a16": 2, "gguf:Q8_0": 8, "gguf:Q4_0": 2, "gguf:Q4_K_M": 12}
    if method:
        return made[method]
    return max(kinds, key=lambda of: of[1])[0] if kinds else 1


def _best(run: Callable[[], object]) -> float:
    """Seconds of the fastest run."""
    run()
    best, until = float("inf"), time.perf_counter() + _SECONDS
    for _ in range(_RUNS):
        begun = time.perf_counter()
        run()
        ended = time.perf_counter()
        best = min(best, ended - begun)
        if ended > until:
            break
    return best


def _numpy() -> tuple[float, float]:
    """(Bytes a second, operations a second)."""
    drawn = np.random.default_rng(0)
    matrix = drawn.standard_normal((_LONG, _WIDE), np.float32)
    one, many = (drawn.standard_normal((_WIDE, n), np.float32) for n in (1, _MANY))
    return matrix.nbytes / _best(lambda: matrix @ one), 2 * matrix.size * _MANY / _best(lambda: matrix @ many)


def _product(library: Library, kind: int, vectors: int, threads: int) -> float:
    """Seconds of a matrix of this form times so many vectors."""
    size = _WIDE * _LONG * 4 + _WIDE * vectors * 4 + _LONG * vectors * 4
    context = library.ggml_init(ggml.Init(size + (64 << 20), None, False))  # room for its own notes
    if not context:
        raise MemoryError(f"{size:,} bytes to measure this machine with")
    try:
        matrix = library.ggml_new_tensor_2d(context, kind, _WIDE, _LONG)
        ctypes.memset(library.ggml_get_data(matrix), 1, library.ggml_nbytes(matrix))  # small numbers in every form
        several = library.ggml_new_tensor_2d(context, 0, _WIDE, vectors)
        values = np.random.default_rng(0).standard_normal(_WIDE * vectors, np.float32)
        ctypes.memmove(library.ggml_get_data(several), values.ctypes.data, values.nbytes)
        graph = library.ggml_new_graph(context)
        library.ggml_build_forward_expand(graph, library.ggml_mul_mat(context, matrix, several))
        return _best(lambda: library.ggml_graph_compute_with_ctx(context, graph, threads))
    finally:
        library.ggml_free(context)
