"""Text in the making, cut where it may be given out.

Knows: sentences, and where what a guard looks for can't go on in the next one. Does not know: guards, answers.
"""

import re

from damda.korean import sentences

_ENDED = re.compile(r"[.!?。！？…][\"'”’»)\]]*\s*$")
_AROUND = " \t\r\n\u00a0\u00ad\u200b\u200c\u200d\u2060\ufeff\"'”’“‘«»()[].!?。！？…,:;-–—*•|"
_NEAR = 80  # characters on each side of a gap that are looked at


class Units:
    """Gathers pieces of text; tells which sentences are whole.

    Sentences come in units. Without ``closed`` each is one by itself. With it, a unit ends where no number goes on
    behind its last sentence: one that is broken over two lines is in one unit, so that it is seen whole before any of
    it is given out.

    Args:
        closed: units of that kind.
    """

    def __init__(self, *, closed: bool) -> None:
        self._closed = closed
        self.text = ""
        self._unit: list[tuple[int, int]] = []  # sentences that are whole, of a unit that is not
        self._from = 0  # where the first sentence begins that may not be whole

    def add(self, piece: str) -> list[list[tuple[int, int]]]:
        """Take a piece of text; the units that are whole by now, each a list of sentences' spans in ``text``."""
        self.text += piece
        return self._units([(self._from + a, self._from + b) for a, b in sentences(self.text[self._from :])])

    def close(self) -> list[list[tuple[int, int]]]:
        """What is left, as it is."""
        self._unit += [(self._from + a, self._from + b) for a, b in sentences(self.text[self._from :])]
        self._from = len(self.text)
        left, self._unit = self._unit, []
        if self._closed:
            return [left] if left else []
        return [[span] for span in left]

    def _units(self, spans: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
        whole: list[list[tuple[int, int]]] = []
        for span, after in zip(spans, spans[1:], strict=False):
            self._unit.append(span)
            self._from = after[0]
            before = self.text[max(0, span[1] - _NEAR) : span[1]]
            gap, behind = self.text[span[1] : after[0]], self.text[after[0] : after[0] + _NEAR]
            if not self._closed or _ends(before, gap, behind):
                whole.append(self._unit)
                self._unit = []
        return whole


def _ends(before: str, gap: str, after: str) -> bool:
    """Whether nothing that stands in ``before`` goes on in ``after``: a sentence or a line ends, with no digits on both
    sides."""
    if not (_ENDED.search(before) or "\n" in gap):
        return False
    last, first = before.rstrip(_AROUND)[-1:], after.lstrip(_AROUND)[:1]
    return bool(first) and not (last.isdigit() and first.isdigit())
