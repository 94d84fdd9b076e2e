"""`damda tune fusion`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from damda.cli.app import ConfigFlag, HomeFlag, JsonFlag, QuietFlag, SetFlag, flags
from damda.cli.learning import (
    AdoptFlag,
    Documents,
    FeedbackFlag,
    Questions,
    Synthesise,
    asked_of,
    documents_of,
    opened,
    would_have_no_effect,
)
from damda.cli.tune import tune

if TYPE_CHECKING:
    from damda.assemble.fused import Learnt


@tune.command(
    epilog="Examples: damda tune fusion ./documents --questions asked.csv  |  "
    "damda tune fusion ./beir-folder --no-adopt"
)
def fusion(
    root: Documents,
    questions: Questions = None,
    feedback: FeedbackFlag = True,
    synthesise: Synthesise = None,
    adopt: AdoptFlag = True,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Learn how much vectors count beside words, and when not to answer; adopt each only if it is better."""
    from damda.assemble import fused
    from damda.cli import show
    from damda.config import find
    from damda.measure.retrieval import ready

    ready()
    silent = quiet or json
    documents, given = documents_of(root)
    settings = find(config, flags(set_, home=home), documents)
    if adopt:
        wanted = {"search.vectors": 1e-9, "answer.threshold": 1e-9}
        would_have_no_effect(config, flags(set_, home=home), documents, wanted, silent=silent)
    kb = opened(documents, settings, silent=silent)
    asked, _ = asked_of(kb, [*given, *(questions or [])], feedback, synthesise, settings, silent=silent)
    with show.progress(silent) as tell:
        learnt = fused.tune_fusion(kb, settings, asked, tell, adopt=adopt)
    show.as_json(learnt) if json else _show(learnt)


def _show(learnt: "Sequence[Learnt]") -> None:
    from rich.markup import escape

    from damda.cli import show

    for one in learnt:
        end = "adopted" if one.adopted else "not adopted"
        show.out.print(f"[bold]{one.setting}[/bold] {one.before:g} -> {one.after:g}: {end}")
        for reason in one.verdict.reasons:
            show.out.print(f"  {escape(reason)}", style="dim")
