"""A question as those who compare questions see it.

Knows: its morphemes, its words where it is English,
what stands next to what. Does not know: which differences matter.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from damda.types import Morpheme

_ENGLISH = re.compile(r"[A-Za-z]+(?:['’][a-z]+)?|\d+(?:[.,:]\d+)*|[%$€£₩]")
_HANGUL = re.compile(r"[가-힣]")
_MARKS = frozenset("SF SP SS SSO SSC SE SO SW".split())
NOUNS = frozenset("NNG NNP XR SL SH".split())
VERBS = frozenset("VV VA".split())


@dataclass(frozen=True, eq=False)
class Question:
    """A question with its morphemes; marks are left out of ``said``."""

    text: str
    tokens: Sequence[Morpheme]

    @cached_property
    def korean(self) -> bool:
        """Whether there is Hangul in it."""
        return _HANGUL.search(self.text) is not None

    @cached_property
    def compact(self) -> str:
        """In lower case, without blanks: people don't agree where they belong in Korean."""
        return "".join(self.text.lower().split())

    @cached_property
    def said(self) -> tuple[Morpheme, ...]:
        """Morphemes without marks."""
        return tuple(token for token in self.tokens if token.tag not in _MARKS)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """English words, in lower case, and numbers."""
        return tuple(word.lower().replace("’", "'") for word in _ENGLISH.findall(self.text))

    @cached_property
    def forms(self) -> frozenset[str]:
        """The forms of all content morphemes; a stem before -하다 or -되다 is its noun."""
        return frozenset(form for form, _ in self.content)

    @cached_property
    def content(self) -> tuple[tuple[str, int], ...]:
        """Content morphemes and where they are in ``said``: nouns with their prefix and suffix, verbs, adverbs."""
        return tuple(self._content())

    def _content(self) -> Iterator[tuple[str, int]]:
        said = self.said
        for n, token in enumerate(said):
            after = said[n + 1] if n + 1 < len(said) else None
            if token.tag in NOUNS:
                before = said[n - 1] if n else None
                prefix = before.form if before and before.tag == "XPN" and before.end == token.start else ""
                suffix = after.form if after and after.tag == "XSN" and after.form not in _PLURAL else ""
                yield (prefix + token.form + suffix).lower(), n
            elif token.tag in _CONTENT and token.form not in _DENIALS:
                yield token.form, n

    def after(self, n: int, most: int = 1) -> tuple[Morpheme, ...]:
        """The morphemes behind the n-th of ``said``."""
        return self.said[n + 1 : n + 1 + most]

    def joined(self, n: int) -> bool:
        """Whether the n-th of ``said`` stands right behind the one before it, without a blank."""
        return n > 0 and self.said[n - 1].end >= self.said[n].start


_CONTENT = frozenset("VV VA MAG NP NNB MM NR".split())
_DENIALS = frozenset(("안", "못", "않", "말", "없"))
_PLURAL = frozenset(("들", "님", "쯤", "께"))
