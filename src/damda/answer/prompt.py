"""Question and passages -> the messages that a language model reads.

Knows: wording, in Korean and English. Does not know: models, chat templates, token limits.
"""

from collections.abc import Sequence

from damda.types import NOT_FOUND, Hit, Message

_RULES = {
    "ko": (
        "아래 번호가 붙은 문단만 근거로 질문에 답하세요. 문단에 있는 말을 되도록 그대로 쓰고, 짧게 답하세요. "
        f"문단에 없는 내용은 쓰지 마세요. 문단이 질문에 답하지 않으면 {NOT_FOUND} 라고만 쓰세요."
    ),
    "en": (
        "Answer the question from the numbered passages below and from nothing else. "
        "Keep to their words, and be brief. "
        f"If the passages do not answer the question, write {NOT_FOUND} and nothing else."
    ),
}
_NOT_FOUND = {"ko": "문서에서 답을 찾지 못했습니다.", "en": "The documents do not answer this question."}
_UNSUPPORTED = {"ko": "[근거 없음]", "en": "[unsupported]"}


def language(text: str) -> str:
    """ "ko" for text with Hangul in it, else "en"."""
    return "ko" if any("가" <= c <= "힣" for c in text) else "en"


def not_found(question: str) -> str:
    """What a person is told when the documents do not answer, in the question's language."""
    return _NOT_FOUND[language(question)]


def unsupported_mark(question: str) -> str:
    """What stands behind a sentence that no passage supports."""
    return _UNSUPPORTED[language(question)]


def messages(question: str, hits: Sequence[Hit], history: Sequence[Message] = (), *, tongue: str = "") -> list[Message]:
    """System message with rules and passages, then the conversation so far, then the question alone.

    ``tongue`` is the language of the rules; "": the question's. The passages come before anything that changes from
    turn to turn, so that a server's prefix cache can keep them.
    """
    passages = "\n\n".join(f"[{n}] {_place(hit)}\n{hit.chunk.text}" for n, hit in enumerate(hits, 1))
    system = f"{_RULES[tongue or language(question)]}\n\n{passages}"
    return [Message("system", system), *history, Message("user", question)]


def _place(hit: Hit) -> str:
    return " > ".join(part for part in (hit.chunk.title, hit.chunk.heading) if part)
