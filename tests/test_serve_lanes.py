"""Batches and lanes: everybody gets the own results, in order, and nothing is left behind, whoever leaves or fails."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from fakes import until
from hypothesis import given, settings
from hypothesis import strategies as st

from damda.errors import StoreError
from damda.serve.batch import Batcher
from damda.serve.errors import Gone, Refused
from damda.serve.lanes import Lanes, each, until_gone


def run(make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """A test's coroutine, in a loop that complains of everything that nobody looked at."""
    complaints: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        await asyncio.wait_for(make(), 10)
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(watched())
    assert not complaints


class Work:
    """Doubles numbers; odd hundreds fail, one by one; a batch with a 13 fails as a whole."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.batches: list[list[int]] = []
        self.gate = gate

    def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        if self.gate is not None:
            assert self.gate.wait(20)
        if 13 in items:
            raise StoreError("thirteen")
        return [StoreError(f"not {n}") if n >= 100 else 2 * n for n in items]


def batcher(work: Work, lanes: Lanes, *, size: int = 4, wait: float = 0.0, queue: int = 64) -> "Batcher[int, int]":
    return Batcher("numbers", work, lanes, size=size, wait=wait, queue=queue)


async def settled(lanes: Lanes) -> None:
    """Until the lanes' threads have told that they are done."""
    while lanes.pending:
        await asyncio.sleep(0.001)


# --- batches ---------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    requests=st.lists(st.lists(st.integers(0, 120), max_size=9), max_size=12),
    size=st.integers(1, 7),
    count=st.integers(1, 3),
    wait=st.sampled_from([0.0, 0.001]),
    pauses=st.lists(st.integers(0, 4), min_size=12, max_size=12),
    leavers=st.sets(st.integers(0, 11), max_size=4),
)
def test_everybody_gets_the_own_results_in_order(
    requests: list[list[int]], size: int, count: int, wait: float, pauses: list[int], leavers: set[int]
) -> None:
    work, lanes = Work(), Lanes("numbers", count, 64)

    async def main() -> None:
        batches = batcher(work, lanes, size=size, wait=wait)

        async def one(row: int) -> None:
            for _ in range(pauses[row]):
                await asyncio.sleep(0)
            items = requests[row]
            task = asyncio.ensure_future(batches.ask(items))
            if row in leavers:
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait({task})
                return
            try:
                assert await task == [2 * n for n in items]
                assert not any(n >= 100 for n in items)
            except StoreError as error:
                if str(error) != "thirteen":  # else it may be a neighbour's: that batch failed as a whole
                    assert any(str(error) == f"not {n}" for n in items)

        await asyncio.gather(*(one(row) for row in range(len(requests))))
        await settled(lanes)
        while batches._busy:
            await asyncio.sleep(0)
        assert batches.requests == 0 and not batches._waiting

    run(main)
    lanes.close()
    assert all(1 <= len(batch) <= size for batch in work.batches)


def test_a_request_that_comes_as_the_lane_ends_is_not_forgotten() -> None:
    lanes = Lanes("numbers", 1, 64)

    async def main() -> None:
        batches = batcher(Work(), lanes)
        for _ in range(20):
            first = asyncio.ensure_future(batches.ask([1]))
            await asyncio.sleep(0)
            (lane,) = batches._busy
            while not lane.done():
                await asyncio.sleep(0)
            assert await asyncio.wait_for(batches.ask([2]), 5) == [4]
            assert await first == [2]

    run(main)
    lanes.close()


def test_a_large_request_does_not_hold_up_a_small_one() -> None:
    gate, lanes = threading.Event(), Lanes("numbers", 1, 64)
    work = Work(gate)

    async def main() -> None:
        batches = batcher(work, lanes)
        large = asyncio.ensure_future(batches.ask(list(range(20, 60))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        small = asyncio.ensure_future(batches.ask([1, 2]))
        await asyncio.sleep(0)
        gate.set()
        assert await small == [2, 4]
        assert not large.done()
        assert await large == [2 * n for n in range(20, 60)]

    run(main)
    lanes.close()
    assert work.batches[0] == [20, 21, 22, 23]
    assert {1, 2} <= {*work.batches[1]} and len(work.batches[1]) == 4, "both requests go on together"


def test_work_of_those_who_left_is_not_begun() -> None:
    gate, lanes = threading.Event(), Lanes("numbers", 1, 64)
    work = Work(gate)

    async def main() -> None:
        batches = batcher(work, lanes)
        running = asyncio.ensure_future(batches.ask([1]))
        await asyncio.sleep(0.01)
        left = asyncio.ensure_future(batches.ask([2, 3]))
        stays = asyncio.ensure_future(batches.ask([4]))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait({left})
        assert batches.requests == 2
        gate.set()
        assert await running == [2] and await stays == [8]

    run(main)
    lanes.close()
    assert work.batches == [[1], [4]]


def test_one_failed_item_fails_its_request_alone() -> None:
    gate, lanes = threading.Event(), Lanes("numbers", 1, 64)
    work = Work(gate)

    async def main() -> None:
        batches = batcher(work, lanes)
        first = asyncio.ensure_future(batches.ask([1]))
        await asyncio.sleep(0.01)
        bad, good = asyncio.ensure_future(batches.ask([100, 101])), asyncio.ensure_future(batches.ask([5]))
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(StoreError, match="not 100"):
            await bad
        assert await good == [10] and await first == [2]

    run(main)
    lanes.close()
    assert len(work.batches) == 2


@pytest.mark.parametrize("broken", [[2], [], [2, 4, 6], [StopIteration(), 4]], ids=str)
def test_work_that_breaks_its_promise_fails_its_requests_and_no_others(broken: list[Any]) -> None:
    """A model server that answers with too few scores must not leave anybody waiting for ever."""
    lanes, answers = Lanes("numbers", 1, 64), [broken, [8]]

    async def main() -> None:
        batches: Batcher[int, int] = Batcher("numbers", lambda items: answers.pop(0), lanes, size=4, wait=0.0, queue=64)
        with pytest.raises(Exception):  # noqa: B017  whatever it is: it must end
            await asyncio.wait_for(batches.ask([1, 2]), 5)
        assert await asyncio.wait_for(batches.ask([4]), 5) == [8]

    run(main)
    lanes.close()


def test_a_full_queue_refuses_and_recovers() -> None:
    gate, lanes = threading.Event(), Lanes("numbers", 1, 64)

    async def main() -> None:
        batches = batcher(Work(gate), lanes, queue=2)
        waiting = [asyncio.ensure_future(batches.ask([n])) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await batches.ask([9])
        assert refused.value.status == 429 and refused.value.headers["Retry-After"] == "1"
        gate.set()
        await asyncio.gather(*waiting)
        assert await batches.ask([9]) == [18]

    run(main)
    lanes.close()


# --- lanes -----------------------------------------------------------------------------------------------------------


def counting(ended: list[int], to: int = 1_000_000) -> Callable[[], Iterator[int]]:
    def numbers() -> Iterator[int]:
        n = 0
        try:
            for n in range(to):
                yield n
        finally:
            ended.append(n)

    return numbers


async def all_of(stream: AsyncGenerator[int, None]) -> list[int]:
    async with aclosing(stream):
        return [item async for item in stream]


def test_a_stream_comes_whole_and_in_order() -> None:
    lanes, ended = Lanes("answers", 2, 4), list[int]()

    async def main() -> None:
        streams = [lanes.stream(each(counting(ended, 500))) for _ in range(4)]
        assert await asyncio.gather(*map(all_of, streams)) == [list(range(500))] * 4
        await settled(lanes)

    run(main)
    lanes.close()
    assert ended == [499] * 4


def test_a_reader_that_leaves_frees_the_lane() -> None:
    lanes, ended = Lanes("answers", 1, 4), list[int]()

    async def main() -> None:
        async with aclosing(lanes.stream(each(counting(ended)))) as stream:
            assert await anext(stream) == 0
        assert await lanes.value(lambda: 7) == 7
        await settled(lanes)

    run(main)
    lanes.close()
    assert len(ended) == 1 and ended[0] < 999_999


def test_what_waits_for_nobody_never_runs() -> None:
    lanes, gate, ran = Lanes("answers", 1, 4), threading.Event(), list[int]()

    async def main() -> None:
        running = asyncio.ensure_future(lanes.value(lambda: gate.wait(20)))
        await asyncio.sleep(0)
        waiting = asyncio.ensure_future(lanes.value(lambda: ran.append(1)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        gate.set()
        assert await running
        await settled(lanes)

    run(main)
    lanes.close()
    assert not ran


def test_more_than_may_wait_are_refused_until_there_is_room() -> None:
    lanes, gate = Lanes("answers", 1, 1), threading.Event()

    async def main() -> None:
        tasks = [asyncio.ensure_future(lanes.value(lambda: gate.wait(20))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="too many answers"):
            await lanes.value(lambda: 1)
        gate.set()
        await asyncio.gather(*tasks)
        await settled(lanes)
        assert await lanes.value(lambda: 1) == 1

    run(main)
    lanes.close()


class Panic(BaseException):
    """As a panic in Rust arrives in Python: no Exception."""


@pytest.mark.parametrize("error", [StoreError("full"), Panic("index out of bounds"), StopIteration(), RuntimeError()])
def test_whatever_the_work_raises_reaches_the_reader(error: BaseException) -> None:
    lanes = Lanes("answers", 1, 4)

    def fail() -> int:
        raise error

    async def main() -> None:
        with pytest.raises(Exception):  # noqa: B017  no matter which: the reader must not wait for ever
            await asyncio.wait_for(lanes.value(fail), 5)
        assert await asyncio.wait_for(lanes.value(lambda: 1), 5) == 1
        await settled(lanes)

    run(main)
    lanes.close()


def test_lanes_that_are_closed_refuse() -> None:
    lanes = Lanes("answers", 1, 4)
    lanes.close()

    async def main() -> None:
        with pytest.raises(Refused) as refused:
            await lanes.value(lambda: 1)
        assert refused.value.status == 503 and lanes.pending == 0

    run(main)


# --- clients that leave ----------------------------------------------------------------------------------------------


class Client:
    """The part of a request that `until_gone` sees."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, str]:
        await self.left.wait()
        return {"type": "http.disconnect"}


def test_the_work_of_a_client_that_leaves_is_cancelled() -> None:
    cancelled = threading.Event()

    async def main() -> None:
        client: Any = Client()

        async def work() -> None:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        asyncio.get_running_loop().call_later(0.01, client.left.set)
        with pytest.raises(Gone):
            await until_gone(client, work())

    run(main)
    until(cancelled.is_set)
