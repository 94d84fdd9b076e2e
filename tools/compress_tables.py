"""The tables of docs/compressing.md: what each method gains and costs; from benchmarks/results/compress-*.json.

Knows: what the result files hold. Does not know: how anything was measured.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

Table = Callable[[Sequence[str], Sequence[Sequence[str]], int], str]


def tables(results: Path, table: Table) -> str:
    """All tables that there are figures for."""
    parts = []
    for path in sorted(results.glob("compress-*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        parts += [f"{path.stem.removeprefix('compress-')}:", _table(found["rows"], table), _how(found)]
    return "\n\n".join(parts) or "Not measured yet."


def _table(rows: Sequence[Mapping[str, Any]], table: Table) -> str:
    texts, reading = list(rows[0]["bits"]), bool(rows[0]["reading"])
    heads = ["method", "MB", "memory, MB", *(f"perplexity, {text}" for text in texts), "loss, %"]
    heads += ["f1", "verbatim", "refusal f1"] if reading else []
    heads += ["prompt, tok/s", "written, tok/s", "made in, s"]
    cells = []
    for row in rows:
        cells.append(
            [
                row["method"] or row["name"],
                f"{row['size'] / 1e6:,.0f}",
                f"{row['memory'] / 1e6:,.0f}",
                *(f"{row['perplexity'][text]:.2f}" for text in texts),
                f"{row['loss']:+.1f}",
                *(f"{row['reading'][name]:.2f}" for name in ("f1", "verbatim", "refusal") if reading),
                f"{row['prefill']:,.0f}",
                f"{row['decode']:,.1f}",
                f"{row['made']:,.0f}" if row["made"] is not None else "–",
            ]
        )
    return table(heads, cells, len(heads) - 1)


def _how(found: Mapping[str, Any]) -> str:
    about, first = found["machine"], found["rows"][0]
    read = ", ".join(f"{name}: {found['tokens'][name]:,} tokens" for name in found["tokens"])
    asked = f"; {first['reading']['questions']} questions, each asked twice" if first["reading"] else ""
    said = f"{about['processor']}, {found['date']}; {read}{asked}; `{found['command']}`."
    return fill(said, 112, break_on_hyphens=False, break_long_words=False)
