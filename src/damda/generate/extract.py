"""Answers without a language model: the sentences of the passages that answer, or NOT_FOUND.

Knows: how many sentences make an answer, and how sure to be before answering at all. Does not know: how sentences are
weighed (``reader.py``), how passages were found.
"""

from collections.abc import Iterator, Sequence

from damda import trace
from damda.generate.reader import Reader
from damda.types import NOT_FOUND, Delta, Generator, Hit, Message, Usage

THRESHOLD = 0.33
"""Below this confidence the answer is NOT_FOUND; docs/decisions/0004-extract.md has the curve."""


class Extract:
    """Fits ``Generator``: streams sentences of the passages, best first, a line each; NOT_FOUND when none answers.

    Args:
        quotes: most sentences of an answer.
        threshold: least confidence; None: `THRESHOLD`.
    """

    def __init__(self, reader: Reader, *, quotes: int = 3, threshold: float | None = None) -> None:
        self._reader, self._quotes = reader, quotes
        self._threshold = THRESHOLD if threshold is None else threshold
        self.id = f"extract-2(quotes={quotes},threshold={self._threshold:g})"

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> Iterator[Delta]:
        """One delta a sentence. ``max_tokens``, ``temperature`` and ``stop`` are for models that write."""
        reading = self._reader.read(messages[-1].content, passages)
        trace.note({"damda.confidence": round(reading.confidence, 4)})
        chosen = reading.distinct(self._quotes) if reading.confidence >= self._threshold else []
        lines = [" ".join(candidate.text.split()) for candidate in chosen] or [NOT_FOUND]
        for line in lines[:-1]:
            yield Delta(line + "\n")
        yield Delta(lines[-1], "stop", Usage())


class Gated:
    """A generator that is asked only when the passages seem to answer the question. Fits ``Generator``.

    For language models too small to say "not found" by themselves: below the threshold they are not asked.

    Args:
        threshold: least confidence; None: `THRESHOLD`.
    """

    def __init__(self, generator: Generator, reader: Reader, *, threshold: float | None = None) -> None:
        self.generator, self._reader = generator, reader
        self._threshold = THRESHOLD if threshold is None else threshold

    @property
    def id(self) -> str:
        """The generator's, with the gate's threshold: another threshold refuses other questions."""
        return f"{self.generator.id}(gate-2(threshold={self._threshold:g}))"

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> Iterator[Delta]:
        """NOT_FOUND when the passages don't seem to answer, else the generator's own stream."""
        confidence = self._reader.read(messages[-1].content, passages).confidence
        trace.note({"damda.confidence": round(confidence, 4)})
        if confidence < self._threshold:
            yield Delta(NOT_FOUND, "stop", Usage())
            return
        yield from self.generator.stream(
            messages, passages=passages, max_tokens=max_tokens, temperature=temperature, stop=stop
        )
