"""`damda tune encoder`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damda.cli.app import ConfigFlag, HomeFlag, JsonFlag, QuietFlag, SetFlag, flags
from damda.cli.tune import tune

if TYPE_CHECKING:
    from damda.assemble.tuned import Judged
    from damda.config import Settings
    from damda.knowledge import KnowledgeBase
    from damda.measure.dataset import Question
    from damda.measure.lab import Task
    from damda.tune.train import Estimate


@tune.command(
    epilog="Examples: damda tune encoder ./documents  |  damda tune encoder ./documents --questions asked.csv "
    "--method full --check ./english-beir  |  damda tune encoder ./beir-folder --method adapter --no-adopt"
)
def encoder(
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
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="full: all weights; lora: low-rank changes; adapter: a map on questions alone, in seconds, no passage "
            "is encoded again. Several, by commas: the validation chooses.",
        ),
    ] = "full",
    check: Annotated[
        list[Path] | None,
        typer.Option("--check", help="Questions of other documents, or scored pairs: must not get worse. Repeatable."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="What is trained, as in `damda tune sts`. Default: today's encoder.")
    ] = None,
    epochs: Annotated[float, typer.Option("--epochs", help="Rounds over the questions, at most.", min=0.01)] = 1,
    batch: Annotated[int, typer.Option("--batch", help="Questions a step.", min=2)] = 32,
    rate: Annotated[float, typer.Option("--rate", help="Highest learning rate. Default: by method.", min=0)] = 0,
    wrong: Annotated[int, typer.Option("--wrong", help="Mined wrong passages a question.", min=0, max=4)] = 1,
    tokens: Annotated[int, typer.Option("--tokens", help="Of a passage, at most, in training.", min=16)] = 192,
    seed: Annotated[int, typer.Option("--seed", help="Of the order of batches.")] = 42,
    adopt: Annotated[
        bool, typer.Option("--adopt/--no-adopt", help="Use it from now on if it is better; no: only say whether.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take.")] = False,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Train an encoder on questions about the documents; adopt it only if held-out questions are answered better."""
    from damda.assemble import tuned
    from damda.cli import show
    from damda.cli.machine import described
    from damda.config import find
    from damda.measure.retrieval import ready
    from damda.tune import artifact, backbone
    from damda.tune.checks import built_in
    from damda.tune.train import Recipe

    ready()
    backbone.ready()
    methods = _methods(method)
    silent = quiet or json
    documents, given = documents_of(root)
    settings = find(config, flags(set_, home=home), documents)
    if adopt:
        would_have_no_effect(config, flags(set_, home=home), documents, ["encoder.name"], silent=silent)
    kb = opened(documents, settings, silent=silent)
    asked, used = asked_of(kb, [*given, *(questions or [])], feedback, synthesise, settings, silent=silent)
    checks = [*built_in(), *(_check(path, settings, silent=silent) for path in check or ())]
    plans = [
        tuned.Plan(
            asked,
            one,
            Recipe(epochs=epochs, batch=batch, rate=rate or tuned.RATES[one], seed=seed),
            model=model,
            wrong=wrong,
            tokens=tokens,
            data=used,
            checks=checks,
            machine=described(),
            command=artifact.command(),
        )
        for one in methods
    ]

    def foreseen(one: str, estimate: "Estimate | None") -> bool:
        show.note(f"{one}: {_takes(estimate)}", silent=silent)
        return not dry_run

    with show.progress(silent) as tell:
        judged = tuned.tune_encoder(kb, settings, plans, foreseen, tell, adopt=adopt)
    if judged is None:  # a dry run
        return
    show.as_json(judged) if json else _show(judged, quiet=quiet)


def would_have_no_effect(
    config: Path | None, given: dict[str, Any], documents: Path, keys: Sequence[str], *, silent: bool
) -> None:
    """Say before minutes of work that what is adopted would be overridden."""
    from damda.cli import show
    from damda.overrides import overridden

    for one in overridden(config, given, documents, dict.fromkeys(keys, "something else")):
        show.note(f"{one.source} sets {one.key}: it wins over what is adopted, until you take it out", silent=silent)


def _methods(given: str) -> list[Any]:
    chosen = [one.strip() for one in given.split(",") if one.strip()]
    if not chosen or (unknown := set(chosen) - {"full", "lora", "adapter"}):
        names = ", ".join(sorted(unknown)) if chosen else "none"
        raise typer.BadParameter(f"{names}: not in full, lora, adapter", param_hint="--method")
    return chosen


def documents_of(root: Path) -> tuple[Path, list[Path]]:
    """What is searched, and the questions that lie beside it."""
    corpus = root / "corpus.jsonl"
    return (corpus, [root]) if corpus.is_file() and (root / "queries.jsonl").is_file() else (root, [])


def opened(documents: Path, settings: "Settings", *, silent: bool) -> "KnowledgeBase":
    from damda import assemble
    from damda.cli import show
    from damda.cli.documents import refreshed

    with show.progress(silent) as tell:
        kb = assemble.assemble(assemble.root_of(documents), settings, tell)
    refreshed(kb, silent=silent, verbose=False)
    return kb


def asked_of(
    kb: "KnowledgeBase",
    given: Sequence[Path],
    feedback: bool,
    synthesise: int | None,
    settings: "Settings",
    *,
    silent: bool,
) -> "tuple[list[Question], list[Any]]":
    """Questions of all sources, each text once, and what they are for the manifest."""
    from damda.assemble import tuned
    from damda.cli import show
    from damda.cli.measure import placed
    from damda.measure.dataset import Dataset, fetch
    from damda.tune.manifest import Data

    found: list[Question] = []
    used: list[Any] = []
    for path in given:
        asked = placed(fetch(path, settings.home, offline=settings.offline), kb.document_ids(), silent=silent)
        asked = [question for question in asked if question.relevant]
        found += asked
        used.append(Data(path.name, count=len(asked)))
    if feedback and (liked := tuned.liked(kb)):
        found += liked
        used.append(Data("answers with a thumbs-up", count=len(liked)))
    if synthesise or not found:
        with show.progress(silent) as tell:
            rows = tuned.synthesised(kb, synthesise or 400, settings, tell)
        made = placed(Dataset("made", tuple(rows)), kb.document_ids(), silent=silent)
        found += made
        used.append(Data("questions made of the documents", count=len(made)))
    distinct = {" ".join(question.text.split()).casefold(): question for question in reversed(found)}
    return list(reversed(distinct.values())), used


def _check(path: Path, settings: "Settings", *, silent: bool) -> "tuple[str, Task]":
    from damda.cli.lab import drawn_task
    from damda.measure.lab import Task
    from damda.measure.similarity import holds_pairs, pairs

    if holds_pairs(path):
        return path.stem, Task({}, [], {path.stem: pairs(path)})
    task, _ = drawn_task(path, None, 300, 1000, {}, settings, silent=silent)
    return path.stem or path.name, task


def _takes(estimate: "Estimate | None") -> str:
    if estimate is None:
        return "a matter of seconds; no passage is encoded again"
    minutes = max(1, round(estimate.seconds / 60))
    return (
        f"{estimate.steps} steps, about {minutes} minutes, {estimate.memory / 1e9:.1f} GB of memory; "
        "then all passages are encoded anew"
    )


def _show(judged: "Judged", *, quiet: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from damda.cli import show

    table = Table()
    for head in ("", "of", "before", "after", "p"):
        table.add_column(head, justify="left" if not table.columns else "right")
    for one in (judged.verdict.aim, *judged.verdict.guarded):
        table.add_row(escape(one.name), f"{one.count:,}", f"{one.before:.4f}", f"{one.after:.4f}", f"{one.p:.4f}")
    show.out.print(table)
    for reason in judged.verdict.reasons:
        show.out.print(escape(reason), style="dim")
    if judged.adopted:
        show.out.print("adopted: damda uses it from now on; `damda tune rollback` undoes it")
    elif judged.verdict.adopt:
        show.out.print("better, and not adopted, as you asked")
    else:
        show.out.print("not adopted: everything stays as it was")
    if judged.doubtful:
        show.note(f"{len(judged.doubtful)} questions were not learnt from; see {judged.doubtful_file}", silent=quiet)
    show.note(f"the artifact: {judged.folder}", silent=quiet)
