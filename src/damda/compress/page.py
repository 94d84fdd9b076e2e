"""A plan as one HTML page: tables, and two plots: speed by batch, memory by requests. Needs the extra ``measure``."""

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

from damda.compress.plan import Plan
from damda.compress.roofline import RESERVED
from damda.measure.markup import cycle, opening, svg, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_REQUESTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def page(made: Plan) -> str:
    """The page.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    form = made.method or ("as in the file" if made.stored else "f16")
    return "\n".join(
        [
            *opening(f"{made.shape.name}: plan"),
            f"<h1>{escape(made.shape.name)}</h1>",
            f"<p class=dim>{escape(made.shape.architecture)} · {made.parameters:,} weights · {made.shape.layers} layers"
            f" · {made.attention} attention · weights: {form}, cache: {made.cached} · {made.context:,} tokens a"
            " request</p>",
            "<h2>What fits, and how fast it can be at most</h2>",
            '<div class="plots">',
            f"<figure>{svg(_speed(made))}</figure><figure>{svg(_memory(made))}</figure>",
            "</div>",
            table(
                ["", "memory, GB", "GB/s", "TFLOPS", "requests", "turns at", "best batch", "prompt tokens/s"],
                [
                    [
                        escape(fit.device.name),
                        f"{fit.device.memory / 1e9:,.1f}",
                        f"{fit.device.bandwidth / 1e9:,.1f}",
                        f"{fit.device.flops / 1e12:,.2f}",
                        f"{fit.requests:,}",
                        f"{fit.turn[0]:,.0f} ({fit.turn[1]})",
                        f"{fit.best:,}" if fit.best else "-",
                        f"{fit.prefill:,.0f}",
                    ]
                    for fit in made.fits
                ],
            ),
            "<h2>Weights</h2>",
            table(["", "GB"], [[name, f"{size / 1e9:,.3f}"] for name, size in made.methods.items()]),
            "<h2>KV cache</h2>",
            table(
                ["", "heads", "KiB a token", *(f"MiB a request, {kind}" for kind in made.caches[0].request)],
                [
                    [
                        escape(one.name),
                        f"{one.kv_heads}",
                        f"{one.token[made.cached] / 1024:,.1f}",
                        *(f"{size / 2**20:,.1f}" for size in one.request.values()),
                    ]
                    for one in made.caches
                ],
            ),
        ]
    )


def _speed(made: Plan) -> "Callable[[Axes], None]":
    def draw(axes: "Axes") -> None:
        shown = [fit for fit in made.fits if fit.decode]
        for colour, fit in zip(cycle(len(shown)), shown, strict=True):
            axes.plot(
                [batch for batch, _, _ in fit.decode],
                [speed for _, speed, _ in fit.decode],
                marker="o",
                markersize=3,
                color=colour,
                label=fit.device.name,
            )
            axes.axvline(fit.turn[0], color=colour, linewidth=0.6, linestyle=":")
        axes.set(xlabel="requests at once", ylabel="tokens a second, all", title="Decoding at most; dotted: the turn")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        if shown:
            axes.legend(frameon=False, fontsize=8)

    return draw


def _memory(made: Plan) -> "Callable[[Axes], None]":
    a_request = next(one for one in made.caches if one.name == "as it is").request[made.cached]
    weights = made.methods[made.method] if made.method else (made.stored or made.methods["f16"])

    def draw(axes: "Axes") -> None:
        axes.plot(_REQUESTS, [(weights + n * a_request) / 1e9 for n in _REQUESTS], color="black", label="needed")
        for colour, fit in zip(cycle(len(made.fits)), made.fits, strict=True):
            axes.axhline(RESERVED * fit.device.memory / 1e9, color=colour, linewidth=0.8, label=fit.device.name)
        axes.set(xlabel="requests at once", ylabel="GB", title="Weights and full caches")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.legend(frameon=False, fontsize=8)

    return draw
