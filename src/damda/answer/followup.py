"""A follow-up question made whole by rules, without a language model.

Knows: what to take of the question before, for each kind of follow-up. Does not know: grammar (``grammar.py``), tokens,
how passages are found.

Every question is read with the last one that stood alone, its head; docs/decisions/0015-followups.md has the figures.
"""

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from damda.answer import grammar
from damda.answer.prompt import language
from damda.types import Message, Morpheme, Tagger

log = logging.getLogger(__name__)

Nearness = Callable[[Sequence[str]], list[float]]
"""How near to each question the nearest passage is: its cosine, in standard deviations of unrelated texts' cosine."""

MARGIN = 0.75
"""By how much a passage has to be nearer to both questions together than to the second alone, so that a sentence with
a noun of its own counts as a follow-up."""

TURNS = 8
"""Earlier questions that are read."""


class Joined(NamedTuple):
    """A question made whole, the question that the next one is read with, and why."""

    whole: str
    head: str
    why: str


class Rules:
    """Makes follow-ups whole. Fits ``history.Whole``.

    Args:
        tagger: splits Korean into morphemes.
        nearness: tells whether two questions belong together; None: a sentence with a noun of its own stands alone.
    """

    def __init__(self, tagger: Tagger, nearness: Nearness | None = None) -> None:
        self._tagger, self._nearness = tagger, nearness
        # The same earlier questions come with each turn.
        self.join = lru_cache(maxsize=1024)(self._join)

    def __call__(self, question: str, history: Sequence[Message]) -> str:
        """The question with what it lacks; unchanged when it stands alone."""
        earlier = [message.content.strip() for message in history if message.role == "user"][-TURNS:]
        head = ""
        for asked in filter(None, earlier):
            head = self.join(asked, head).head
        joined = self.join(question, head)
        if joined.why == "alone":
            return question
        log.debug("%r was read as %r: %s", question, joined.whole, joined.why)
        return joined.whole

    def _join(self, question: str, head: str) -> Joined:
        if grammar.only_opens(question):
            return Joined(question, head, "alone")
        body = question[grammar.opening(question) :]
        if not head:
            return Joined(question, body, "alone")
        korean = language(question) == "ko"
        tokens = self._tagger.tags([body])[0] if korean else []
        kind = grammar.korean(tokens) if korean else grammar.english(body)
        both = f"{body} {head}"
        if kind == "alone" or (kind in ("open", "thin") and not self._belongs(body, head, kind)):
            return Joined(question, body, "alone")
        if kind == "fragment" and korean and (put := self._put(body, tokens, head, both)):
            return Joined(put, put, "in place of a word")
        return Joined(both, head, kind)

    def _belongs(self, body: str, head: str, kind: grammar.Kind) -> bool:
        """Whether some passage is clearly nearer to both questions together than any is to the second alone."""
        if self._nearness is None or language(body) != language(head):
            return False
        alone, together = self._nearness([body, f"{body} {head}"])
        return together - alone >= (MARGIN if kind == "open" else 0)

    def _put(self, body: str, tokens: Sequence[Morpheme], head: str, both: str) -> str:
        """The head with a fragment's only noun phrase in the place of one of its own; "" where that can't be told."""
        new = grammar.phrases(body, tokens)
        if len(new) != 1 or grammar.has_verb(tokens):
            return ""
        said = grammar.phrases(head, self._tagger.tags([head])[0])
        word = body[new[0].start : new[0].end]
        if span := grammar.parallel(body, new[0], head, said):
            return grammar.put(word, head, *span)
        if said and self._nearness is not None:
            first = grammar.put(word, head, said[0].start, said[0].end)
            together, instead = self._nearness([both, first])
            return first if instead > together else ""
        return ""
