"""A model and devices -> what it takes, what fits, how fast it can be: the whole of `damda plan`, as data.

Knows: which figures answer "will it run here, and for how many?". Does not know: where a model comes from, how figures
are shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from damda.compress import memory, roofline, vllm
from damda.compress.roofline import Device, Load
from damda.compress.shape import Shape


@dataclass(frozen=True, slots=True)
class Cached:
    """The KV cache, had the model been built so.

    Attributes:
        name: "as it is", "multi-head" and so on.
        kv_heads: in the layer that has most.
        token: form -> bytes that one more token takes while no window has slid.
        request: form -> bytes of a full request.
    """

    name: str
    kv_heads: int
    token: dict[str, float]
    request: dict[str, int]


@dataclass(frozen=True, slots=True)
class Fit:
    """A model on a device. Speeds are what the hardware allows for at most.

    Attributes:
        requests: that fit at once.
        best: the batch to serve with; 0: it does not fit.
        turn: the batch beyond which more requests hardly gain anything, and why.
        prefill: tokens of prompts a second.
        decode: (batch, tokens a second of all, milliseconds a token of one).
        vllm: the command that serves it there with vLLM; "" for this machine, and for what vLLM does not run.
    """

    device: Device
    requests: int
    best: int
    turn: tuple[float, str]
    prefill: float
    decode: list[tuple[int, float, float]]
    vllm: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """All of it; bytes.

    Attributes:
        method: the form of the weights that devices are planned with; "": as the file has them.
        stored: of the weights as the file has them; None: of a config.
        methods: form -> bytes of all weights.
    """

    shape: Shape
    parameters: int
    attention: str
    context: int
    method: str
    cached: str
    stored: float | None
    methods: dict[str, float]
    caches: list[Cached]
    fits: list[Fit]


def plan(
    shape: Shape, devices: Sequence[Device], context: int, method: str = "", cached: str = "f16", served: str = ""
) -> Plan:
    """What a model takes at a context length, and what devices make of it.

    Args:
        context: tokens of prompt and answer together, a request.
        served: what vLLM would call the model; "": it has no form that vLLM reads.
    """
    one = roofline.load(shape, context, method, cached)
    return Plan(
        shape,
        shape.counts.all,
        shape.attention,
        context,
        method,
        cached,
        memory.stored(shape),
        {name: memory.weights(shape, name) for name in memory.METHODS},
        _caches(shape, context),
        [_fit(one, device, method, served) for device in devices],
    )


def _caches(shape: Shape, context: int) -> list[Cached]:
    built = {"as it is": shape}
    others = {"multi-head": shape.heads, "grouped-query": min(8, shape.heads), "multi-query": 1}
    there = {*shape.kv_heads}
    for name, heads in others.items():
        if {heads} != there and not (name == "grouped-query" and heads == shape.heads):
            built[f"if {name}"] = memory.had_it_been(shape, heads)
    return [
        Cached(
            name,
            max(one.kv_heads),
            {kind: memory.a_token(one, kind) for kind in memory.CACHED},
            {kind: memory.cache(one, context, 1, kind) for kind in memory.CACHED},
        )
        for name, one in built.items()
    ]


def _fit(one: Load, device: Device, method: str, served: str) -> Fit:
    return Fit(
        device,
        roofline.fits(one, device),
        roofline.best(one, device),
        roofline.turns(one, device),
        roofline.prefill(one, device),
        roofline.table(one, device),
        vllm.command(served, one, device, method) if served and device in roofline.PUBLISHED else "",
    )
