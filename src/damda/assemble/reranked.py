"""An order to tune a reranker -> a model, a verdict, and what is adopted."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import Any

from damda import adopted
from damda.assemble import candidates, models
from damda.assemble.tuning import backbone_folder, digest, parent_of, versions
from damda.config import Settings
from damda.knowledge import KnowledgeBase
from damda.measure import lab
from damda.measure.evaluate import Found, searched
from damda.tune import manifest
from damda.tune.make_encoder import enough_to_judge, judged
from damda.tune.make_reranker import Making, Order, Plan
from damda.tune.split import by_document
from damda.tune.train import Estimate
from damda.tune.verdict import METRIC, Change, Verdict, change, decide
from damda.types import Progress

BUDGET = 0.3
"""Seconds that putting the hits of one question in order may take, at the median."""


@dataclass(frozen=True, slots=True)
class Reranking:
    """What came of it. ``seconds``: that a question takes, at the median, with the reranker and without."""

    folder: str
    verdict: Verdict
    adopted: bool
    seconds: tuple[float, float]
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def tune_reranker(
    kb: KnowledgeBase,
    settings: Settings,
    plan: Plan,
    go: Callable[[Estimate], bool],
    progress: Progress,
    *,
    adopt: bool = True,
) -> Reranking | None:
    """Train, judge on held-out questions against the hybrid's own order, adopt or not.

    Args:
        go: told what the training will take; False: don't, and None is returned.

    Raises:
        BusyError: another process tunes these documents.
        ConfigError, EncoderError, WeightsError, MissingExtra, KeyboardInterrupt: as in `Making`.
    """
    with adopted.tuning(kb.home):
        order = _order(kb, settings, plan, progress)
        if not (order.out / manifest.MANIFEST).is_file():  # else an earlier run has made it
            making = Making(order, progress)
            if not go(making.estimate()):
                return None
            making.run(progress)
        return _judged(kb, settings, order, progress, adopt=adopt)


def _order(kb: KnowledgeBase, settings: Settings, plan: Plan, progress: Progress) -> Order:
    name = plan.model or settings.encoder.name
    parts = by_document(plan.asked, versions(kb))
    enough_to_judge(parts, len(plan.asked))
    about: dict[str, Any] = {"asked": [asdict(q) | {"relevant": sorted(q.relevant)} for q in plan.asked], "model": name}
    about |= {"recipe": asdict(plan.recipe), "wrong": plan.wrong, "window": plan.window, "tokens": plan.tokens}
    about |= {"teacher": plan.teacher, "encoder": kb.encoder.id}
    return Order(
        plan,
        kb,
        parts,
        backbone_folder(name, offline=settings.offline, progress=progress),
        parent_of(name),
        kb.home / adopted.ARTIFACTS / f"reranker-{digest(about)}",
        models.make_unhurried(settings.rerank, offline=settings.offline, model=plan.teacher) if plan.teacher else None,
    )


def _judged(kb: KnowledgeBase, settings: Settings, order: Order, progress: Progress, *, adopt: bool) -> Reranking:
    about, plan = manifest.read(order.out), order.plan
    changes: dict[str, Any] = {
        "search.mode": "rerank",
        "rerank.model": str(order.out),
        "rerank.top": plan.top,
        "rerank.window": plan.window,
        "rerank.max_tokens": about.settings["tokens"],
    }
    candidate = candidates.make(kb, settings, changes, progress)
    unhurried = candidates.make(kb, settings, {**changes, "rerank.budget": 600.0}, progress)
    before = searched(kb, order.parts.held_out, "hybrid", progress, depth=10)
    after = searched(unhurried.kb, order.parts.held_out, "rerank", progress, depth=10)
    aim = change(f"{METRIC}, reranked, held-out questions", before.values[METRIC], after.values[METRIC])
    guarded = [one for name, task in plan.checks for one in _guarded(name, task, kb, settings, changes, progress)]
    verdict = _in_time(decide(aim, guarded), before, after)
    manifest.write(order.out, judged(about, verdict))
    if adopt and verdict.adopt:
        candidate.adopt("reranker", {"artifact": about.name, "aim": asdict(aim), "reasons": list(verdict.reasons)})
    return Reranking(
        str(order.out),
        verdict,
        adopt and verdict.adopt,
        (after.p50_ms / 1000, before.p50_ms / 1000),
        {of: (fmean(before.values[of].values()), fmean(after.values[of].values())) for of in before.values},
    )


def _guarded(
    name: str, task: lab.Task, kb: KnowledgeBase, settings: Settings, changes: Mapping[str, Any], progress: Progress
) -> list[Change]:
    """Other documents, found by vectors alone: in their order, and in the reranker's."""
    if not task.asked:
        return []
    given = {key.removeprefix("rerank."): value for key, value in changes.items() if key.startswith("rerank.")}
    reranker = models.make_unhurried(settings.rerank, offline=True, **given)
    found = lab.measure(kb.encoder.id, lambda: kb.encoder, task, progress)
    top = int(changes["rerank.top"])
    ordered = lab.measure_reranker("reranker", lambda: reranker, lambda: kb.encoder, top, task, progress)
    return [change(f"{METRIC}, reranked, {name}", found.values[METRIC], ordered.values[METRIC])]


def _in_time(verdict: Verdict, before: Found, after: Found) -> Verdict:
    """A better order that users wait for too long is none."""
    seconds = (after.p50_ms - before.p50_ms) / 1000
    said = f"putting them in order takes {seconds:.2f} s a question at the median"
    if seconds <= BUDGET:
        return replace(verdict, reasons=(*verdict.reasons, said))
    late = f"{said}, more than {BUDGET:g}"
    reasons = (late,) if verdict.adopt else (*verdict.reasons, late)
    return replace(verdict, adopt=False, reasons=reasons)
