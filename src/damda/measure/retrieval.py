"""How good a ranking is, by trec_eval's definitions, and whether a difference is more than chance.

Knows: runs, qrels, metrics. Does not know: where the runs come from. Needs the extra ``measure``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from damda.errors import ConfigError, MissingExtra, ReadError
from damda.types import Hit

METRICS = ("hit@1", "hit@10", "recall@10", "mrr@10", "ndcg@10", "map")
CURVE = (1, 2, 3, 5, 10, 20, 30, 50)
"""Where recall is measured for its curve."""

_TREC = {"hit": "Success", "recall": "R", "mrr": "RR", "ndcg": "nDCG"}
_NAME = re.compile(r"(hit|recall|mrr|ndcg)@([1-9]\d{0,3})|map")

Run = Mapping[str, Mapping[str, float]]
"""query id -> document id -> score."""


def best_of_documents(hits: Sequence[Hit]) -> list[tuple[str, Hit]]:
    """Each document with its best passage, in order: a document ranks where its best passage does."""
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.chunk.doc_id, hit)
    return list(best.items())


def ready() -> None:
    """Find out before minutes of searching whether it can be measured.

    Raises:
        MissingExtra: ir-measures is not installed.
    """
    if find_spec("ir_measures") is None:
        raise MissingExtra("measuring retrieval", "measure")


def read_run(path: Path) -> dict[str, dict[str, float]]:
    """A TREC run file: query-id Q0 doc-id rank score tag; documents best first. ``%20`` in an id is a space.

    Raises:
        ReadError: the file can't be read, or a line of it is no such line; names the line.
    """
    rows: dict[str, list[tuple[float, int, str]]] = {}
    number = 0
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):  # noqa: B007
            if line.strip():
                query, _, document, rank, score, _ = line.split()
                rows.setdefault(query, []).append((-float(score), int(rank), document.replace("%20", " ")))
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ReadError(f"{path}, line {number}: not query-id Q0 doc-id rank score tag") from error
    return {query: {document: -score for score, _, document in sorted(found)} for query, found in rows.items()}


def run_lines(query: str, ranked: Iterable[tuple[str, float]], tag: str) -> str:
    """Lines of a TREC run file for one query: (document id, score) pairs, best first. `read_run` reads them."""
    # White space in an id would break the run's columns.
    return "".join(
        f"{query} Q0 {'%20'.join(document.split())} {rank} {score:.6f} {tag}\n"
        for rank, (document, score) in enumerate(ranked, 1)
    )


def trec_name(metric: str) -> str:
    """trec_eval's name of a metric: "ndcg@10" is nDCG@10, "map" is AP.

    Raises:
        ConfigError: no metric is called so.
    """
    found = _NAME.fullmatch(metric)
    if found is None:
        raise ConfigError(f"{metric!r} is no metric of retrieval; known are hit@K, recall@K, mrr@K, ndcg@K and map")
    return f"{_TREC[found[1]]}@{found[2]}" if found[1] else "AP"


def per_query(
    qrels: Mapping[str, frozenset[str]], run: Run, metrics: Iterable[str] = METRICS
) -> dict[str, dict[str, float]]:
    """Metric name -> query id -> value. A query that the run lacks counts as 0.

    Raises:
        ConfigError: a metric has an unknown name.
        MissingExtra: ir-measures is not installed.
    """
    theirs = {metric: trec_name(metric) for metric in metrics}
    ready()
    import ir_measures

    measures = {ir_measures.parse_measure(name): ours for ours, name in theirs.items()}
    values = {name: dict.fromkeys(qrels, 0.0) for name in theirs}
    relevant = {query: dict.fromkeys(documents, 1) for query, documents in qrels.items()}
    found = {query: dict(documents) for query, documents in run.items() if documents}
    for metric in ir_measures.iter_calc(list(measures), relevant, found):
        values[measures[metric.measure]][metric.query_id] = float(metric.value)
    return values


def paired_p(a: Sequence[float], b: Sequence[float], *, rounds: int = 10_000, seed: int = 0) -> float:
    """Two-sided p of the paired randomisation test on the mean difference: the signs of the differences are shuffled.

    Source: Smucker, Allan and Carterette, "A comparison of statistical significance tests for information retrieval
    evaluation", CIKM 2007.
    """
    differences = np.asarray(a) - np.asarray(b)
    seen = abs(differences.mean()) - 1e-12
    generator = np.random.default_rng(seed)
    beyond = 0
    for size in [1000] * (rounds // 1000):
        signs = generator.integers(0, 2, (size, len(differences)), dtype=np.int8) * 2 - 1
        beyond += int((abs((signs * differences).mean(axis=1)) >= seen).sum())
    return (beyond + 1) / (rounds // 1000 * 1000 + 1)
