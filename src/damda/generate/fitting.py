"""A question with its passages -> the longest request that a model's context has room for.

Knows: what models with a chat template are told and what models without one, and how passages leave a message. Does not
know: how tokens are counted, what runs the request.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from damda.errors import GeneratorError
from damda.generate import fewshot
from damda.types import NOT_FOUND, Hit, Message

log = logging.getLogger(__name__)

QUOTE_RULE = (
    "Answer only with words copied exactly from one passage. If no passage answers the question, answer {absent}.\n"
    "문서에 있는 말만 한 글자도 바꾸지 말고 옮겨서 답한다. 문서에 답이 없으면 {absent}라고만 답한다."
)


class Counts(Protocol):
    """What knows how many tokens a request's prompt takes, and how many there may be with the answer."""

    @property
    def context(self) -> int: ...

    def count(self, request: Mapping[str, object]) -> int: ...


def fit(
    engine: Counts, messages: Sequence[Message], passages: Sequence[Hit], *, chats: bool, quote: bool, max_tokens: int
) -> tuple[dict[str, object], Sequence[Hit]]:
    """The longest request that leaves room for the answer, and the passages that stand in it.

    Args:
        passages: stand verbatim and in their order in one of the messages; the last ones are left out first.
        chats: the model has a chat template; one without is given a prompt to go on from.
        quote: a chat model is told to copy.

    Raises:
        GeneratorError: there is no room even with one passage.
    """
    space, taken = room(engine, max_tokens), 0
    for keep in range(len(passages), min(len(passages), 1) - 1, -1):
        request = as_request(messages, passages, keep, chats=chats, quote=quote)
        if request is None:
            break
        taken = engine.count(request)
        if taken <= space:
            if keep < len(passages):
                log.warning("%d of %d passages fit a context of %d tokens", keep, len(passages), engine.context)
            return request, passages[:keep]
    least = "even with one passage" if len(passages) > 1 else "as it is"
    raise GeneratorError(
        f"the prompt takes {_too_much(engine, taken, space, least)}: raise the generator's context, or lower "
        "answer.max_tokens or chunk.tokens"
    )


def fit_prompt(engine: Counts, prompt: str, max_tokens: int) -> dict[str, object]:
    """A request to go on from a prompt.

    Raises:
        GeneratorError: there is no room for it.
    """
    request: dict[str, object] = {"prompt": prompt}
    taken, space = engine.count(request), room(engine, max_tokens)
    if taken > space:
        raise GeneratorError(
            f"the prompt takes {_too_much(engine, taken, space)}: shorten it, or raise the generator's context"
        )
    return request


def room(engine: Counts, max_tokens: int) -> int:
    """Tokens that a prompt may have: what the answer leaves, and half of the context in any case."""
    return engine.context - min(max_tokens, engine.context // 2)


def as_request(
    messages: Sequence[Message], passages: Sequence[Hit], keep: int, *, chats: bool, quote: bool
) -> dict[str, object] | None:
    """A request with the first ``keep`` passages; None where the others can't be found in the messages."""
    if not chats:
        return {"prompt": fewshot.prompt(messages[-1].content, [hit.chunk.text for hit in passages[:keep]])}
    said = list(messages) if keep == len(passages) else without(messages, passages, keep)
    if said is None:
        return None
    if quote:
        said[-1] = replace(said[-1], content=f"{said[-1].content}\n\n{QUOTE_RULE.format(absent=NOT_FOUND)}")
    return {
        "messages": [{"role": message.role, "content": message.content} for message in said],
        # Small models that think use up their tokens before they answer; templates without the switch ignore it.
        "chat_template_kwargs": {"enable_thinking": False},
    }


def _too_much(engine: Counts, taken: int, space: int, least: str = "") -> str:
    rest = f"(context {engine.context}, less {engine.context - space} for the answer)"
    return " ".join(filter(None, (f"{taken} tokens", least))) + f", and there is room for {space} {rest}"


def without(messages: Sequence[Message], passages: Sequence[Hit], keep: int) -> list[Message] | None:
    """The messages less the passages after the first ``keep``, with whatever stands between those (numbers, titles)."""
    stays, goes = passages[keep - 1].chunk.text, passages[-1].chunk.text
    for at, message in enumerate(messages):
        after = message.content.find(stays) + len(stays)
        last = message.content.find(goes, after)
        if after >= len(stays) and last >= 0:
            shorter = message.content[:after] + message.content[last + len(goes) :]
            return [*messages[:at], replace(message, content=shorter), *messages[at + 1 :]]
    return None
