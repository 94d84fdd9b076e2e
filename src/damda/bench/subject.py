"""What is measured: a model, and the questions and passages that it is asked with. How one request is timed.

Knows: llama.cpp's requests and what it says of its own times. Does not know: techniques.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Semaphore
from typing import Any

from damda.errors import GeneratorError
from damda.generate import gguf, wire
from damda.generate.engine import Engine
from damda.generate.techniques import Techniques
from damda.generate.worker import Running

Send = Callable[[Mapping[str, object], Callable[[object], bool]], None]
"""As ``Engine.run``."""

Row = Mapping[str, Any]
"""``study``, ``way``, and figures by name; a figure that is no number says something of the way."""


_header = cache(gguf.header)
"""Read once: requests are made while others are timed."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured.

    Attributes:
        path: the model, a GGUF.
        questions: the user's own, or the example documents'.
        passages: of the documents, each some hundred words.
        draft: a smaller model with the same vocabulary, for speculation; None: that is left out.
        threads: 0 for one a core.
    """

    path: Path
    questions: Sequence[str]
    passages: Sequence[str]
    draft: Path | None = None
    threads: int = 0

    def chats(self) -> bool:
        """Whether the model has a chat template."""
        return _header(self.path).chat_template

    def trained(self) -> int:
        """Tokens of context that it was trained for."""
        return _header(self.path).context

    def request(self, text: str, tokens: int, *, exactly: bool = False) -> dict[str, object]:
        """A greedy request.

        Args:
            exactly: the answer has this many tokens, whether or not the model would end it.
        """
        said: dict[str, object] = (
            {"messages": [{"role": "user", "content": text}], "chat_template_kwargs": {"enable_thinking": False}}
            if self.chats()
            else {"prompt": text}
        )
        return {**said, "max_tokens": tokens, "temperature": 0.0, "ignore_eos": exactly}

    def text(self, words: int) -> str:
        """A text of so many words from the passages, which begin anew where they end."""
        found: list[str] = []
        while len(found) < words:
            for passage in self.passages:
                found += passage.split()
        return " ".join(found[:words])

    def cut(self, tokens: int, count: Callable[[str], int]) -> str:
        """A text of about so many tokens, and not more than that by much.

        Args:
            count: tokens of a text.
        """
        words = self.text(tokens)
        return self.text(max(1, tokens * tokens // max(1, count(words))))


def engine(
    subject: Subject,
    *,
    context: int,
    slots: int = 1,
    states: Path | None = None,
    **techniques: Any,  # noqa: ANN401
) -> Engine:
    """The model, loaded with techniques; it goes when nobody holds it any more."""
    return Engine(
        subject.path,
        context=context,
        threads=subject.threads,
        slots=slots,
        states=states,
        techniques=Techniques(**techniques),
        trained=subject.trained(),
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer.

    Attributes:
        first, whole: seconds to its first text, and to its end.
        read, cached: tokens of the prompt that were computed, and that were there.
        written: tokens.
        writing: seconds of these, the first one's not counted among them.
        guessed, right: tokens that were guessed ahead, and those of them that were taken.
    """

    text: str
    first: float
    whole: float
    read: int
    cached: int
    written: int
    writing: float
    guessed: int
    right: int

    @property
    def speed(self) -> float:
        """Tokens a second while writing."""
        return self.written / self.writing if self.writing else 0.0


class Tap:
    """Stands before an engine, for `worker.Running`: hears every chunk as it comes."""

    def __init__(self, engine: Engine, hear: Callable[[object], object], send: Send | None = None) -> None:
        self._engine, self._hear, self._send = engine, hear, send or engine.run

    @property
    def free(self) -> Semaphore:
        """The engine's."""
        return self._engine.free

    def run(self, request: Mapping[str, object], heard: Callable[[object], bool]) -> None:
        """See ``Engine.run``."""

        def both(chunk: object) -> bool:
            self._hear(chunk)
            return heard(chunk)

        self._send(request, both)


def heard(engine: Engine, request: Mapping[str, object], send: Send | None = None) -> Heard:
    """Ask, and listen to the end. Ctrl-C gives the request up.

    Args:
        send: instead of ``engine.run``, with its arguments.

    Raises:
        GeneratorError: llama.cpp refused the request, or failed.
    """
    chunks: list[object] = []
    text, first, spared, begun = "", 0.0, wire.Spared(), time.perf_counter()
    running = Running(Tap(engine, chunks.append, send), request)
    try:
        for piece in running:
            if piece.error:
                raise GeneratorError(f"llama.cpp failed: {piece.error}")
            text += piece.text
            spared = piece.spared or spared
            first = first or (time.perf_counter() - begun if piece.text else 0.0)
    finally:
        running.close()
    whole = time.perf_counter() - begun
    times = next((found for chunk in reversed(chunks) if isinstance(found := wire.at(chunk, "timings"), dict)), {})
    return Heard(
        text,
        first or whole,
        whole,
        wire.number(times, "prompt_n"),
        spared.cached,
        wire.number(times, "predicted_n"),
        float(times.get("predicted_ms") or 0.0) / 1e3,
        spared.guessed,
        spared.right,
    )
