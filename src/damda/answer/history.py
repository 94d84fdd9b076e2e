"""The part of a conversation that a follow-up is read with.

Knows: turns and token limits. Does not know: tokenizers, what a turn means.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from damda.types import Message

Count = Callable[[Sequence[str]], list[int]]
"""Tokens of each text."""


class Read(NamedTuple):
    """A question as it is to be searched for, and the part of the history that counts."""

    asked: str
    history: Sequence[Message]


class Whole(Protocol):
    """Makes a question whole that only the conversation before it makes clear; others it gives back as they are."""

    def __call__(self, question: str, history: Sequence[Message]) -> str: ...


@dataclass(frozen=True, slots=True)
class Conversation:
    """Reads questions with their history. Fits ``pipeline.Followup``.

    Attributes:
        count: counts tokens.
        limit: most tokens of history; 0: each question is read alone.
        whole: makes follow-ups whole; None: they are searched for as they are.
    """

    count: Count
    limit: int
    whole: Whole | None

    def read(self, question: str, history: Sequence[Message]) -> Read:
        """The question made whole, and the newest turns that fit the limit."""
        kept = recent(history, self.count, self.limit)
        return Read(self.whole(question, kept) if self.whole and kept and question else question, kept)


def recent(history: Sequence[Message], count: Count, limit: int) -> list[Message]:
    """The newest whole turns that fit ``limit`` tokens together. A turn is a question and what was said to it.

    When not even the newest turn fits, it is cut: the question stays as far as it fits, then its answer's beginning.
    """
    kept: list[Message] = []
    left = limit
    for turn in reversed(_turns(history)):
        taken = sum(count([message.content for message in turn]))
        if taken > left:
            return kept or _cut(turn, count, left)
        kept = [*turn, *kept]
        left -= taken
    return kept


def _turns(history: Sequence[Message]) -> list[list[Message]]:
    turns: list[list[Message]] = []
    for message in history:
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns


def _cut(turn: Sequence[Message], count: Count, limit: int) -> list[Message]:
    kept: list[Message] = []
    for message in turn:
        text = _beginning(message.content, count, limit)
        if not text:
            break
        kept.append(replace(message, content=text))
        limit -= count([text])[0]
    return kept


def _beginning(text: str, count: Count, limit: int) -> str:
    """The longest beginning of a text that takes at most ``limit`` tokens, to within a few characters."""
    if count([text])[0] <= limit:
        return text
    # No tokenizer makes more than a few hundred characters of a token: longer texts need not be counted whole.
    low, high = 0, min(len(text), 64 * limit)
    while high - low > 8:
        middle = (low + high) // 2
        low, high = (middle, high) if count([text[:middle]])[0] <= limit else (low, middle)
    return text[:low].rstrip()
