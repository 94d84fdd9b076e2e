"""The bare language model, guarded and remembered: what is said goes out sentence by sentence, each checked before.

Knows: the order of the steps. Does not know: what guards look for, how a cache keeps what it is given, HTTP.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from damda import trace
from damda.answer.guard import Guards
from damda.answer.prompt import withheld
from damda.answer.release import Units
from damda.errors import GeneratorError
from damda.korean import sentences
from damda.types import Answer, Completer, Delta, Finish, Generator, Hit, Message, Recall, Usage, Verdict


class Writer(Generator, Completer, Protocol):
    """A language model by itself. ``schema``: a JSON schema that what it streams keeps to ("": any text)."""

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        schema: str = "",
    ) -> Iterator[Delta]: ...


class Said(NamedTuple):
    """What a language model said once, and how it is known: "exact", or "semantic" for the earlier question."""

    text: str
    finish: Finish
    usage: Usage
    how: str
    earlier: str


class Texts(Protocol):
    """Remembers what a language model said; see ``types.Cache``."""

    def get(self, question: str, scope: str) -> Said | None: ...

    def put(self, question: str, scope: str, text: str, finish: Finish, usage: Usage) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a text: how long, how free (0: the same every time), what ends it, and a JSON schema that a conversation's
    answer keeps to ("": any text)."""

    max_tokens: int = 512
    temperature: float = 0.0
    stop: Sequence[str] = ()
    schema: str = ""


class Direct:
    """A language model by itself.

    Args:
        writer: it.
        guards: of questions and answers; those of passages have nothing to look at here.
        texts: remembers what was said at temperature 0; None: it is asked each time.
    """

    def __init__(self, writer: Writer, guards: Guards, texts: Texts | None = None) -> None:
        self._writer, self._guards, self._texts = writer, guards, texts

    @property
    def id(self) -> str:
        """The writer's."""
        return self._writer.id

    def ask(self, question: str, limits: Limits | None = None, *, recall: Recall = "use") -> Answer:
        """The whole answer to one question; errors as in `chat`."""
        *_, answer = self.chat([Message("user", question)], limits or Limits(), recall=recall)
        assert isinstance(answer, Answer)
        return answer

    def chat(self, messages: Sequence[Message], limits: Limits, *, recall: Recall = "use") -> Iterator[Delta | Answer]:
        """Answer a conversation; the last item is the Answer, the one before it has how the text ended.

        Raises:
            GeneratorError: the model failed, or did not keep to a schema.
        """
        return self._stream(messages, limits, recall, trace.current(), chat=True)

    def complete(self, prompt: str, limits: Limits, *, recall: Recall = "use") -> Iterator[Delta | Answer]:
        """Go on from a prompt; as `chat`."""
        return self._stream([Message("user", prompt)], limits, recall, trace.current(), chat=False)

    def _stream(
        self, messages: Sequence[Message], limits: Limits, recall: Recall, caller: trace.Span, *, chat: bool
    ) -> Iterator[Delta | Answer]:
        said, verdicts = self._checked(messages, caller)
        question = messages[-1].content
        if verdicts and not verdicts[-1].allowed:
            text = withheld(question, verdicts[-1].rule)
            yield from (Delta(text), Delta(finish="content_filter", usage=Usage()))
            yield Answer(text, found=False, verdicts=verdicts, trace_id=caller.trace_id)
            return
        texts = self._texts if limits.temperature == 0 and recall != "off" else None
        scope = self._scope(said, limits, chat) if texts else ""
        if texts and recall == "use":
            with trace.recalling(parent=caller) as step:
                known = texts.get(said[-1].content, scope)
                trace.recalled(step, known.how if known else "")
            if known:
                yield from _replayed(known)
                yield Answer(
                    known.text,
                    usage=known.usage,
                    verdicts=verdicts,
                    cached=known.how,
                    cached_for=known.earlier,
                    trace_id=caller.trace_id,
                )
                return
        release = _Release(question, self._guards, caller)
        deltas: Any = self._written(said, limits, caller, chat)
        with closing(deltas):
            for delta in deltas:
                yield from release.add(delta)
                if release.blocked:
                    break
        yield from release.close()
        answer = release.answer(verdicts)
        if limits.schema and not answer.blocked and release.finish == "stop":
            _parsed(answer.text)
        if texts and not answer.blocked:
            texts.put(said[-1].content, scope, answer.text, release.finish, answer.usage)
        yield answer

    def _checked(self, messages: Sequence[Message], caller: trace.Span) -> tuple[list[Message], tuple[Verdict, ...]]:
        """All that a user said, as the guards let it through. They say so of the last message only: what was said
        before was told before, or was left out then."""
        checked = self._guards.check("question", messages[-1].content, parent=caller)
        before = self._guards.history(messages[:-1])
        return [*before, replace(messages[-1], content=checked.text)], checked.verdicts

    def _scope(self, messages: Sequence[Message], limits: Limits, chat: bool) -> str:
        """A hash of all that the text depends on beside the last message."""
        before = [(message.role, message.content) for message in messages[:-1]]
        parts = (chat, self.id, self._guards.id, limits.max_tokens, list(limits.stop), limits.schema, before)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _written(self, said: Sequence[Message], limits: Limits, caller: trace.Span, chat: bool) -> Iterator[Delta]:
        most, temperature, stop = limits.max_tokens, limits.temperature, limits.stop

        def make() -> Iterator[Delta]:
            if chat:
                return self._writer.stream(
                    said, max_tokens=most, temperature=temperature, stop=stop, schema=limits.schema
                )
            return self._writer.complete(said[-1].content, max_tokens=most, temperature=temperature, stop=stop)

        with trace.generation(said, most, temperature, parent=caller, model=lambda: self._writer.id) as step:
            deltas: Any = step.steps(make())
            with closing(deltas):
                for delta in deltas:
                    step.took(delta)
                    yield delta


class _Release:
    """Text in the making, given out as it was checked."""

    def __init__(self, question: str, guards: Guards, whole: trace.Span) -> None:
        self._question, self._guards, self._whole = question, guards, whole
        self._units = Units(closed=True)
        self._done = 0
        self._text = ""
        self._verdicts: list[Verdict] = []
        self._usage = Usage()
        self.finish: Finish = "stop"
        self.blocked = False

    def add(self, delta: Delta) -> Iterator[Delta]:
        """Take a piece; give out what may leave."""
        self._usage, self.finish = delta.usage or self._usage, delta.finish or self.finish
        if not self._guards.holding:  # nothing is held back where nothing looks at it
            self._text += delta.text
            if delta.text:
                yield Delta(delta.text)
            return
        for unit in self._units.add(delta.text):
            yield from self._give_out(unit[-1][1])

    def close(self) -> Iterator[Delta]:
        """Give out what is left, and how it ended."""
        if self._guards.holding and not self.blocked and self._done < len(self._units.text):
            yield from self._give_out(len(self._units.text))
        yield Delta(finish=self.finish, usage=self._usage)

    def _give_out(self, end: int) -> Iterator[Delta]:
        if self.blocked:
            return
        checked = self._guards.check("answer", self._units.text[self._done : end], parent=self._whole)
        self._verdicts += checked.verdicts
        piece = checked.text
        if checked.blocked:
            self.blocked, self.finish = True, "content_filter"
            piece = ("\n" if self._text else "") + withheld(self._question, checked.verdicts[-1].rule)
        self._done = end
        self._text += piece
        yield Delta(piece)

    def answer(self, verdicts: tuple[Verdict, ...]) -> Answer:
        """The whole."""
        return Answer(
            self._text,
            found=not self.blocked,
            usage=self._usage,
            verdicts=(*verdicts, *self._verdicts),
            trace_id=self._whole.trace_id,
        )


def _parsed(text: str) -> None:
    """Some servers take a schema and ignore it. That must not look like data."""
    try:
        json.loads(text)
    except ValueError as error:
        raise GeneratorError(f"the answer does not keep to the schema, it is no JSON: {text[:80]!r}") from error


def _replayed(known: Said) -> Iterator[Delta]:
    """What is remembered, as a stream again."""
    done = 0
    for _, end in sentences(known.text):
        yield Delta(known.text[done:end])
        done = end
    if done < len(known.text):
        yield Delta(known.text[done:])
    yield Delta(finish=known.finish, usage=known.usage)
