"""The application: what stands before what.

Knows: routes, middleware and the order of them, what runs in the background. Does not know: what the routes do.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route

import damda
from damda import trace
from damda.assemble.service import Service
from damda.errors import DamdaError
from damda.serve import chat, documents, errors, local, mcp, pages, searching, telling, tracing, vectors
from damda.serve.access import Access, Hardened, Sizes, is_local
from damda.serve.backend import Backend
from damda.serve.keys import Keys
from damda.serve.metrics import Measured
from damda.serve.openapi import described

log = logging.getLogger(__name__)


def build(
    service: Service,
    *,
    insecure: bool = False,
    only_mcp: bool = False,
    rag: bool = True,
    door: bool = False,
    abandon: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The application for one set of documents.

    Args:
        service: what is served.
        insecure: want no keys, whatever the address.
        only_mcp: serve assistants, and how the service is; nothing else.
        rag: there are documents. Without, the bare language model and the encoder are served: a proxy.
        door: the owner's own commands ask through a socket, too.
        abandon: called at the very end if threads are still at work then.
    """
    backend = Backend(service, Keys(service.kb.home), rag=rag)
    settings = service.settings.serve
    near = is_local(settings.host)
    assistants = mcp.Door(backend) if only_mcp or (rag and settings.mcp and mcp.available()) else None
    app = FastAPI(
        title="damda",
        version=damda.__version__,
        description="Answers from a folder of documents, with verbatim, located quotes.",
        docs_url=None,  # FastAPI's pages load from a CDN; ours come from here
        redoc_url=None,
        lifespan=_lifespan(backend, assistants, abandon),
    )
    for part in () if only_mcp else (chat, vectors, tracing, *((searching, documents) if rag else ())):
        app.include_router(part.routes(backend), responses=ANSWERS)
    app.include_router(telling.routes(backend))
    if door and rag and not only_mcp:
        app.include_router(local.routes(backend))
    if assistants:
        app.router.routes.append(Route(mcp.PATH, assistants, methods=["POST"], include_in_schema=False))
    if rag and not only_mcp:
        app.include_router(pages.routes())
        pages.mount(app)
    errors.install(app)
    described(app)
    # The last one added stands outermost: everything is counted, what is refused too.
    app.add_middleware(errors.Caught)
    app.add_middleware(tracing.Traced)
    app.add_middleware(Sizes, most=settings.max_body, uploads=settings.max_upload)
    app.add_middleware(Access, keys=backend.keys, local=near, insecure=insecure, door=door)
    app.add_middleware(Hardened)
    app.add_middleware(Measured, metrics=backend.metrics)
    app.state.backend = backend
    return app


def _lifespan(backend: Backend, door: mcp.Door | None, abandon: Callable[[], None]) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        kept = trace.start(backend.settings, backend.kb.home)
        background = {asyncio.create_task(follow(backend))}
        if door:
            background.add(asyncio.create_task(door.run()))
        try:
            yield
        finally:
            backend.indexing.stop()
            for task in background:
                task.cancel()
            await asyncio.wait(background)
            ended = await backend.close()
            await asyncio.to_thread(kept.close)
            if not ended:
                abandon()

    return lifespan


async def follow(backend: Backend) -> None:
    """Load the models, then follow the folder."""
    every = backend.settings.serve.rescan if backend.rag else 0.0
    while True:
        try:
            if not backend.ready.is_set():
                await asyncio.to_thread(backend.warm)
            if backend.rag and (every or not backend.ready.is_set()):
                changed = await asyncio.to_thread(backend.indexing.look)
                if changed or not backend.ready.is_set():
                    await asyncio.to_thread(backend.warm)
                else:  # requests may have changed what is stored
                    backend.metrics.passages.set(await asyncio.to_thread(backend.kb.count))
        except DamdaError as error:
            log.warning("%s", error)
        except Exception:  # whatever it was: the folder must still be followed tomorrow
            log.exception("unexpected error while following the folder")
        if not every and backend.ready.is_set():
            return
        # Not ready: another worker, or another process, makes the index just now.
        await asyncio.sleep(every if every and backend.ready.is_set() else _RETRY)


_RETRY = 1.0
"""Seconds between tries to become ready."""

ERROR = {
    "description": "Not carried out; the message says why and what to do.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    status: ERROR for status in (400, 401, 403, 404, 409, 413, 429, 502, 503, 504)
}
