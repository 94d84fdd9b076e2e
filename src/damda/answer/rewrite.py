"""A follow-up question made whole by a language model, and by the rules where what it wrote can't be used.

Knows: what to ask for, and what a usable answer looks like. Does not know: models, how passages are found.
"""

import logging
import re
from collections.abc import Sequence

from damda.answer.history import Whole
from damda.answer.prompt import language
from damda.errors import GeneratorError, UnreachableError
from damda.types import Analyser, Generator, Message

log = logging.getLogger(__name__)

_TASK = {
    "ko": (
        "대화의 마지막 질문을, 앞의 대화를 모르는 사람도 알아들을 수 있는 한 문장의 질문으로 고쳐 쓰세요. "
        "빠진 말만 대화에서 가져와 채우고, 마지막 질문에 있는 낱말과 숫자는 그대로 두세요. 그대로도 알아들을 수 있거나 "
        "앞의 대화와 상관없는 질문이면 한 글자도 고치지 마세요. 질문에 답하지 말고, 고쳐 쓴 질문만 한 줄로 쓰세요."
    ),
    "en": (
        "Rewrite the last question of the conversation as one question that can be understood without the "
        "conversation. Only add what is missing, and keep the words and numbers of the last question. If it can be "
        "understood as it is, or has nothing to do with the conversation, repeat it unchanged. Do not answer it. Write "
        "the rewritten question on one line and nothing else."
    ),
}
_LABELS = {
    "ko": ("사용자", "도우미", "마지막 질문", "고쳐 쓴 질문"),
    "en": ("User", "Assistant", "Last question", "Rewritten question"),
}
_ANSWER_CHARS = 300
"""Of each earlier answer: what was talked about stands at its beginning."""
_MAX_TOKENS = 256
_LONGER = 200
"""Characters by which the whole question may be longer than the question."""
_KEPT = 0.6
"""Share of the question's content words that have to be kept: "그건" and "거기" are replaced."""
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WRAPPING = re.compile(r"^[\s\"'“”‘’「」*`]+|[\s\"'“”‘’「」*`]+$")


def prompt(question: str, history: Sequence[Message]) -> list[Message]:
    """The messages that ask for the question made whole, in its language."""
    tongue = language(question)
    user, assistant, last, wanted = _LABELS[tongue]
    lines = [
        f"{user if message.role == 'user' else assistant}: {' '.join(message.content.split())[:_ANSWER_CHARS]}"
        for message in history
        if message.role != "system"
    ]
    # As one message: shown as turns, a conversation makes models answer its last question.
    said = "\n".join([*lines, "", f"{last}: {question}", f"{wanted}:"])
    return [Message("system", _TASK[tongue]), Message("user", said)]


class Rewriter:
    """Asks a language model; fits ``history.Whole``.

    Args:
        generator: a model that follows instructions.
        rules: asked where the model's question can't be used.
        analyser: for the words that a rewritten question has to keep.
    """

    def __init__(self, generator: Generator, rules: Whole, analyser: Analyser) -> None:
        self._generator, self._rules, self._analyser = generator, rules, analyser

    def __call__(self, question: str, history: Sequence[Message]) -> str:
        """The question with what it lacks.

        Raises:
            UnreachableError: the model's server can't be reached or hangs. It is the one that will be asked for the
                answer: another try would only double the wait.
        """
        try:
            said = self._ask(question, history)
        except UnreachableError:
            raise
        except GeneratorError as error:
            log.warning("the follow-up is made whole by rules, for the model failed: %s", error)
            return self._rules(question, history)
        if wrong := self._unusable(said, question, history):
            log.info("the follow-up is made whole by rules, for what the model wrote %s: %.200r", wrong, said)
            return self._rules(question, history)
        return said

    def _ask(self, question: str, history: Sequence[Message]) -> str:
        said = ""
        for delta in self._generator.stream(prompt(question, history), max_tokens=_MAX_TOKENS, temperature=0.0):
            said += delta.text
            if "\n" in said.strip() or len(said) > len(question) + 2 * _LONGER:
                break  # it can't be used any more
        label = _LABELS[language(question)][3]
        return _WRAPPING.sub("", _WRAPPING.sub("", said).removeprefix(f"{label}:"))

    def _unusable(self, said: str, question: str, history: Sequence[Message]) -> str:
        """What is wrong with a rewritten question; "" for nothing."""
        if not said:
            return "is empty"
        if "\n" in said:
            return "has several lines"
        if len(said) > len(question) + _LONGER:
            return "is too long"
        known = {number for message in history for number in _NUMBER.findall(message.content)}
        own, now = set(_NUMBER.findall(question)), set(_NUMBER.findall(said))
        if not own <= now or not now <= own | known:
            return "has other numbers"
        asked, words = (set(found) for found in self._analyser.content([question, said]))
        if len(asked & words) < _KEPT * len(asked):
            return "lost words of the question"
        return ""
