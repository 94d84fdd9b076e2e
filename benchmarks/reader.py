"""Fits the weights of the reader (``generate/reader.py``), and says what each piece of evidence is worth.

python benchmarks/reader.py DATASET... [--homes DIR] [--sample N]

DATASET: a folder in BEIR layout whose queries.jsonl has "answers". Every question is read twice: with the five best
passages, and with the passages that qrels call relevant hidden. Questions are cut into two halves, and each half is
scored by weights that were fitted on the other; the weights to use are those fitted on all.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import machine
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

import damda
from damda import assemble
from damda.assemble import models
from damda.generate.reader import Evidence, Reader, Reading, Support
from damda.measure.answers import holds
from damda.measure.dataset import Question, questions
from damda.measure.evaluate import sample
from damda.search.store import Store
from damda.settings import Settings

Array = NDArray[np.float64]
PASSAGES, QUOTES = 5, 3
WRONGLY = (0.05, 0.075, 0.1, 0.15, 0.2)


@dataclass(frozen=True, slots=True)
class Read:
    """One question's sentences in their passages' order, and the sentences with the answering passages hidden.

    Attributes:
        half: 0 or 1.
        retrieved: whether a relevant passage was among those read.
        texts, gold: the sentences, and whether a right answer stands in them.
        seen, hidden: (evidence of each sentence, shape (sentences, len(Evidence)); covered of Support).
    """

    source: str
    half: int
    retrieved: bool
    texts: tuple[str, ...]
    gold: NDArray[np.bool_]
    seen: tuple[Array, float]
    hidden: tuple[Array, float]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("datasets", type=Path, nargs="+", metavar="DATASET")
    arguments.add_argument("--homes", type=Path, help="where the indexes are kept between runs, one folder a data set")
    arguments.add_argument("--sample", type=int, default=500, help="questions a source, drawn with a fixed seed")
    given = arguments.parse_args()
    read = [one for dataset in given.datasets for one in _read(dataset, given.homes, given.sample)]
    everything = list(range(len(Evidence._fields)))
    result = {
        "questions": {source: sum(r.source == source for r in read) for source in sorted({r.source for r in read})},
        "sentences": {
            "all evidence": _quoted(read, everything),
            **{
                f"without {name}": _quoted(read, [i for i in everything if i != n])
                for n, name in enumerate(Evidence._fields)
            },
            "cosine alone": _quoted(read, [0]),
            "in_context alone": _quoted(read, [1]),
            "own alone": _quoted(read, [2]),
        },
    }
    refused = list(range(len(Support._fields)))
    result["refusal"] = {
        "all support": _refused(read, refused),
        **{f"without {name}": _refused(read, [i for i in refused if i != n]) for n, name in enumerate(Support._fields)},
    }
    weights = _fit_sentences(read, everything)
    answered, bias = _fit_support(read, weights, refused)
    result["weights"] = {
        "sentence": dict(zip(Evidence._fields, weights.round(2).tolist(), strict=True)),
        "answered": dict(zip(Support._fields, answered.round(2).tolist(), strict=True)) | {"bias": round(bias, 2)},
    }
    _print(result)
    machine.save("reader", result)


# --- reading ---------------------------------------------------------------------------------------------------------


def _read(dataset: Path, homes: Path | None, count: int) -> list[Read]:
    kb = damda.open(dataset / "corpus.jsonl", settings={"home": str(homes / dataset.name)} if homes else {})
    kb.refresh()
    settings = Settings()
    encoder, analyser = models.make_encoder(settings.encoder, offline=True), models.make_analyser(settings)
    # Not public: nobody but this file needs to see what speaks for a sentence.
    reader = assemble.make_reader(encoder, analyser, cast(Store, kb._store))
    asked = sample([q for q in questions(dataset) if q.answers and q.relevant], count)
    halves = random.Random(0).choices((0, 1), k=len(asked))
    read = []
    for n, (question, half) in enumerate(zip(asked, halves, strict=True)):
        if n % 100 == 0:
            print(f"{dataset.name}: {n} of {len(asked)}", flush=True)
        read.append(_one(kb, reader, question, half))
    return [one for one in read if one is not None]


def _one(kb: damda.KnowledgeBase, reader: Reader, question: Question, half: int) -> Read | None:
    hits = kb.search(question.text, 4 * PASSAGES)
    without = [hit for hit in hits if hit.chunk.doc_id not in question.relevant]
    seen, hidden = (reader.read(question.text, found[:PASSAGES]) for found in (hits, without))
    if not seen.candidates or not hidden.candidates:
        return None
    texts = tuple(" ".join(candidate.text.split()) for candidate in seen.candidates)
    retrieved = any(hit.chunk.doc_id in question.relevant for hit in hits[:PASSAGES])
    gold = np.array([holds(text, question.answers) for text in texts])
    return Read(question.source, half, retrieved, texts, gold, _evidence(seen), _evidence(hidden))


def _evidence(reading: Reading) -> tuple[Array, float]:
    assert reading.support is not None
    rows = np.array([candidate.evidence for candidate in reading.candidates], float)
    return rows, reading.support.covered


# --- sentences -------------------------------------------------------------------------------------------------------


def _quoted(read: Sequence[Read], columns: list[int]) -> dict[str, dict[str, float]]:
    """Per source and in all: how often a right answer stands in the first quote, and in any of the quotes.

    Of the questions whose passage was among those read.
    """
    rows = []
    for half in (0, 1):
        weights = _fit_sentences([r for r in read if r.half != half], columns)
        for one in read:
            if one.half == half and one.retrieved:
                quotes = _best(one, weights)
                rows.append((one.source, bool(one.gold[quotes[0]]), bool(one.gold[quotes].any())))
    sources = {source: [row for row in rows if row[0] == source] for source in sorted({row[0] for row in rows})}
    return {
        source: {
            "first_quote": round(sum(row[1] for row in mine) / len(mine), 3),
            "any_quote": round(sum(row[2] for row in mine) / len(mine), 3),
        }
        for source, mine in (sources | {"all": rows}).items()
    }


def _best(one: Read, weights: Array) -> list[int]:
    """The best sentences, the same one counted once."""
    chosen: dict[str, int] = {}
    for i in np.argsort(-(one.seen[0] @ weights), kind="stable").tolist():
        chosen.setdefault(one.texts[i], i)
    return list(chosen.values())[:QUOTES]


def _fit_sentences(read: Sequence[Read], columns: list[int]) -> Array:
    """Weights under which right sentences get most of a softmax over a question's sentences; 0 for other columns."""
    groups = [(r.seen[0][:, columns], r.gold) for r in read if r.gold.any() and not r.gold.all()]
    scale = np.concatenate([rows for rows, _ in groups]).std(axis=0) + 1e-9
    scaled = [(rows / scale, gold) for rows, gold in groups]

    def loss(weights: Array) -> tuple[float, Array]:
        value, slope = float(weights @ weights), 2 * weights
        for rows, gold in scaled:
            share = np.exp((scores := rows @ weights) - scores.max())
            share /= share.sum()
            right = float(share[gold].sum()) + 1e-12
            value -= float(np.log(right))
            slope = slope - (share * gold / right - share) @ rows
        return value, slope

    found = np.zeros(len(Evidence._fields))
    found[columns] = minimize(loss, np.zeros(len(columns)), jac=True, method="L-BFGS-B").x / scale
    return found


# --- refusal ---------------------------------------------------------------------------------------------------------


def _refused(read: Sequence[Read], columns: list[int]) -> dict[str, float]:
    """Area under the curve, and the share of hidden questions refused at given shares of wrong refusals."""
    seen, hidden = [], []
    every = list(range(len(Evidence._fields)))
    for half in (0, 1):
        others = [r for r in read if r.half != half]
        weights = _fit_sentences(others, every)
        answered, _ = _fit_support(others, weights, columns)
        mine = [r for r in read if r.half == half]
        seen += [float(_support(*r.seen, weights) @ answered) for r in mine]
        hidden += [float(_support(*r.hidden, weights) @ answered) for r in mine]
    with_, without = np.array(seen), np.array(hidden)
    above = (with_[:, None] > without).mean() + (with_[:, None] == without).mean() / 2
    rows = {"area_under_curve": round(float(above), 4)}
    for share in WRONGLY:
        recall = float((without < np.quantile(with_, share)).mean())
        rows[f"refused_at_{share}_wrongly"] = round(recall, 3)
        rows[f"f1_at_{share}_wrongly"] = round(2 * recall / (recall + share + 1), 3)
    return rows


def _support(rows: Array, covered: float, weights: Array) -> Array:
    """As ``Reading.support``, under other weights of sentences."""
    ranked = np.sort(rows @ weights)[::-1]
    margin = ranked[0] - ranked[len(ranked) // 2]
    return np.array(Support(rows[:, 0].max(), margin, covered))


def _fit_support(read: Sequence[Read], weights: Array, columns: list[int]) -> tuple[Array, float]:
    """Logistic regression: were the answering passages there? Weights, 0 for other columns, and the bias."""
    rows = np.array([_support(*side, weights) for r in read for side in (r.seen, r.hidden)])[:, columns]
    there = np.tile([1.0, 0.0], len(read))
    scale = rows.std(axis=0) + 1e-9
    design = np.column_stack([rows / scale, np.ones(len(rows))])

    def loss(found: Array) -> tuple[float, Array]:
        logits = design @ found
        value = np.logaddexp(0, logits).sum() - there @ logits + 0.05 * found @ found
        return float(value), design.T @ (1 / (1 + np.exp(-logits)) - there) + 0.1 * found

    best = minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B").x
    answered = np.zeros(len(Support._fields))
    answered[columns] = best[:-1] / scale
    return answered, float(best[-1])


def _print(result: dict[str, Any]) -> None:
    for part in ("sentences", "refusal"):
        print(f"\n{part}")
        for name, row in result[part].items():
            print(f"  {name:<20}", json.dumps(row))
    print("\nweights\n ", result["weights"])


if __name__ == "__main__":
    main()
