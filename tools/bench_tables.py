"""The tables of docs/engines.md: what each technique is worth; from benchmarks/results/bench-*.json and others.

Knows: what the result files hold. Does not know: how anything was measured.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill

from damda.bench.page import tables as studies

Table = Callable[[Sequence[str], Sequence[Sequence[str]], int], str]


def tables(results: Path, table: Table) -> str:
    """All tables that there are figures for."""
    parts = [*_benches(results, table), *_vllm(results, table), *_busy(results, table)]
    return "\n\n".join(parts) or "Not measured yet."


def _benches(results: Path, table: Table) -> list[str]:
    parts = []
    for path in sorted(results.glob("bench-*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        measured = found["measured"]
        for study, head, rows in studies(measured["rows"]):
            parts += [f"{measured['model']}, {study}:", table(head, rows, len(head) - 1)]
        chosen = "; ".join(f"`{one['key']}` {one['value']} ({one['why']})" for one in found["chosen"]) or "nothing"
        parts.append(_wrapped(f"Better than as it comes: {chosen}. {_how(found)}"))
    return parts


def _vllm(results: Path, table: Table) -> list[str]:
    path = results / "vllm.json"
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    ((_, head, rows),) = studies(found["rows"])
    ratios = "; ".join(f"{ratio:.1f} times {way}" for way, ratio in found["ratio_at_8"].items())
    said = f"damda's best engine, read and written tokens a second at 8 at once: {ratios} (vLLM {found['vllm']}). "
    return [f"{found['model']} beside vLLM:", table(head, rows, len(head) - 1), _wrapped(said + _how(found))]


def _busy(results: Path, table: Table) -> list[str]:
    path = results / "busy.json"
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    names = [name for name in found["rows"][0] if name != "others"]
    rows = [[f"{row['others']} busy programs", *(f"{row[name]:,.1f}" for name in names)] for row in found["rows"]]
    said = f"Tokens a second of {found['model']} by how long threads wait turning. {_how(found)}"
    return ["Beside other programs:", table(["", *names], rows, len(names)), _wrapped(said)]


def _how(found: dict[str, dict[str, str]]) -> str:
    return f"{found['machine']['processor']}, {found['date']}; `{found['command']}`."


def _wrapped(text: str) -> str:
    return fill(text, 112, break_on_hyphens=False, break_long_words=False)
