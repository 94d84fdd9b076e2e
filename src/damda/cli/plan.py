"""`damda plan`: what a model takes, what fits, and how fast it can be, before it is loaded or bought."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from damda.cli.app import ConfigFlag, JsonFlag, QuietFlag, SetFlag, app, flags

if TYPE_CHECKING:
    from damda.compress.plan import Plan
    from damda.compress.roofline import Device
    from damda.compress.shape import Shape

_THIS = "this"


@app.command(
    epilog="Examples: damda plan smollm2-135m  |  damda plan hub:Qwen/Qwen3-8B --context 8192 --device L4 "
    "--device H100  |  damda plan ./model --method gguf:Q4_K_M --kv q8_0 --report plan.html"
)
def plan(
    model: Annotated[
        str,
        typer.Argument(
            help="A name that `damda models` knows, a .gguf, a folder or config.json, hub:OWNER/NAME.",
            show_default=False,
        ),
    ],
    context: Annotated[
        int, typer.Option("--context", help="Tokens of prompt and answer together, a request.", min=1)
    ] = 4096,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="Form of the weights: f32, f16, int8, nf4, w4a16, gguf:Q8_0, gguf:Q4_0 or gguf:Q4_K_M. Default: as "
            "the file has them, f16 for a config.",
        ),
    ] = "",
    kv: Annotated[str, typer.Option("--kv", help="Form of the cache: f16, fp8, q8_0 or q4_0.")] = "f16",
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            help="this (measured now) or T4, L4, A10, RTX 4090, A100, H100, H200. Repeatable. Default: all.",
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write an HTML page with plots.")] = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Memory of a model and its KV cache, what fits a device, and the batch to serve with: from its header alone."""
    from damda.assemble.compressing import model_files
    from damda.cli import show
    from damda.cli.measure import write
    from damda.compress import memory
    from damda.compress.page import page
    from damda.compress.plan import plan as planned
    from damda.compress.shape import shape
    from damda.config import find

    _known(method, ["", *memory.METHODS], "--method")
    _known(kv, list(memory.CACHED), "--kv")
    path = model_files(model, offline=find(config, flags(set_)).offline)
    of = shape(path)
    served = str(path.parent) if path.suffix == ".json" else model.removeprefix("hub:") if path.is_dir() else ""
    made = planned(of, _devices(device or (), of, method), context, method, kv, served)
    if report:
        write(report, page(made))
    if json:
        show.as_json(made)
        return
    _show(made)
    for fit in made.fits if device else ():  # for those that were named: seven commands are no answer
        if fit.vllm:
            show.out.print(f"on {fit.device.name}: {fit.vllm}", markup=False, soft_wrap=True)
    if report:
        show.note(f"written to {report}", silent=quiet)


def _known(given: str, known: Sequence[str], flag: str) -> None:
    if given not in known:
        raise typer.BadParameter(f"{given!r} is none of {', '.join(filter(None, known))}", param_hint=flag)


def _devices(names: Sequence[str], of: "Shape", method: str) -> "list[Device]":
    from damda.compress import machine
    from damda.compress.roofline import PUBLISHED

    gpus = {one.name.casefold(): one for one in PUBLISHED}
    wanted = [name.casefold() for name in names] or [_THIS, *gpus]
    for name in wanted:
        _known(name, [_THIS, *gpus], "--device")
    return [gpus[name] if name in gpus else machine.measured(of, method) for name in wanted]


def _show(made: "Plan") -> None:
    from rich.markup import escape
    from rich.table import Table

    from damda.cli import show

    of, form = made.shape, made.method or ("as it is" if made.stored else "f16")
    show.out.print(
        f"[bold]{escape(of.name)}[/bold]  {escape(of.architecture)}, {made.parameters:,} weights, {of.layers} layers "
        f"of {of.hidden}, {made.attention} attention{_windows(of)}, trained for {of.context:,} tokens"
    )
    sizes = Table(title="weights")
    sizes.add_column("")
    sizes.add_column("GB", justify="right")
    for name, size in [*({"as it is": made.stored} if made.stored else {}).items(), *made.methods.items()]:
        sizes.add_row(name, f"{size / 1e9:,.3f}", style="bold" if name == form else None)
    show.out.print(sizes)
    cache = Table(title=f"KV cache: KiB a token, and MiB a request of {made.context:,} tokens")
    for head in ("", "heads", "KiB, f16", *made.caches[0].request):
        cache.add_column(head, justify="left" if not cache.columns else "right")
    for one in made.caches:
        full = (f"{size / 2**20:,.1f}" for size in one.request.values())
        cache.add_row(one.name, f"{one.kv_heads}", f"{one.token['f16'] / 1024:,.1f}", *full)
    show.out.print(cache)
    fits = Table(title=f"what fits, and how fast it can be at most (weights {form}, cache {made.cached})")
    for head in ("", "GB", "GB/s", "TFLOPS", "fit at\nonce", "best\nbatch", "tok/s,\neach", "all", "prompt"):
        fits.add_column(head, justify="left" if not fits.columns else "right")
    for fit in made.fits:
        of_all = {batch: speed for batch, speed, _ in fit.decode}.get(fit.best, 0.0)
        speeds = (f"{speed:,.0f}" for speed in (of_all / fit.best, of_all, fit.prefill)) if fit.best else "---"
        fits.add_row(
            fit.device.name,
            f"{fit.device.memory / 1e9:,.0f}",
            f"{fit.device.bandwidth / 1e9:,.0f}",
            f"{fit.device.flops / 1e12:,.3g}",
            f"{fit.requests:,}",
            f"{fit.best or '-'}",
            *speeds,
        )
    show.out.print(fits)
    for fit in made.fits:
        if fit.device.source.startswith("measured"):
            show.out.print(f"{fit.device.name}: {fit.device.source}", style="dim")


def _windows(of: "Shape") -> str:
    sliding = [window for window in of.windows if window]
    return f" ({len(sliding)} of them look back {max(sliding):,} tokens)" if sliding else ""
