"""Kiwi in a process of its own: loading it and splitting text with it hold Python's lock, which is needed elsewhere.

Knows: how the two processes talk. Does not know: which morphemes count (see ``korean.py``).

Run as ``python -m damda.morphemes [DICTIONARY]``. A request is a line of JSON, a list of texts, or {"tags"} with one;
the answer is one too: a list of lists of words, or of morphemes, or {"error"}.
"""

import json
import signal
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from damda.child import Child, answers
from damda.errors import ConfigError, DamdaError
from damda.korean import Morphemes
from damda.types import Morpheme


class MorphemeProcess:
    """Fits ``Analyser``: ``Morphemes`` without waiting for it to load. Analysers with one dictionary share a process.

    Args:
        user_dictionary: as for ``Morphemes``.

    Raises:
        ConfigError: the user dictionary can't be read.
    """

    def __init__(self, user_dictionary: str = "") -> None:
        self.id = Morphemes(user_dictionary).id
        self._child = _child(self.id, user_dictionary)

    def load(self) -> None:
        """Start loading; returns at once."""
        self._child.start()

    def content(self, texts: Sequence[str]) -> list[list[str]]:
        """As ``Morphemes.content``.

        Raises:
            ConfigError: the user dictionary is none.
            DamdaError: the process was killed, and a second one too.
        """
        answer: list[list[str]] = self._ask(list(texts)) if texts else []
        return answer

    def tags(self, texts: Sequence[str]) -> list[list[Morpheme]]:
        """As ``Morphemes.tags``; raises as `content` does."""
        answer: list[list[tuple[str, str, int, int]]] = self._ask({"tags": list(texts)}) if texts else []
        return [[Morpheme(*morpheme) for morpheme in morphemes] for morphemes in answer]

    def _ask(self, asked: list[str] | dict[str, list[str]]) -> Any:  # noqa: ANN401  JSON, as the request wants it
        request = json.dumps(asked).encode("ascii") + b"\n"
        try:
            line = self._child.ask(request)
        except EOFError:  # killed, maybe for its memory by the system; a second time is no accident
            try:
                line = self._child.ask(request)
            except EOFError as error:
                raise DamdaError(
                    "Kiwi, the morphological analyser, was killed or crashed twice: is there 1 GB of free memory?"
                ) from error
        answer = json.loads(line)
        if isinstance(answer, dict):
            raise ConfigError(answer["error"])
        return answer


@cache
def _child(analyser_id: str, user_dictionary: str) -> Child:
    """One process for each state of each dictionary."""
    return Child("damda.morphemes", *([user_dictionary] if user_dictionary else []))


def main() -> None:
    """Answer requests until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks; it ends this one
    out = answers()
    analyser = Morphemes(sys.argv[1] if sys.argv[1:] else "")
    try:
        analyser.content(["준비"])
    except ConfigError as error:
        broken = {"error": str(error)}
    else:
        broken = {}
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        if not broken:
            answer = analyser.tags(asked["tags"]) if isinstance(asked, dict) else analyser.content(asked)
        out.write(json.dumps(broken or answer).encode("ascii") + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
