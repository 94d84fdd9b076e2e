"""What is compared with the peers: documents drawn for the questions, and the tables of the results."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from damda.measure.corpus import drawn

ROOT = Path(__file__).parents[1]
MACHINE = {"processor": "one", "memory_gib": 8.0, "python": "3.11"}


def test_documents_are_drawn_with_those_that_answer() -> None:
    corpus = {f"d{n}": n for n in range(50)}
    kept = drawn(corpus, {"d49", "d3"}, 10)
    assert len(kept) == 10 and {"d49", "d3"} <= kept.keys() and list(kept.values()) == sorted(kept.values())
    assert kept == drawn(corpus, {"d49", "d3"}, 10)
    assert drawn(corpus, {"d3"}, 0) == corpus and drawn(corpus, {"d3", "d4"}, 1) == {"d3": 3, "d4": 4}


def result(peer: str, ways: dict[str, list[float]], asked: str = "same") -> dict[str, Any]:
    rows = {
        way: {"ndcg@10": sum(values) / len(values), "ndcg@10_of_each": " ".join(map(str, values))}
        for way, values in ways.items()
    }
    return {
        "date": "2026-01-01",
        "machine": MACHINE,
        "peer": peer,
        "versions": {peer: "1.2"},
        "documents": 5000,
        "questions": 20,
        "asked": asked,
        "installed": {"mb": 1234, "distributions": 9},
        "ingest": {"s": 1.5, "peak_memory_mb": 400, "index_mb": 2.0},
        "first_answer_of_a_process_s": 3.25,
        "question": {"p50_ms": 4.5, "p95_ms": 6.5, "peak_memory_mb": 300},
        "sources": {"s": {"questions": 20, "ways": rows}},
    }


def tables(folder: Path, *results: dict[str, Any]) -> str:
    for one in results:
        (folder / f"peers-small-set-{one['peer']}.json").write_text(json.dumps(one), encoding="utf-8")
    program = "import sys; sys.path.insert(0, 'tools'); import docs, peer_tables; from pathlib import Path; "
    program += f"print(peer_tables.tables(Path({str(folder)!r}), docs.table))"
    run = [sys.executable, "-c", program]
    return subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_lead_is_over_the_best_way_of_each_peer(tmp_path: Path) -> None:
    assert "No results yet" in tables(tmp_path)
    ours = result("damda", {"bm25": [1.0] * 20, "hybrid": [0.75] * 20})
    said = tables(tmp_path, ours, result("txtai", {"dense": [0.5] * 20, "hybrid": [0.25] * 20}))
    assert "## small-set" in said and "5,000 documents; 20 questions of s." in said
    assert "| damda 1.2 | hybrid | 0.750 |  |" in said, "with its default mode, though its other one is better"
    assert "| txtai 1.2 | dense | 0.500 | +0.250 (p 0.0001) |" in said
    assert "| txtai 1.2 | hybrid | 0.250 |  |" in said
    assert "| txtai 1.2 | 1.5 | 400 | 2.0 | 3.25 | 4.5 | 6.5 | 300 | 1,234 | 9 |" in said
    same = result("chromadb", {"dense": [0.75] * 20})
    assert "| Chroma 1.2 | dense | 0.750 | +0.000 (p 1.0000) |" in tables(tmp_path, same)


def test_other_questions_are_not_compared(tmp_path: Path) -> None:
    other = result("txtai", {"dense": [0.5] * 20}, asked="others")
    said = tables(tmp_path, result("damda", {"hybrid": [0.75] * 20}), other)
    assert "| txtai 1.2 | dense | 0.500 | other questions |" in said
