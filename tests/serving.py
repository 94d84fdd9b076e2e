"""`damda serve` with fakes: in a thread of the test, or in a process that a test may send signals to.

The documents of `DOCUMENTS` are found by their own words. A language model that is a `Told` does what the last message
tells it to, and remembers what became of it.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fakes import FakeEncoder, until, use_fakes
from fastapi import FastAPI

from damda import config
from damda.answer.direct import Writer
from damda.assemble import models
from damda.assemble.service import Service, service
from damda.serve.app import build
from damda.serve.backend import Backend
from damda.serve.lanes import Attended
from damda.settings import Settings
from damda.types import NO_META, NOT_FOUND, Delta, Hit, Message, Usage

CHILD = Path(__file__).with_name("serve_child.py")
SOURCE = Path(__file__).parents[1] / "src"
DOCUMENTS = {
    "leave.md": "연차 휴가는 1년에 15일이다. 신청은 일주일 전에 한다.",
    "library.md": "The library opens at nine. It closes at six.",
    "비밀.md": "금고 번호는 4711 이다.",
}
SECRET = "금고 번호는 4711"
WRITER: Mapping[str, Any] = {
    "answer.generator": "remote",
    "remote.url": "http://127.0.0.1:9/v1",
    "remote.model": "acme/told-1",
    "remote.api_key": "sk-remote-secret",
    "guard.answer": [],
    "cache.mode": "off",
    "cache.llm": "off",
}
"""Settings under which the fakes put a `Told`, whose words go out at once and are made anew each time."""


class Told:
    """A language model that repeats its passages where it has some, else its last message, unless that is an order.

    ``drip N`` writes N words, a tenth of a second apart; ``hold`` waits for `go`; ``fail`` raises;
    ``nothing`` finds nothing; ``exactly TEXT`` says that.
    """

    id = "told"

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = self.ended = 0
        self.closed: list[str] = []
        self.heard: list[Message] = []
        self.asked: dict[str, object] = {}

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
        self.heard = list(messages)
        self.asked = {"max_tokens": max_tokens, "temperature": temperature, "stop": list(stop), "schema": schema}
        return self._obey(messages[-1].content, [hit.chunk.text for hit in passages])

    def complete(
        self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, stop: Sequence[str] = ()
    ) -> Iterator[Delta]:
        return self._obey(prompt, [])

    def _obey(self, order: str, passages: Sequence[str]) -> Iterator[Delta]:
        self.begun += 1
        try:
            what, _, count = order.partition(" ")
            if what == "fail":
                raise RuntimeError("the model's own secret words")
            if what == "hold":
                yield Delta("held ")
                assert self.go.wait(30)
            for n in range(int(count) if what == "drip" else 0):
                yield Delta(f"word{n} ")
                time.sleep(0.1)
            said = NOT_FOUND if what == "nothing" else " ".join(passages) or f"said: {order}"
            said = count if what == "exactly" else said
            for at in range(0, len(said), 7):
                yield Delta(said[at : at + 7])
            yield Delta("", "length" if what == "long" else "stop", Usage(7, 3))
        except GeneratorExit:
            self.closed.append(order)
            raise
        finally:
            self.ended += 1


def documents(folder: Path) -> Path:
    """A folder with `DOCUMENTS`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@contextlib.contextmanager
def faked(encoder: FakeEncoder | None = None, writer: Writer | None = None) -> Iterator[None]:
    """Services built inside have fakes."""

    def make_writer(settings: Settings) -> Writer:
        return writer or Told()

    with pytest.MonkeyPatch.context() as patch:
        use_fakes(patch.setattr, encoder or FakeEncoder())
        if writer is not None:
            patch.setattr(models, "make_writer", make_writer)
        yield


def built(
    root: Path,
    settings: Mapping[str, Any] = NO_META,
    *,
    encoder: FakeEncoder | None = None,
    writer: Writer | None = None,
) -> Service:
    """A service with fakes; what is in the folder is stored."""
    with faked(encoder, writer):
        flags = {"serve.port": 0, "serve.rescan": 0, **settings}
        made = service(root, config.load(flags=flags, env={}), attended=Attended)
    if any(path.is_file() for path in root.rglob("*")):
        made.kb.sync()
    return made


class Served:
    """A service that runs in a thread of the test."""

    def __init__(self, app: FastAPI, url: str) -> None:
        backend = app.state.backend
        assert isinstance(backend, Backend)
        self.app, self.backend, self.url = app, backend, url
        self.port = int(url.rpartition(":")[2])

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False)


@contextlib.contextmanager
def served(app: FastAPI, host: str = "127.0.0.1") -> Iterator[Served]:
    """Serve an app with the options that `damda serve` has, until the block ends."""
    options = uvicorn.Config(
        app, host=host, port=0, log_config=None, server_header=False, proxy_headers=False, ws="none", lifespan="on",
        timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = uvicorn.Server(options)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        ready = Served(app, f"http://{host}:{server.servers[0].sockets[0].getsockname()[1]}")
        with ready.client() as client:
            client.get("/health")  # FastAPI builds its routes with the first request, and not for two threads at once
        yield ready
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def serving(
    root: Path, settings: Mapping[str, Any] = NO_META, *, writer: Writer | None = None
) -> "contextlib.AbstractContextManager[Served]":
    """`built`, `build` and `served` in one."""
    return served(build(built(root, settings, writer=writer)))


class Child:
    """`damda serve` in a process of its own, ready to be asked. Use it as a context: it always ends."""

    def __init__(
        self, root: Path, settings: Mapping[str, Any] = NO_META, *, insecure: bool = False, ready: bool = True
    ) -> None:
        self._await = ready
        environment = {k: v for k, v in os.environ.items() if not k.startswith("DAMDA_")}
        environment["PYTHONPATH"] = os.pathsep.join((str(SOURCE), str(Path(__file__).parent)))
        self.log = root.parent / f"log-{time.monotonic_ns()}"
        flags = {"serve.port": 0, **settings}
        with self.log.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(CHILD), str(root), json.dumps(flags), "insecure" if insecure else ""],
                stdout=subprocess.PIPE,
                stderr=err,
                env=environment,
                text=True,
            )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def __enter__(self) -> "Child":
        if self.url and self._await:
            with httpx.Client(trust_env=False) as client:
                until(lambda: self.process.poll() is not None or _ready(client, self.url), 60)
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


def _ready(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/ready").status_code == 200
    except httpx.HTTPError:
        return False


def raw(server: Served, sent: bytes, silent: float = 2.0) -> bytes:
    """What comes back for these bytes until the server closes the connection, or says nothing for so many seconds."""
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.settimeout(silent)
        got = b""
        try:
            sock.sendall(sent)
            while block := sock.recv(65536):
                got += block
        except (TimeoutError, ConnectionError):
            pass
    return got
