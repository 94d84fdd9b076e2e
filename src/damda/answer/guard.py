"""The guards of an answer, put together: of the question, of the passages, of each sentence that leaves.

Knows: the order of guards, and what their verdicts do to a text. Does not know: what any guard looks for.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from damda import trace
from damda.types import MASK, Guard, Hit, Message, Place, Quote, Verdict


class Checked(NamedTuple):
    """A text as it may go on, as long as it was; "" where it is blocked. ``verdicts`` of the guards that found
    something."""

    text: str
    verdicts: tuple[Verdict, ...] = ()

    @property
    def blocked(self) -> bool:
        """Whether nothing may go on."""
        return any(not verdict.allowed for verdict in self.verdicts)


class Passages(NamedTuple):
    """Passages as they may go on. ``warned``: ids of those that are flagged."""

    hits: list[Hit]
    warned: frozenset[str] = frozenset()
    verdicts: tuple[Verdict, ...] = ()

    def planted(self, quote: Quote) -> bool:
        """Whether a quote has something in it that is flagged."""
        for hit in self.hits if self.warned else ():
            chunk = hit.chunk
            if chunk.doc_id != quote.doc_id or chunk.id not in self.warned:
                continue
            before = chunk.start - (len(chunk.in_context()) - len(chunk.text))  # found is counted in the context
            for verdict in self.verdicts:
                if verdict.passage == chunk.id and verdict.action == "flag":
                    if any(before + f.start < quote.end and before + f.end > quote.start for f in verdict.found):
                        return True
        return False


class Guards:
    """Checks texts with the guards of their place, one after another; each sees what the one before it let through.

    Args:
        question, passage, answer: the guards of each place.
        masking: those of ``answer`` that mask. The passages that an answer is given out with pass through them too.
        drop: leave sentences out that no passage supports.
    """

    def __init__(
        self,
        question: Sequence[Guard] = (),
        passage: Sequence[Guard] = (),
        answer: Sequence[Guard] = (),
        *,
        masking: Sequence[Guard] = (),
        drop: bool = False,
    ) -> None:
        self._of: dict[Place, Sequence[Guard]] = {"question": question, "passage": passage, "answer": answer}
        self._masking, self.drop = masking, drop

    @property
    def id(self) -> str:
        """Changes whenever a verdict would."""
        parts = [f"{place}({', '.join(guard.id for guard in guards)})" for place, guards in self._of.items() if guards]
        return " ".join([*parts, *(["drop"] if self.drop else [])])

    def of(self, place: Place) -> Sequence[Guard]:
        """The guards of a place."""
        return self._of[place]

    @property
    def holding(self) -> bool:
        """Whether the text of an answer has to be held back until it was checked."""
        return bool(self._of["answer"])

    def check(self, place: Place, text: str, hits: Sequence[Hit] = (), *, parent: trace.Span = trace.OFF) -> Checked:
        """One text.

        Args:
            place: what it is.
            text: it.
            hits: the passages that an answer was made from.
            parent: the span above.
        """
        verdicts: list[Verdict] = []
        for guard in self._of[place]:
            with trace.guarding(name_of(guard), place, parent=parent) as step:
                verdict = replace(guard.check(text, hits), place=place)
                trace.guarded(step, [verdict])
            if verdict.action == "allow":
                continue
            verdicts.append(verdict)
            text = verdict.text
            if not verdict.allowed:
                break
        return Checked(text, tuple(verdicts))

    def history(self, messages: Sequence[Message]) -> list[Message]:
        """A conversation without what its guards keep out: a question that is blocked goes with what was said to it."""
        if not self._of["question"]:
            return list(messages)
        kept: list[Message] = []
        blocked = False
        for message in messages:
            if message.role == "user":
                checked = self.check("question", message.content)
                blocked = checked.blocked
                message = replace(message, content=checked.text)
            if not blocked:
                kept.append(message)
        return kept

    def passages(self, hits: Sequence[Hit], *, parent: trace.Span = trace.OFF) -> Passages:
        """Passages for a generator: what is blocked is left out, what is redacted is masked, also in titles."""
        guards, seen = self._of["passage"], Passages(list(hits))
        for guard in guards:
            with trace.guarding(name_of(guard), "passage", parent=parent) as step:
                verdicts = [_on(guard, hit) for hit in seen.hits]
                trace.guarded(step, verdicts)
            seen = _after(seen, verdicts)
        return seen

    def shown(self, hits: Sequence[Hit]) -> list[Hit]:
        """Passages as they are given out with an answer."""
        return [_in_place(hit, self.masked(hit.chunk.in_context())) for hit in hits] if self._masking else list(hits)

    def quoted(self, quote: Quote) -> Quote:
        """A quote as it is given out: at the same place, with what must not be seen masked."""
        if not self._masking:
            return quote
        return replace(
            quote,
            text=self.masked(quote.text),
            title=self.masked(quote.title),
            heading=self.masked(quote.heading),
        )

    def masked(self, text: str) -> str:
        """A text without what answers mask. What a guard would block altogether is masked whole."""
        for guard in self._masking:
            verdict = guard.check(text)
            text = verdict.text if verdict.allowed else MASK * len(text)
        return text


def _on(guard: Guard, hit: Hit) -> Verdict:
    return replace(guard.check(hit.chunk.in_context()), place="passage", passage=hit.chunk.id)


def _after(seen: Passages, verdicts: Sequence[Verdict]) -> Passages:
    """The passages after a guard has looked at each."""
    pairs = list(zip(seen.hits, verdicts, strict=True))
    kept = [
        _in_place(hit, verdict.text) if verdict.action == "redact" else hit for hit, verdict in pairs if verdict.allowed
    ]
    warned = {verdict.passage for verdict in verdicts if verdict.action == "flag"}
    found = [verdict for verdict in verdicts if verdict.action != "allow"]
    return Passages(kept, seen.warned | warned, (*seen.verdicts, *found))


def name_of(guard: Guard) -> str:
    """Its id without versions and settings: "personal"."""
    return re.split(r"[(:]|-\d", guard.id, maxsplit=1)[0]


def _in_place(hit: Hit, context: str) -> Hit:
    """The hit with the parts of its context put back where they belong."""
    chunk = hit.chunk
    parts, at = [], 0
    for part in (chunk.title, chunk.heading, chunk.text):
        parts.append(context[at : at + len(part)])
        at += len(part) + bool(part)
    title, heading, text = parts
    return replace(hit, chunk=replace(chunk, title=title, heading=heading, text=text))
