"""Keeps one worker process alive and asks it to parse; replaces it when it hangs or dies.

Knows: processes, pipes, time. Does not know: formats.

Not ``multiprocessing``: its spawned children import the caller's main module again, which breaks in scripts without a
main guard, and answers come as pickles, which could run code here.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from damda.errors import ReadError
from damda.ingest.structure import Parsed


class Worker:
    """A process that parses one file at a time. Safe to use from threads, which wait for one another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    @property
    def pid(self) -> int | None:
        """Process id of the worker, None before its first file."""
        return self._process.pid if self._process else None

    def parse(self, name: str, data: bytes, *, seconds: float, chars: int) -> Parsed:
        """What the worker makes of ``data``; the format ``name`` is one of ``worker.PARSERS``.

        Raises:
            ReadError: the parser refused it, crashed on it or took more than ``seconds``.
        """
        with self._lock:
            process = self._running()
            late = threading.Event()

            def kill() -> None:
                late.set()
                process.kill()

            timer = threading.Timer(seconds, kill)
            timer.daemon = True
            timer.start()
            try:
                line = _exchange(process, {"format": name, "size": len(data), "seconds": seconds, "chars": chars}, data)
            except BaseException:  # an interrupt: the answer to this file must not become that to the next
                self._end()
                raise
            finally:
                timer.cancel()
            if not line.endswith(b"\n"):
                self._end()
                if late.is_set():
                    raise ReadError(f"took more than {seconds:g} s to read; split it, or raise read.timeout")
                raise ReadError("the parser crashed on it; the file is damaged, or too large for this machine's memory")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ReadError(answer["error"])
        return Parsed(answer["text"], answer["title"], tuple(answer["pages"]), answer["meta"])

    def close(self) -> None:
        """End the worker; the next file starts another."""
        with self._lock:
            self._end()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._owner != os.getpid():
            self._process = None  # this process is a fork; the worker belongs to its parent
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            self._process = _start()
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


def _start() -> "subprocess.Popen[bytes]":
    # -P: the folder that damda is started in holds other people's documents, maybe a json.py among them.
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join([package, *(entry for entry in sys.path if entry)])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "damda.ingest.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )


def _exchange(process: "subprocess.Popen[bytes]", request: dict[str, object], data: bytes) -> bytes:
    """The worker's answer; without a newline at its end if the worker died before or while answering."""
    if process.stdin is None or process.stdout is None:
        raise AssertionError("started without pipes")
    try:
        process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
        process.stdin.write(data)
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


WORKER = Worker()
"""The one worker of this process; started by the first file that needs it, ended with the process."""
