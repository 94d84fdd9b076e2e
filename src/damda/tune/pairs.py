"""Sentences to learn from: scored pairs, and pairs of which one follows from the other.

Knows: files of scored pairs and of inference (NLI), how they are split, which sentences a test set must not share with
them. Does not know: models.
"""

import csv
import io
import json
import math
import random
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from damda.errors import ReadError
from damda.korean import nfc
from damda.measure.similarity import Pair, pairs

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Triplet:
    """A sentence, one that follows from it, and one that contradicts it."""

    anchor: str
    follows: str
    contradicts: str


Sentences = TypeVar("Sentences", Pair, Triplet)


def scored(path: Path) -> list[Pair]:
    """Scored pairs with scores of 0 to 1, whether people's scale ended at 1, 5, 10 or 100.

    KLUE-STS's JSON, KorSTS's TSV, JSON lines of {s1, s2, score}, or a CSV with these columns.

    Raises:
        ReadError: the file is missing, of another shape, or has no spread of scores.
    """
    found = list(_table(path)) if path.suffix == ".csv" else pairs(path)
    if not found:
        raise ReadError(f"{path} is empty")
    scores = [pair.score for pair in found]
    if not all(map(math.isfinite, scores)):
        raise ReadError(f"{path}: a score is no number")
    if min(scores) == max(scores):
        raise ReadError(f"{path}: all its scores are {scores[0]:g}; nothing can be learnt from that")
    # People's scales begin at 0 and end at 1, 5 or 100; a set need not use its ends.
    top = next((top for top in (1.0, 5.0, 10.0, 100.0) if max(scores) <= top), max(scores))
    if min(scores) < 0:
        raise ReadError(f"{path}: scores below 0; give them as 0 (unrelated) to 1, 5, 10 or 100 (the same)")
    return [Pair(pair.first, pair.second, pair.score / top) for pair in found]


def _table(path: Path) -> Iterator[Pair]:
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ReadError(f"{path}: no CSV in UTF-8 ({error})") from error
    for number, row in enumerate(rows, 2):
        try:
            first, second = row.get("s1") or row["sentence1"], row.get("s2") or row["sentence2"]
            yield Pair(nfc(first), nfc(second), float(row["score"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ReadError(f"{path}, line {number}: no columns s1, s2 and score, with a number") from error


def triplets(paths: Sequence[Path]) -> list[Triplet]:
    """Premises that have both a hypothesis that follows and one that contradicts; each once.

    KLUE-NLI's JSON, JSON lines of {premise, hypothesis, label}, XNLI's and KorNLI's TSV (sentence1, sentence2,
    gold_label).

    Raises:
        ReadError: a file is missing or of another shape, or all together have no such premise.
    """
    known: dict[str, dict[str, str]] = {}
    for path in paths:
        for premise, hypothesis, label in _inferences(path):
            known.setdefault(premise, {}).setdefault(label, hypothesis)
    found = [
        Triplet(premise, of["entailment"], of["contradiction"])
        for premise, of in known.items()
        if {"entailment", "contradiction"} <= of.keys()
    ]
    if not found:
        raise ReadError(f"{', '.join(map(str, paths))}: no premise with an entailment and a contradiction")
    return found


def _inferences(path: Path) -> Iterator[tuple[str, str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows: Iterable[dict[str, Any]]
        if path.suffix == ".tsv":
            rows = csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
        elif path.suffix == ".jsonl":
            rows = (json.loads(line) for line in text.split("\n") if line.strip())
        else:
            rows = json.loads(text)
        for row in rows:
            premise = row["premise"] if "premise" in row else row["sentence1"]
            hypothesis = row["hypothesis"] if "hypothesis" in row else row["sentence2"]
            yield nfc(premise), nfc(hypothesis), row["label"] if "label" in row else row["gold_label"]
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise ReadError(f"{path}: no lines of premise, hypothesis and label ({error!r})") from error


def examples(path: Path) -> int:
    """Pairs or inferences of a file, for the manifest.

    Raises:
        ReadError: it has neither.
    """
    try:
        return len(scored(path))
    except ReadError:
        return sum(1 for _ in _inferences(path))


def split(items: Sequence[Item], share: float = 0.1, *, seed: int = 42) -> tuple[list[Item], list[Item]]:
    """The items without a share drawn at random, and that share; at least one."""
    drawn = set(random.Random(seed).sample(range(len(items)), max(1, round(len(items) * share))))
    return [x for n, x in enumerate(items) if n not in drawn], [x for n, x in enumerate(items) if n in drawn]


def bare(sentence: str) -> str:
    """A sentence without case, spaces and signs: what makes two copies of it equal."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", sentence).casefold())


def apart(items: Sequence[Sentences], tested: Collection[str]) -> tuple[list[Sentences], int]:
    """Items none of whose sentences is among ``tested`` (as `bare` has them), and how many were left out."""
    known = frozenset(tested)
    kept = [item for item in items if known.isdisjoint(map(bare, sentences(item)))]
    return kept, len(items) - len(kept)


def sentences(item: Pair | Triplet) -> tuple[str, ...]:
    """The sentences of a pair or triplet."""
    if isinstance(item, Pair):
        return item.first, item.second
    return item.anchor, item.follows, item.contradicts
