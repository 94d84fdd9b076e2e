"""`damda eval`."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damda.cli.app import ConfigFlag, GeneratorFlag, HomeFlag, JsonFlag, QuietFlag, SetFlag, app, flags
from damda.cli.documents import refreshed

if TYPE_CHECKING:
    from damda.knowledge import KnowledgeBase
    from damda.measure.dataset import Dataset, Question
    from damda.measure.evaluate import Found, Measured, Plan
    from damda.measure.report import Result
    from damda.settings import Settings
    from damda.types import Mode

_MODES = "bm25,dense,rrf,convex,hybrid"
_KNOWN = (*_MODES.split(","), "rerank")


@app.command(
    name="eval",
    epilog="Examples: damda eval ./beir-folder --report report.html  |  "
    "damda eval questions.csv --documents ./documents --out before.json  |  "
    "damda eval ./documents --synthesise 100  |  damda eval --compare before.json after.json  |  "
    "damda eval ./beir-folder --judge remote --report report.html  |  "
    "damda eval ./beir-folder --fail-under ndcg@10=0.8  |  damda eval klue-sts-v1.1_dev.json --fail-under spearman=0.7",
)
def evaluate(
    dataset: Annotated[
        Path | None,
        typer.Argument(
            help="A BEIR folder, SQuAD's, KorQuAD's or KLUE-MRC's .json, a .csv of question, answer, document, a "
            ".jsonl of {id, text, answers, document}, or hub:OWNER/NAME; with --synthesise: the documents. Or scored "
            "pairs of sentences: KLUE-STS's .json, KorSTS's .tsv, a .jsonl of {s1, s2, score}.",
            show_default=False,
        ),
    ] = None,
    documents: Annotated[
        Path | None, typer.Option("--documents", help="What the questions are asked of, where the data set has none.")
    ] = None,
    synthesise: Annotated[
        int | None, typer.Option("--synthesise", help="Make so many questions of the documents first.", min=1)
    ] = None,
    modes: Annotated[str, typer.Option("--modes", help="Ways of searching, side by side.")] = _MODES,
    sample: Annotated[
        int | None, typer.Option("--sample", help="At most so many questions a source, or pairs. Default: all.", min=1)
    ] = None,
    answers: Annotated[
        int, typer.Option("--answers", help="Questions a source that are answered and judged too; 0 for none.", min=0)
    ] = 100,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            help="A language model that grades the answers too: llama or remote as the settings say, or llama:MODEL, "
            "remote:MODEL.",
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write an HTML page with plots.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write everything as JSON, for --compare.")] = None,
    runs: Annotated[Path | None, typer.Option("--runs", help="Write a TREC run file a mode into this folder.")] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option("--run", help="Judge this TREC run file beside the modes, under its file name. Repeatable."),
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option("--fail-under", metavar="NAME=VALUE", help="Exit with 5 below, e.g. ndcg@10=0.8. Repeatable."),
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--compare", metavar="BEFORE AFTER", help="What changed between two files of --out."),
    ] = None,
    generator: GeneratorFlag = None,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """How good search and answers are on questions whose answers are known, and what is more than chance."""
    from damda.assemble import models
    from damda.cli import show, tables
    from damda.config import find
    from damda.measure import html
    from damda.measure import report as reports
    from damda.measure.dataset import Dataset
    from damda.measure.evaluate import Plan
    from damda.measure.retrieval import read_run, ready
    from damda.measure.similarity import holds_pairs
    from damda.sources import found

    if compare is not None:
        rows = reports.compare(*map(reports.read, compare))
        show.as_json(rows) if json else tables.comparison(rows)
        return
    if dataset is None:
        raise typer.BadParameter("give a data set, or --compare BEFORE AFTER", param_hint="DATASET")
    ready()
    bounds, silent = _bounds(fail_under), quiet or json
    named, file = flags(set_, home=home, answer__generator=generator), found(config, documents or dataset)
    settings = find(file, named, documents or dataset)
    if holds_pairs(dataset):
        _no_questions(documents=documents, synthesise=synthesise, runs=runs, run=run, judge=judge)
        result = _of_pairs(dataset, sample, settings, silent=silent)
    else:
        asked, root = _asked(dataset, documents, synthesise, settings)
        settings = find(file, named, root)  # with what its home has adopted
        plan = Plan(
            _modes(modes),
            settings.search.mode,
            settings.answer.passages,
            sample,
            answers,
            {path.stem: read_run(path) for path in run or ()},
            models.make_judge(judge, settings) if judge else None,
            settings.answer.max_tokens,
        )
        kb = _opened(root, settings, silent=silent)
        if synthesise is not None:
            asked = Dataset(asked.name, _synthesised(kb, synthesise, settings, silent=silent).questions, root)
        measured = _measured(kb, asked, plan, silent=silent)
        if runs is not None:
            _write_runs(runs, measured.found)
        result = reports.compose(asked.name, measured, plan.mode, _about(kb, settings))
    give_out(result, tables.evaluation, html.page, out, report, json=json, quiet=quiet)
    _insist(result, bounds)


def _no_questions(**given: object) -> None:
    """Options that say something about questions, where there are none."""
    if wrong := [name for name, value in given.items() if value]:
        raise typer.BadParameter(
            "the data set has scored pairs of sentences; nothing is searched", param_hint=f"--{wrong[0]}"
        )


def _of_pairs(path: Path, sample: int | None, settings: "Settings", *, silent: bool) -> "Result":
    """How well the encoder agrees with people; needs no index."""
    from damda.assemble import models
    from damda.cli import show
    from damda.measure.report import compose_pairs
    from damda.measure.similarity import cosines, drawn, pairs

    scored = drawn(pairs(path), sample)
    with show.progress(silent) as tell:
        encoder = models.make_encoder(settings.encoder, offline=settings.offline, progress=tell)
        said = cosines(encoder, scored, tell)
    return compose_pairs(path.stem, scored, said, {"encoder": encoder.id} | _machine())


def _measured(kb: "KnowledgeBase", asked: "Dataset", plan: "Plan", *, silent: bool) -> "Measured":
    from damda.cli import show
    from damda.measure.evaluate import measure

    questions = placed(asked, kb.document_ids(), silent=silent)
    with show.progress(silent) as tell:
        kb.warm()
        return measure(kb, questions, plan, tell)


def _insist(result: "Result", bounds: Sequence[tuple[str, float]]) -> None:
    """End with an error where the judge failed, with 5 where a figure is under its bound."""
    from damda.cli import show
    from damda.errors import GeneratorError
    from damda.measure.report import figure

    if failure := result["judge"].get("failure"):
        raise GeneratorError(f"the judge failed: {failure}; everything else was measured")
    missed = [f"{n} is {v:.4f}, under {bound:g}" for n, bound in bounds if (v := figure(result, n)) < bound]
    if missed:
        show.err.print("; ".join(missed), markup=False)
        raise typer.Exit(5)


def _bounds(given: Sequence[str] | None) -> list[tuple[str, float]]:
    bounds = []
    for item in given or ():
        name, _, value = item.rpartition("=")
        try:
            bounds.append((name, float(value)))
        except ValueError as error:
            raise typer.BadParameter(f"{item!r} is not NAME=VALUE", param_hint="--fail-under") from error
    return bounds


def _modes(given: str) -> "list[Mode]":
    chosen = [mode.strip() for mode in given.split(",") if mode.strip()]
    if not chosen or (unknown := set(chosen) - set(_KNOWN)):
        raise typer.BadParameter(f"{', '.join(sorted(unknown)) if chosen else 'none'}: not in {', '.join(_KNOWN)}")
    return chosen  # type: ignore[return-value]  # checked one line up


def _asked(
    dataset: Path, documents: Path | None, synthesise: int | None, settings: "Settings"
) -> "tuple[Dataset, Path]":
    """The questions, none where they are made of the documents, and what they are asked of."""
    from damda.assemble import root_of
    from damda.errors import ConfigError
    from damda.measure.dataset import Dataset, fetch

    if synthesise is None:
        asked = fetch(dataset, settings.home, offline=settings.offline)
    else:
        asked = Dataset(dataset.resolve().stem, (), dataset)
    root = documents or asked.documents
    if root is None:
        raise ConfigError(f"the data set {asked.name} has questions only: say what they are asked of with --documents")
    return asked, root_of(root)


def _opened(root: Path, settings: "Settings", *, silent: bool) -> "KnowledgeBase":
    """The documents, their index brought up to date."""
    from damda import assemble
    from damda.cli import show

    with show.progress(silent) as tell:
        kb = assemble.assemble(root, settings, tell)
    refreshed(kb, silent=silent, verbose=False)
    return kb


def _synthesised(kb: "KnowledgeBase", count: int, settings: "Settings", *, silent: bool) -> "Dataset":
    """Questions of the file beside the index; made there when it does not exist yet."""
    from damda.assemble import models
    from damda.cli import show
    from damda.errors import ConfigError
    from damda.measure import synthesise
    from damda.measure.dataset import load, write_lines

    path = kb.home / "questions.jsonl"
    if path.is_file():
        show.note(f"questions taken from {path}; delete it to have new ones made", silent=silent)
    else:
        passages = kb.sample(40 * count)
        if settings.answer.generator == "extract":
            rows = synthesise.by_rules(passages, count)
        else:
            with show.progress(silent) as tell:
                rows = synthesise.by_model(passages, count, models.make_writer(settings), tell)
        if not rows:
            raise ConfigError(f"no question could be made of {kb.root}: write some down as JSON lines, see `--help`")
        write_lines(path, rows)
        show.note(f"{len(rows)} questions written to {path}: read and correct them", silent=silent)
    return load(path, kb.home)


def placed(asked: "Dataset", stored: Collection[str], *, silent: bool) -> "list[Question]":
    """The questions with their documents' ids as they are stored; documents that are not are named on stderr."""
    from damda.cli import show
    from damda.measure import dataset

    questions, lost = dataset.placed(asked.questions, stored)
    if lost:
        names = ", ".join(sorted(lost)[:3])
        show.note(f"{len(lost)} documents that questions name are not there, e.g. {names}", silent=silent)
    return questions


def _about(kb: "KnowledgeBase", settings: "Settings") -> dict[str, str]:
    """What a reader of the figures wants to know about where they come from."""
    status = kb.status()
    used = {"encoder": status.encoder, "generator": settings.answer.generator, "passages": f"{status.chunks:,}"}
    return used | _machine()


def _machine() -> dict[str, str]:
    """damda's version, and what it runs on."""
    import damda
    from damda.cli.machine import described

    return {"damda": damda.__version__, "machine": described()}


def _write_runs(folder: Path, found: "Mapping[str, Found]") -> None:
    from damda.measure.retrieval import run_lines

    for name, one in found.items():
        lines = (run_lines(query, documents.items(), name) for query, documents in one.run.items())
        write(folder / f"{name}.run", "".join(lines))


def give_out(
    result: dict[str, Any],
    table: Callable[[dict[str, Any]], None],
    page: Callable[[dict[str, Any]], str],
    out: Path | None,
    report: Path | None,
    *,
    json: bool,
    quiet: bool,
) -> None:
    """Write what was asked for, then show a result as JSON or as its table."""
    from damda.cli import show

    if out is not None:
        write(out, show.json_text(result))
    if report is not None:
        write(report, page(result))
    if json:
        show.as_json(result)
        return
    table(result)
    for path in filter(None, (out, report)):
        show.note(f"written to {path}", silent=quiet)


def write(path: Path, text: str) -> None:
    """Write a result in one step."""
    from damda.errors import ConfigError

    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}") from error
