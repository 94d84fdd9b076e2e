"""Encoder as it came, encoder tuned, tuned with a cross-encoder: side by side on the same questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from damda import adopted
from damda.assemble import TABLES, candidates, models
from damda.config import Settings
from damda.knowledge import KnowledgeBase
from damda.measure.dataset import Question
from damda.measure.evaluate import Asked, Found, searched
from damda.measure.similarity import Pair, agreement, people
from damda.search import tables
from damda.search.rerank import Cosine, in_order
from damda.tune import manifest
from damda.tune.make_encoder import ADAPTER
from damda.tune.mine import mine, random_pairs
from damda.types import Answer, Hit, Mode, Progress, Reranker

if TYPE_CHECKING:
    from damda.search.rerank import OnnxReranker, RemoteReranker

BASE, TUNED, CROSS = "base", "tuned", "tuned + cross-encoder"
MODES: tuple[Mode, Mode] = ("dense", "hybrid")
"""An encoder alone, and as users run it."""

CEILING = 0.866
"""Of a Spearman correlation with labels of which half are 0 and half are 1: the root of 3/4, for any model."""


@dataclass(frozen=True, slots=True)
class Three:
    """What was measured.

    Attributes:
        found: "base, dense" and so on -> rankings.
        index_mb: encoder -> megabytes of its tables.
        random: encoder -> Spearman of its cosines with labels, over right passages and passages of another question.
        pairs: of the latter.
    """

    found: dict[str, Found] = field(default_factory=dict)
    index_mb: dict[str, float] = field(default_factory=dict)
    random: dict[str, float] = field(default_factory=dict)
    pairs: int = 0


def newest(home: Path, kind: str) -> Path | None:
    """The artifact of this kind that was made last; None: there is none."""
    folder = home / adopted.ARTIFACTS
    made = [path for path in sorted(folder.glob("*")) if (path / manifest.MANIFEST).is_file()]
    of_kind = [(about.made, path) for path in made if (about := manifest.read(path)).kind == kind]
    return max(of_kind)[1] if of_kind else None


def compare_three(
    kb: KnowledgeBase,
    settings: Settings,
    asked: Sequence[Question],
    base: str,
    tuned: Path | None,
    reranker: Path | None,
    progress: Progress,
    *,
    top: int = 20,
) -> Three:
    """Search for all questions by each, alone and in the hybrid. Tables that are missing are filled, and dropped again.

    Args:
        kb: the documents as they are in use.
        base: the encoder as it came, as in ``encoder.name``.
        tuned, reranker: artifacts; None: left out.
        top: hits that the cross-encoder puts in order.
    """
    changes: dict[str, dict[str, Any]] = {BASE: {"encoder.name": base, "search.adapter": ""}}
    if tuned is not None:
        adapter = tuned / ADAPTER
        changes[TUNED] = (
            {**changes[BASE], "search.adapter": str(adapter)}
            if adapter.is_file()
            else {"encoder.name": str(tuned), "search.adapter": ""}
        )
    three, opened = Three(), {}
    with adopted.tuning(kb.home):
        for name, change in changes.items():
            opened[name] = candidates.make(kb, settings, {**change, "search.mode": "hybrid"}, progress)
            opened[name].kb.sync(progress)
        last = opened[TUNED if tuned is not None else BASE]
        for name, one in opened.items():
            three.found.update({f"{name}, {mode}": _searched(one.kb, asked, mode, progress) for mode in MODES})
            bytes_of = tables.sizes(one.kb.home / TABLES)
            three.index_mb[name] = bytes_of.get(one.kb.fingerprint, 0) / 1e6
        if reranker is not None:
            ordered = Ordered(last.kb, _cross_encoder(reranker, settings), top)
            three.found.update({f"{CROSS}, {mode}": _searched(ordered, asked, mode, progress) for mode in MODES})
            three.index_mb[CROSS] = three.index_mb[TUNED if tuned is not None else BASE]
        pairs = _random(opened[BASE].kb, asked, progress)
        for name, one in opened.items():
            progress("right and random passages", len(three.random), len(opened))
            said = Cosine(one.kb.encoder).score([(pair.first, pair.second) for pair in pairs])
            three.random[name] = agreement(np.array(said), people(pairs))[0]
        for one in opened.values():
            one.drop()
    return Three(three.found, three.index_mb, three.random, len(pairs))


class Ordered:
    """Fits ``Asked``: hits of any mode, the best of which a cross-encoder puts in order."""

    def __init__(self, kb: Asked, reranker: Reranker, top: int) -> None:
        self._kb, self._reranker, self._top = kb, reranker, top

    def search_batch(self, queries: Sequence[str], k: int = 10, *, mode: Mode | None = None) -> list[list[Hit]]:
        """As a KnowledgeBase does."""
        found = self._kb.search_batch(queries, max(k, self._top), mode=mode)
        return [
            in_order(self._reranker, query, hits, self._top)[:k] for query, hits in zip(queries, found, strict=True)
        ]

    def ask(self, question: str, *, passages: Sequence[Hit] | None = None) -> Answer:
        """As a KnowledgeBase does."""
        return self._kb.ask(question, passages=passages)


def _searched(kb: Asked, asked: Sequence[Question], mode: Mode, progress: Progress) -> Found:
    return searched(kb, asked, mode, progress, depth=10)


def _cross_encoder(folder: Path, settings: Settings) -> "OnnxReranker | RemoteReranker":
    learnt: Mapping[str, Any] = manifest.read(folder).settings
    given = {"model": str(folder), "window": learnt["window"], "max_tokens": learnt["tokens"]}
    return models.make_unhurried(settings.rerank, offline=True, **given)


def _random(kb: KnowledgeBase, asked: Sequence[Question], progress: Progress) -> list[Pair]:
    examples = mine(kb, asked, progress, wrong=0).examples
    documents = {question.id: min(question.relevant) for question in asked if question.relevant}
    return [Pair(question, passage, label) for question, passage, label in random_pairs(examples, documents)]
