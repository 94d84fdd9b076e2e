"""`damda tune sts`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damda.cli.app import ConfigFlag, JsonFlag, QuietFlag, SetFlag, flags
from damda.cli.learning import takes
from damda.cli.tune import tune

if TYPE_CHECKING:
    from damda.manifest import Manifest
    from damda.measure.lab import Task
    from damda.measure.similarity import Pair
    from damda.settings import Settings
    from damda.tune.make_sts import Order


@tune.command(
    epilog="Examples: damda tune sts korsts_train.jsonl --nli klue_nli.jsonl --test klue_sts_dev.jsonl --out "
    "encoders/sts  |  damda tune sts pairs.csv --model gemma3-270m --pooling mean --out encoders/gemma  |  "
    "damda tune sts pairs.csv --out encoders/ours --retrieval ./beir-folder --dry-run"
)
def sts(
    train: Annotated[
        list[Path],
        typer.Argument(
            help="Scored pairs to learn from: KLUE-STS's .json, KorSTS's .tsv, a .jsonl or .csv of s1, s2, score.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The encoder's folder to write.", show_default=False)],
    nli: Annotated[
        list[Path] | None,
        typer.Option(
            "--nli",
            help="Inferences to learn from first: KLUE-NLI's .json, XNLI's .tsv, a .jsonl of premise, hypothesis, "
            "label. Repeatable.",
        ),
    ] = None,
    test: Annotated[
        list[Path] | None,
        typer.Option("--test", help="Scored pairs to measure on before and after. Repeatable."),
    ] = None,
    retrieval: Annotated[
        Path | None,
        typer.Option(
            "--retrieval", help="Questions as in `damda eval`, whose passages must be found as well as before."
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model", help="What is trained: e5-small-koen, e5-small, gemma3-270m, a .gguf, a folder, hub:OWNER/NAME."
        ),
    ] = "e5-small-koen",
    pooling: Annotated[
        str | None, typer.Option("--pooling", help="mean, cls or max. Default: the model's own, else mean.")
    ] = None,
    loss: Annotated[str, typer.Option("--loss", help="cosent, angle or cosine.")] = "cosent",
    epochs: Annotated[float, typer.Option("--epochs", help="Rounds over the scored pairs, at most.", min=0.01)] = 2,
    nli_epochs: Annotated[float, typer.Option("--nli-epochs", help="Rounds over the inferences.", min=0.01)] = 1,
    batch: Annotated[int, typer.Option("--batch", help="Pairs a step.", min=2)] = 32,
    rate: Annotated[float, typer.Option("--rate", help="Highest learning rate.", min=0)] = 3e-5,
    seed: Annotated[int, typer.Option("--seed", help="Of the order of batches; the validation split has 42.")] = 42,
    licence: Annotated[
        str, typer.Option("--licence", help="Of the data, as SPDX writes it; the manifest and the card name it.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take.")] = False,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Train a sentence encoder on pairs of sentences that people have scored. An interrupted run goes on."""
    from damda import artifact
    from damda.cli import show
    from damda.config import find
    from damda.tune import backbone
    from damda.tune.make_sts import Making
    from damda.tune.pairs import examples
    from damda.tune.sts import Plan
    from damda.tune.train import Recipe

    backbone.ready()
    artifact.may_write(out)
    silent, settings = quiet or json, find(config, flags(set_))
    scored, triplets, tests, notes = _read(train, nli or [], test or [], silent=silent)
    plan = Plan(
        scored,
        triplets,
        _one_of(loss, ("cosent", "angle", "cosine"), "--loss"),
        Recipe(epochs=epochs, batch=batch, rate=rate, seed=seed),
        Recipe(epochs=nli_epochs, batch=batch, rate=min(rate, 2e-5), seed=seed),
    )
    where = _one_of(pooling, ("mean", "cls", "max"), "--pooling") if pooling else None
    task = _task(retrieval, settings, silent=silent) if retrieval else None
    used = [
        artifact.data(path, examples(path), use, licence if use == "training" else "")
        for path, use in _uses(train, nli, test)
    ]
    order = _order(model, plan, tests, out, task, settings, used, where, notes, silent=silent)
    making = Making(order)
    foreseen = making.estimate()
    show.note(takes(foreseen), silent=silent)
    if dry_run:
        show.as_json(foreseen) if json else show.out.print(takes(foreseen))
        return
    foreseen.check()
    with show.progress(silent) as tell:
        made = making.run(tell)
    if json:
        show.as_json(made)
        return
    _show(made)
    show.note(f'to use it: encoder.name = "{out}", in damda.toml or by --set', silent=quiet)


def _one_of(given: str, known: Sequence[str], flag: str) -> Any:  # noqa: ANN401  a Literal, checked here
    if given not in known:
        raise typer.BadParameter(f"{given!r} is none of {', '.join(known)}", param_hint=flag)
    return given


def _uses(train: Sequence[Path], nli: Sequence[Path] | None, test: Sequence[Path] | None) -> list[tuple[Path, str]]:
    learnt = [(path, "training") for path in (*train, *(nli or ()))]
    return learnt + [(path, "evaluation") for path in test or ()]


def _read(
    train: Sequence[Path], nli: Sequence[Path], test: Sequence[Path], *, silent: bool
) -> "tuple[list[Pair], list[Any], dict[str, list[Pair]], dict[str, int]]":
    """Pairs and triplets without any sentence of the tests, the tests, and how many were left out."""
    from damda.cli import show
    from damda.tune import pairs

    tests = {path.stem: pairs.scored(path) for path in test}
    tested = {pairs.bare(text) for of in tests.values() for pair in of for text in pairs.sentences(pair)}
    scored, shared = pairs.apart([pair for path in train for pair in pairs.scored(path)], tested)
    triplets, also = pairs.apart(pairs.triplets(nli), tested) if nli else ([], 0)
    if shared or also:
        show.note(f"left out, since a test has a sentence of theirs: {shared} pairs, {also} inferences", silent=silent)
    notes = {"pairs": len(scored), "triplets": len(triplets), "pairs_left_out": shared, "triplets_left_out": also}
    return scored, triplets, tests, notes


def _task(dataset: Path, settings: "Settings", *, silent: bool) -> "Task":
    from damda.cli.lab import drawn_task
    from damda.measure.retrieval import ready

    ready()
    task, _ = drawn_task(dataset, None, 300, 2000, {}, settings, silent=silent)
    return task


def _order(
    model: str,
    plan: Any,  # noqa: ANN401  a Plan; importing it here would slow `--help`
    tests: "Mapping[str, Sequence[Pair]]",
    out: Path,
    task: "Task | None",
    settings: "Settings",
    used: Sequence[Any],
    pooling: Any,  # noqa: ANN401  as above
    notes: Mapping[str, int],
    *,
    silent: bool,
) -> "Order":
    from damda import artifact
    from damda.assemble.tuning import backbone_folder, parent_of
    from damda.cli import show
    from damda.cli.machine import described
    from damda.tune.make_sts import Order

    with show.progress(silent) as tell:
        base = backbone_folder(model, offline=settings.offline, progress=tell)
    return Order(
        base,
        parent_of(model),
        plan,
        tests,
        out,
        list(dict.fromkeys(pair.first for pair in plan.scored))[:400],
        task,
        used,
        pooling,
        machine=described(),
        command=artifact.command(),
        notes=notes,
    )


def _show(made: "Manifest") -> None:
    from rich.markup import escape
    from rich.table import Table

    from damda.cli import show

    table = Table(title=escape(made.name))
    for head in ("", "of", "before", "after", "p"):
        table.add_column(head, justify="left" if not table.columns else "right")
    for name, figures in made.metrics.items():
        if "p" not in figures:
            continue
        kinds = [("spearman", "Spearman"), ("pearson", "Pearson")] if "spearman_before" in figures else [("", "")]
        for kind, label in kinds:
            before, after = (figures[f"{kind}_{when}".lstrip("_")] for when in ("before", "after"))
            count = f"{figures.get('pairs', figures.get('questions', 0)):,.0f}"
            p = "" if kind == "pearson" else f"{figures['p']:.3f}"
            table.add_row(escape(f"{name} {label}".strip()), count, f"{before:.4f}", f"{after:.4f}", p)
    show.out.print(table)
    show.out.print(
        f"{made.seconds / 60:.1f} minutes; int8 export, mean cosine {made.metrics['export']['cosine_mean']:.4f}"
    )
