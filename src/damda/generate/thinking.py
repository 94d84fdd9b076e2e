"""Hides a reasoning model's ``<think>...</think>`` block while text streams by.

Knows: the tag pair, also when a chunk ends inside a tag. Does not know: templates that open the block in the prompt
(the text then only has the closing tag); servers tell such reasoning apart by themselves.
"""

OPEN, CLOSE = "<think>", "</think>"


class HideThinking:
    """Passes text on, less one block at its very start. Tags further on are the answer's own words and stay."""

    def __init__(self) -> None:
        self._held = ""
        self._inside = False
        self._past = False

    def feed(self, text: str) -> str:
        """The part of everything fed so far that can be shown now."""
        if self._past:
            return text
        self._held += text
        if not self._inside and not self._opens():
            return "" if self._undecided() else self._release(self._held)
        before, tag, after = self._held.partition(CLOSE)
        if not tag:
            self._held = before[-len(CLOSE) + 1 :]  # enough to know a closing tag that is cut in two
            return ""
        self._held = CLOSE + after  # blank lines after the block go with it, and they may be still to come
        return self._release(after.lstrip()) if after.strip() else ""

    def rest(self) -> str:
        """What is left at the end of the stream: a start that only looked like a tag, never thoughts."""
        return "" if self._inside or self._past else self._held

    def _opens(self) -> bool:
        head = self._held.lstrip()
        if head.startswith(OPEN):
            self._inside = True
            self._held = head[len(OPEN) :]
        return self._inside

    def _undecided(self) -> bool:
        return OPEN.startswith(self._held.lstrip())

    def _release(self, text: str) -> str:
        self._past = True
        return text
