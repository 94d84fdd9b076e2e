"""An evaluation as one self-contained HTML page: tables, and plots as SVG inside it.

Knows: the document of ``report.py``. Does not know: how it was made. Needs the extra ``measure`` (matplotlib).
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from damda.measure.judge import GRADES
from damda.measure.markup import cycle, opening, svg, table
from damda.measure.report import ALL, Result, cell, chance, shortened
from damda.measure.retrieval import CURVE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COSTS = {
    "dimensions": ("dim", ","),
    "index, MB": ("index_mb", ",.1f"),
    "made, s": ("made_s", ".1f"),
    "passages a second": ("passages_per_second", ",.0f"),
    "question, ms": ("query_ms", ".1f"),
}
_SAID = 400


def page(result: Result) -> str:
    """The page. Names from documents are escaped; it loads nothing and runs nothing.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    parts = [
        *opening(f"{result['dataset']}: evaluation"),
        f"<h1>{escape(result['dataset'])}</h1>",
        f"<p class=dim>{_asked(result)} · {escape(result['date'])} · "
        + " · ".join(f"{escape(k)}: {escape(v)}" for k, v in result["settings"].items())
        + "</p>",
    ]
    if result["retrieval"]:
        parts += ["<h2>Search</h2>", _search_tables(result), '<div class="plots">', *_plots(result), "</div>"]
    if result["answers"]:
        parts += ["<h2>Answers</h2>", _answers(result["answers"])]
    if result["judge"]:
        parts += ["<h2>The language model's opinion</h2>", *_judge(result["judge"])]
    if result["similarity"]:
        parts += ["<h2>Agreement with people</h2>", *_similarity(result)]
    if result["worst"]:
        parts += ["<h2>The worst questions</h2>", _worst(result["worst"])]
    return "\n".join(parts)


def _asked(result: Result) -> str:
    pairs = result["similarity"].get("pairs")
    return f"{pairs:,} pairs" if pairs else f"{result['questions']:,} questions"


def _similarity(result: Result) -> list[str]:
    figures, each = result["similarity"], result["per_question"]["similarity"].values()

    def cloud(axes: "Axes") -> None:
        axes.scatter([score for score, _ in each], [said for _, said in each], s=10, alpha=0.4, color=cycle(1)[0])
        axes.set(xlabel="people's score", ylabel="cosine", title="Pairs of sentences")

    rows = [[name.capitalize(), cell(figures[name])] for name in ("spearman", "pearson")]
    note = "<p class=dim>Correlation of the encoder's cosines with people's scores, -1 to 1.</p>"
    return [table(["", "correlation"], rows), note, f'<div class="plots"><figure>{svg(cloud)}</figure></div>']


def lab_page(result: Result) -> str:
    """`damda lab encoders` as a page: which representation should I use?

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    rows, sets = result["rows"], list(result["pairs"])
    best = max(range(len(rows)), key=lambda n: rows[n]["metrics"]["ndcg@10"])
    metrics = list(rows[best]["metrics"])
    quality, cost = [], []
    for row in rows:
        name = escape(row["name"])
        alike = [f"{a:.3f} / {b:.3f}" for a, b in (row["similarity"][s] for s in sets)]
        quality.append([name, *(cell(row["metrics"][metric]) for metric in metrics), *alike])
        figures = [cell(row[key], form) for key, form in _COSTS.values()]
        cost.append([name, *figures, "" if row["cost"] is None else cell(row["cost"], ",.2f")])
    words = [[escape(row["name"]), *map(cell, row["words"] or (None, None, None))] for row in rows]
    notes = [f"<p class=dim>{escape(row['name'])}: {escape(row['note'])}</p>" for row in rows if row["note"]]

    def speed_plot(axes: "Axes") -> None:
        for colour, row in zip(cycle(len(rows)), rows, strict=True):
            at = max(row["query_ms"], 0.01), row["metrics"]["ndcg@10"]
            axes.scatter(*at, s=60, color=colour)
            axes.annotate(shortened(row["name"]), at, xytext=(6, 5), textcoords="offset points")
        axes.set_xscale("log")
        axes.set(xlabel="time for a question, ms", ylabel="nDCG@10", title="Quality against latency")
        axes.margins(0.25)

    return "\n".join(
        [
            *opening(f"{result['dataset']}: representations"),
            f"<h1>{escape(result['dataset'])}: representations</h1>",
            f"<p class=dim>{result['passages']:,} documents · {result['questions']:,} questions · "
            f"{escape(result['date'])}</p>",
            "<h2>What it finds, and what is alike to it</h2>",
            table(["", *metrics, *(f"{escape(s)}, Spearman / Pearson" for s in sets)], quality, best),
            f'<div class="plots"><figure>{svg(speed_plot)}</figure></div>',
            "<h2>What it costs</h2>",
            table(["", *_COSTS, "price of a million passages"], cost, best),
            *notes,
            "<h2>Cosine of words</h2>",
            table(["", "학교 · 공부", "학교 · 운동", "공부 · 운동"], words),
            "<p class=dim>As one-hot vectors two different words have nothing in common: 0, whatever they mean. A "
            "sentence encoder knows that school, study and exercise are not strangers; how near 1 its cosines lie is "
            "its habit, so compare them within a row.</p>",
        ]
    )


def _search_tables(result: Result) -> str:
    retrieval: Mapping[str, Any] = result["retrieval"]
    default = retrieval.get(result["default"]) or next(iter(retrieval.values()))
    shown = [m for m in default["sources"][ALL] if m == "recall@10" or not m.startswith("recall@")]
    tables = []
    for source in default["sources"]:
        tests = {row["mode"]: row for row in result["differences"].get(source, ()) if row["metric"] == "ndcg@10"}
        rows = []
        for mode, one in retrieval.items():
            test = tests.get(mode)
            against = f"{test['difference']:+.3f} (p {chance(test['p'])})" if test else ""
            figures = [f"{one['sources'][source][metric]:.3f}" for metric in shown]
            known = one["p50_ms"] > 0
            times = f"{one['p50_ms']:.1f} / {one['p95_ms']:.1f}" if known else ""
            rows.append([escape(mode), *figures, against, times, f"{one['per_second']:,.0f}" if known else ""])
        where = list(retrieval).index(result["default"]) if result["default"] in retrieval else None
        title = "All questions" if source == ALL else escape(source)
        head = ["mode", *shown, f"nDCG@10 against {escape(result['default'])}", "ms, p50 / p95", "a second"]
        tables.append(f"<h3>{title}</h3>" + table(head, rows, where))
    note = (
        "p: paired randomisation test, two-sided; a difference with p above 0.05 may be chance. Milliseconds are of "
        "one search at a time, searches a second of batches."
    )
    return "".join(tables) + f"<p class=dim>{note}</p>"


def _answers(answers: Mapping[str, Any]) -> str:
    head = ["", *(escape(source) for source in answers["sources"])]
    names = next(iter(answers["sources"].values()))
    rows = [
        [name.replace("_", " "), *(_shown(figures[name]) for figures in answers["sources"].values())] for name in names
    ]
    return table(head, rows) + f"<p class=dim>{answers['seconds_an_answer']:.2f} s an answer</p>"


def _shown(value: float | None) -> str:
    return cell(value, "," if isinstance(value, int) else ".3f")


def _judge(judge: Mapping[str, Any]) -> list[str]:
    sources = judge["sources"]
    rows = [[name.replace("_", " "), *map(_shown, (of[name] for of in sources.values()))] for name in sources[ALL]]
    parts = [
        table(["", *map(escape, sources)], rows),
        f"<p class=dim>Graded by {escape(judge['judge'])}. Refused answers are not graded; shares are of the answers "
        "with a verdict. Kappa (Cohen 1960): agreement with the rules (a right wording stands in a quote) beyond "
        "chance; 1 is all of it, 0 none.</p>",
    ]
    if judge["failure"]:
        parts.append(f"<p>It failed before the end: {escape(judge['failure'])}</p>")
    if judge["disagreements"]:
        parts.append(f"<h3>Right to one and not to the other: {judge['disagreeing']:,}</h3>" + _apart(judge))
    if judge["unread"]:
        said = "".join(f"<p class=dim>{escape(row['said'][:_SAID])}</p>" for row in judge["unread"][:5])
        parts.append(f"<h3>Replies that are no verdict</h3>{said}")
    return parts


def _apart(judge: Mapping[str, Any]) -> str:
    out = ["<div class=wide><table><tr><th>question</th><th>right answer</th><th>answer</th><th>the model</th></tr>"]
    for row in judge["disagreements"]:
        rules = "right by the rules" if row["by_rules"] else "not right by the rules"
        said = f"<p>{GRADES[row['grade']]}; {rules}</p><p class=dim>{escape(row['said'][:_SAID])}</p>"
        texts = (row["question"], " / ".join(row["right"]), row["answer"][:_SAID])
        out.append("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in texts) + f"<td>{said}</td></tr>")
    return "".join(out) + "</table></div>"


def _worst(rows: Sequence[Mapping[str, Any]]) -> str:
    out = ["<div class=wide><table><tr><th>question</th><th>should find</th><th>rank</th><th>found instead</th></tr>"]
    for row in rows:
        found = "".join(
            f"<p><b>{escape(doc)}</b> <span class=dim>{escape(text)}</span></p>" for doc, text in row["found"]
        )
        relevant = escape(", ".join(row["relevant"][:3]))
        rank = row["rank"] or "–"
        out.append(f"<tr><td>{escape(row['question'])}</td><td>{relevant}</td><td>{rank}</td><td>{found}</td></tr>")
    return "".join(out) + "</table></div>"


def _plots(result: Result) -> list[str]:
    retrieval = result["retrieval"]
    several = len(next(iter(retrieval.values()))["sources"]) > 1

    def speed(axes: "Axes") -> None:
        for colour, (mode, one) in zip(cycle(len(retrieval)), retrieval.items(), strict=True):
            at = one["p50_ms"], one["sources"][ALL]["ndcg@10"]
            if not at[0]:
                continue  # brought from elsewhere, its speed unknown
            axes.scatter(*at, s=60, color=colour)
            axes.annotate(mode, at, xytext=(6, 5), textcoords="offset points")
        axes.set(xlabel="median latency of a search, ms", ylabel="nDCG@10", title="Quality against latency")
        axes.margins(0.2)

    def curves(axes: "Axes") -> None:
        for colour, (mode, one) in zip(cycle(len(retrieval)), retrieval.items(), strict=True):
            recall = [one["sources"][ALL][f"recall@{k}"] for k in CURVE]
            axes.plot(CURVE, recall, marker="o", markersize=3, color=colour, label=mode)
        axes.set(xlabel="k", ylabel="recall@k", title="Recall of the first k documents")
        axes.legend(frameon=False)

    def bars(axes: "Axes") -> None:
        sources = [s for s in next(iter(retrieval.values()))["sources"] if s != ALL]
        width = 0.8 / len(retrieval)
        for n, (colour, (mode, one)) in enumerate(zip(cycle(len(retrieval)), retrieval.items(), strict=True)):
            heights = [one["sources"][s]["ndcg@10"] for s in sources]
            axes.bar([i + n * width for i in range(len(sources))], heights, width, color=colour, label=mode)
        axes.set_xticks([i + 0.4 - width / 2 for i in range(len(sources))], sources)
        axes.set(ylabel="nDCG@10", title="By source")
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))

    drawn = [speed, curves, *([bars] if several else [])]
    return [f"<figure>{svg(draw)}</figure>" for draw in drawn]
