"""sentence-transformers' trainer, driven the way that `train.py` wants it.

Knows: the trainer's arguments and callbacks. Does not know: when to validate, save or stop. Imports torch.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from safetensors.torch import load_model, save_model
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import DefaultBatchSampler
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from damda.tune.train import Recipe, Texts, Watch, complete

Batched = Callable[[int], list[list[int]]]
"""Epoch -> rows of each batch."""


class _Sampler(DefaultBatchSampler):
    """Batches as they were made for the epoch."""

    def __init__(self, dataset: Dataset, batched: Batched, **given: Any) -> None:  # noqa: ANN401  handed through
        super().__init__(SequentialSampler(dataset), batch_size=given["batch_size"], drop_last=False)
        self._batched, self._first = batched, batched(0)

    def __iter__(self) -> Iterator[list[int]]:
        yield from self._batched(self.epoch)

    def __len__(self) -> int:
        return len(self._first)


class Reports(TrainerCallback):
    """Tells a Watch what happens, and the trainer what it wants."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self._watch.begin(state.global_step, state.max_steps)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        control.should_save, stop = self._watch.step(state.global_step)
        control.should_training_stop |= stop  # at the last step it is set already

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._watch.end(state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: object,
    ) -> None:
        if logs and "loss" in logs:
            self._watch.loss(state.global_step, logs["loss"])


class _Trainer(SentenceTransformerTrainer):
    """Its checkpoints hold all weights, adapters' too, and no description of a model that is not done."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        pass

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        save_weights(self.model, Path(output_dir or self.args.output_dir))

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:
        load_weights(self.model, Path(checkpoint_path))


def arguments(recipe: Recipe, work: Path) -> dict[str, Any]:
    """Of any trainer of transformers that a Watch looks after."""
    return {
        "output_dir": str(work),
        "num_train_epochs": recipe.epochs,
        "per_device_train_batch_size": recipe.batch,
        "learning_rate": recipe.rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": recipe.warmup,
        "optim": "adamw_torch_fused",
        "max_grad_norm": 1.0,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "bf16": torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        "save_strategy": "no",  # the watch says when
        "eval_strategy": "no",
        "logging_strategy": "steps",
        "logging_steps": 10,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }


def run(
    model: SentenceTransformer,
    loss: torch.nn.Module,
    texts: Texts,
    recipe: Recipe,
    work: Path,
    watch: Watch,
    batched: Batched,
) -> None:
    """Train from the last checkpoint in ``work``, or from the start."""
    disable_progress_bars()
    args = SentenceTransformerTrainingArguments(
        **arguments(recipe, work),
        learning_rate_mapping=dict(recipe.rates),
        save_total_limit=2,
        batch_sampler=lambda dataset, **given: _Sampler(dataset, batched, **given),
    )
    trainer = _Trainer(
        model=model,
        args=args,
        train_dataset=Dataset.from_dict({name: list(column) for name, column in texts.items()}),
        loss=loss,
        callbacks=[Reports(watch)],
    )
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    last = next(complete(work), None)
    trainer.train(resume_from_checkpoint=str(last) if last else None)


def backward(model: SentenceTransformer, loss: torch.nn.Module, texts: Texts, rows: Sequence[int]) -> None:
    """One step without its end: gradients, but no change of weights."""
    model.train()
    columns = [column for name, column in texts.items() if name != "label"]
    features = [model.preprocess([column[row] for row in rows]) for column in columns]
    features = [{k: v.to(model.device) if hasattr(v, "to") else v for k, v in one.items()} for one in features]
    labels = torch.tensor([texts["label"][row] for row in rows], device=model.device) if "label" in texts else None
    loss(features, labels).backward()


def save_weights(model: SentenceTransformer, folder: Path) -> None:
    """All weights as one safetensors file, in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / "draft"
    save_model(model, str(draft))
    draft.replace(folder / "model.safetensors")


def load_weights(model: SentenceTransformer, folder: Path) -> None:
    """What `save_weights` wrote."""
    load_model(model, str(folder / "model.safetensors"))
    model.eval()
