"""`damda distill`: a small model that learns to read, from labels, from a teacher's answers, or its probabilities."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damda.cli.app import ConfigFlag, JsonFlag, QuietFlag, SetFlag, app, flags

if TYPE_CHECKING:
    from damda.assemble.distilling import Material
    from damda.manifest import Manifest
    from damda.settings import Settings
    from damda.tune.lessons import Believed, Lesson
    from damda.tune.student import Way

_MANY = 0.5
"""Of a teacher's probabilities in the loss, where nothing else is said."""


@app.command(
    epilog="Examples: damda distill ./ko_qa --student gemma3-270m --out reader  |  damda distill asked.csv --documents "
    "./documents --student smollm2-135m --teacher remote --set remote.url=http://127.0.0.1:8000/v1 --out reader  |  "
    "damda distill ./ko_qa --student ./reader --teacher transformers:./reader --by logits --layers 12 --out smaller"
)
def distill(
    dataset: Annotated[
        Path,
        typer.Argument(
            help="Questions and their documents, in any shape of `damda eval`; with answers, or a teacher.",
            show_default=False,
        ),
    ],
    student: Annotated[
        str,
        typer.Option(
            "--student",
            help="What learns: a folder of transformers, a .gguf, a name that `damda models` knows, hub:OWNER/NAME.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.", show_default=False)],
    by: Annotated[
        str,
        typer.Option(
            "--by",
            help="labels: the data set's answers; sequences: the teacher's, where they stand in the passage; logits: "
            "its probabilities, of one vocabulary. Default: sequences if there is a teacher, else labels.",
        ),
    ] = "",
    teacher: Annotated[
        str,
        typer.Option(
            "--teacher",
            help="Who knows: remote, llama:MODEL or transformers:FOLDER; for logits a model as --student takes it.",
        ),
    ] = "",
    documents: Annotated[
        Path | None,
        typer.Option("--documents", help="What the questions are about, where the data set doesn't bring it."),
    ] = None,
    layers: Annotated[int, typer.Option("--layers", help="Of the student; fewer than it has. 0: all.", min=0)] = 0,
    lora: Annotated[
        int, typer.Option("--lora", help="Train matrices of this rank beside the weights; 0: the weights.", min=0)
    ] = 0,
    epochs: Annotated[float, typer.Option("--epochs", help="Rounds over the lessons, at most.", min=0.01)] = 1,
    batch: Annotated[int, typer.Option("--batch", help="Lessons a step.", min=1)] = 8,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Highest learning rate. Default: 5e-5, with --lora 3e-4.", min=0)
    ] = None,
    mix: Annotated[
        float, typer.Option("--mix", help="logits: the teacher's share of the loss, the rest are labels.", min=0, max=1)
    ] = _MANY,
    temperature: Annotated[
        float, typer.Option("--temperature", help="logits: what both models' probabilities are softened with.", min=0.1)
    ] = 2.0,
    refusals: Annotated[
        float, typer.Option("--refusals", help="Lessons that nothing answers, for each question.", min=0, max=1)
    ] = 0.4,
    seed: Annotated[int, typer.Option("--seed", help="Of lessons, of what is held out, of the order.")] = 42,
    gguf: Annotated[str, typer.Option("--gguf", help="Form of the GGUF that is made in the end.")] = "Q8_0",
    count: Annotated[
        int, typer.Option("--count", help="Held-out questions that the result is judged by, each asked twice.", min=0)
    ] = 100,
    held_out: Annotated[
        Path | None,
        typer.Option("--held-out", help="Write what was not learnt from as a data set, for `damda compress report`."),
    ] = None,
    licence: Annotated[
        str, typer.Option("--licence", help="Of the data, as SPDX writes it; the manifest names it.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take.")] = False,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Teach a small model to answer from passages: verbatim, short, or "not found". An interrupted run goes on."""
    from damda import artifact
    from damda.assemble import distilling
    from damda.cli import show
    from damda.cli.learning import takes
    from damda.compress import methods
    from damda.config import find
    from damda.generate.transformer import require
    from damda.tune import backbone
    from damda.tune.lessons import Mixture
    from damda.tune.student import Way

    backbone.ready()
    require()
    artifact.may_write(out)
    methods.known(f"gguf:{gguf}")
    silent, settings = quiet or json, find(config, flags(set_))
    kind = _kind(by, teacher)
    mixture = Mixture(refusals, seed=seed)
    with show.progress(silent) as tell:
        made, lost = distilling.material(dataset, documents, mixture, licence, settings, tell)
    if lost:
        show.note(f"{len(lost)} documents that questions name are not there, e.g. {min(lost)}", silent=silent)
    if held_out:
        distilling.write_held_out(held_out, made)
    way = Way(layers, lora, mix if kind == "logits" else 0.0, temperature)
    train, validation, notes = _learnt(made, kind, teacher, out, settings, silent=silent)
    making = _making(
        (student, teacher if kind == "logits" else ""),
        made,
        (train, validation),
        way,
        {"epochs": epochs, "batch": batch, "rate": rate or (3e-4 if lora else 5e-5), "seed": seed, "checks": 4},
        (out, gguf, count),
        settings,
        {"by": kind, "mixture": _plain(mixture), **notes},
        silent=silent,
    )
    foreseen = making.estimate()
    show.note(takes(foreseen), silent=silent)
    if dry_run:
        show.as_json(foreseen) if json else show.out.print(takes(foreseen))
        return
    foreseen.check()
    with show.progress(silent) as tell:
        found = making.run(tell)
    if json:
        show.as_json(found)
        return
    _show(found)
    for parent in found.parents:
        if parent.licence:
            show.note(f"made of {parent.name}: its licence ({parent.licence}) holds for the result too", silent=quiet)
    show.note(f'to ask with it: damda ask DOCUMENTS "..." --generator llama --set llama.model={out}', silent=quiet)


def _kind(by: str, teacher: str) -> str:
    kind = by or ("sequences" if teacher else "labels")
    if kind not in ("labels", "sequences", "logits"):
        raise typer.BadParameter(f"{kind!r} is none of labels, sequences, logits", param_hint="--by")
    if kind == "labels" and teacher:
        raise typer.BadParameter("a teacher has nothing to say where labels are learnt", param_hint="--teacher")
    if kind != "labels" and not teacher:
        raise typer.BadParameter(f"{kind} come from a teacher: say which", param_hint="--teacher")
    return kind


def _learnt(
    made: "Material", kind: str, teacher: str, out: Path, settings: "Settings", *, silent: bool
) -> "tuple[list[Lesson], list[Lesson], dict[str, Any]]":
    """What is learnt from, what is validated with, and what the manifest says of how that came about."""
    from damda import artifact
    from damda.assemble.models import make_judge
    from damda.cli import show
    from damda.tune.lessons import taught

    if kind != "sequences":
        labelled = [[lesson for lesson in part if lesson.answer] for part in (made.train, made.validation)]
        return labelled[0], labelled[1], {}
    writer = make_judge(teacher, settings, "learn from")
    kept = artifact.work_folder(out) / "teacher.jsonl"
    with show.progress(silent) as tell:
        train, said = taught(made.train, writer, kept, tell)
        validation, _ = taught(made.validation, writer, kept, tell)
    show.note(_believed(said), silent=silent)
    return train, validation, {"teacher": writer.id, "believed": _plain(said)}


def _believed(said: "Believed") -> str:
    return (
        f"the teacher answered {said.asked} lessons, {said.kept} are learnt from; left out: {said.changed} answers "
        f"that do not stand in their passage, {said.refused} refusals of what is answered, {said.invented} answers to "
        "what is not"
    )


def _plain(value: Any) -> dict[str, Any]:  # noqa: ANN401  a dataclass
    from dataclasses import asdict

    return asdict(value)


def _making(
    models: tuple[str, str],
    made: "Material",
    learnt: "tuple[list[Lesson], list[Lesson]]",
    way: "Way",
    recipe: dict[str, Any],
    wanted: tuple[Path, str, int],
    settings: "Settings",
    notes: dict[str, Any],
    *,
    silent: bool,
) -> Any:  # noqa: ANN401  a Making; importing it here would slow `--help`
    from damda import artifact
    from damda.assemble import distilling
    from damda.assemble.compressing import model_files, parent_of
    from damda.cli import show
    from damda.cli.machine import described
    from damda.compress.quantise import packed_already
    from damda.tune.make_reader import Making, Order
    from damda.tune.train import Recipe

    out, gguf, count = wanted
    parents = [parent_of(name, model_files(name, offline=settings.offline, whole=True)) for name in models if name]
    with show.progress(silent) as tell:
        base, before = distilling.student_folder(models[0], offline=settings.offline, progress=tell)
        teacher = (
            distilling.student_folder(models[1], offline=settings.offline, progress=tell)[0] if models[1] else None
        )
    if packed := packed_already(before) if before else "":
        notes = {**notes, "parent_in": packed}  # `damda compress` warns by it
    judging = distilling.Judging(made, base, before, out, gguf, count, settings)
    order = Order(
        base,
        parents,
        *learnt,
        way,
        Recipe(**recipe),
        out,
        judging,
        teacher,
        (made.data,),
        described(),
        artifact.command(),
        notes,
    )
    return Making(order)


def _show(made: "Manifest") -> None:
    from rich.markup import escape
    from rich.table import Table

    from damda.cli import show

    trained = made.metrics["training"]
    show.out.print(
        f"{escape(made.name)}: {trained['steps']} steps, loss on validation {-trained['before']:.3f} -> "
        f"{-trained['best']:.3f}; {made.seconds / 60:,.0f} minutes",
        markup=False,
    )
    judged = made.metrics.get("held_out")
    if not judged:
        return
    columns = {
        "exact": "exact match",
        "f1": "F1",
        "holds": "holds the answer",
        "verbatim": "verbatim",
        "refusal": "refusals, F1",
    }
    table = Table(title=f"{judged['questions']} held-out questions, each asked with its passage and with another")
    table.add_column("")
    for title in columns.values():
        table.add_column(title, justify="right")
    for name, title in {"reader": escape(made.name), "three_shots": "as it was, 3 shots", "extract": "extract"}.items():
        table.add_row(title, *(f"{judged[name][column]:.3f}" for column in columns))
    show.out.print(table)
