"""A model in a process of its own: a library that holds Python's lock while it computes holds up nobody else, and one
that crashes ends no service.

Knows: both ends of the pipe between the processes. Does not know: which library runs the model.

Each line is a JSON object. To the model: ``{"n", "ask" | "count": request, ...}``, ``{"n", "stop": true}``. Back: first
``{"context", "chats"}`` or ``{"unreadable"}``, then ``{"n"}`` with a text, a count, an error, or how the answer ended.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import IO, Any

from damda.child import answers, started
from damda.errors import DamdaError, GeneratorError, WeightsError
from damda.generate.local import Loaded
from damda.types import Delta, Usage

Said = dict[str, Any]

_LEAVING = 10.0
"""Seconds that a process may take to end once it has said that it can't go on."""


class Unfit(GeneratorError):
    """The library can't go on in this process. The message is for who has caused it; who has not gets "", and is asked
    for once more in another process."""


class _Ended(GeneratorError):
    """The process ended, by no fault of the request."""


class Elsewhere:
    """Fits ``Loaded``. Safe to use from threads, whose requests run side by side. Started again if it dies.

    Args:
        name: of the library, for messages.
        module: what the process runs, as in ``python -m``; it calls `serve`.
        arguments: for its command line.

    Attributes:
        context: tokens that a request has.
        chats: the model has a chat template.

    Raises:
        WeightsError: the model can't be read.
        GeneratorError: the process died while it loaded it.
    """

    def __init__(self, name: str, module: str, *arguments: str) -> None:
        self._name, self._command = name, (module, *arguments)
        self._lock = Lock()
        self._asked = 0
        self._pipe = self._start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._pipe.process.pid

    def count(self, request: Mapping[str, object]) -> int:
        """Tokens that the request's prompt or messages take.

        Raises:
            GeneratorError: the process died.
        """
        pipe = self._pipe
        try:
            return self._count(request)
        except _Ended:
            pipe.over.wait(_LEAVING)
            return self._count(request)

    def _count(self, request: Mapping[str, object]) -> int:
        with self._talk({"count": request}) as (_, heard):
            return int(self._next(heard)["count"])

    def run(
        self,
        request: Mapping[str, object],
        *,
        most: int,
        temperature: float,
        stop: Sequence[str],
        grammar: str = "",
        schema: str = "",
    ) -> Iterator[Delta]:
        """See ``local.Loaded``. Closing the iterator gives the request up.

        Raises:
            GeneratorError: the library failed, or the process died.
        """
        asked = {"ask": request, "most": most, "temperature": temperature, "stops": [*stop]}
        asked |= {"grammar": grammar, "schema": schema}
        pipe, begun = self._pipe, False
        try:
            for delta in self._ask(asked):
                begun = True
                yield delta
        except _Ended:
            if begun:
                raise
            pipe.over.wait(_LEAVING)
            yield from self._ask(asked)  # another request has ended the process: this one was not even begun

    def _ask(self, asked: Mapping[str, object]) -> Iterator[Delta]:
        with self._talk(asked) as (end, heard):
            while True:
                said = self._next(heard)
                if "finish" in said:
                    end.set()
                    yield Delta(finish=said["finish"], usage=Usage(*said["usage"]))
                    return
                yield Delta(said["text"])

    @contextlib.contextmanager
    def _talk(self, asked: Mapping[str, object]) -> "Iterator[tuple[Event, SimpleQueue[Said]]]":
        """A request and what is heard of it; it is given up where the event was not set."""
        with self._lock:
            if self._pipe.over.is_set() or self._pipe.owner != os.getpid():
                self._pipe = self._start()
            pipe = self._pipe
            self._asked += 1
            number = self._asked
        ended, heard = Event(), pipe.expect(number)
        pipe.send({"n": number, **asked})
        try:
            yield ended, heard
        finally:
            pipe.forget(number)
            if "ask" in asked and not ended.is_set():
                pipe.send({"n": number, "stop": True})

    def _next(self, heard: "SimpleQueue[Said]") -> Said:
        said = heard.get()
        if said.get("error"):
            raise GeneratorError(said["error"])
        if "error" in said:
            raise _Ended(f"the process in which {self._name} runs has ended")
        return said

    def _start(self) -> "_Pipe":
        pipe = _Pipe(started(*self._command))
        weakref.finalize(self, pipe.end)
        first = pipe.first()
        if "context" not in first:
            pipe.end()
            if "unreadable" in first:
                raise WeightsError(first["unreadable"])
            raise GeneratorError(f"the process in which {self._name} runs died loading: is there enough memory?")
        self.context, self.chats = int(first["context"]), bool(first["chats"])
        pipe.listen()
        return pipe


class _Pipe:
    """The parent's end; ``over``: the process has ended. Does not know who asks, so that the process ends when nobody
    holds an `Elsewhere` any more."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin and process.stdout
        self.process, self._in, self._out = process, process.stdin, process.stdout
        self.owner = os.getpid()
        self._lock, self._writing = Lock(), Lock()  # a pipe that is full must not keep anybody from hearing
        self._waiting: dict[int, SimpleQueue[Said]] = {}
        self._listens, self.over = False, Event()

    def first(self) -> Said:
        """What the process says when it is ready; nothing if it died."""
        line = self._out.readline()
        return dict(json.loads(line)) if line.endswith(b"\n") else {}

    def listen(self) -> None:
        self._listens = True
        Thread(target=self._listen, name="damda-elsewhere", daemon=True).start()

    def expect(self, number: int) -> "SimpleQueue[Said]":
        with self._lock:
            queue = self._waiting[number] = SimpleQueue[Said]()
            if self.over.is_set():
                queue.put({"error": ""})
        return queue

    def forget(self, number: int) -> None:
        with self._lock:
            self._waiting.pop(number, None)

    def send(self, said: Mapping[str, object]) -> None:
        """Whether it came through shows in what is heard."""
        line = json.dumps(said).encode("ascii") + b"\n"
        with self._writing, contextlib.suppress(OSError, ValueError):  # it has ended: `_listen` tells everybody
            self._in.write(line)
            self._in.flush()

    def end(self) -> None:
        if self.owner != os.getpid():
            return  # a fork: the process belongs to its parent
        self.process.kill()
        self.process.wait()
        with self._writing, contextlib.suppress(OSError):
            self._in.close()
        if not self._listens:
            self._out.close()

    def _listen(self) -> None:
        for line in self._out:
            said = json.loads(line)
            with self._lock:
                if (queue := self._waiting.get(said["n"])) is not None:
                    queue.put(said)
        self._out.close()
        with self._lock:
            self.over.set()
            for queue in self._waiting.values():
                queue.put({"error": ""})


def serve(load: Callable[[], Loaded]) -> None:
    """For the module that the process runs: load the model, and answer until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks; it ends this one
    told = _Told(answers())
    try:
        loaded = load()
    except DamdaError as error:
        told.say({"unreadable": str(error)})
        return
    told.say({"context": loaded.context, "chats": loaded.chats})
    stopped: dict[int, Event] = {}
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        number = asked["n"]
        if "stop" in asked:
            if (event := stopped.get(number)) is not None:
                event.set()
            continue
        if "ask" in asked:
            stopped[number] = Event()
        Thread(target=_answer, args=(loaded, asked, told, stopped), daemon=True).start()
    os._exit(0)  # whoever asked is gone: nobody waits for what runs


def _answer(loaded: Loaded, asked: Said, told: "_Told", stopped: dict[int, Event]) -> None:
    number = asked["n"]
    try:
        if "count" in asked:
            told.say({"n": number, "count": loaded.count(asked["count"])})
            return
        how = {key: asked[key] for key in ("most", "temperature", "grammar", "schema")}
        answer = loaded.run(asked["ask"], **how, stop=tuple(asked["stops"]))
        with contextlib.closing(answer):  # type: ignore[type-var]  # a generator
            for delta in answer:
                if stopped[number].is_set():
                    return
                if delta.text:
                    told.say({"n": number, "text": delta.text})
                if delta.finish:
                    usage = delta.usage or Usage()
                    told.say(
                        {"n": number, "finish": delta.finish, "usage": [usage.prompt_tokens, usage.completion_tokens]}
                    )
    except Unfit as error:
        told.say({"n": number, "error": str(error)})
        stopped.pop(number, None)
        if not stopped:  # the last one: all that ran are told
            os._exit(1)
    except Exception as error:  # whatever a library raises: who asked is told, and the next request is answered
        told.say({"n": number, "error": str(error) or type(error).__name__})
    finally:
        stopped.pop(number, None)


class _Told:
    """The model's end; lines of several threads."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out, self._lock = out, Lock()

    def say(self, said: Mapping[str, object]) -> None:
        line = json.dumps(said).encode("ascii") + b"\n"
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._out.write(line)
            self._out.flush()
