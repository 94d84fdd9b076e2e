"""Processes and signals: one process, or several behind one port.

Knows: uvicorn, what a worker must be told. Does not know: what is served.

Several workers share the port and the index; each loads its own models. A worker that dies is replaced; workers whose
parent dies end too. SIGTERM and SIGINT end the service when the running answers have been given, at the latest a few
seconds after ``serve.shutdown``; a second one ends it at once.
"""

import contextlib
import json
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from damda import config, door
from damda.assemble import root_of
from damda.assemble.service import Service, service
from damda.errors import ConfigError
from damda.home import home_of
from damda.serve.access import is_local
from damda.serve.app import build
from damda.serve.keys import Keys
from damda.serve.lanes import Attended
from damda.serve.metrics import share_between_processes
from damda.settings import Settings
from damda.sources import WORKER

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """What to serve, as it can be told to another process.

    Attributes:
        root: the documents.
        config: a damda.toml, or None for the one that is found.
        flags: settings from the command line.
        insecure: want no keys.
        only_mcp, rag, door: as in `build`.
    """

    root: str
    config: str | None
    flags: Mapping[str, Any]
    insecure: bool
    only_mcp: bool = False
    rag: bool = True
    door: bool = False

    def settings(self) -> Settings:
        return config.find(self.config, self.flags, Path(self.root))

    def service(self) -> Service:
        return service(root_of(self.root), self.settings(), attended=Attended)

    def application(self, built: Service) -> FastAPI:
        return build(
            built, insecure=self.insecure, only_mcp=self.only_mcp, rag=self.rag, door=self.door, abandon=_abandon
        )


def worker() -> FastAPI:
    """The application of a worker process; uvicorn calls this."""
    logging.basicConfig(format="damda: %(message)s", level=logging.WARNING)
    order = Order(**json.loads(os.environ[WORKER]))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return order.application(order.service())


def _end_with_parent() -> None:
    """Else workers of a killed parent would keep the port, and nobody could end them."""
    if (parent := multiprocessing.parent_process()) is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def _abandon() -> None:
    """End although threads still run: Python would wait for them, for as long as a model's server keeps silent."""
    log.warning("ended in the middle of work that did not end in time")
    os._exit(0)


def check(settings: Settings, home: Path, *, insecure: bool) -> None:
    """Whether the service may start like this.

    Raises:
        ConfigError: other machines could reach it, and there are no keys.
    """
    host = settings.serve.host
    if not (insecure or is_local(host) or Keys(home).any()):
        raise ConfigError(
            f"{host} can be reached by other machines: make a key first (`damda keys FOLDER make NAME`), "
            "or say --insecure if everybody there may read the documents"
        )


def run(order: Order, built: Service | None, started: Callable[[str], None], *, access_log: bool = False) -> None:
    """Serve until a signal ends it.

    Args:
        order: what.
        built: the same, where it is there already and one worker is enough.
        started: told the URL when the port is taken.
        access_log: write a line a request.

    Raises:
        ConfigError: the address can't be had.
    """
    whole = order.settings()
    settings = whole.serve
    opened = door.made(home_of(Path(order.root), whole.home)) if order.rag and not order.only_mcp else None
    order = replace(order, door=opened is not None)
    options = uvicorn.Config(
        "damda.serve.process:worker" if built is None else order.application(built),
        factory=built is None,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_level="warning",
        access_log=access_log,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # a header that anybody can write must not say who asks
        timeout_graceful_shutdown=int(settings.shutdown + 0.5) or 1,
        timeout_worker_healthcheck=60,  # a worker that computes is not dead
        http="h11",  # the only one here that bounds the size of headers
        ws="none",
        lifespan="on",
    )
    try:
        sock = _bound(settings.host, settings.port)
        host, port = sock.getsockname()[:2]
        started(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        with _ended_by_signals():
            _serve(options, [sock, *([opened.sock] if opened else [])], order)
    finally:
        if opened:
            opened.close()


def _serve(options: uvicorn.Config, sockets: list[socket.socket], order: Order) -> None:
    if options.workers == 1:
        _Server(options).run(sockets=sockets)
        return
    os.environ[WORKER] = json.dumps(asdict(order))
    remove = share_between_processes()
    try:
        _Workers(options, sockets=sockets).run()
    finally:
        remove()


_BACKLOG = 2048
"""Connections that may wait to be taken; uvicorn's own number."""


class _Server(uvicorn.Server):
    """Ends at once when it is told to end a second time."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal."""
        if self.should_exit:
            os._exit(128 + sig)
        super().handle_exit(sig, frame)


class _Workers(Multiprocess):
    """Several processes; ends with them, or at once when it is told a second time."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._told = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self._told:
            for process in self.processes:
                process.process.kill()
            os._exit(128 + number)
        self._told = True
        self.signal_queue.append(number)

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have ended, or that give no sign of life."""
        for process in self.processes:
            # The worker has its own. With this one open, a worker that dies while it is asked for a sign of life would
            # be waited for as if it computed.
            process.child_conn.close()
        super().keep_subprocess_alive()

    def terminate_all(self) -> None:
        """End the workers; take no more connections, which nobody would answer."""
        for sock in self.sockets:
            sock.close()
        super().terminate_all()


def _bound(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # With its protocol named, asyncio switches Nagle's algorithm off; else each answer would wait 40 ms for the
        # acknowledgement of its headers.
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)  # whoever is told the URL may come at once, and waits until there is an application
        sock.set_inheritable(True)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{host}:{port} can't be listened on ({reason}); set serve.host, serve.port") from error
    return sock


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """uvicorn ends in good order on SIGTERM and SIGINT, and then raises the signal again: that is a normal end here."""

    def end(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except SystemExit as done:
        if done.code:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
