"""Logistic regression with an L2 penalty, and how far figures of few examples can be trusted.

Knows: formulas. Does not know: texts, features' meaning, files.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

_STEPS = 50
_CLOSE = 3e-5


class Matrix(Protocol):
    """Rows of features, as far as fitting needs them."""

    @property
    def shape(self) -> tuple[int, int]: ...

    def dot(self, weights: Float) -> Float: ...

    def transposed(self, values: Float) -> Float: ...


def sigmoid(logits: Float) -> Float:
    """1 / (1 + exp(-logits)), without overflow."""
    out: Float = 0.5 * (1 + np.tanh(0.5 * logits))
    return out


def fit(rows: Matrix, positive: Bool, strength: float, start: Float | None = None) -> Float:
    """Weights that minimise the mean log loss plus ``strength / 2`` times their squared length.

    Both classes count the same, however many rows they have: each row weighs 1 / (2 x rows of its class). Newton's
    method; each step by conjugate gradients, which need products with the rows only (Lin, Weng and Keerthi 2008,
    "Trust region Newton method for large-scale logistic regression", with a line search instead of the region).

    Args:
        rows: shape (n, d).
        positive: shape (n,); both classes have to occur.
        strength: of the penalty, above 0. The intercept has none.
        start: weights to begin with; None: zeros.

    Returns:
        Shape (d + 1,); the last is the intercept.
    """
    share = np.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())
    weights = np.zeros(rows.shape[1] + 1) if start is None else start.copy()
    penalty = np.append(np.full(rows.shape[1], strength), 0.0)

    def logits(at: Float) -> Float:
        out: Float = rows.dot(at[:-1]) + at[-1]
        return out

    def loss(at: Float, z: Float) -> float:
        return float(share @ np.logaddexp(0, np.where(positive, -z, z)) + 0.5 * (penalty * at) @ at)

    z = logits(weights)
    now = loss(weights, z)
    for _ in range(_STEPS):
        p = sigmoid(z)
        slope = _gathered(rows, share * (p - positive)) + penalty * weights
        if np.linalg.norm(slope) < _CLOSE:
            break
        step = _solved(_Bend(rows, share * p * (1 - p), penalty), slope)
        along = logits(step)
        size, fall = 1.0, float(slope @ step)
        while (then := loss(weights - size * step, z - size * along)) > now - 1e-4 * size * fall and size > 1e-10:
            size /= 2
        weights, z, now = weights - size * step, z - size * along, then
    return weights


def _gathered(rows: Matrix, values: Float) -> Float:
    return np.append(rows.transposed(values), values.sum())


class _Bend(NamedTuple):
    """The matrix of second derivatives, as far as it is needed: its products."""

    rows: Matrix
    bend: Float
    penalty: Float

    def dot(self, v: Float) -> Float:
        return _gathered(self.rows, self.bend * (self.rows.dot(v[:-1]) + v[-1])) + self.penalty * v


def _solved(matrix: _Bend, right: Float) -> Float:
    """The conjugate gradients' solution, to a hundredth: the next Newton step corrects what is left."""
    found, left = np.zeros_like(right), right.copy()
    direction, size = left.copy(), float(left @ left)
    goal = 1e-4 * size
    for _ in range(200):
        product = matrix.dot(direction)
        step = size / float(direction @ product)
        found, left = found + step * direction, left - step * product
        before, size = size, float(left @ left)
        if size <= goal:
            break
        direction = left + size / before * direction
    return found


class Rate(NamedTuple):
    """A share of ``of`` cases, with its 95 % interval."""

    value: float
    low: float
    high: float
    of: int


def rate(hits: int, of: int) -> Rate:
    """A share with its interval (Wilson 1927), which holds for few cases and for none or all of them too."""
    if of == 0:
        return Rate(float("nan"), 0.0, 1.0, 0)
    z, p = 1.959964, hits / of
    middle, half = p + z * z / (2 * of), z * np.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    below = 1 + z * z / of
    return Rate(p, max(0.0, float(middle - half) / below), min(1.0, float(middle + half) / below), of)


def auc(scores: Float, positive: Bool) -> Rate:
    """Chance that a positive scores above a negative, ties counting half; its interval by Hanley and McNeil 1982."""
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return Rate(float("nan"), 0.0, 1.0, len(scores))
    values, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    a = float((ranks[place][positive].sum() - n * (n + 1) / 2) / (n * m))
    one, two = a / (2 - a), 2 * a * a / (1 + a)
    error = np.sqrt(max(0.0, a * (1 - a) + (n - 1) * (one - a * a) + (m - 1) * (two - a * a)) / (n * m))
    return Rate(a, max(0.0, float(a - 1.96 * error)), min(1.0, float(a + 1.96 * error)), n + m)


def threshold(scores: Float, positive: Bool, fpr: float) -> float:
    """The lowest threshold at which at most a share ``fpr`` of the negatives is reached or passed.

    Halfway between the last negative that passes and the next score below it that may not. With fewer than 1 / fpr
    negatives none may pass.
    """
    against = np.sort(scores[~positive])[::-1]
    may = int(np.floor(fpr * len(against) + 1e-9))
    if may >= len(against):
        return float(scores.min())
    limit = against[may]  # the first that may not pass, nor any that ties with it
    above = scores[scores > limit]
    return float((limit + above.min()) / 2) if len(above) else float(np.nextafter(limit, np.inf))
