"""`damda tune fusion`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from damda.cli.app import ConfigFlag, HomeFlag, JsonFlag, QuietFlag, SetFlag, flags
from damda.cli.tune import tune
from damda.cli.tuned import asked_of, documents_of, opened

if TYPE_CHECKING:
    from damda.assemble.fused import Learnt


@tune.command(
    epilog="Examples: damda tune fusion ./documents --questions asked.csv  |  "
    "damda tune fusion ./beir-folder --no-adopt"
)
def fusion(
    root: Annotated[
        Path, typer.Argument(help="The documents; a folder in BEIR layout has questions too.", show_default=False)
    ],
    questions: Annotated[
        list[Path] | None,
        typer.Option("--questions", help="Questions and their documents, in any shape of `damda eval`. Repeatable."),
    ] = None,
    feedback: Annotated[
        bool, typer.Option("--feedback/--no-feedback", help="Learn from answers that got a thumbs-up, too.")
    ] = True,
    synthesise: Annotated[
        int | None,
        typer.Option("--synthesise", help="Make so many questions of the documents. Default: 400 if none are given."),
    ] = None,
    adopt: Annotated[
        bool, typer.Option("--adopt/--no-adopt", help="Use what is better from now on; no: only say what it is.")
    ] = True,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Learn how much vectors count beside words, and when not to answer; adopt each only if it is better."""
    from damda.assemble import fused
    from damda.cli import show
    from damda.config import find
    from damda.measure.retrieval import ready

    ready()
    silent = quiet or json
    documents, given = documents_of(root)
    settings = find(config, flags(set_, home=home), documents)
    kb = opened(documents, settings, silent=silent)
    asked, _ = asked_of(kb, [*given, *(questions or [])], feedback, synthesise, settings, silent=silent)
    with show.progress(silent) as tell:
        learnt = fused.tune_fusion(kb, settings, asked, tell, adopt=adopt)
    show.as_json(learnt) if json else _show(learnt)


def _show(learnt: "Sequence[Learnt]") -> None:
    from rich.markup import escape

    from damda.cli import show

    for one in learnt:
        end = "adopted" if one.adopted else "not adopted"
        show.out.print(f"[bold]{one.setting}[/bold] {one.before:g} -> {one.after:g}: {end}")
        for reason in one.verdict.reasons:
            show.out.print(f"  {escape(reason)}", style="dim")
