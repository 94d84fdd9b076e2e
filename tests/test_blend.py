"""How much the order in which hits were found counts beside what a cross-encoder says of them."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from damda.measure.dataset import Question
from damda.tune.blend import WEIGHTS, Read, learn, read
from damda.types import Answer, Chunk, Hit, Mode, quiet

pytest.importorskip("ir_measures", reason="needs the extra measure")


def hit(document: str, score: float) -> Hit:
    return Hit(Chunk(document, document, f"text of {document}", 0, 9), score, "hybrid")


def question(n: int, *documents: str) -> Question:
    return Question(f"q{n}", f"question {n}", frozenset(documents))


def test_a_cross_encoder_that_is_always_right_is_all_that_counts() -> None:
    hits = [hit("a", 90.0), hit("b", 50.0), hit("c", 10.0)]
    got = learn([Read(question(0, "c"), hits, [-3.0, -3.0, 3.0])])
    assert got.before == 0.5 and got.means[got.weight] == 1.0
    assert got.ceiling == 3.0 and got.weight == 0.05, "of those that are as good the one that changes least"


def test_one_that_knows_nothing_changes_nothing() -> None:
    seen = [
        Read(question(0, "a"), [hit("a", 30.0), hit("b", 29.0)], [-1.0, 1.0]),
        Read(question(1, "a"), [hit("a", 30.0), hit("b", 10.0)], [-9.0, 9.0]),
    ]
    got = learn(seen)
    assert got.weight == WEIGHTS[-1] and got.means[got.weight] <= got.before == 1.0


def test_the_sum_is_better_than_either() -> None:
    close = Read(question(0, "b"), [hit("a", 20.0), hit("b", 19.0)], [0.0, 2.0])
    clear = Read(question(1, "a"), [hit("a", 40.0), hit("b", 10.0)], [0.0, 2.0])
    got = learn([close, clear])
    assert got.means[got.weight] == 1.0 and got.means[0.0] < 1 and got.before < 1
    assert learn([clear, close]).means == got.means


class Searched:
    """Fits ``Asked``."""

    def search_batch(self, queries: Sequence[str], k: int = 10, *, mode: Mode | None = None) -> list[list[Hit]]:
        assert mode == "hybrid"
        return [[hit("a", 3.0), hit("b", 2.0)][:k] for _ in queries]

    def ask(self, question: str, *, passages: Sequence[Hit] | None = None) -> Answer:
        raise NotImplementedError


class Turns:
    """Fits ``Reranker``: the last one is surely right."""

    id = "turns"

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        return [replace(one, score=n) for n, one in zip((1.0, 0.5), reversed(hits), strict=True)]


def test_hits_are_read_in_the_order_in_which_they_were_found() -> None:
    first, *others = read(Searched(), Turns(), [question(n, "b") for n in range(40)], 2, quiet)
    assert [one.chunk.id for one in first.hits] == ["a", "b"] and len(others) == 39
    assert first.logits[0] == 0 and 20 < first.logits[1] < 21, "certainty has an end"
