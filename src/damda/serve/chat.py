"""``/v1/chat/completions`` and ``/v1/completions``: answers from the documents, and the bare language model.

Knows: which model is meant, and the order of chunks. Does not know: shapes (``openai``), queues (``backend``).
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from damda.answer.direct import Direct, Limits
from damda.assemble.service import RAG
from damda.serve import openai
from damda.serve.backend import Backend
from damda.serve.errors import Refused, shapeless
from damda.serve.events import DONE, event, streamed
from damda.serve.lanes import until_gone
from damda.serve.openai import ChatRequest, CompletionRequest
from damda.types import Answer, Delta, Finish, Recall, Usage


def routes(backend: Backend) -> APIRouter:
    """The two routes."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])

    @router.post("/chat/completions", response_model=None)
    async def chat_completions(request: Request, asked: ChatRequest) -> Response:
        """Answer the last message. Model `damda` answers from the documents, `llm` by itself.

        `Cache-Control: no-cache` has it made anew, `no-store` not remembered either."""
        *before, question = asked.conversation()
        recall = recall_of(request.headers.get("cache-control", ""))
        if backend.rag and asked.model == RAG:
            if asked.schema_text:
                raise shapeless()
            history = [message for message in before if message.role != "system"]
            items = backend.answer(question.content, history, asked.damda.where.where(), recall)
            return await _answered(backend, request, asked, items, _ChatShape(asked.model))
        model = await _llm(backend, asked.model)
        limits = _limits(backend, asked, asked.most_tokens, asked.schema_text)
        items = backend.chat(model, asked.conversation(), limits, recall)
        return await _answered(backend, request, asked, items, _ChatShape(asked.model))

    @router.post("/completions", response_model=None)
    async def completions(request: Request, asked: CompletionRequest) -> Response:
        """Go on from a prompt. Model `damda` takes it for a question and answers from the documents."""
        recall = recall_of(request.headers.get("cache-control", ""))
        if backend.rag and asked.model == RAG:
            items = backend.answer(asked.text, [], asked.damda.where.where(), recall)
            return await _answered(backend, request, asked, items, _TextShape(asked.model))
        model = await _llm(backend, asked.model)
        items = backend.complete(model, asked.text, _limits(backend, asked, asked.max_tokens), recall)
        return await _answered(backend, request, asked, items, _TextShape(asked.model))

    return router


def recall_of(cache_control: str) -> Recall:
    """What a ``Cache-Control`` header asks for (RFC 9111, section 5.2.1)."""
    asked = {part.strip().lower() for part in cache_control.split(",")}
    return "off" if "no-store" in asked else "renew" if asked & {"no-cache", "max-age=0"} else "use"


class _ChatShape:
    """Bodies of chat completions."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._head = openai.head("chat.completion.chunk", model)

    def whole(self, text: str, finish: Finish, usage: Usage) -> dict[str, object]:
        return openai.chat(text, self._model, finish, usage)

    def begin(self) -> list[str]:
        return [self._chunk({"role": "assistant", "content": ""}, None)]

    def piece(self, text: str) -> str:
        return self._chunk({"content": text}, None)

    def end(self, finish: Finish, extension: dict[str, object] | None) -> str:
        return self._chunk({}, finish, extension)

    def usage(self, usage: Usage) -> str:
        return event({**self._head, "choices": [], "usage": openai.counted(usage)})

    def _chunk(self, delta: dict[str, str], finish: Finish | None, extension: dict[str, object] | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**self._head, "choices": [choice], **({"damda": extension} if extension else {})})


class _TextShape:
    """Bodies of plain completions."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._head = openai.head("text_completion", model)

    def whole(self, text: str, finish: Finish, usage: Usage) -> dict[str, object]:
        return openai.completion(text, self._model, finish, usage)

    def begin(self) -> list[str]:
        return []

    def piece(self, text: str) -> str:
        return self._chunk(text, None)

    def end(self, finish: Finish, extension: dict[str, object] | None) -> str:
        return self._chunk("", finish, extension)

    def usage(self, usage: Usage) -> str:
        return event({**self._head, "choices": [], "usage": openai.counted(usage)})

    def _chunk(self, text: str, finish: Finish | None, extension: dict[str, object] | None = None) -> str:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        return event({**self._head, "choices": [choice], **({"damda": extension} if extension else {})})


Shape = _ChatShape | _TextShape
Asked = ChatRequest | CompletionRequest


async def _answered(
    backend: Backend, request: Request, asked: Asked, items: AsyncGenerator[Delta | Answer, None], shape: Shape
) -> Response:
    rag, begun = backend.rag and asked.model == RAG, time.perf_counter()
    footnotes = rag and asked.damda.footnotes
    if not asked.stream:
        answer, finish = await until_gone(request, _last(items))
        backend.metrics.said(answer, rag=rag)
        text = openai.with_footnotes(answer) if footnotes else answer.text
        return JSONResponse(shape.whole(text, finish, answer.usage) | {"damda": _extension(answer, rag)})

    def first() -> None:
        if rag:
            backend.metrics.first.observe(time.perf_counter() - begun)

    return await _begun(request, items, partial(_lines, backend, asked, shape), first)


async def _lines(
    backend: Backend, asked: Asked, shape: Shape, items: AsyncIterator[Delta | Answer]
) -> AsyncGenerator[str, None]:
    """The events of a stream."""
    rag = backend.rag and asked.model == RAG
    footnotes = rag and asked.damda.footnotes
    for line in shape.begin():
        yield line
    said = False
    finish: Finish | None = None
    async for item in items:
        if isinstance(item, Delta):
            finish = item.finish or finish
            if item.text:
                yield shape.piece(openai.as_footnotes(item.text) if footnotes else item.text)
                said = True
            continue
        backend.metrics.said(item, rag=rag)
        if not said:  # "not found" is told by the Answer alone
            yield shape.piece(item.text)
        if footnotes and item.quotes:
            yield shape.piece(openai.footnotes(item.quotes))
        yield shape.end(finish or openai.finish_of(item), _extension(item, rag))
        if asked.wants_usage:
            yield shape.usage(item.usage)
    yield DONE


def _extension(answer: Answer, rag: bool) -> dict[str, object]:
    return openai.extension(answer) if rag else openai.remarks(answer)


async def _begun(
    request: Request,
    items: AsyncGenerator[Any, None],
    lines: Callable[[AsyncIterator[Any]], AsyncGenerator[str, None]],
    first: Callable[[], None],
) -> Response:
    """A stream, once its first item is there: until then an error still has a status of its own."""
    head = await until_gone(request, _next(items))
    first()

    async def rest() -> AsyncGenerator[Any, None]:
        async with aclosing(items):
            yield head
            async for item in items:
                yield item

    return streamed(lines(rest()))


async def _next(items: AsyncGenerator[Any, None]) -> Any:  # noqa: ANN401  whatever the items are
    try:
        return await anext(items)
    except BaseException:
        await items.aclose()
        raise


async def _last(items: AsyncGenerator[Delta | Answer, None]) -> tuple[Answer, Finish]:
    finish: Finish | None = None
    async with aclosing(items):
        async for item in items:
            if isinstance(item, Answer):
                return item, finish or openai.finish_of(item)
            finish = item.finish or finish
    raise AssertionError("the stream of an answer ends with the Answer")


async def _llm(backend: Backend, name: str) -> Direct:
    model = await backend.llm(name)
    if model is None:
        known = ", ".join([*([RAG] if backend.rag else []), *await backend.llm_names()])
        raise Refused(404, f"no model here is called {name[:80]!r}; there are: {known}", "model_not_found", "model")
    return model


def _limits(backend: Backend, asked: Asked, most_tokens: int | None, schema: str = "") -> Limits:
    settings = backend.settings.answer
    temperature = settings.temperature if asked.temperature is None else asked.temperature
    return Limits(most_tokens or settings.max_tokens, temperature, asked.stops, schema)
