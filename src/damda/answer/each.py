"""Map and choose: each passage is read alone, at the same time as the others, and the best quote is given.

Knows: how what a model says of each passage is weighed. Does not know: models, prompts' wording.

A small model loses its way among five passages, and reading them takes as long as they are together. Alone each is read
as the model was taught, from its saved state where there is one; which one answers, the first token says: how much
likelier than a refusal it is. Only the chosen one is written to its end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Protocol

from damda import trace
from damda.answer.prompt import alone
from damda.types import NOT_FOUND, Delta, Hit, Message, Usage


class Attempting(Protocol):
    """A quote of one passage in the making."""

    def absent(self) -> float:
        """Natural logarithm of the probability that the model would rather say that the passage does not answer. Known
        before the quote is written."""
        ...

    def quote(self) -> str:
        """What stands in the passage, on one line, once it is written."""
        ...

    def end(self) -> Delta:
        """What a stream ends with, once it is written."""
        ...

    def close(self) -> None:
        """Give it up."""
        ...


class Quoter(Protocol):
    """A language model that can be made to quote from one passage."""

    @property
    def id(self) -> str: ...

    def attempt(self, messages: Sequence[Message], hit: Hit, *, max_tokens: int = 512) -> Attempting | None:
        """Begin to read a passage, which stands in the messages too. None: nothing in it could be quoted."""
        ...


@dataclass(frozen=True, slots=True)
class Weighing:
    """How passages are weighed: by the log-odds that the model does not refuse, and by their place in the search.

    Attributes:
        place: what each place further down takes from the log-odds.
        least: the log-odds that the best must have; under them nothing answers.
    """

    place: float = 0.25
    least: float = 0.0

    def score(self, absent: float, place: int) -> float:
        """Of a passage.

        Args:
            absent: natural logarithm of the probability of a refusal.
            place: in the search, from 0.
        """
        refused = min(exp(absent), 1 - 1e-9)
        return log(1 - refused) - absent - self.place * place


class Each:
    """A generator of quotes. Fits ``Generator``.

    Args:
        quoter: reads a passage.
        most: passages that are read, the search's first ones.
    """

    def __init__(self, quoter: Quoter, most: int, weighing: Weighing | None = None) -> None:
        self._quoter, self._most = quoter, most
        self._weighing = weighing or Weighing()

    @property
    def id(self) -> str:
        """The model's, with how it is asked."""
        return f"{self._quoter.id}(each={self._most},{self._weighing.place:g},{self._weighing.least:g})"

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> Iterator[Delta]:
        """See ``Generator``. One quote, or NOT_FOUND; ``temperature`` and ``stop`` are for models that write freely."""
        begun: list[tuple[int, Attempting]] = []
        try:
            for place, hit in enumerate(passages[: self._most]):
                attempt = self._quoter.attempt(alone(messages, passages, place), hit, max_tokens=max_tokens)
                if attempt:
                    begun.append((place, attempt))
            scores = [(self._weighing.score(attempt.absent(), place), place, attempt) for place, attempt in begun]
            best, place, attempt = max(scores, key=lambda one: one[0], default=(0.0, 0, None))
            trace.note({"damda.each": len(scores), "damda.each.best": place + 1, "damda.each.odds": round(best, 3)})
            if attempt is None or best < self._weighing.least:
                yield Delta(NOT_FOUND, "stop", Usage())
                return
            for other, one in begun:
                if other != place:
                    one.close()
            yield Delta(attempt.quote() or NOT_FOUND)
            yield attempt.end()
        finally:
            for _, one in begun:
                one.close()
