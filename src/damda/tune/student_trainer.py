"""transformers' trainer, driven the way that `train.py` wants it, for a `Student`.

Knows: the trainer's arguments, how rows become batches. Does not know: losses, when to validate, save or stop. Imports
torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Sampler
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainingArguments

from damda.tune.batches import batches
from damda.tune.student import Row, Student
from damda.tune.train import Recipe, Watch, complete
from damda.tune.trainer import Reports, arguments


class _Batches(Sampler[list[int]]):
    """Of about one length each, others in every epoch."""

    def __init__(self, rows: Sequence[Row], recipe: Recipe) -> None:
        self._lengths, self._recipe = [len(row.ids) for row in rows], recipe
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The trainer calls this where it has wrapped this to go on inside of an epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        keys: list[list[int]] = [[]] * len(self._lengths)
        seed = self._recipe.seed + self._epoch
        yield from batches(self._lengths, keys, self._recipe.batch, seed=seed, distinct=False)

    def __len__(self) -> int:
        return -(-len(self._lengths) // self._recipe.batch)


class _Loader(DataLoader[Any]):
    def set_epoch(self, epoch: int) -> None:
        """The trainer calls this where it has not."""
        assert isinstance(self.batch_sampler, _Batches)
        self.batch_sampler.set_epoch(epoch)


class _Trainer(Trainer):
    """Its gradients and its checkpoints are the student's."""

    def __init__(self, student: Student, rows: Sequence[Row], recipe: Recipe, **given: Any) -> None:  # noqa: ANN401
        super().__init__(model=student.model, train_dataset=rows, **given)
        self._student, self._rows, self._recipe = student, rows, recipe

    def get_train_dataloader(self) -> _Loader:
        return _Loader(self._rows, batch_sampler=_Batches(self._rows, self._recipe), collate_fn=_as_they_are)

    def training_step(self, model: Any, inputs: Mapping[str, Any], *_: object, **__: object) -> Any:  # noqa: ANN401
        model.train()
        return self._student.gradients(inputs["rows"], self.compute_loss_context_manager)

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        self._student.save(Path(output_dir or self.args.output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: object = None) -> None:
        self._student.load(Path(resume_from_checkpoint))


def _as_they_are(rows: list[Row]) -> dict[str, list[Row]]:
    return {"rows": rows}


def run(student: Student, rows: Sequence[Row], recipe: Recipe, work: Path, watch: Watch) -> None:
    """Train from the last checkpoint in ``work``, or from the start."""
    args = TrainingArguments(**arguments(recipe, work), save_total_limit=1, remove_unused_columns=False)
    trainer = _Trainer(student, rows, recipe, args=args, callbacks=[Reports(watch)])
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    last = next(complete(work), None)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
