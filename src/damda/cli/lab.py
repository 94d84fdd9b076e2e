"""`damda lab encoders`."""

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damda.cli.app import ConfigFlag, JsonFlag, QuietFlag, SetFlag, app, flags
from damda.cli.measure import write

if TYPE_CHECKING:
    from damda.config import ReadSettings
    from damda.measure.lab import Row
    from damda.measure.similarity import Pair

lab = typer.Typer(help="Compare ways of doing the same, on data of your own.", no_args_is_help=True)
app.add_typer(lab, name="lab")

_DEFAULT = "one-hot,bow,tf-idf,bm25,word2vec,static,cls,max,mean"


@lab.callback()
def _group() -> None:
    """Compare ways of doing the same, on data of your own."""


@lab.command(
    epilog="Examples: damda lab encoders ./beir-folder --sts klue-sts-v1.1_dev.json --report lab.html  |  "
    "damda lab encoders ./beir-folder --encoders bm25,mean,https://api.example.com/v1 --price 0.02",
)
def encoders(
    dataset: Annotated[Path, typer.Argument(help="A BEIR folder, or SQuAD's, KorQuAD's or KLUE-MRC's .json.")],
    documents: Annotated[
        Path | None, typer.Option("--documents", help="What the questions are asked of, where the data set has none.")
    ] = None,
    names: Annotated[
        str,
        typer.Option("--encoders", help="Which to compare; beside the names above a folder, hub:OWNER/NAME or a URL."),
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
    from damda import assemble
    from damda.cli import show, tables
    from damda.config import find
    from damda.embed.lexical import Remembered
    from damda.measure import evaluate, lab
    from damda.measure.retrieval import ready
    from damda.measure.similarity import pairs

    ready()
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    settings = find(config, flags(set_))
    loaded, passages = _loaded(dataset, documents, settings.read)
    asked = evaluate.sample([q for q in loaded if q.relevant], sample)
    passages = _drawn(passages, {doc for q in asked for doc in q.relevant}, most)
    similar = {path.stem: pairs(path) for path in sts or ()}
    analyser, rows = Remembered(assemble.make_analyser(settings)), []
    with show.progress(quiet or json) as tell:
        for at in range(0, len(passages), 256):  # once for all that look at words
            tell("splitting words", at, len(passages))
            analyser.content(list(passages.values())[at : at + 256])
        for name in chosen:

            def make(name: str = name) -> Any:  # noqa: ANN401  an Encoder
                return assemble.representation(name, settings, analyser, list(passages.values()), tell)

            paid = price if name.startswith(("http://", "https://")) else None
            rows.append(lab.measure(name, make, passages, asked, similar, tell, price=paid))
    result = _result(dataset, rows, len(passages), len(asked), similar)
    if out is not None:
        write(out, show.json_text(result))
    if report is not None:
        from damda.measure.html import lab_page

        write(report, lab_page(result))
    if json:
        show.as_json(result)
        return
    tables.representations(result)
    for path in filter(None, (out, report)):
        show.note(f"written to {path}", silent=quiet)


def _loaded(dataset: Path, documents: Path | None, limits: "ReadSettings") -> tuple[Sequence[Any], dict[str, str]]:
    """(questions, document id -> title and text)."""
    from damda.errors import ConfigError, ReadError
    from damda.ingest.read import read
    from damda.ingest.walk import walk
    from damda.measure.dataset import load, placed

    if not dataset.exists():
        raise ConfigError(f"{dataset} does not exist")
    loaded = load(dataset, dataset.parent / ".damda" / f"eval-{dataset.stem}")
    root = documents or loaded.documents
    if root is None:
        raise ConfigError(f"the data set {loaded.name} has questions only: say what they are asked of with --documents")
    passages: dict[str, str] = {}
    for found in walk(root, limits)[0]:
        try:
            passages |= {d.id: f"{d.title}\n{d.text}" for d in read(found, limits)}
        except ReadError:
            continue  # `damda index` names it; here its questions count as not found
    if not passages:
        raise ConfigError(f"{root} has no readable documents")
    return placed(loaded.questions, passages)[0], passages


def _drawn(passages: dict[str, str], needed: set[str], most: int) -> dict[str, str]:
    """The needed ones, and others up to ``most``, in their own order; drawn with a fixed seed."""
    others = [doc for doc in passages if doc not in needed]
    room = len(others) if most == 0 else max(most - len(needed), 0)
    kept = needed | set(random.Random(0).sample(others, min(room, len(others))))
    return {doc: text for doc, text in passages.items() if doc in kept}


def _result(
    dataset: Path, rows: "Iterable[Row]", passages: int, questions: int, similar: "Mapping[str, Sequence[Pair]]"
) -> dict[str, Any]:
    import time
    from dataclasses import asdict

    return {
        "dataset": dataset.stem,
        "date": time.strftime("%Y-%m-%d"),
        "passages": passages,
        "questions": questions,
        "pairs": {name: len(scored) for name, scored in similar.items()},
        "rows": [asdict(row) for row in rows],
    }
