"""This machine as a device: measured with the kernels that llama.cpp runs, where it is installed.

Knows: which operations to time, NumPy's where ggml's are not there. Does not know: models' files.

A step of decoding multiplies every weight with one vector a request, and a prompt with many. So a model's own matrices
are timed, in its own shapes and forms: unpacking four bits takes instructions, and small matrices are hardly worth a
second thread. Of a large model only some layers are timed, enough that no cache holds them while there are few vectors.
Beside the products there are attention and what is quick but much: norms, rotations, sums.
"""

import ctypes
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil, prod
from typing import Any, NamedTuple

import numpy as np

from damda.compress import ggml
from damda.compress.memory import BLOCKS
from damda.compress.roofline import Device
from damda.compress.shape import UNSAID, Shape
from damda.errors import ConfigError
from damda.generate.engine import cores
from damda.generate.native import Library
from damda.runtime import memory

_WIDE, _LONG = 2048, 16_384
"""Shape of the matrix of NumPy's products."""

_LARGE, _SOME = 1 << 27, 1 << 22
"""Weights that are timed with few vectors, 75 MB at 4 bits, and with many; more if one matrix of each sort has more."""

_FEW, _MANY = (1, 2, 4, 8, 16), 256
"""Vectors that batches and prompts are timed with."""

_BACK = 256
"""Tokens that attention is timed over."""

_CHAIN = 64
"""Norms that wait for one another, with a product and a sum behind each."""

_BLOCK = 256
"""Weights of a K-block."""

_SECONDS = 0.4
"""Of each measurement: the best of what fits is taken, since another program can only make it slower."""

_RUNS = 200
"""Most of each measurement."""

_ROOM = 64 << 20
"""Bytes for what ggml notes down beside its tensors: some for every run, and it gives none back."""


def measured(shape: Shape, method: str = "") -> Device:
    """This machine, for a model in the form that a method makes; "": as its file has it, 16 bits for a config.

    Raises:
        ConfigError: a form is not known here, or the system doesn't say how much memory it has.
    """
    layers, head = matrices(shape, method)
    if unknown := [of.kind for of in (*layers, head) if of.kind not in BLOCKS]:
        raise ConfigError(f"weights of ggml's form {unknown[0]} are not known here: plan with --method")
    total = memory()
    if total is None:
        raise ConfigError("this system doesn't say how much memory it has: plan for a GPU with --device")
    threads = cores()
    library = ggml.library()
    if library is None:
        bandwidth, flops = _numpy()
        return Device(_NAME, float(total), bandwidth, flops, f"measured: float32 products of NumPy, {threads} threads")
    linear, rest = (sum(of.weights for of in some) for some in (layers, [head]))
    seconds = {n: linear * _weight(library, layers, n, threads) for n in (*_FEW, _MANY)}
    heads = {n: rest * _weight(library, [head], n, threads) for n in (*_FEW, _MANY)}
    size = sum(of.size for of in (*layers, head))
    forms = ", ".join(BLOCKS[kind][0] for kind in sorted({of.kind for of in (*layers, head)}))
    return Device(
        _NAME,
        float(total),
        size / (seconds[1] + heads[1]),
        2 * linear * _MANY / seconds[_MANY],
        f"measured: products of llama.cpp in {forms}, {threads} threads",
        tuple((n, 2 * (linear + rest) * n / (seconds[n] + heads[n])) for n in seconds),
        _attention(library, shape, threads),
        tuple((n, _node(library, shape.hidden, n, threads)) for n in seconds),
    )


_NAME = "this machine"

_MADE: dict[str, int] = {"f32": 0, "f16": 1, "int8": 8, "nf4": 2, "w4a16": 2, "gguf:Q8_0": 8, "gguf:Q4_0": 2}
"""Method -> the form of layers. bitsandbytes' and llmcompressor's have no kernels in ggml: those of as many bits stand
for them."""


class Matrix(NamedTuple):
    """Matrices that are alike: how wide and how many their rows are, their form, how many a token passes through."""

    wide: int
    long: int
    kind: int
    copies: float

    @property
    def weights(self) -> float:
        """Of all of them."""
        return self.wide * self.long * self.copies

    @property
    def size(self) -> float:
        """Bytes of all of them."""
        return self.weights * BLOCKS[self.kind][2] / BLOCKS[self.kind][1]


def matrices(shape: Shape, method: str = "") -> tuple[list[Matrix], Matrix]:
    """What a token is multiplied with, in the form that a method makes: matrices in layers, and the head."""
    whole = shape.hidden % _BLOCK == 0
    mixed, table = (12, 14) if whole else (6, 8)  # Q4_K and Q6_K; what takes their place
    layer = mixed if method == "gguf:Q4_K_M" else _MADE.get(method, UNSAID)
    head = table if method in ("gguf:Q4_0", "gguf:Q4_K_M") else {"f32": 0, "gguf:Q8_0": 8}.get(method, 1)
    found: list[Matrix] = []
    last = Matrix(shape.hidden, shape.vocabulary, head if method else 1, 1)
    for of in shape.tensors:
        wide, long, *experts = of.shape if len(of.shape) > 1 else (0, 0)
        form = of.kind if of.kind != UNSAID else 1
        if of.what == ("head" if shape.counts.head else "table"):
            last = Matrix(wide, long, head if method else form, 1)
        elif of.what in ("linear", "experts"):
            share = shape.used if of.what == "experts" else 1.0
            found.append(Matrix(wide, long, layer if method else form, of.copies * prod(experts) * share))
    return found, last


def _best(run: Callable[[], object], most: int = _RUNS) -> float:
    """Seconds of the fastest run."""
    best, until = float("inf"), time.perf_counter() + _SECONDS
    for _ in range(most):
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


def _weight(library: Library, made: Sequence[Matrix], vectors: int, threads: int) -> float:
    """Seconds for one weight of matrices, times so many vectors. Of many matrices, and of long ones, some are timed."""
    most = _SOME if vectors == _MANY else _LARGE
    share = min(1.0, most / sum(of.weights for of in made))
    timed = [
        of._replace(
            wide=ceil(of.wide / BLOCKS[of.kind][1]) * BLOCKS[of.kind][1],
            long=min(of.long, max(1, most // of.wide)),
            copies=ceil(of.copies * share),
        )
        for of in made
    ]
    size = sum(of.size for of in timed)
    size += 4 * vectors * sum(of.copies * of.long + of.wide for of in timed)
    with _context(library, int(size)) as context:
        begun = {wide: _vectors(library, context, wide, vectors) for wide in {of.wide for of in timed}}
        products = []
        for of in timed:
            for _ in range(int(of.copies)):
                matrix = library.ggml_new_tensor_2d(context, of.kind, of.wide, of.long)
                # Small numbers in every form.
                ctypes.memset(library.ggml_get_data(matrix), 1, library.ggml_nbytes(matrix))
                products.append(library.ggml_mul_mat(context, matrix, begun[of.wide]))
        return _timed(library, context, products, threads) / sum(of.weights for of in timed)


def _attention(library: Library, shape: Shape, threads: int) -> float:
    """Operations a second of one token that looks back, in a layer with as many heads as most have."""
    heads, shared = shape.heads, max(shape.kv_heads)
    shared = shared if heads % shared == 0 else heads  # else ggml ends the process
    size = 4 * _BACK * shared * (shape.key_dim + shape.value_dim) + 8 * heads * (shape.key_dim + shape.value_dim)
    with _context(library, size) as context:
        keys, values = (
            library.ggml_new_tensor_4d(context, 1, dim, _BACK, shared, 1) for dim in (shape.key_dim, shape.value_dim)
        )
        query = library.ggml_new_tensor_4d(context, 0, shape.key_dim, 1, heads, 1)
        for of in (keys, values, query):
            ctypes.memset(library.ggml_get_data(of), 0, library.ggml_nbytes(of))
        seen = library.ggml_flash_attn_ext(context, query, keys, values, None, shape.key_dim**-0.5, 0.0, 0.0)
        return 2 * heads * (shape.key_dim + shape.value_dim) * _BACK / _timed(library, context, [seen], threads)


def _node(library: Library, hidden: int, vectors: int, threads: int) -> float:
    """Seconds of an operation between products: the mean of norms, products of numbers, and sums."""
    with _context(library, 4 * hidden * vectors * (3 * _CHAIN + 2)) as context:
        last = other = _vectors(library, context, hidden, vectors)
        for _ in range(_CHAIN):
            normed = library.ggml_rms_norm(context, last, 1e-6)
            last = library.ggml_add(context, library.ggml_mul(context, normed, other), other)
        return _timed(library, context, [last], threads) / (3 * _CHAIN)


@contextmanager
def _context(library: Library, size: int) -> Iterator[Any]:
    """ggml's memory for tensors of so many bytes."""
    context = library.ggml_init(ggml.Init(size + _ROOM, None, False))
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


def _timed(library: Library, context: Any, results: Sequence[Any], threads: int) -> float:  # noqa: ANN401  as above
    graph = library.ggml_new_graph(context)
    for result in results:
        library.ggml_build_forward_expand(graph, result)
    before = library.ggml_used_mem(context)
    library.ggml_graph_compute_with_ctx(context, graph, threads)  # the first one is slower
    taken = max(1, library.ggml_used_mem(context) - before)
    most = max(1, min(_RUNS, _ROOM // 2 // taken))
    return _best(lambda: library.ggml_graph_compute_with_ctx(context, graph, threads), most)
