"""Commands that ask a `damda serve` which runs on the same home already, instead of loading everything themselves.

Knows: where the door is, what is said through it. Does not know: how things look. Imports little: this is what makes
`damda ask` answer in a fraction of a second.

Whatever the service would do otherwise than the command (other settings, another version), it refuses, and the command
does its work by itself, as if there was no service.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import damda
from damda import door
from damda.errors import DamdaError
from damda.home import home_of
from damda.sources import found, merged, sources_of

_HEAD, _PATIENCE = 5.0, 120.0
"""Seconds until an answer begins, and without a sign of life after that: the service gives one every fifteen."""

Events = Iterator[Mapping[str, Any]]
"""``{"type": "progress", ...}`` and ``{"type": "refreshed", "report": ...}``, while the folder is looked at, then what
was asked for."""


def ask(root: Path, config: Path | None, flags: Mapping[str, Any], asked: Mapping[str, Any]) -> Events | None:
    """``{"text": ...}`` for each sentence, then ``{"answer": ...}``; None: nobody serves these documents so.

    Raises:
        DamdaError: the service could not answer, or ended in the middle of it.
    """
    return _post("ask", root, config, flags, asked)


def search(root: Path, config: Path | None, flags: Mapping[str, Any], asked: Mapping[str, Any]) -> Events | None:
    """``{"hits": [...]}``; None: as in `ask`.

    Raises:
        DamdaError: as in `ask`.
    """
    return _post("search", root, config, flags, asked)


def index(root: Path, config: Path | None, flags: Mapping[str, Any]) -> Events | None:
    """What `damda.serve.indexing` tells: progress, then ``done`` with the report, or an error; None: as in `ask`.

    Raises:
        DamdaError: as in `ask`.
    """
    return _post("index", root, config, flags, {})


class _Connection(HTTPConnection):
    answer: HTTPResponse

    def __init__(self, home: Path) -> None:
        super().__init__("localhost", timeout=_HEAD)
        self._home = home

    def connect(self) -> None:
        """Through the door."""
        sock = door.opened(self._home)
        if sock is None:
            raise FileNotFoundError
        sock.settimeout(self.timeout)
        self.sock = sock


def _post(
    what: str, root: Path, config: Path | None, flags: Mapping[str, Any], asked: Mapping[str, Any]
) -> Events | None:
    """What is told; None: there is nobody, or somebody who would do otherwise, or has no time."""
    root = root.expanduser()
    if not root.exists():
        return None  # whoever opens it says so
    root = root.resolve()
    sources = sources_of(found(config, root), flags, None)
    home = home_of(root, str(merged(sources).get("home") or "")).absolute()
    body = {
        "version": damda.__version__,
        "root": str(root),
        "folder": str(Path.cwd()),
        "cache": os.environ.get("DAMDA_CACHE", ""),
        "sources": [*sources, ("the door", {"home": str(home)})],
        **asked,
    }
    connection = _Connection(home)
    try:
        text = json.dumps(body, default=str)
        connection.request("POST", f"/local/{what}", text, {"Content-Type": "application/json"})
        connection.answer = connection.getresponse()
        if connection.answer.status == 200:
            connection.sock.settimeout(_PATIENCE)
            return _events(connection)
        status, said = connection.answer.status, connection.answer.read()
    except (OSError, HTTPException):  # nobody is there, or is just leaving
        status, said = 404, b""
    connection.close()
    if status in _ALONE:
        return None
    raise DamdaError(_message(said))


_ALONE = (400, 404, 409, 413, 429, 503)
"""Nobody, other settings, busy, leaving; and what the service takes for wrong, of which the command knows better what
to say."""


def _events(connection: _Connection) -> Events:
    with closing(connection):
        try:
            for line in connection.answer:
                if line.startswith(b"data: "):
                    event = json.loads(line[len(b"data: ") :])
                    if "error" in event and "type" not in event:
                        raise DamdaError(_message(line[len(b"data: ") :]))
                    yield event
                    if event.keys() & {"answer", "hits"} or event.get("type") in ("done", "error"):
                        return
        except (OSError, HTTPException, ValueError) as error:
            raise DamdaError(f"{_CUT_OFF} ({error})") from error
    raise DamdaError(_CUT_OFF)


_CUT_OFF = "the service of this home ended in the middle of it: run it again"


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "the service of this home failed; its log says how, and --no-server does without it"
