"""Text from a GGUF model in this process.

Knows: how chunks become Deltas. Does not know: how a question becomes a request that fits (``fitting``), xllamacpp
(``engine``), grammars (``quoting``), where model files come from.

A model with a chat template gets the messages as they are; one without (a base model) gets worked examples
(``fewshot``), and gives one line. Free text from a chat model streams token by token; a quote and a base model's line
come whole, because only then is it known that they are verbatim, or that they mean "not found".
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from damda import trace
from damda.errors import ConfigError, GeneratorError
from damda.generate import fewshot, fitting, gguf, quoting
from damda.generate.attempt import PLACES, Attempt
from damda.generate.engine import Engine, require
from damda.generate.kv import States
from damda.generate.prefix import Begun, Prefixes
from damda.generate.shared import shared
from damda.generate.techniques import Techniques, techniques
from damda.generate.thinking import HideThinking
from damda.generate.wire import Piece
from damda.generate.worker import Running, pieces
from damda.settings import LlamaSettings
from damda.types import NOT_FOUND, Delta, Hit, Message, Usage
from damda.weights import sha256


@dataclass
class _End:
    finish: Literal["stop", "length"] = "stop"
    usage: Usage | None = None

    def note(self, piece: Piece) -> None:
        if piece.error:
            raise GeneratorError(f"llama.cpp failed: {piece.error}")
        self.finish = "length" if piece.finish == "length" else self.finish
        if piece.spared:
            trace.spared(*piece.spared)
        self.usage = piece.usage or self.usage

    def delta(self) -> Delta:
        return Delta(finish=self.finish, usage=self.usage)


class _Loaded(NamedTuple):
    """A GGUF file in memory; ``chats``: it has a chat template."""

    engine: Engine
    chats: bool
    prefixes: Prefixes | None


def _load(path: Path, settings: LlamaSettings, wanted: Techniques, kv_folder: Path | None) -> _Loaded:
    facts = gguf.header(path)
    context = min(settings.context, int(facts.context * wanted.factor) or settings.context)
    states = States(kv_folder, settings.kv_megabytes) if kv_folder else None
    kept = states.folder if states and states.ready() else None
    engine = Engine(
        path,
        context=context,
        threads=settings.threads,
        slots=settings.slots,
        states=kept,
        techniques=wanted,
        trained=facts.context,
    )
    # All of the file is hashed: a state under other weights is nonsense that nobody notices.
    prefixes = Prefixes(engine, states, sha256(path)) if states and kept else None
    return _Loaded(engine, facts.chat_template, prefixes)


class Llama:
    """A Generator and Completer over a GGUF file, ``settings.slots`` answers at a time.

    Cheap to make: the weights load at the first ``stream()`` or ``complete()``, once for all threads. Two of these
    over one file with the same context, threads and slots share them, whatever their mode.

    Args:
        settings: ``mode`` "quote" lets the model only copy from ``passages`` (or say that nothing answers), "write"
            lets it write.
        path: where ``settings.model`` was found; None: ``settings.model`` is a path itself.
        kv_folder: where ``settings.kv`` keeps what was computed of prompts; None: nothing is kept.

    Raises:
        MissingExtra: xllamacpp is not installed.
        ConfigError: no model is set.
        WeightsError: the file is missing or no GGUF.
    """

    def __init__(self, settings: LlamaSettings, *, path: Path | None = None, kv_folder: Path | None = None) -> None:
        require()
        if path is None and not settings.model:
            raise ConfigError("llama.model is not set: give a GGUF file, or a name that `damda models` lists")
        self._path = path or Path(settings.model).expanduser()
        self._settings = settings
        fingerprint = gguf.fingerprint(self._path)
        wanted = techniques(settings)
        named = (self._path.name, fingerprint, settings.mode, wanted.changing)
        self._id = ":".join(["llama", *filter(None, named)])
        self._kv_folder = kv_folder.absolute() if kv_folder and settings.kv else None
        self._techniques = [*wanted.said, f"{settings.slots} at once"]
        self._techniques += ["saved prompts"] if self._kv_folder else []
        size = (settings.context, settings.threads, settings.slots)
        key = (self._path.absolute(), fingerprint, *size, wanted, self._kv_folder)
        self._weights = shared(key, partial(_load, self._path, settings, wanted, self._kv_folder))

    def __repr__(self) -> str:
        return f"Llama({str(self._path)!r}, mode={self._settings.mode!r})"

    @property
    def id(self) -> str:
        """File name, a hash of the file's size and edges, and the mode."""
        return self._id

    def close(self) -> None:
        """Gives the memory back once what runs has ended; the next ``stream()`` loads again."""
        self._weights.drop()

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
        """See ``Writer``. With one slot the same arguments give the same text, also above temperature 0: the seed
        is fixed. With more, what is asked at the same time changes how sums are rounded, and with it now and then a
        word (docs/decisions/0016-many-at-once.md). More than ``slots`` at once wait for their turn.

        Passages that the context has no room for are left out whole, the last ones first, with a log line. For that
        the passages' texts must stand verbatim and in their order in one of the messages.

        Raises:
            GeneratorError: the model does not load, or the prompt does not fit even with one passage.
        """
        trace.running(self._techniques)
        quote = self._settings.mode == "quote"
        if schema and quote:
            raise GeneratorError(quoting.NO_SCHEMA)
        engine, chats, prefixes = self._weights.get()
        request, kept = fitting.fit(engine, messages, passages, chats=chats, quote=quote, max_tokens=max_tokens)
        request |= {"max_tokens": max_tokens, "temperature": temperature}
        request["stop"] = [*stop] if chats or schema else [*stop, fewshot.STOP]
        if schema:
            request["json_schema"] = json.loads(schema)
        absent = NOT_FOUND if chats else fewshot.ABSENT
        choice = quoting.quotable([hit.chunk.text for hit in kept]) if quote else []
        if quote and not choice:
            yield from (Delta(NOT_FOUND), Delta(finish="stop"))  # there is nothing that could be quoted
            return
        if quote:
            request["grammar"] = quoting.grammar(choice, absent, line=not chats)
        end = _End()
        answer = pieces(begun(prefixes, messages, kept, request) or engine, request)
        if schema or (chats and not quote):
            yield from _flow(answer, end)
        else:
            yield Delta(quoting.meant(_drain(answer, end), absent, choice))
        yield end.delta()

    def attempt(self, messages: Sequence[Message], hit: Hit, *, max_tokens: int = 512) -> Attempt | None:
        """See ``Quoter`` (damda.answer.each). Runs from now on, whoever waits for it; more than ``slots`` take turns.

        Raises:
            GeneratorError: the model does not load, or the prompt does not fit.
        """
        trace.running(self._techniques)
        choice = quoting.quotable([hit.chunk.text])
        if not choice:
            return None
        engine, chats, prefixes = self._weights.get()
        # What it is told is what it may have been taught with; that it must copy, the grammar sees to.
        request, kept = fitting.fit(engine, messages, [hit], chats=chats, quote=False, max_tokens=max_tokens)
        request |= {"max_tokens": max_tokens, "temperature": 0.0, "stop": [] if chats else [fewshot.STOP]}
        request |= {"logprobs": True, "top_logprobs": PLACES} if chats else {"logprobs": PLACES}
        request["grammar"] = quoting.grammar(choice, "", line=not chats)
        running = Running(begun(prefixes, messages, kept, request) or engine, request)
        return Attempt(running, choice, NOT_FOUND if chats else fewshot.ABSENT)

    def complete(
        self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, stop: Sequence[str] = ()
    ) -> Iterator[Delta]:
        """See ``Completer``. ``settings.mode`` does not matter here.

        Raises:
            GeneratorError: the model does not load, or the prompt does not fit.
        """
        trace.running(self._techniques)
        engine = self._weights.get().engine
        request = fitting.fit_prompt(engine, prompt, max_tokens)
        request |= {"max_tokens": max_tokens, "temperature": temperature, "stop": [*stop]}
        end = _End()
        for piece in pieces(engine, request):
            end.note(piece)
            if piece.text:
                yield Delta(piece.text)
        yield end.delta()


def begun(
    prefixes: Prefixes | None, messages: Sequence[Message], kept: Sequence[Hit], request: Mapping[str, object]
) -> Begun | None:
    """For a request that begins with passages: what continues their saved state, and saves it the first time."""
    tokens = prefixes.shared(request, _twin(messages, kept, request)) if prefixes else []
    return Begun(prefixes, tokens) if prefixes and tokens else None


def _twin(messages: Sequence[Message], kept: Sequence[Hit], request: Mapping[str, object]) -> dict[str, object]:
    """A request that begins as the given one does, up to what the user says first; that is another letter."""
    said = request.get("messages")
    if not isinstance(said, list):
        return {"prompt": fewshot.prompt(_other(messages[-1].content), [hit.chunk.text for hit in kept])}
    start = next((at for at, message in enumerate(messages) if message.role != "system"), len(said) - 1)
    return {**request, "messages": [*said[:start], {"role": "user", "content": _other(messages[start].content)}]}


def _other(text: str) -> str:
    return "B" if text.lstrip().startswith("A") else "A"


def _flow(answer: Iterator[Piece], end: _End) -> Iterator[Delta]:
    thinking = HideThinking()
    for piece in answer:
        end.note(piece)
        if text := thinking.feed(piece.text):
            yield Delta(text)
    if text := thinking.rest():
        yield Delta(text)


def _drain(answer: Iterator[Piece], end: _End) -> str:
    text = ""
    for piece in answer:
        end.note(piece)
        text += piece.text
    return text.strip()
