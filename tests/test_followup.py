"""Follow-up questions made whole by rules, and the part of a history that counts. Kiwi is real, searches are not."""

from collections.abc import Sequence

import pytest

from damda.answer import grammar
from damda.answer.followup import MARGIN, Rules
from damda.answer.history import Conversation, recent
from damda.korean import Morphemes
from damda.types import Message


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def said(*questions: str) -> list[Message]:
    """A conversation in which each question was answered."""
    return [m for q in questions for m in (Message("user", q), Message("assistant", "답입니다. [1]"))]


def near(together: float, alone: float = 0.0, seen: list[str] | None = None) -> "Nearness":
    return Nearness(together, alone, [] if seen is None else seen)


class Nearness:
    """Says how near passages are to the second text, and to the first."""

    def __init__(self, together: float, alone: float, seen: list[str]) -> None:
        self._values, self.seen = [alone, together], seen

    def __call__(self, questions: Sequence[str]) -> list[float]:
        self.seen += questions
        return self._values


@pytest.mark.parametrize(
    ("kind", "question"),
    [
        ("fragment", "수습 직원은?"),
        ("fragment", "그럼 주말에는요?"),
        ("fragment", "영어로는?"),
        ("fragment", "왜요?"),
        ("fragment", "언제부터?"),
        ("fragment", "아니요, 해외로 갈 때요"),
        ("fragment", "반대로 줄이려면?"),
        ("reference", "그건 얼마예요?"),
        ("reference", "그럼 그 경우 수당도 나오나요?"),
        ("reference", "거기서는 며칠이나 묵나요?"),
        ("reference", "아까 그 회의실은 몇 층인가요?"),
        ("reference", "이건요?"),
        ("bare", "며칠인가요?"),
        ("bare", "누가 해?"),
        ("bare", "더 자세히 알려 주세요"),
        ("thin", "언제까지 신청해야 하나요?"),
        ("open", "휴가는 며칠이에요?"),
        ("open", "노트북을 잃어버리면 그건 어디에 신고하나요?"),  # what it points to stands before it
        ("open", "연차 이월"),  # keywords
        ("alone", "A4 복사용지 한 상자 단가 얼마"),
        ("alone", "나루센스 보증 기간은 얼마나 되나요?"),
    ],
)
def test_the_kind_of_a_korean_question(kind: str, question: str, morphemes: Morphemes) -> None:
    body = question[grammar.opening(question) :]
    assert grammar.korean(morphemes.tags([body])[0]) == kind


@pytest.mark.parametrize(
    ("kind", "question"),
    [
        ("fragment", "What about contractors?"),
        ("fragment", "And for interns?"),
        ("fragment", "Why?"),
        ("fragment", "What if I am sick?"),
        ("fragment", "The daily allowance?"),
        ("reference", "Who approves it?"),
        ("reference", "So what is the limit for those?"),
        ("reference", "Can they take photos there?"),
        ("open", "Is there a limit?"),  # "there" points nowhere
        ("open", "Who pays for the visa?"),
        ("open", "If my laptop is stolen, who do I report it to?"),
        ("open", "parking fee"),
        ("alone", "Is it OK to clean the sensor with alcohol?"),
        ("alone", "Which city are the Naru Cloud data centers in?"),
    ],
)
def test_the_kind_of_an_english_question(kind: str, question: str) -> None:
    assert grammar.english(question[grammar.opening(question) :]) == kind


def test_an_opening_with_nothing_after_it_is_the_question() -> None:
    assert grammar.opening("그럼?") == grammar.opening("And?") == 0


@pytest.mark.parametrize(
    ("before", "question", "whole"),
    [
        ("국내 출장은 누가 승인하나요?", "아니, 해외 출장은?", "해외 출장은 누가 승인하나요?"),
        ("P1은 몇 분 안에 대응하나요?", "P3는?", "P3은 몇 분 안에 대응하나요?"),
        ("도쿄로 출장 가면 일비가 얼마예요?", "그럼 하노이는요?", "하노이로 출장 가면 일비가 얼마예요?"),
        ("서울에서 부산까지 얼마예요?", "대구까지는?", "서울에서 대구까지 얼마예요?"),
        ("나루센스 S2를 사면 얼마예요?", "S2 Pro는?", "나루센스 S2 Pro를 사면 얼마예요?"),
        ("500만 원 이하는 누가 결재해요?", "300만 원은?", "300만 원 이하는 누가 결재해요?"),
        ("자녀가 결혼하면 경조금이 얼마인가요?", "본인 결혼은?", "본인 결혼하면 경조금이 얼마인가요?"),
        # Nothing there is of its kind: both are searched for.
        ("재택근무는 며칠까지 할 수 있나요?", "수습 직원은?", "수습 직원은? 재택근무는 며칠까지 할 수 있나요?"),
        ("회의실 예약은 어떻게 해요?", "영어로는?", "영어로는? 회의실 예약은 어떻게 해요?"),
        ("연차는 며칠인가요?", "그건 언제 생기나요?", "그건 언제 생기나요? 연차는 며칠인가요?"),
        ("연차는 며칠인가요?", "언제 생겨요?", "언제 생겨요? 연차는 며칠인가요?"),
        ("How long is the visa valid?", "And who pays for it?", "who pays for it? How long is the visa valid?"),
        ("What is the limit in Seoul?", "What about Busan?", "What about Busan? What is the limit in Seoul?"),
    ],
)
def test_what_a_follow_up_becomes(before: str, question: str, whole: str, morphemes: Morphemes) -> None:
    assert Rules(morphemes)(question, said(before)) == whole


def test_a_chain_is_read_with_the_last_question_that_stood_alone(morphemes: Morphemes) -> None:
    rules = Rules(morphemes)
    chain = ["국내 출장은 누가 승인하나요?", "해외 출장은?", "왜요?"]
    assert rules("며칠 전까지 받아야 해요?", said(*chain)) == "며칠 전까지 받아야 해요? 해외 출장은 누가 승인하나요?"
    changed = [*chain, "나루센스 보증 기간은 얼마나 되나요?"]
    assert rules("왜요?", said(*changed)) == "왜요? 나루센스 보증 기간은 얼마나 되나요?"


def test_a_question_that_stands_alone_is_left_as_it_is(morphemes: Morphemes) -> None:
    rules = Rules(morphemes, near(100.0))
    for question in ("그런데 나루센스 보증 기간은 얼마나 되나요?", "Is it OK to clean the sensor with alcohol?"):
        assert rules(question, said("연차는 며칠인가요?")) == question
    assert rules("수습 직원은?", []) == "수습 직원은?"  # nothing to be read with
    assert rules("수습 직원은?", [Message("assistant", "안녕하세요.")]) == "수습 직원은?"


def test_greetings_and_thanks_are_neither_read_nor_read_with(morphemes: Morphemes) -> None:
    rules = Rules(morphemes, near(100.0))
    for greeting in ("안녕하세요", "안녕하세요!", "hello", "Hi,"):
        assert rules("수습 직원은?", said(greeting)) == "수습 직원은?"
    before = "국내 출장은 누가 승인하나요?"
    assert rules("네, 감사합니다.", said(before)) == "네, 감사합니다."
    assert rules("해외 출장은?", said(before, "감사합니다!")) == "해외 출장은 누가 승인하나요?"


def test_a_sentence_with_a_noun_follows_up_when_a_passage_is_clearly_nearer_to_both(morphemes: Morphemes) -> None:
    before, question = "자녀가 결혼하면 경조금이 얼마인가요?", "휴가는 며칠이에요?"
    seen: list[str] = []
    assert Rules(morphemes, near(MARGIN, seen=seen))(question, said(before)) == f"{question} {before}"
    assert seen == [question, f"{question} {before}"]
    assert Rules(morphemes, near(MARGIN - 0.01))(question, said(before)) == question
    assert Rules(morphemes)(question, said(before)) == question
    # Without any noun but the verb's, it need not be clear.
    assert Rules(morphemes, near(0.0))("언제까지 신청하나요?", said(before)).endswith(before)
    # Nearness across languages says nothing.
    assert Rules(morphemes, near(9.0))("Who pays for the visa?", said(before)) == "Who pays for the visa?"


def test_what_takes_whose_place_is_told_by_nearness_where_grammar_does_not(morphemes: Morphemes) -> None:
    before = "법인카드를 잃어버리면 어디에 신고하나요?"
    assert Rules(morphemes, near(1.0, 0.5))("노트북은?", said(before)) == "노트북을 잃어버리면 어디에 신고하나요?"
    assert Rules(morphemes, near(0.5, 1.0))("노트북은?", said(before)) == f"노트북은? {before}"


def test_the_newest_turns_that_fit_are_kept_whole() -> None:
    history = [Message("user", "a b"), Message("assistant", "c d"), Message("user", "e"), Message("assistant", "f g")]
    assert recent(history, words, 7) == history
    assert recent(history, words, 6) == history[2:]
    assert recent(history, words, 3) == history[2:]
    assert recent(history, words, 0) == []
    assert recent([], words, 7) == []


def test_one_huge_turn_is_cut() -> None:
    huge = [Message("user", "Why?"), Message("assistant", "word " * 100_000)]
    question, answer = recent(huge, words, 50)
    assert question == huge[0]
    assert huge[1].content.startswith(answer.content) and 40 <= len(answer.content.split()) <= 49
    (cut,) = recent([Message("user", "word " * 100_000)], words, 50)
    assert 40 <= len(cut.content.split()) <= 50
    # Korean without spaces: as many tokens as characters.
    (korean,) = recent([Message("user", "가" * 1000)], lambda texts: [len(text) for text in texts], 50)
    assert 40 <= len(korean.content) <= 50


def test_a_conversation_is_read_within_its_limit(morphemes: Morphemes) -> None:
    history = said("국내 출장은 누가 승인하나요?", "왜 그런가요?")
    whole = Conversation(words, 1000, Rules(morphemes)).read("해외 출장은?", history)
    assert whole == ("해외 출장은 누가 승인하나요?", history)
    assert Conversation(words, 4, Rules(morphemes)).read("해외 출장은?", history).history == history[2:]
    assert Conversation(words, 0, Rules(morphemes)).read("해외 출장은?", history) == ("해외 출장은?", [])
    assert Conversation(words, 1000, None).read("해외 출장은?", history) == ("해외 출장은?", history)
