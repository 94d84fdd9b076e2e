"""Questions in three parts: held-out ones are of documents never trained on, and a leak is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damda.measure.dataset import Question
from damda.tune.split import Parts, by_document, leaks

DOCUMENTS = st.frozensets(st.sampled_from([f"d{n}" for n in range(40)]), max_size=3)


def asked(count: int = 400, documents: int = 100, start: int = 0) -> list[Question]:
    return [Question(f"q{n}", f"question {n}?", frozenset({f"d{n % documents}"})) for n in range(start, start + count)]


def where(parts: Parts) -> dict[str, str]:
    """Document -> part."""
    named = {"train": parts.train, "validation": parts.validation, "held_out": parts.held_out}
    return {document: name for name, of in named.items() for question in of for document in question.relevant}


@given(st.lists(st.tuples(DOCUMENTS, st.integers(0, 30)), max_size=60), st.integers(0, 3))
def test_no_document_and_no_question_is_in_two_parts(drawn: list[tuple[frozenset[str], int]], seed: int) -> None:
    questions = [Question(str(n), f"Question  {text}", documents) for n, (documents, text) in enumerate(drawn)]
    parts = by_document(questions, seed=seed)
    assert leaks(parts, {}) == []
    dealt = [question.id for part in (parts.train, parts.validation, parts.held_out) for question in part]
    assert sorted(dealt) == sorted(question.id for question in questions if question.relevant)


def test_shares_and_order() -> None:
    parts = by_document(asked(3000, 3000))
    sizes = [len(parts.train), len(parts.validation), len(parts.held_out)]
    assert sizes == pytest.approx([1950, 300, 750], rel=0.15)
    assert [q.id for q in parts.train] == [q.id for q in asked(3000, 3000) if q in set(parts.train)]
    assert by_document(asked()) == by_document(asked()) != by_document(asked(), seed=1)
    assert not by_document(asked(), validation=0).validation


def test_documents_stay_where_they_are_when_others_come() -> None:
    before, after = (where(by_document(asked(count=n, documents=n))) for n in (60, 200))
    assert {document: after[document] for document in before} == before


def test_a_question_of_several_documents_ties_them() -> None:
    chain = [Question(f"c{n}", f"c{n}", frozenset({f"d{n}", f"d{n + 1}"})) for n in range(50)]
    parts = by_document([*asked(60, 51), *chain])
    assert len(set(where(parts).values())) == 1


def test_the_same_question_of_two_documents_ties_them() -> None:
    same = [
        Question(f"s{n}", "When was he  BORN?" if n % 2 else "when was he born?", frozenset({f"d{n}"}))
        for n in range(40)
    ]
    assert len(set(where(by_document(same)).values())) == 1


def test_each_kind_of_leak_is_found() -> None:
    one, two = Question("1", "Who?", frozenset({"a"})), Question("2", "who?  ", frozenset({"b"}))
    assert leaks(Parts((one,), (), (two,)), {}) == ["the question 'who?' is in train and in held out"]
    other = Question("3", "what?", frozenset({"a", "c"}))
    assert leaks(Parts((one,), (other,), ()), {}) == ["the document 'a' is in train and in validation"]
    third = Question("4", "where?", frozenset({"d"}))
    texts = {"a": "The  text", "d": "the text", "b": "another"}
    assert leaks(Parts((one,), (), (third,)), texts) == ["the text 'the text' is in train and in held out"]
    assert leaks(Parts((one, two, other), (), (third,)), {"a": "1", "d": "2"}) == []


def test_copies_of_a_text_stay_together() -> None:
    """One file under two names: who has learnt the one knows the other."""
    asked = [Question(f"{n}{copy}", f"{copy} {n}?", frozenset((f"{copy}{n}",))) for n in range(40) for copy in "ab"]
    texts = {f"{copy}{n}": f"text {n}" for n in range(40) for copy in "ab"}
    assert leaks(by_document(asked), texts)
    assert not leaks(by_document(asked, texts), texts)
