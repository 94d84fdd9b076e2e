"""This machine as a device: measured with the kernels that llama.cpp runs, where it is installed.

Knows: which products to time, NumPy's where ggml's are not there. Does not know: models.

Weights are read as fast as a product of one vector with a matrix larger than any cache goes, which is what a step of
decoding consists of; batches are products of that matrix with a few vectors. Arithmetic is as fast as the product of
many vectors with a matrix as wide as the model's, which is read from a cache but for the first time: that is what
reading a prompt consists of. All depend on the form that the weights are stored in: unpacking four bits takes
instructions. A small model's operations are so short that threads wait for one another as long; that is measured too.
"""

import ctypes
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

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

_FEW, _MANY = (1, 2, 4, 8, 16), 256
"""Vectors of the products that batches and that arithmetic are measured with."""

_CHAIN, _TINY = 200, 64
"""Products that wait for one another, and how wide they are: hardly any arithmetic."""

_SECONDS = 0.4
"""Of each measurement: the best of what fits is taken, since another program can only make it slower."""

_RUNS = 200
"""Most: ggml takes some of the memory that it was given for each, and gives none back."""


def measured(kind: int = 1, hidden: int = _WIDE) -> Device:
    """This machine, for weights in a form of ggml's, of a model with vectors of this length.

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
        bandwidth, flops = _numpy()
        return Device(_NAME, float(total), bandwidth, flops, f"measured: float32 products of NumPy, {threads} threads")
    size = _WIDE * _LONG / BLOCKS[kind][1] * BLOCKS[kind][2]
    few = [(n, _product(library, kind, (_WIDE, _LONG), n, threads)) for n in _FEW]
    wide = max(_BLOCK, hidden // _BLOCK * _BLOCK)
    flops = 8 * wide * wide * _MANY / _product(library, kind, (wide, 4 * wide), _MANY, threads)
    reached = [(n, 2 * _WIDE * _LONG * n / seconds) for n, seconds in few]
    return Device(
        _NAME,
        float(total),
        size / few[0][1],
        flops,
        f"measured: {BLOCKS[kind][0]} products of llama.cpp, {threads} threads",
        (*reached, (_MANY, max(flops, reached[-1][1]))),
        _node(library, threads),
    )


_NAME = "this machine"
_BLOCK = 256
"""Widths that every form can be packed in are multiples of it."""


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


def _product(library: Library, kind: int, shape: tuple[int, int], vectors: int, threads: int) -> float:
    """Seconds of a matrix of this form and shape times so many vectors."""
    wide, long = shape
    with _context(library, 4 * (wide * long + (wide + long) * vectors)) as context:
        matrix = library.ggml_new_tensor_2d(context, kind, wide, long)
        ctypes.memset(library.ggml_get_data(matrix), 1, library.ggml_nbytes(matrix))  # small numbers in every form
        product = library.ggml_mul_mat(context, matrix, _vectors(library, context, wide, vectors))
        return _timed(library, context, product, threads)


def _node(library: Library, threads: int) -> float:
    """Seconds of one operation that has hardly anything to do."""
    with _context(library, 4 * _TINY * _TINY * _CHAIN) as context:
        matrix = library.ggml_new_tensor_2d(context, 0, _TINY, _TINY)
        ctypes.memset(library.ggml_get_data(matrix), 0, library.ggml_nbytes(matrix))
        product = _vectors(library, context, _TINY, 1)
        for _ in range(_CHAIN):
            product = library.ggml_mul_mat(context, matrix, product)
        return _timed(library, context, product, threads) / _CHAIN


@contextmanager
def _context(library: Library, size: int) -> Iterator[Any]:
    """ggml's memory for tensors of so many bytes."""
    context = library.ggml_init(ggml.Init(size + (64 << 20), None, False))  # room for its own notes
    if not context:
        raise MemoryError(f"{size:,} bytes to measure this machine with")
    try:
        yield context
    finally:
        library.ggml_free(context)


def _vectors(library: Library, context: Any, wide: int, count: int) -> Any:  # noqa: ANN401  ggml's pointers
    made = library.ggml_new_tensor_2d(context, 0, wide, count)
    values = np.random.default_rng(0).standard_normal(wide * count, np.float32)
    ctypes.memmove(library.ggml_get_data(made), values.ctypes.data, values.nbytes)
    return made


def _timed(library: Library, context: Any, product: Any, threads: int) -> float:  # noqa: ANN401  as above
    graph = library.ggml_new_graph(context)
    library.ggml_build_forward_expand(graph, product)
    return _best(lambda: library.ggml_graph_compute_with_ctx(context, graph, threads))
