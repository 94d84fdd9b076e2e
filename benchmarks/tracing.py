"""What tracing costs: CPU time that it adds to searches and answers, in one process.

python benchmarks/tracing.py FOLDER [--queries FILE] [--count N] [--rounds N] [--home DIR]

FOLDER: documents, indexed first, into a home that is thrown away unless one is given. FILE: JSON lines of {text};
without, the first words of passages are the questions.

Each question is searched three times in a row: once untimed, then with tracing and without, in turns of which goes
first. What is added is the difference in CPU time of the thread that searches (mean of the middle 80 % of the pairs,
with a 95 % interval from resampling them), and the CPU time of the thread that writes, all of it, divided by the
traces. It is compared with the CPU time that a search without tracing takes of all threads. Last, the same with spans
of OpenTelemetry's own tracer, as in a program that has set a global provider.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import machine
from opentelemetry import trace as api
from opentelemetry.sdk.trace import TracerProvider

import damda
from damda import config, trace
from damda.knowledge import KnowledgeBase
from damda.trace import sinks, tracing
from damda.trace.schema import NAME
from damda.trace.spans import Own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--home", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as thrown_away:
        home = str(given.home or Path(thrown_away) / "index")
        kb = damda.open(given.folder, settings={"home": home, "cache.mode": "off"})
        kb.refresh()
        questions = _questions(kb, given.queries, given.count)
        result = {
            "passages": kb.status().chunks,
            "search": _compare(kb.search, questions * given.rounds, Path(thrown_away) / "a", content=False),
            "search_with_content": _compare(kb.search, questions * given.rounds, Path(thrown_away) / "b", content=True),
            "answer": _compare(kb.ask, questions * max(given.rounds // 4, 1), Path(thrown_away) / "c", content=False),
            "span_off_us": _span_off(),
        }
        api.set_tracer_provider(TracerProvider())
        joined = _compare(kb.search, questions * given.rounds, Path(thrown_away) / "d", content=False)
        shown = ("of_that_while_searching_us", "while_searching_95")  # what writes is timed for damda's own only
        result["search_with_the_sdk_s_tracer"] = {name: joined[name] for name in shown}
    print(json.dumps(result, indent=1))
    machine.save("tracing", result)


def _questions(kb: KnowledgeBase, file: Path | None, count: int) -> list[str]:
    if file is not None:
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line]
        return [json.loads(line)["text"] for line in lines[:count]]
    return [" ".join(chunk.text.split()[:8]) for chunk in kb.sample(count)]


class _Timed(sinks.Sinks):
    """The sinks, with the CPU time of the thread that writes."""

    seconds = 0.0

    def write(self, ended: deque[Own]) -> None:
        begun = time.thread_time()
        super().write(ended)
        _Timed.seconds += time.thread_time() - begun


def _compare(run: Callable[[str], object], questions: Sequence[str], home: Path, *, content: bool) -> dict[str, object]:
    _Timed.seconds = 0.0
    sinks.Sinks = _Timed  # type: ignore[misc]
    started = trace.start(config.load(flags={"trace.content": content}), home)
    started.flush()
    added, whole = list[float](), list[float]()
    for turn, question in enumerate(questions):
        tracing._tracing = None
        run(question)
        cost = dict[bool, float]()
        for on in (True, False) if turn % 2 else (False, True):
            tracing._tracing = started if on else None
            begun, process = time.thread_time(), time.process_time()
            run(question)
            cost[on] = time.thread_time() - begun
            if not on:
                whole.append(time.process_time() - process)
        added.append((cost[True] - cost[False]) * 1e6)
    tracing._tracing = started
    started.close()
    traces = len(questions)
    search, low, high = _trimmed(added)
    writer = _Timed.seconds / traces * 1e6
    cpu_ms = statistics.median(whole) * 1000
    return {
        "questions": len(questions),
        "cpu_ms": round(cpu_ms, 2),
        "added_us": round(search + writer, 1),
        "of_that_while_searching_us": round(search, 1),
        "while_searching_95": [round(low, 1), round(high, 1)],
        "of_that_writing_us": round(writer, 1),
        "added_percent": round((search + writer) / cpu_ms / 10, 2),
        "bytes_a_trace": round((home / NAME).stat().st_size / traces),
    }


def _trimmed(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of the middle 80 %, and its 95 % interval from 1,000 resamples."""

    def middle(some: Sequence[float]) -> float:
        ranked = sorted(some)
        cut = len(ranked) // 10
        return statistics.fmean(ranked[cut : len(ranked) - cut])

    chance = random.Random(0)
    again = sorted(middle(chance.choices(values, k=len(values))) for _ in range(1000))
    return middle(values), again[25], again[974]


def _span_off() -> float:
    """Microseconds of a span while tracing is off."""
    assert trace.active() is None
    count = 100_000
    begun = time.perf_counter()
    for _ in range(count):
        with trace.span("nothing", {"a": 1}) as step:
            step.set({})
    return round((time.perf_counter() - begun) / count * 1e6, 2)


if __name__ == "__main__":
    main()
