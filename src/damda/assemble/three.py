"""Encoder as it came, encoder tuned, tuned with a cross-encoder: side by side on the same questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from damda import adopted, manifest
from damda.assemble import TABLES, candidates, models
from damda.assemble.reranked import Ordered
from damda.knowledge import KnowledgeBase
from damda.measure.dataset import Question
from damda.measure.evaluate import Asked, Found, searched
from damda.measure.similarity import Pair, agreement, people
from damda.search import tables
from damda.search.rerank import Cosine
from damda.settings import Settings
from damda.tune.make_encoder import ADAPTER
from damda.tune.mine import mine, random_pairs
from damda.types import Encoder, Mode, Progress

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

    found: dict[str, Found]
    index_mb: dict[str, float]
    random: dict[str, float]
    pairs: int


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
    opened: dict[str, candidates.Candidate] = {}
    found: dict[str, Found] = {}
    index_mb: dict[str, float] = {}
    with adopted.tuning(kb.home):
        for name, change in changes.items():
            opened[name] = candidates.make(kb, settings, {**change, "search.mode": "hybrid"}, progress)
            opened[name].kb.sync(progress)
        last = TUNED if tuned is not None else BASE
        for name, one in opened.items():
            found |= {f"{name}, {mode}": _searched(one.kb, asked, mode, progress) for mode in MODES}
            index_mb[name] = tables.present(one.kb.home / TABLES, one.kb.fingerprint) / 1e6
        if reranker is not None:
            for mode in MODES:
                ordered = Ordered(opened[last].kb, _cross_encoder(reranker, settings, mode), top)
                found[f"{CROSS}, {mode}"] = _searched(ordered, asked, mode, progress)
            index_mb[CROSS] = index_mb[last]
        pairs = _random(opened[BASE].kb, asked, progress)
        random = {name: _told_apart(one.kb.encoder, pairs, progress) for name, one in opened.items()}
        for one in opened.values():
            one.drop()
    return Three(found, index_mb, random, len(pairs))


def _told_apart(encoder: Encoder, pairs: Sequence[Pair], progress: Progress) -> float:
    progress(f"right and random passages ({encoder.id})", 0, 1)
    said = Cosine(encoder).score([(pair.first, pair.second) for pair in pairs])
    return agreement(np.array(said), people(pairs))[0]


def _searched(kb: Asked, asked: Sequence[Question], mode: Mode, progress: Progress) -> Found:
    return searched(kb, asked, mode, progress, depth=10)


def _cross_encoder(folder: Path, settings: Settings, mode: Mode) -> "OnnxReranker | RemoteReranker":
    """With what the hybrid says of its hits, as it was learnt; alone beside cosines, which are no such evidence."""
    learnt: Mapping[str, Any] = manifest.read(folder).settings
    given = {"model": str(folder), "window": learnt["window"], "max_tokens": learnt["tokens"]}
    given |= {"weight": learnt.get("weight", 0.0), "ceiling": learnt.get("ceiling")}  # it may not have been judged yet
    if mode == "dense":
        given |= {"weight": 0.0, "ceiling": None}
    return models.make_unhurried(settings.rerank, offline=True, **given)


def _random(kb: KnowledgeBase, asked: Sequence[Question], progress: Progress) -> list[Pair]:
    examples = mine(kb, asked, progress, wrong=0).examples
    documents = {question.id: min(question.relevant) for question in asked if question.relevant}
    return [Pair(question, passage, label) for question, passage, label in random_pairs(examples, documents)]
