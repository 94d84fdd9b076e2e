"""What an OpenAI-compatible server sends: server-sent events, chat completion chunks, error bodies.

Format: https://platform.openai.com/docs/api-reference/chat-streaming. Knows: the shapes that vLLM, SGLang, Ollama and
OpenAI give them. Does not know: connections, retries, settings.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from damda.types import Usage

DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was written, its log-probability (nats), and those of the likeliest ones in its place."""

    text: str
    likely: float
    places: tuple[tuple[str, float], ...]


class Spared(NamedTuple):
    """What a server was spared, as far as it says.

    Attributes:
        cached: tokens of the prompt that it had read before.
        guessed, right: tokens that were guessed ahead, and those of them that were taken.
    """

    cached: int = 0
    guessed: int = 0
    right: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk of a chat completion. ``finish`` is the server's own word; ``error`` one that came mid-stream;
    ``tokens`` are there where log-probabilities were asked for; ``spared`` comes near the end, if at all."""

    text: str = ""
    finish: str = ""
    usage: Usage | None = None
    error: str = ""
    tokens: tuple[Token, ...] = ()
    spared: Spared | None = None


def events(chunks: Iterable[bytes]) -> Iterator[str]:
    """The data of each server-sent event.

    Lines are split here and not by httpx: its ``iter_lines`` also splits at U+2028 and the like, which may stand
    unescaped in JSON strings.
    """
    data: list[str] = []
    for line in _lines(chunks):
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data = []
    last = "\n".join(data)
    if last == DONE or parse(last) is not None:  # the last blank line was forgotten; else the stream broke off in here
        yield last


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")


def parse(data: str) -> object:
    """JSON, or None for what is none: nobody here tells a wrong shape from no shape."""
    try:
        value: object = json.loads(data)
    except ValueError:
        return None
    return value


def piece(body: object) -> Piece | None:
    """A chunk, or a whole completion from a server that does not stream; None for what is neither.

    ``reasoning_content`` and ``reasoning`` beside the content are left out: thoughts are no answer.
    """
    if not isinstance(body, dict):
        return None
    if body.get("error"):
        return Piece(error=reason(body) or "no reason given")
    if "choices" not in body:
        return Piece(usage=_usage(body), spared=_spared(body)) if "usage" in body else None
    paths: tuple[tuple[str, ...], ...] = (("delta", "content"), ("message", "content"), ("text",))
    said = next((text for path in paths if (text := at(body, "choices", 0, *path))), "")
    finish = at(body, "choices", 0, "finish_reason")
    return Piece(
        text=whole(said) if isinstance(said, str) else "",
        finish=finish if isinstance(finish, str) else "",
        usage=_usage(body),
        tokens=_tokens(at(body, "choices", 0, "logprobs", "content")),
        spared=_spared(body),
    )


def models(body: object) -> list[str] | None:
    """The names in an answer of ``/models``; None where it is no such answer."""
    rows = at(body, "data")
    if not isinstance(rows, list):
        return None
    names = [at(row, "id") for row in rows]
    return [name for name in names if isinstance(name, str)]


def reason(body: object) -> str:
    """The server's own words for an error, in one line; "" where it has none."""
    for path in (("error", "message"), ("error",), ("message",), ("detail",)):
        said = at(body, *path)
        if isinstance(said, str) and said:
            return whole(" ".join(said.split())[:300])
    where, what = at(body, "detail", 0, "loc"), at(body, "detail", 0, "msg")  # FastAPI's validation errors
    if isinstance(where, list) and isinstance(what, str):
        return f"{'.'.join(map(str, where))}: {what}"[:300]
    return ""


def whole(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON can hold and UTF-8 can't."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def at(value: object, *path: str | int) -> object:
    """``value[path[0]][path[1]]...``, or None as soon as the shape is another one."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def number(value: object, *path: str | int) -> int:
    """`at` for a whole number; 0 where there is none."""
    found = at(value, *path)
    return found if isinstance(found, int) else 0


def _tokens(rows: object) -> tuple[Token, ...]:
    """Of ``logprobs.content``."""
    if not isinstance(rows, list):
        return ()
    pairs = [_likely(row) for row in rows]
    tops = [at(row, "top_logprobs") for row in rows]
    places = [tuple(map(_likely, top)) if isinstance(top, list) else () for top in tops]
    return tuple(Token(*pair, place) for pair, place in zip(pairs, places, strict=True))


def _likely(row: object) -> tuple[str, float]:
    text, likely = at(row, "token"), at(row, "logprob")
    return whole(text) if isinstance(text, str) else "", likely if isinstance(likely, float | int) else -math.inf


def _spared(body: object) -> Spared | None:
    """llama.cpp's ``timings``, or what OpenAI and vLLM say of the prompt's tokens."""
    if isinstance(times := at(body, "timings"), dict):
        return Spared(*(number(times, key) for key in ("cache_n", "draft_n", "draft_n_accepted")))
    cached = number(body, "usage", "prompt_tokens_details", "cached_tokens")
    return Spared(cached) if cached else None


def _usage(body: object) -> Usage | None:
    prompt, completion = at(body, "usage", "prompt_tokens"), at(body, "usage", "completion_tokens")
    if not isinstance(prompt, int):
        return None
    return Usage(prompt, completion if isinstance(completion, int) else 0)
