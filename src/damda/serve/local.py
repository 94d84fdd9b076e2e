"""``/local``: what commands of the same user ask a running service, through its door instead of doing it themselves.

Knows: when a command would have done the same. Does not know: sockets.

A command says what its settings are made of; where they come to anything else than the service's own, it is turned away
and does its work by itself.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

import damda
from damda import config
from damda.plain import plain
from damda.serve.access import through_the_door
from damda.serve.backend import Backend, Query
from damda.serve.errors import Refused
from damda.serve.events import event, streamed
from damda.serve.openai import Body, Filter
from damda.sources import flat
from damda.types import Answer, Delta, Mode, Recall

PREFIX = "/local"


class Caller(Body):
    """Who asks: a command in a folder, with settings."""

    version: str
    root: str
    folder: str
    cache: str
    sources: list[tuple[str, dict[str, Any]]]


class AskRequest(Caller):
    """``POST /local/ask``."""

    question: str
    where: Filter = Filter()
    recall: Recall = "use"


class SearchRequest(Caller):
    """``POST /local/search``. Without a mode: the one of the settings."""

    query: str
    k: int = Field(ge=1, le=1000)
    mode: Mode | None = None
    where: Filter = Filter()


def routes(backend: Backend) -> APIRouter:
    """What commands ask."""
    router = APIRouter(prefix=PREFIX, include_in_schema=False)

    def refreshed() -> AsyncGenerator[str, None]:
        return _told(backend.indexing.lanes.stream(backend.indexing.refresh))

    async def admitted(request: Request, caller: Caller) -> None:
        if not through_the_door(request.scope):
            raise Refused(404, "there is no such path", "not_found")
        if why := await backend.looking.value(lambda: _differs(backend, caller)):
            raise Refused(409, why, "other_settings")

    @router.post("/ask", response_model=None)
    async def ask(request: Request, asked: AskRequest) -> Response:
        await admitted(request, asked)
        backend.answering.check()
        items = backend.answer(asked.question, [], asked.where.where(), asked.recall)
        return streamed(_one_after_the_other(refreshed(), _said(items)))

    @router.post("/search", response_model=None)
    async def search(request: Request, asked: SearchRequest) -> Response:
        await admitted(request, asked)
        if asked.mode and asked.mode not in backend.service.modes:
            raise Refused(409, f"{asked.mode} is not available here", "other_settings")
        query = Query(asked.query, asked.k, asked.mode, asked.where.where())
        return streamed(_one_after_the_other(refreshed(), _found(backend, query)))

    @router.post("/index", response_model=None)
    async def index(request: Request, asked: Caller) -> Response:
        await admitted(request, asked)
        return streamed(_told(backend.indexing.lanes.stream(backend.indexing.run)))

    return router


async def _one_after_the_other(*parts: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    for part in parts:
        async with aclosing(part):
            async for line in part:
                yield line


async def _found(backend: Backend, query: Query) -> AsyncGenerator[str, None]:
    (hits,) = await backend.search([query])
    yield event({"hits": plain(hits)})


async def _said(items: AsyncGenerator[Delta | Answer, None]) -> AsyncGenerator[str, None]:
    async with aclosing(items):
        async for item in items:
            yield event({"answer": plain(item)} if isinstance(item, Answer) else {"text": item.text})


async def _told(events: AsyncIterator[Any]) -> AsyncGenerator[str, None]:
    async for one in events:
        yield event(one)


def _differs(backend: Backend, caller: Caller) -> str:
    """Why a command would do something else than this service; "": it would not."""
    if caller.version != damda.__version__:
        return f"the service is damda {damda.__version__}"
    if caller.root != str(backend.kb.root):
        return f"the service is about {backend.kb.root}"
    if caller.cache != os.environ.get("DAMDA_CACHE", ""):
        return "the service has another DAMDA_CACHE"
    theirs = config.of([(name, values) for name, values in caller.sources], Path(caller.root))
    mine, other = (flat(one.model_dump(exclude=_APART)) for one in (backend.settings, theirs))
    if differing := sorted(key for key in mine if mine[key] != other.get(key)):
        return f"the service has another {differing[0]}"
    if caller.folder != str(Path.cwd()) and (near := _near(other, Path(caller.folder))):
        return f"{near} names a file beside the command"
    return ""


_APART = {"serve", "home"}
"""Of no account for what a command does; the home is the one that the door was found in."""


def _near(settings: dict[str, Any], folder: Path) -> str:
    """A setting that names something in a folder, by a path that begins there; "" for none."""
    for key, value in settings.items():
        names = value if isinstance(value, list | tuple) else [value]
        for name in names:
            if isinstance(name, str) and name and not os.path.isabs(name) and os.path.exists(folder / name):
                return key
    return ""
