"""A linear map on the vectors of questions: seconds to learn, and no passage is encoded again.

Knows: how the map is learnt from vectors that stay as they are. Does not know: encoders. Needs torch for the gradients
only; what it makes is one matrix.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damda.types import Progress

Float = NDArray[np.float32]

_SAME = 1 - 1e-5
"""Cosine from which on two passages are one that stands there twice."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Unit vectors of examples: questions (n, dim), their passages (n, dim), wrong passages of each (n, wrong, dim)."""

    asked: Float
    right: Float
    wrong: Float


def learn(
    train: Vectors,
    kept: Vectors,
    progress: Progress,
    *,
    epochs: int = 60,
    batch: int = 128,
    rate: float = 1e-3,
    decay: float = 0.01,
    temperature: float = 0.02,
    patience: int = 8,
    seed: int = 42,
) -> Float:
    """The matrix (dim, dim) that is put behind questions' vectors: ``unit(asked @ matrix)``. It starts as the identity,
    and is the identity if nothing else did better on the validation.

    Args:
        decay: how strongly it is drawn back to the identity: few questions must not turn the whole space.
    """
    import torch

    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    asked, right, wrong = (torch.from_numpy(values) for values in (train.asked, train.right, train.wrong))
    dim = train.asked.shape[1]
    change = torch.zeros((dim, dim), requires_grad=True)
    optimizer = torch.optim.Adam([change], lr=rate)
    best, least = np.eye(dim, dtype=np.float32), validated(np.eye(dim, dtype=np.float32), kept)
    waited = 0
    for epoch in range(epochs):
        progress("learning (adapter)", epoch, epochs)
        order = torch.from_numpy(generator.permutation(len(asked)))
        for at in range(0, len(order), batch):
            rows = order[at : at + batch]
            turned = torch.nn.functional.normalize(asked[rows] + asked[rows] @ change, dim=1)
            passages = torch.cat([right[rows], wrong[rows].flatten(0, 1)])
            scores = (turned @ passages.T).masked_fill(_same(right[rows] @ passages.T), -torch.inf)
            loss = torch.nn.functional.cross_entropy(scores / temperature, torch.arange(len(rows)))
            loss = loss + decay * change.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        matrix = np.eye(dim, dtype=np.float32) + change.detach().numpy()
        score = validated(matrix, kept)
        waited = 0 if score > least else waited + 1
        if score > least:
            best, least = matrix.copy(), score
        if waited >= patience:
            break
    progress("learning (adapter)", epochs, epochs)
    return best


def validated(matrix: Float, kept: Vectors) -> float:
    """Mean reciprocal rank of each question's passage among all passages of the validation; ties are lost."""
    if not len(kept.asked):
        return 0.0
    turned = kept.asked @ matrix
    turned /= np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)
    passages = np.concatenate([kept.right, kept.wrong.reshape(-1, kept.right.shape[1])])
    scores = turned @ passages.T
    right = scores[np.arange(len(turned)), np.arange(len(turned))]
    # The same passage may be right for several questions, and stand there as often: it is no rival of itself.
    rivals = kept.right @ passages.T < _SAME
    lost = ~(scores < right[:, None]) & rivals  # so that vectors that are no numbers lose too
    return float((1 / (1 + lost.sum(axis=1))).mean())


def _same(cosines: Any) -> Any:  # noqa: ANN401  tensors
    """Where a passage stands a second time in a batch: right (n, n + wrong) rows' own places are not meant."""
    found = cosines >= _SAME
    found.fill_diagonal_(False)
    return found


def vectors(
    encode: Callable[[Sequence[str], str], Float], examples: Sequence[tuple[str, str, Sequence[str]]]
) -> Vectors:
    """Encode (question, passage, wrong passages) rows, each text once; of wrong ones as many as every row has."""
    least = min((len(wrong) for _, _, wrong in examples), default=0)
    passages = list(dict.fromkeys(text for _, right, wrong in examples for text in (right, *wrong)))
    row = {text: n for n, text in enumerate(passages)}
    found = encode(passages, "passage")
    return Vectors(
        encode([question for question, _, _ in examples], "query"),
        found[[row[right] for _, right, _ in examples]],
        found[np.array([[row[text] for text in wrong[:least]] for _, _, wrong in examples], np.intp)],
    )
