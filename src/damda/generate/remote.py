"""Text from any OpenAI-compatible endpoint (vLLM, SGLang, Ollama, OpenAI) over HTTP.

Knows: what to ask, when to ask again, and when an answer is whole. Does not know: how prompts are made, what the bytes
look like (``wire``), or what a refusal means (``endpoint``).
"""

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from damda import trace
from damda.errors import GeneratorError
from damda.generate import wire
from damda.generate.endpoint import Again, Endpoint, few
from damda.generate.thinking import HideThinking
from damda.settings import RemoteSettings
from damda.types import Delta, Hit, Message, Usage

if TYPE_CHECKING:
    import httpx

LENGTH = frozenset({"length", "max_tokens", "model_length"})
CHAT, TEXT = "/chat/completions", "/completions"
CUT = frozenset({"content_filter", "abort", "error"})


@dataclass
class _Reply:
    """What one answer amounts to so far."""

    thinking: HideThinking | None
    usage: Usage | None = None
    finish: str = ""
    done: bool = False

    def shown(self, text: str) -> str:
        """What of the next piece is no thought."""
        return self.thinking.feed(text) if self.thinking else text

    def rest(self) -> str:
        return self.thinking.rest() if self.thinking else ""

    def last(self) -> Delta:
        finish: Literal["stop", "length"] = "length" if self.finish in LENGTH else "stop"
        return Delta(finish=finish, usage=self.usage)


class Remote:
    """A Generator and Completer that asks a server.

    Nothing is sent before the first ``stream()`` or ``complete()``, except that ``id`` asks ``/models`` where ``model``
    is empty.

    Args:
        settings: ``url`` is the base URL, usually ending in ``/v1``; an empty ``model`` takes the server's only one.
        transport: in the network's place, for tests.
        sleep: waits between tries.

    Raises:
        ConfigError: the URL is missing or no http(s) URL, or the key can't be a key.
    """

    def __init__(
        self,
        settings: RemoteSettings,
        *,
        transport: "httpx.BaseTransport | None" = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._endpoint = Endpoint(settings, transport)
        self._retries, self._timeout = settings.retries, settings.timeout
        self._sleep = sleep
        self._model = settings.model
        self._unwanted: frozenset[str] = frozenset()  # parameters that this server does not take

    def __repr__(self) -> str:
        return f"Remote({self._model!r} at {self._endpoint.shown!r})"

    @property
    def id(self) -> str:
        """``remote:MODEL@HOST``. Raises GeneratorError where the model has to be asked for and isn't told."""
        try:
            return f"remote:{self._resolve()}@{self._endpoint.host}"
        except Again as again:
            raise again.error from again.__cause__

    def offers(self) -> list[str]:
        """Names of the models that the server has.

        Raises:
            GeneratorError: it doesn't tell.
        """
        try:
            return self._endpoint.offers()
        except Again as again:
            raise again.error from again.__cause__

    def close(self) -> None:
        """Gives the connections back; the next ``stream()`` opens new ones."""
        self._endpoint.close()

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        schema: str = "",
    ) -> Iterator[Delta]:
        """See ``Writer``. Tries again only while nothing was streamed; ``passages`` stand in the messages already.

        Raises:
            UnreachableError: no connection, or no byte in ``settings.timeout`` seconds.
            GeneratorError: the server refused, sent something else, or broke off; the message says which.
        """
        said = [{"role": message.role, "content": message.content} for message in messages]
        asked: dict[str, object] = {"messages": said}
        if schema:
            asked["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": json.loads(schema)},
            }
        return self._stream(CHAT, asked, max_tokens, temperature, stop)

    def complete(
        self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, stop: Sequence[str] = ()
    ) -> Iterator[Delta]:
        """See ``Completer``: asks ``/completions``, which not every server has. Errors as in `stream`."""
        return self._stream(TEXT, {"prompt": prompt}, max_tokens, temperature, stop)

    def _stream(
        self, path: str, asked: Mapping[str, object], max_tokens: int, temperature: float, stop: Sequence[str]
    ) -> Iterator[Delta]:
        body: dict[str, object] = {
            **asked,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": max_tokens,
            "temperature": temperature,
        }
        if stop:
            body["stop"] = list(stop)
        sent = tries = 0
        while True:
            try:
                for delta in self._attempt(path, body):
                    sent += len(delta.text)
                    yield delta
                return
            except GeneratorError as error:
                raise _after(error, sent) from error.__cause__
            except Again as again:
                if sent:
                    raise _after(again.error, sent) from again.__cause__
                if again.without:
                    self._unwanted |= {again.without}
                else:
                    self._wait(again, tries)
                    tries += 1

    def _wait(self, again: Again, tries: int) -> None:
        """Sleeps before the next try, or raises what went wrong where there is none."""
        if tries >= self._retries:
            raise again.error from again.__cause__
        backoff = min(8.0, 0.5 * 2**tries) * random.uniform(1.0, 1.5)  # jitter: clients must not return in step
        wait = backoff if again.wait is None else again.wait
        if wait > self._timeout:
            raise GeneratorError(f"{again.error}; it asks to wait {wait:.0f} s") from again.__cause__
        self._sleep(wait)

    def _attempt(self, path: str, body: Mapping[str, object]) -> Iterator[Delta]:
        import httpx

        asked = {"model": self._resolve()} | {key: body[key] for key in body if key not in self._unwanted}
        if "max_tokens" in self._unwanted:  # OpenAI's newer models know it by another name
            asked["max_completion_tokens"] = body["max_tokens"]
        endpoint, reply = self._endpoint, _Reply(HideThinking() if path == CHAT else None)
        try:
            with endpoint.client().stream("POST", f"{endpoint.base}{path}", json=asked) as response:
                if response.status_code != 200:
                    raise endpoint.refusal(response, asked)
                yield from self._read(response, reply)
        except httpx.RequestError as error:
            if not reply.finish:  # else only the usage or [DONE] was lost: the answer is whole
                raise endpoint.lost(error) from error
        if not (reply.finish or reply.done):
            raise Again(GeneratorError(f"{endpoint.shown} broke off in the middle of its answer"))
        if reply.finish in CUT:
            raise GeneratorError(f"{endpoint.shown} cut its answer off: {reply.finish}")
        yield reply.last()

    def _read(self, response: "httpx.Response", reply: _Reply) -> Iterator[Delta]:
        for data in _data(response):
            if data == wire.DONE:
                reply.done = True
                break
            piece = wire.piece(wire.parse(data))
            if piece is None:
                raise self._garbage(response, data)
            if piece.error:
                error = self._endpoint.scrub(piece.error)
                raise Again(GeneratorError(f"{self._endpoint.shown} failed while answering: {error}"))
            reply.usage, reply.finish = piece.usage or reply.usage, piece.finish or reply.finish
            if piece.spared:
                trace.spared(*piece.spared)
            if text := reply.shown(piece.text):
                yield Delta(text)
        if text := reply.rest():
            yield Delta(text)

    def _garbage(self, response: "httpx.Response", data: str) -> GeneratorError:
        start = self._endpoint.scrub(" ".join(data.split())[:80])
        what = f"{response.headers.get('content-type', 'no type')}: {start!r}"
        kind = "chat completion" if response.url.path.endswith(CHAT) else "completion"
        return GeneratorError(f"{self._endpoint.shown} sent no {kind} ({what}); does remote.url lack /v1?")

    def _resolve(self) -> str:
        """The model's name; asked for once where the settings have none."""
        if not self._model:
            names = self._endpoint.offers()
            if len(names) != 1:
                choice = f"set remote.model to one of: {few(names)}"
                raise GeneratorError(f"{self._endpoint.shown} has {len(names)} models; {choice}")
            self._model = names[0]
        return self._model


def _data(response: "httpx.Response") -> Iterable[str]:
    """The chunks of a stream, also of one under a wrong name; else the whole body as one."""
    if "event-stream" in response.headers.get("content-type", ""):
        return wire.events(response.iter_bytes())
    body = response.read()
    return wire.events([body]) if body.lstrip().startswith(b"data:") else [body.decode("utf-8", "replace")]


def _after(error: GeneratorError, sent: int) -> GeneratorError:
    return type(error)(f"{error} (after {sent} characters)") if sent else error
