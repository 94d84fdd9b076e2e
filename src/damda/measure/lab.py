"""Every representation in one table: what it costs, what it finds, how well it knows what is alike.

Knows: which figures answer "which one should I use?". Does not know: how an encoder is made.

All run over the same passages and questions, whole documents, by exact products: no index, no fusion. A cross-encoder
makes no vectors; it puts what another row found in its own order.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damda.measure.dataset import Question
from damda.measure.retrieval import per_query
from damda.measure.similarity import Pair, agreement, cosines, people, read_together
from damda.types import Chunk, Encoder, Hit, Progress, Reranker

METRICS = ("ndcg@10", "mrr@10", "hit@10")
WORDS = ("학교", "공부", "운동")
"""Words of different spelling, two of which belong together."""

_BLOCK = 256
_TIMED = 50
_SPEED = 200
"""Passages that the speed is measured on."""


@dataclass(frozen=True, slots=True)
class Task:
    """What all are measured on.

    Attributes:
        passages: document id -> text.
        asked: questions with relevant documents.
        similar: name -> scored pairs.
    """

    passages: Mapping[str, str]
    asked: Sequence[Question]
    similar: Mapping[str, Sequence[Pair]]


@dataclass(frozen=True, slots=True)
class Row:
    """One representation. None where a figure does not apply: a cross-encoder stores nothing.

    Attributes:
        name: as given.
        dim: length of a vector.
        index_mb: size of all vectors, zeros of sparse ones left out.
        made_s: seconds to learn it from the corpus, whose words are split already, or to load it.
        passages_per_second: encoding, on all cores.
        query_ms: median time to encode one question; of a cross-encoder, to score one question's passages.
        metrics: of retrieval, means over the questions.
        values: metric -> question id -> value.
        similarity: data set -> (Spearman, Pearson).
        words: cosines of the three pairs of ``WORDS``.
        cost: what encoding a million passages costs, in the currency of the price given.
        note: what a reader has to know about the row.
    """

    name: str
    dim: int | None
    index_mb: float | None
    made_s: float
    passages_per_second: float | None
    query_ms: float
    metrics: dict[str, float]
    values: dict[str, dict[str, float]]
    similarity: dict[str, tuple[float, float]]
    words: tuple[float, float, float] | None
    cost: float | None = None
    note: str = ""


def measure(
    name: str, make: Callable[[], Encoder], task: Task, progress: Progress, *, price: float | None = None
) -> Row:
    """Measure one representation.

    Args:
        make: makes the encoder; timed.
        price: of a million tokens, for encoders that are paid for.
    """
    begun = time.perf_counter()
    encoder = make()
    encoder.encode(["준비"], kind="query")
    made = time.perf_counter() - begun
    texts = list(task.passages.values())
    speed = _speed(encoder, _unseen(name, texts[:: max(len(texts) // _SPEED, 1)][:_SPEED]))
    ids = list(task.passages)
    scores, filled = _scores(name, encoder, task, progress)
    values = _values(task, [[ids[i] for i in _best(row, ids, 10)] for row in scores])
    tokens = float(np.mean(encoder.count_tokens(texts[:_SPEED]))) if texts else 0.0
    return Row(
        name,
        encoder.dim,
        filled * 4 / 1e6 if filled == encoder.dim * len(texts) else filled * 8 / 1e6,
        made,
        speed,
        _latency(encoder, _unseen(name, [q.text for q in task.asked[:_TIMED]])),
        _means(values),
        values,
        {of: agreement(cosines(encoder, scored), people(scored)) for of, scored in task.similar.items()},
        _words(encoder),
        None if price is None else price * tokens,
    )


def measure_reranker(
    name: str, make: Callable[[], Reranker], first: Callable[[], Encoder], top: int, task: Task, progress: Progress
) -> Row:
    """Measure a model that reads question and passage together.

    Args:
        make: makes the reranker; timed.
        first: makes the encoder whose best documents are put in the reranker's order.
        top: documents a question that the reranker sees; the others follow as they were found.
    """
    begun = time.perf_counter()
    reranker = make()
    reranker.rerank("준비", [_hit("", "준비")])
    made = time.perf_counter() - begun
    found = first()
    ids = list(task.passages)
    scores, _ = _scores(f"finding, {name}", found, task, progress)
    rankings, seconds = [], []
    for done, (question, row) in enumerate(zip(task.asked, scores, strict=True)):
        progress(name, done, len(task.asked))
        best = [_hit(ids[i], task.passages[ids[i]]) for i in _best(row, ids, max(top, 10))]
        begun = time.perf_counter()
        ordered = reranker.rerank(question.text, best[:top])
        seconds.append(time.perf_counter() - begun)
        rankings.append([hit.chunk.doc_id for hit in (*ordered, *best[top:])][:10])
    progress(name, len(task.asked), len(task.asked))
    values = _values(task, rankings)
    return Row(
        name,
        None,
        None,
        made,
        None,
        float(np.median(seconds) * 1000) if seconds else 0.0,
        _means(values),
        values,
        {
            of: agreement(read_together(reranker, scored, progress), people(scored))
            for of, scored in task.similar.items()
        },
        None,
        note=f"reads each question with the {top} best documents of {found.id.partition('(')[0]} and puts them in its "
        "order; its time is that of scoring them; of a pair, its score is compared with people's, not a cosine",
    )


def _hit(doc_id: str, text: str) -> Hit:
    return Hit(Chunk(doc_id, doc_id, text, 0, len(text)), 0.0, "")


def compose(name: str, task: Task, rows: Sequence[Row], failed: Mapping[str, str]) -> dict[str, Any]:
    """All rows as one JSON document; ``failed``: why files could not be read."""
    return {
        "dataset": name,
        "date": time.strftime("%Y-%m-%d"),
        "passages": len(task.passages),
        "questions": len(task.asked),
        "pairs": {of: len(scored) for of, scored in task.similar.items()},
        "failed": dict(failed),
        "rows": [asdict(row) for row in rows],
    }


def _scores(name: str, encoder: Encoder, task: Task, progress: Progress) -> tuple[NDArray[np.float32], int]:
    """(Products of questions and passages, numbers that are not zero in all passages' vectors)."""
    texts = list(task.passages.values())
    questions = encoder.encode([q.text for q in task.asked], kind="query")
    scores = np.empty((len(task.asked), len(texts)), np.float32)
    filled = 0
    for at in range(0, len(texts), _BLOCK):
        progress(name, at, len(texts))
        vectors = encoder.encode(texts[at : at + _BLOCK], kind="passage")
        filled += int(np.count_nonzero(vectors))
        scores[:, at : at + _BLOCK] = questions @ vectors.T
    progress(name, len(texts), len(texts))
    return scores, filled


def _best(row: NDArray[np.float32], ids: Sequence[str], count: int) -> list[int]:
    """The passages with the highest scores, ties by id; nothing that shares nothing with the question."""
    best = sorted(np.argsort(-row, kind="stable")[:count].tolist(), key=lambda i: (-row[i], ids[i]))
    return [i for i in best if row[i] != 0]


def _values(task: Task, rankings: Sequence[Sequence[str]]) -> dict[str, dict[str, float]]:
    """Metric -> question id -> value, of the documents found for each question, best first."""
    run = {
        question.id: {document: float(len(ranked) - n) for n, document in enumerate(ranked)}
        for question, ranked in zip(task.asked, rankings, strict=True)
    }
    return per_query({q.id: q.relevant for q in task.asked}, run, METRICS)


def _means(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {metric: sum(of.values()) / max(len(of), 1) for metric, of in values.items()}


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
