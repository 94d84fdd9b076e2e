"""The tables of docs/tuning.md: verdicts, and encoder, tuned encoder and cross-encoder side by side; from
benchmarks/results/tune-*.json.

Knows: what the result files hold. Does not know: how anything was measured.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

Table = Callable[[Sequence[str], Sequence[Sequence[str]], int], str]

METRICS = ("hit@1", "hit@10", "mrr@10", "ndcg@10")
ALL = "all"
SIDE_BY_SIDE = {
    "compare": "Side by side, on questions of documents that were held out:",
    "examples": "On the example documents, with models that were tuned on them:",
}


def tables(results: Path, table: Table) -> str:
    """All tables that there are figures for."""
    found = {path.stem.removeprefix("tune-"): _read(path) for path in sorted(results.glob("tune-*.json"))}
    beside = {name: title for name, title in SIDE_BY_SIDE.items() if name in found}
    judged = {name: one for name, one in found.items() if name not in SIDE_BY_SIDE}
    verdicts = [row for name, one in judged.items() for row in _verdict(name, one)]
    parts = []
    if verdicts:
        parts.append("On the shared data, before and after; `adopted` is what damda decided by it:")
        parts.append(table(("", "of", "before", "after", "p"), verdicts, 4))
        parts += [_how(name, one) for name, one in judged.items()]
    if methods := [row for one in judged.values() for row in _methods(one["result"])]:
        parts.append("What each method gained on the validation questions (mean reciprocal rank), and what it took:")
        parts.append(table(("method", "before", "after", "minutes"), methods, 3))
    for name, title in beside.items():
        parts += [title, _beside(found[name]["result"], table), _how(name, found[name])]
    return "\n\n".join(parts) or "Not measured yet."


def _read(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    return dict(found)


def _how(name: str, one: Mapping[str, Any]) -> str:
    about = one["machine"]
    said = f"{name}: {one['minutes']:.0f} minutes, {about['processor']}, {one['date']}; `{one['command']}`."
    return fill(said, 112, break_on_hyphens=False, break_long_words=False)


def _verdict(name: str, one: Mapping[str, Any]) -> Iterator[list[str]]:
    result = one["result"]
    if name in ("sts", "gemma"):
        for of, figures in result["metrics"].items():
            if "p" in figures:
                kind = "spearman_" if "spearman_before" in figures else ""
                count = figures.get("pairs", figures.get("questions", 0))
                change = {"before": figures[f"{kind}before"], "after": figures[f"{kind}after"], "p": figures["p"]}
                yield _row(f"{name}: {of}{', Spearman' if kind else ''}", change | {"count": count})
        return
    for learnt in result if isinstance(result, list) else [result]:
        verdict = learnt["verdict"]
        what = f"{name}: {learnt['setting']}, " if "setting" in learnt else f"{name}: "
        said = "adopted" if verdict["adopt"] else "not adopted"
        yield _row(f"**{what}{verdict['aim']['name']}: {said}**", verdict["aim"])
        for change in verdict["guarded"]:
            yield _row(f"{what}{change['name']}", change)


def _methods(result: object) -> Iterator[list[str]]:
    tried = result.get("tried", {}) if isinstance(result, dict) else {}
    for method, of in tried.items():
        if "validation" in of:
            yield [method, f"{of['before']:.4f}", f"{of['validation']:.4f}", f"{of['seconds'] / 60:.1f}"]


def _row(what: str, change: Mapping[str, Any]) -> list[str]:
    if not change["before"] and not change["after"]:  # nothing was better than what there was: not judged
        return [what, f"{change['count']:,.0f}", "–", "–", "–"]
    figures = (f"{change[key]:.4f}" for key in ("before", "after", "p"))
    return [what, f"{change['count']:,.0f}", *figures]


def _beside(result: Mapping[str, Any], table: Table) -> str:
    costs, lead = result["costs"], {}
    for change in result["differences"][ALL]:
        if change["metric"] == "ndcg@10":
            lead[change["mode"]] = f"{change['difference']:+.4f} ({change['p']:.4f})"
    rows = []
    for mode, one in result["retrieval"].items():
        figures = one["sources"][ALL]
        rows.append(
            [
                mode,
                *(f"{figures[metric]:.4f}" for metric in METRICS),
                lead.get(mode, ""),
                f"{costs['seconds_per_1000_questions'][mode]:.0f}",
                f"{costs['index_mb'][mode.rpartition(', ')[0]]:.1f}",
            ]
        )
    head = ("", *METRICS, f"nDCG@10 over {result['default']} (p)", "s per 1,000 questions", "index, MB")
    random = costs["random_negatives"]
    told = ", ".join(f"{name} {value:.3f}" for name, value in random["spearman"].items())
    note = fill(
        f"{result['questions']:,} questions. Right and random passages told apart, Spearman with 0/1 labels, "
        f"of at most {random['ceiling']}: {told}.",
        112,
    )
    return f"{table(head, rows, len(head) - 1)}\n\n{note}"
