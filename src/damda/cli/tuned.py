"""`damda tune encoder`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damda.cli.app import ConfigFlag, HomeFlag, JsonFlag, QuietFlag, SetFlag, flags
from damda.cli.learning import (
    AdoptFlag,
    Documents,
    DryRunFlag,
    FeedbackFlag,
    Questions,
    Seed,
    Synthesise,
    asked_of,
    check_of,
    documents_of,
    opened,
    show_end,
    takes,
    would_have_no_effect,
)
from damda.cli.tune import tune

if TYPE_CHECKING:
    from damda.assemble.tuned import Judged
    from damda.tune.train import Estimate


@tune.command(
    epilog="Examples: damda tune encoder ./documents  |  damda tune encoder ./documents --questions asked.csv "
    "--method full --check ./english-beir  |  damda tune encoder ./beir-folder --method adapter --no-adopt"
)
def encoder(
    root: Documents,
    questions: Questions = None,
    feedback: FeedbackFlag = True,
    synthesise: Synthesise = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="full: all weights; lora: low-rank changes; adapter: a map on questions alone, quick to learn, no "
            "passage is encoded again. Several, by commas: the validation chooses.",
        ),
    ] = "full",
    check: Annotated[
        list[Path] | None,
        typer.Option("--check", help="Questions of other documents, or scored pairs: must not get worse. Repeatable."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="What is trained, as in `damda tune sts`. Default: today's encoder.")
    ] = None,
    epochs: Annotated[
        float, typer.Option("--epochs", help="Rounds over the questions, at most; an adapter ends by itself.", min=0.01)
    ] = 1,
    batch: Annotated[int, typer.Option("--batch", help="Questions a step.", min=2)] = 32,
    rate: Annotated[float, typer.Option("--rate", help="Highest learning rate. Default: by method.", min=0)] = 0,
    wrong: Annotated[int, typer.Option("--wrong", help="Mined wrong passages a question.", min=0, max=4)] = 1,
    tokens: Annotated[int, typer.Option("--tokens", help="Of a passage, at most, in training.", min=16)] = 192,
    seed: Seed = 42,
    adopt: AdoptFlag = True,
    dry_run: DryRunFlag = False,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Train an encoder on questions about the documents; adopt it only if held-out questions are answered better."""
    from damda import artifact
    from damda.assemble import tuned
    from damda.cli import show
    from damda.cli.machine import described
    from damda.config import find
    from damda.measure.retrieval import ready
    from damda.tune import backbone
    from damda.tune.checks import built_in
    from damda.tune.make_encoder import Plan
    from damda.tune.train import Recipe

    ready()
    backbone.ready()
    methods = _methods(method)
    silent = quiet or json
    documents, given = documents_of(root)
    settings = find(config, flags(set_, home=home), documents)
    if adopt:
        would_have_no_effect(config, flags(set_, home=home), documents, {"encoder.name": "tuned"}, silent=silent)
    kb = opened(documents, settings, silent=silent)
    asked, used = asked_of(kb, [*given, *(questions or [])], feedback, synthesise, settings, silent=silent)
    checks = [*built_in(), *(check_of(path, settings, silent=silent) for path in check or ())]
    recipes = {one: Recipe(epochs=epochs, batch=batch, rate=rate or tuned.RATES[one], seed=seed) for one in methods}
    plan = Plan(asked, recipes, model, wrong, tokens, used, checks, described(), artifact.command())

    def foreseen(one: str, estimate: "Estimate | None") -> bool:
        show.note(f"{one}: {_takes(estimate)}", silent=silent)
        if estimate and not dry_run:
            estimate.check()
        return not dry_run

    with show.progress(silent) as tell:
        judged = tuned.tune_encoder(kb, settings, plan, foreseen, tell, adopt=adopt)
    if judged is None:  # a dry run
        return
    show.as_json(judged) if json else _show(judged, quiet=quiet)


def _methods(given: str) -> list[Any]:
    chosen = [one.strip() for one in given.split(",") if one.strip()]
    if not chosen or (unknown := set(chosen) - {"full", "lora", "adapter"}):
        names = ", ".join(sorted(unknown)) if chosen else "none"
        raise typer.BadParameter(f"{names}: not in full, lora, adapter", param_hint="--method")
    return chosen


def _takes(estimate: "Estimate | None") -> str:
    if estimate is None:
        return "a matter of seconds; no passage is encoded again"
    return f"{takes(estimate)}; then all passages are encoded anew"


def _show(judged: "Judged", *, quiet: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from damda.cli import show

    tried = Table(title="what was tried")
    for head in ("", "minutes", "validation\nbefore", "validation\nafter", "encoded\nagain"):
        tried.add_column(head, justify="left" if not tried.columns else "right")
    for method, one in judged.tried.items():
        again = "nothing" if method == "adapter" else "all"
        tried.add_row(method, f"{one['seconds'] / 60:.1f}", f"{one['before']:.4f}", f"{one['validation']:.4f}", again)
    show.out.print(tried)
    table = Table(title=f"{judged.folder.name}, the best of them" if len(judged.tried) > 1 else judged.folder.name)
    for head in ("", "of", "before", "after", "p"):
        table.add_column(head, justify="left" if not table.columns else "right")
    for of in (judged.verdict.aim, *judged.verdict.guarded):
        table.add_row(escape(of.name), f"{of.count:,}", f"{of.before:.4f}", f"{of.after:.4f}", f"{of.p:.4f}")
    show.out.print(table)
    show_end(judged.verdict, adopted=judged.adopted)
    if judged.doubtful:
        show.note(f"{len(judged.doubtful)} questions were not learnt from; see {judged.doubtful_file}", silent=quiet)
    show.note(f"the artifact: {judged.folder}", silent=quiet)
