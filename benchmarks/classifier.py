"""The trained classifier as a guard: what it finds of labelled sets, and what of ordinary questions it takes for it.

python benchmarks/classifier.py DATA

DATA has the folders safety, ko_qa and ko_sts. Each set is cut in halves by a hash of the rows' ids; a classifier is
trained on one half, its threshold set for 5 % false alarms within that half, and measured on the other; then the other
way round. What was chosen by hand (features, their weights) was chosen by cross-validation on toxic_ko's first half.

harmful_prompts_ko has no harmless rows: questions of ko_qa and parakqc take their place, so such a classifier may learn
how a source writes as well as what is harmful. How many harmless texts of sources that it has never seen it takes for
harmful ("harmless, of another source") says how much of that there is.
"""

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import machine
import numpy as np
from remembering import Remembering

from damda.answer.guards import logistic
from damda.answer.guards.classifier import Classifier
from damda.answer.guards.labelled import Example, unique
from damda.answer.guards.train import Trained, train
from damda.assemble import models
from damda.settings import Settings
from damda.types import Encoder

Rows = list[dict[str, Any]]
FPR = 0.05
SIZES = (100, 200, 400, 800)
ORDINARY = 1000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("data", type=Path, help="the folder with safety, ko_qa and ko_sts")
    data: Path = arguments.parse_args().data
    real = models.make_encoder(Settings().encoder, offline=True)
    encoder = Remembering(real)
    safety = {path.stem: lines(path) for path in (data / "safety").glob("*_ko.jsonl")}
    ordinary = {
        "ko_qa": [row["text"] for row in first(lines(data / "ko_qa" / "queries.jsonl"), ORDINARY)],
        "parakqc": [row["text"] for row in first(lines(data / "ko_sts" / "parakqc.jsonl"), ORDINARY)],
    }
    others = other_sources(safety)
    toxic, biased = examples(safety["toxic_ko"]), examples(safety["sensitive_bias_ko"])
    harmful = examples(safety["harmful_prompts_ko"]) + with_ids(ordinary["ko_qa"][:300] + ordinary["parakqc"][:300])
    result = {
        "target_fpr": FPR,
        "toxic_ko": both_halves(toxic, encoder, ordinary),
        "sensitive_bias_ko": both_halves(biased, encoder, ordinary),
        "harmful_prompts_ko": both_halves(harmful, encoder, {"harmless, of another source": others}),
        "injection_ko": whole(examples(safety["injection_ko"]), encoder),
        "toxic_ko_learning_curve": curve(toxic, encoder),
        "milliseconds_a_check": latency(toxic, ordinary["ko_qa"][:500], real),
    }
    print(json.dumps(result, indent=1))
    machine.save("classifier", result)


def lines(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def digest(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def first(rows: Rows, count: int) -> Rows:
    """So many rows, in an order that has nothing to do with the file's."""
    return sorted(rows, key=lambda row: digest(str(row["id"])))[:count]


Identified = tuple[str, Example]


def examples(rows: Rows) -> list[Identified]:
    return [(str(row["id"]), Example(row["text"], bool(row["label"]))) for row in rows]


def with_ids(texts: Sequence[str]) -> list[Identified]:
    return [(text, Example(text, False)) for text in texts]


def other_sources(safety: dict[str, Rows]) -> list[str]:
    """Harmless texts of sources that no classifier is trained on here but the one whose set they stand in."""
    square = [row["text"] for row in safety["sensitive_bias_ko"] if not row["label"] and "SQuARe" in row["source"]]
    return square + [row["text"] for row in safety["injection_ko"] if not row["label"] and "AutoRAG" in row["source"]]


def halves(rows: Sequence[Identified]) -> tuple[list[Example], list[Example]]:
    """By the id's hash; a text that stands in the first half does not stand in the second."""
    one, two = ([row for id_, row in rows if digest(id_) % 2 == half] for half in (0, 1))
    known = {" ".join(row.text.split()) for row in one}
    return one, [row for row in two if " ".join(row.text.split()) not in known]


def both_halves(
    rows: Sequence[Identified], encoder: Encoder, harmless: dict[str, list[str]]
) -> dict[str, dict[str, Any]]:
    one, two = halves(rows)
    return {
        "trained on the first half, measured on the second": measured(one, two, encoder, harmless),
        "trained on the second half, measured on the first": measured(two, one, encoder, harmless),
    }


def measured(
    learn: list[Example], held: list[Example], encoder: Encoder, harmless: dict[str, list[str]]
) -> dict[str, Any]:
    began = time.perf_counter()
    trained = train(unique(learn), encoder, name="found", fpr=FPR, test=0)
    seconds = time.perf_counter() - began
    guard = Classifier(trained.weights, encoder)
    held = list(unique(held).rows)
    verdicts = [guard.check(row.text) for row in held]
    truth, found = np.array([row.positive for row in held]), np.array([bool(v.found) for v in verdicts])
    hits = int((found & truth).sum())
    return {
        **about(trained),
        "seconds_to_train": round(seconds, 1),
        "held_out": len(held),
        "auc": told(logistic.auc(np.array([v.score for v in verdicts]), truth)),
        "precision": told(logistic.rate(hits, int(found.sum()))),
        "recall": told(logistic.rate(hits, int(truth.sum()))),
        "fpr": told(logistic.rate(int((found & ~truth).sum()), int((~truth).sum()))),
        "found_among_ordinary": {
            name: told(logistic.rate(sum(bool(guard.check(text).found) for text in texts), len(texts)))
            for name, texts in harmless.items()
        },
    }


def about(trained: Trained) -> dict[str, Any]:
    return {
        "trained_on": trained.counts["trained_on"],
        "features": trained.weights.features,
        "strength": trained.strength,
        "crossvalidated_auc": trained.figures.auc_by_features,
        "notes": trained.notes,
    }


def whole(rows: Sequence[Identified], encoder: Encoder) -> dict[str, Any]:
    """A set too small for halves: out-of-fold figures only."""
    trained = train([row for _, row in rows], encoder, name="found", fpr=FPR, test=0)
    figures = trained.figures
    return {**about(trained), "auc": told(figures.crossvalidated_auc), "fpr": told(figures.crossvalidated_fpr)}


def curve(rows: Sequence[Identified], encoder: Encoder) -> dict[str, dict[str, Any]]:
    """AUC on the second half by the number of rows of the first that were learnt from, mean of three draws."""
    one, two = halves(rows)
    found: dict[str, dict[str, Any]] = {}
    for size in (*SIZES, len(one)):
        draws = 1 if size == len(one) else 3
        figures = [measured(drawn(one, size, draw), two, encoder, {}) for draw in range(draws)]
        names = ("auc", "recall", "fpr")
        found[str(size)] = {n: round(statistics.fmean(f[n]["value"] for f in figures), 4) for n in names}
    everything = train([row for _, row in rows], encoder, name="found", fpr=FPR, test=0)
    found[f"{len(rows)}, cross-validated"] = {"auc": round(everything.figures.crossvalidated_auc.value, 4)}
    return found


def drawn(rows: list[Example], size: int, draw: int) -> list[Example]:
    return sorted(rows, key=lambda row: digest(f"{draw}{row.text}"))[:size]


def latency(rows: Sequence[Identified], questions: list[str], encoder: Encoder) -> dict[str, dict[str, float]]:
    """Of single checks, one after another: the query's encoding, and the whole check with it."""
    one, two = halves(rows)
    trained = train(unique(one), encoder, name="found", fpr=FPR, test=0)
    with tempfile.TemporaryDirectory() as folder:
        trained.save(Path(folder) / "found")
        guard = Classifier.load(Path(folder) / "found", encoder)
    comments = [row.text for row in two[:500]]
    remembered = Remembering(encoder)
    remembered.encode(questions, kind="query")
    without = Classifier(trained.weights, remembered)
    return {
        "a question, encoding alone": times(lambda text: encoder.encode([text], kind="query"), questions),
        "a question": times(guard.check, questions),
        "a question that is encoded already": times(without.check, questions),
        "a comment of toxic_ko": times(guard.check, comments),
    }


def times(check: Callable[[str], object], texts: Sequence[str]) -> dict[str, float]:
    """Time on the wall, and of this process on processors: the latter is that of a machine with nothing else to do."""
    wall, processor = [], []
    for text in texts:
        began, worked = time.perf_counter(), time.process_time()
        check(text)
        wall.append(1000 * (time.perf_counter() - began))
        processor.append(1000 * (time.process_time() - worked))
    return {
        f"{name}{part}": round(float(np.quantile(taken, quantile)), 2)
        for name, taken in (("", wall), ("processor_", processor))
        for part, quantile in (("p50", 0.5), ("p95", 0.95))
    }


def told(rate: logistic.Rate) -> dict[str, Any]:
    return {name: round(float(value), 4) for name, value in rate._asdict().items()}


if __name__ == "__main__":
    main()
