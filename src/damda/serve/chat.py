"""``/v1/chat/completions`` and ``/v1/completions``: answers from the documents, and the bare language model.

Knows: which model is meant, and the order of chunks. Does not know: shapes (``openai``), queues (``backend``).
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from damda.assemble.service import RAG
from damda.serve import openai
from damda.serve.backend import Backend
from damda.serve.errors import Refused
from damda.serve.events import DONE, event, streamed
from damda.serve.lanes import until_gone
from damda.serve.openai import ChatRequest, CompletionRequest
from damda.types import Answer, Delta, Finish, Message, Usage

LLM = "llm"
"""Another name for the bare language model, whatever it is."""


def routes(backend: Backend) -> APIRouter:
    """The two routes."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])

    @router.post("/chat/completions", response_model=None)
    async def chat_completions(request: Request, asked: ChatRequest) -> Response:
        """Answer the last message. Model `damda` answers from the documents, `llm` by itself."""
        *before, question = asked.conversation()
        if asked.model == RAG:
            history = [message for message in before if message.role != "system"]
            return await _from_documents(backend, request, asked, question.content, history, _ChatShape(asked.model))
        _check_writer(backend, asked.model)
        deltas = backend.write(asked.conversation(), *_limits(backend, asked, asked.most_tokens))
        return await _by_itself(backend, request, asked, deltas, _ChatShape(asked.model))

    @router.post("/completions", response_model=None)
    async def completions(request: Request, asked: CompletionRequest) -> Response:
        """Go on from a prompt. Model `damda` takes it for a question and answers from the documents."""
        if asked.model == RAG:
            return await _from_documents(backend, request, asked, asked.text, [], _TextShape(asked.model))
        _check_writer(backend, asked.model)
        deltas = backend.complete(asked.text, *_limits(backend, asked, asked.max_tokens))
        return await _by_itself(backend, request, asked, deltas, _TextShape(asked.model))

    return router


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


async def _from_documents(
    backend: Backend, request: Request, asked: Asked, question: str, history: list[Message], shape: Shape
) -> Response:
    footnotes, begun = asked.damda.footnotes, time.perf_counter()
    pieces = backend.answer(question, history, asked.damda.where.where())
    if not asked.stream:
        answer = await until_gone(request, _last(pieces))
        _count(backend, answer)
        text = openai.with_footnotes(answer) if footnotes else answer.text
        return JSONResponse(shape.whole(text, "stop", answer.usage) | {"damda": openai.extension(answer)})

    async def lines(rest: AsyncIterator[Delta | Answer]) -> AsyncGenerator[str, None]:
        for line in shape.begin():
            yield line
        said = False
        async for item in rest:
            if isinstance(item, Delta):
                yield shape.piece(openai.as_footnotes(item.text) if footnotes else item.text)
                said = True
                continue
            _count(backend, item)
            if not said:  # "not found" is told by the Answer alone
                yield shape.piece(item.text)
            if footnotes and item.quotes:
                yield shape.piece(openai.footnotes(item.quotes))
            yield shape.end("stop", openai.extension(item))
            if asked.wants_usage:
                yield shape.usage(item.usage)
        yield DONE

    return await _begun(request, pieces, lines, lambda: backend.metrics.first.observe(time.perf_counter() - begun))


async def _by_itself(
    backend: Backend, request: Request, asked: Asked, deltas: AsyncGenerator[Delta, None], shape: Shape
) -> Response:
    if not asked.stream:
        text, finish, usage = await until_gone(request, _drained(deltas))
        _spent(backend, usage)
        return JSONResponse(shape.whole(text, finish, usage))

    async def lines(rest: AsyncIterator[Delta]) -> AsyncGenerator[str, None]:
        for line in shape.begin():
            yield line
        finish: Finish = "stop"
        usage = Usage()
        async for delta in rest:
            finish, usage = delta.finish or finish, delta.usage or usage
            if delta.text:
                yield shape.piece(delta.text)
        _spent(backend, usage)
        yield shape.end(finish, None)
        if asked.wants_usage:
            yield shape.usage(usage)
        yield DONE

    return await _begun(request, deltas, lines, lambda: None)


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


async def _last(items: AsyncGenerator[Delta | Answer, None]) -> Answer:
    async with aclosing(items):
        async for item in items:
            if isinstance(item, Answer):
                return item
    raise AssertionError("the stream of an answer ends with the Answer")


async def _drained(deltas: AsyncGenerator[Delta, None]) -> tuple[str, Finish, Usage]:
    text, usage = "", Usage()
    finish: Finish = "stop"
    async with aclosing(deltas):
        async for delta in deltas:
            text, finish, usage = text + delta.text, delta.finish or finish, delta.usage or usage
    return text, finish, usage


def _check_writer(backend: Backend, model: str) -> None:
    name = backend.service.names.get("writer")
    if backend.service.writer is None or model not in (LLM, name) or not model:
        writers = () if backend.service.writer is None else (name, LLM)
        known = ", ".join(dict.fromkeys(filter(None, (RAG, *writers))))
        raise Refused(404, f"no model here is called {model[:80]!r}; there are: {known}", "model_not_found", "model")


def _limits(backend: Backend, asked: Asked, most_tokens: int | None) -> tuple[int, float, list[str]]:
    settings = backend.settings.answer
    temperature = settings.temperature if asked.temperature is None else asked.temperature
    return most_tokens or settings.max_tokens, temperature, asked.stops


def _count(backend: Backend, answer: Answer) -> None:
    backend.metrics.answers.labels(str(answer.found).lower()).inc()
    _spent(backend, answer.usage)


def _spent(backend: Backend, usage: Usage) -> None:
    backend.metrics.tokens.labels("input").inc(usage.prompt_tokens)
    backend.metrics.tokens.labels("output").inc(usage.completion_tokens)
