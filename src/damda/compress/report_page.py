"""A report as one HTML file: a table, and two plots of what is lost against what is gained.

Knows: what is shown. Does not know: how it was measured.
"""

from collections.abc import Callable, Sequence
from html import escape
from os.path import commonprefix
from typing import TYPE_CHECKING

from damda.compress.report import Report, Row, pareto
from damda.measure import markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def page(made: Report) -> str:
    """The file's text."""
    best = next((n for n, row in enumerate(made.rows) if row.name == made.chosen), None)
    read = ", ".join(f"{name}: {made.windows[name]} windows, {made.tokens[name]:,} tokens" for name in made.windows)
    _, *named = heads(made)
    shared = shared_start([row.name for row in made.rows])
    rows = [[name.removeprefix(shared), *rest] for name, *rest in (cells(row, made) for row in made.rows)]
    parts = [
        *markup.opening("what was gained, and what it cost"),
        "<h1>What was gained, and what it cost</h1>",
        f"<p class=dim>{escape(made.machine)}. Perplexity: second halves of windows of 512 tokens, {escape(read)}.</p>",
        markup.table([escape(shared), *named], [[escape(cell) for cell in row] for row in rows], best),
    ]
    if made.why:
        parts.append(f"<p>{escape(' '.join(filter(None, (made.chosen, made.why))))}.</p>")
    plots = [
        markup.svg(_plot(made.rows, [row.size / 1e6 for row in made.rows], "MB on disk")),
        markup.svg(_plot(made.rows, [-row.decode for row in made.rows], "tokens a second, written")),
    ]
    drawn = "".join(f"<figure>{plot}</figure>" for plot in plots)
    note = "Filled: nothing else here is both lighter (quicker) and closer to the first."
    return "\n".join([*parts, f"<div class=plots>{drawn}</div><p class=dim>{note}</p>"])


def heads(made: Report) -> list[str]:
    """The columns' names."""
    texts = [f"perplexity, {name}" for name in made.windows] + [f"bits a byte, {name}" for name in made.windows]
    reading = list(READING) if made.rows[0].reading else []
    return ["", "MB", "memory, MB", *texts, "loss, %", *reading, "prompt, tok/s", "written, tok/s", "made in, s"]


READING = {"exact": "exact", "f1": "f1", "verbatim": "verbatim", "refusal f1": "refusal"}
"""Heading -> figure, of the reading set."""


def cells(row: Row, made: Report) -> list[str]:
    """A row, by the columns of `heads`."""
    reading = [f"{row.reading[name]:.3f}" for name in READING.values()] if row.reading else []
    return [
        row.name,
        f"{row.size / 1e6:,.0f}",
        f"{row.memory / 1e6:,.0f}",
        *(f"{row.perplexity[name]:,.2f}" for name in made.windows),
        *(f"{row.bits[name]:.3f}" for name in made.windows),
        f"{row.loss:+.1f}",
        *reading,
        f"{row.prefill:,.1f}",
        f"{row.decode:,.1f}",
        f"{row.made:,.0f}" if row.made is not None else "–",
    ]


def shared_start(names: Sequence[str]) -> str:
    """What all names begin with, up to a hyphen and no name whole; "" for one alone."""
    start = commonprefix(list(names)) if len(names) > 1 else ""
    return start[: start.rfind("-", 0, min(map(len, names)) - 1) + 1]


def _plot(rows: Sequence[Row], across: Sequence[float], named: str) -> "Callable[[Axes], None]":
    """What it costs, to the right, against what is lost, upwards; what is better with more is given negated."""
    front = pareto([(x, row.loss) for x, row in zip(across, rows, strict=True)])

    def draw(axes: "Axes") -> None:
        points = [(abs(x), row.loss) for x, row in zip(across, rows, strict=True)]
        for at, colour, best in zip(points, markup.cycle(len(rows)), front, strict=True):
            axes.scatter(*at, s=46, facecolors=colour if best else "none", edgecolors=colour)
        axes.set_xlabel(named)
        axes.set_ylabel("loss, % more bits a byte")
        markup.label(axes, points, [row.method or row.name for row in rows])

    return draw
