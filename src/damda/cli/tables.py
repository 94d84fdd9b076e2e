"""Evaluations as tables in a terminal.

Knows: the document of ``measure/report.py``. Does not know: how it was made.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from damda.cli.show import out
from damda.measure.report import ALL, cell, chance, shortened

_SURE = 0.05


def evaluation(result: Mapping[str, Any]) -> None:
    """Search by mode and source, then answers, then what was measured."""
    retrieval = result["retrieval"]
    for source in _sources(retrieval):
        out.print(_search(result, source))
    if answers := result["answers"]:
        out.print(_answers(answers))
    if judge := result["judge"]:
        _judge(judge)
    if similarity := result["similarity"]:
        out.print(_similarity(similarity))
    if retrieval:
        out.print(
            f"p: paired randomisation test of nDCG@10 against {result['default']}, the default here; above {_SURE:g} a "
            "difference may be chance.",
            style="dim",
        )
    about = " · ".join(f"{name} {value}" for name, value in result["settings"].items())
    asked = f"{similarity['pairs']:,} pairs" if similarity else f"{result['questions']:,} questions"
    out.print(escape(f"{asked} · {about}"), style="dim")


def _sources(retrieval: Mapping[str, Any]) -> list[str]:
    return list(next(iter(retrieval.values()))["sources"]) if retrieval else []


def _search(result: Mapping[str, Any], source: str) -> Table:
    retrieval = result["retrieval"]
    metrics = [m for m in retrieval[result["default"]]["sources"][source] if m == "recall@10" or "recall" not in m]
    heads = [metric.replace("@", "\n@") for metric in metrics]
    table = _table(
        "all questions" if source == ALL else source,
        ["mode", *heads, "differ-\nence", "p", "p50\nms", "p95\nms"],
    )
    tests = {row["mode"]: row for row in result["differences"].get(source, ()) if row["metric"] == "ndcg@10"}
    for mode, one in retrieval.items():
        test = tests.get(mode)
        against = (f"{test['difference']:+.3f}", chance(test["p"])) if test else ("", "")
        figures = [f"{one['sources'][source][metric]:.3f}" for metric in metrics]
        style = "bold" if mode == result["default"] else ""
        table.add_row(mode, *figures, *against, *_times(one), style=style)
    return table


def _times(one: Mapping[str, Any]) -> tuple[str, str]:
    return (f"{one['p50_ms']:.1f}", f"{one['p95_ms']:.1f}") if one["p50_ms"] else ("", "")


def _answers(answers: Mapping[str, Any]) -> Table:
    sources = answers["sources"]
    table = _table(f"answers, {answers['seconds_an_answer']:.2f} s each", ["", *sources])
    for name in next(iter(sources.values())):
        values = [figures[name] for figures in sources.values()]
        table.add_row(name.replace("_", " "), *(f"{v:,}" if isinstance(v, int) else f"{v:.3f}" for v in values))
    return table


def _judge(judge: Mapping[str, Any]) -> None:
    sources = judge["sources"]
    table = _table(f"answers, as {judge['judge']} grades them", ["", *sources])
    for name in sources[ALL]:
        values = [figures[name] for figures in sources.values()]
        table.add_row(name.replace("_", " "), *(cell(v, "," if isinstance(v, int) else ".3f") for v in values))
    out.print(table)
    out.print(
        "refused answers are not graded; shares are of answers with a verdict; kappa: agreement with the rules beyond "
        f"chance, 1 is all of it. {judge['disagreeing']:,} answers are right to one and not to the other.",
        style="dim",
    )
    if unread := judge["unread"]:
        out.print(escape(f"no verdict, e.g.: {unread[0]['said'][:100]!r}"), style="dim")


def _similarity(figures: Mapping[str, Any]) -> Table:
    table = _table("cosines against people's scores", ["Spearman", "Pearson"])
    table.add_row(cell(figures["spearman"]), cell(figures["pearson"]))
    return table


def representations(result: Mapping[str, Any]) -> None:
    """`damda lab encoders`: quality, then cost."""
    rows, sets = result["rows"], list(result["pairs"])
    best = max(rows, key=lambda row: row["metrics"]["ndcg@10"])
    heads = [*(m.replace("@", "\n@") for m in best["metrics"]), *(f"{name}\nSpearman" for name in sets)]
    table = _table("what it finds, and what is alike to it", ["", *heads])
    for row in rows:
        figures = [*row["metrics"].values(), *(row["similarity"][name][0] for name in sets)]
        table.add_row(escape(shortened(row["name"])), *map(cell, figures), style="bold" if row is best else "")
    out.print(table)
    costs = _table("what it costs", ["", "dimensions", "index\nMB", "made\ns", "passages\na second", "question\nms"])
    for row in rows:
        paid = "" if row["cost"] is None else f"  {row['cost']:,.2f} a million passages"
        size, speed = (cell(row["dim"], ","), cell(row["index_mb"], ",.1f")), cell(row["passages_per_second"], ",.0f")
        costs.add_row(
            escape(row["name"] + paid), *size, cell(row["made_s"], ".1f"), speed, cell(row["query_ms"], ".1f")
        )
    out.print(costs)
    words = _table("cosine of words", ["", "학교 공부", "학교 운동", "공부 운동"])
    for row in rows:
        words.add_row(escape(shortened(row["name"])), *map(cell, row["words"] or (None, None, None)))
    out.print(words)
    for row in rows:
        if row["note"]:
            out.print(escape(f"{row['name']}: {row['note']}"), style="dim")
    pairs = "".join(f", {name}: {count:,} pairs" for name, count in result["pairs"].items())
    out.print(escape(f"{result['passages']:,} documents, {result['questions']:,} questions{pairs}"), style="dim")


def comparison(rows: Sequence[Mapping[str, Any]]) -> None:
    """What changed; differences that are more than chance stand out."""
    if not rows:
        out.print("nothing in common: other questions, or other modes")
        return
    table = _table("", ["of", "figure", "before", "after", "difference", "p", "questions"])
    for row in rows:
        sure = row["p"] is not None and row["p"] <= _SURE
        difference = row["after"] - row["before"]
        colour = ("green" if difference > 0 else "red") if sure else "dim"
        table.add_row(
            row["of"],
            row["metric"].replace("_", " "),
            f"{row['before']:.3f}",
            f"{row['after']:.3f}",
            f"[{colour}]{difference:+.3f}[/{colour}]",
            chance(row["p"]),
            f"{row['questions']:,}",
        )
    out.print(table)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=escape(title) or None, title_justify="left", box=None, pad_edge=False, padding=(0, 1))
    for n, name in enumerate(columns):
        table.add_column(escape(name), justify="left" if n == 0 else "right", no_wrap=True)
    return table
