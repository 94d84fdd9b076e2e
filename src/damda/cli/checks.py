"""`damda guard check`, `damda guard kinds`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from damda.cli.app import ConfigFlag, JsonFlag, QuietFlag, SetFlag, flags
from damda.cli.guard import guard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from damda.measure.guards import Seen, Tally
    from damda.settings import Settings
    from damda.types import Guard, Place


@guard.command(
    epilog="Examples: damda guard check questions.txt  |  damda guard check labelled.jsonl --guard personal --json  |  "
    "damda guard check answers.txt --place answer"
)
def check(
    file: Annotated[
        Path,
        typer.Argument(
            help='A text a line, or JSON lines of {"text": ...}; with "label": 1 or 0 the guards are measured.',
            show_default=False,
        ),
    ],
    place: Annotated[
        Literal["question", "passage", "answer"], typer.Option("--place", help="Whose guards, as damda.toml has them.")
    ] = "question",
    only: Annotated[
        list[str] | None, typer.Option("--guard", help="This guard instead of those of damda.toml. Repeatable.")
    ] = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Show what each guard would do with each line of a file, and how right it would be."""
    from damda.cli import show
    from damda.config import find
    from damda.measure import guards as measured

    settings = find(config, {**flags(set_), **({f"guard.{place}": only} if only else {})})
    lines = measured.read(file)
    with show.progress(quiet or json) as tell:
        guards = _guards(settings, place)
        seen = list(measured.check(guards, place, lines, tell))
    tallies = measured.tallied(guards, seen)
    if json:
        show.as_json({"lines": [_row(line) for line, _ in seen], "guards": [_figures(tally) for tally in tallies]})
        return
    for line, _ in seen:
        _draw(line)
    _table(tallies, len(seen))


def _guards(settings: "Settings", place: "Place") -> "Sequence[Guard]":
    """The guards of one place. The others need not be there: they may want models."""
    from damda.assemble import guarding, models
    from damda.errors import ConfigError

    chosen: dict[str, tuple[str, ...]] = {name: () for name in ("question", "passage", "answer") if name != place}
    narrow = settings.model_copy(update={"guard": settings.guard.model_copy(update=chosen)})
    made = guarding.make_guards(
        narrow,
        lambda: models.make_encoder(settings.encoder, offline=settings.offline),
        lambda: models.judging(settings),
    )
    if guards := made.of(place):
        return guards
    raise ConfigError(f"guard.{place} names no guards: name some there, or here with --guard NAME")


def _row(line: "Seen") -> dict[str, object]:
    from damda.plain import plain

    verdicts = [
        {**plain(verdict), "rule": verdict.rule} for verdict in line.verdicts
    ]  # also those that found nothing: a classifier's score is of use
    return {"line": line.number, "text": line.text, "label": line.label, "verdicts": verdicts}


def _figures(tally: "Tally") -> dict[str, object]:
    return {
        "guard": tally.guard,
        "found": tally.found,
        "precision": tally.precision,
        "recall": tally.recall,
        "false_positives": tally.false_positives,
        "p50_ms": round(1000 * tally.percentile(0.5), 3),
        "p95_ms": round(1000 * tally.percentile(0.95), 3),
    }


def _draw(line: "Seen") -> None:
    from rich.markup import escape

    from damda.cli import show

    shown = " ".join(line.text.split())
    shown = shown if len(shown) <= 100 else shown[:99] + "…"
    show.out.print(f"{line.number:>5}  {escape(shown)}")
    for verdict in line.found or ():
        score = f" {verdict.score:.3f}" if verdict.score == verdict.score else ""
        show.out.print(f"       [bold]{verdict.action}[/]  {verdict.guard}: {escape(verdict.rule)}{score}")
        if verdict.action == "redact":
            masked = " ".join(verdict.text.split())
            show.out.print(f"       {escape(masked if len(masked) <= 100 else masked[:99] + '…')}", style="dim")


def _table(tallies: "Sequence[Tally]", lines: int) -> None:
    from rich.table import Table

    from damda.cli import show

    labelled = any(tally.right + tally.wrong + tally.missed + tally.passed for tally in tallies)
    heads = ["guard", f"found of {lines:,}", *(["precision", "recall", "false positives"] if labelled else [])]
    table = Table(*heads, "p50 ms", "p95 ms")
    for column in table.columns[1:]:
        column.justify = "right"
    for tally in tallies:
        rates = (tally.precision, tally.recall, tally.false_positives) if labelled else ()
        shown = ["–" if rate is None else f"{rate:.3f}" for rate in rates]
        times = [f"{1000 * tally.percentile(share):.2f}" for share in (0.5, 0.95)]
        table.add_row(tally.guard, f"{tally.found:,}", *shown, *times)
    show.out.print(table)


@guard.command(epilog="Example: damda guard kinds --json")
def kinds(json: JsonFlag = False) -> None:
    """The kinds of personal data that the guard `personal` knows: names for guard.redact and guard.block."""
    from damda.answer.guards.personal import KINDS
    from damda.cli import show

    if json:
        show.as_json(KINDS)
        return
    for name, what in KINDS.items():
        show.out.print(f"{name:<10} {what}")
