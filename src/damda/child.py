"""A process of damda's own that answers requests, one line each; started anew when it hangs, dies or is interrupted.

Knows: processes, pipes, time. Does not know: what is asked.

Not ``multiprocessing``: its spawned children import the caller's main module again, which breaks in scripts without a
main guard, and answers come as pickles, which could run code here.
"""

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

_GRACE = 5
"""Seconds after which a child ends itself, when whoever asked has not ended it in time."""


class Child:
    """A process that answers one request at a time. Safe to use from threads, which wait for one another.

    It should end when its input ends, so that it never outlives the process that asked.

    Args:
        module: what it runs, as in ``python -m``.
        arguments: for its command line.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = (module, *arguments)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    @property
    def pid(self) -> int | None:
        """Process id, None while there is none."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it now, so that it gets ready while the caller does something else. Does not wait for it."""
        with self._lock:
            self._running()

    def ask(self, request: bytes, *, seconds: float | None = None) -> bytes:
        """The answer, a line without its end.

        Args:
            request: in whatever form the module reads.
            seconds: after which it is given up; None: never.

        Raises:
            TimeoutError: it took longer, and was killed.
            EOFError: it died while it was asked.
        """
        with self._lock:
            process = self._running()
            late = threading.Event()

            def kill() -> None:
                late.set()
                process.kill()

            timer = threading.Timer(seconds, kill) if seconds is not None else None
            if timer is not None:
                timer.daemon = True
                timer.start()
            try:
                line = _exchange(process, request)
            except BaseException:  # an interrupt: the answer to this request must not become that to the next
                self._end()
                raise
            finally:
                if timer is not None:
                    timer.cancel()
            if not line.endswith(b"\n"):
                self._end()
                raise TimeoutError if late.is_set() else EOFError
            return line[:-1]

    def close(self) -> None:
        """End it; the next request starts another."""
        with self._lock:
            self._end()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._owner != os.getpid():
            self._process = None  # this process is a fork; the child belongs to its parent
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            self._process = started(*self._command)
            if self._owner != os.getpid():
                self._owner = os.getpid()
                atexit.register(self.close)
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            _close(pipe)


def answers() -> IO[bytes]:
    """For the module that a child runs: where its answers go. What libraries print goes elsewhere from now on."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return out


def serve(answer: Callable[[dict[str, Any], bytes], Mapping[str, object]], *, memory: int) -> None:
    """For the module that a child runs: answer requests about files until the input ends, a line of JSON each.

    Args:
        answer: makes an answer of a request (a line of JSON with "size" and "seconds") and the bytes behind it.
        memory: most bytes of memory, where the system can limit them.
    """
    out = answers()
    _limit_memory(memory)
    while header := sys.stdin.buffer.readline():
        request = json.loads(header)
        data = sys.stdin.buffer.read(request["size"])
        _alarm(request["seconds"] + _GRACE)
        said = answer(request, data)
        _alarm(0)
        out.write(json.dumps(said).encode("ascii") + b"\n")
        out.flush()


def _limit_memory(most: int) -> None:
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS knows the limit and refuses to set it
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _alarm(seconds: float) -> None:
    """Let the system end this process then; 0: no longer. No Python needs to run for it, so it works while a parser
    hangs."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, seconds)


def started(module: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """A process with pipes for its input and output, which runs a module as ``python -m`` does."""
    # -P: the folder that damda is started in holds other people's documents, maybe a json.py among them.
    package = str(Path(__file__).parents[1])
    path = os.pathsep.join([package, *(entry for entry in sys.path if entry)])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )


def _exchange(process: "subprocess.Popen[bytes]", request: bytes) -> bytes:
    """The answer; without a newline at its end if the process died before or while answering."""
    if process.stdin is None or process.stdout is None:
        raise AssertionError("started without pipes")
    try:
        process.stdin.write(request)
        process.stdin.flush()
    except (BrokenPipeError, ConnectionResetError):
        return b""
    return process.stdout.readline()


def _close(pipe: IO[bytes] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except OSError:
        return  # unsent bytes for a process that is gone
