"""Lessons -> a small model's folder that reads: the whole of `damda distill`, from the model to the manifest.

Knows: in which order things are learnt, written, judged. Does not know: how any of them works, what a GGUF is.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from damda import artifact, manifest
from damda.errors import ConfigError
from damda.manifest import Data, Manifest, Parent
from damda.tune.lessons import Lesson
from damda.tune.student import ANSWER, TOKENS, Row, Student, Way
from damda.tune.train import Estimate, Recipe, Trained, Weights, digest, session
from damda.types import NOT_FOUND, Progress

KIND = "language model"
"""In manifests, as of models that were made lighter."""

_KEPT = 96
"""Lessons that say when training should stop, at most."""

_CHECKPOINT = 300.0
"""Seconds between checkpoints, which hold three numbers of each weight that is trained."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is made.

    Attributes:
        base: folder of the student as it is.
        parents: the student's and, where there is one, the teacher's.
        train, validation: what is learnt from, and what says when to stop.
        way: how it learns.
        teacher: folder of the model whose probabilities it learns, where ``way.mix`` wants one.
        finish: fills the folder with whatever is made of the student, and says how good it is.
    """

    base: Path
    parents: Sequence[Parent]
    train: Sequence[Lesson]
    validation: Sequence[Lesson]
    way: Way
    recipe: Recipe
    out: Path
    finish: Callable[[Path, Progress], Mapping[str, Any]]
    teacher: Path | None = None
    data: Sequence[Data] = ()
    machine: str = ""
    command: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)


class Making:
    """One order, opened: what it will take can be asked before it is run.

    Raises:
        WeightsError, ConfigError: the model can't be loaded or trained so, or there is too little to learn.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._student = Student(order.base, order.way, order.teacher)
        self._rows, self._too_long = self._read(order.train)
        self._kept = self._read(order.validation)[0][:_KEPT]
        if len(self._rows) < 2 * order.recipe.batch or not self._kept:
            raise ConfigError(
                f"{len(self._rows)} lessons to learn from and {len(self._kept)} to validate with are too few: give "
                f"more questions, of more documents ({self._too_long} lessons are longer than {TOKENS} tokens, or "
                f"their answers than {ANSWER})"
            )

    def estimate(self) -> Estimate:
        """Time one step on a batch of middle length, and see how much memory the longest takes."""
        import resource
        import sys

        size, rows = self._order.recipe.batch, sorted(self._rows, key=lambda row: len(row.ids))
        middle = rows[len(rows) // 2 :][:size]
        self._student.model.train()
        seconds = 0.0
        for batch in (rows[-size:], middle, middle):  # the first steps take twice as long as those that follow
            begun = time.perf_counter()
            self._student.gradients(batch)
            seconds = time.perf_counter() - begun
        self._student.model.zero_grad(set_to_none=True)
        trained = sum(w.numel() * w.element_size() for w in self._student.model.parameters() if w.requires_grad)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        steps = round(self._order.recipe.epochs * -(-len(rows) // size))
        # Adam keeps two more numbers of each weight that is trained.
        return Estimate(steps, steps * seconds, peak + 2 * trained)

    def run(self, progress: Progress) -> Manifest:
        """Learn, write, judge, describe.

        Raises:
            KeyboardInterrupt: after Ctrl-C; the same order goes on from there.
        """
        order, begun = self._order, time.perf_counter()
        work = artifact.work_folder(order.out)
        trained = self._train(work / "student", progress)
        with artifact.drafted(order.out) as draft:
            self._student.write(draft)
            figures = order.finish(draft, progress)
            made = manifest.write(draft, self._described(trained, figures, time.perf_counter() - begun))
        artifact.forget(work)
        return made

    def _read(self, lessons: Sequence[Lesson]) -> tuple[list[Row], int]:
        rows = [self._student.row(lesson) for lesson in lessons]
        return [row for row in rows if row], rows.count(None)

    def _train(self, work: Path, progress: Progress) -> Trained:
        student, order = self._student, self._order
        about = {
            "recipe": asdict(order.recipe),
            "way": asdict(order.way),
            "model": digest(student.model),
            "rows": hashlib.sha256(json.dumps([row.ids for row in self._rows]).encode()).hexdigest(),
            "kept": hashlib.sha256(json.dumps([row.ids for row in self._kept]).encode()).hexdigest(),
        }
        return session(
            work,
            about,
            order.recipe,
            lambda: -student.mean_loss(self._kept),
            Weights(student.save, student.load),
            lambda watch: student.train(self._rows, order.recipe, work, watch),
            progress,
            what="learning to read",
            every=_CHECKPOINT,
        )

    def _described(self, trained: Trained, figures: Mapping[str, Any], seconds: float) -> Manifest:
        order = self._order
        refusals = sum(lesson.answer == NOT_FOUND for lesson in order.train)
        return Manifest(
            KIND,
            order.out.name,
            order.command,
            tuple(order.parents),
            tuple(order.data),
            {
                "way": asdict(order.way),
                "recipe": asdict(order.recipe),
                "lessons": len(self._rows),
                "refusals": refusals,
                "too_long": self._too_long,
                **order.notes,
            },
            {"training": asdict(trained), **figures},
            order.machine,
            round(seconds, 1),
        )
