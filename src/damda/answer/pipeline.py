"""A question to an Answer: make it whole, retrieve, generate, quote.

Knows: the order of the steps, and that nothing is said to be found without a quote. Does not know: how any step works.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from damda import trace
from damda.answer.history import Read
from damda.answer.prompt import language, messages, not_found, unsupported_mark
from damda.answer.quote import Documents, Grounder
from damda.asked import number
from damda.korean import nfc, sentences
from damda.types import NOT_FOUND, Analyser, Answer, Delta, Generator, Hit, Message, Quote, Searcher, Usage, Where


class Followup(Protocol):
    """Reads a question with the conversation before it."""

    def read(self, question: str, history: Sequence[Message]) -> Read:
        """The question as it is to be searched for, and the part of the history that counts."""
        ...


class Pipeline:
    """Answers questions.

    Args:
        searcher: finds passages.
        generator: makes text of them.
        documents: looks up stored documents, for checking quotes.
        analyser: for sentences in other words than the passages'.
        passages: how many passages the generator sees.
        max_tokens, temperature: handed to the generator.
        source: what traces call the documents.
        followup: makes follow-up questions whole; None: each question is searched for as it is.
    """

    def __init__(
        self,
        searcher: Searcher,
        generator: Generator,
        documents: Documents,
        analyser: Analyser,
        *,
        passages: int,
        max_tokens: int,
        temperature: float,
        source: str = "",
        followup: Followup | None = None,
    ) -> None:
        self._searcher, self._generator = searcher, generator
        self._documents, self._analyser = documents, analyser
        self._passages, self._max_tokens, self._temperature = passages, max_tokens, temperature
        self._source = source
        self._followup = followup

    def ask(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        where: Where | None = None,
        passages: Sequence[Hit] | None = None,
    ) -> Answer:
        """The whole answer."""
        *_, answer = self.stream(question, history=history, where=where, passages=passages)
        assert isinstance(answer, Answer)
        return answer

    def stream(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        where: Where | None = None,
        passages: Sequence[Hit] | None = None,
    ) -> Iterator[Delta | Answer]:
        """Sentences as they are made and checked, each with the number of its quote; last, the Answer.

        A sentence is given out once it is tied to a quote or marked as unsupported, and not before one is tied.
        ``passages`` stand in for a search. A follow-up is searched for, and answered, as it was made whole; what is
        said to people about the answer is in the language of their own question.
        """
        # The caller's span, as it is now: when the first item is wanted, another thread may be asking.
        return self._stream(nfc(question.strip()), history, where, passages, trace.current())

    def _stream(
        self,
        question: str,
        history: Sequence[Message],
        where: Where | None,
        passages: Sequence[Hit] | None,
        caller: trace.Span,
    ) -> Iterator[Delta | Answer]:
        with trace.answering(question, parent=caller) as whole:
            asked, history = self._made_whole(question, history, whole)
            hits = list(passages or ())
            if passages is None and question:
                hits = self._search(asked, where, whole)
            draft = _Draft(question, asked, Grounder(hits, self._documents, self._analyser), whole)
            if hits:
                prompt = messages(asked, hits, history, tongue=language(question))
                for delta in self._generate(prompt, hits, whole):
                    yield from draft.add(delta)
                yield from draft.close()
            answer = draft.answer(hits)
            trace.answered(whole, answer)
        yield answer

    def _made_whole(
        self, question: str, history: Sequence[Message], whole: trace.Span
    ) -> tuple[str, Sequence[Message]]:
        """The question as it is searched for, and what of the conversation is shown to a language model."""
        if self._followup is None or not history:
            return question, history
        with trace.span("follow-up", parent=whole) as step:
            asked, kept = self._followup.read(question, history)
            step.set({"damda.turns": len(kept), "damda.made_whole": asked != question})
            if step.content:
                step.set({"damda.asked": asked})
        return asked, kept

    def _search(self, question: str, where: Where | None, whole: trace.Span) -> list[Hit]:
        with trace.retrieval(self._source, self._searcher.id, [question], self._passages, [whole]) as step:
            found = self._searcher.search([question], self._passages, where)
            step.found(found)
        return found[0]

    def _generate(self, prompt: Sequence[Message], hits: Sequence[Hit], whole: trace.Span) -> Iterator[Delta]:
        limits = (self._max_tokens, self._temperature)
        with trace.generation(prompt, *limits, parent=whole, model=lambda: self._generator.id) as step:
            deltas = self._generator.stream(prompt, passages=hits, max_tokens=limits[0], temperature=limits[1])
            for delta in step.steps(deltas):
                step.took(delta)
                yield delta


class _Draft:
    """An answer in the making."""

    def __init__(self, question: str, asked: str, grounder: Grounder, whole: trace.Span) -> None:
        self._question, self._asked, self._grounder, self._whole = question, asked, grounder, whole
        self._wanted = number(asked)
        self._raw = ""
        self._done = 0  # characters of the raw text that were given out
        self._text = ""
        self._held = ""  # sentences before the first that has a quote: without one, nothing of them is given out
        self._quotes: list[Quote] = []
        self._unsupported: list[str] = []
        self._usage = Usage()

    def add(self, delta: Delta) -> Iterator[Delta]:
        """Take a piece of raw text; give out the sentences that it completes."""
        self._usage = delta.usage or self._usage
        self._raw += delta.text
        open_text = self._raw[self._done :]
        if NOT_FOUND.startswith(self._raw.strip()[: len(NOT_FOUND)]):
            return  # may still turn out to be "not found"
        yield from self._give_out(sentences(open_text)[:-1])

    def close(self) -> Iterator[Delta]:
        """Give out what is left."""
        if NOT_FOUND not in self._raw[: len(NOT_FOUND) + 4]:
            yield from self._give_out(sentences(self._raw[self._done :]))

    def _give_out(self, spans: list[tuple[int, int]]) -> Iterator[Delta]:
        base = self._done
        for start, end in spans:
            gap = self._raw[self._done : base + start]
            sentence = self._raw[base + start : base + end]
            self._done = base + end
            self._held += self._release(sentence, "\n" if "\n" in gap else " ")
            if self._quotes:
                yield Delta(self._held)
                self._held = ""

    def _release(self, sentence: str, gap: str) -> str:
        with trace.quoting(parent=self._whole) as step:
            quote = self._grounder.ground(sentence)
            trace.quoted(step, sentence, quote)
        if quote is None:
            self._unsupported.append(sentence)
            mark = unsupported_mark(self._question)
        else:
            quote = self._answering(quote)
            if quote not in self._quotes:
                self._quotes.append(quote)
            mark = f"[{self._quotes.index(quote) + 1}]"
        piece = f"{gap if self._text else ''}{sentence} {mark}"
        self._text += piece
        return piece

    def _answering(self, quote: Quote) -> Quote:
        span = self._wanted.find(quote.text) if self._wanted else None
        return replace(quote, answer=(quote.start + span[0], quote.start + span[1])) if span else quote

    def answer(self, hits: Sequence[Hit]) -> Answer:
        """The Answer: "not found" unless at least one sentence has a quote."""
        found = bool(self._quotes)
        return Answer(
            text=self._text if found else not_found(self._question),
            found=found,
            quotes=tuple(self._quotes),
            hits=tuple(hits),
            unsupported=tuple(self._unsupported),
            usage=self._usage,
            asked=self._asked if self._asked != self._question else "",
            trace_id=self._whole.trace_id,
        )
