"""The number that a question asks for."""

import pytest

from damda.asked import number


@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        ("도서관은 언제 문을 열었나요?", "도서관은 1998년 3월 2일에 문을 열었다.", "1998년 3월 2일"),
        ("도서관이 문을 연 해는?", "도서관은 1998년 3월 2일에 문을 열었다.", "1998년"),
        ("몇 년도에 지었나?", "2년 뒤인 1443년에 지었다.", "1443년"),
        ("책은 몇 권까지 빌리나요?", "한 번에 5권, 14일 동안 빌린다.", "5권"),
        ("서울은 몇 번째로 큰 도시인가?", "2024년에 21번째로 컸다.", "21번째"),
        ("연차는 며칠인가요?", "1년을 일하면 연차는 15일이다.", "15일"),
        ("인구는 얼마인가?", "61개 나라에 11억 3천만 명이 산다.", "61개"),
        ("면적은 얼마나 되나요?", "국토의 면적은 51만4000km2로 넓다.", "51만4000km2"),
        ("2020년에 몇 명이 왔나요?", "2020년에는 3명이 왔다.", "3명"),
        ("When was it built?", "It was built in May 1903 by two people.", "May 1903"),
        ("How much did it cost?", "It cost $5 million in cash.", "$5 million"),
    ],
)
def test_the_number_is_found_in_its_sentence(question: str, text: str, answer: str) -> None:
    wanted = number(question)
    assert wanted is not None
    span = wanted.find(text)
    assert span is not None and text[slice(*span)] == answer


@pytest.mark.parametrize("text", ["아무도 오지 않았다.", "2020년의 일이다.", ""])
def test_no_number_and_the_question_s_own_are_no_answer(text: str) -> None:
    wanted = number("2020년에 몇 명이 왔나요?")
    assert wanted is not None and wanted.find(text) is None


@pytest.mark.parametrize("question", ["누가 지었나요?", "왜 닫았나요?", "Who built it?", ""])
def test_other_questions_ask_for_no_number(question: str) -> None:
    assert number(question) is None
