"""Passages read together in one prompt, or each alone: answers, refusals, time to the first word.

python benchmarks/each.py MODEL DATASET [--home DIR] [--count 100] [--timed 12]

MODEL: a .gguf, a folder with one, or a name that `damda models` knows. DATASET: a folder in BEIR layout whose
queries.jsonl has "answers". Each question is asked with the passages that damda's search finds, and once more with
those that answer taken out. How passages are weighed is fitted on one half of the questions, judged on the other.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import machine

import damda
from damda import weights
from damda.answer.each import Each, Weighing
from damda.answer.prompt import alone, messages
from damda.generate.llama import Llama
from damda.measure.answers import exact_match, f1
from damda.measure.dataset import Question, questions
from damda.measure.evaluate import sample
from damda.settings import LlamaSettings
from damda.types import NOT_FOUND, Generator, Hit

SURE = Weighing(place=0)
"""The log-odds alone; what a place counts is fitted here."""

MOST, TOKENS = 3, 48
"""Passages; tokens of an answer."""

PLACES = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
LIKELY = (0.0, 0.5, 1.0, 2.0, 4.0)
LEAST = tuple(n / 2 for n in range(-12, 13))


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with passages that may answer it, and with ones that don't."""

    question: Question
    hits: Sequence[Hit]
    others: Sequence[Hit]


@dataclass(frozen=True, slots=True)
class Read:
    """What was said of each passage: (log-odds that it answers, mean log-probability of its quote, the quote)."""

    asked: Asked
    seen: Sequence[tuple[float, float, str]]
    hidden: Sequence[tuple[float, float, str]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("model")
    arguments.add_argument("dataset", type=Path)
    arguments.add_argument("--home", default="", help="where the index is kept between runs")
    arguments.add_argument("--count", type=int, default=100)
    arguments.add_argument("--timed", type=int, default=12, help="questions that times are measured with")
    given = arguments.parse_args()
    path = Path(weights.gguf(given.model))
    asked = found(given.dataset, given.home, given.count)
    result: dict[str, Any] = {"model": path.stem, "questions": len(asked), "passages": MOST}
    result["together"] = {mode: together(path, mode, asked) for mode in ("write", "quote")}
    read = each(path, asked)
    result["each"] = {
        "first token": judged(read, ((p, 0.0) for p in PLACES)),
        "whole quotes": judged(read, product(PLACES, LIKELY)),
    }
    result["seconds"] = timed(path, asked[: given.timed])
    for name, row in (*result["together"].items(), *result["each"].items(), *result["seconds"].items()):
        print(f"{name:16} {row}")
    machine.save(f"each-{path.stem}", result)


def found(dataset: Path, home: str, count: int) -> list[Asked]:
    kb = damda.open(dataset / "corpus.jsonl", settings={"home": home} if home else {})
    kb.refresh()
    asked = []
    for question in sample([q for q in questions(dataset) if q.answers and q.relevant], count)[:count]:
        hits = kb.search(question.text, 4 * MOST)
        rest = [hit for hit in hits if hit.chunk.doc_id not in question.relevant]
        others = [hit for hit in rest if not any(right in hit.chunk.text for right in question.answers)]
        asked.append(Asked(question, hits[:MOST], others[:MOST]))
    return asked


def together(path: Path, mode: Any, asked: Sequence[Asked]) -> dict[str, float]:  # noqa: ANN401  a Literal
    llama = Llama(LlamaSettings(mode=mode, context=4096), path=path)
    pairs = [(said(llama, one, one.hits), said(llama, one, one.others)) for one in asked]
    llama.close()
    return figures(asked, pairs)


def said(writer: Generator, one: Asked, hits: Sequence[Hit]) -> str:
    deltas = writer.stream(messages(one.question.text, hits), passages=hits, max_tokens=TOKENS)
    text = "".join(delta.text for delta in deltas).strip()
    return "" if NOT_FOUND in text else text


def figures(asked: Sequence[Asked], pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Of (answer, answer where nothing answers); "" for a refusal."""
    answers = [one.question.answers for one in asked]
    exact = [exact_match(text, right) if text else 0.0 for (text, _), right in zip(pairs, answers, strict=True)]
    overlap = [f1(text, right) if text else 0.0 for (text, _), right in zip(pairs, answers, strict=True)]
    right, wrong = sum(not other for _, other in pairs), sum(not text for text, _ in pairs)
    refusal = 2 * right / max(1, right + wrong + len(pairs))
    return {"exact": statistics.mean(exact), "f1": statistics.mean(overlap), "refusal": refusal}


def each(path: Path, asked: Sequence[Asked]) -> list[Read]:
    """All passages read to the end of their quotes, so that every way to weigh them can be judged."""
    llama = Llama(LlamaSettings(mode="quote", context=1024, slots=MOST), path=path)
    read = [Read(one, attempts(llama, one, one.hits), attempts(llama, one, one.others)) for one in asked]
    llama.close()
    return read


def attempts(llama: Llama, one: Asked, hits: Sequence[Hit]) -> list[tuple[float, float, str]]:
    whole = messages(one.question.text, hits)
    begun = [llama.attempt(alone(whole, hits, n), hit, max_tokens=TOKENS) for n, hit in enumerate(hits)]
    return [(SURE.score(one.absent(), 0), one.likely(), one.quote()) for one in begun if one]


def judged(read: Sequence[Read], grid: Any) -> dict[str, Any]:  # noqa: ANN401  pairs
    """Weights fitted on each half, judged on the other; and those of all."""
    ways = list(product(grid, LEAST))
    halves = [read[0::2], read[1::2]]
    pairs: dict[str, tuple[str, str]] = {}
    for half, other in (halves, halves[::-1]):
        best = max(ways, key=partial(worth, half))
        pairs |= {one.asked.question.id: chosen(one, best) for one in other}
    (place, likely), least = max(ways, key=partial(worth, read))
    fitted = {"place": place, "likely": likely, "least": least}
    return {**figures([r.asked for r in read], [pairs[r.asked.question.id] for r in read]), "weights": fitted}


def worth(read: Sequence[Read], way: Any) -> float:  # noqa: ANN401  as above
    """F1 where something answers, a refusal where nothing does, and where the search found nothing that does."""
    total = 0.0
    for one in read:
        text, other = chosen(one, way)
        total += f1(text, one.asked.question.answers) if text else 0.0
        total += not other
    return total / (2 * len(read))


def chosen(one: Read, way: Any) -> tuple[str, str]:  # noqa: ANN401  as above
    (place, likely), least = way

    def best(rows: Sequence[tuple[float, float, str]]) -> str:
        scores = [sure - place * n + likely * mean for n, (sure, mean, _) in enumerate(rows)]
        top = max(range(len(rows)), key=scores.__getitem__, default=None)
        return rows[top][2] if top is not None and scores[top] >= least else ""

    return best(one.seen), best(one.hidden)


def timed(path: Path, asked: Sequence[Asked]) -> dict[str, Any]:
    """Medians: to the first word and to the end, of passages read for the first time and of known ones."""
    with tempfile.TemporaryDirectory() as folder:

        def made(name: str, **more: Any) -> Llama:  # noqa: ANN401  settings
            return Llama(LlamaSettings(kv=True, **more), path=path, kv_folder=Path(folder) / name)

        ways: dict[str, Callable[[], tuple[Generator, Llama]]] = {
            "together, write": lambda: (one := made("write", mode="write"), one),
            "together, quote": lambda: (one := made("quote", mode="quote"), one),
            "each": lambda: (
                Each(one := made("each", mode="quote", context=1024, slots=MOST), MOST, Weighing(least=-99)),
                one,
            ),
        }
        seconds = {}
        for name, make in ways.items():
            writer, llama = make()
            said(writer, asked[0], asked[-1].hits)  # loads
            cold, warm = ([clock(writer, one) for one in asked] for _ in range(2))
            llama.close()
            seconds[name] = {
                f"{what}, {when}": round(statistics.median(row[n] for row in rows), 3)
                for when, rows in (("cold", cold), ("warm", warm))
                for n, what in enumerate(("first", "all"))
            }
    return seconds


def clock(writer: Generator, one: Asked) -> tuple[float, float]:
    begun, first = time.perf_counter(), 0.0
    for delta in writer.stream(messages(one.question.text, one.hits), passages=one.hits, max_tokens=TOKENS):
        first = first or (time.perf_counter() - begun if delta.text else 0.0)
    return first, time.perf_counter() - begun


if __name__ == "__main__":
    main()
