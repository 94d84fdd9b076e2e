"""Examples from questions: the passage that answers, others that surely do not, nothing of held-out documents."""

from collections.abc import Sequence
from math import inf

import numpy as np
import pytest

from damda.measure.dataset import Question
from damda.tune.mine import Example, mine, random_pairs
from damda.types import Chunk, Hit, Mode, quiet


def hit(document: str, score: float, text: str = "") -> Hit:
    text = text or f"text of {document}"
    return Hit(Chunk(f"{document}#{score}", document, text, 0, len(text), title=f"Title {document}"), score, "hybrid")


class Found:
    """Finds what it was told to, whatever is asked."""

    def __init__(self, *hits: Hit) -> None:
        self.hits, self.asked = list(hits), 0

    def search_batch(self, queries: Sequence[str], k: int = 10, *, mode: Mode | None = None) -> list[list[Hit]]:
        assert mode == "hybrid"
        self.asked += 1
        return [self.hits[:k] for _ in queries]


def question(*relevant: str, answers: tuple[str, ...] = (), id: str = "q") -> Question:
    return Question(id, "question?", frozenset(relevant), answers)


def test_the_right_passage_and_the_hardest_wrong_ones() -> None:
    found = Found(hit("a", 1.0), hit("b", 0.9), hit("c", 0.8), hit("d", 0.7))
    mined = mine(found, [question("a")], quiet, wrong=2)
    assert mined.examples == [
        Example("question?", "Title a\ntext of a", ("Title b\ntext of b", "Title c\ntext of c"), "q")
    ]
    assert mined.doubtful == {}


def test_a_question_whose_passage_is_not_found_is_doubtful() -> None:
    found = Found(hit("b", 1.0), hit("c", 0.9), hit("a", 0.8))
    mined = mine(found, [question("a")], quiet, depth=2)
    assert mined.examples == [] and mined.doubtful == {"q": "its passage is not among the first 2"}
    assert mine(found, [question("a")], quiet, depth=3).doubtful == {}
    assert mine(Found(), [question("a")], quiet).doubtful.keys() == {"q"}


def test_the_passage_with_the_answer_goes_before_others_of_its_document() -> None:
    found = Found(hit("a", 1.0, "about something"), hit("b", 0.9), hit("a", 0.5, "In May 19 90, yes"))
    (example,) = mine(found, [question("a", answers=("may 1990",))], quiet).examples
    assert example.passage == "Title a\nIn May 19 90, yes"
    assert example.wrong == (), "b scores above the right one"


def test_passages_with_the_answer_are_not_wrong() -> None:
    found = Found(hit("a", 1.0, "in 1990"), hit("b", 0.5, "It was IN 19 90."), hit("c", 0.4))
    (example,) = mine(found, [question("a", answers=("In 1990", " "))], quiet, wrong=3).examples
    assert example.wrong == ("Title c\ntext of c",)


@pytest.mark.parametrize(
    ("margin", "wrong"),
    [(0.95, ["c", "d"]), (0.5, ["d"]), (1.0, ["b", "c", "d"]), (inf, ["x", "b", "c", "d"])],
)
def test_passages_as_near_as_the_right_one_may_be_right_too(margin: float, wrong: list[str]) -> None:
    found = Found(hit("x", 2.0), hit("a", 1.0), hit("b", 0.96), hit("c", 0.8), hit("d", 0.4))
    (example,) = mine(found, [question("a")], quiet, wrong=9, margin=margin).examples
    assert [text[-1] for text in example.wrong] == wrong


def test_documents_of_the_question_and_held_out_ones_are_never_wrong() -> None:
    found = Found(*(hit(name, 1 - n / 10) for n, name in enumerate("abcdefg")))
    (example,) = mine(found, [question("a", "d")], quiet, wrong=9, aside=frozenset("bf")).examples
    assert [text[-1] for text in example.wrong] == ["c", "e", "g"]


def test_the_same_wrong_passage_is_taken_once() -> None:
    twin = Hit(Chunk("t", "t", "text of b", 0, 9, title="Title b"), 0.8, "hybrid")
    found = Found(hit("a", 1.0), hit("b", 0.9), twin, hit("c", 0.7))
    assert len(mine(found, [question("a")], quiet, wrong=2).examples[0].wrong) == 2
    assert len(set(mine(found, [question("a")], quiet, wrong=2).examples[0].wrong)) == 2


def test_many_questions_are_searched_together() -> None:
    told: list[tuple[int, int]] = []
    found = Found(hit("a", 1.0))
    mined = mine(found, [question("a", id=str(n)) for n in range(70)], lambda _, at, of: told.append((at, of)))
    assert [example.id for example in mined.examples] == [str(n) for n in range(70)]
    assert found.asked == 3 and told == [(0, 70), (32, 70), (64, 70), (70, 70)]


def test_random_pairs_are_of_other_documents() -> None:
    examples = [Example(f"q{n}", f"p{n}", (), str(n)) for n in range(30)]
    documents = {str(n): f"d{n % 3}" for n in range(30)}
    rows = random_pairs(examples, documents)
    assert rows == random_pairs(examples, documents) != random_pairs(examples, documents, seed=1)
    assert len(rows) == 60
    for asked, passage, label in rows:
        own = documents[asked[1:]] == documents[passage[1:]]
        assert own if label else not own
    alone = random_pairs(examples, dict.fromkeys(documents, "one"))
    assert [label for *_, label in alone] == [1.0] * 30, "there is no other document"


def test_the_textbook_metric_can_not_tell_a_perfect_model() -> None:
    """Spearman's correlation of cosines with labels of 0 and 1 ends at .866: within each half the order is a tie."""
    pytest.importorskip("scipy", reason="the extra measure is not installed")
    from damda.measure.similarity import agreement

    examples = [Example(f"q{n}", f"p{n}", (), str(n)) for n in range(500)]
    rows = random_pairs(examples, {str(n): str(n) for n in range(500)})
    labels = np.array([label for *_, label in rows])
    drawn = np.random.default_rng(0)
    perfect = labels + drawn.uniform(-0.4, 0.4, len(labels))  # every right pair is above every wrong one
    assert perfect[labels == 1].min() > perfect[labels == 0].max()
    assert agreement(perfect, labels)[0] == pytest.approx(0.866, abs=0.001)
