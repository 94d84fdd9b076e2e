"""An answer in the making: sentences tied to quotes, checked by guards, and given out one after another.

Knows: when a sentence may leave. Does not know: where text and passages come from.
"""

from collections.abc import Iterator
from dataclasses import replace

from damda import trace
from damda.answer.guard import Guards, Passages
from damda.answer.prompt import not_found, planted_mark, unsupported_mark, withheld
from damda.answer.quote import Grounder
from damda.answer.release import Units
from damda.asked import number
from damda.types import MASK, NOT_FOUND, Answer, Delta, Found, Quote, Usage, Verdict


class Draft:
    """Takes raw text as it is made; gives out sentences once they are tied to a quote or marked, and checked.

    Args:
        question: as it was asked: what is said to people is in its language.
        asked: as it was searched for.
        seen: the passages that the text is made from, as their guards let them through.
        grounder: ties sentences to them.
        guards: look at each sentence, together with those that it can't be told apart from, before it is given out.
        whole: the span of the answer.

    Attributes:
        blocked: a guard keeps the rest back; nothing more is wanted.
    """

    def __init__(
        self, question: str, asked: str, seen: Passages, grounder: Grounder, guards: Guards, whole: trace.Span
    ) -> None:
        self._question, self._asked, self._seen, self._whole = question, asked, seen, whole
        self._grounder, self._guards = grounder, guards
        self._wanted = number(asked)
        self._units = Units(closed=guards.holding)
        self._done = 0  # characters of the raw text that were given out
        self._text = ""
        self._held = ""  # sentences before the first that has a quote: without one, nothing of them is given out
        self._quotes: list[Quote] = []
        self._unsupported: list[str] = []
        self._verdicts: list[Verdict] = []
        self._usage = Usage()
        self.blocked = False

    def add(self, delta: Delta) -> Iterator[Delta]:
        """Take a piece of raw text; give out the sentences that it completes."""
        self._usage = delta.usage or self._usage
        said = (self._units.text + delta.text).strip()
        if NOT_FOUND.startswith(said[: len(NOT_FOUND)]):
            self._units.text += delta.text  # may still turn out to be "not found"
            return
        for unit in self._units.add(delta.text):
            yield from self._give_out(unit)

    def close(self) -> Iterator[Delta]:
        """Give out what is left."""
        if NOT_FOUND not in self._units.text[: len(NOT_FOUND) + 4]:
            for unit in self._units.close():
                yield from self._give_out(unit)

    def _give_out(self, unit: list[tuple[int, int]]) -> Iterator[Delta]:
        raw = self._units.text
        if self.blocked:
            return
        begin, end = unit[0][0], unit[-1][1]
        checked = self._guards.check("answer", raw[begin:end], self._seen.hits, parent=self._whole)
        self._verdicts += checked.verdicts
        if checked.blocked:
            yield from self._block()
            return
        for start, stop in unit:
            gap = "\n" if "\n" in raw[self._done : start] else " "
            self._done = stop
            self._held += self._release(raw[start:stop], checked.text[start - begin : stop - begin], gap)
            if self._quotes and self._held:
                yield Delta(self._held)
                self._held = ""

    def _block(self) -> Iterator[Delta]:
        self.blocked, self._held = True, ""
        if self._quotes:  # what was given out stays; it is said that there is no more, and why
            piece = f"\n{self._withheld()}"
            self._text += piece
            yield Delta(piece)

    def _withheld(self) -> str:
        return withheld(self._question, self._verdicts[-1].rule)

    def _release(self, sentence: str, shown: str, gap: str) -> str:
        """A sentence with its mark. ``shown`` is what the guards let through of it."""
        with trace.quoting(parent=self._whole) as step:
            quote = self._grounder.ground(sentence)
            trace.quoted(step, shown, quote)
        if quote is None and self._guards.drop:
            found = (Found("unsupported", 0, len(shown)),)
            verdict = Verdict("redact", MASK * len(shown), found, guard="unsupported", place="answer")
            self._verdicts.append(verdict)
            return ""
        if quote is None:
            self._unsupported.append(shown)
            mark = unsupported_mark(self._question)
        else:
            quote = self._guards.quoted(self._answering(quote))
            if quote not in self._quotes:
                self._quotes.append(quote)
            mark = f"[{self._quotes.index(quote) + 1}]"
            if self._seen.planted(quote):
                mark += f" {planted_mark(self._question)}"
        piece = f"{gap if self._text else ''}{shown} {mark}"
        self._text += piece
        return piece

    def _answering(self, quote: Quote) -> Quote:
        span = self._wanted.find(quote.text) if self._wanted else None
        return replace(quote, answer=(quote.start + span[0], quote.start + span[1])) if span else quote

    def answer(self) -> Answer:
        """The Answer: "not found" unless at least one sentence has a quote."""
        found = bool(self._quotes)
        if found:
            text = self._text
        else:
            text = self._withheld() if self.blocked else not_found(self._question)
        return Answer(
            text=text,
            found=found,
            quotes=tuple(self._quotes),
            hits=tuple(self._guards.shown(self._seen.hits)),
            unsupported=tuple(self._unsupported),
            usage=self._usage,
            asked=self._asked if self._asked != self._question else "",
            verdicts=(*self._seen.verdicts, *self._verdicts),
            trace_id=self._whole.trace_id,
        )
