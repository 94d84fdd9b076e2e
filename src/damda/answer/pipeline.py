"""A question to an Answer: check it, make it whole, remember, retrieve, generate, quote, check again.

Knows: the order of the steps, and that nothing is said to be found without a quote. Does not know: how any step works.
"""

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Protocol

from damda import trace
from damda.answer.draft import Draft
from damda.answer.guard import Guards
from damda.answer.history import Read
from damda.answer.prompt import language, messages, withheld, wording
from damda.answer.quote import Documents, Grounder
from damda.korean import nfc, sentences
from damda.plain import plain
from damda.types import Analyser, Answer, Cache, Delta, Hit, Message, Recall, Searcher, Verdict, Where
from damda.types import Generator as TextGenerator


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
        instructions: the owner's own, for a language model.
        source: what traces call the documents.
        followup: makes follow-up questions whole; None: each question is searched for as it is.
        guards: look at the question, the passages and what is answered.
        cache: remembers answers; None: each is made anew.
        state: names what is stored now; it changes whenever a document does. Needed for ``cache``.
    """

    def __init__(
        self,
        searcher: Searcher,
        generator: TextGenerator,
        documents: Documents,
        analyser: Analyser,
        *,
        passages: int,
        max_tokens: int,
        temperature: float,
        instructions: str = "",
        source: str = "",
        followup: Followup | None = None,
        guards: Guards | None = None,
        cache: Cache | None = None,
        state: Callable[[], str] = lambda: "",
    ) -> None:
        self._searcher, self._generator = searcher, generator
        self._documents, self._analyser = documents, analyser
        self._passages, self._max_tokens, self._temperature = passages, max_tokens, temperature
        self._instructions, self._source = instructions, source
        self._followup = followup
        self._guards = guards or Guards()
        # What is drawn by chance is drawn anew each time.
        self._cache, self._state = (cache if temperature == 0 else None), state

    def ask(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        where: Where | None = None,
        passages: Sequence[Hit] | None = None,
        recall: Recall = "use",
    ) -> Answer:
        """The whole answer."""
        *_, answer = self.stream(question, history=history, where=where, passages=passages, recall=recall)
        assert isinstance(answer, Answer)
        return answer

    def stream(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        where: Where | None = None,
        passages: Sequence[Hit] | None = None,
        recall: Recall = "use",
    ) -> Iterator[Delta | Answer]:
        """Sentences as they are made and checked, each with the number of its quote; last, the Answer.

        A sentence is given out once it is tied to a quote or marked as unsupported, and not before one is tied; and
        not before the guards have seen it. ``passages`` stand in for a search, and for the cache. A follow-up is
        searched for, and answered, as it was made whole; what is said to people about the answer is in the language of
        their own question.
        """
        # The caller's span, as it is now: when the first item is wanted, another thread may be asking.
        return self._stream(nfc(question.strip()), history, where, passages, recall, trace.current())

    def _stream(
        self,
        question: str,
        history: Sequence[Message],
        where: Where | None,
        passages: Sequence[Hit] | None,
        recall: Recall,
        caller: trace.Span,
    ) -> Iterator[Delta | Answer]:
        with trace.answering(parent=caller) as whole:
            checked = self._guards.check("question", question, parent=whole)
            trace.asked(whole, checked.text)
            if checked.blocked:
                answer = _refused(question, checked.verdicts, whole)
            else:
                answer = yield from self._answered(checked.text, history, where, passages, recall, whole)
                answer = replace(answer, verdicts=(*checked.verdicts, *answer.verdicts))
            trace.answered(whole, answer)
        yield answer

    def _answered(
        self,
        question: str,
        history: Sequence[Message],
        where: Where | None,
        passages: Sequence[Hit] | None,
        recall: Recall,
        whole: trace.Span,
    ) -> Generator[Delta, None, Answer]:
        """The answer to a question that may be asked: remembered, or made."""
        asked, history = self._made_whole(question, self._guards.history(history), whole)
        cache = self._cache if passages is None and question and recall != "off" else None
        scope = self._scope(question, history, where) if cache else ""
        if cache and recall == "use":
            with trace.recalling(parent=whole) as step:
                known = cache.get(asked, scope)
                trace.recalled(step, known.cached if known else "")
            if known:
                yield from _told(known)
                return replace(known, asked=asked if asked != question else "", trace_id=whole.trace_id)
        hits = list(passages or ())
        if passages is None and question:
            hits = self._search(asked, where, whole)
        seen = self._guards.passages(hits, parent=whole)
        grounder = Grounder(seen.hits, self._documents, self._analyser)
        draft = Draft(question, asked, seen, grounder, self._guards, whole)
        if seen.hits:
            prompt = messages(
                asked,
                seen.hits,
                history,
                tongue=language(question),
                more=self._instructions,
                warned=seen.warned,
            )
            deltas: Any = self._generate(prompt, seen.hits, whole)
            with closing(deltas):
                for delta in deltas:
                    yield from draft.add(delta)
                    if draft.blocked:
                        break
            yield from draft.close()
        answer = draft.answer()
        # Documents that changed meanwhile may have been searched already: what was found belongs to neither state.
        if cache and not answer.blocked and self._scope(question, history, where) == scope:
            cache.put(asked, scope, answer)
        return answer

    def _scope(self, question: str, history: Sequence[Message], where: Where | None) -> str:
        """A hash of all that an answer depends on beside the question."""
        parts = (
            self._state(),
            self._searcher.id,
            self._generator.id,
            self._guards.id,
            wording(self._instructions),
            language(question),
            (self._passages, self._max_tokens, self._temperature),
            [(message.role, message.content) for message in history],
            plain(where),
        )
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

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


def _refused(question: str, verdicts: tuple[Verdict, ...], whole: trace.Span) -> Answer:
    """To a question that a guard blocks."""
    text = withheld(question, verdicts[-1].rule)
    return Answer(text, found=False, verdicts=verdicts, trace_id=whole.trace_id)


def _told(answer: Answer) -> Iterator[Delta]:
    """A remembered answer, given out as it was when it was made: sentence by sentence."""
    if answer.found:
        done = 0
        for _, end in sentences(answer.text):
            yield Delta(answer.text[done:end])
            done = end
