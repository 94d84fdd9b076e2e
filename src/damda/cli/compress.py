"""`damda compress`: a lighter model of a model, the environment that two methods want, and what it all came to."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from damda.cli.app import ConfigFlag, JsonFlag, QuietFlag, SetFlag, app, flags

if TYPE_CHECKING:
    from damda.compress.make import Calibration, Order
    from damda.compress.methods import Estimate
    from damda.compress.report import Report
    from damda.manifest import Manifest
    from damda.settings import Settings


class _MakesByDefault(TyperGroup):
    """`damda compress MODEL` is `damda compress make MODEL`; a folder called setup is given as ./setup."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  click's Context
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["make", *args]
        return super().parse_args(ctx, args)


compress = typer.Typer(
    cls=_MakesByDefault,
    no_args_is_help=True,
    help="A lighter model: `damda compress MODEL --method ...`.",
    epilog="Examples: damda compress ./my-model --method gguf:Q4_K_M  |  damda compress smollm2-135m --method nf4  |  "
    "damda compress ./my-model --method gptq --calibrate ./documents",
)
app.add_typer(compress, name="compress")


@compress.callback()
def _group() -> None:
    """A lighter model: `damda compress MODEL --method ...`."""


@compress.command(
    epilog="Examples: damda compress ./my-model --method gguf:Q4_K_M  |  damda compress smollm2-135m --method int8 "
    "--out lighter  |  damda compress hub:OWNER/NAME --method awq --calibrate ./documents --dry-run"
)
def make(
    model: Annotated[
        str,
        typer.Argument(
            help="A folder of transformers, a .gguf, a name that `damda models` knows, hub:OWNER/NAME.",
            show_default=False,
        ),
    ],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="f16, int8, nf4 (bitsandbytes), gptq, awq (llmcompressor), openvino: and one of f16, int8, int4, or "
            "gguf: and one of F16, Q8_0, Q6_K, Q5_K_M, Q5_K_S, Q5_1, Q5_0, Q4_K_M, Q4_K_S, Q4_1, Q4_0.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder to write. Default: the model's name and the method's.")
    ] = None,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            "--calibrate", help="gptq, awq: texts to learn from, best your own documents; a folder or file. Repeatable."
        ),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option("--rows", help="gptq, awq: so many pieces of those texts. Default: 64, for awq 16.", min=1),
    ] = None,
    tokens: Annotated[int, typer.Option("--tokens", help="gptq, awq: tokens of a piece.", min=16)] = 256,
    seed: Annotated[int, typer.Option("--seed", help="gptq, awq: which pieces are drawn.")] = 42,
    group: Annotated[
        int | None,
        typer.Option("--group", help="4 bits: weights with one scale. Default: 128, or what divides the widths."),
    ] = None,
    compute: Annotated[str, typer.Option("--compute", help="nf4: what is computed in: bf16, f16 or f32.")] = "bf16",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take.")] = False,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Make a lighter model of a model. The word `make` can be left out."""
    from damda.cli import show
    from damda.compress import methods
    from damda.compress.make import Making
    from damda.config import find

    kind, silent, settings = methods.known(method), quiet or json, find(config, flags(set_))
    paths = calibrate or () if kind in methods.CALIBRATED else ()
    texts = _texts(paths, settings, (rows or methods.CALIBRATED.get(kind, 0), tokens, seed), silent=silent)
    making = Making(_order(model, method, out, settings, texts, group, compute, silent=silent, dry_run=dry_run))
    foreseen = making.estimate()
    show.note(_takes(foreseen), silent=silent)
    if dry_run:
        show.as_json(foreseen) if json else show.out.print(_takes(foreseen))
        return
    with show.progress(silent) as tell:
        made = making.run(tell)
    if json:
        show.as_json(made)
        return
    _show(made, making.out, kind, silent=quiet)


def _texts(
    paths: Sequence[Path], settings: "Settings", drawn: tuple[int, int, int], *, silent: bool
) -> "Calibration | None":
    from damda.assemble.compressing import texts_of
    from damda.cli import show
    from damda.compress.make import Calibration

    if not paths:
        return None
    with show.progress(silent) as tell:
        texts, data, unread = texts_of(paths, settings, tell)
    if unread:
        show.note(f"{unread} files can't be read and are left out; `damda index` says why", silent=silent)
    return Calibration(texts, data, *drawn)


def _order(
    model: str,
    method: str,
    out: Path | None,
    settings: "Settings",
    texts: "Calibration | None",
    group: int | None,
    compute: str,
    *,
    silent: bool,
    dry_run: bool,
) -> "Order":
    from damda import artifact
    from damda.assemble.compressing import model_files, parent_of
    from damda.cli import show
    from damda.cli.machine import described
    from damda.compress.make import Order
    from damda.compress.quantise import packed_already
    from damda.manifest import Parent

    source = model_files(model, offline=settings.offline, whole=True)
    packed = packed_already(source) if source.is_file() else ""
    if packed:
        show.note(f"{source.name} is in {packed} already: what is made of it lacks what that has lost", silent=silent)
    if form := _back_to(source, method):
        show.note(
            f"{source.name} was trained from weights in {form}: packed so again, many go back to what they were, and "
            "what was learnt with them. Take Q6_K or Q8_0, and see by `damda compress report --questions`",
            silent=silent,
        )
    name = source.stem if source.is_file() else source.resolve().name
    named = Path(f"{name}-{method.removeprefix('gguf:').replace(':', '-')}")
    return Order(
        source,
        Parent(model) if dry_run else parent_of(model, source),  # which reads all of it for a hash
        method,
        out or named,
        compute,
        group,
        texts,
        artifact.command(),
        described(),
        {"parent_in": packed} if packed else {},
    )


def _back_to(source: Path, method: str) -> str:
    """The form of few bits that a tuned model's weights had before, if most would get it again; else ""."""
    from damda import manifest
    from damda.compress.memory import BLOCKS
    from damda.compress.quantise import MIXES

    mix = MIXES.get(method.removeprefix("gguf:"))
    if mix is None or source.is_file() or not manifest.described(source):
        return ""
    before, form = str(manifest.read(source).settings.get("parent_in", "")), BLOCKS[mix[1]][0]
    return form if form in before.split(", ") and form not in ("Q6_K", "Q8_0") else ""


def _takes(foreseen: "Estimate") -> str:
    parts = {"memory": foreseen.memory, "disk": foreseen.disk}
    needs = " and ".join(f"{size / 1e9:.1f} GB of {what}" for what, size in parts.items())
    return f"takes {needs}; the result about {foreseen.size / 1e6:,.0f} MB"


def _show(made: "Manifest", out: Path, kind: str, *, silent: bool) -> None:
    from damda.cli import show

    before, after = (made.metrics[key] / 1e6 for key in ("bytes_before", "bytes"))
    bits = made.metrics["bits_a_weight"]
    show.out.print(
        f"{out}: {after:,.1f} MB ({bits:.2f} bits a weight), before {before:,.1f} MB; {made.seconds:,.0f} s",
        markup=False,
    )
    engine = {"gguf": "llama", "openvino": "openvino"}.get(kind, "transformers")
    show.note(
        f'to ask with it: damda ask DOCUMENTS "..." --generator {engine} --set {engine}.model={out}', silent=silent
    )


@compress.command(
    epilog="Examples: damda compress setup gptq  |  damda compress setup openvino  |  damda compress setup gptq "
    "--torch torch==2.13.0"
)
def setup(
    name: Annotated[
        str, typer.Argument(metavar="gptq|openvino", help="gptq is for awq, too.", show_default=False)
    ] = "gptq",
    torch: Annotated[
        str,
        typer.Option("--torch", help="What pip is asked for, first of all. Default: the version that damda has."),
    ] = "",
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Make the environment that a method runs in, once: 1.5 GB, more where pip takes torch for graphics cards."""
    from damda.cli import show
    from damda.compress import environment

    wanted = environment.ALL.get(name)
    if wanted is None:
        raise typer.BadParameter(f"{name!r} has no environment of its own: give {' or '.join(environment.ALL)}")
    with show.progress(quiet or json) as tell:
        made = wanted.setup(torch or environment.default_torch(), tell)
    show.as_json({"environment": str(made), "package": wanted.package}) if json else show.out.print(
        str(made), markup=False
    )


@compress.command(
    epilog="Examples: damda compress report smollm2-135m my-q4 my-nf4 --report cost.html  |  damda compress report "
    "./my-model my-q4 my-q8 --questions ./ko_qa --count 50 --max-loss 3"
)
def report(
    models: Annotated[
        list[str],
        typer.Argument(
            help="The model that the others are held against, then what was made of it: folders, .gguf files, names.",
            show_default=False,
        ),
    ],
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            help="Text for perplexity: a folder or file, or NAME=one. Repeatable. Default: damda's Korean and English.",
        ),
    ] = None,
    windows: Annotated[int, typer.Option("--windows", help="Of 512 tokens, of each text, at most.", min=1)] = 8,
    questions: Annotated[
        Path | None,
        typer.Option("--questions", help="Questions with answers and documents, in any shape of `damda eval`."),
    ] = None,
    count: Annotated[int, typer.Option("--count", help="So many questions, each asked twice.", min=1)] = 50,
    seed: Annotated[int, typer.Option("--seed", help="Which questions are drawn.")] = 42,
    max_size: Annotated[
        float | None, typer.Option("--max-size", help="Take the one that loses least of those with so many MB.", min=0)
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option("--max-loss", help="Take the smallest of those with so many % more bits a byte."),
    ] = None,
    page: Annotated[Path | None, typer.Option("--report", help="Write an HTML page with plots.")] = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Size, memory, perplexity, answers and speed of a model and what was made of it, in one run on this machine."""
    from dataclasses import replace

    from damda.assemble.compressing import built_in_texts, model_files, reading_rows
    from damda.cli import show
    from damda.cli.machine import described
    from damda.cli.measure import write
    from damda.compress import report as reporting
    from damda.compress.report_page import page as as_page
    from damda.config import find

    silent, settings = quiet or json, find(config, flags(set_))
    paths = [model_files(model, offline=settings.offline, whole=True) for model in models]
    with show.progress(silent) as tell:
        rows = reading_rows(questions, count, seed, settings, tell) if questions else []
        texts = _read_texts(text, settings, tell) if text else built_in_texts()
        made = reporting.report(paths, reporting.Asked(texts, windows, rows), tell, described())
    if max_size is not None or max_loss is not None:
        chosen, why = reporting.choose(made.rows, max_size * 1e6 if max_size is not None else None, max_loss)
        made = replace(made, chosen=chosen, why=why)
    if page:
        write(page, as_page(made))
    if json:
        show.as_json(made)
        return
    _show_report(made)
    if page:
        show.note(f"written to {page}", silent=quiet)


def _read_texts(given: Sequence[str], settings: "Settings", tell: Any) -> dict[str, str]:  # noqa: ANN401  a Progress
    from damda.assemble.compressing import sampled, texts_of

    texts = {}
    for one in given:
        name, _, path = one.rpartition("=")
        found, _, _ = texts_of([Path(path)], settings, tell)
        texts[name or Path(path).stem] = sampled(found)
    return texts


def _show_report(made: "Report") -> None:
    from rich.markup import escape
    from rich.table import Table

    from damda.cli import show
    from damda.compress.report_page import cells, heads

    named, last = heads(made), len(heads(made)) - 3
    # All columns of the page in one table are too wide for a terminal.
    for title, columns in {
        "what it takes": [0, 1, 2, *range(last, last + 3)],
        "what it costs": [0, *range(3, last)],
    }.items():
        table = Table(title=title)
        for column in columns:
            table.add_column(named[column].replace(", ", "\n"), justify="right" if column else "left")
        for row in made.rows:
            shown = [escape(cells(row, made)[column]) for column in columns]
            table.add_row(*shown, style="bold" if row.name == made.chosen else None)
        show.out.print(table)
    read = "; ".join(f"{name}: {made.windows[name]} windows, {made.tokens[name]:,} tokens" for name in made.windows)
    show.out.print(f"{made.machine}; {read}", style="dim")
    if made.why:
        show.out.print(f"{made.chosen} {made.why}" if made.chosen else made.why, markup=False)
