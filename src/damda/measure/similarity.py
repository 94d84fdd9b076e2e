"""Pairs of sentences that people have scored, and how well a model agrees with them.

Knows: KLUE-STS's JSON, KorSTS's table, JSON lines. Does not know: models' insides. Needs the extra ``measure`` (scipy
comes with ir-measures).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damda.errors import MissingExtra, ReadError, RerankerError
from damda.korean import nfc
from damda.types import Chunk, Encoder, Hit, Progress, Reranker


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sentences; ``score`` is how alike people find them, in whatever unit the set has."""

    first: str
    second: str
    score: float


def pairs(path: Path) -> list[Pair]:
    """Scored pairs: KLUE-STS's JSON, KorSTS's TSV, or JSON lines of {s1, s2, score}.

    Raises:
        ReadError: the file is missing, or of another shape.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".tsv":
            found = [_korsts(line) for line in text.splitlines()[1:] if line.strip()]
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


def cosines(encoder: Encoder, scored: Sequence[Pair]) -> NDArray[np.float64]:
    """How alike an encoder finds the two sentences of each pair, -1 to 1; 0 where it has no say."""
    first, second = (
        encoder.encode([getattr(pair, side) for pair in scored], kind="query") for side in ("first", "second")
    )
    norms = np.maximum(np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1), 1e-12)
    return np.asarray((first * second).sum(axis=1) / norms, np.float64)


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


def agreement(said: NDArray[np.float64], scored: Sequence[Pair]) -> tuple[float, float]:
    """Spearman's and Pearson's correlation of what a model says with people's scores, -1 to 1; 0 without a spread.

    Raises:
        MissingExtra: scipy is not installed.
    """
    try:
        from scipy.stats import pearsonr, spearmanr
    except ImportError as error:
        raise MissingExtra("correlations", "measure") from error
    scores = [pair.score for pair in scored]
    if len(set(said.tolist())) < 2 or len(set(scores)) < 2:
        return 0.0, 0.0
    return float(spearmanr(said, scores).statistic), float(pearsonr(said, scores).statistic)
