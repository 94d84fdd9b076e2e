"""What was measured as one HTML file, and as tables.

Knows: which figures a study has and how they are written. Does not know: how they were measured.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from damda.bench.choose import Choice
from damda.bench.run import Measured
from damda.bench.subject import Row
from damda.measure import markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WRITTEN: dict[str, tuple[str, Callable[[Any], str]]] = {
    "tokens_per_second": ("tokens a second", lambda value: f"{value:,.1f}"),
    "together": ("tokens a second, read and written", lambda value: f"{value:,.0f}"),
    "prefill": ("of prompts", lambda value: f"{value:,.0f}"),
    "throughput": ("written, together", lambda value: f"{value:,.1f}"),
    "first": ("first words, s", lambda value: f"{value:.3f}"),
    "first95": ("95th percentile", lambda value: f"{value:.2f}"),
    "whole": ("whole answer, s", lambda value: f"{value:.2f}"),
    "whole95": ("95th percentile", lambda value: f"{value:.2f}"),
    "wasted": ("slots wasted", lambda value: f"{value:.0%}"),
    "acceptance": ("guesses taken", lambda value: f"{value:.0%}"),
    "load": ("loaded in, s", lambda value: f"{value:.2f}"),
    "perplexity": ("perplexity", lambda value: f"{value:,.2f}"),
    "read": ("tokens read", lambda value: f"{value:,.0f}"),
    "planned": ("planned, MB", lambda value: f"{value:,.1f}"),
    "taken": ("taken, MB", lambda value: f"{value:,.1f}"),
    "memory": ("memory, MB", lambda value: f"{value:,.0f}"),
    "installed": ("installed, MB", lambda value: f"{value:,.0f}"),
    "seconds": ("seconds", lambda value: f"{value:.3f}"),
    "kernels": ("kernels", lambda value: f"{value:,}"),
    "same": ("same words", lambda value: "yes" if value else "no"),
    "same_words": ("words as with f16", lambda value: f"{value:.0%}"),
    "least_cosine": ("least cosine", lambda value: f"{value:.4f}"),
}
"""Figure -> heading, and how it is written."""

_PLOTTED = ("tokens_per_second", "throughput", "first", "seconds", "perplexity", "planned")
"""The first of these that a study has is drawn."""


def tables(rows: Sequence[Row]) -> list[tuple[str, list[str], list[list[str]]]]:
    """(study, headings, cells) of each."""
    found = []
    for study in dict.fromkeys(row["study"] for row in rows):
        mine = [row for row in rows if row["study"] == study]
        figures = [name for name in _WRITTEN if name in mine[0]]
        head = ["", *(_WRITTEN[name][0] for name in figures)]
        cells = [[f"{row['task']}: {row['way']}", *(_cell(name, row[name]) for name in figures)] for row in mine]
        found.append((study, head, cells))
    return found


def _cell(name: str, value: Any) -> str:  # noqa: ANN401  a figure
    return "–" if value is None else _WRITTEN[name][1](value)


def page(made: Measured, chosen: Sequence[Choice]) -> str:
    """The file's text.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    markup.svg(lambda _: None)  # tells of a missing extra where nothing is drawn yet
    parts = [
        *markup.opening(f"{made.model}: what each technique is worth"),
        f"<h1>{escape(made.model)}: what each technique is worth</h1>",
        f"<p class=dim>{escape(made.machine)}. Medians of several rounds.</p>",
    ]
    for study, head, cells in tables(made.rows):
        mine = [row for row in made.rows if row["study"] == study]
        parts += [
            f"<h2>{escape(study)}</h2>",
            markup.table([escape(one) for one in head], [[escape(cell) for cell in row] for row in cells]),
            f"<div class=plots><figure>{markup.svg(_bars(mine))}</figure></div>",
        ]
    if chosen:
        parts.append("<h2>Better here</h2>")
        parts.append(markup.table(["setting", "value", "why"], [[escape(str(c)) for c in _row(one)] for one in chosen]))
    missing = [
        *(f"{name}: there was no time" for name in made.left),
        *(f"{n}: {why}" for n, why in made.failed.items()),
    ]
    parts += [f"<p class=dim>{escape(line)}</p>" for line in missing]
    return "\n".join(parts)


def _row(choice: Choice) -> tuple[str, str, str]:
    return choice.key, str(choice.value), choice.why


def _bars(rows: Sequence[Row]) -> "Callable[[Axes], None]":
    figure = next(name for name in _PLOTTED if name in rows[0])
    rows = [row for row in rows if row[figure] is not None]
    tasks, ways = (list(dict.fromkeys(row[name] for row in rows)) for name in ("task", "way"))

    def draw(axes: "Axes") -> None:
        width = 0.8 / len(ways)
        for n, (way, colour) in enumerate(zip(ways, markup.cycle(len(ways)), strict=True)):
            mine = {row["task"]: row[figure] for row in rows if row["way"] == way}
            at = [k + (n - (len(ways) - 1) / 2) * width for k, task in enumerate(tasks) if task in mine]
            axes.bar(at, [mine[task] for task in tasks if task in mine], width, label=way, color=colour)
        axes.set_xticks(range(len(tasks)), tasks, fontsize=8)
        axes.set_ylabel(_WRITTEN[figure][0])
        axes.legend(frameon=False, fontsize=8)

    return draw
