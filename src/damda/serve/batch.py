"""Dynamic batching: requests that arrive together are worked on together.

Knows: what waits, in which order, how much goes into a batch. Does not know: what is computed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from damda.serve.errors import crowded
from damda.serve.lanes import Lanes, raisable

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Waiting(Generic[Item, Result]):
    """One request: what of it has not been begun, and where its results go."""

    def __init__(self, items: Sequence[Item]) -> None:
        loop = asyncio.get_running_loop()
        self.futures: list[asyncio.Future[Result]] = [loop.create_future() for _ in items]
        self.left = deque(zip(items, self.futures, strict=True))


class Batcher(Generic[Item, Result]):
    """Collects items of requests into batches.

    A batch takes an item of each request in turn, so that a request of two thousand does not hold up one of one.

    Args:
        what: for messages: "searches".
        work: items -> as many results, an Exception in the place of one that failed. Runs in a thread of ``lanes``.
        lanes: where; as many batches at once as it has.
        size: most items of a batch.
        wait: seconds that a batch which is not full waits for more, while another is being worked on.
        queue: most requests that wait; more are refused.
    """

    def __init__(
        self,
        what: str,
        work: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        lanes: Lanes,
        *,
        size: int,
        wait: float,
        queue: int,
    ) -> None:
        self._what, self._work, self._lanes = what, work, lanes
        self._size, self._wait, self._queue = size, wait, queue
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._busy: set[asyncio.Task[None]] = set()
        self.requests = 0
        self.batches = self.items = 0  # so far

    async def ask(self, items: Sequence[Item]) -> list[Result]:
        """Results in the order of the items. If the caller is cancelled, what has not begun never will.

        Raises:
            Refused: too many requests wait.
            Exception: the first that stands in the place of a result.
        """
        if not items:
            return []
        if self.requests >= self._queue:
            raise crowded(self._what)
        self.requests += 1
        request = _Waiting[Item, Result](items)
        self._waiting.append(request)
        if len(self._busy) < self._lanes.count:
            self._busy.add(asyncio.create_task(self._lane()))
        try:
            return list(await asyncio.gather(*request.futures))
        finally:
            self.requests -= 1
            request.left.clear()
            for future in request.futures:
                future.cancel()

    async def _lane(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            while self._waiting:
                if self._wait and len(self._busy) > 1 and self._count() < self._size:
                    await asyncio.sleep(self._wait)
                if batch := self._take():
                    await self._run(batch)
        finally:
            # Here, in the step that saw nothing waiting: a request that came before a callback ran would count on us.
            self._busy.discard(task)

    def _count(self) -> int:
        return sum(len(request.left) for request in self._waiting)

    def _take(self) -> "list[tuple[Item, asyncio.Future[Result]]]":
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        while self._waiting and len(batch) < self._size:
            request = self._waiting.popleft()
            if request.left:
                batch.append(request.left.popleft())
            if request.left:
                self._waiting.append(request)
        return batch

    async def _run(self, batch: "list[tuple[Item, asyncio.Future[Result]]]") -> None:
        self.batches, self.items = self.batches + 1, self.items + len(batch)
        try:
            results = await self._lanes.value(lambda: self._work([item for item, _ in batch]))
            if len(results) != len(batch):
                raise RuntimeError(f"{len(batch)} {self._what} made {len(results)} results")
        except Exception as error:  # belongs to whoever asked, not to this task
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue  # nobody waits for it any more
            if isinstance(result, Exception):
                future.set_exception(raisable(result))
            else:
                future.set_result(result)
