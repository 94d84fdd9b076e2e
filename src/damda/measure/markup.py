"""Pages that are one file: a head, tables, plots as SVG inside. They load nothing and run nothing.

Knows: HTML, matplotlib (extra ``measure``). Does not know: what is shown.
"""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from damda.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 16px/1.5 system-ui, "Apple SD Gothic Neo", "Malgun Gothic", "Noto Sans KR", sans-serif;
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p, td { overflow-wrap: anywhere; } .dim { opacity: .65; font-size: .9rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; } td.n { font-variant-numeric: tabular-nums; white-space: nowrap; }
td:first-child { min-width: 5rem; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; } .plots figure { margin: 0; flex: 1 1 24rem; max-width: 30rem; }
.plots svg { width: 100%; height: auto; background: #fff; border-radius: 6px; }
tr.best td { font-weight: 600; } .worst td:first-child { min-width: 11rem; } .worst p { margin: 0 0 .5rem; }
"""
_COLOURS = ("#2a6fb0", "#d1702a", "#3c9a5f", "#a14aa8", "#8a8a30", "#b03a48")


def opening(title: str) -> list[str]:
    """A page's beginning; the body may follow at once."""
    return [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>",
        '<meta name=viewport content="width=device-width"><style>' + _STYLE + "</style>",
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], best: int | None = None) -> str:
    """Cells are HTML; all columns but the first hold numbers."""
    first, *rest = head
    out = [f"<div class=wide><table><tr><th>{first}</th>" + "".join(f"<th class=n>{h}</th>" for h in rest) + "</tr>"]
    for n, (name, *cells) in enumerate(rows):
        mark = " class=best" if n == best else ""
        out.append(f"<tr{mark}><td>{name}</td>" + "".join(f"<td class=n>{c}</td>" for c in cells) + "</tr>")
    return "".join(out) + "</table></div>"


def cycle(count: int) -> list[str]:
    """Colours, one for each of so many."""
    return [_COLOURS[n % len(_COLOURS)] for n in range(count)]


def label(axes: "Axes", points: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Write names beside points, each where it hides no other: right above its point, or below, or further off.

    To be called when everything else is drawn, since it goes by where points lie in the plot.
    """
    axes.autoscale_view()
    places = axes.transAxes.inverted().transform(axes.transData.transform(points)) * (340, 260)
    taken: list[tuple[float, float, float]] = []
    for at, name, (x, y) in sorted(zip(points, names, places.tolist(), strict=True), key=lambda one: one[2][::-1]):
        width = 5.4 * len(name)
        free = (up for up in (4, 14, -12, 24, -22) if not any(_over(x, y + up, width, other) for other in taken))
        up = next(free, 34)
        taken.append((x, y + up, width))
        axes.annotate(name, at, xytext=(6, up), textcoords="offset points", fontsize=8)


def _over(x: float, y: float, width: float, other: tuple[float, float, float]) -> bool:
    """Whether two texts of 9 points' height hide one another."""
    return x < other[0] + other[2] and other[0] < x + width and abs(y - other[1]) < 9


def svg(draw: "Callable[[Axes], None]") -> str:
    """A plot of 520 by 360 points.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("the report's plots", "measure") from error
    # Text stays text: the reader's own fonts show it, Hangul too, and the file is a tenth as large.
    with matplotlib.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "damda"}):
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        out = io.StringIO()
        with warnings.catch_warnings():
            # Its own font, which it measures text with, lacks Hangul; the reader's fonts have it.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            figure.savefig(out, format="svg", metadata={"Date": None})
    whole = out.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", whole[whole.index("<svg") :], flags=re.DOTALL)
