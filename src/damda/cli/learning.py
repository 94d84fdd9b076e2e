"""What the commands of `damda tune` share that learn from questions: their options, where questions come from.

Knows: which questions are given, liked or made, and where documents and questions lie together. Does not know: what is
learnt.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from damda.knowledge import KnowledgeBase
    from damda.measure.dataset import Question
    from damda.measure.lab import Task
    from damda.settings import Settings
    from damda.tune.train import Estimate
    from damda.tune.verdict import Verdict

Questions = Annotated[
    list[Path] | None,
    typer.Option("--questions", help="Questions and their documents, in any shape of `damda eval`. Repeatable."),
]
FeedbackFlag = Annotated[
    bool, typer.Option("--feedback/--no-feedback", help="Learn from answers that got a thumbs-up, too.")
]
Synthesise = Annotated[
    int | None,
    typer.Option("--synthesise", help="Make so many questions of the documents. Default: 400 if none are given."),
]
Documents = Annotated[
    Path, typer.Argument(help="The documents; a folder in BEIR layout has questions too.", show_default=False)
]
AdoptFlag = Annotated[
    bool, typer.Option("--adopt/--no-adopt", help="Use what is better from now on; no: only say whether it is.")
]
DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Only say what it would take.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the order of batches.")]


def would_have_no_effect(
    config: Path | None, given: dict[str, Any], documents: Path, wanted: Mapping[str, Any], *, silent: bool
) -> None:
    """Say before minutes of work that what is adopted would be overridden.

    Args:
        wanted: settings that may be adopted, with a value that nobody has yet.
    """
    from damda.cli import show
    from damda.overrides import overridden

    for one in overridden(config, given, documents, wanted):
        show.note(f"{one.source} sets {one.key}: it wins over what is adopted, until you take it out", silent=silent)


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
    from damda.manifest import Data
    from damda.measure.dataset import Dataset, fetch

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


def check_of(path: Path, settings: "Settings", *, silent: bool) -> "tuple[str, Task]":
    from damda.cli.lab import drawn_task
    from damda.measure.lab import Task
    from damda.measure.similarity import holds_pairs, pairs

    if holds_pairs(path):
        return path.stem, Task({}, [], {path.stem: pairs(path)})
    task, _ = drawn_task(path, None, 300, 1000, {}, settings, silent=silent)
    return path.stem or path.name, task


def takes(estimate: "Estimate") -> str:
    """What a training will take, in words."""
    minutes = max(1, round(estimate.seconds / 60))
    return f"{estimate.steps} steps, about {minutes} minutes, {estimate.memory / 1e9:.1f} GB of memory"


def show_end(verdict: "Verdict", *, adopted: bool) -> None:
    """The reasons, and what came of them."""
    from rich.markup import escape

    from damda.cli import show

    for reason in verdict.reasons:
        show.out.print(escape(reason), style="dim")
    if adopted:
        show.out.print("adopted: damda uses it from now on; `damda tune rollback` undoes it")
    elif verdict.adopt:
        show.out.print("better, and not adopted, as you asked")
    else:
        show.out.print("not adopted: everything stays as it was")
