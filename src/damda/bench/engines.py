"""Engines side by side: the same weights, the same requests, one, four and eight at once.

Knows: how each engine of damda's is made with room for so many. Does not know: what they are good at.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from damda.bench.subject import Row, Subject
from damda.errors import DamdaError, GeneratorError
from damda.generate.llama import Llama
from damda.settings import LlamaSettings, OpenvinoSettings
from damda.types import Message, Progress, Writer

AT_ONCE = (1, 4, 8)
TOKENS, ROUNDS, CONTEXT = 48, 3, 1024


class Closes(Writer, Protocol):
    """A language model in memory."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to run the model.

    Attributes:
        make: with room for so many requests at once.
    """

    name: str
    make: Callable[[int], Closes]


def known(subject: Subject) -> list[Engine]:
    """Those that are installed."""
    found = []
    if find_spec("xllamacpp"):
        found.append(Engine("llama", lambda n: Llama(_llama(subject, n), path=subject.path)))
    if find_spec("openvino_genai"):
        from damda.generate.openvino import Openvino

        found.append(Engine("openvino", lambda n: Openvino(_openvino(subject, n), path=subject.path)))
    return found


def _llama(subject: Subject, slots: int) -> LlamaSettings:
    return LlamaSettings(context=CONTEXT, slots=slots, threads=subject.threads)


def _openvino(subject: Subject, slots: int) -> OpenvinoSettings:
    return OpenvinoSettings(context=CONTEXT, slots=slots, threads=subject.threads)


def side_by_side(subject: Subject, progress: Progress, engines: Sequence[Engine] | None = None) -> list[Row]:
    """Seconds to load, to the first words behind a prompt of some length, and tokens a second of all together.

    One engine is in memory at a time, whatever the model's size: here ways do not take turns.

    Raises:
        GeneratorError: no engine is installed, or none reads the model.
    """
    rows: list[Row] = []
    unread: dict[str, str] = {}
    those = known(subject) if engines is None else engines
    for k, count in enumerate(AT_ONCE):
        for n, engine in enumerate(those):
            progress("engines", k * len(those) + n, len(AT_ONCE) * len(those))
            try:
                rows.append({"study": "engines", "task": f"{count} at once", **_measured(engine, count, subject)})
            except DamdaError as error:
                unread[engine.name] = str(error)
    progress("engines", 1, 1)
    if not rows:
        raise GeneratorError("; ".join(f"{name}: {why}" for name, why in unread.items()) or "no engine is installed")
    nothing = dict.fromkeys(("throughput", "first", "load"))
    return [*rows, *({"study": "engines", "task": why, "way": name, **nothing} for name, why in unread.items())]


def _measured(engine: Engine, count: int, subject: Subject) -> dict[str, str | float]:
    begun = time.perf_counter()
    writer = engine.make(count)
    try:
        _written(writer, "Hello.", 1)
        loaded = time.perf_counter() - begun
        text = subject.text(250)
        questions = [f"{text}\n\n{subject.questions[n % len(subject.questions)]}" for n in range(count)]
        runs = [_together(writer, questions) for _ in range(ROUNDS + 1)][1:]  # the first one sets up what stays
    finally:
        writer.close()
    return {
        "way": engine.name,
        "throughput": statistics.median(speed for _, speed in runs),
        "first": statistics.median(first for first, _ in runs),
        "load": loaded,
    }


def _together(writer: Writer, questions: list[str]) -> tuple[float, float]:
    """Median seconds to the first words, and tokens a second of all."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(len(questions)) as pool:
        done = list(pool.map(lambda question: _written(writer, question, TOKENS), questions))
    seconds = time.perf_counter() - begun
    return statistics.median(first for first, _ in done), sum(tokens for _, tokens in done) / seconds


def _written(writer: Writer, question: str, most: int) -> tuple[float, int]:
    begun, first, tokens = time.perf_counter(), 0.0, 0
    for delta in writer.stream([Message("user", question)], max_tokens=most):
        if delta.text and not first:
            first = time.perf_counter() - begun
        tokens = delta.usage.completion_tokens if delta.usage else tokens
    return first or time.perf_counter() - begun, tokens
