"""Questions and documents -> an encoder that knows them, and a verdict: the whole of `damda tune encoder`.

Knows: in which order questions are dealt out, examples are made, models are trained, exported and judged. Does not
know: how an index is made with a candidate (it is handed in), or how something is adopted.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damda import artifact, manifest
from damda.embed.encoder import OnnxEncoder
from damda.embed.turned import Turned
from damda.errors import ConfigError
from damda.manifest import Data, Manifest, Parent
from damda.measure.dataset import Question
from damda.measure.evaluate import Asked, searched
from damda.measure.lab import Task
from damda.tune import adapter, backbone
from damda.tune.contrast import SHOWN, Contrast, Method, filled, ranked
from damda.tune.export import export
from damda.tune.mine import Finds, Mined, mine
from damda.tune.split import Parts, by_document, leaks
from damda.tune.train import Estimate, Recipe, Trained
from damda.tune.verdict import LEAST, METRIC, Change, Verdict, by_source, change, decide
from damda.types import Encoder, Mode, Progress

ADAPTER = "adapter.npy"
LEAST_KEPT = 5
"""Validation questions below which a training can't be told when to stop."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `damda tune encoder` was asked for.

    Attributes:
        recipes: method -> how it learns: all are tried.
        model: what is trained; None: the model that today's encoder is.
        wrong: mined wrong passages an example.
        tokens: of a passage, at most, in training.
        checks: name -> what must not get worse: questions of other documents, scored pairs.
    """

    asked: Sequence[Question]
    recipes: Mapping[Method, Recipe]
    model: str | None = None
    wrong: int = 1
    tokens: int = 192
    data: Sequence[Data] = ()
    checks: Sequence[tuple[str, Task]] = ()
    machine: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class Learnable:
    """Questions dealt out, and what was found for those that are learnt from or validated with."""

    parts: Parts
    mined: Mined
    kept: Mined


@dataclass(frozen=True, slots=True)
class Order:
    """One method's part of a plan.

    Attributes:
        encoder: that the documents are searched with now.
        base: folder of the model that is trained.
        parent: what it is called, and its licence.
        out: the artifact's folder.
    """

    plan: Plan
    method: Method
    learnable: Learnable
    encoder: Encoder
    base: Path
    parent: Parent
    out: Path

    @property
    def recipe(self) -> Recipe:
        """How the method learns."""
        return self.plan.recipes[self.method]


def prepare(kb: Finds, plan: Plan, texts: Mapping[str, str], progress: Progress) -> Learnable:
    """Deal out the questions, and search for those that are learnt from.

    Args:
        kb: the documents as they are searched now.
        texts: document id -> text, or a hash of it: copies of one text must not fall into two parts.

    Raises:
        ConfigError: there are too few questions to learn from, or to judge by.
    """
    parts = by_document(plan.asked, texts)
    if found := leaks(parts, texts):
        raise ConfigError(f"the questions can't be judged by others of the same documents: {found[0]}")
    enough_to_judge(parts, len(plan.asked))
    # What is held out is not even seen as a wrong passage, nor what is validated with while there is training.
    held_out, kept = (documents_of(part) for part in (parts.held_out, parts.validation))
    learnable = Learnable(
        parts,
        mine(kb, parts.train, progress, wrong=4, aside=held_out | kept),
        mine(kb, parts.validation, progress, wrong=4, aside=held_out),
    )
    enough_to_learn(learnable.mined, learnable.kept, max(recipe.batch for recipe in plan.recipes.values()))
    return learnable


def documents_of(part: Sequence[Question]) -> frozenset[str]:
    """All that its questions are about."""
    return frozenset(document for question in part for document in question.relevant)


def enough_to_judge(parts: Parts, asked: int) -> None:
    """Raises ConfigError where there are too few held-out questions."""
    if len(parts.held_out) < LEAST:
        raise ConfigError(
            f"{len(parts.held_out)} of {asked} questions are of documents that are held out; {LEAST} are needed to "
            "tell a gain from chance: give more questions, of more documents"
        )


def enough_to_learn(mined: Mined, kept: Mined, batch: int) -> None:
    """Raises ConfigError where there are too few examples."""
    if len(kept.examples) < LEAST_KEPT:
        raise ConfigError(
            f"{len(kept.examples)} questions are left to say when training should stop, {LEAST_KEPT} are needed: give "
            "more questions, of more documents"
        )
    if len(mined.examples) < 2 * batch:
        raise ConfigError(
            f"{len(mined.examples)} questions are left to learn from, {2 * batch} are needed for batches of {batch}"
        )


class Making:
    """One order, opened: what it will take can be asked before it is run.

    Raises:
        MissingExtra: ``tune`` is not installed.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self.mined, self.kept = order.learnable.mined, order.learnable.kept
        self._contrast: Contrast | None = None
        if order.method != "adapter":
            model = backbone.open_model(order.base)
            backbone.freeze_words(model)
            self._contrast = Contrast(
                model,
                self.mined.examples,
                filled(self.kept.examples, 4),
                order.recipe,
                wrong=order.plan.wrong,
                method=order.method,
                tokens=order.plan.tokens,
            )

    def estimate(self) -> Estimate | None:
        """Steps, seconds and bytes of the training; None where it is a matter of seconds."""
        return self._contrast.estimate() if self._contrast else None

    def run(self, progress: Progress) -> None:
        """Train, export, describe. Nothing is judged yet, and nothing adopted.

        Raises:
            KeyboardInterrupt: after Ctrl-C; the same order goes on from there.
        """
        order, begun = self.order, time.perf_counter()
        work = artifact.work_folder(order.out)
        trained: Trained | None = self._contrast.run(work, progress) if self._contrast else None
        with artifact.drafted(order.out) as draft:
            metrics: dict[str, Any] = {}
            kept = filled(self.kept.examples, 4)[:SHOWN]
            if self._contrast:
                passages = list(dict.fromkeys(example.passage for example in self.mined.examples))
                metrics["export"] = export(self._contrast.model, draft, order.out.name, passages[:64], passages[:400])
                metrics["training"] = asdict(trained) if trained else {}
                tuned: Encoder = OnnxEncoder(draft)
            else:
                matrix = self._adapter(progress)
                np.save(draft / ADAPTER, matrix)
                tuned = Turned(order.encoder, matrix)
            metrics |= {"validation_before": ranked(order.encoder, kept), "validation": ranked(tuned, kept)}
            made = Manifest(
                "encoder" if self._contrast else "adapter",
                order.out.name,
                order.plan.command,
                (order.parent,),
                tuple(order.plan.data),
                self._settings(),
                metrics,
                order.plan.machine,
                time.perf_counter() - begun,
            )
            manifest.write(draft, made)
        artifact.forget(work)

    def _adapter(self, progress: Progress) -> NDArray[np.float32]:
        encoder = self.order.encoder

        def encode(texts: Sequence[str], kind: str) -> NDArray[np.float32]:
            return encoder.encode(texts, kind="query" if kind == "query" else "passage")

        def rows(mined: Mined) -> list[tuple[str, str, Sequence[str]]]:
            return [(e.question, e.passage, e.wrong) for e in filled(mined.examples, 4)]

        progress("encoding", 0, 1)
        train, kept = adapter.vectors(encode, rows(self.mined)), adapter.vectors(encode, rows(self.kept))
        recipe = self.order.recipe
        return adapter.learn(train, kept, progress, rate=recipe.rate, seed=recipe.seed)

    def _settings(self) -> dict[str, Any]:
        order, parts = self.order, self.order.learnable.parts
        return {
            "method": order.method,
            "recipe": asdict(order.recipe),
            "wrong": order.plan.wrong,
            "tokens": order.plan.tokens,
            "questions": {
                "train": len(parts.train),
                "learnt": len(self.mined.examples),
                "validation": len(parts.validation),
                "held_out": len(parts.held_out),
                "doubtful": len(self.mined.doubtful),
            },
        }


def judge(
    before: Asked,
    after: Asked,
    held_out: Sequence[Question],
    mode: Mode,
    guarded: Sequence[Change],
    progress: Progress,
) -> Verdict:
    """Search for the held-out questions with both, in the mode that users search with, and decide."""
    values = [
        searched(kb, held_out, mode, progress, depth=10, metrics=(METRIC,)).values[METRIC] for kb in (before, after)
    ]
    name = f"{METRIC} of {mode}, held-out questions"
    return decide(change(name, *values), [*by_source(name, held_out, *values), *guarded])


def judged(made: Manifest, verdict: Verdict) -> Manifest:
    """The manifest with the verdict."""
    return replace(made, metrics={**made.metrics, "verdict": asdict(verdict)})
