"""Streams as servers send them: their shapes, after what their own issue threads show, with words of ours.

vLLM is tested as it runs (test_vllm.py); the others are too heavy to install for a test, so this is all that is known
of them here.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from test_remote import ASK, Server, streamed, text

from damda.errors import GeneratorError
from damda.types import Usage

WORDS = ("서울", "입니다", ".")


def chunk(
    delta: Mapping[str, Any], finish: str | None, more: Mapping[str, Any], of_choice: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "created": 1764500000,
        "model": "m",
        **more,
        "choices": [{"index": 0, "delta": dict(delta), "finish_reason": finish, **of_choice}],
    }


def usage(**more: object) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}, **more}


def ollama(interior: str | None) -> list[dict[str, Any]]:
    """Versions before 0.1.38 have an empty word where nothing has ended yet."""
    more = {"object": "chat.completion.chunk", "system_fingerprint": "fp_ollama"}
    said = [chunk({"role": "assistant", "content": word}, interior, more, {}) for word in WORDS]
    return [*said, chunk({"role": "assistant", "content": ""}, "stop", more, {}), usage(**more)]


def sglang() -> list[dict[str, Any]]:
    """Null where there is nothing, also for thoughts and tools; the token that ended it."""
    more = {"object": "chat.completion.chunk", "usage": None}
    nothing = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None}
    running = {"logprobs": None, "matched_stop": None}
    said = [chunk({**nothing, "content": word}, None, more, running) for word in WORDS]
    begun = chunk({**nothing, "role": "assistant", "content": ""}, None, more, running)
    return [begun, *said, chunk(nothing, "stop", more, {"logprobs": None, "matched_stop": 106}), usage()]


def tgi() -> list[dict[str, Any]]:
    """The last word comes with the end."""
    more = {"object": "chat.completion.chunk", "system_fingerprint": "3.3.6-native"}
    running = {"logprobs": None}
    *said, last = [{"role": "assistant", "content": word} for word in WORDS]
    return [*(chunk(one, None, more, running) for one in said), chunk(last, "stop", more, running), usage(**more)]


def lines(chunks: Sequence[Mapping[str, Any]], colon: str = "data: ", *, done: bool = True) -> bytes:
    said = [f"{colon}{json.dumps(one, ensure_ascii=False)}\n\n" for one in chunks]
    return "".join([*said, f"{colon}[DONE]\n\n" if done else ""]).encode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lines(ollama(None)), id="ollama"),
        pytest.param(lines(ollama("")), id="ollama, before 0.1.38"),
        pytest.param(lines(sglang()), id="sglang"),
        pytest.param(lines(tgi(), "data:"), id="tgi"),
        pytest.param(lines(tgi(), "data:", done=False), id="tgi, before 2.1.2"),
    ],
)
def test_each_servers_stream(body: bytes) -> None:
    deltas = list(Server(streamed(body)).remote().stream(ASK))
    assert text(deltas) == "서울입니다." and deltas[-1].finish == "stop"
    assert deltas[-1].usage == Usage(7, 3)


def test_sglang_0_4_4_names_no_end_but_done() -> None:
    never = [one | {"choices": [{**c, "finish_reason": None} for c in one["choices"]]} for one in sglang()]
    deltas = list(Server(streamed(lines(never))).remote().stream(ASK))
    assert text(deltas) == "서울입니다." and deltas[-1].finish == "stop"
    with pytest.raises(GeneratorError, match="broke off"):
        list(Server(streamed(lines(never, done=False))).remote().stream(ASK))


def test_thoughts_that_come_beside_the_text_are_no_answer() -> None:
    thoughts = [
        one | {"choices": [{**c, "delta": {"reasoning_content": "hm"}} for c in one["choices"]]} for one in tgi()
    ]
    deltas = list(Server(streamed(lines([*thoughts[:2], *sglang()]))).remote().stream(ASK))
    assert text(deltas) == "서울입니다."
