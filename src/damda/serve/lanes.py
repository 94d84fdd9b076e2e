"""Blocking work for an event loop: so much of it at once, so much that waits, and none for nobody.

Knows: threads, queues, clients that leave. Does not know: what the work is.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from typing import Any, Generic, Protocol, TypeVar

from fastapi import Request

from damda.answer.direct import Writer
from damda.serve.errors import Gone, Refused, crowded
from damda.types import Delta, Hit, Message

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Emit(Protocol[T_contra]):
    """Hands a piece of a result to whoever waits for it; raises Gone once nobody does."""

    def __call__(self, item: T_contra, /) -> None: ...


class Lanes:
    """Threads for one kind of work.

    Args:
        what: it does, for messages: "answers".
        count: done at once.
        queue: may wait; more are refused.
    """

    def __init__(self, what: str, count: int, queue: int) -> None:
        self._what, self._most = what, count + queue
        self.count = count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=f"damda-{what}")
        self.pending = 0

    def close(self) -> None:
        """Drop what waits, begin nothing more. What runs goes on; ``pending`` says how much that is."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def check(self) -> None:
        """Whether there is room for one more.

        Raises:
            Refused: too many wait already.
        """
        if self.pending >= self._most:
            raise crowded(self._what)

    async def stream(self, run: Callable[[Emit[T]], None]) -> AsyncGenerator[T, None]:
        """What ``run`` emits, as it does; its error, if it raises one.

        When the reader stops early, work that has not begun never will, and the next emission of work that has raises
        Gone. The lane is taken until the work has really ended.

        Raises:
            Refused: too many wait already.
        """
        self.check()
        channel = _Channel[T]()
        try:
            future = self._pool.submit(channel.feed, run)
        except RuntimeError as error:
            raise Refused(503, "the service is being shut down", "stopping") from error
        self.pending += 1
        future.add_done_callback(lambda done: self._ended(channel.loop))
        try:
            while (item := await channel.queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item[0]
        finally:
            channel.gone.set()
            future.cancel()

    async def value(self, run: Callable[[], T]) -> T:
        """One result."""

        def once(emit: Emit[T]) -> None:
            emit(run())

        async with aclosing(self.stream(once)) as results:
            return await anext(results)

    def _ended(self, loop: asyncio.AbstractEventLoop) -> None:
        def count() -> None:
            self.pending -= 1

        if not loop.is_closed():
            loop.call_soon_threadsafe(count)


class _Channel(Generic[T]):
    """From a thread to an event loop: items in tuples of one, errors, and None at the end."""

    def __init__(self) -> None:
        self.loop, self.gone = asyncio.get_running_loop(), threading.Event()
        self.queue: asyncio.Queue[tuple[T] | Exception | None] = asyncio.Queue()

    def feed(self, run: Callable[[Emit[T]], None]) -> None:
        """In the thread."""
        _HERE.gone = self.gone
        try:
            run(self._emit)
        except Gone:
            return
        except BaseException as error:  # handed over: the reader raises it. A panic in Rust is no Exception
            self._put(raisable(error))
        self._put(None)

    def _emit(self, item: T) -> None:
        if self.gone.is_set():
            raise Gone
        self._put((item,))

    def _put(self, item: tuple[T] | Exception | None) -> None:
        if not self.gone.is_set() and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.queue.put_nowait, item)


_HERE = threading.local()
"""Of the work that a thread does: whether its reader is gone."""


class Attended:
    """A Writer that stops between two pieces when nobody waits any more. An answer from the documents holds sentences
    back until one has a quote, so it may be long before it emits anything and notices by itself.

    Args:
        writer: what writes.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    @property
    def id(self) -> str:
        """The writer's."""
        return self._writer.id

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        schema: str = "",
    ) -> Iterator[Delta]:
        """See ``Writer``. Raises Gone."""
        deltas = self._writer.stream(
            messages, passages=passages, max_tokens=max_tokens, temperature=temperature, stop=stop, schema=schema
        )
        return _attended(deltas)

    def complete(
        self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, stop: Sequence[str] = ()
    ) -> Iterator[Delta]:
        """See ``Completer``. Raises Gone."""
        return _attended(self._writer.complete(prompt, max_tokens=max_tokens, temperature=temperature, stop=stop))


def _attended(deltas: Iterator[Delta]) -> Iterator[Delta]:
    items: Any = deltas
    with closing(items):
        for delta in items:
            if (gone := getattr(_HERE, "gone", None)) is not None and gone.is_set():
                raise Gone
            yield delta


def each(make: Callable[[], Iterator[T]]) -> Callable[[Emit[T]], None]:
    """Work for `Lanes.stream`: the items of an iterator, which is closed when nobody wants more of them."""

    def run(emit: Emit[T]) -> None:
        items: Any = make()
        with closing(items):
            for item in items:
                emit(item)

    return run


def raisable(error: BaseException) -> Exception:
    """The error, as futures and generators can raise it: not StopIteration, nor what ends a loop, as SystemExit."""
    passes = isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration)
    return error if isinstance(error, Exception) and passes else RuntimeError(repr(error))


async def until_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is cancelled when the client closes the connection.

    Raises:
        Gone: it did.
        HTTPException: what it still sends is too large.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        watcher.result()  # raises what went wrong with the rest of the request: it may be too large
        raise Gone
    finally:
        watcher.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
