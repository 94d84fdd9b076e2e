"""Engines side by side: the same weights, the same requests, one, four and eight at once.

Knows: how each engine of damda's is made with room for so many. Does not know: what they are good at.
"""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from damda.answer.direct import Writer
from damda.bench.subject import Row, Subject
from damda.compress.measured import memory as resident
from damda.errors import DamdaError, GeneratorError
from damda.generate.llama import Llama
from damda.generate.native import Native
from damda.settings import LlamaSettings, OpenvinoSettings
from damda.types import Message, Progress, Usage

AT_ONCE = (1, 4, 8)
TOKENS, ROUNDS, CONTEXT = 48, 3, 1024
SECONDS = 60
"""After which no other round of one engine is begun."""
READ = 512
"""Tokens of what a request reads, about; its question comes beside them."""


class Closes(Writer, Protocol):
    """A language model in memory."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to run the model.

    Attributes:
        make: with room for so many requests at once.
        size: bytes that its packages take on the disk, torch and such not counted.
        memory: bytes that what was made takes, where it does not run in this process.
    """

    name: str
    make: Callable[[int], Closes]
    size: int = 0
    memory: Callable[[Any], int] | None = None


def known(subject: Subject) -> list[Engine]:
    """Those that are installed."""
    found = []
    if find_spec("xllamacpp"):
        found.append(Engine("llama", lambda n: Llama(_llama(subject, n), path=subject.path), _size("xllamacpp")))
    if find_spec("openvino_genai"):
        size = sum(map(_size, ("openvino", "openvino-genai", "openvino-tokenizers")))
        found.append(Engine("openvino", partial(_paged, subject), size, lambda writer: resident(writer.pid)))
    return found


def _size(package: str) -> int:
    """Of what is installed; 0: it isn't."""
    try:
        files = distribution(package).files or ()
    except PackageNotFoundError:
        return 0
    paths = [Path(str(file.locate())) for file in files]
    return sum(path.stat().st_size for path in paths if path.is_file())


def _llama(subject: Subject, slots: int) -> LlamaSettings:
    return LlamaSettings(context=CONTEXT, slots=slots, threads=subject.threads)


def _paged(subject: Subject, slots: int) -> Closes:
    from damda.generate.openvino import Openvino

    settings = OpenvinoSettings(context=CONTEXT, slots=slots, threads=subject.threads)
    return Openvino(settings, path=subject.path)


def side_by_side(
    subject: Subject, progress: Progress, engines: Sequence[Engine] | None = None, text: str | None = None
) -> list[Row]:
    """Seconds to load, to the first words behind a prompt of some length, and tokens a second of all together; memory.

    One engine is in memory at a time, whatever the model's size: here ways do not take turns.

    Args:
        text: that each request reads before its question; None: `READ` tokens of the subject's.

    Raises:
        GeneratorError: no engine is installed, or none reads the model.
    """
    rows: list[Row] = []
    unread: dict[str, str] = {}
    those = known(subject) if engines is None else engines
    text = _read(subject) if text is None else text
    for k, count in enumerate(AT_ONCE):
        for n, engine in enumerate(those):
            progress("engines", k * len(those) + n, len(AT_ONCE) * len(those))
            try:
                rows.append({"study": "engines", "task": f"{count} at once", **_measured(engine, count, subject, text)})
            except DamdaError as error:
                unread[engine.name] = str(error)
    progress("engines", 1, 1)
    if not rows:
        raise GeneratorError("; ".join(f"{name}: {why}" for name, why in unread.items()) or "no engine is installed")
    nothing = dict.fromkeys(_FIGURES)
    return [*rows, *({"study": "engines", "task": why, "way": name, **nothing} for name, why in unread.items())]


_FIGURES = ("together", "prefill", "throughput", "first", "load", "memory", "installed")


def _read(subject: Subject) -> str:
    model = Native(subject.path, context=16, threads=subject.threads)
    try:
        return subject.cut(READ, lambda text: len(model.tokens(text)))
    finally:
        model.close()


def _measured(engine: Engine, count: int, subject: Subject, text: str) -> dict[str, str | float]:
    gc.collect()  # what came before gives its memory back
    before, begun = resident(), time.perf_counter()
    writer = engine.make(count)
    try:
        _written(writer, "Hello.", 1)
        loaded = time.perf_counter() - begun
        questions = [f"{text}\n\n{subject.questions[n % len(subject.questions)]}" for n in range(count)]
        runs = _rounds(writer, questions)
        memory = engine.memory(writer) if engine.memory else resident() - before
    finally:
        writer.close()
    together, prefill, throughput, first = (statistics.median(figures) for figures in zip(*runs, strict=True))
    figures = (together, prefill, throughput, first, loaded, memory / 1e6, engine.size / 1e6)
    return {"way": engine.name, **dict(zip(_FIGURES, figures, strict=True))}


def _rounds(writer: Writer, questions: Sequence[str]) -> list[tuple[float, float, float, float]]:
    """As `_together`, some times over; the first one, which sets up what stays, is not counted."""
    found, begun = list[tuple[float, float, float, float]](), time.perf_counter()
    _together(writer, questions)
    while len(found) < ROUNDS and not (found and time.perf_counter() - begun > SECONDS):
        found.append(_together(writer, questions))
    return found


def _together(writer: Writer, questions: Sequence[str]) -> tuple[float, float, float, float]:
    """Tokens a second, read and written; of prompts, until everybody has first words; written; seconds to these."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(len(questions)) as pool:
        done = list(pool.map(lambda question: _written(writer, question, TOKENS), questions))
    seconds = time.perf_counter() - begun
    read, written = (sum(getattr(usage, name) for _, usage in done) for name in ("prompt_tokens", "completion_tokens"))
    firsts = [first for first, _ in done]
    return (read + written) / seconds, read / max(firsts), written / seconds, statistics.median(firsts)


def _written(writer: Writer, question: str, most: int) -> tuple[float, Usage]:
    """Seconds to the first words, and what it took."""
    begun, first, usage = time.perf_counter(), 0.0, Usage()
    for delta in writer.stream([Message("user", question)], max_tokens=most):
        if delta.text and not first:
            first = time.perf_counter() - begun
        usage = delta.usage or usage
    return first or time.perf_counter() - begun, usage
