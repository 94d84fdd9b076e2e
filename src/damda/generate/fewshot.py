"""The prompt for a model that only continues text: three worked examples, then the real passages and question.

Knows: one plain format, in Korean. Does not know: chat templates, grammars, any model. Models without a chat template
were never taught to answer, only to go on; the examples show them what going on means here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

ABSENT = "없음"
"""What the examples answer where the passages don't."""

STOP = "\n"
"""Ends an answer: after it the model would go on with a next question of its own."""


@dataclass(frozen=True, slots=True)
class Example:
    passages: tuple[str, ...]
    question: str
    answer: str


# Whole sentences: an answer then starts with the question's own subject. With bare answers Gemma-3-270M starts with any
# number or place in sight (right sentence for 15 of 24 questions so, 13 with bare answers).
EXAMPLES = (
    Example(
        (
            "서울 지하철 1호선은 1974년 8월 15일에 개통되었다. 서울역과 청량리역을 잇는 7.8킬로미터 구간이었다.",
            "한글날은 10월 9일이다.",
        ),
        "서울 지하철 1호선은 언제 개통되었나?",
        "서울 지하철 1호선은 1974년 8월 15일에 개통되었다.",
    ),
    Example(
        (
            "김치는 배추와 무를 소금에 절여 만든다.",
            "도서관은 평일 오전 9시에 문을 열고 오후 6시에 닫는다.",
        ),
        "도서관 주차장에는 몇 대를 댈 수 있나?",
        ABSENT,
    ),
    Example(
        (
            "제주도는 대한민국에서 가장 큰 섬이다.",
            "연차 휴가는 사흘 전까지 팀장에게 신청한다. 급한 때에는 전화로 알린다.",
        ),
        "휴가는 누구에게 신청하나?",
        "연차 휴가는 사흘 전까지 팀장에게 신청한다.",
    ),
)


def prompt(question: str, passages: Sequence[str], examples: Sequence[Example] = ()) -> str:
    """Text whose natural next line is the answer, after a space. Examples: `EXAMPLES`, if none are given."""
    rule = f'문서에서 질문의 답을 그대로 옮겨 적는다. 답이 없으면 "{ABSENT}"이라고 쓴다.'
    shown = [_block(example.passages, example.question) + f" {example.answer}" for example in examples or EXAMPLES]
    return "\n\n".join([rule, *shown, _block(passages, question)])


def _block(passages: Sequence[str], question: str) -> str:
    # One line each: a line break inside a passage would look like the end of an answer.
    lines = [f"- {' '.join(passage.split())}" for passage in passages]
    return "\n".join(["문서:", *lines, f"질문: {' '.join(question.split())}", "답:"])
