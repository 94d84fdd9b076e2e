"""`damda lab encoders`."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from damda.cli.app import ConfigFlag, JsonFlag, QuietFlag, SetFlag, app, flags
from damda.cli.measure import give_out, placed

if TYPE_CHECKING:
    from damda.measure.lab import Task
    from damda.measure.similarity import Pair
    from damda.settings import Settings

lab = typer.Typer(help="Compare ways of doing the same, on data of your own.", no_args_is_help=True)
app.add_typer(lab, name="lab")

_DEFAULT = "one-hot,bow,tf-idf,bm25,word2vec,static,cls,max,mean"


@lab.callback()
def _group() -> None:
    """Compare ways of doing the same, on data of your own."""


@lab.command(
    epilog="Examples: damda lab encoders ./beir-folder --sts klue-sts-v1.1_dev.json --report lab.html  |  "
    "damda lab encoders ./beir-folder --encoders bm25,mean,https://api.example.com/v1 --price 0.02  |  "
    "damda lab encoders ./beir-folder --encoders bm25,mean,rerank:/models/cross-encoder",
)
def encoders(
    dataset: Annotated[
        Path, typer.Argument(help="Questions, in any shape that `damda eval` takes, or hub:OWNER/NAME.")
    ],
    documents: Annotated[
        Path | None, typer.Option("--documents", help="What the questions are asked of, where the data set has none.")
    ] = None,
    names: Annotated[
        str,
        typer.Option(
            "--encoders",
            help="Which to compare; beside these names a folder, hub:OWNER/NAME or a URL, and rerank:NAME for a "
            "cross-encoder as in rerank.model.",
        ),
    ] = _DEFAULT,
    sts: Annotated[
        list[Path] | None,
        typer.Option("--sts", help="Scored pairs: KLUE-STS's .json, KorSTS's .tsv, .jsonl of {s1, s2, score}."),
    ] = None,
    sample: Annotated[int, typer.Option("--sample", help="At most so many questions a source.", min=1)] = 300,
    most: Annotated[
        int, typer.Option("--most", help="Documents: those that answer, and others drawn at random. 0: all.", min=0)
    ] = 2000,
    price: Annotated[
        float | None, typer.Option("--price", help="Of a million tokens, for encoders given by URL.", min=0)
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write an HTML page with a plot.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write everything as JSON.")] = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Every way of turning text into vectors in one table: what it finds, what is alike to it, what it costs."""
    from damda.assemble import compare, models
    from damda.cli import show, tables
    from damda.config import find
    from damda.embed.lexical import Remembered
    from damda.measure import html, lab
    from damda.measure.retrieval import ready
    from damda.measure.similarity import pairs

    ready()
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    silent = quiet or json
    settings = find(config, flags(set_), documents or dataset)
    similar = {path.stem: pairs(path) for path in sts or ()}
    task, failed = drawn_task(dataset, documents, sample, most, similar, settings, silent=silent)
    texts = list(task.passages.values())
    analyser, rows = Remembered(models.make_analyser(settings)), []
    with show.progress(silent) as tell:
        for at in range(0, len(texts), 256):  # once for all that look at words
            tell("splitting words", at, len(texts))
            analyser.content(texts[at : at + 256])
        for name in chosen:
            make = partial(compare.representation, settings=settings, analyser=analyser, corpus=texts, progress=tell)
            if name.startswith(compare.CROSS_ENCODER):
                read = partial(compare.cross_encoder, name, settings)
                rows.append(lab.measure_reranker(name, read, partial(make, "bm25"), settings.rerank.top, task, tell))
            else:
                paid = price if name.startswith(("http://", "https://")) else None
                rows.append(lab.measure(name, partial(make, name), task, tell, price=paid))
    result = lab.compose(dataset.stem, task, rows, failed)
    give_out(result, tables.representations, html.lab_page, out, report, json=json, quiet=quiet)


def drawn_task(
    dataset: Path,
    documents: Path | None,
    sample: int,
    most: int,
    similar: "Mapping[str, Sequence[Pair]]",
    settings: "Settings",
    *,
    silent: bool,
) -> "tuple[Task, dict[str, str]]":
    """What is compared on, and the files that can't be read, which are named on stderr."""
    from damda.cli import show
    from damda.errors import ConfigError
    from damda.measure import evaluate
    from damda.measure.corpus import drawn, texts
    from damda.measure.dataset import fetch
    from damda.measure.lab import Task

    loaded = fetch(dataset, settings.home, offline=settings.offline)
    root = documents or loaded.documents
    if root is None:
        raise ConfigError(f"the data set {loaded.name} has questions only: say what they are asked of with --documents")
    found, failed = texts(root, settings.read)
    if failed:
        show.note(f"{len(failed)} files could not be read; what they answer counts as not found", silent=silent)
        for source, reason in failed.items():
            show.note(f"  failed   {source}: {reason}", silent=silent)
    asked = [question for question in placed(loaded, found, silent=silent) if question.relevant]
    if not asked:
        raise ConfigError(f"no question of {dataset} names a document that answers it: nothing can be compared")
    asked = evaluate.sample(asked, sample)
    passages = drawn(found, {document for question in asked for document in question.relevant}, most)
    return Task(passages, asked, similar), failed
