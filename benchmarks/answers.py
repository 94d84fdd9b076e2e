"""Answers: quotes that hold a gold answer, and refusals where the answering passage was removed, at one setting.

python benchmarks/answers.py DATASET [--home DIR] [--sample N]

DATASET: a folder in BEIR layout whose queries.jsonl has "answers". Every question is asked twice: with the whole
index, and with the passages that qrels call relevant hidden from the search.
"""

import argparse
import random
import time
from pathlib import Path
from typing import NamedTuple

import machine

import damda
from damda import assemble
from damda.config import Settings
from damda.embed.e5 import COSINES
from damda.generate.extract import THRESHOLD, Extract, confidence
from damda.korean import Morphemes
from damda.measure.dataset import Question, questions

THRESHOLDS = (0.0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)


class Asked(NamedTuple):
    """One question: what its quotes hold, and how sure the reader was with and without the answering passage."""

    source: str
    first: bool
    any: bool
    sure: float
    sure_without: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("dataset", type=Path)
    arguments.add_argument("--home", default="", help="where the index is kept between runs")
    arguments.add_argument("--sample", type=int, default=500, help="questions a source, drawn with a fixed seed")
    given = arguments.parse_args()
    kb = damda.open(given.dataset / "corpus.jsonl", settings={"home": given.home} if given.home else {})
    kb.refresh()
    encoder = assemble.make_encoder(Settings().encoder, offline=True)
    reader = Extract(encoder, Morphemes(), lambda: COSINES)
    begun = time.perf_counter()
    rows = [_ask(kb, reader, question) for question in _sample(questions(given.dataset), given.sample)]
    seconds = (time.perf_counter() - begun) / (2 * len(rows))
    sources = {s: [r for r in rows if r.source == s] for s in sorted({r.source for r in rows})} | {"all": rows}
    table = {source: {f"{t:g}": _shares(mine, t) for t in THRESHOLDS} for source, mine in sources.items()}
    for source, curve in table.items():
        print(f"\n{source}, {len(sources[source])} questions; default threshold {THRESHOLD:g}")
        for threshold, shares in curve.items():
            print(f"  {threshold:>5}  " + "  ".join(f"{name} {share:.3f}" for name, share in shares.items()))
    result = {"questions": len(rows), "seconds_an_answer": round(seconds, 3), "default_threshold": THRESHOLD}
    machine.save(f"answers-{given.dataset.name}", result | {"sources": table})


def _ask(kb: damda.KnowledgeBase, reader: Extract, question: Question) -> Asked:
    settings = Settings().answer
    hits = kb.search(question.text, 4 * settings.passages)
    ranked = reader.rank(question.text, hits[: settings.passages])
    quotes = list(dict.fromkeys(c.text for c in ranked))[: settings.quotes]
    without = [hit for hit in hits if hit.chunk.doc_id not in question.relevant][: settings.passages]
    holds = [any(gold in quote for gold in question.answers) for quote in quotes]
    return Asked(
        question.source,
        any(holds[:1]),
        any(holds),
        confidence(ranked) if ranked else 0.0,
        confidence(again) if (again := reader.rank(question.text, without)) else 0.0,
    )


def _shares(rows: list[Asked], threshold: float) -> dict[str, float]:
    answered = [row for row in rows if row.sure >= threshold]
    refused = sum(row.sure_without < threshold for row in rows)
    wrongly = len(rows) - len(answered)
    return {
        "gold_in_quotes": round(sum(row.any for row in answered) / len(rows), 3),
        "gold_in_first_quote": round(sum(row.first for row in answered) / len(rows), 3),
        "refused_when_removed": round(refused / len(rows), 3),
        "refused_wrongly": round(wrongly / len(rows), 3),
        "refusal_f1": round(2 * refused / max(refused + wrongly + len(rows), 1), 3),
    }


def _sample(asked: list[Question], n: int) -> list[Question]:
    picked: list[Question] = []
    for source in sorted({q.source for q in asked}):
        mine = [q for q in asked if q.source == source and q.answers]
        picked += random.Random(0).sample(mine, min(n, len(mine)))
    return picked


if __name__ == "__main__":
    main()
