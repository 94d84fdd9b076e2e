"""Answers: quotes that hold a gold answer, and refusals where the answering passage was removed, at one setting.

python benchmarks/answers.py DATASET [--home DIR] [--sample N]

DATASET: a folder in BEIR layout whose queries.jsonl has "answers". Every question is asked twice: with the whole
index, and with the passages that qrels call relevant hidden from the search.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple, cast

import machine

import damda
from damda import assemble
from damda.assemble import models
from damda.generate.extract import THRESHOLD
from damda.generate.reader import Reader
from damda.measure.answers import holds
from damda.measure.dataset import Question, questions
from damda.measure.evaluate import sample
from damda.search.store import Store
from damda.settings import Settings

THRESHOLDS = (0.0, 0.1, 0.2, 0.25, 0.3, 0.33, 0.4, 0.5, 0.6)


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
    settings = Settings()
    encoder, analyser = models.make_encoder(settings.encoder, offline=True), models.make_analyser(settings)
    # Not public: nobody but the benchmarks needs to be told how sure the reader is.
    reader = assemble.make_reader(encoder, analyser, cast(Store, kb._store))
    begun = time.perf_counter()
    asked = sample([q for q in questions(given.dataset) if q.answers], given.sample)
    rows = [_ask(kb, reader, question) for question in asked]
    seconds = (time.perf_counter() - begun) / (2 * len(rows))
    sources = {s: [r for r in rows if r.source == s] for s in sorted({r.source for r in rows})} | {"all": rows}
    table = {source: {f"{t:g}": _shares(mine, t) for t in THRESHOLDS} for source, mine in sources.items()}
    for source, curve in table.items():
        print(f"\n{source}, {len(sources[source])} questions; default threshold {THRESHOLD:g}")
        for threshold, shares in curve.items():
            print(f"  {threshold:>5}  " + "  ".join(f"{name} {share:.3f}" for name, share in shares.items()))
    result = {"questions": len(rows), "seconds_an_answer": round(seconds, 3), "default_threshold": THRESHOLD}
    machine.save(f"answers-{given.dataset.name}", result | {"sources": table})


def _ask(kb: damda.KnowledgeBase, reader: Reader, question: Question) -> Asked:
    settings = Settings().answer
    hits = kb.search(question.text, 4 * settings.passages)
    read = reader.read(question.text, hits[: settings.passages])
    without = [hit for hit in hits if hit.chunk.doc_id not in question.relevant]
    held = [holds(candidate.text, question.answers) for candidate in read.distinct(settings.quotes)]
    again = reader.read(question.text, without[: settings.passages])
    return Asked(question.source, any(held[:1]), any(held), read.confidence, again.confidence)


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


if __name__ == "__main__":
    main()
