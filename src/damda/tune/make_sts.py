"""Scored pairs -> an encoder's folder: the whole of `damda tune sts`, from the model to the manifest.

Knows: in which order things are measured, trained, exported. Does not know: how any of them works.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from damda import artifact, manifest
from damda.embed.bert import Pooling
from damda.embed.encoder import OnnxEncoder
from damda.manifest import Data, Manifest, Parent
from damda.measure import lab
from damda.measure.similarity import Pair
from damda.tune import backbone, sts
from damda.tune.encoding import TorchEncoder
from damda.tune.export import export
from damda.tune.train import Estimate, digest
from damda.tune.verdict import METRIC, change
from damda.types import Encoder, Progress


@dataclass(frozen=True, slots=True)
class Order:
    """What is made.

    Attributes:
        base: folder of the model that is trained.
        parent: what it is called, and its licence.
        tests: name -> scored pairs that are measured before and after, and never trained on.
        retrieval: questions that must not be answered worse afterwards; None: not measured.
        sample: texts to compare the export with the original on.
        data: what was used, for the manifest.
        pooling: None: as the model has it, else mean.
    """

    base: Path
    parent: Parent
    plan: sts.Plan
    tests: Mapping[str, Sequence[Pair]]
    out: Path
    sample: Sequence[str]
    retrieval: lab.Task | None = None
    data: Sequence[Data] = ()
    pooling: Pooling | None = None
    machine: str = ""
    command: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)


class Making:
    """One order, opened: what it will take can be asked before it is run.

    Raises:
        MissingExtra: ``tune`` is not installed.
        WeightsError, ConfigError: the model can't be loaded or trained.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._model = backbone.open_model(order.base, order.pooling)
        backbone.freeze_words(self._model)
        # Sentences that are compared with one another are both questions, as in `damda eval`.
        self._plan = replace(order.plan, prefix=self._model.prompts.get("query", "") or "")

    def estimate(self) -> Estimate:
        """Steps, seconds and bytes of the training."""
        return sts.foreseen(self._model, self._plan)

    def run(self, progress: Progress) -> Manifest:
        """Measure, train, measure again, export, describe.

        Raises:
            KeyboardInterrupt: after Ctrl-C; the same order goes on from there.
        """
        order, begun = self._order, time.perf_counter()
        work = artifact.work_folder(order.out)
        parent = replace(order.parent, id=order.parent.id or digest(self._model))
        passages = list(order.retrieval.passages.values())[:400] if order.retrieval else []
        untrained = self._measured(TorchEncoder(self._model, "before"), progress)
        trained = sts.train(self._model, self._plan, work, progress)
        with artifact.drafted(order.out) as draft:
            figures = export(self._model, draft, order.out.name, order.sample, passages)
            # What is run is the export: it is what is judged.
            tuned = self._measured(OnnxEncoder(draft), progress)
            metrics = sts.compared(untrained[0], tuned[0], order.tests)
            if order.retrieval is not None:
                metrics |= {f"retrieval, {METRIC}": _retrieval(untrained[1], tuned[1])}
            made = Manifest(
                "encoder",
                order.out.name,
                order.command,
                (parent,),
                tuple(order.data),
                _settings(self._plan) | dict(order.notes),
                metrics | {"export": figures, "training": {name: asdict(one) for name, one in trained.items()}},
                order.machine,
                time.perf_counter() - begun,
            )
            made = manifest.write(draft, made)
        artifact.forget(work)
        return made

    def _measured(self, encoder: Encoder, progress: Progress) -> tuple[dict[str, Any], dict[str, float]]:
        said = sts.judged(encoder, self._order.tests, progress)
        if self._order.retrieval is None:
            return said, {}
        row = lab.measure(encoder.id, lambda: encoder, self._order.retrieval, progress)
        return said, row.values[METRIC]


def _retrieval(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Means over the questions, and whether the difference is chance."""
    found = change(METRIC, before, after)
    return {"questions": float(found.count), "before": found.before, "after": found.after, "p": found.p}


def _settings(plan: sts.Plan) -> dict[str, Any]:
    found: dict[str, Any] = {"loss": plan.loss, "scored": asdict(plan.recipe), "prefix": plan.prefix}
    if plan.inferences:
        found["inferences"] = asdict(plan.first)
    return found
