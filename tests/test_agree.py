"""When two questions may share an answer: by hand, and over the pairs of benchmarks/cache_pairs.jsonl."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from damda.answer.agreement.agree import Agreement
from damda.answer.agreement.moments import moments
from damda.answer.agreement.polarity import polarity
from damda.answer.agreement.quantities import quantities
from damda.answer.agreement.question import Question
from damda.answer.memory.cache import THRESHOLD, likeness, unrelated
from damda.embed.encoder import OnnxEncoder
from damda.korean import Morphemes

PAIRS = Path(__file__).parent.parent / "benchmarks" / "cache_pairs.jsonl"


@pytest.fixture(scope="module")
def agreement(morphemes: Morphemes) -> Agreement:
    return Agreement(morphemes)


def read(morphemes: Morphemes, text: str) -> Question:
    return Question(text, morphemes.tags([text])[0])


@pytest.mark.parametrize(
    ("asked", "earlier", "why"),
    [
        ("안 읽은 메일을 지워 줘", "읽은 메일을 지워 줘", "negation"),
        ("읽지 않은 메일을 지워 줘", "읽은 메일을 지워 줘", "negation"),
        ("로그인 없이 볼 수 있어?", "로그인하고 볼 수 있어?", "negation"),
        ("늦지 마", "바꾸지 마", "negation"),
        ("본관은 몇 시부터 출입할 수 있나요?", "본관은 몇 시까지 출입할 수 있나요?", "since"),
        ("언제부터 신청할 수 있나요?", "언제까지 신청할 수 있나요?", "since"),
        ("수습 기간에 휴가를 쓸 수 있나요?", "수습 기간이 끝나면 휴가를 쓸 수 있나요?", "after"),
        ("open until May?", "open since May?", "since"),
        ("비회원도 되나요?", "회원도 되나요?", "negation"),
        ("불 켜 줘", "불 꺼 줘", "opposite"),
        ("최대 몇 명이야?", "최소 몇 명이야?", "opposite"),
        ("예약 방법", "예약 취소 방법", "opposite"),
        ("3층 회의실", "5층 회의실", "number"),
        ("세 번 틀리면?", "네 번 틀리면?", "number"),
        ("오후 2시 회의는?", "오전 2시 회의는?", "number"),
        ("3시간 뒤에 알려 줘", "3분 뒤에 알려 줘", "unit"),
        ("파일을 몇 개 보낼 수 있어?", "파일을 몇 메가 보낼 수 있어?", "unit"),
        ("오늘 날씨는?", "내일 날씨는?", "date"),
        ("이번 주 급식은?", "다음 주 급식은?", "date"),
        ("월요일에 쉬어?", "화요일에 쉬어?", "date"),
        ("서울 날씨 어때?", "부산 날씨 어때?", "name"),
        ("ERR-503이 뭐야?", "ERR-504가 뭐야?", "number"),
        ("A동 관리실은?", "B동 관리실은?", "name"),
        ("누가 만들었어?", "언제 만들었어?", "question word"),
        ("회의 있어?", "회의 언제 있어?", "question word"),
        ("제출해야 하나요?", "제출해도 되나요?", "may/must"),
        ("일요일만 쉬어?", "일요일에 쉬어?", "only"),
        ("메일을 모두 지워 줘", "메일을 지워 줘", "all"),
        ("사진만 빼고 옮겨 줘", "사진만 옮겨 줘", "except"),
        ("고양이가 개를 물었어?", "개가 고양이를 물었어?", "roles"),
        ("서울에서 부산까지 얼마나 걸려?", "부산에서 서울까지 얼마나 걸려?", "roles"),
        ("씻기 전에 먹어도 돼?", "먹기 전에 씻어도 돼?", "roles"),
        ("동생 친구 이름이 뭐야?", "친구 동생 이름이 뭐야?", "roles"),
        ("환불 규정", "refund policy", "language"),
        ("a > b인 경우는?", "a < b인 경우는?", "sign"),
        ("-5도면 얼어?", "5도면 얼어?", "sign"),
        ("이 코드를 고쳐 줘:\nif x: f()", "이 코드를 고쳐 줘:\nif y: f()", "length"),
        ("Can I pay with a card?", "Can I pay without a card?", "negation"),
        ("Is it valid?", "Is it invalid?", "negation"),
        ("How do I turn on the light?", "How do I turn off the light?", "opposite"),
        ("Set an alarm for 7 am", "Set an alarm for 7 pm", "number"),
        ("Is it open on Monday?", "Is it open on Sunday?", "date"),
        ("Where is the meeting?", "When is the meeting?", "question word"),
        ("Did the cat chase the dog?", "Did the dog chase the cat?", "roles"),
    ],
)
def test_what_two_questions_differ_in(agreement: Agreement, asked: str, earlier: str, why: str) -> None:
    for one, other in ((asked, earlier), (earlier, asked)):
        said = agreement.agree(one, other).split(":")[0]
        assert said == why or set(said.split("/")) == set(why.split("/"))


@pytest.mark.parametrize(
    ("asked", "earlier"),
    [
        ("환불 규정이 어떻게 돼?", "환불 규정이 어떻게 되나요?"),
        ("회의는 오후 2시에 시작해?", "회의는 14시에 시작해?"),
        ("사흘 동안 쉬면?", "3일 동안 쉬면?"),
        ("스물다섯 명이 타는 버스", "25명이 타는 버스"),
        ("오월 삼일 일정", "5월 3일 일정"),
        ("올해 매출은?", "금년 매출은?"),
        ("이유가 뭐야?", "왜 그래?"),
        ("배송이 안 되는 지역은?", "배송이 되지 않는 지역은?"),
        ("와이파이 연결", "wifi 연결"),
        ("한 번 알려 줘", "알려 줘"),
        ("커피랑 녹차 중에 뭐가 더 비싸?", "녹차랑 커피 중에 뭐가 더 비싸?"),
        ("서울까지 부산에서 얼마나 걸려?", "부산에서 서울까지 얼마나 걸려?"),
        ("TV 켜 줘", "티비 켜 줘"),
        ("What time does it open?", "When does it open?"),
        ("What's the price?", "What is the price?"),
        ("Wait ten minutes", "Wait 10 minutes"),
    ],
)
def test_what_makes_no_difference(agreement: Agreement, asked: str, earlier: str) -> None:
    assert agreement.agree(asked, earlier) == ""
    assert agreement.agree(earlier, asked) == ""


def test_a_question_agrees_with_itself(agreement: Agreement) -> None:
    for row in pairs():
        for text in (row["a"], row["b"]):
            assert agreement.agree(text, text) == ""
            assert agreement.penalty(text, text) == 0


@pytest.mark.parametrize(
    "text", ["", "?", "ㅋㅋㅋ", "!!!", "🙂", "1", "가" * 3000, "a\nb", "，。", "0x1F 1e9 1.2.3 -- 3/0"]
)
def test_odd_texts_are_read(agreement: Agreement, text: str) -> None:
    for other in ("환불 규정이 뭐야?", "what is it?", "", "3"):
        assert isinstance(agreement.agree(text, other), str)
        assert agreement.penalty(text, other) >= 0


def test_a_word_in_anothers_place_weighs_more_than_one_more(agreement: Agreement) -> None:
    same = agreement.penalty("회의 일정 변경 방법", "회의 일정 변경하는 방법")
    more = agreement.penalty("회의 일정 변경 방법", "회의 일정 변경 방법 문서")
    other = agreement.penalty("회의 일정 변경 방법", "교육 일정 변경 방법")
    assert same == 0 < more < other


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2만 5천 원", {("25000", "원")}),
        ("백이십만 원", {("1200000", "원")}),
        ("25,000원", {("25000", "원")}),
        ("$30", {("30", "달러")}),
        ("두 사람이 세 번", {("2", "명"), ("3", "번")}),
        ("오전 열 시 반", {("10:30", "시")}),
        ("밤 11시", {("23:00", "시")}),
        ("9:30에", {("9:30?", "시")}),
        ("2024-05-03에", {("2024", "년"), ("5", "월"), ("3", "일")}),
        ("유월 열흘", {("6", "월"), ("10", "일")}),
        ("한 번만", set()),
        ("3.5%", {("3.5", "%")}),
        ("twenty people, 5 km", {("20", ""), ("5", "km")}),
    ],
)
def test_quantities(morphemes: Morphemes, text: str, found: set[tuple[str, str]]) -> None:
    assert quantities(read(morphemes, text)) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("저번 주 월욜 아침", {"지난주", "월요일", "오전"}),
        ("작년 하반기", {"작년", "하반기"}),
        ("다음달이랑 금년", {"다음달", "올해"}),
        ("next week, on Sundays", {"next week", "sunday"}),
    ],
)
def test_moments(morphemes: Morphemes, text: str, found: set[str]) -> None:
    assert moments(read(morphemes, text)) == found


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("안 읽은 메일", {"읽"}),
        ("읽으면 안 돼", {"읽"}),
        ("받을 수 없나요", {"받"}),
        ("커피 아니면 녹차", set()),
        ("알려 주지 않을래?", set()),
        ("방법을 모르겠어", set()),
        ("촬영 금지 구역", {"촬영"}),
    ],
)
def test_what_is_denied(morphemes: Morphemes, text: str, denied: set[str]) -> None:
    assert polarity(read(morphemes, text)).denied == denied


def pairs() -> list[dict[str, Any]]:
    return [json.loads(line) for line in PAIRS.read_text(encoding="utf-8").splitlines()]


def test_the_pairs_are_what_they_are_said_to_be() -> None:
    counted = Counter((row["lang"], row["same"]) for row in pairs())
    assert counted["ko", False] >= 150 and counted["en", False] >= 40
    assert counted["ko", True] >= 100
    assert len({row["id"] for row in pairs()}) == len(pairs())
    assert all(row["a"] != row["b"] for row in pairs())


def test_traps_get_no_answer_and_paraphrases_do(agreement: Agreement, encoder: OnnxEncoder) -> None:
    rows = pairs()
    vectors = encoder.encode([row[side] for row in rows for side in ("a", "b")], kind="query")
    alike = likeness_of(vectors[0::2] * vectors[1::2], unrelated(encoder))
    given: dict[bool, list[bool]] = {True: [], False: []}
    for row, like in zip(rows, alike, strict=True):
        served = not agreement.agree(row["a"], row["b"]) and like >= THRESHOLD + agreement.penalty(row["a"], row["b"])
        given[bool(row["same"])].append(served)
    assert sum(given[False]) <= 0.03 * len(given[False])
    assert sum(given[True]) >= 0.8 * len(given[True])
    bare = sum(like >= THRESHOLD for row, like in zip(rows, alike, strict=True) if not row["same"])
    assert bare > 0.8 * len(given[False]), "without the guards nearly all of them would"


def likeness_of(products: NDArray[np.float32], base: float) -> list[float]:
    return [likeness(float(cosine), base) for cosine in products.sum(axis=1)]
