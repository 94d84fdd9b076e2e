"""Pairs of sentences that people have scored, and how well a model agrees with them.

Knows: KLUE-STS's JSON, KorSTS's table, JSON lines. Does not know: models' insides. Needs the extra ``measure`` (scipy
comes with ir-measures).
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damda.errors import MissingExtra, ReadError, RerankerError
from damda.korean import nfc
from damda.types import Chunk, Encoder, Hit, Progress, Reranker, quiet

_KEY = re.compile(r'"(?:sentence1|s1)"\s*:')
_BLOCK = 256
_ROUNDS = 100
"""Draws at a time: what fits into memory."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sentences; ``score`` is how alike people find them, in whatever unit the set has."""

    first: str
    second: str
    score: float


def holds_pairs(path: Path) -> bool:
    """Whether a file looks like scored pairs, by its beginning; False for one that can't be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            head = file.read(4096).lstrip()
    except OSError:
        return False
    line = head.partition("\n")[0]
    if path.suffix == ".tsv":
        return {"score", "sentence1"} <= set(line.split("\t"))
    rows = head if path.suffix == ".json" and head.startswith("[") else line if path.suffix == ".jsonl" else ""
    return _KEY.search(rows) is not None


def pairs(path: Path) -> list[Pair]:
    """Scored pairs: KLUE-STS's JSON, KorSTS's TSV, or JSON lines of {s1, s2, score}.

    Raises:
        ReadError: the file is missing, or of another shape.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".tsv":
            found = [_korsts(line) for line in text.split("\n")[1:] if line.strip()]
        elif path.suffix == ".jsonl":
            found = [_row(json.loads(line)) for line in text.split("\n") if line.strip()]
        else:
            found = [_row(row) for row in json.loads(text)]
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ReadError(f"{path}: no scored pairs of sentences as KLUE-STS and KorSTS have them ({error!r})") from error
    if not found:
        raise ReadError(f"{path} is empty")
    return found


def _row(row: dict[str, Any]) -> Pair:
    score = row["labels"]["real-label"] if "labels" in row else row["score"]
    first, second = (row.get(a, row.get(b)) for a, b in (("sentence1", "s1"), ("sentence2", "s2")))
    if first is None or second is None:
        raise KeyError("sentence1")
    return Pair(nfc(first), nfc(second), float(score))


def _korsts(line: str) -> Pair:
    """genre, file, year, id, score, sentence1, sentence2."""
    fields = line.split("\t")
    return Pair(nfc(fields[5]), nfc(fields[6]), float(fields[4]))


def drawn(scored: Sequence[Pair], most: int | None) -> list[Pair]:
    """At most so many pairs, drawn with a fixed seed; None: all."""
    return list(scored) if most is None else random.Random(0).sample(list(scored), min(most, len(scored)))


def cosines(encoder: Encoder, scored: Sequence[Pair], progress: Progress = quiet) -> NDArray[np.float64]:
    """How alike an encoder finds the two sentences of each pair, -1 to 1; 0 where it has no say."""
    said = np.empty(len(scored), np.float64)
    for at in range(0, len(scored), _BLOCK):
        progress("comparing sentences", at, len(scored))
        block = scored[at : at + _BLOCK]
        first = encoder.encode([pair.first for pair in block], kind="query")
        second = encoder.encode([pair.second for pair in block], kind="query")
        norms = np.maximum(np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1), 1e-12)
        said[at : at + _BLOCK] = (first * second).sum(axis=1) / norms
    progress("comparing sentences", len(scored), len(scored))
    return said


def read_together(reranker: Reranker, scored: Sequence[Pair], progress: Progress) -> NDArray[np.float64]:
    """A cross-encoder's score of each pair, the first sentence as the question, the second as the passage.

    Raises:
        RerankerError: it gave a pair no score.
    """
    said = []
    for done, pair in enumerate(scored):
        progress("reading pairs", done, len(scored))
        (hit,) = reranker.rerank(pair.first, [Hit(Chunk("", "", pair.second, 0, len(pair.second)), 0.0, "")])
        if hit.by != "rerank":
            raise RerankerError(f"{reranker.id} gave no score to the pair of {pair.first[:40]!r}")
        said.append(hit.score)
    progress("reading pairs", len(scored), len(scored))
    return np.array(said, np.float64)


def people(scored: Sequence[Pair]) -> NDArray[np.float64]:
    """People's scores."""
    return np.array([pair.score for pair in scored], np.float64)


def agreement(said: NDArray[np.float64], scores: NDArray[np.float64]) -> tuple[float, float]:
    """Spearman's and Pearson's correlation of what a model says with people's scores, -1 to 1; 0 without a spread.

    Raises:
        MissingExtra: scipy is not installed.
    """
    try:
        from scipy.stats import pearsonr, spearmanr
    except ImportError as error:
        raise MissingExtra("correlations", "measure") from error
    if len(set(said.tolist())) < 2 or len(set(scores.tolist())) < 2:
        return 0.0, 0.0
    return float(spearmanr(said, scores).statistic), float(pearsonr(said, scores).statistic)


def paired_bootstrap(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    scores: NDArray[np.float64],
    *,
    ranked: bool = True,
    rounds: int = 2000,
    seed: int = 0,
) -> float:
    """Two-sided p of the difference between two models' correlations with the same people's scores.

    The pairs are drawn again and again, with replacement and for both models alike; p is twice the share of the draws
    in which the difference is 0 or has the rarer sign.

    Source: Koehn, "Statistical significance tests for machine translation evaluation", EMNLP 2004.

    Args:
        ranked: Spearman's correlation; else Pearson's.
    """
    from scipy.stats import rankdata

    generator, values = np.random.default_rng(seed), (a, b, scores)
    most = least = 0
    for _ in range(rounds // _ROUNDS):
        drawn = generator.integers(0, len(scores), (_ROUNDS, len(scores)))
        ours, theirs, judged = (rankdata(of[drawn], axis=1) if ranked else of[drawn] for of in values)
        differences = _correlations(ours, judged) - _correlations(theirs, judged)
        least += int((differences <= 1e-12).sum())
        most += int((differences >= -1e-12).sum())
    return min(1.0, 2 * (min(least, most) + 1) / (rounds // _ROUNDS * _ROUNDS + 1))


def _correlations(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's, row by row; 0 for a row without a spread."""
    a, b = (of - of.mean(axis=1, keepdims=True) for of in (a, b))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    found: NDArray[np.float64] = (a * b).sum(axis=1) / np.where(norms > 0, norms, 1.0)
    return found
