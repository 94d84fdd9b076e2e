"""Two ranked lists become one: each formula against a slow one written here."""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from fakes import Opener
from hypothesis import given
from hypothesis import strategies as st

from damda.search.hybrid import Fuse, Scored, additive, convex, reciprocal_rank

IDS = [f"d{i}" for i in range(12)]


@st.composite
def ranked(draw: st.DrawFn, scores: st.SearchStrategy[float]) -> list[tuple[str, float]]:
    """A result list: no id twice, best first, ties allowed."""
    ids = draw(st.lists(st.sampled_from(IDS), unique=True))
    return list(
        zip(ids, sorted(draw(st.lists(scores, min_size=len(ids), max_size=len(ids))), reverse=True), strict=True)
    )


BM25 = st.one_of(st.floats(0.001, 60), st.sampled_from([1.0, 2.0]))
COSINE = st.one_of(st.floats(-1, 1), st.sampled_from([0.5, 0.75]))


@given(ranked(BM25), ranked(COSINE), st.integers(1, 1000))
def test_rrf_is_its_formula(words: Scored[str], vectors: Scored[str], k: int) -> None:
    fused = reciprocal_rank(k)(words, vectors, 100)
    assert fused.keys() == {i for i, _ in words} | {i for i, _ in vectors}
    for name, score in fused.items():
        exact = Fraction(0)
        for ranking in (words, vectors):
            for rank, (other, _) in enumerate(ranking, 1):
                if other == name:
                    exact += Fraction(1, k + rank)
        assert score == pytest.approx(float(exact), rel=1e-12)


def test_rrf_by_hand() -> None:
    """k = 5 over two lists of three, as in the textbook."""
    fused = reciprocal_rank(5)([("a", 9.0), ("b", 3.0), ("c", 1.0)], [("b", 0.9), ("d", 0.8), ("a", 0.1)], 3)
    assert fused == pytest.approx({"a": 1 / 6 + 1 / 8, "b": 1 / 7 + 1 / 6, "c": 1 / 8, "d": 1 / 7})
    assert sorted(fused, key=lambda name: -fused[name]) == ["b", "a", "d", "c"]


def test_rrf_does_not_look_at_scores() -> None:
    words, vectors = [("a", 9.0), ("b", 3.0)], [("b", 0.9), ("a", 0.8)]
    other = [("a", 1e9), ("b", 1e-9)]
    assert reciprocal_rank(60)(words, vectors, 5) == reciprocal_rank(60)(other, vectors, 5)


def slow_convex(weight: float, words: Scored[str], vectors: Scored[str], name: str) -> float:
    total = 0.0
    for share, ranking in ((weight, words), (1 - weight, vectors)):
        scores = dict(ranking)
        if name in scores:
            low, high = min(scores.values()), max(scores.values())
            total += share * (1.0 if low == high else (scores[name] - low) / (high - low))
    return total


@given(ranked(BM25), ranked(COSINE), st.floats(0, 1))
def test_convex_is_its_formula(words: Scored[str], vectors: Scored[str], weight: float) -> None:
    fused = convex(weight)(words, vectors, 100)
    assert fused.keys() == {i for i, _ in words} | {i for i, _ in vectors}
    for name, score in fused.items():
        assert score == pytest.approx(slow_convex(weight, words, vectors, name), abs=1e-12)
        assert -1e-12 <= score <= 1 + 1e-12


def test_convex_at_its_ends_is_one_list() -> None:
    words, vectors = [("a", 9.0), ("b", 3.0), ("c", 1.0)], [("c", 0.9), ("b", 0.8), ("a", 0.7)]
    for weight, ranking in ((1.0, words), (0.0, vectors)):
        fused = convex(weight)(words, vectors, 3)
        assert sorted(fused, key=lambda name: -fused[name]) == [name for name, _ in ranking]


@given(ranked(BM25), ranked(COSINE), st.floats(-1, 1), st.floats(1e-6, 1), st.integers(1, 20))
def test_additive_is_its_formula(
    words: Scored[str], vectors: Scored[str], mean: float, deviation: float, n: int
) -> None:
    fused = additive(mean, deviation)(words, vectors, n)
    assert fused.keys() == {i for i, _ in words} | {i for i, _ in vectors}
    bm25, cosine = dict(words), dict(vectors)
    for name, score in fused.items():
        # A list that is not full holds every hit there is; a missing one has 0. From a full list, half of its least.
        of_words = bm25.get(name, 0.0 if len(words) < n else min(bm25.values()) / 2)
        of_vectors = cosine.get(name, min(cosine.values(), default=0.0))
        assert score == pytest.approx(of_words + 9.0 * (of_vectors - mean) / deviation, rel=1e-9, abs=1e-6)
        assert math.isfinite(score)


@given(ranked(BM25), ranked(COSINE))
def test_additive_keeps_to_what_both_lists_say(words: Scored[str], vectors: Scored[str]) -> None:
    """A hit that neither list puts below another is not below it after fusion."""
    fused = additive(0.785, 0.025)(words, vectors, 100)
    bm25, cosine = dict(words), dict(vectors)
    both = bm25.keys() & cosine.keys()
    for a in both:
        for b in both:
            if bm25[a] >= bm25[b] and cosine[a] >= cosine[b]:
                assert fused[a] >= fused[b]


@pytest.mark.parametrize("fuse", [reciprocal_rank(60), convex(0.5), additive(0.785, 0.025)])
def test_empty_lists(fuse: Fuse) -> None:
    assert fuse([], [], 10) == {}
    assert fuse([("a", 3.0)], [], 10).keys() == {"a"} and fuse([], [("b", 0.3)], 1).keys() == {"b"}


# --- through a store


def filled(root: Path, texts: Sequence[str]) -> Path:
    for number, text in enumerate(texts):
        (root / f"d{number:02}.txt").write_text(text)
    return root


def test_each_mode_marks_its_hits(tmp_path: Path, open_fake: Opener) -> None:
    kb = open_fake(filled(tmp_path, ["red apple", "green apple", "blue sky"]))
    kb.sync()
    for mode in ("bm25", "dense", "rrf", "convex", "hybrid"):
        hits = kb.search("apple", 3, mode=mode)
        assert {hit.by for hit in hits} == {mode}
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    bm25 = {hit.chunk.id: hit.score for hit in kb.search("apple", 3, mode="bm25")}
    cosine = {hit.chunk.id: hit.score for hit in kb.search("apple", 3, mode="dense")}
    assert len(bm25) == 2 and len(cosine) == 3
    for hit in kb.search("apple", 3, mode="hybrid"):
        assert hit.bm25 == pytest.approx(bm25.get(hit.chunk.id, math.nan), nan_ok=True)
        assert hit.cosine == pytest.approx(cosine[hit.chunk.id], abs=1e-6)


def test_rrf_end_to_end(tmp_path: Path, open_fake: Opener) -> None:
    random = np.random.default_rng(3)
    texts = [" ".join(random.choice(["red", "green", "blue", "sky"], 6)) + f" w{i}" for i in range(25)]
    for k in (1, 60):
        kb = open_fake(filled(tmp_path, texts), settings={"search.rrf_k": k})
        kb.sync()
        lists = [[hit.chunk.id for hit in kb.search("red sky", 100, mode=mode)] for mode in ("bm25", "dense")]
        expected = {
            name: sum(1 / (k + ranking.index(name) + 1) for ranking in lists if name in ranking)
            for name in {*lists[0], *lists[1]}
        }
        found = {hit.chunk.id: hit.score for hit in kb.search("red sky", 100, mode="rrf")}
        assert found == pytest.approx(expected)


def test_ties_have_one_order(tmp_path: Path, open_fake: Opener) -> None:
    """Twenty equal documents: every search, and every process, puts them in the same order."""
    kb = open_fake(filled(tmp_path, ["same words"] * 20))
    kb.sync()
    for mode in ("hybrid", "convex"):
        orders = {tuple(hit.chunk.id for hit in kb.search("same", 20, mode=mode)) for _ in range(5)}
        assert len(orders) == 1
    hits = kb.search("nothing that is there", 20, mode="hybrid")
    assert all(math.isfinite(hit.score) for hit in hits)


def test_a_query_without_words(tmp_path: Path, open_fake: Opener) -> None:
    kb = open_fake(filled(tmp_path, ["red apple"]))
    kb.sync()
    assert kb.search("", 5, mode="bm25") == []
    assert len(kb.search("", 5)) == 1 and math.isnan(kb.search("", 5)[0].bm25)


def test_a_batch_is_its_queries_one_by_one(tmp_path: Path, open_fake: Opener) -> None:
    kb = open_fake(filled(tmp_path, ["red apple", "green apple", "blue sky"]))
    kb.sync()
    queries = ["apple", "sky", ""]
    batch = [[hit.chunk.id for hit in hits] for hits in kb.search_batch(queries, 2)]
    assert batch == [[hit.chunk.id for hit in kb.search(query, 2)] for query in queries]
    assert kb.search_batch([], 2) == []
