"""An order to tune -> a candidate, a verdict, and what is adopted."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from damda import adopted, manifest
from damda.assemble import candidates, models
from damda.assemble.tuning import backbone_folder, digest, parent_of, versions
from damda.embed.turned import Turned, read_matrix
from damda.errors import ConfigError
from damda.knowledge import KnowledgeBase
from damda.manifest import Manifest
from damda.measure import lab, synthesise
from damda.measure.dataset import Question, write_lines
from damda.measure.similarity import agreement, cosines, paired_bootstrap, people
from damda.settings import Settings
from damda.traces import Traces
from damda.tune.contrast import Method
from damda.tune.make_encoder import ADAPTER, Learnable, Making, Order, Plan, judge, judged, prepare
from damda.tune.questions import liked as liked_in
from damda.tune.questions import made
from damda.tune.train import Estimate
from damda.tune.verdict import METRIC, Change, Verdict, change, unlearnt
from damda.types import Encoder, Progress

RATES: Mapping[Method, float] = {"full": 2e-5, "lora": 2e-4, "adapter": 1e-3}
"""Highest learning rates, where no other is given; usual ones, not tuned."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of it. ``tried``: method -> its score on the validation questions, that of the encoder as it is, and
    seconds of training."""

    folder: Path
    verdict: Verdict
    adopted: bool
    tried: Mapping[str, Mapping[str, float]]
    doubtful: Mapping[str, str] = field(default_factory=dict)
    doubtful_file: Path | None = None


def liked(kb: KnowledgeBase) -> list[Question]:
    """Questions whose answers got a thumbs-up, of documents that are still there."""
    stored = kb.document_ids()
    return [question for question in liked_in(Traces(kb.home)) if question.relevant <= stored]


def synthesised(kb: KnowledgeBase, count: int, settings: Settings, progress: Progress) -> list[Question]:
    """Questions made of the documents: by the settings' language model, by rules where they have none."""
    passages = kb.sample(40 * count)
    if settings.answer.generator == "extract":
        return made(synthesise.by_rules(passages, count))
    return made(synthesise.by_model(passages, count, models.make_writer(settings), progress))


def tune_encoder(
    kb: KnowledgeBase,
    settings: Settings,
    plan: Plan,
    go: Callable[[str, Estimate | None], bool],
    progress: Progress,
    *,
    adopt: bool = True,
) -> Judged | None:
    """Train by each method, take the one that the validation likes best, judge it on held-out questions, adopt or not.

    Args:
        go: told what a training will take; False: don't. If none is done, None is returned.

    Raises:
        BusyError: another process tunes these documents.
        ConfigError, WeightsError, MissingExtra, KeyboardInterrupt: as in `prepare` and `Making`.
    """
    _not_in_vain(settings, plan)
    with adopted.tuning(kb.home):
        learnable = prepare(kb, plan, versions(kb), progress)
        making = [Making(_order(kb, settings, plan, method, learnable, progress)) for method in plan.recipes]
        if not all([go(one.order.method, one.estimate()) for one in making]):
            return None
        tried: dict[str, dict[str, float]] = {}
        for one in making:
            if not (one.order.out / manifest.MANIFEST).is_file():  # else an earlier run has made it
                one.run(progress)
            about = manifest.read(one.order.out)
            tried[one.order.method] = {
                "before": about.metrics["validation_before"],
                "validation": about.metrics["validation"],
                "seconds": about.seconds,
            }
        best = max(making, key=lambda one: tried[one.order.method]["validation"])
        verdict, taken = _judged(kb, settings, best, progress, adopt=adopt)
    doubtful = {**best.mined.doubtful, **best.kept.doubtful}
    file = _write_doubtful(best, doubtful) if doubtful else None
    return Judged(best.order.out, verdict, taken, tried, doubtful, file)


def _not_in_vain(settings: Settings, plan: Plan) -> None:
    """Say before minutes of training what would stand in the way of its result."""
    if settings.guard.classifiers and set(plan.recipes) - {"adapter"}:
        raise ConfigError(
            "guard.classifiers were trained with today's encoder and would not go with another: take them out of "
            "damda.toml and train them again afterwards, or use --method adapter, which leaves the encoder as it is"
        )


def _order(
    kb: KnowledgeBase, settings: Settings, plan: Plan, method: Method, learnable: Learnable, progress: Progress
) -> Order:
    name = plan.model or settings.encoder.name
    about: dict[str, Any] = {"asked": [asdict(q) | {"relevant": sorted(q.relevant)} for q in plan.asked], "model": name}
    about |= {"method": method, "recipe": asdict(plan.recipes[method]), "wrong": plan.wrong, "tokens": plan.tokens}
    about["encoder"] = kb.encoder.id
    return Order(
        plan,
        method,
        learnable,
        kb.encoder,
        backbone_folder(name, offline=settings.offline, progress=progress),
        parent_of(name),
        kb.home / adopted.ARTIFACTS / f"{method}-{digest(about)}",
    )


def _judged(
    kb: KnowledgeBase,
    settings: Settings,
    best: Making,
    progress: Progress,
    *,
    adopt: bool,
) -> tuple[Verdict, bool]:
    order = best.order
    about = manifest.read(order.out)
    if about.metrics["validation"] <= about.metrics["validation_before"]:
        # Nothing to encode the documents for.
        verdict = unlearnt(about.metrics["validation_before"], about.metrics["validation"], len(best.kept.examples))
        manifest.write(order.out, judged(about, verdict))
        return verdict, False
    if order.method == "adapter":
        changes = {"search.adapter": str(order.out / ADAPTER)}
    else:
        # A map of the old vectors is none of the new.
        changes = {"encoder.name": str(order.out), "search.adapter": ""}
    candidate = candidates.make(kb, settings, changes, progress)
    candidate.kb.sync(progress)
    old, new = kb.encoder, candidate.kb.encoder
    if order.method == "adapter":
        new = Turned(kb.encoder, read_matrix(order.out / ADAPTER))
    guarded = [one for name, task in order.plan.checks for one in _guarded(name, task, old, new, progress)]
    verdict = judge(kb, candidate.kb, order.learnable.parts.held_out, settings.search.mode, guarded, progress)
    manifest.write(order.out, judged(about, verdict))
    taken = adopt and verdict.adopt
    if taken:
        candidate.adopt("encoder", _why(about, verdict))
    elif not verdict.adopt:
        candidate.drop()
    return verdict, taken


def _guarded(name: str, task: lab.Task, old: Encoder, new: Encoder, progress: Progress) -> list[Change]:
    """What must not get worse: search by vectors alone in other documents, agreement with people on scored pairs."""
    found = []
    if task.asked:
        rows = [lab.measure(encoder.id, partial(_same, encoder), task, progress) for encoder in (old, new)]
        found.append(change(f"{METRIC} of dense, {name}", rows[0].values[METRIC], rows[1].values[METRIC]))
    for of, scored in task.similar.items():
        said = [cosines(encoder, scored, progress) for encoder in (old, new)]
        scores = people(scored)
        before, after = (agreement(values, scores)[0] for values in said)
        p = paired_bootstrap(said[0], said[1], scores)
        found.append(Change(f"Spearman, {of}", len(scored), before, after, p))
    return found


def _same(encoder: Encoder) -> Encoder:
    return encoder


def _why(about: Manifest, verdict: Verdict) -> dict[str, Any]:
    return {
        "artifact": about.name,
        "aim": asdict(verdict.aim),
        "guarded": [asdict(one) for one in verdict.guarded],
        "reasons": list(verdict.reasons),
    }


def _write_doubtful(best: Making, doubtful: Mapping[str, str]) -> Path:
    path = best.order.out.parent / f"{best.order.out.name}-doubtful.jsonl"
    known = {question.id: question for question in best.order.plan.asked}
    write_lines(
        path,
        [
            {"id": of, "text": known[of].text, "documents": sorted(known[of].relevant), "why": why}
            for of, why in doubtful.items()
        ],
    )
    return path
