"""``/api/search`` and ``/api/status``.

Knows: the routes. Does not know: how searches are batched and made.
"""

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict, Field, StringConstraints

import damda
from damda import trace
from damda.plain import plain
from damda.serve import mcp
from damda.serve.backend import Backend, Query
from damda.serve.errors import Refused
from damda.serve.lanes import until_gone
from damda.serve.openai import Body, Filter
from damda.serve.vectors import names
from damda.types import Mode


class SearchRequest(Body):
    """``POST /api/search``. Without ``modes``: the one of the settings."""

    model_config = ConfigDict(extra="forbid")
    query: Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
    k: int = Field(default=10, ge=1, le=100)
    modes: Annotated[list[Mode], Field(max_length=6)] = []
    where: Filter = Filter()


def routes(backend: Backend) -> APIRouter:
    """Search, and what there is to search."""
    router = APIRouter(prefix="/api", tags=["search"])
    kb, service = backend.kb, backend.service

    @router.post("/search", response_model=None)
    async def search(request: Request, asked: SearchRequest) -> Response:
        """Passages, by one or several modes of search side by side."""
        modes = list(dict.fromkeys(asked.modes or [kb.mode]))
        if missing := [mode for mode in modes if mode not in service.modes]:
            raise Refused(400, f"{missing[0]} is not available here: set rerank.model", "not_available", "modes")
        where = asked.where.where()
        queries = [Query(asked.query, asked.k, mode, where) for mode in modes]
        found = await until_gone(request, backend.search(queries))
        results = {mode: plain(hits) for mode, hits in zip(modes, found, strict=True)}
        return JSONResponse({"results": results, "trace_id": trace.current().trace_id})

    @router.get("/status")
    async def status() -> dict[str, object]:
        """What is stored, and what this service can do."""
        state = await backend.looking.value(kb.status)
        shown = {name: value for name, value in plain(state).items() if name not in ("root", "home")}
        return shown | {
            "name": kb.root.name,
            "version": damda.__version__,
            "generator": backend.settings.answer.generator,
            "mode": kb.mode,
            "modes": list(service.modes),
            "models": await names(backend),
            "uploads": backend.uploads.on,
            "formats": [f".{ending}" for ending in backend.uploads.formats],
            "max_upload": backend.settings.serve.max_upload,
            "mcp": backend.settings.serve.mcp and mcp.available(),
            "trace": backend.settings.trace.on,
        }

    return router
