"""Static, dynamic and continuous batching on a clock that only moves when nobody has anything to do."""

import asyncio
import math
import selectors
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import pytest

from damda.bench.schedule import Request, Served, arriving, batched, continuous, figures

T = TypeVar("T")


class _Jumps(selectors.SelectSelector):
    """Instead of waiting, the clock is put forward."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(0)
        if not found and timeout:
            self.now += timeout
        return found


def played(work: Coroutine[Any, Any, T]) -> T:
    clock = _Jumps()
    loop = asyncio.SelectorEventLoop(clock)
    loop.time = lambda: clock.now  # type: ignore[method-assign]
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


async def a_second_each(request: Request) -> AsyncIterator[None]:
    for _ in range(request.tokens):
        await asyncio.sleep(1.0)
        yield None


def requests(*given: tuple[float, int]) -> list[Request]:
    return [Request(at, "", tokens) for at, tokens in given]


def times(served: list[Served]) -> list[tuple[float, float]]:
    return [(round(one.begun, 3), round(one.ended, 3)) for one in served]


def test_a_batch_lasts_as_long_as_its_longest() -> None:
    asked = requests((0, 1), (0, 4), (0, 2), (0, 2))
    served = played(batched(asked, a_second_each, 2, math.inf))
    assert times(served) == [(0, 1), (0, 4), (4, 6), (4, 6)]
    found = figures(served, 2)
    assert found.throughput == pytest.approx(9 / 6) and found.wasted == pytest.approx(1 - 9 / 12)
    assert (found.first, found.whole95) == (3.0, 6.0)


def test_a_slot_is_free_at_once() -> None:
    asked = requests((0, 1), (0, 4), (0, 2), (0, 2))
    served = played(continuous(asked, a_second_each, 2))
    assert times(served) == [(0, 1), (0, 4), (1, 3), (3, 5)]
    assert figures(served, 2).throughput == pytest.approx(9 / 5) and figures(served, 2).wasted == 0


def test_static_waits_for_a_full_batch_or_for_nobody_to_come() -> None:
    served = played(batched(requests((0, 1), (5, 1), (6, 1)), a_second_each, 2, math.inf))
    assert times(served) == [(5, 6), (5, 6), (6, 7)]


def test_dynamic_waits_a_little() -> None:
    asked = requests((0, 1), (0.5, 1), (5, 1), (5.1, 1), (5.2, 1))
    served = played(batched(asked, a_second_each, 2, 1.0))
    assert times(served) == [(0.5, 1.5), (0.5, 1.5), (5.1, 6.1), (5.1, 6.1), (6.1, 7.1)], "a full batch waits no longer"
    assert [one.batch for one in served] == [0, 0, 1, 1, 2]
    alone = played(batched(requests((0, 1), (9, 1)), a_second_each, 2, 1.0))
    assert times(alone) == [(1.0, 2.0), (9.0, 10.0)], "the last one waits for nobody"
    assert figures(alone, 2).wasted == 0.5


def test_arrivals() -> None:
    prompts = ["p"] * 400
    found = arriving(prompts, (8, 128), 2.0, 7)
    gaps = [b.at - a.at for a, b in zip(found, found[1:], strict=False)]
    assert sum(gaps) / len(gaps) == pytest.approx(0.5, rel=0.15) and {one.tokens for one in found} == {8, 128}
    assert found == arriving(prompts, (8, 128), 2.0, 7) != arriving(prompts, (8, 128), 2.0, 8)
    assert {one.at for one in arriving(prompts, (8,), math.inf, 7)} == {0.0}
