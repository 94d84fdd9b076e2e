"""What tracing costs: CPU time of searches and answers with it and without, in turn, in one process.

python benchmarks/tracing.py FOLDER [--queries FILE] [--count N] [--rounds N] [--home DIR]

FOLDER: documents, indexed first, into a home that is thrown away unless one is given. FILE: JSON lines of {text};
without, the first words of passages are the questions. A round is all questions with tracing and all without, in blocks
of ten that take turns in going first; CPU time is that of the whole process, the thread that writes to SQLite and its
flush included. Every block is searched once before it is timed.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import machine

import damda
from damda import config, trace
from damda.knowledge import KnowledgeBase
from damda.trace.schema import NAME

_BLOCK = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--home", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as thrown_away:
        home = given.home or Path(thrown_away) / "index"
        kb = damda.open(given.folder, settings={"home": str(home)})
        kb.refresh()
        questions = _questions(kb, given.queries, given.count)
        result = {
            "passages": kb.status().chunks,
            "questions": len(questions),
            "rounds": given.rounds,
            "search": _compare(lambda q: kb.search(q), questions, given.rounds, Path(thrown_away) / "a", {}),
            "search_with_content": _compare(
                lambda q: kb.search(q), questions, given.rounds, Path(thrown_away) / "b", {"trace.content": True}
            ),
            "answer": _compare(lambda q: kb.ask(q), questions[:50], 1, Path(thrown_away) / "c", {}),
            "span_off_us": _span_off(),
        }
    print(json.dumps(result, indent=1))
    machine.save("tracing", result)


def _questions(kb: KnowledgeBase, file: Path | None, count: int) -> list[str]:
    if file is not None:
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line]
        return [json.loads(line)["text"] for line in lines[:count]]
    return [" ".join(chunk.text.split()[:8]) for chunk in kb.sample(count)]


def _compare(
    run: Callable[[str], object], questions: Sequence[str], rounds: int, home: Path, settings: dict[str, object]
) -> dict[str, object]:
    """CPU milliseconds a question with tracing and without, and what tracing adds: median over blocks of ten."""
    chosen = config.load(flags=settings)
    added, off, on = list[float](), list[float](), list[float]()
    turn = 0
    for _ in range(rounds):
        for at in range(0, len(questions), _BLOCK):
            block = questions[at : at + _BLOCK]
            for question in block:
                run(question)
            turn += 1
            if turn % 2:
                without = _cpu(run, block)
                traced = _traced(run, block, chosen, home)
            else:
                traced = _traced(run, block, chosen, home)
                without = _cpu(run, block)
            off.append(without)
            on.append(traced)
            added.append(traced - without)
    base = statistics.median(off)
    low, high = _interval(added)
    return {
        "off_ms": round(base, 3),
        "on_ms": round(statistics.median(on), 3),
        "added_ms": round(statistics.median(added), 3),
        "added_ms_95": [round(low, 3), round(high, 3)],
        "added_percent": round(100 * statistics.median(added) / base, 2),
        "bytes_a_trace": round((home / NAME).stat().st_size / (rounds * len(questions))),
    }


def _traced(run: Callable[[str], object], block: Sequence[str], settings: config.Settings, home: Path) -> float:
    tracing = trace.start(settings, home)
    trace.span("warm").end()
    tracing.flush()  # the file is open, as in a service that has been running
    cpu = _cpu(run, block, tracing.flush)
    tracing.close()
    return cpu


def _cpu(run: Callable[[str], object], block: Sequence[str], after: Callable[[], None] = lambda: None) -> float:
    """CPU milliseconds a question, ``after`` included."""
    begun = time.process_time()
    for question in block:
        run(question)
    after()
    return (time.process_time() - begun) * 1000 / len(block)


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Of the median, by the binomial order statistics' normal approximation."""
    ranked, n = sorted(values), len(values)
    half = 0.98 * n**0.5
    return ranked[max(0, int(n / 2 - half))], ranked[min(n - 1, int(n / 2 + half))]


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
