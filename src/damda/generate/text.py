"""Tokens that come one by one -> text that can be shown.

Knows: characters of several tokens, words that end an answer. Does not know: models.
"""

from collections.abc import Callable, Sequence


class Text:
    """Given out as soon as no stop can begin in it.

    Args:
        decode: tokens to text.
        stop: what ends the answer, and is no part of it.
    """

    def __init__(self, decode: Callable[[list[int]], str], stop: Sequence[str]) -> None:
        self._decode, self._stop = decode, [end for end in stop if end]
        self._read: list[int] = []
        self._whole, self._given = "", 0
        self.tokens, self.stopped = 0, False

    def add(self, token: int) -> str:
        """Text that can be shown now."""
        self._read.append(token)
        self._whole = self._decode(self._read)
        found = [at for end in self._stop if (at := self._whole.find(end)) >= 0]
        if found:
            self.stopped, self._whole = True, self._whole[: min(found)]
            return self.rest()
        held = max((len(end) - 1 for end in self._stop), default=0)
        # A token may end inside a character; the rest of it changes what stands there now.
        return self._give(len(self._whole) - held) if not self._whole.endswith("\ufffd") else ""

    def rest(self) -> str:
        """What was held back."""
        return self._give(len(self._whole))

    def _give(self, end: int) -> str:
        end = max(self._given, end)
        piece, self._given = self._whole[self._given : end], end
        return piece
