"""The tables of docs/peers.md: damda beside its peers, from benchmarks/results/peers-*.json.

Knows: what the result files hold, and which of them may be compared. Does not know: how anything was measured.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from damda.measure.retrieval import paired_p

NAMES = {
    "damda": "damda",
    "llamaindex": "LlamaIndex",
    "haystack": "Haystack",
    "txtai": "txtai",
    "chromadb": "Chroma",
}
OURS, DEFAULT = "damda", "hybrid"
COSTS = {
    "ingest, s": "ingest.s",
    "peak memory of it, MB": "ingest.peak_memory_mb",
    "index, MB": "ingest.index_mb",
    "first answer of a process, s": "first_answer_of_a_process_s",
    "question, median, ms": "question.p50_ms",
    "95th percentile, ms": "question.p95_ms",
    "peak memory of asking, MB": "question.peak_memory_mb",
    "installed, MB": "installed.mb",
    "packages": "installed.distributions",
}
"""Column -> key of a result."""

Table = Callable[[Sequence[str], Sequence[Sequence[str]], int], str]


def tables(results: Path, table: Table) -> str:
    """Two tables a data set: what is found, and what it takes."""
    groups: dict[str, dict[str, Any]] = {}
    for path in sorted(results.glob("peers-*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        groups.setdefault(path.stem.removeprefix("peers-").removesuffix(f"-{result['peer']}"), {})[result["peer"]] = (
            result
        )
    parts = []
    for dataset, of_peers in groups.items():
        rows = [of_peers[name] for name in NAMES if name in of_peers]
        counts = ", ".join(
            f"{row['questions']:,} questions of {source}"
            for source, row in rows[0]["sources"].items()
            if source != "all"
        )
        about = rows[0]["machine"]
        parts += [
            f"## {dataset}",
            f"{rows[0]['documents']:,} documents; {counts}.",
            _found(rows, table),
            table(("peer", *COSTS), [[_title(row), *_costs(row)] for row in rows], len(COSTS)),
            f"Machine: {about['processor']}, {about['memory_gib']:.0f} GiB, Python {about['python']}; "
            f"{', '.join(sorted({row['date'] for row in rows}))}.",
        ]
    return "\n\n".join(parts) if parts else "No results yet."


def _title(result: Mapping[str, Any]) -> str:
    return f"{NAMES[result['peer']]} {next(iter(result['versions'].values()))}"


def _costs(result: Mapping[str, Any]) -> list[str]:
    cells = []
    for key in COSTS.values():
        value: Any = result
        for step in key.split("."):
            value = value[step]
        cells.append(f"{value:,}")
    return cells


def _found(results: Sequence[Mapping[str, Any]], table: Table) -> str:
    """nDCG@10 of every way, and by how much damda's default is ahead of each peer's best one."""
    of_sources = [*results[0]["sources"]]
    ours = next((result for result in results if result["peer"] == OURS), None)
    rows = []
    for result in results:
        leads = {source: _lead(ours, result, source) for source in of_sources}
        for way in result["sources"][of_sources[0]]["ways"]:
            cells = []
            for source in of_sources:
                value = result["sources"].get(source, {}).get("ways", {}).get(way, {}).get("ndcg@10")
                best, said = leads[source]
                cells += ["" if value is None else f"{value:.3f}", said if way == best else ""]
            rows.append([_title(result), way, *cells])
    head = [cell for source in of_sources for cell in (f"{source}, nDCG@10", "damda ahead by")]
    return table(("peer", "way", *head), rows, len(head))


def _lead(ours: Mapping[str, Any] | None, theirs: Mapping[str, Any], source: str) -> tuple[str, str]:
    """(the peer's best way, damda's mean difference to it with p); without numbers where they can't be paired."""
    if source not in theirs["sources"]:
        return "", ""
    ways = theirs["sources"][source]["ways"]
    best = max(ways, key=lambda way: float(ways[way]["ndcg@10"]))
    if ours is None or theirs["peer"] == OURS:
        return best, ""
    if ours["asked"] != theirs["asked"]:
        return best, "other questions"
    mine, other = (
        [float(value) for value in row["ndcg@10_of_each"].split()]
        for row in (ours["sources"][source]["ways"][DEFAULT], ways[best])
    )
    return best, f"{(sum(mine) - sum(other)) / len(mine):+.3f} (p {paired_p(mine, other):.4f})"
