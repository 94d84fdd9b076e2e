"""Retrieval quality of every mode, per source, with the significance of hybrid against the better of its halves.

python benchmarks/retrieval.py DATASET [--home DIR]

DATASET: a folder in BEIR layout (corpus.jsonl, queries.jsonl, qrels.tsv).
"""

import argparse
import time
from pathlib import Path
from typing import Any

import machine

import damda
from damda.measure.dataset import Question, questions
from damda.measure.retrieval import METRICS, best_of_documents, paired_p, per_query
from damda.types import Mode

MODES: tuple[Mode, ...] = ("bm25", "dense", "rrf", "convex", "hybrid")
DEPTH = 10


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("dataset", type=Path)
    arguments.add_argument("--home", default="", help="where the index is kept between runs")
    given = arguments.parse_args()
    kb = damda.open(given.dataset / "corpus.jsonl", settings={"home": given.home} if given.home else {})
    kb.refresh()
    asked = questions(given.dataset)
    qrels = {q.id: q.relevant for q in asked}
    values, seconds = {}, {}
    for mode in MODES:
        begun = time.perf_counter()
        run = _run(kb, asked, mode)
        seconds[mode] = round((time.perf_counter() - begun) / len(asked), 4)
        values[mode] = per_query(qrels, run)
    sources = {source: [q.id for q in asked if q.source == source] for source in sorted({q.source for q in asked})}
    table = {source: _row(values, ids) for source, ids in sources.items()}
    _print(table)
    name = f"retrieval-{given.dataset.name}"
    machine.save(name, {"questions": len(asked), "seconds_a_question": seconds, "sources": table})


def _run(kb: damda.KnowledgeBase, asked: list[Question], mode: Mode) -> dict[str, dict[str, float]]:
    """The best documents for each question. Five passages are asked for a document that is wanted."""
    run = {}
    for at in range(0, len(asked), 32):
        batch = asked[at : at + 32]
        for question, hits in zip(batch, kb.search_batch([q.text for q in batch], 5 * DEPTH, mode=mode), strict=True):
            run[question.id] = {doc_id: hit.score for doc_id, hit in best_of_documents(hits)[:DEPTH]}
    return run


def _row(values: dict[Mode, dict[str, dict[str, float]]], ids: list[str]) -> dict[str, Any]:
    means = {
        mode: {metric: round(sum(values[mode][metric][i] for i in ids) / len(ids), 4) for metric in METRICS}
        for mode in MODES
    }
    better: Mode = "bm25" if means["bm25"]["ndcg@10"] >= means["dense"]["ndcg@10"] else "dense"
    hybrid, half = ([values[mode]["ndcg@10"][i] for i in ids] for mode in ("hybrid", better))
    p = paired_p(hybrid, half)
    against = {"better_half": better, "ndcg@10": round((sum(hybrid) - sum(half)) / len(ids), 4), "p": round(p, 4)}
    return {"questions": len(ids), "modes": means, "hybrid_minus_better_half": against}


def _print(table: dict[str, dict[str, Any]]) -> None:
    for source, row in table.items():
        print(f"\n{source}, {row['questions']} questions" + "".join(f"{metric:>10}" for metric in METRICS))
        for mode, means in row["modes"].items():
            print(
                f"{mode:<{len(source) + 12 + len(str(row['questions']))}}"
                + "".join(f"{v:>10.3f}" for v in means.values())
            )
        against = row["hybrid_minus_better_half"]
        print(f"hybrid against {against['better_half']}: nDCG@10 {against['ndcg@10']:+.3f}, p = {against['p']}")


if __name__ == "__main__":
    main()
