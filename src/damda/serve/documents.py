"""``/api``: what is stored, searching it, and changing it.

Knows: the routes. Does not know: queues, files, how indexing works.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, File, Query, Request, UploadFile
from fastapi.responses import JSONResponse, Response

from damda.errors import ReadError, StoreError
from damda.korean import nfc
from damda.plain import plain
from damda.serve.backend import Backend
from damda.serve.errors import Refused, body
from damda.serve.events import event, streamed
from damda.serve.indexing import Event
from damda.serve.lanes import Emit, until_gone

Name = Annotated[str, Query(max_length=4096)]


def routes(backend: Backend) -> APIRouter:
    """What is stored, one document of it, and what changes it."""
    router = APIRouter(prefix="/api", tags=["documents"])

    @router.get("/documents")
    async def documents(
        q: Name = "",
        offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> dict[str, object]:
        """Documents by name, and the files that could not be read."""
        return await backend.looking.value(lambda: _listed(backend, nfc(q).casefold(), offset, limit))

    @router.get("/document")
    async def document(id: Name, version: Name = "") -> dict[str, object]:
        """A document's text. Without a version: as it is stored now."""
        return await backend.looking.value(lambda: _shown(backend, id, version))

    @router.post("/documents", response_model=None)
    async def upload(request: Request, files: Annotated[list[UploadFile], File()]) -> Response:
        """Save files and index them. With `Accept: text/event-stream` it tells how far it is."""
        saved, refused = await backend.looking.value(lambda: _save(backend, files))
        if not saved:
            said = "; ".join(f"{row['name']}: {row['reason']}" for row in refused)
            return JSONResponse(body(400, said, "unreadable", "files") | {"saved": [], "refused": refused}, 400)
        return await _indexed(backend, request, saved, refused)

    @router.delete("/documents", response_model=None)
    async def delete(request: Request, source: Name) -> Response:
        """Delete an upload. Documents that were not uploaded are left alone."""
        try:
            await backend.looking.value(lambda: backend.uploads.remove(source))
        except ReadError as error:
            raise Refused(404, str(error), "not_found", "source") from error
        return await _indexed(backend, request, [], [])

    @router.post("/index", response_model=None)
    async def index(request: Request) -> Response:
        """Bring the index up to date with the folder."""
        return await _indexed(backend, request, [], [])

    return router


def _listed(backend: Backend, wanted: str, offset: int, limit: int) -> dict[str, object]:
    stored, files, uploaded = backend.kb.documents(), backend.kb.files(), backend.uploads.sources()
    ids = sorted(doc_id for doc_id in stored if wanted in doc_id.casefold())
    rows = []
    for doc_id in ids[offset : offset + limit]:
        source, version = stored[doc_id]
        rows.append({"id": doc_id, "source": source, "version": version, "uploaded": source in uploaded})
    failed = sorted((f.source, f.error) for f in files.values() if f.error)
    return {
        "documents": rows,
        "total": len(ids),
        "failed": [{"source": s, "error": e, "uploaded": s in uploaded} for s, e in failed],
    }


def _shown(backend: Backend, doc_id: str, version: str) -> dict[str, object]:
    if not version:
        _, version = backend.kb.documents().get(doc_id, ("", ""))
    found = backend.kb.document(doc_id, version) if version else None
    if found is None:
        raise Refused(404, "no such document, or it has changed since", "not_found", "id")
    shown: dict[str, object] = plain(found)
    return shown


def _save(backend: Backend, files: Sequence[UploadFile]) -> tuple[list[str], list[dict[str, str]]]:
    saved: list[str] = []
    refused: list[dict[str, str]] = []
    for file in files:
        try:
            saved.append(backend.uploads.save(file.filename or "", file.file, saved))
        except (ReadError, StoreError) as error:
            refused.append({"name": file.filename or "", "reason": str(error)})
            if isinstance(error, StoreError) and not saved:
                raise
    return saved, refused


async def _indexed(
    backend: Backend, request: Request, saved: Sequence[str], refused: Sequence[Mapping[str, str]]
) -> Response:
    def run(emit: Emit[Event]) -> None:
        backend.indexing.run(emit, saved, refused)

    events = backend.indexing.lanes.stream(run)
    if "text/event-stream" in request.headers.get("accept", ""):
        return streamed(_lines(events))
    last = await until_gone(request, _last(events))
    if last["type"] == "error":
        return JSONResponse({name: value for name, value in last.items() if name != "type"}, 503)
    return JSONResponse({name: last[name] for name in ("saved", "refused", "report")})


async def _lines(events: AsyncGenerator[Event, None]) -> AsyncGenerator[str, None]:
    async with aclosing(events):
        async for item in events:
            yield event(item)


async def _last(events: AsyncGenerator[Event, None]) -> Any:  # noqa: ANN401  JSON
    last: Event = {"type": "error", **body(503, "the service ended before the index was up to date", "stopped")}
    async with aclosing(events):
        async for item in events:
            last = item
    return last
