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
    """The chunks of an answer. Closing the iterator ends the work within a batch of the prompt, or a token; what still
    waits for a slot then is never begun.

    Raises:
        GeneratorError: xllamacpp raised.
    """
    queue: SimpleQueue[Piece | Exception | None] = SimpleQueue()
    gone = Event()

    def heard(chunk: object) -> bool:
        if not gone.is_set():
            queue.put(piece(chunk) or Piece())
        return gone.is_set()

    def work() -> None:
        try:
            with engine.free:
                if not gone.is_set():
                    engine.run(request, heard)
        except Exception as error:  # handed over: the reader raises it
            queue.put(error)
        finally:
            queue.put(None)
            with _lock:
                _running.pop(thread, None)

    thread = Thread(target=work, name="damda-llama", daemon=True)
    with _lock:
        atexit.unregister(_stop)  # registered once, however many answers there are
        atexit.register(_stop)
        thread.start()
        _running[thread] = gone
    try:
        while (got := queue.get()) is not None:
            if isinstance(got, Exception):
                raise GeneratorError(f"xllamacpp failed: {got}") from got
            yield got
    finally:
        gone.set()


def _stop() -> None:
    with _lock:
        running = dict(_running)
    for gone in running.values():
        gone.set()
    for thread in running:
        thread.join()
