"""`damda eval`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damda.cli.app import ConfigFlag, GeneratorFlag, HomeFlag, JsonFlag, QuietFlag, SetFlag, app, flags
from damda.cli.documents import opened, refreshed

if TYPE_CHECKING:
    from damda.knowledge import KnowledgeBase
    from damda.measure.dataset import Dataset
    from damda.measure.evaluate import Found
    from damda.types import Mode

_MODES = "bm25,dense,rrf,convex,hybrid"
_KNOWN = (*_MODES.split(","), "rerank")


@app.command(
    name="eval",
    epilog="Examples: damda eval ./beir-folder --report report.html  |  "
    "damda eval questions.csv --documents ./documents --out before.json  |  "
    "damda eval ./documents --synthesise 100  |  damda eval --compare before.json after.json  |  "
    "damda eval ./beir-folder --fail-under ndcg@10=0.8",
)
def evaluate(
    dataset: Annotated[
        Path | None,
        typer.Argument(
            help="A BEIR folder, SQuAD's, KorQuAD's or KLUE-MRC's .json, a .csv of question, answer, document, a "
            ".jsonl of {id, text, answers, document}, or hub:OWNER/NAME; with --synthesise: the documents.",
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
        int | None, typer.Option("--sample", help="At most so many questions a source. Default: all.", min=1)
    ] = None,
    answers: Annotated[
        int, typer.Option("--answers", help="Questions a source that are answered and judged too; 0 for none.", min=0)
    ] = 100,
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
    from damda.cli import show, tables
    from damda.measure import report as reports
    from damda.measure.retrieval import ready

    if compare is not None:
        rows = reports.compare(*map(reports.read, compare))
        show.as_json(rows) if json else tables.comparison(rows)
        return
    if dataset is None:
        raise typer.BadParameter("give a data set, or --compare BEFORE AFTER", param_hint="DATASET")
    ready()
    bounds = _bounds(fail_under)
    settings = flags(set_, home=home, answer__generator=generator)
    silent = quiet or json
    loaded = _loaded(dataset, home, synthesise)
    kb = _opened(loaded, documents, config, settings, silent=silent)
    if synthesise is not None:
        loaded = _synthesised(kb, loaded, synthesise, config, settings, silent=silent)
    result = _measured(kb, loaded, _modes(modes), sample, answers, config, settings, runs, run or (), silent=silent)
    if out is not None:
        write(out, show.json_text(result))
    if report is not None:
        from damda.measure.html import page

        write(report, page(result))
    if json:
        show.as_json(result)
    else:
        tables.evaluation(result)
        for path in filter(None, (out, report)):
            show.note(f"written to {path}", silent=quiet)
    missed = [f"{n} is {v:.4f}, under {bound:g}" for n, bound in bounds if (v := reports.figure(result, n)) < bound]
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


def _loaded(path: Path, home: str | None, synthesise: int | None) -> "Dataset":
    from damda import weights
    from damda.errors import ConfigError
    from damda.measure.dataset import Dataset, load

    name = path.as_posix()
    if name.startswith("hub:"):
        folder = weights.hub_folder(name.removeprefix("hub:"), offline=False, data=True)
        return load(folder, weights.cache_folder() / "datasets" / name.removeprefix("hub:").replace("/", "--"))
    if not path.exists():
        raise ConfigError(f"{path} does not exist")
    if synthesise is not None:
        return Dataset(path.resolve().stem, (), path)
    work = Path(home) if home else path.parent / ".damda"
    return load(path, work / f"eval-{path.stem}")


def _opened(
    loaded: "Dataset", documents: Path | None, config: Path | None, settings: Mapping[str, Any], *, silent: bool
) -> "KnowledgeBase":
    from damda.errors import ConfigError

    root = documents or loaded.documents
    if root is None:
        raise ConfigError(f"the data set {loaded.name} has questions only: say what they are asked of with --documents")
    kb = opened(root, config, settings, silent=silent)
    refreshed(kb, silent=silent, verbose=False)
    return kb


def _synthesised(
    kb: "KnowledgeBase",
    loaded: "Dataset",
    count: int,
    config: Path | None,
    settings: Mapping[str, Any],
    *,
    silent: bool,
) -> "Dataset":
    """Questions of the file beside the index; made there when it does not exist yet."""
    from damda import assemble
    from damda.cli import show
    from damda.config import find
    from damda.errors import ConfigError
    from damda.measure import synthesise
    from damda.measure.dataset import load, write_lines

    path = kb.home / "questions.jsonl"
    if path.is_file():
        show.note(f"questions taken from {path}; delete it to have new ones made", silent=silent)
    else:
        chosen = find(config, settings, kb.root)
        passages = kb.sample(40 * count)
        if chosen.answer.generator == "extract":
            rows = synthesise.by_rules(passages, count)
        else:
            with show.progress(silent) as tell:
                rows = synthesise.by_model(passages, count, assemble.make_writer(chosen), tell)
        if not rows:
            raise ConfigError(f"no question could be made of {kb.root}: write some down as JSON lines, see `--help`")
        write_lines(path, rows)
        show.note(f"{len(rows)} questions written to {path}: read and correct them", silent=silent)
    return type(loaded)(loaded.name, load(path, kb.home).questions, loaded.documents)


def _measured(
    kb: "KnowledgeBase",
    loaded: "Dataset",
    modes: "list[Mode]",
    sample: int | None,
    answers: int,
    config: Path | None,
    settings: Mapping[str, Any],
    runs: Path | None,
    brought: Sequence[Path],
    *,
    silent: bool,
) -> dict[str, Any]:
    import os

    import damda
    from damda.cli import show
    from damda.cli.machine import processor
    from damda.config import find
    from damda.measure import evaluate, report
    from damda.measure.dataset import placed
    from damda.measure.retrieval import read_run, run_lines

    chosen = find(config, settings, kb.root)
    asked, lost = placed(loaded.questions, kb.document_ids())
    if lost:
        names = ", ".join(sorted(lost)[:3])
        show.note(f"{len(lost)} documents that questions name are not stored, e.g. {names}", silent=silent)
    if sample is not None:
        asked = evaluate.sample(asked, sample)
    found: dict[str, Found] = {}
    with show.progress(silent) as tell:
        kb.warm()
        for mode in modes if any(q.relevant for q in asked) else ():
            found[mode] = evaluate.searched(kb, asked, mode, tell)
        for path in brought:
            found[path.stem] = evaluate.brought(asked, read_run(path))
        judged, seconds = evaluate.answered(
            kb,
            evaluate.sample([q for q in asked if q.answers or not q.answerable], answers),
            chosen.search.mode,
            tell,
            passages=chosen.answer.passages,
        )
    for name, one in found.items() if runs is not None else ():
        assert runs is not None
        lines = (run_lines(query, documents.items(), name) for query, documents in one.run.items())
        write(runs / f"{name}.run", "".join(lines))
    status = kb.status()
    about = {
        "encoder": status.encoder,
        "generator": chosen.answer.generator,
        "passages": f"{status.chunks:,}",
        "damda": damda.__version__,
        "machine": f"{os.cpu_count()} cores, {processor()}",
    }
    default: str = chosen.search.mode
    if found and default not in found:
        default = next(iter(found))
    return report.compose(type(loaded)(loaded.name, tuple(asked)), found, judged, seconds, default, about)


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
