"""Every representation in one table: what it costs, what it finds, how well it knows what is alike.

Knows: which figures answer "which one should I use?". Does not know: how an encoder is made.

All run over the same passages and questions, whole documents, by exact products: no index, no fusion.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from damda.measure.dataset import Question
from damda.measure.retrieval import per_query
from damda.measure.similarity import Pair, agreement
from damda.types import Encoder, Progress

METRICS = ("ndcg@10", "mrr@10", "hit@10")
WORDS = ("학교", "공부", "운동")
"""Words of different spelling, two of which belong together."""

_BLOCK = 256
_TIMED = 50
_SPEED = 200
"""Passages that the speed is measured on."""


@dataclass(frozen=True, slots=True)
class Row:
    """One representation.

    Attributes:
        name: as given.
        dim: length of a vector.
        index_mb: size of all vectors, zeros of sparse ones left out.
        made_s: seconds to learn it from the corpus, whose words are split already, or to load it.
        passages_per_second: encoding, on all cores.
        query_ms: median time to encode one question.
        metrics: of retrieval, means over the questions.
        values: metric -> question id -> value.
        similarity: data set -> (Spearman, Pearson).
        words: cosines of the three pairs of ``WORDS``.
        cost: what encoding a million passages costs, in the currency of the price given; None: nothing.
    """

    name: str
    dim: int
    index_mb: float
    made_s: float
    passages_per_second: float
    query_ms: float
    metrics: dict[str, float]
    values: dict[str, dict[str, float]]
    similarity: dict[str, tuple[float, float]]
    words: tuple[float, float, float]
    cost: float | None = None


def measure(
    name: str,
    make: Callable[[], Encoder],
    passages: Mapping[str, str],
    asked: Sequence[Question],
    similar: Mapping[str, Sequence[Pair]],
    progress: Progress,
    *,
    price: float | None = None,
) -> Row:
    """Measure one representation.

    Args:
        make: makes the encoder; timed.
        passages: document id -> text.
        asked: questions with relevant documents.
        similar: name -> scored pairs.
        price: of a million tokens, for encoders that are paid for.
    """
    begun = time.perf_counter()
    encoder = make()
    encoder.encode(["준비"], kind="query")
    made = time.perf_counter() - begun
    texts = list(passages.values())
    speed = _speed(encoder, _unseen(name, texts[:: max(len(texts) // _SPEED, 1)][:_SPEED]))
    run, filled = _search(name, encoder, passages, asked, progress)
    values = per_query({q.id: q.relevant for q in asked}, run, METRICS)
    tokens = float(np.mean(encoder.count_tokens(texts[:_SPEED]))) if texts else 0.0
    return Row(
        name,
        encoder.dim,
        filled * 4 / 1e6 if filled == encoder.dim * len(texts) else filled * 8 / 1e6,
        made,
        speed,
        _latency(encoder, _unseen(name, [q.text for q in asked[:_TIMED]])),
        {metric: sum(of.values()) / max(len(of), 1) for metric, of in values.items()},
        values,
        {of: agreement(encoder, scored) for of, scored in similar.items()},
        _words(encoder),
        None if price is None else price * tokens,
    )


def _search(
    name: str, encoder: Encoder, passages: Mapping[str, str], asked: Sequence[Question], progress: Progress
) -> tuple[dict[str, dict[str, float]], int]:
    """(The ten best documents of each question, numbers that are not zero in all passages' vectors)."""
    ids, texts = list(passages), list(passages.values())
    questions = encoder.encode([q.text for q in asked], kind="query")
    scores = np.empty((len(asked), len(texts)), np.float32)
    filled = 0
    for at in range(0, len(texts), _BLOCK):
        progress(name, at, len(texts))
        vectors = encoder.encode(texts[at : at + _BLOCK], kind="passage")
        filled += int(np.count_nonzero(vectors))
        scores[:, at : at + _BLOCK] = questions @ vectors.T
    progress(name, len(texts), len(texts))
    run = {}
    for question, row in zip(asked, scores, strict=True):
        # Ties by id, and nothing that shares nothing with the question.
        best = sorted(np.argsort(-row, kind="stable")[:10].tolist(), key=lambda i: (-row[i], ids[i]))
        run[question.id] = {ids[i]: float(10 - n) for n, i in enumerate(best) if row[i] != 0}
    return run, filled


def _unseen(name: str, texts: Sequence[str]) -> list[str]:
    """Texts to be timed: with a word behind them, so that no analyser that remembers texts has seen them."""
    return [f"{text} {name}" for text in texts]


def _speed(encoder: Encoder, texts: Sequence[str]) -> float:
    begun = time.perf_counter()
    encoder.encode(texts, kind="passage")
    return len(texts) / max(time.perf_counter() - begun, 1e-9)


def _latency(encoder: Encoder, texts: Sequence[str]) -> float:
    times = []
    for text in texts:
        begun = time.perf_counter()
        encoder.encode([text], kind="query")
        times.append(time.perf_counter() - begun)
    return float(np.median(times) * 1000) if times else 0.0


def _words(encoder: Encoder) -> tuple[float, float, float]:
    vectors = encoder.encode(WORDS, kind="query")
    norms = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
    cosines = vectors @ vectors.T / norms[:, None] / norms
    return float(cosines[0, 1]), float(cosines[0, 2]), float(cosines[1, 2])
