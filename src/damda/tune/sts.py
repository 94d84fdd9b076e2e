"""From a language model to a sentence encoder: contrastive pre-training on inferences, then training on scored pairs.

Knows: the two stages, what is measured before and after. Does not know: files, where results go.

Sources of the losses: cosine (Reimers and Gurevych, "Sentence-BERT", EMNLP 2019), cosent (Su, "CoSENT", 2022,
kexue.fm/archives/8847), angle (Li and Li, "AnglE-optimized Text Embeddings", ACL 2024), inferences as triplets with
in-batch negatives (Gao, Yao and Chen, "SimCSE", EMNLP 2021).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from damda.measure.similarity import Pair, agreement, cosines, paired_bootstrap, people
from damda.tune.encoding import TorchEncoder
from damda.tune.pairs import Triplet, split
from damda.tune.train import Estimate, Recipe, Texts, Trained, estimate, fit
from damda.types import Encoder, Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Loss = Literal["cosent", "angle", "cosine"]

_TEMPERATURE = 0.05
"""Of in-batch negatives, as in SimCSE."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is learnt from, and how.

    Attributes:
        scored: pairs with scores of 0 to 1; a tenth of them, drawn with seed 42, is kept for validation.
        inferences: triplets of the stage before; none: no such stage.
        prefix: what the model wants before a sentence.
    """

    scored: Sequence[Pair]
    inferences: Sequence[Triplet] = ()
    loss: Loss = "cosent"
    recipe: Recipe = field(default_factory=lambda: Recipe(epochs=2, rate=3e-5))
    first: Recipe = field(default_factory=lambda: Recipe(epochs=1, rate=2e-5))
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a model agrees with people on one test set: Spearman's and Pearson's correlation."""

    spearman: float
    pearson: float


def stages(model: "SentenceTransformer", plan: Plan) -> list[tuple[str, Any, Texts, Recipe, bool]]:
    """Name, loss, texts and recipe of each stage, and whether no text may stand twice in a batch."""
    from sentence_transformers.sentence_transformer import losses

    def prefixed(texts: Sequence[str]) -> list[str]:
        return [plan.prefix + text for text in texts]

    found: list[tuple[str, Any, Texts, Recipe, bool]] = []
    if plan.inferences:
        triplets: Texts = {
            "anchor": prefixed([t.anchor for t in plan.inferences]),
            "positive": prefixed([t.follows for t in plan.inferences]),
            "negative": prefixed([t.contradicts for t in plan.inferences]),
        }
        ranking = losses.MultipleNegativesRankingLoss(model, scale=1 / _TEMPERATURE)
        found.append(("learning from inferences", ranking, triplets, plan.first, True))
    makers = {"cosent": losses.CoSENTLoss, "angle": losses.AnglELoss, "cosine": losses.CosineSimilarityLoss}
    train, _ = split(plan.scored)
    scored: Texts = {
        "first": prefixed([pair.first for pair in train]),
        "second": prefixed([pair.second for pair in train]),
        "label": [pair.score for pair in train],
    }
    found.append(("learning from scored pairs", makers[plan.loss](model), scored, plan.recipe, False))
    return found


def foreseen(model: "SentenceTransformer", plan: Plan) -> Estimate:
    """What the training will take; the validations are in it, the tests before and after are not."""
    parts = [
        estimate(model, loss, texts, recipe, distinct=distinct)
        for _, loss, texts, recipe, distinct in stages(model, plan)
    ]
    return replace(
        parts[0],
        steps=sum(part.steps for part in parts),
        seconds=sum(part.seconds for part in parts) * 1.1,
        memory=max(part.memory for part in parts),
    )


def train(model: "SentenceTransformer", plan: Plan, work: Path, progress: Progress) -> dict[str, Trained]:
    """Train ``model`` in place, stage after stage; each stage ends with the weights that did best on the validation.

    Args:
        work: for checkpoints; an interrupted training goes on from there.
    """
    _, kept = split(plan.scored)
    encoder = TorchEncoder(model, "in training")

    def validate() -> float:
        return agreement(cosines(encoder, kept), people(kept))[0]

    done = {}
    for name, loss, texts, recipe, distinct in stages(model, plan):
        folder = work / name.rpartition(" ")[2]
        done[name] = fit(model, loss, texts, recipe, folder, validate, progress, what=name, distinct=distinct)
    return done


def judged(encoder: Encoder, tests: Mapping[str, Sequence[Pair]], progress: Progress) -> dict[str, Any]:
    """The encoder's cosines on each test set; what `compared` compares."""
    return {name: cosines(encoder, scored, progress) for name, scored in tests.items()}


def compared(
    before: Mapping[str, Any], after: Mapping[str, Any], tests: Mapping[str, Sequence[Pair]]
) -> dict[str, dict[str, float]]:
    """Both correlations of both encoders, by test set, and whether the difference in Spearman's is chance."""
    found = {}
    for name, scored in tests.items():
        scores = people(scored)
        old, new = (Agreement(*agreement(said[name], scores)) for said in (before, after))
        found[name] = {
            "pairs": float(len(scored)),
            "spearman_before": old.spearman,
            "spearman_after": new.spearman,
            "pearson_before": old.pearson,
            "pearson_after": new.pearson,
            "p": paired_bootstrap(before[name], after[name], scores),
        }
    return found
