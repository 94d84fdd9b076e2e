"""Server-sent events.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html. Knows: lines of JSON, signs of life. Does not
know: what is told.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse

from damda.serve.errors import described

DONE = "data: [DONE]\n\n"
_ALIVE = 15.0
"""Seconds without an event after which a comment is sent: proxies close connections on which nothing moves."""


def event(data: object) -> str:
    """One event."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def streamed(lines: AsyncGenerator[str, None]) -> StreamingResponse:
    """A response of events. An error in mid-stream becomes the last one; a client that leaves closes ``lines``."""
    return StreamingResponse(
        _whole(lines),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},  # nginx would keep events back
    )


async def _whole(lines: AsyncGenerator[str, None]) -> AsyncIterator[str]:
    try:
        async for line in _alive(lines):
            yield line
    except Exception as error:  # the status is long sent: all that is left is to say so in the stream
        _, body, _ = described(error)
        yield event(body)
    finally:
        await lines.aclose()


async def _alive(lines: AsyncGenerator[str, None]) -> AsyncIterator[str]:
    """The lines, and a comment whenever there is none for a while."""
    task: asyncio.Task[Any] = asyncio.ensure_future(anext(lines, None))
    try:
        while True:
            done, _ = await asyncio.wait({task}, timeout=_ALIVE)
            if not done:
                yield ": still at it\n\n"
                continue
            if (line := task.result()) is None:
                return
            yield line
            task = asyncio.ensure_future(anext(lines, None))
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
