"""Training a classifier: labelled texts in; weights, a threshold and what they are worth out.

Knows: the split, cross-validation, the threshold by a rate of false alarms, the test. Does not know: files of examples
(``labelled.py``), how weights are stored and used (``classifier.py``).

One part in five is put aside and only tested on. On the rest, five-fold cross-validation chooses features and penalty;
the threshold is set on its out-of-fold scores, each of a model that has not seen the text; the final weights are fitted
on all of that rest. So no example is spent on the threshold alone.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damda.answer.guards import logistic
from damda.answer.guards.classifier import Classifier, Weights, save
from damda.answer.guards.features import Float, Table, Whole, cells, telling
from damda.answer.guards.labelled import Example, Examples, unique
from damda.answer.guards.logistic import Rate
from damda.errors import ConfigError
from damda.types import Encoder, Progress, quiet

FOLDS = 5
TEST = 0.2
STRENGTHS = (0.1, 0.03, 0.01, 0.003, 0.001)
"""Of the penalty; from strong to weak, since each fit starts where the one before ended."""
FEWEST, FEW = 20, 100
MOST = 50_000
"""Examples that are used; the n-grams of more would take gigabytes."""
_CHOSEN_ON = 4_000
_WINDOW = 300

Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a classifier is worth, each figure with its 95 % interval.

    Attributes:
        crossvalidated_auc, crossvalidated_fpr: of the out-of-fold scores, the latter at the threshold.
        auc, precision, recall, fpr: on the part that was put aside; precision is for that part's share of positives.
        auc_by_features: of the cross-validation, for each choice of features with its best penalty.
    """

    crossvalidated_auc: Rate
    crossvalidated_fpr: Rate
    auc: Rate
    precision: Rate
    recall: Rate
    fpr: Rate
    auc_by_features: dict[str, float]


@dataclass(frozen=True, slots=True)
class Trained:
    """A classifier, and how it came about. ``notes`` are for people: what there is to doubt."""

    weights: Weights
    figures: Figures
    counts: dict[str, int]
    strength: float
    fpr: float
    seed: int
    words: tuple[str, str]
    sha256: str
    notes: tuple[str, ...]

    def manifest(self) -> dict[str, Any]:
        """What the folder tells of it, beside the weights."""
        figures = {name: _told(value) for name, value in asdict(self.figures).items()}
        return {
            "labels": {"positive": self.words[0], "negative": self.words[1]},
            "counts": self.counts,
            "target_fpr": self.fpr,
            "strength": self.strength,
            "seed": self.seed,
            "figures": figures,
            "notes": self.notes,
            "training_sha256": self.sha256,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }

    def save(self, folder: Path) -> None:
        """Write it where `Classifier.load` finds it; ConfigError where something else is."""
        save(self.weights, self.manifest(), folder)


def _told(value: object) -> object:
    """A rate as the manifest has it; one of nothing has no value."""
    if not isinstance(value, tuple):
        return value
    share, low, high, of = value
    return {
        "value": None if np.isnan(share) else round(share, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "of": of,
    }


@dataclass(frozen=True, slots=True)
class _Features:
    """Texts as numbers: vectors of shape (n, dim), and cells of each text."""

    vectors: Float
    cells: list[Whole]
    positive: Bool

    def rows(self, at: NDArray[np.int64]) -> "_Features":
        return _Features(self.vectors[at], [self.cells[n] for n in at], self.positive[at])


class _Model:
    """Scales and weights, as learnt from some rows."""

    def __init__(self, learnt: _Features, ngrams: bool) -> None:
        self._mean, spread = learnt.vectors.mean(axis=0), learnt.vectors.std(axis=0)
        self._scale = 1 / (np.where(spread > 1e-9, spread, np.inf) * np.sqrt(learnt.vectors.shape[1]))
        self._telling = telling(learnt.cells, learnt.positive) if ngrams else None
        self._rows, self._positive = self.table(learnt), learnt.positive
        self._weights: Float | None = None

    def table(self, of: _Features) -> Table:
        return Table((of.vectors - self._mean) * self._scale, of.cells, self._telling)

    def fit(self, strength: float) -> None:
        self._weights = logistic.fit(self._rows, self._positive, strength, self._weights)

    def logits(self, of: Table) -> Float:
        assert self._weights is not None
        out: Float = of.dot(self._weights[:-1]) + self._weights[-1]
        return out

    def folded(self) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, float]:
        """Weights of plain vectors and of cells, and the intercept."""
        assert self._weights is not None
        dim = len(self._mean)
        vectors = self._weights[:dim] * self._scale
        intercept = float(self._weights[-1] - self._mean @ vectors)
        if self._telling is None:
            return vectors.astype(np.float32), None, intercept
        pair = np.stack([self._telling, np.zeros_like(self._telling)])
        pair[1, self._telling > 0] = self._weights[dim:-1]
        return vectors.astype(np.float32), pair.astype(np.float32), intercept


def train(
    examples: Examples | Sequence[Example],
    encoder: Encoder,
    *,
    name: str,
    fpr: float = 0.05,
    seed: int = 0,
    test: float = TEST,
    progress: Progress = quiet,
) -> Trained:
    """Train a classifier. The same examples, encoder and seed give the same weights.

    Args:
        examples: of `labelled.read`, or made by hand.
        name: what is looked for, as verdicts name it.
        fpr: share of harmless texts that may be taken for it.
        seed: of the split.
        test: share of the examples that is put aside for the test; 0: none, where another set is there to test on.

    Raises:
        ConfigError: one label only, or fewer than 20 examples of one.
        EncoderError: text could not be encoded.
    """
    if not 0 < fpr < 1:
        raise ConfigError(f"the rate of false alarms has to lie between 0 and 1, not {fpr}")
    if not isinstance(examples, Examples):
        examples = unique(examples)
    rows, notes = _sound(examples)
    rows = [rows[n] for n in _shuffled([row.text for row in rows], seed)]
    rows = [rows[n] for n in _most([row.positive for row in rows], MOST)]
    positive = np.array([row.positive for row in rows])
    aside = _part(positive, test)
    whole = _features([row.text for row in rows], positive, encoder, progress)
    learnt = whole.rows(np.flatnonzero(~aside))
    ngrams, strength, by_features = _choose(learnt, progress)
    scores = _out_of_fold(learnt, ngrams, strength, progress)
    threshold = logistic.threshold(logistic.sigmoid(scores), learnt.positive, fpr)
    model = _Model(learnt, ngrams)
    model.fit(strength)
    window = max(_WINDOW, int(np.quantile([len(row.text) for row in rows], 0.95)))
    vectors, pair, intercept = model.folded()
    weights = Weights(name, encoder.id, vectors, pair, intercept, threshold, window)
    tested = [row for row, out in zip(rows, aside, strict=True) if out]
    figures = _figures(scores, learnt.positive, weights, tested, encoder, by_features)
    counts = {
        "positive": int(positive.sum()),
        "negative": int((~positive).sum()),
        "trained_on": int((~aside).sum()),
        "tested_on": int(aside.sum()),
        "repeated": examples.repeated,
        "unclear": examples.unclear,
    }
    notes += _doubts(figures, fpr)
    return Trained(weights, figures, counts, strength, fpr, seed, examples.words, examples.sha256, tuple(notes))


def _sound(examples: Examples) -> tuple[list[Example], list[str]]:
    """The rows, and what there is to say about them; ConfigError where they are too few."""
    rows = list(examples.rows)
    counts = {
        word: sum(row.positive == yes for row in rows) for word, yes in zip(examples.words, (True, False), strict=True)
    }
    shown = " and ".join(f"{count:,} of {word!r}" for word, count in counts.items())
    if min(counts.values()) < FEWEST:
        raise ConfigError(f"{shown} are too few examples to train with: at least {FEWEST} of each, better hundreds")
    notes = []
    if min(counts.values()) < FEW:
        notes.append(f"{shown}: with fewer than {FEW} of each, every figure is a guess")
    if examples.unclear:
        notes.append(f"{examples.unclear:,} texts have both labels and were left out")
    if examples.repeated:
        notes.append(f"{examples.repeated:,} repeated texts were left out")
    if len(rows) > MOST:
        notes.append(f"{MOST:,} of {len(rows):,} examples were used")
    return rows, notes


def _shuffled(texts: Sequence[str], seed: int) -> list[int]:
    """Order by a hash of the text: whatever order a file has, the split is the same."""
    keys = [hashlib.sha256(f"{seed}\0{text}".encode("utf-8", "replace")).digest() for text in texts]
    return sorted(range(len(texts)), key=lambda n: keys[n])


def _most(positive: Sequence[bool], most: int) -> NDArray[np.int64]:
    """Where the first so many rows stand, in order; of a rare class all, up to half of them."""
    labels = np.array(positive)
    if len(labels) <= most:
        return np.arange(len(labels))
    rare = labels == (labels.sum() * 2 <= len(labels))
    few = np.flatnonzero(rare)[: most // 2]
    return np.sort(np.concatenate([few, np.flatnonzero(~rare)[: most - len(few)]]))


def _part(positive: Bool, share: float) -> Bool:
    """The first share of each class, in an order that is random already."""
    part = np.zeros(len(positive), bool)
    for label in (True, False):
        at = np.flatnonzero(positive == label)
        part[at[: round(share * len(at))]] = True
    return part


def _folds(positive: Bool) -> NDArray[np.int64]:
    """A fold for each row; each has its share of both classes."""
    folds = np.zeros(len(positive), np.int64)
    for label in (True, False):
        at = np.flatnonzero(positive == label)
        folds[at] = np.arange(len(at)) % FOLDS
    return folds


def _features(texts: Sequence[str], positive: Bool, encoder: Encoder, progress: Progress) -> _Features:
    batches = []
    for done in range(0, len(texts), 64):
        progress("encoding", done, len(texts))
        batches.append(encoder.encode(texts[done : done + 64], kind="query"))
    progress("encoding", len(texts), len(texts))
    return _Features(np.concatenate(batches).astype(np.float64), [cells(text) for text in texts], positive)


def _choose(learnt: _Features, progress: Progress) -> tuple[bool, float, dict[str, float]]:
    """With n-grams or without, and how strong a penalty: what has the greatest mean AUC over the folds."""
    learnt = learnt.rows(_most(learnt.positive.tolist(), _CHOSEN_ON))
    folds = _folds(learnt.positive)
    found: dict[tuple[bool, float], list[float]] = {}
    for ngrams in (False, True):
        for fold in range(FOLDS):
            progress("choosing", FOLDS * ngrams + fold, 2 * FOLDS)
            model = _Model(learnt.rows(np.flatnonzero(folds != fold)), ngrams)
            held = learnt.rows(np.flatnonzero(folds == fold))
            table = model.table(held)
            for strength in STRENGTHS:
                model.fit(strength)
                found.setdefault((ngrams, strength), []).append(logistic.auc(model.logits(table), held.positive).value)
    progress("choosing", 2 * FOLDS, 2 * FOLDS)
    means = {choice: float(np.mean(values)) for choice, values in found.items()}
    ngrams, strength = max(means, key=lambda choice: means[choice])
    best = {with_: round(max(value for (n, _), value in means.items() if n == with_), 4) for with_ in (False, True)}
    return ngrams, strength, {"vectors": best[False], "vectors and ngrams": best[True]}


def _out_of_fold(learnt: _Features, ngrams: bool, strength: float, progress: Progress) -> Float:
    """A logit for each row, of a model that was fitted without it."""
    folds, scores = _folds(learnt.positive), np.empty(len(learnt.positive))
    for fold in range(FOLDS):
        progress("setting the threshold", fold, FOLDS)
        model = _Model(learnt.rows(np.flatnonzero(folds != fold)), ngrams)
        model.fit(strength)
        held = np.flatnonzero(folds == fold)
        scores[held] = model.logits(model.table(learnt.rows(held)))
    progress("setting the threshold", FOLDS, FOLDS)
    return scores


def _figures(
    scores: Float,
    positive: Bool,
    weights: Weights,
    tested: Sequence[Example],
    encoder: Encoder,
    by_features: dict[str, float],
) -> Figures:
    passed = logistic.sigmoid(scores) >= weights.threshold
    guard = Classifier(weights, encoder, "flag")
    verdicts = [guard.check(row.text) for row in tested]  # as in use: in windows
    truth, flagged = np.array([row.positive for row in tested], bool), np.array([bool(v.found) for v in verdicts], bool)
    return Figures(
        logistic.auc(scores, positive),
        logistic.rate(int((passed & ~positive).sum()), int((~positive).sum())),
        logistic.auc(np.array([v.score for v in verdicts]), truth),
        logistic.rate(int((flagged & truth).sum()), int(flagged.sum())),
        logistic.rate(int((flagged & truth).sum()), int(truth.sum())),
        logistic.rate(int((flagged & ~truth).sum()), int((~truth).sum())),
        by_features,
    )


def _doubts(figures: Figures, fpr: float) -> list[str]:
    found = []
    calibrated = figures.crossvalidated_fpr
    if calibrated.of < 1 / fpr:
        found.append(
            f"with {calibrated.of} harmless examples a rate of false alarms of {fpr:g} can't be set: none is let pass; "
            f"it may still be up to {calibrated.high:.2f}"
        )
    elif calibrated.high > 2 * fpr:
        found.append(
            f"with {calibrated.of} harmless examples the rate of false alarms is only known to be below "
            f"{calibrated.high:.2f}"
        )
    if figures.crossvalidated_auc.low < 0.7:
        found.append(
            f"AUC {figures.crossvalidated_auc.value:.2f}: it hardly tells the two apart; more or clearer examples help"
        )
    return found
