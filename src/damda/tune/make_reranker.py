"""Questions and documents -> a cross-encoder that orders hits: the training half of `damda tune reranker`.

Knows: in which order questions are dealt out, lists are made, a model is trained and exported. Does not know: whether
it is any good, or how it is adopted.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import exp, inf, log
from pathlib import Path
from typing import Any

from damda import artifact, manifest
from damda.manifest import Data, Manifest, Parent
from damda.measure.dataset import Question
from damda.measure.lab import Task
from damda.runtime import open_tokenizer
from damda.search.rerank import OnnxReranker
from damda.search.window import shortened
from damda.tune.contrast import filled
from damda.tune.cross import Pair, TorchScorer, columns, export, open_cross, rates
from damda.tune.make_encoder import documents_of, enough_to_learn
from damda.tune.mine import Example, Finds, mine
from damda.tune.split import Parts
from damda.tune.train import Estimate, Recipe, estimate, fit
from damda.types import Chunk, Progress, Scorer, quiet

_SHOWN = 80
"""Validation questions: each costs a list of pairs, several times."""

_SEEN = 19
"""Wrong passages of a validation question, at most: all that were found, also those that may be right."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `damda tune reranker` was asked for.

    Attributes:
        recipe: ``rate`` is the highest layer's.
        model: what it starts from; None: the model that today's encoder is.
        top: hits that will be put in order.
        wrong: passages of a list beside the right one.
        window: tokens of a passage's text that are read; 0: all.
        tokens: of question and passage together, at most.
        teacher: a larger reranker whose scores are learnt too, as in ``rerank.model``; "": none.
        checks: name -> questions of other documents, which must not be answered worse.
    """

    asked: Sequence[Question]
    recipe: Recipe
    model: str | None = None
    top: int = 20
    wrong: int = 3
    window: int = 96
    tokens: int = 192
    teacher: str = ""
    data: Sequence[Data] = ()
    checks: Sequence[tuple[str, Task]] = ()
    machine: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What is made.

    Attributes:
        kb: the documents as they are searched now.
        parts: questions to learn from, to validate with, and to judge by: the last are kept out of everything.
        base: folder of the model that the training starts from.
        parent: what it is called, and its licence.
        out: the artifact's folder.
        teacher: as the plan names it.
    """

    plan: Plan
    kb: Finds
    parts: Parts
    base: Path
    parent: Parent
    out: Path
    teacher: Scorer | None = None


class Making:
    """One order, opened: what it will take can be asked before it is run.

    Raises:
        ConfigError: there are too few questions.
        EncoderError: no reranker can be made of that model.
        MissingExtra: ``tune`` is not installed.
    """

    def __init__(self, order: Order, progress: Progress) -> None:
        plan, parts = order.plan, order.parts
        tokenizer = open_tokenizer(order.base / "tokenizer.json")

        def shown(question: str, chunk: Chunk) -> str:
            return shortened(question, chunk, tokenizer, plan.window)

        held_out, kept = (documents_of(part) for part in (parts.held_out, parts.validation))
        mined = mine(order.kb, parts.train, progress, wrong=plan.wrong, aside=held_out | kept, shown=shown)
        # As users will see them. Only passages that are wrong for sure would be too easy: every question answered.
        judged = mine(order.kb, parts.validation, progress, wrong=_SEEN, margin=inf, aside=held_out, shown=shown)
        enough_to_learn(mined, judged, plan.recipe.batch)
        self.order = order
        self.examples = filled(mined.examples, plan.wrong)
        self.kept = judged.examples[:_SHOWN]
        self.doubtful = {**mined.doubtful, **judged.doubtful}
        self.model = open_cross(order.base, plan.tokens)
        self._recipe = replace(plan.recipe, rates=rates(self.model, plan.recipe.rate))
        self._lists = [pairs_of(example) for example in self.examples]
        from damda.tune.listwise import Listwise

        self._loss = Listwise(self.model)

    def estimate(self) -> Estimate:
        """Steps, seconds and bytes of the training."""
        texts = columns(self.model, self._lists, labels(self._lists, None, quiet))
        return estimate(self.model, self._loss, texts, self._recipe, distinct=False)

    def run(self, progress: Progress) -> None:
        """Train, export, describe. Nothing is judged yet, and nothing adopted.

        Raises:
            KeyboardInterrupt: after Ctrl-C; the same order goes on from there.
        """
        order, begun = self.order, time.perf_counter()
        work = artifact.work_folder(order.out)
        scorer = TorchScorer(self.model)
        trained = fit(
            self.model,
            self._loss,
            columns(self.model, self._lists, labels(self._lists, order.teacher, progress)),
            self._recipe,
            work,
            lambda: reciprocal(scorer, self.kept),
            progress,
            what="learning (reranker)",
        )
        with artifact.drafted(order.out) as draft:
            sample = [pair for example in self.kept[:10] for pair in pairs_of(example)]
            exported = export(self.model, draft, order.out.name, sample)
            small = OnnxReranker(draft, max_tokens=order.plan.tokens)
            made = Manifest(
                "reranker",
                order.out.name,
                order.plan.command,
                (order.parent,),
                tuple(order.plan.data),
                self._settings(),
                {"export": exported, "training": asdict(trained), "validation": reciprocal(small, self.kept)},
                order.plan.machine,
                time.perf_counter() - begun,
            )
            manifest.write(draft, made)
        artifact.forget(work)

    def _settings(self) -> dict[str, Any]:
        plan = self.order.plan
        return {
            "recipe": asdict(self._recipe),
            "wrong": plan.wrong,
            "window": plan.window,
            "tokens": int(self.model.max_seq_length),
            "teacher": plan.teacher,
            "questions": {
                "learnt": len(self.examples),
                "validation": len(self.kept),
                "held_out": len(self.order.parts.held_out),
                "doubtful": len(self.doubtful),
            },
        }


def pairs_of(example: Example) -> list[Pair]:
    """The question with each passage, the right one first."""
    return [(example.question, text) for text in (example.passage, *example.wrong)]


def labels(lists: Sequence[Sequence[Pair]], teacher: Scorer | None, progress: Progress) -> list[list[float]]:
    """What share each passage of a list deserves: all for the first; half of it as the teacher says, where there is one
    (its scores are probabilities; shares are the softmax of their logits)."""
    found = []
    for n, pairs in enumerate(lists):
        right = [1.0] + [0.0] * (len(pairs) - 1)
        if teacher is not None:
            progress("asking the larger reranker", n, len(lists))
            logits = [log(p / (1 - p)) for p in (min(max(s, 1e-6), 1 - 1e-6) for s in teacher.score(pairs))]
            most = max(logits)
            shares = [exp(x - most) for x in logits]
            right = [(a + b / sum(shares)) / 2 for a, b in zip(right, shares, strict=True)]
        found.append(right)
    return found


def reciprocal(scorer: Scorer, kept: Sequence[Example]) -> float:
    """Mean reciprocal rank of the right passage in its list; ties are lost."""
    pairs = [pair for example in kept for pair in pairs_of(example)]
    scores, at, total = scorer.score(pairs), 0, 0.0
    for example in kept:
        right, *others = scores[at : at + 1 + len(example.wrong)]
        at += 1 + len(others)
        total += 1 / (1 + sum(score >= right for score in others))
    return total / max(1, len(kept))
