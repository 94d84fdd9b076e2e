"""The table of docs/planning.md: what was planned beside what was measured; from benchmarks/results/plan.json.

Knows: what the result file holds. Does not know: how anything was measured.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill

Table = Callable[[Sequence[str], Sequence[Sequence[str]], int], str]


def tables(results: Path, table: Table) -> str:
    """Tokens a second, planned and measured."""
    path = results / "plan.json"
    if not path.is_file():
        return "Not measured yet."
    found = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        [row["model"], row["what"], f"{row['predicted']:,.0f}", f"{row['measured']:,.0f}", f"{row['ratio']:.2f}"]
        for row in found["rows"]
    ]
    heads = ["model", "", "planned, tok/s", "measured, tok/s", "planned / measured"]
    how = f"{found['machine']['processor']}, {found['date']}; `{found['command']}`."
    return f"{table(heads, rows, 3)}\n\n{fill(how, 112, break_on_hyphens=False, break_long_words=False)}"
