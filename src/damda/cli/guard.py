"""`damda guard train`; the other commands of `damda guard` stand in ``checks.py``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from damda.cli.app import ConfigFlag, JsonFlag, QuietFlag, SetFlag, app, flags

if TYPE_CHECKING:
    from damda.answer.guards.train import Trained

guard = typer.Typer(
    no_args_is_help=True, help="Guards: what they do to the lines of a file, and a classifier of your own."
)
app.add_typer(guard, name="guard")


@guard.command(
    epilog="Examples: damda guard train toxic.jsonl --out guards/toxic  |  "
    "damda guard train tickets.csv --positive complaint --out guards/complaint --fpr 0.01"
)
def train(
    file: Annotated[
        Path,
        typer.Argument(
            help='JSON lines of {"text": ..., "label": 1 or 0}, or a .csv or .tsv with the columns text and label.',
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.", show_default=False)],
    name: Annotated[
        str | None, typer.Option("--name", help="What is looked for, as verdicts name it. Default: the file's name.")
    ] = None,
    positive: Annotated[
        str | None, typer.Option("--positive", help="The label to look for, where labels are words.")
    ] = None,
    fpr: Annotated[
        float, typer.Option("--fpr", help="Share of harmless texts that may be taken for it.", min=0.001, max=0.5)
    ] = 0.05,
    seed: Annotated[int, typer.Option("--seed", help="Of the split into training and test.")] = 0,
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", help="As in encoder.name; guards need the one that they were trained with."),
    ] = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Train a classifier on labelled texts: it learns to find those with label 1 among others."""
    from damda.answer.guards import labelled
    from damda.answer.guards.classifier import may_write
    from damda.answer.guards.train import train as trained_on
    from damda.assemble import models
    from damda.cli import show
    from damda.config import find

    may_write(out)
    settings = find(config, flags(set_, encoder__name=encoder))
    examples = labelled.read(file, positive or "")
    with show.progress(quiet or json) as tell:
        made = models.make_encoder(settings.encoder, offline=settings.offline, progress=tell)
        trained = trained_on(examples, made, name=name or file.stem, fpr=fpr, seed=seed, progress=tell)
    trained.save(out)
    if json:
        show.as_json({"folder": str(out), "id": trained.weights.id, "name": trained.weights.name} | trained.manifest())
        return
    _show(trained)
    for note in trained.notes:
        show.note(note, silent=quiet)
    show.note(_how_to_use(out, encoder), silent=quiet)


def _show(trained: "Trained") -> None:
    from rich.markup import escape
    from rich.table import Table

    from damda.cli import show

    weights, counts, figures = trained.weights, trained.counts, trained.figures
    table = Table(title=escape(f"{weights.name}: {counts['tested_on']:,} examples put aside, then tested on"))
    for head in ("", "", "95 % interval", "of"):
        table.add_column(head, justify="left" if not table.columns else "right")
    rows = {
        "AUC": figures.auc,
        "precision": figures.precision,
        "recall": figures.recall,
        "false alarms": figures.fpr,
        "AUC, cross-validated": figures.crossvalidated_auc,
        "false alarms, cross-validated": figures.crossvalidated_fpr,
    }
    for label, rate in rows.items():
        value = "–" if rate.value != rate.value else f"{rate.value:.3f}"
        table.add_row(label, value, f"{rate.low:.3f} – {rate.high:.3f}", f"{rate.of:,}")
    show.out.print(table)
    show.out.print(
        escape(
            f"trained on {counts['trained_on']:,} of {counts['positive']:,} + {counts['negative']:,}; looks at "
            f"{' and '.join(word.split()[0] for word in weights.features)}; found from {weights.threshold:.3f} on"
        ),
        style="dim",
    )


def _how_to_use(out: Path, encoder: str | None) -> str:
    import json

    lines = [
        "to use it, in damda.toml:",
        "[guard]",
        'question = ["classifier"]   # or answer, or both, beside what stands there',
        f"classifiers = [{json.dumps(str(out), ensure_ascii=False)}]",
    ]
    return "\n".join(lines + (["[encoder]", f"name = {json.dumps(encoder, ensure_ascii=False)}"] if encoder else []))
