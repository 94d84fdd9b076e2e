"""How fast a model can be at most: what has to be read from memory against what has to be multiplied.

Knows: the roofline (Williams, Waterman & Patterson, "Roofline: an insightful visual performance model for multicore
architectures", CACM 2009), figures that makers publish. Does not know: this machine (see `machine`), engines.

One step of decoding reads every weight once, for however many requests, and each request's keys and values; it
multiplies every weight with each request. So small batches wait for memory and large ones for arithmetic; where both
take the same time, a larger batch costs each request as much as it gains for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, inf
from typing import Literal

from damda.compress import memory
from damda.compress.shape import Shape

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class Device:
    """Something that runs a model.

    Attributes:
        memory: bytes.
        bandwidth: bytes a second that weights are read with.
        flops: operations a second, a multiplication and an addition being two.
        source: where the figures are from.
        products: (batch, operations a second) of a model's weights with so many tokens, where that was measured: no
            processor turns from the one limit to the other at a point.
        attending: operations a second of a token that looks back, where that was measured.
        between: (batch, seconds) of an operation between products, such as a norm.
    """

    name: str
    memory: float
    bandwidth: float
    flops: float
    source: str
    products: tuple[tuple[int, float], ...] = ()
    attending: float = 0.0
    between: tuple[tuple[int, float], ...] = ((1, 0.0),)


OPERATIONS, NORM = 8, 2
"""Operations a layer between products: two rotations, two writes of the cache, two sums, the MLP's gate, a scale; and
those of each norm. So counted in llama.cpp's graphs of Llama (2 norms) and Gemma 3 (6)."""


def _published(name: str, gigabytes: float, gigabytes_a_second: float, teraflops: float, source: str) -> Device:
    return Device(name, gigabytes * 1e9, gigabytes_a_second * 1e9, teraflops * 1e12, source)


PUBLISHED = (
    _published("T4", 16, 320, 65, "NVIDIA T4 datasheet"),
    _published("L4", 24, 300, 121, "NVIDIA L4 datasheet"),
    _published("A10", 24, 600, 125, "NVIDIA A10 datasheet"),
    _published("RTX 4090", 24, 1008, 165.2, "NVIDIA Ada GPU architecture whitepaper"),
    _published("A100", 80, 2039, 312, "NVIDIA A100 80GB SXM datasheet"),
    _published("H100", 80, 3350, 989, "NVIDIA H100 SXM datasheet"),
    _published("H200", 141, 4800, 989, "NVIDIA H200 datasheet"),
)
"""16-bit numbers on tensor cores, sums in 32 bits, without sparsity."""

RESERVED = 0.9
"""Share of a device's memory that is planned with, as vLLM does by default: the rest is for activations, the driver and
fragmentation."""


@dataclass(frozen=True, slots=True)
class Load:
    """A model in one form, and how it is used.

    Attributes:
        weights: bytes of all weights.
        read: bytes of those that a step reads.
        context: tokens of prompt and answer, a request.
        cached: form of the cache's numbers.
    """

    shape: Shape
    weights: float
    read: float
    context: int
    cached: str = "f16"

    @property
    def a_request(self) -> float:
        """Bytes of one request's cache when it is full."""
        return memory.cache(self.shape, self.context, 1, self.cached)


def load(shape: Shape, context: int, method: str = "", cached: str = "f16") -> Load:
    """A model in the form that a method makes; "": as its file has it, 16 bits for a config."""
    held = (memory.stored(shape) if not method else None) or memory.weights(shape, method or "f16")
    # A table that only looks words up is not read; neither are experts that are not passed through.
    return Load(shape, held, held * shape.multiplied / max(shape.counts.all - shape.counts.small, 1), context, cached)


def step(one: Load, device: Device, batch: int) -> tuple[float, float]:
    """Seconds of one step of decoding for so many requests, half way through their context: (reading, multiplying)."""
    half = one.context // 2
    reading = one.read + batch * memory.looked_at(one.shape, half, one.cached)
    return reading / device.bandwidth, batch * _operations(one.shape, half) / device.flops


def _operations(shape: Shape, tokens: int) -> float:
    """For one token behind so many others: each weight, and each query with what it sees and that with its weight."""
    seen = sum(min(tokens, window) if window else tokens for window in shape.windows)
    return 2 * shape.multiplied + 2 * shape.heads * (shape.key_dim + shape.value_dim) * seen


def decode(one: Load, device: Device, batch: int) -> float:
    """Tokens a second, of all requests together: at most, or as far as was measured what a device reaches."""
    reading, multiplying = step(one, device, batch)
    if not device.products:
        return batch / max(reading, multiplying)
    weights = 2 * batch * one.shape.multiplied / _between(device.products, batch)
    caches = reading - one.read / device.bandwidth
    attending = multiplying - 2 * batch * one.shape.multiplied / device.flops
    attending *= device.flops / (device.attending or device.flops)
    quick = (OPERATIONS + NORM * one.shape.norms) * one.shape.layers * _between(device.between, batch)
    return batch / (weights + max(caches, attending) + quick)


def _between(measured: Sequence[tuple[int, float]], batch: int) -> float:
    """What was measured for a batch: between two, in proportion; beyond the last, as for that."""
    (low, first), *rest = measured
    for high, then in rest:
        if batch <= high:
            return first + (then - first) * max(0, batch - low) / (high - low)
        low, first = high, then
    return first


def prefill(one: Load, device: Device) -> float:
    """Tokens of prompts a second, at most: every weight is read once for many tokens, so arithmetic is what counts. Of
    prompts as long as the context, a token of which has half of it before it on average. Words are made of the last
    token only, so the head does not count."""
    head = one.shape.counts.head or one.shape.counts.table
    return device.flops / (_operations(one.shape, one.context // 2) - 2 * head)


def fits(one: Load, device: Device) -> int:
    """Requests whose full caches fit beside the weights; 0: not one."""
    left = RESERVED * device.memory - one.weights
    return max(0, floor(left / one.a_request)) if one.a_request else 0


def turns(one: Load, device: Device) -> tuple[float, Literal["arithmetic", "caches"]]:
    """The batch at which the weights no longer count most, and what does from there on.

    Arithmetic: reading and multiplying take the same time, and what one more request gains for all, each of them loses.
    Caches: all requests' keys and values are as much to read as the weights, and half of a gain is lost; arithmetic may
    never be reached, since caches are read for each request alone.

    Where speeds by batch were measured, it is the first batch that, doubled, gains less than a third: as much as is
    left of the gain at either turn.
    """
    if device.products:
        short = (n for n in BATCHES if decode(one, device, 2 * n) < decode(one, device, n) * 4 / 3)
        return next(short, inf), "arithmetic"
    weights = one.read / device.bandwidth
    reading, multiplying = step(one, device, 1)
    cache = reading - weights
    arithmetic = weights / (multiplying - cache) if multiplying > cache else inf
    caches = weights / cache if cache else inf
    return (arithmetic, "arithmetic") if arithmetic <= caches else (caches, "caches")


def best(one: Load, device: Device) -> int:
    """The largest batch of `BATCHES` that fits and is not past the turn; 0: nothing fits."""
    most, (turn, _) = fits(one, device), turns(one, device)
    return max((batch for batch in BATCHES if batch <= most and batch <= max(turn, 1)), default=0)


def table(one: Load, device: Device, batches: Sequence[int] = BATCHES) -> list[tuple[int, float, float]]:
    """(Batch, tokens a second of all, milliseconds a token of one), as far as they fit."""
    most = fits(one, device)
    return [(n, decode(one, device, n), 1000 * n / decode(one, device, n)) for n in batches if n <= most]
