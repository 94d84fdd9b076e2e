"""Turns an engine's callbacks into an iterator that can be given up at any time.

Knows: threads, and who waits for a slot. Does not know: what is asked or answered. Each request runs in a thread of its
own, which waits for a slot and then hands chunks over through a queue. A daemon thread inside llama.cpp crashes the
interpreter's exit (segmentation fault), one that is no daemon holds it up for as long as the answer takes; so these are
daemons which an exit handler stops and waits for.
"""

import atexit
from collections.abc import Callable, Iterator, Mapping
from queue import SimpleQueue
from threading import Event, Lock, Semaphore, Thread
from typing import Protocol

from damda.errors import GeneratorError
from damda.generate.wire import Piece, piece

_running: "dict[Thread, Event]" = {}
_lock = Lock()


class Runs(Protocol):
    """What works requests off, as many at once as ``free`` has places: an `Engine`, or what stands before one."""

    @property
    def free(self) -> Semaphore: ...

    def run(self, request: Mapping[str, object], heard: Callable[[object], bool]) -> None: ...


def pieces(engine: Runs, request: Mapping[str, object]) -> Iterator[Piece]:
    """The chunks of an answer. Closing the iterator ends the work, as `Running.close` does.

    Raises:
        GeneratorError: xllamacpp raised.
    """
    running = Running(engine, request)
    try:
        yield from running
    finally:
        running.close()


class Running:
    """An answer that is being made from now on; its chunks wait for whoever iterates over them, once."""

    def __init__(self, engine: Runs, request: Mapping[str, object]) -> None:
        self._engine, self._request = engine, request
        self._queue: SimpleQueue[Piece | Exception | None] = SimpleQueue()
        self._gone, self._ended = Event(), False
        self._thread = Thread(target=self._work, name="damda-llama", daemon=True)
        with _lock:
            atexit.unregister(_stop)  # registered once, however many answers there are
            atexit.register(_stop)
            self._thread.start()
            _running[self._thread] = self._gone

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        """Waits for the next chunk.

        Raises:
            GeneratorError: xllamacpp raised.
        """
        got = None if self._ended else self._queue.get()
        if isinstance(got, Piece):
            return got
        self._ended = True
        if got is None:
            raise StopIteration
        raise GeneratorError(f"xllamacpp failed: {got}") from got

    def close(self) -> None:
        """End the work within a batch of the prompt, or a token; what still waits for a slot is never begun."""
        self._gone.set()

    def _heard(self, chunk: object) -> bool:
        if not self._gone.is_set():
            self._queue.put(piece(chunk) or Piece())
        return self._gone.is_set()

    def _work(self) -> None:
        try:
            with self._engine.free:
                if not self._gone.is_set():
                    self._engine.run(self._request, self._heard)
        except Exception as error:  # handed over: the reader raises it
            self._queue.put(error)
        finally:
            self._queue.put(None)
            with _lock:
                _running.pop(self._thread, None)


def _stop() -> None:
    with _lock:
        running = dict(_running)
    for gone in running.values():
        gone.set()
    for thread in running:
        thread.join()
