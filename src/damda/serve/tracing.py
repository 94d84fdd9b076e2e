"""Traces over HTTP: a span around each request that asks something, and ``/api/traces``.

Knows: which requests are traced, W3C's ``traceparent``, the routes. Does not know: what the spans below are, where they
go.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict, Field
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from damda import trace
from damda.plain import plain
from damda.serve.backend import Backend
from damda.serve.errors import Refused
from damda.serve.openai import Body
from damda.trace.spans import Attributes
from damda.traces import Step, Summary, Traces

TRACED = frozenset(
    (
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/rerank",
        "/api/search",
        "/mcp",
    )
)

Id = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


class Traced:
    """Middleware: a span around requests that ask something. What they do becomes part of it, and of the caller's
    trace, if he names one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in TRACED or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        facts: Attributes = {"http.request.method": scope["method"], "http.route": scope["path"]}
        caller = Headers(scope=scope).get("traceparent", "")
        # A request is a task of its own, so what is current here is nowhere else.
        with trace.span(f"{scope['method']} {scope['path']}", facts, kind="server", traceparent=caller) as root:

            async def noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    root.set({"http.response.status_code": status})
                    if status >= 500:
                        root.set({"error.type": str(status)})
                await send(message)

            await self._app(scope, receive, noted)


class Feedback(Body):
    """What somebody thinks of an answer; 0 takes it back."""

    model_config = ConfigDict(extra="forbid")
    score: Literal[-1, 0, 1]
    comment: str = Field(default="", max_length=2000)


def routes(backend: Backend) -> APIRouter:
    """The three routes."""
    router = APIRouter(prefix="/api/traces", tags=["traces"])
    kept = Traces(backend.kb.home)

    @router.get("")
    async def latest(
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        before: Annotated[float | None, Query(ge=0, le=9e9, description="`next` of the page before")] = None,
    ) -> dict[str, object]:
        """The latest answers and searches."""

        def read() -> list[Summary]:
            flush()
            return kept.recent(limit, before)

        found = await backend.looking.value(read)
        following = found[-1].started if len(found) == limit else None
        return {"traces": [_row(summary) for summary in found], "next": following}

    @router.get("/{trace_id}")
    async def one(trace_id: Id) -> dict[str, object]:
        """How an answer was made: its spans, parents before their children."""

        def read() -> dict[str, object] | None:
            flush()
            found = kept.get(trace_id)
            return _row(found.summary) | {"spans": list(_spans(found.steps, None))} if found else None

        return _there(await backend.looking.value(read))

    @router.post("/{trace_id}/feedback")
    async def feedback(trace_id: Id, given: Feedback) -> dict[str, object]:
        """Keep what somebody thinks of an answer, with its trace."""
        known = await backend.looking.value(lambda: kept.feedback(trace_id, given.score, given.comment))
        return _there({"trace_id": trace_id, "score": given.score} if known else None)

    return router


def flush() -> None:
    """Spans are written in batches; whoever asks for them should not have to wait for the next one."""
    if (started := trace.active()) is not None:
        started.flush()


def _there(found: dict[str, object] | None) -> dict[str, object]:
    if found is None:
        raise Refused(404, "no such trace is kept (any more)", "not_found", "trace_id")
    return found


def _row(summary: Summary) -> dict[str, object]:
    shown: dict[str, object] = plain(summary)
    seconds = None if summary.ms is None else summary.ms / 1000
    return {"trace_id": shown.pop("id"), "seconds": seconds, **shown, "question": summary.question or None}


def _spans(steps: Sequence[Step], parent: str | None) -> Iterator[dict[str, object]]:
    waiting = [(step, parent) for step in reversed(steps)]
    while waiting:
        step, above = waiting.pop()
        yield {
            "span_id": step.id,
            "parent_id": above,
            "name": step.name,
            "start": step.start_ms / 1000,
            "seconds": step.ms / 1000,
            "status": step.status,
            "said": step.said,
            "attributes": plain(step.attributes),
        }
        waiting += [(below, step.id) for below in reversed(step.steps)]
