"""When requests are begun: static, dynamic and continuous batching, and what comes of each.

Knows: slots, arrivals, waiting. Does not know: what makes tokens, how long that takes.

Static batching waits for a full batch and works until its longest answer is done; dynamic batching waits a little and
takes who has come; continuous batching (Yu et al., "Orca", OSDI 2022) gives each slot to the next request as soon as it
is free.
"""

import asyncio
import math
import random
import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

Run = Callable[["Request"], AsyncIterator[object]]
"""Works on a request; one item for each token that is there."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked.

    Attributes:
        at: seconds after the start at which it comes.
        tokens: of its answer.
    """

    at: float
    prompt: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Served:
    """What became of a request, in seconds after the start.

    Attributes:
        begun: it got its slot.
        first, ended: its first and its last token were there.
        batch: number of the batch that it belonged to; None: it had a slot of its own.
    """

    request: Request
    begun: float
    first: float
    ended: float
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What a schedule is worth.

    Attributes:
        throughput: tokens a second, from the first arrival to the last token.
        first, first95: seconds from arrival to the first token, median and 95th percentile.
        whole, whole95: to the last token.
        wasted: share of the batches' slots and time in which nothing was made, because a slot's answer was done before
            the longest one, or nobody had come for it.
    """

    throughput: float
    first: float
    first95: float
    whole: float
    whole95: float
    wasted: float


def arriving(prompts: Sequence[str], lengths: Sequence[int], rate: float, seed: int) -> list[Request]:
    """A request for each prompt, at the times of a Poisson process; their answers' lengths are drawn from ``lengths``.

    Args:
        rate: requests a second; infinite: all are there at the start.
    """
    drawn = random.Random(seed)
    at, found = 0.0, []
    for prompt in prompts:
        found.append(Request(at, prompt, drawn.choice(lengths)))
        at += 0.0 if math.isinf(rate) else drawn.expovariate(rate)
    return found


async def continuous(requests: Sequence[Request], run: Run, slots: int) -> list[Served]:
    """Each request begins as soon as a slot is free, first come, first served."""
    begin, free = _now(), asyncio.Semaphore(slots)

    async def one(request: Request) -> Served:
        await _until(begin + request.at)
        async with free:
            return await _served(request, run, begin)

    return await asyncio.gather(*map(one, requests))


async def batched(requests: Sequence[Request], run: Run, slots: int, window: float) -> list[Served]:
    """Requests are begun together, ``slots`` at most, and the next ones when all of these have ended.

    Args:
        window: seconds that the first of a batch waits for others; infinite: until the batch is full, or nobody comes.
    """
    begin, waiting, served, number = _now(), list(requests), list[Served](), 0
    while waiting:
        await _until(begin + waiting[0].at)
        end = _now() + window
        taken = [waiting.pop(0)]
        while waiting and len(taken) < slots and begin + waiting[0].at <= end:
            await _until(begin + waiting[0].at)
            taken.append(waiting.pop(0))
        if waiting and len(taken) < slots and not math.isinf(window):
            await _until(end)
        done = await asyncio.gather(*(_served(request, run, begin) for request in taken))
        served += [replace(one, batch=number) for one in done]
        number += 1
    return served


def figures(served: Sequence[Served], slots: int) -> Figures:
    """What a run was worth."""
    first = sorted(one.first - one.request.at for one in served)
    whole = sorted(one.ended - one.request.at for one in served)
    begin, end = min(one.request.at for one in served), max(one.ended for one in served)
    return Figures(
        sum(one.request.tokens for one in served) / (end - begin),
        statistics.median(first),
        _most(first),
        statistics.median(whole),
        _most(whole),
        _wasted(served, slots),
    )


def _wasted(served: Sequence[Served], slots: int) -> float:
    """A batch takes all slots until its longest answer is done; a slot that is free at once is never taken in vain."""
    batches: dict[int, list[Served]] = {}
    for one in served:
        if one.batch is not None:
            batches.setdefault(one.batch, []).append(one)
    spans = [max(o.ended for o in group) - min(o.begun for o in group) for group in batches.values()]
    used = sum(one.ended - one.begun for group in batches.values() for one in group)
    return 1 - used / (slots * sum(spans)) if spans else 0.0


def _most(ordered: Sequence[float]) -> float:
    return ordered[min(len(ordered) - 1, math.ceil(0.95 * len(ordered)) - 1)]


async def _served(request: Request, run: Run, begin: float) -> Served:
    begun, first = _now() - begin, None
    async for _ in run(request):
        first = _now() - begin if first is None else first
    ended = _now() - begin
    return Served(request, begun, ended if first is None else first, ended)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _until(when: float) -> None:
    if (left := when - _now()) > 0:
        await asyncio.sleep(left)
