"""`damda tune compare`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damda.cli.app import ConfigFlag, HomeFlag, JsonFlag, QuietFlag, SetFlag, flags
from damda.cli.learning import Documents, FeedbackFlag, Questions, Synthesise, asked_of, documents_of, opened
from damda.cli.measure import give_out
from damda.cli.tune import tune

if TYPE_CHECKING:
    from damda.assemble.three import Three


@tune.command(
    epilog="Examples: damda tune compare ./documents --questions asked.csv --report compared.html  |  "
    "damda tune compare ./beir-folder --encoder ./my-encoder --out compared.json"
)
def compare(
    root: Documents,
    questions: Questions = None,
    feedback: FeedbackFlag = True,
    synthesise: Synthesise = None,
    base: Annotated[str, typer.Option("--base", help="The encoder as it came, as in encoder.name.")] = "e5-small-koen",
    encoder: Annotated[
        Path | None, typer.Option("--encoder", help="The tuned one. Default: the newest artifact in the home.")
    ] = None,
    reranker: Annotated[
        Path | None, typer.Option("--reranker", help="The cross-encoder. Default: the newest artifact in the home.")
    ] = None,
    top: Annotated[int, typer.Option("--top", help="Hits that the cross-encoder puts in order.", min=2)] = 20,
    whole: Annotated[
        bool, typer.Option("--all", help="All questions, those that were learnt from too: to look, not to judge.")
    ] = False,
    report: Annotated[Path | None, typer.Option("--report", help="Write an HTML page with plots.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write everything as JSON.")] = None,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Encoder as it came, tuned, and tuned with a cross-encoder: alone and in the hybrid, on held-out questions."""
    from damda.assemble import three
    from damda.assemble.tuning import versions
    from damda.cli import show
    from damda.cli.machine import described
    from damda.config import find
    from damda.errors import ConfigError
    from damda.measure import html
    from damda.measure.evaluate import Measured
    from damda.measure.report import compose
    from damda.measure.retrieval import ready
    from damda.tune.split import by_document

    ready()
    silent = quiet or json
    documents, given = documents_of(root)
    settings = find(config, flags(set_, home=home), documents)
    kb = opened(documents, settings, silent=silent)
    tuned, cross = encoder or three.newest(kb.home, "encoder"), reranker or three.newest(kb.home, "reranker")
    if tuned is None and cross is None:
        raise ConfigError(f"{kb.home} has nothing tuned yet: run `damda tune encoder {root}` first, or give --encoder")
    asked, _ = asked_of(kb, [*given, *(questions or [])], feedback, synthesise, settings, silent=silent)
    if not whole:
        asked = list(by_document(asked, versions(kb)).held_out)
    if not asked:
        raise ConfigError("no question is of a document that is held out: give more questions, or --all")
    with show.progress(silent) as tell:
        found = three.compare_three(kb, settings, asked, base, tuned, cross, tell, top=top)
    about = {"encoder": tuned.name if tuned else "", "cross-encoder": cross.name if cross else "", "on": described()}
    measured = Measured(asked, found.found)
    result = compose(documents.name, measured, f"{three.BASE}, hybrid", {k: v for k, v in about.items() if v})
    result["costs"] = _costs(found)
    give_out(result, _show, html.page, out, report, json=json, quiet=quiet)


def _costs(found: "Three") -> dict[str, Any]:
    from damda.assemble.three import CEILING

    return {
        "seconds_per_1000_questions": {
            name: 1000 / one.per_second for name, one in found.found.items() if one.per_second
        },
        "index_mb": found.index_mb,
        "random_negatives": {"pairs": found.pairs, "spearman": found.random, "ceiling": CEILING},
    }


def _show(result: Mapping[str, Any]) -> None:
    from rich.table import Table

    from damda.cli import show, tables

    tables.evaluation(result)
    costs = result["costs"]
    table = Table(title="what it costs")
    for head in ("", "s per 1,000\nquestions", "index, MB"):
        table.add_column(head, justify="left" if not table.columns else "right")
    for name, seconds in costs["seconds_per_1000_questions"].items():
        table.add_row(name, f"{seconds:.1f}", f"{costs['index_mb'][name.rpartition(', ')[0]]:.1f}")
    show.out.print(table)
    random = costs["random_negatives"]
    said = ", ".join(f"{name} {value:.3f}" for name, value in random["spearman"].items())
    show.out.print(
        f"Right and random passages told apart, Spearman of cosines against 0/1 labels: {said}. Half of the labels "
        f"are ties, so that no model gets above {random['ceiling']:.3f}: a near-perfect figure says little, which is "
        "why nothing is decided by it.",
        style="dim",
    )
