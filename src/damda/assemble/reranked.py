"""An order to tune a reranker -> a model, a verdict, and what is adopted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from damda import adopted, manifest
from damda.assemble import assemble, candidates, models
from damda.assemble.tuning import backbone_folder, digest, parent_of, versions
from damda.config import changed
from damda.knowledge import KnowledgeBase
from damda.measure import lab
from damda.measure.dataset import write_lines
from damda.measure.evaluate import Asked, Found, sample, searched
from damda.search.rerank import in_order
from damda.settings import Settings
from damda.tune import blend
from damda.tune.make_encoder import enough_to_judge, judged
from damda.tune.make_reranker import Making, Order, Plan
from damda.tune.split import by_document
from damda.tune.train import Estimate
from damda.tune.verdict import METRIC, Change, Verdict, by_source, change, decide
from damda.types import Answer, Hit, Mode, Progress, Reranker

if TYPE_CHECKING:
    from damda.search.rerank import OnnxReranker, RemoteReranker

BUDGET = 0.3
"""Seconds that putting the hits of one question in order may take, at the median."""

ASKED = 400
"""Validation questions of each source, at most, that the blend is learnt from: each has all of its hits read."""


@dataclass(frozen=True, slots=True)
class Reranking:
    """What came of it. ``seconds``: that a question takes, at the median, with the reranker and without; ``metrics``:
    of the held-out questions' hits, as they were found and in the new order."""

    folder: str
    verdict: Verdict
    adopted: bool
    seconds: tuple[float, float]
    blend: blend.Blend
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
        made = (order.out / manifest.MANIFEST).is_file()  # by an earlier run
        if not (made or _make(order, go, progress)):
            return None
        return _judged(kb, settings, order, progress, adopt=adopt)


class Ordered:
    """Fits ``Asked``: hits of any mode, the best of which a cross-encoder puts in order."""

    def __init__(self, kb: Asked, reranker: Reranker, top: int) -> None:
        self._kb, self._reranker, self._top = kb, reranker, top

    def search_batch(self, queries: Sequence[str], k: int = 10, *, mode: Mode | None = None) -> list[list[Hit]]:
        """As a KnowledgeBase does."""
        found = self._kb.search_batch(queries, max(k, self._top), mode=mode)
        return [
            in_order(self._reranker, query, hits, self._top)[:k] for query, hits in zip(queries, found, strict=True)
        ]

    def ask(self, question: str, *, passages: Sequence[Hit] | None = None) -> Answer:
        """As a KnowledgeBase does."""
        return self._kb.ask(question, passages=passages)


def _make(order: Order, go: Callable[[Estimate], bool], progress: Progress) -> bool:
    """Train, unless it takes too long; gigabytes go when this ends."""
    making = Making(order, progress)
    if not go(making.estimate()):
        return False
    making.run(progress)
    return True


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
        "rerank.weight": 0.0,
        "rerank.ceiling": None,
    }
    seen = blend.read(kb, _unhurried(settings, changes), sample(order.parts.validation, ASKED), plan.top, progress)
    learnt = blend.learn(seen)
    changes |= {"rerank.weight": learnt.weight, "rerank.ceiling": learnt.ceiling}
    about = replace(
        about,
        settings={**about.settings, "weight": learnt.weight, "ceiling": learnt.ceiling},
        metrics={**about.metrics, "blend": asdict(learnt)},
    )
    candidate = candidates.make(kb, settings, changes, progress)  # before the judging: it fails where it does not fit
    reranker = _unhurried(settings, changes)
    before = searched(kb, order.parts.held_out, "hybrid", progress, depth=10)
    after = searched(Ordered(kb, reranker, plan.top), order.parts.held_out, "hybrid", progress, depth=10)
    name, values = f"{METRIC}, reranked, held-out questions", (before.values[METRIC], after.values[METRIC])
    aim, guarded = change(name, *values), by_source(name, order.parts.held_out, *values)
    guarded += [
        _guarded(name, task, settings, reranker, plan.top, progress) for name, task in plan.checks if task.asked
    ]
    verdict = _in_time(decide(aim, guarded), before, after)
    manifest.write(order.out, judged(about, verdict))
    if adopt and verdict.adopt:
        candidate.adopt("reranker", {"artifact": about.name, "aim": asdict(aim), "reasons": list(verdict.reasons)})
    return Reranking(
        str(order.out),
        verdict,
        adopt and verdict.adopt,
        (after.p50_ms / 1000, before.p50_ms / 1000),
        learnt,
        {of: (fmean(before.values[of].values()), fmean(after.values[of].values())) for of in before.values},
    )


def _unhurried(settings: Settings, changes: Mapping[str, Any]) -> "OnnxReranker | RemoteReranker":
    given = {key.removeprefix("rerank."): value for key, value in changes.items() if key.startswith("rerank.")}
    return models.make_unhurried(settings.rerank, offline=True, **given)


def _guarded(name: str, task: lab.Task, settings: Settings, reranker: Reranker, top: int, progress: Progress) -> Change:
    """Other documents, searched as these are: in the hybrid's order, and in the reranker's."""
    with TemporaryDirectory(prefix="damda-") as folder:
        corpus = Path(folder) / "corpus.jsonl"
        write_lines(corpus, [{"_id": document, "text": text} for document, text in task.passages.items()])
        kb = assemble(corpus, changed(settings, {"home": str(Path(folder) / "home"), "search.mode": "hybrid"}))
        kb.sync(progress)
        before = searched(kb, task.asked, "hybrid", progress, depth=10, metrics=(METRIC,))
        after = searched(Ordered(kb, reranker, top), task.asked, "hybrid", progress, depth=10, metrics=(METRIC,))
    return change(f"{METRIC}, reranked, {name}", before.values[METRIC], after.values[METRIC])


def _in_time(verdict: Verdict, before: Found, after: Found) -> Verdict:
    """A better order that users wait for too long is none."""
    seconds = (after.p50_ms - before.p50_ms) / 1000
    said = f"putting them in order takes {seconds:.2f} s a question at the median"
    if seconds <= BUDGET:
        return replace(verdict, reasons=(*verdict.reasons, said))
    late = f"{said}, more than {BUDGET:g}"
    reasons = (late,) if verdict.adopt else (*verdict.reasons, late)
    return replace(verdict, adopt=False, reasons=reasons)
