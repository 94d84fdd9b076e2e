"""A model in this process as a Generator and Completer, whatever runs it.

Knows: what a model with a chat template is asked and what one without, what of its text is an answer. Does not know:
tokens, engines.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from damda import trace
from damda.errors import GeneratorError
from damda.generate import fewshot, fitting, quoting
from damda.generate.shared import Shared
from damda.generate.thinking import HideThinking
from damda.types import NOT_FOUND, Delta, Hit, Message


class Loaded(fitting.Counts, Protocol):
    """A model in memory."""

    @property
    def chats(self) -> bool:
        """It has a chat template."""
        ...

    def run(
        self,
        request: Mapping[str, object],
        *,
        most: int,
        temperature: float,
        stop: Sequence[str],
        grammar: str = "",
        schema: str = "",
    ) -> Iterator[Delta]:
        """Text as it comes, such as a grammar (`quoting.ebnf`) or a JSON schema allows ("": any); the last Delta says
        how it ended."""
        ...


Held = TypeVar("Held", bound=Loaded)


class Local(Generic[Held]):
    """Cheap to make: the weights load at the first ``stream()`` or ``complete()``.

    Args:
        name: what tells it from others whose answers may differ.
        weights: the model, loaded when it is first asked for.
        techniques: how it works, for traces.
        quote: the model can only copy from ``passages``, or say that nothing answers.
    """

    def __init__(
        self, name: str, weights: Shared[Held], techniques: Sequence[str] = (), *, quote: bool = False
    ) -> None:
        self._id, self._weights, self._techniques, self._quote = name, weights, techniques, quote

    @property
    def id(self) -> str:
        """Its name, and a hash of its weights' sizes and edges."""
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
        """See ``Writer``. Passages that the context has no room for are left out whole, the last ones first.

        Raises:
            GeneratorError: the model fails, can't keep to a schema, or the prompt does not fit even with one passage.
            WeightsError: it can't be loaded.
        """
        trace.running(self._techniques)
        if schema and self._quote:
            raise GeneratorError(quoting.NO_SCHEMA)
        loaded = self._weights.get()
        request, kept = fitting.fit(
            loaded, messages, passages, chats=loaded.chats, quote=self._quote, max_tokens=max_tokens
        )
        if schema:
            yield from loaded.run(request, most=max_tokens, temperature=temperature, stop=stop, schema=schema)
            return
        if self._quote:
            yield from self._quoted(loaded, request, kept, most=max_tokens, temperature=temperature, stop=stop)
            return
        if loaded.chats:
            yield from _shown(loaded.run(request, most=max_tokens, temperature=temperature, stop=stop))
            return
        ends = [*stop, fewshot.STOP]
        deltas = [*loaded.run(request, most=max_tokens, temperature=temperature, stop=ends)]
        said = "".join(delta.text for delta in deltas).strip()
        yield Delta(NOT_FOUND if not said or said.rstrip(".") == fewshot.ABSENT else said)
        yield deltas[-1]

    def _quoted(
        self,
        loaded: Loaded,
        request: Mapping[str, object],
        kept: Sequence[Hit],
        *,
        most: int,
        temperature: float,
        stop: Sequence[str],
    ) -> Iterator[Delta]:
        absent = NOT_FOUND if loaded.chats else fewshot.ABSENT
        choice = quoting.quotable([hit.chunk.text for hit in kept])
        if not choice:
            yield from (Delta(NOT_FOUND), Delta(finish="stop"))  # there is nothing that could be quoted
            return
        grammar = quoting.ebnf(choice, absent, line=not loaded.chats)
        ends = stop if loaded.chats else [*stop, fewshot.STOP]
        deltas = [*loaded.run(request, most=most, temperature=temperature, stop=ends, grammar=grammar)]
        yield Delta(quoting.meant("".join(delta.text for delta in deltas).strip(), absent, choice))
        yield deltas[-1]

    def complete(
        self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, stop: Sequence[str] = ()
    ) -> Iterator[Delta]:
        """See ``Completer``.

        Raises:
            GeneratorError, WeightsError: as in `stream`.
        """
        trace.running(self._techniques)
        loaded = self._weights.get()
        request = fitting.fit_prompt(loaded, prompt, max_tokens)
        yield from loaded.run(request, most=max_tokens, temperature=temperature, stop=stop)


def _shown(deltas: Iterator[Delta]) -> Iterator[Delta]:
    thinking = HideThinking()
    for delta in deltas:
        if delta.finish:
            if text := thinking.rest():
                yield Delta(text)
            yield delta
        elif text := thinking.feed(delta.text):
            yield Delta(text)
