"""What a small model learns reading from: pieces around answers, pieces that do not answer, a teacher's answers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from damda.errors import GeneratorError
from damda.measure.dataset import Question
from damda.tune import lessons as learning
from damda.tune.lessons import LONGEST, Believed, Lesson, Mixture, Passage, believed, lessons, taught
from damda.types import NOT_FOUND, Delta, Document, quiet

FILLER = " ".join(f"문장 {n}번은 아무것도 말하지 않는다." for n in range(200))
DOCUMENTS = {
    "library": Document("library", f"{FILLER} 도서관은 아홉 시에 문을 연다. {FILLER}", "도서관"),
    "tea": Document("tea", "차는 찻잎으로 만든다.", "차"),
    "wine": Document("wine", "포도주는 포도로 만든다. 도서관에는 없다.", "포도주"),
    "nine": Document("nine", "아홉 시 정각이다.", ""),
}
OPENS = Question("q1", "도서관은 언제 여나?", frozenset({"library"}), ("'아홉 시'", "아홉 시", "아홉 시에"))


def made(asked: list[Question], **mixture: Any) -> list[Lesson]:  # noqa: ANN401
    near = {question.id: ["nine", "wine", "library"] for question in asked}
    return list(lessons(asked, DOCUMENTS, near, Mixture(**mixture)))


def test_a_piece_around_the_answer_of_any_length() -> None:
    found = [one for seed in range(60) for one in made([OPENS], seed=seed, refusals=0, several=0)]
    assert len(found) == 60 and {one.answer for one in found} == {"아홉 시"}
    texts = [one.passages[0].text for one in found]
    assert all("아홉 시" in text and len(text) <= LONGEST + 20 for text in texts)
    assert max(map(len, texts)) > 900 and min(map(len, texts)) < 400
    places = [text.index("아홉 시") / len(text) for text in texts]
    assert min(places) < 0.2 and max(places) > 0.8
    # Never inside a word: all words of the pieces are words of the document.
    assert {word for text in texts for word in text.split()} <= set(DOCUMENTS["library"].text.split())


def test_what_does_not_answer_has_no_right_wording() -> None:
    found = [one for seed in range(40) for one in made([OPENS], seed=seed, refusals=1, several=0)]
    wrong = [one for one in found if one.answer == NOT_FOUND]
    assert len(wrong) == 40 and all(one.answered is False for one in wrong)
    # "nine" is nearest, and it has the answer's words; "library" is the question's own.
    assert {one.passages[0].title for one in wrong} == {"차", "포도주"}


def test_a_title_does_not_tell_whether_it_answers() -> None:
    """Most of these have no title; a question about one that has is refused with others that have, and the reverse."""
    bare = {f"d{n}": Document(f"d{n}", f"{n}번 문단에는 제목이 없다. {FILLER[:300]}") for n in range(50)}
    held = {**DOCUMENTS, **bare}
    for asked, titled in ((OPENS, True), (Question("q9", "몇 번?", frozenset({"d7"}), ("7번 문단",)), False)):
        near = {asked.id: [*bare, "wine"]}
        found = [one for seed in range(40) for one in lessons([asked], held, near, Mixture(1, 1, seed))]
        assert len(found) == 80
        assert {bool(passage.title) for one in found for passage in one.passages} == {titled}


def test_some_have_several_passages_and_one_that_answers() -> None:
    found = [one for seed in range(40) for one in made([OPENS], seed=seed, refusals=0, several=1)]
    several = [one for one in found if len(one.passages) > 1]
    assert len(several) > 10
    assert all(sum("아홉 시" in passage.text for passage in one.passages) == 1 for one in several)
    assert {next(n for n, p in enumerate(one.passages) if "아홉 시" in p.text) for one in several} >= {0, 1}
    assert all(sum(len(passage.text) for passage in one.passages) <= LONGEST for one in found)
    assert [message.role for message in several[0].messages()] == ["system", "user"]
    assert "[2]" in several[0].messages()[0].content


def test_what_a_question_gives_depends_on_itself_alone() -> None:
    other = Question("q2", "차는 무엇으로 만드나?", frozenset({"tea"}), ("찻잎",))
    assert made([OPENS]) == [one for one in made([other, OPENS]) if one.question == OPENS.text]
    assert made([OPENS], seed=1) != made([OPENS], seed=2)


def test_documents_that_are_set_aside_are_not_seen() -> None:
    found = [
        passage.title
        for seed in range(30)
        for one in lessons([OPENS], DOCUMENTS, {"q1": ["wine"]}, Mixture(1, 1, seed), aside={"wine"})
        for passage in one.passages
    ]
    assert "차" in found and "포도주" not in found


def test_questions_without_a_label() -> None:
    unlabelled = Question("q3", "도서관은 아홉 시에 문을 여나?", frozenset({"library"}))
    (asked,) = made([unlabelled])
    assert asked.answer == "" and asked.answered is None and "아홉 시에 문을 연다" in asked.passages[0].text
    nobody_knows = Question("q4", "도서관장은?", frozenset({"library"}), answerable=False)
    (refused,) = made([nobody_knows])
    assert refused.answer == NOT_FOUND and refused.answered is False
    gone = Question("q5", "무엇?", frozenset({"gone"}), ("것",))
    assert made([gone], refusals=0) == []


def test_the_nearest_by_letters() -> None:
    pytest.importorskip("sklearn", reason="the extra tune is not installed")
    asked = [Question("q0", "포도주는 무엇으로?", frozenset({"tea"})), OPENS]
    near = learning.nearest(asked, DOCUMENTS, quiet)
    assert near["q0"][0] == "wine" and "tea" not in near["q0"] and "library" not in near["q1"]


LESSON = Lesson("언제?", (Passage("", "도서관은 '아홉 시'에 연다."),), "", None)


@pytest.mark.parametrize(
    ("said", "answered", "answer", "why"),
    [
        ("'아홉 시'에 연다", True, "'아홉 시'에 연다", ""),
        ("도서관은 '아홉 시'에 연다.", None, "도서관은 '아홉 시'에 연다.", ""),
        ("'아홉 시'.", True, "'아홉 시'", ""),
        ('"아홉 시"', None, "아홉 시", ""),
        ("아홉시", None, "", "changed"),
        (NOT_FOUND, True, NOT_FOUND, "refused"),
        ("", None, NOT_FOUND, ""),
        (f"{NOT_FOUND}.", False, NOT_FOUND, ""),
        ("아홉 시", False, "", "invented"),
    ],
)
def test_whom_to_believe(said: str, answered: bool | None, answer: str, why: str) -> None:
    assert believed(Lesson(LESSON.question, LESSON.passages, "", answered), said) == (answer, why)


class Teacher:
    """Says the same of all, and breaks off at some point."""

    id = "teacher"

    def __init__(self, breaks: int = 99) -> None:
        self.asked: list[str] = []
        self._breaks = breaks

    def stream(self, messages: Any, *, passages: Any = (), **_: Any) -> Iterator[Delta]:  # noqa: ANN401
        if len(self.asked) == self._breaks:
            raise GeneratorError("gone")
        self.asked.append(messages[-1].content)
        yield Delta("아홉 시")
        yield Delta(finish="stop")


def test_a_teacher_is_not_asked_twice(tmp_path: Path) -> None:
    file = tmp_path / "work" / "teacher.jsonl"
    given = [Lesson(f"{n}?", LESSON.passages, "", None) for n in range(4)]
    given.append(Lesson("아니?", LESSON.passages, NOT_FOUND, False))
    with pytest.raises(GeneratorError):
        taught(given, Teacher(2), file, quiet)
    with file.open("a", encoding="utf-8") as opened:
        opened.write('{"key": "cut o')  # as a kill leaves it
    teacher = Teacher()
    kept, said = taught(given, teacher, file, quiet)
    assert teacher.asked == ["2?", "3?", "아니?"]
    assert [one.answer for one in kept] == ["아홉 시"] * 4 and said == Believed(5, 4, 0, 0, 1)
    again = Teacher(0)
    assert taught(given, again, file, quiet) == (kept, said)
    assert sum(1 for line in file.read_text(encoding="utf-8").splitlines() if line.endswith("}")) == 5
    assert all(json.loads(line)["said"] for line in file.read_text(encoding="utf-8").splitlines() if "said" in line)
