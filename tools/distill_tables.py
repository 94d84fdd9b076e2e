"""The tables of docs/distilling.md: what a small model has learnt; from benchmarks/results/distill-*.json.

Knows: what the result files hold. Does not know: how anything was measured.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

Table = Callable[[Sequence[str], Sequence[Sequence[str]], int], str]

_WHO = {"reader": "the reader", "three_shots": "the model as it was, 3 shots", "extract": "`extract`, no model"}
_WHAT = {"exact": "exact match", "f1": "F1", "holds": "holds", "verbatim": "verbatim", "refusal": "refusal F1"}


def tables(results: Path, table: Table) -> str:
    """All tables that there are figures for."""
    parts = []
    for path in sorted(results.glob("distill-*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        judged = found["metrics"]["held_out"]
        rows = [[who, *(f"{judged[name][column]:.3f}" for column in _WHAT)] for name, who in _WHO.items()]
        name = path.stem.removeprefix("distill-")
        parts += [f"{name}:", table(["", *_WHAT.values()], rows, len(_WHAT)), _how(found, judged["questions"])]
    return "\n\n".join(parts) or "Not measured yet."


def _how(found: Mapping[str, Any], count: int) -> str:
    trained, settings = found["metrics"]["training"], found["settings"]
    said = (
        f"{settings['lessons']:,} lessons ({settings['refusals']:,} refusals), {trained['steps']} steps of "
        f"{settings['recipe']['batch']}, loss on validation {-trained['before']:.2f} -> {-trained['best']:.2f}, "
        f"{found['seconds'] / 60:,.0f} minutes in all; {count} held-out questions, each asked with its passage and "
        f"with another; {found['machine']['processor']}, {found['date']}; `{found['command']}`."
    )
    return fill(said, 112, break_on_hyphens=False, break_long_words=False)
