"""`damda bench`: what each serving technique is worth on this machine, and settings that are better on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from damda.cli.app import ConfigFlag, JsonFlag, QuietFlag, SetFlag, app, flags

if TYPE_CHECKING:
    from damda.bench.choose import Choice
    from damda.bench.run import Measured


@app.command(
    epilog="Examples: damda bench --model smollm2-135m  |  damda bench ./documents --model model.gguf "
    "--draft small.gguf --report bench.html  |  damda bench --model model.gguf --only batching --minutes 5  |  "
    "damda bench --model model.gguf --apply damda.toml"
)
def bench(
    documents: Annotated[
        Path | None, typer.Argument(help="Texts that are read; none: some that damda brings.", show_default=False)
    ] = None,
    model: Annotated[
        str, typer.Option("--model", help="A .gguf, or a name that `damda models` knows. Default: llama.model.")
    ] = "",
    draft: Annotated[
        str, typer.Option("--draft", help="A smaller one with the same vocabulary, for speculation.")
    ] = "",
    questions: Annotated[
        Path | None, typer.Option("--questions", help="Questions to ask, in any shape of `damda eval`.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            help="kv cache, cache memory, speculation, flash attention, packed cache, prefixes, kernel fusion, "
            "batching, engines or positions. Repeatable.",
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option("--minutes", help="Nothing is begun later; run again to go on.", min=0.1)
    ] = 20,
    report: Annotated[Path | None, typer.Option("--report", help="Write an HTML page with plots.")] = None,
    apply: Annotated[
        Path | None, typer.Option("--apply", help="Put what is better here into this damda.toml, with the reasons.")
    ] = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Measure each technique on and off, in turns, with your model. Let the machine rest meanwhile."""
    from damda.assemble import benching
    from damda.bench import choose, page, toml
    from damda.bench.run import run
    from damda.cli import show
    from damda.cli.machine import described
    from damda.cli.measure import write
    from damda.config import find
    from damda.errors import ConfigError
    from damda.generate.engine import require

    require()
    if report:
        _can_be_written(report)
    silent, settings = quiet or json, find(config, flags(set_))
    name = model or settings.llama.model
    if not name:
        raise ConfigError("no model: give one by --model, or set llama.model")
    with show.progress(silent) as tell:
        of = benching.subject(name, draft or settings.llama.draft, documents, questions, settings, tell)
        studies = benching.studies(of, only or [], settings, tell)
        about = {
            "file": [str(of.path.absolute()), of.path.stat().st_size, of.path.stat().st_mtime_ns],
            "draft": str(of.draft or ""),
            "questions": list(of.questions),
            "texts": [len(text) for text in of.passages],
            "threads": of.threads,
        }
        made, kept = run(of.path.stem, studies, minutes, about, described(), tell)
    chosen = choose.choices(made.rows, str(of.draft or ""))
    if report:
        write(report, page.page(made, chosen))
    if json:
        show.as_json({"measured": made, "chosen": chosen})
    else:
        _show(made, chosen)
    for left in made.left:
        show.note(f"{left}: there was no time; run again to go on, or give more --minutes", silent=quiet)
    for failed, why in made.failed.items():
        show.note(f"{failed}: {why}", silent=quiet)
    if apply and chosen:
        toml.put(apply, chosen, made.machine)
        show.note(f"written to {apply}", silent=quiet)
    elif apply:
        show.note("nothing is better here than as it comes: nothing was written", silent=quiet)
    if not (made.left or only):  # else they are for the run that goes on
        kept.done()


def _can_be_written(report: Path) -> None:
    """Find out before minutes of work.

    Raises:
        ConfigError: its folder is not there.
        MissingExtra: plots can't be drawn.
    """
    from damda.bench.page import page
    from damda.bench.run import Measured
    from damda.errors import ConfigError

    if not report.absolute().parent.is_dir():
        raise ConfigError(f"{report.parent} does not exist: make it, or give another --report")
    page(Measured("", "", ()), ())


def _show(made: "Measured", chosen: "Sequence[Choice]") -> None:
    from rich.markup import escape
    from rich.table import Table

    from damda.bench.page import tables
    from damda.cli import show

    for study, head, rows in tables(made.rows):
        table = Table(title=study, title_justify="left")
        for n, heading in enumerate(head):
            table.add_column(heading, justify="right" if n else "left")
        for row in rows:
            table.add_row(*map(escape, row))
        show.out.print(table)
    for choice in chosen:
        show.out.print(f"better here: {choice.key} = {choice.value} ({choice.why})", markup=False)
