"""Static, dynamic and continuous batching of one model's requests: how many tokens a second, who waits how long.

Knows: how a request to llama.cpp becomes tokens on an event loop, which loads are tried. Does not know: the schedules.
"""

import asyncio
import math
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict

from damda.bench.schedule import Request, Served, arriving, batched, continuous, figures
from damda.bench.subject import Row, Subject, Tap, engine
from damda.errors import GeneratorError
from damda.generate import wire
from damda.generate.engine import Engine
from damda.generate.worker import Running
from damda.types import Progress

SLOTS, COUNT, ROUNDS = 8, 24, 2
LENGTHS = (8, 16, 32, 64, 128)
"""Tokens of the answers: what a mixed load is."""

WINDOW = 0.25
"""Seconds that dynamic batching waits."""

_LOADS = (0.5, 1.0)
"""Shares of the requests a second that the machine can serve."""


def batching(subject: Subject, progress: Progress) -> list[Row]:
    """All at once (offline), and arriving at half and at the whole of what can be served."""
    made = engine(subject, context=512, slots=SLOTS)
    prompts = [subject.questions[n % len(subject.questions)] for n in range(COUNT)]
    run = _runner(subject, made)
    asyncio.run(continuous(arriving(prompts[:SLOTS], LENGTHS, math.inf, 1), run, SLOTS))  # what is set up once
    best = figures(asyncio.run(continuous(arriving(prompts, LENGTHS, math.inf, 1), run, SLOTS)), SLOTS)
    capacity = best.throughput / statistics.mean(LENGTHS)
    rows: list[Row] = []
    loads = {"offline": math.inf, **{f"{share:.0%} of capacity": share * capacity for share in _LOADS}}
    for n, (load, rate) in enumerate(loads.items()):
        asked = arriving(prompts, LENGTHS, rate, 1)
        found: dict[str, list[Row]] = {way: [] for way in _WAYS}
        for turn in range(ROUNDS):
            for k, (way, serve) in enumerate(_WAYS.items()):
                done = (n * ROUNDS + turn) * len(_WAYS) + k
                progress("batching", done, len(loads) * ROUNDS * len(_WAYS))
                found[way].append(asdict(figures(asyncio.run(serve(asked, run)), SLOTS)))  # type: ignore[arg-type]
        for way, runs in found.items():
            medians = {name: statistics.median(one[name] for one in runs) for name in runs[0]}
            rows.append({"study": "batching", "task": load, "way": way, "slots": SLOTS, **medians})
    progress("batching", 1, 1)
    return rows


Serve = Callable[[list[Request], Callable[[Request], AsyncIterator[object]]], Awaitable[list[Served]]]

_WAYS: dict[str, Serve] = {
    "static": lambda asked, run: batched(asked, run, SLOTS, math.inf),
    "dynamic": lambda asked, run: batched(asked, run, SLOTS, WINDOW),
    "continuous": lambda asked, run: continuous(asked, run, SLOTS),
}


def _runner(subject: Subject, made: Engine) -> Callable[[Request], AsyncIterator[object]]:
    async def run(request: Request) -> AsyncIterator[object]:
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[object]()
        asked = subject.request(request.prompt, request.tokens, exactly=True)

        def send(given: Mapping[str, object], hear: Callable[[object], bool]) -> None:
            try:
                made.run(given, hear)
            finally:
                loop.call_soon_threadsafe(queue.put_nowait, None)

        running = Running(Tap(made, lambda chunk: loop.call_soon_threadsafe(queue.put_nowait, chunk), send), asked)
        try:
            while (chunk := await queue.get()) is not None:
                said = wire.piece(chunk)
                if said and said.error:
                    raise GeneratorError(f"llama.cpp failed: {said.error}")
                if said and said.text:
                    yield chunk
        finally:
            running.close()

    return run
