"""Follow-up questions made whole by a language model: what is asked, what is taken, what happens when it fails."""

import json
import logging
from collections.abc import Iterator, Sequence

import httpx
import pytest
from fakes import FakeAnalyser

from damda.answer.rewrite import Rewriter, prompt
from damda.errors import GeneratorError, UnreachableError
from damda.generate.remote import Remote
from damda.settings import RemoteSettings
from damda.types import Delta, Hit, Message

HISTORY = [Message("user", "재택근무는 주 며칠까지 하나요?"), Message("assistant", "최대 3일까지 [1]")]
QUESTION = "수습 직원은 2025년에?"
GOOD = "수습 직원은 2025년에? 재택근무를 주 며칠까지 하나요?"


class Writes:
    """Streams a text word by word, or fails."""

    id = "writes"

    def __init__(self, text: str = "", error: GeneratorError | None = None) -> None:
        self._text, self._error = text, error
        self.calls = self.pieces = 0

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> Iterator[Delta]:
        self.calls += 1
        if self._error:
            raise self._error
        for word in self._text.split(" "):
            self.pieces += 1
            yield Delta(f"{word} ")
        yield Delta("", "stop")


def by_rules(question: str, history: Sequence[Message]) -> str:
    return f"rules: {question}"


def written(text: str) -> str:
    return Rewriter(Writes(text), by_rules, FakeAnalyser())(QUESTION, HISTORY)


@pytest.mark.parametrize("text", [GOOD, f"“{GOOD}”", f"고쳐 쓴 질문: {GOOD}", f"\n{GOOD}\n", QUESTION])
def test_a_usable_question_is_taken(text: str) -> None:
    assert written(text) in (GOOD, QUESTION)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        (f"{GOOD}\n이렇게 고쳤습니다.", "several lines"),
        (f"{GOOD} " + "아주 " * 100, "too long"),
        ("수습 직원은 재택근무를 주 며칠까지 하나요?", "other numbers"),
        (f"{GOOD} 7일인가요?", "other numbers"),
        ("재택근무는 2025년에 주 며칠까지 하나요?", "lost words"),
    ],
)
def test_what_cannot_be_used_leaves_it_to_the_rules(text: str, why: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert written(text) == f"rules: {QUESTION}"
    assert why in caplog.text


def test_a_number_of_the_conversation_may_come_in() -> None:
    assert written(f"{GOOD} 3일까지인가요?").endswith("3일까지인가요?")


def test_a_model_that_does_not_stop_is_not_heard_to_its_end() -> None:
    endless = Writes("말 " * 100_000)
    assert Rewriter(endless, by_rules, FakeAnalyser())(QUESTION, HISTORY) == f"rules: {QUESTION}"
    assert endless.pieces < 1000


def test_a_failing_model_leaves_it_to_the_rules_with_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    broken = Writes(error=GeneratorError("500: out of memory"))
    assert Rewriter(broken, by_rules, FakeAnalyser())(QUESTION, HISTORY) == f"rules: {QUESTION}"
    assert "500: out of memory" in caplog.text and broken.calls == 1


@pytest.mark.parametrize("lost", [httpx.ReadTimeout("hangs"), httpx.ConnectError("dead")])
def test_a_hanging_or_dead_server_is_an_error_at_once(lost: httpx.TransportError) -> None:
    asked = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        raise lost

    settings = RemoteSettings(url="http://llm.test/v1", model="m", retries=0)
    remote = Remote(settings, transport=httpx.MockTransport(serve))
    with pytest.raises(UnreachableError, match=r"llm\.test"):
        Rewriter(remote, by_rules, FakeAnalyser())(QUESTION, HISTORY)
    assert len(asked) == 1


def test_the_prompt_shows_the_conversation_as_text_in_the_question_s_language() -> None:
    system, user = prompt(QUESTION, [*HISTORY, Message("assistant", "긴 답 " * 1000)])
    assert (system.role, user.role) == ("system", "user")
    assert "사용자: 재택근무는 주 며칠까지 하나요?\n도우미: 최대 3일까지 [1]\n" in user.content
    assert user.content.endswith(f"마지막 질문: {QUESTION}\n고쳐 쓴 질문:") and len(user.content) < 600
    system, user = prompt("And for interns?", HISTORY)
    assert "Rewrite the last question" in system.content and "Last question: And for interns?" in user.content
