"""`damda tune reranker`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    from damda.assemble.reranked import Reranking
    from damda.tune.train import Estimate


@tune.command(
    epilog="Examples: damda tune reranker ./documents  |  damda tune reranker ./documents --questions asked.csv "
    "--top 10  |  damda tune reranker ./beir-folder --teacher hub:BAAI/bge-reranker-v2-m3 --no-adopt"
)
def reranker(
    root: Documents,
    questions: Questions = None,
    feedback: FeedbackFlag = True,
    synthesise: Synthesise = None,
    check: Annotated[
        list[Path] | None, typer.Option("--check", help="Questions of other documents: must not get worse. Repeatable.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="What it starts from, as in `damda tune sts`. Default: today's encoder."),
    ] = None,
    teacher: Annotated[
        str, typer.Option("--teacher", help="A larger reranker to learn from, as in rerank.model.")
    ] = "",
    top: Annotated[int, typer.Option("--top", help="Hits that are put in order.", min=2, max=1000)] = 20,
    window: Annotated[int, typer.Option("--window", help="Tokens of a passage that are read; 0: all.", min=0)] = 96,
    tokens: Annotated[int, typer.Option("--tokens", help="Of question and passage, at most.", min=16)] = 192,
    wrong: Annotated[int, typer.Option("--wrong", help="Wrong passages a question.", min=1, max=19)] = 3,
    epochs: Annotated[float, typer.Option("--epochs", help="Rounds over the questions, at most.", min=0.01)] = 1,
    batch: Annotated[int, typer.Option("--batch", help="Questions a step.", min=2)] = 16,
    rate: Annotated[float, typer.Option("--rate", help="Learning rate of the highest layer.", min=0)] = 5e-5,
    seed: Seed = 42,
    adopt: AdoptFlag = True,
    dry_run: DryRunFlag = False,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Train a model that reads question and passage together; adopt it only if held-out hits come in a better order."""
    from damda import artifact
    from damda.assemble import reranked
    from damda.cli import show
    from damda.cli.machine import described
    from damda.config import find
    from damda.measure.retrieval import ready
    from damda.tune import backbone
    from damda.tune.checks import built_in
    from damda.tune.make_reranker import Plan
    from damda.tune.train import Recipe

    ready()
    backbone.ready()
    silent = quiet or json
    documents, given = documents_of(root)
    settings = find(config, flags(set_, home=home), documents)
    if adopt:
        would_have_no_effect(
            config, flags(set_, home=home), documents, {"search.mode": "rerank", "rerank.model": "tuned"}, silent=silent
        )
    kb = opened(documents, settings, silent=silent)
    asked, used = asked_of(kb, [*given, *(questions or [])], feedback, synthesise, settings, silent=silent)
    plan = Plan(
        asked,
        Recipe(epochs=epochs, batch=batch, rate=rate, checks=3, seed=seed),
        model=model,
        top=top,
        wrong=wrong,
        window=window,
        tokens=tokens,
        teacher=teacher,
        data=used,
        checks=[*built_in(), *(check_of(path, settings, silent=silent) for path in check or ())],
        machine=described(),
        command=artifact.command(),
    )

    def foreseen(estimate: "Estimate") -> bool:
        show.note(takes(estimate), silent=silent)
        if not dry_run:
            estimate.check()
        return not dry_run

    with show.progress(silent) as tell:
        done = reranked.tune_reranker(kb, settings, plan, foreseen, tell, adopt=adopt)
    if done is None:  # a dry run
        return
    show.as_json(done) if json else _show(done, quiet=quiet)


def _show(done: "Reranking", *, quiet: bool) -> None:
    from rich.table import Table

    from damda.cli import show

    table = Table()
    for head in ("", "hybrid", "reranked"):
        table.add_column(head, justify="left" if not table.columns else "right")
    for metric, (before, after) in done.metrics.items():
        table.add_row(metric, f"{before:.4f}", f"{after:.4f}")
    after, before = done.seconds
    table.add_row("seconds a question", f"{before:.3f}", f"{after:.3f}")
    show.out.print(table)
    show.note(
        f"beside a logit of the model, a unit of the hybrid's score counts {done.blend.weight:g}: nDCG@10 "
        f"{done.blend.before:.4f} -> {done.blend.means[done.blend.weight]:.4f} on validation questions",
        silent=quiet,
    )
    show_end(done.verdict, adopted=done.adopted)
    show.note(f"the artifact: {done.folder}", silent=quiet)
