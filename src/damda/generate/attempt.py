"""One passage that is read for itself: how sure the model is that it answers, and the quote that it would give.

Knows: what log-probabilities say. Does not know: how requests are made, which passage is taken.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

from damda import trace
from damda.errors import GeneratorError
from damda.generate import quoting
from damda.generate.wire import Piece, Spared, Token
from damda.types import Delta, Usage

PLACES = 40
"""Tokens in the first place whose probabilities are asked for: a refusal that is not among them is out of question."""

LEAST = -20.0
"""Natural logarithm: what counts as out of question."""


class Source(Protocol):
    """Chunks that come, and can be given up."""

    def __iter__(self) -> Iterator[Piece]: ...

    def __next__(self) -> Piece: ...

    def close(self) -> None: ...


class Attempt:
    """A quote in the making. It must quote: whether it should have, `absent` says.

    Args:
        source: the chunks, with log-probabilities.
        choice: what can be quoted.
        refusal: what the model says where nothing answers.
    """

    def __init__(self, source: Source, choice: Sequence[quoting.Sentence], refusal: str) -> None:
        self._source, self._choice, self._refusal = source, choice, refusal
        self._text, self._tokens = "", list[Token]()
        self._usage: Usage | None = None
        self._spared: Spared | None = None

    def absent(self) -> float:
        """Natural logarithm of the probability that the first token is the refusal's. Waits for that token."""
        while not self._tokens and self._more():
            pass
        if not self._tokens:
            return 0.0
        found = [likely for text, likely in self._tokens[0].places if self._refuses(text)]
        return max(LEAST, math.log(sum(map(math.exp, found)))) if found else LEAST

    def likely(self) -> float:
        """Mean of the natural logarithms of the tokens' probabilities, to the end. Waits for that."""
        while self._more():
            pass
        found = [max(LEAST, token.likely) for token in self._tokens]
        return sum(found) / len(found) if found else LEAST

    def quote(self) -> str:
        """The passage's own characters on one line, to the end; "" where nothing was said. Waits for that.

        Raises:
            GeneratorError: what was said does not stand in the passage.
        """
        while self._more():
            pass
        said = self._text.strip()
        found = quoting.original(said, self._choice) if said else ""
        if said and not found:
            raise GeneratorError("llama.cpp did not keep to the passage: is xllamacpp another version?")
        return " ".join(found.split())

    def end(self) -> Delta:
        """What a stream ends with."""
        if self._spared:
            trace.spared(*self._spared)
        return Delta(finish="stop", usage=self._usage)

    def close(self) -> None:
        """Give it up."""
        self._source.close()

    def _more(self) -> bool:
        piece = next(self._source, None)
        if piece is None:
            return False
        if piece.error:
            raise GeneratorError(f"llama.cpp failed: {piece.error}")
        self._text += piece.text
        self._tokens += piece.tokens
        self._usage, self._spared = piece.usage or self._usage, piece.spared or self._spared
        return True

    def _refuses(self, token: str) -> bool:
        return bool(token.strip()) and self._refusal.startswith(token.strip())
