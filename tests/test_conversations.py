"""Follow-ups over the example documents, through the whole pipeline with the real encoder and analyser."""

import json
from pathlib import Path
from typing import Any

import pytest

import damda
from damda.measure.answers import holds
from damda.morphemes import MorphemeProcess
from damda.types import Answer, Message

EXAMPLES = Path(__file__).parent.parent / "examples"
TALKS: list[dict[str, Any]] = [
    json.loads(line) for line in (EXAMPLES / "conversations.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.fixture(scope="session")
def example_kb(model_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> damda.KnowledgeBase:
    """The example documents, indexed once."""
    home = tmp_path_factory.mktemp("conversations")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAMDA_CACHE", str(model_cache))
        kb = damda.open(EXAMPLES / "documents", settings={"home": str(home)})
        kb.sync()
    return kb


def test_gold_answers_stand_in_their_documents(example_kb: damda.KnowledgeBase) -> None:
    versions = example_kb._store.stored()
    for talk in TALKS:
        for turn in talk["turns"]:
            document = example_kb.document(turn["document"], versions[turn["document"]][1])
            assert document and holds(document.text, [turn["answer"]]), (talk["id"], turn["question"])


def test_there_are_enough_of_each_kind_in_both_halves() -> None:
    assert len({talk["id"] for talk in TALKS}) == len(TALKS)
    counts: dict[tuple[str, str], int] = {}
    for talk in TALKS:
        assert talk["turns"][0]["kind"] == "first" and 2 <= len(talk["turns"]) <= 4
        for turn in talk["turns"][1:]:
            korean = any("가" <= char <= "힣" for char in turn["question"])
            kind = "control" if turn["kind"] == "new" else "ko" if korean else "en"
            counts[talk["split"], kind] = counts.get((talk["split"], kind), 0) + 1
    assert min(counts["dev", "ko"], counts["test", "ko"]) >= 20
    assert min(counts["dev", "en"], counts["test", "en"]) >= 5
    assert min(counts["dev", "control"], counts["test", "control"]) >= 10


def told(kb: damda.KnowledgeBase, *questions: str) -> Answer:
    """The answer to the last question of a conversation."""
    history: list[Message] = []
    for question in questions[:-1]:
        history += [Message("user", question), Message("assistant", kb.ask(question, history=history).text)]
    return kb.ask(questions[-1], history=history)


def quotes(answer: Answer, wanted: str) -> bool:
    return any(holds(quote.text, [wanted]) for quote in answer.quotes)


@pytest.mark.parametrize(
    ("questions", "wanted", "asked"),
    [
        (
            ("재택근무는 일주일에 며칠까지 할 수 있나요?", "수습 직원은?"),
            "수습 기간인 직원 | 주 1일",
            "수습 직원은? 재택근무는 일주일에 며칠까지 할 수 있나요?",
        ),
        (
            ("국내 출장은 누가 승인하나요?", "아니, 해외 출장은?", "며칠 전까지 받아야 해요?"),
            "해외 출장은 출발 14일 전까지",
            "며칠 전까지 받아야 해요? 해외 출장은 누가 승인하나요?",
        ),
        (
            ("도쿄 출장 숙박비 상한은 얼마인가요?", "런던은?", "거기 일비는 얼마예요?"),
            "런던 | 85 | 290",
            "거기 일비는 얼마예요? 런던 출장 숙박비 상한은 얼마인가요?",
        ),
        (
            ("자녀가 결혼하면 경조금이 얼마인가요?", "본인 결혼은?", "휴가는 며칠이에요?"),
            "본인 결혼 | 5일",
            "휴가는 며칠이에요? 본인 결혼하면 경조금이 얼마인가요?",
        ),
        (
            ("회의실은 몇 시간까지 예약할 수 있나요?", "늦으면 취소되나요?"),
            "10분이 지나도",
            "늦으면 취소되나요? 회의실은 몇 시간까지 예약할 수 있나요?",
        ),
        (
            ("육아휴직은 얼마나 쓸 수 있나요?", "언제까지 신청해야 하나요?"),
            "육아휴직은 시작하려는 날의 30일 전까지 신청한다",
            "언제까지 신청해야 하나요? 육아휴직은 얼마나 쓸 수 있나요?",
        ),
        (
            ("What is the hotel limit per night in Seoul?", "What about longer stays?"),
            "For stays of 14 nights or more",
            "What about longer stays? What is the hotel limit per night in Seoul?",
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_follow_ups_that_fail_without_the_conversation(
    questions: tuple[str, ...], wanted: str, asked: str, example_kb: damda.KnowledgeBase
) -> None:
    assert not quotes(example_kb.ask(questions[-1]), wanted)
    answer = told(example_kb, *questions)
    assert quotes(answer, wanted) and answer.asked == asked


@pytest.mark.parametrize(
    "questions",
    [
        ("복지포인트는 1년에 얼마인가요?", "A4 복사용지 한 상자는 얼마예요?"),
        ("나루게이트 한 대에 센서를 몇 대까지 연결할 수 있나요?", "상여금은 언제 지급하나요?"),
        ("마음 상담은 몇 번까지 무료인가요?", "그럼 API v1은 언제 종료되나요?"),
        ("When does the shuttle leave?", "Can I paste source code into an AI assistant?"),
    ],
)
def test_a_change_of_topic_is_not_mixed_up(questions: tuple[str, ...], example_kb: damda.KnowledgeBase) -> None:
    answer, alone = told(example_kb, *questions), example_kb.ask(questions[-1])
    assert answer.asked == "" and answer == alone


def test_not_found_is_said_in_the_language_of_the_question_not_of_the_conversation(
    example_kb: damda.KnowledgeBase, model_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAMDA_CACHE", str(model_cache))
    strict = damda.open(EXAMPLES / "documents", settings={"home": str(example_kb.home), "answer.threshold": 1.0})
    history = [Message("user", "재택근무는 며칠까지 하나요?"), Message("assistant", "3일 [1]")]
    answer = strict.ask("What about interns?", history=history)
    assert answer.asked == "What about interns? 재택근무는 며칠까지 하나요?"
    assert answer.text == "The documents do not answer this question."


def test_tags_are_the_same_in_the_other_process(example_kb: damda.KnowledgeBase) -> None:
    question = "그럼 S2 Pro는 얼마예요? 😀 거기는요?"
    (tags,) = MorphemeProcess().tags([question])
    assert [question[m.start : m.end] for m in tags if m.tag in ("SL", "SN", "NNG")] == ["S", "2", "Pro", "얼마"]
    assert ("거기", "NP") in [(m.form, m.tag) for m in tags]
    assert MorphemeProcess().tags([]) == []
