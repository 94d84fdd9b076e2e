"""The tables of docs/serving.md: load, a plain server beside it, memory; from benchmarks/results/serve.json.

Knows: what the result file holds. Does not know: how anything was measured.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

Table = Callable[[Sequence[str], Sequence[Sequence[str]], int], str]

LOAD = {
    "requests at once": "concurrent",
    "answered a second": "a_second",
    "median, ms": "p50_ms",
    "95th percentile, ms": "p95_ms",
    "99th percentile, ms": "p99_ms",
    "told to come later": "told_to_come_later",
    "errors": "errors",
}
BESIDE = {
    "damda, a second": "damda_a_second",
    "the other, a second": "peer_a_second",
    "ratio": "ratio",
    "damda, median, ms": "damda_p50_ms",
    "the other, median, ms": "peer_p50_ms",
}


def tables(results: Path, table: Table) -> str:
    """All tables that there are figures for."""
    path = results / "serve.json"
    if not path.is_file():
        return "Not measured yet."
    result = json.loads(path.read_text(encoding="utf-8"))
    parts = [fill(f"{result['documents']:,} documents; `{result['command']}`; {_machine(result)}.", 112)]
    for key, title in (("searches", "Searches (hybrid, ten passages)"), ("answers", "Answers (`extract`)")):
        parts += [f"{title}:", _of(result[key], LOAD, table)]
    if "few_documents" in result:
        few = result["few_documents"]
        parts += [f"Answers from {few['documents']} documents, most of whose passages were read before:"]
        parts += [_of(few["answers"], LOAD, table)]
    for key, title in (
        ("beside_sentence_transformers", "Beside a plain FastAPI over sentence-transformers"),
        ("beside_infinity", "Beside infinity-emb (torch engine)"),
    ):
        if key in result:
            rows = [{"what": row["what"]} | row for row in result[key]]
            parts += [f"{title}, the same weights, in turn:", _of(rows, {"": "what"} | BESIDE, table)]
    if "memory" in result:
        parts.append(_memory(result["memory"]))
    return "\n\n".join(parts)


def _of(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], table: Table) -> str:
    shown = [[_shown(row[key]) for key in columns.values()] for row in rows]
    return table(list(columns), shown, len(columns) - ("" in columns))


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _memory(memory: Mapping[str, Any]) -> str:
    megabytes = ", ".join(
        f"{memory[key]:,} MB {when}"
        for key, when in (
            ("mb_at_the_start", "at the start"),
            ("mb_after_a_minute", "after a minute"),
            ("mb_at_half_time", "at half time"),
            ("mb_at_the_end", "at the end"),
        )
    )
    return fill(
        f"Memory of all processes over {memory['minutes']:g} minutes of eight clients that search and four that ask: "
        f"{megabytes}; {memory['searches']['answered']:,} searches, {memory['searches']['errors']} errors.",
        112,
    )


def _machine(result: Mapping[str, Any]) -> str:
    about = result["machine"]
    return f"{about['processor']}, {about['memory_gib']:.0f} GiB, {result['date']}"
