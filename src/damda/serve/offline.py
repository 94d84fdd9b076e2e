"""Many requests from a file, answered without a server: `damda generate`.

Knows: which model a request means, how its answer is shaped, who works on what. Does not know: how files of answers
grow (``batchfile``), HTTP.

Every request is answered on its own thread out of so many as the generator has slots; only the caller's thread writes.
Answers come in the order in which they are ready.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from damda.answer.direct import Direct, Limits
from damda.assemble.llms import Llms
from damda.assemble.service import RAG
from damda.errors import DamdaError, GeneratorError
from damda.knowledge import KnowledgeBase
from damda.serve import batchfile, openai
from damda.serve.batchfile import Request
from damda.serve.errors import Refused, described, shapeless
from damda.serve.vectors import kind_of
from damda.types import Answer, Delta, Encoder, Finish, Message, Progress, Usage, quiet

Body = TypeVar("Body", bound=BaseModel)

_HOPELESS = 10
"""So many requests that fail in a row, by no fault of theirs, end a run: the model is gone."""
_LEAVING = 5.0
"""Seconds that threads get to notice that nobody wants their answers any more."""


class Stopped(Exception):
    """Nobody wants the answer any more."""


@dataclass(frozen=True, slots=True)
class Models:
    """What requests can be answered with.

    Attributes:
        kb: answers model ``damda``; None: no folder was given.
        llms: answer model ``llm``, and others by their names; None: the settings have no language model.
        encoder: for embeddings, under ``encoder_name``; None: nobody asks for them.
        always: the model that every text is asked of, whatever its request names; "": the one that it names.
        max_tokens, temperature: of ``llms``, where a request doesn't say.
    """

    kb: KnowledgeBase | None
    llms: Llms | None
    encoder: Encoder | None
    encoder_name: str = ""
    always: str = ""
    max_tokens: int = 512
    temperature: float = 0.0

    def answer(self, request: Request, stopped: Callable[[], bool] = lambda: False) -> dict[str, object]:
        """The body of the response.

        Raises:
            Refused: the request can't be answered as it is.
            DamdaError: a model failed.
            Stopped: ``stopped`` became true.
        """
        if request.url == "/v1/embeddings":
            return self._embeddings(_parsed(openai.EmbeddingsRequest, request.body))
        if request.url == "/v1/completions":
            return self._completion(_parsed(openai.CompletionRequest, request.body), stopped)
        return self._chat(_parsed(openai.ChatRequest, request.body), stopped)

    def _chat(self, asked: openai.ChatRequest, stopped: Callable[[], bool]) -> dict[str, object]:
        *history, last = asked.conversation()
        if self._is_rag(asked.model):
            if asked.schema_text:
                raise shapeless()
            turns = [message for message in history if message.role != "system"]
            answer = self._from_documents(last.content, turns, asked.damda, stopped)
            return openai.chat_completion(answer, self.always or asked.model, footnotes=asked.damda.footnotes)
        limits = replace(self._limits(asked, asked.most_tokens), schema=asked.schema_text)
        items = self._writer(asked.model).chat([*history, last], limits)
        answer, finish = _last(items, stopped)
        body = openai.chat(answer.text, self.always or asked.model, finish, answer.usage)
        return body | {"damda": openai.remarks(answer)}

    def _completion(self, asked: openai.CompletionRequest, stopped: Callable[[], bool]) -> dict[str, object]:
        if self._is_rag(asked.model):
            answer = self._from_documents(asked.text, [], asked.damda, stopped)
            text = openai.with_footnotes(answer) if asked.damda.footnotes else answer.text
            body = openai.completion(text, self.always or asked.model, openai.finish_of(answer), answer.usage)
            return body | {"damda": openai.extension(answer)}
        items = self._writer(asked.model).complete(asked.text, self._limits(asked, asked.max_tokens))
        answer, finish = _last(items, stopped)
        body = openai.completion(answer.text, self.always or asked.model, finish, answer.usage)
        return body | {"damda": openai.remarks(answer)}

    def _limits(self, asked: openai.ChatRequest | openai.CompletionRequest, most_tokens: int | None) -> Limits:
        temperature = self.temperature if asked.temperature is None else asked.temperature
        return Limits(most_tokens or self.max_tokens, temperature, asked.stops)

    def _embeddings(self, asked: openai.EmbeddingsRequest) -> dict[str, object]:
        if self.encoder is None:
            raise _unknown(asked.model, [self.encoder_name])
        kind = kind_of(asked, self.encoder_name)
        if asked.dimensions not in (None, self.encoder.dim):
            dim, name = self.encoder.dim, self.encoder_name
            raise Refused(400, f"{name} makes {dim} dimensions; leave dimensions out", "invalid_value")
        vectors = self.encoder.encode(asked.texts, kind=kind)
        tokens = sum(self.encoder.count_tokens(asked.texts))
        return openai.embeddings(vectors, asked.model, tokens, base64=asked.encoding_format == "base64")

    def _is_rag(self, model: str) -> bool:
        return (self.always or model) == RAG and self.kb is not None

    def _writer(self, model: str) -> Direct:
        name = self.always or model
        direct = self.llms.get(name) if self.llms else None
        if direct is None:
            raise _unknown(name, [*([RAG] if self.kb else []), *(self.llms.names() if self.llms else [])])
        return direct

    def _from_documents(
        self, question: str, history: Sequence[Message], asked: openai.Extension, stopped: Callable[[], bool]
    ) -> Answer:
        assert self.kb is not None
        answer, _ = _last(self.kb.stream(question, history=history, where=asked.where.where()), stopped)
        return answer


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did.

    Attributes:
        requests: in the file.
        answered: by this run. ``before``: by earlier ones. ``failed``: by this run. ``left``: not tried.
        foreign: answers in the file to requests that are not among these.
        failures: the first few, for people.
        seconds: of this run.
        usage: tokens of this run's answers.
    """

    requests: int
    answered: int
    before: int
    failed: int
    left: int
    foreign: int
    failures: tuple[str, ...]
    seconds: float
    usage: Usage


def run(
    requests: Sequence[Request],
    models: Models,
    out: Path,
    errors: Path | None = None,
    *,
    at_once: int = 1,
    limit: int | None = None,
    progress: Progress = quiet,
) -> Summary:
    """Answer all requests that ``out`` has no answers to yet.

    Args:
        requests: of `batchfile.read`.
        models: what they are answered with.
        out: where answers go, each as soon as it is there.
        errors: where failed requests go instead of ``out``; it is written anew.
        at_once: requests that are worked on side by side.
        limit: at most so many of those that are to do.
        progress: told how far it is.

    Raises:
        BusyError, ConfigError: as `batchfile.answers`.
        StoreError: the disk refused. What was answered before stays.
        DamdaError: ten requests in a row failed for the same kind of reason, which is not theirs.
    """
    begun = time.monotonic()
    failing = batchfile.answers(errors, requests, fresh=True) if errors else nullcontext()
    with batchfile.answers(out, requests) as answered, failing as failed:
        todo = [request for request in requests if request.custom_id not in answered.done]
        before = len(requests) - len(todo)
        tally = _Tally(len(requests), before, answered.foreign)
        left = todo[:limit] if limit is not None else todo
        progress("answering", 0, len(left))
        workers = _Workers(left, models, min(at_once, max(1, len(left))))
        try:
            for done in range(1, len(left) + 1):
                request, status, body, error = workers.next()
                target = answered if status == 200 or failed is None else failed
                target.write(batchfile.line(request, status, body))
                tally.add(request, status, body, error)
                progress("answering", done, len(left))
        finally:
            workers.stop()
            for request, status, body, _ in workers.ready():
                if status == 200:
                    answered.write(batchfile.line(request, status, body))
    return tally.summary(time.monotonic() - begun)


_Result = tuple[Request, int, dict[str, object], Exception | None]


class _Workers:
    """Threads that answer; daemons, so that one which waits for a dead server does not hold up the end."""

    def __init__(self, requests: Sequence[Request], models: Models, count: int) -> None:
        self._models, self._stop = models, threading.Event()
        self._left: SimpleQueue[Request] = SimpleQueue()
        self._results: SimpleQueue[_Result] = SimpleQueue()
        self._room = threading.Semaphore(2 * count)  # answers that wait to be written, and those in the making
        for request in requests:
            self._left.put(request)
        self._threads = [threading.Thread(target=self._work, name="damda-generate", daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def next(self) -> _Result:
        """The next that is ready; waits for it."""
        result = self._results.get()
        self._room.release()
        return result

    def stop(self) -> None:
        self._stop.set()
        self._room.release(len(self._threads))
        end = time.monotonic() + _LEAVING
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def ready(self) -> list[_Result]:
        """Those that are ready and that nobody took."""
        results: list[_Result] = []
        while not self._results.empty():
            results.append(self._results.get())
        return results

    def _work(self) -> None:
        while self._room.acquire() and not self._stop.is_set():
            try:
                request = self._left.get_nowait()
            except Empty:
                return
            try:
                self._results.put((request, 200, self._models.answer(request, self._stop.is_set), None))
            except Stopped:
                return
            except Exception as error:  # handed over: one bad request does not end the others
                status, body, _ = described(error)
                self._results.put((request, status, body, error))


class _Tally:
    """Counts, and when to give up."""

    def __init__(self, requests: int, before: int, foreign: int) -> None:
        self._summary = Summary(requests, 0, before, 0, 0, foreign, (), 0.0, Usage())
        self._in_a_row = 0

    def add(self, request: Request, status: int, body: dict[str, Any], error: Exception | None) -> None:
        """Count one. Raises its error when too many failed like it."""
        now = self._summary
        if error is None:
            used, counted = now.usage, body.get("usage") or {}
            prompt = used.prompt_tokens + counted.get("prompt_tokens", 0)
            usage = Usage(prompt, used.completion_tokens + counted.get("completion_tokens", 0))
            self._summary, self._in_a_row = replace(now, answered=now.answered + 1, usage=usage), 0
            return
        said = f"line {request.line} ({request.custom_id}): {status} {body['error']['message']}"
        failures = (*now.failures, said) if len(now.failures) < 5 else now.failures
        self._summary = replace(now, failed=now.failed + 1, failures=failures)
        self._in_a_row = self._in_a_row + 1 if status >= 500 else 0
        if self._in_a_row == _HOPELESS:
            what = f"{_HOPELESS} requests in a row failed, the last with: {body['error']['message']}"
            kind = type(error) if isinstance(error, GeneratorError) else DamdaError
            raise kind(f"{what}; what was answered is stored, run again to go on") from error

    def summary(self, seconds: float) -> Summary:
        now = self._summary
        left = now.requests - now.before - now.answered - now.failed
        return replace(now, left=left, seconds=seconds)


def _parsed(kind: type[Body], body: bytes) -> Body:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise Refused(400, f"{param}: {said}" if param else said, "invalid_value", param or None) from error


def _last(stream: Iterator[Delta | Answer], stopped: Callable[[], bool]) -> tuple[Answer, Finish]:
    """The Answer that a stream ends with, and how its text ended."""
    finish: Finish = "stop"
    items: Any = stream  # a generator, which can be closed
    with closing(items):
        for item in items:
            if isinstance(item, Answer):
                return item, finish
            if stopped():
                raise Stopped
            finish = item.finish or finish
    raise AssertionError("a stream ends with its Answer")


def _unknown(model: str, known: Sequence[str]) -> Refused:
    names = ", ".join(dict.fromkeys(filter(None, known))) or "none here: give a folder, or --generator llama or remote"
    return Refused(404, f"no model {model!r}; there are: {names}", "model_not_found", "model")
