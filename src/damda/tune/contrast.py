"""Examples -> an encoder that puts a question near the passage that answers it.

Knows: texts and loss of contrastive learning, all weights or low-rank ones, what is validated. Does not know: where
examples come from, what becomes of the model.

Sources: in-batch negatives (Karpukhin et al., "Dense Passage Retrieval", EMNLP 2020), large batches on small memory
(Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", RepL4NLP 2021), low-rank
adaptation (Hu et al., "LoRA", ICLR 2022).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from damda.tune.encoding import TorchEncoder, prefix
from damda.tune.mine import Example
from damda.tune.train import Estimate, Recipe, Texts, Trained, estimate, fit
from damda.types import Encoder, Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Method = Literal["full", "lora", "adapter"]

TEMPERATURE = 0.02
"""Of the softmax over the passages of a batch. e5's cosines lie close together: it was trained with .01."""

MINI_BATCH = 16
"""Rows whose activations are held at once."""

SHOWN = 120
"""Validation questions: what a validation costs is mostly their passages."""


def columns(examples: Sequence[Example], query: str, passage: str) -> Texts:
    """Texts with their prefixes; a column of wrong passages where every example has one."""
    found: dict[str, list[str]] = {
        "anchor": [query + example.question for example in examples],
        "positive": [passage + example.passage for example in examples],
    }
    for n in range(min((len(example.wrong) for example in examples), default=0)):
        found[f"negative_{n}"] = [passage + example.wrong[n] for example in examples]
    return found


def filled(examples: Sequence[Example], wrong: int) -> list[Example]:
    """Examples of ``wrong`` wrong passages each: those that have fewer take another example's right passage, which the
    loss would hold against them anyway."""
    from dataclasses import replace

    out = []
    for n, example in enumerate(examples):
        texts = list(example.wrong[:wrong])
        step = 1
        while len(texts) < wrong and step < len(examples):
            other = examples[(n + step) % len(examples)].passage
            if other != example.passage and other not in texts:
                texts.append(other)
            step += 1
        out.append(replace(example, wrong=tuple(texts)))
    return out


class Contrast:
    """One training, opened: what it will take can be asked before it is run.

    Args:
        model: trained in place.
        examples: to learn from.
        kept: for validation.
        wrong: wrong passages an example; the others of a batch count as wrong too.
        method: full: all weights but the words' own; lora: low-rank changes of every layer's products.
        tokens: of a passage, at most, in training.
    """

    def __init__(
        self,
        model: "SentenceTransformer",
        examples: Sequence[Example],
        kept: Sequence[Example],
        recipe: Recipe,
        *,
        wrong: int = 1,
        method: Method = "full",
        tokens: int = 256,
    ) -> None:
        from sentence_transformers.sentence_transformer import losses

        self.model, self._recipe, self._method = model, recipe, method
        self._kept = list(kept)[:SHOWN]
        ready = filled(examples, wrong)
        self._texts = columns(ready, prefix(model, "query"), prefix(model, "passage"))
        self._tokens = min(tokens, model.max_seq_length or tokens)
        if method == "lora":
            _add_lora(model, recipe.seed)
        self._loss: Any = losses.CachedMultipleNegativesRankingLoss(
            model, scale=1 / TEMPERATURE, mini_batch_size=MINI_BATCH
        )

    def estimate(self) -> Estimate:
        """Steps, seconds and bytes of the training."""
        with _shortened(self.model, self._tokens):
            return estimate(self.model, self._loss, self._texts, self._recipe, distinct=True)

    def run(self, work: Path, progress: Progress) -> Trained:
        """Train; afterwards the model is as it was when the validation questions were answered best."""
        encoder = TorchEncoder(self.model, "in training", batch=8)
        with _shortened(self.model, self._tokens):
            done = fit(
                self.model,
                self._loss,
                self._texts,
                self._recipe,
                work,
                lambda: ranked(encoder, self._kept),
                progress,
                what=f"learning ({self._method})",
                distinct=True,
            )
        if self._method == "lora":
            _merge_lora(self.model)
        return done


def ranked(encoder: Encoder, kept: Sequence[Example]) -> float:
    """Mean reciprocal rank of each question's passage among the right and wrong passages of all of them; ties are lost,
    else a model that gives every text the same vector would be the best."""
    if not kept:
        return 0.0
    passages = list(dict.fromkeys(text for example in kept for text in (example.passage, *example.wrong)))
    row = {text: n for n, text in enumerate(passages)}
    asked = encoder.encode([example.question for example in kept], kind="query")
    scores = asked @ encoder.encode(passages, kind="passage").T
    right = scores[np.arange(len(kept)), [row[example.passage] for example in kept]]
    return float((1 / (~(scores < right[:, None])).sum(axis=1)).mean())


def _add_lora(model: "SentenceTransformer", seed: int) -> None:
    import torch
    from peft import LoraConfig, inject_adapter_in_model

    torch.manual_seed(seed)  # what is added begins at random: with the same each time, a stopped training can go on
    # Not by the model's own add_adapter: transformers 5.24 refuses the newest peft that there is, 0.21.
    config = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear")
    inject_adapter_in_model(config, model[0].auto_model)


def _merge_lora(model: "SentenceTransformer") -> None:
    """The weights with their changes, as if all had been trained."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for parent in list(model[0].auto_model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BaseTunerLayer):
                child.merge()
                setattr(parent, name, child.get_base_layer())


class _shortened:
    """A model that cuts texts earlier than it must, for a while."""

    def __init__(self, model: "SentenceTransformer", tokens: int) -> None:
        self._model, self._tokens, self._before = model, tokens, model.max_seq_length

    def __enter__(self) -> None:
        self._model.max_seq_length = self._tokens

    def __exit__(self, *args: object) -> None:
        self._model.max_seq_length = self._before
