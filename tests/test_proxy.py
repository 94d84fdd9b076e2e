"""`damda serve` in front of a language model, and of documents: what is remembered, and that nothing leaves unchecked.

The official client is the test; the server behind the proxy is another damda with a fake model.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, NotFoundError, OpenAI
from openai.types.chat import ChatCompletionMessageParam
from serving import WRITER, Served, Told, built, documents, served, serving

from damda.serve.app import build
from damda.types import MASK, Delta, Hit, Message, Usage

NUMBER = "960121-2123456"
SAY = f"Her number is {NUMBER}. She knows."


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def proxy(tmp_path: Path, told: Told) -> Iterator[Served]:
    behind = documents(tmp_path / "behind")
    (tmp_path / "home").mkdir()
    with serving(behind, WRITER, writer=told) as upstream:
        service = built(tmp_path / "home", {"remote.url": f"{upstream.url}/v1"})
        with served(build(service, rag=False)) as proxy:
            yield proxy


@pytest.fixture
def client(proxy: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{proxy.url}/v1", api_key="none", max_retries=0, timeout=20) as made:
        yield made


def user(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def chat(client: OpenAI, text: str, **more: Any) -> tuple[str, dict[str, Any]]:  # noqa: ANN401
    answer = client.chat.completions.create(model="acme/told-1", messages=user(text), **more)
    return answer.choices[0].message.content or "", (answer.model_extra or {})["damda"]


def streamed(client: OpenAI, text: str, **more: Any) -> tuple[list[str], str | None, dict[str, Any]]:  # noqa: ANN401
    chunks = [
        *client.chat.completions.create(model="acme/told-1", messages=user(text), stream=True, **more),
    ]
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    return [p for p in pieces if p], chunks[-1].choices[0].finish_reason, (chunks[-1].model_extra or {})["damda"]


def test_a_client_changes_nothing_but_its_url(client: OpenAI, told: Told) -> None:
    assert {"acme/told-1", "llm"} <= {model.id for model in client.models.list()}
    first, second = chat(client, "hi. there."), chat(client, "hi. there.")
    assert first[0] == second[0] == "said: hi. there." and told.begun == 1
    assert first[1]["cached"] == "" and second[1]["cached"] == "exact" and second[1]["trace_id"]


def test_a_remembered_stream_is_a_stream(client: OpenAI, told: Told) -> None:
    first, again = streamed(client, "one. two. three."), streamed(client, "one. two. three.")
    assert "".join(first[0]) == "".join(again[0]) == "said: one. two. three." and told.begun == 1
    assert len(again[0]) > 1 and again[1] == "stop" and again[2]["cached"] == "exact"
    assert chat(client, "one. two. three.")[1]["cached"] == "exact", "a stream fills it for others, too"


@pytest.mark.parametrize("asked", ["no-cache", "max-age=0", "No-Cache, no-transform"])
def test_a_client_may_want_it_anew(client: OpenAI, told: Told, asked: str) -> None:
    chat(client, "hi")
    assert not chat(client, "hi", extra_headers={"Cache-Control": asked})[1]["cached"] and told.begun == 2
    assert chat(client, "hi")[1]["cached"], "and it is kept"


def test_a_client_may_want_it_not_kept(client: OpenAI, told: Told) -> None:
    chat(client, "hi", extra_headers={"Cache-Control": "no-store"})
    assert not chat(client, "hi")[1]["cached"] and told.begun == 2


@pytest.mark.parametrize(
    "other", [{"temperature": 0.7}, {"max_tokens": 7}, {"stop": ["x"]}, {"messages": [*user("a"), *user("hi")]}]
)
def test_other_wishes_are_asked_anew(client: OpenAI, told: Told, other: dict[str, Any]) -> None:
    chat(client, "hi")
    asked: dict[str, Any] = {"model": "acme/told-1", "messages": user("hi"), **other}
    for _ in range(2):
        client.chat.completions.create(**asked)
    assert told.begun == (3 if "temperature" in other else 2)


SCHEMA = {"type": "object", "properties": {"days": {"type": "integer"}}, "required": ["days"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "days", "schema": SCHEMA, "strict": True}}


def test_a_schema_reaches_the_model_behind(client: OpenAI, told: Told) -> None:
    assert chat(client, 'exactly {"days": 3}', response_format=FORMAT)[0] == '{"days": 3}'
    assert json.loads(str(told.asked["schema"])) == SCHEMA
    assert chat(client, 'exactly {"days": 3}', response_format=FORMAT)[1]["cached"] == "exact" and told.begun == 1
    chat(client, 'exactly {"days": 3}')
    assert told.asked["schema"] == "" and told.begun == 2, "with a schema it is another question"
    chat(client, 'exactly {"days": 3}', response_format={"type": "json_object"})
    assert json.loads(str(told.asked["schema"])) == {"type": "object"}


def test_a_model_that_ignores_its_schema_is_told_of_and_not_remembered(client: OpenAI, told: Told) -> None:
    for _ in range(2):
        with pytest.raises(APIError, match="no JSON: 'said: hi'"):
            chat(client, "hi", response_format=FORMAT)
    with pytest.raises(APIError, match="no JSON"):
        streamed(client, "hi", response_format=FORMAT)
    assert told.begun == 3
    assert chat(client, "long {", response_format=FORMAT)[0] == "said: long {", "cut off is no matter of the schema"


def test_plain_completions_are_remembered_alike(client: OpenAI, told: Told) -> None:
    texts = {client.completions.create(model="acme/told-1", prompt="hi").choices[0].text for _ in range(2)}
    assert texts == {"said: hi"} and told.begun == 1
    chat(client, "hi")
    assert told.begun == 2, "a prompt is no conversation"


def test_there_are_no_documents(client: OpenAI, proxy: Served) -> None:
    with pytest.raises(NotFoundError, match="told-1"):
        client.chat.completions.create(model="gpt-4", messages=user("hi"))
    with proxy.client() as plain:
        assert plain.get("/ready").status_code == 200 and plain.get("/").status_code == 404
        assert plain.post("/api/search", json={"query": "x"}).status_code == 404
    assert len(client.embeddings.create(model="e5-small-koen", input="hi").data) == 1


def test_figures(client: OpenAI, proxy: Served) -> None:
    for _ in range(3):
        chat(client, SAY)
    with proxy.client() as plain:
        text = plain.get("/metrics").text
    assert 'damda_cached_total{how="exact",what="llm"} 2.0' in text
    assert 'damda_verdicts_total{action="redact",guard="personal",place="answer"} 1.0' in text
    assert 'damda_tokens_total{kind="output"} 3.0' in text, "what is remembered costs nothing"


def test_what_the_model_says_is_checked_before_it_leaves(client: OpenAI) -> None:
    said, told = chat(client, SAY)
    assert NUMBER not in said and MASK in said and said.endswith("She knows.")
    assert [(v["guard"], v["action"], v["rule"]) for v in told["verdicts"]] == [("personal", "redact", "rrn")]
    pieces, _, _ = streamed(client, SAY)
    assert "".join(pieces) == said and len(pieces) > 1


class Leaks:
    """A language model that tries to get a number out, in every way of cutting it up."""

    id = "leaks"

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        schema: str = "",
    ) -> Iterator[Delta]:
        return self.complete(messages[-1].content)

    def complete(
        self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, stop: Sequence[str] = ()
    ) -> Iterator[Delta]:
        size, gap = json.loads(prompt)
        text = f"연차 휴가는 15일이다. 주민등록번호는 {NUMBER[:6]}{gap}{NUMBER[7:]} 이다.\n그리고 {NUMBER}. {NUMBER}"
        for at in range(0, len(text), size):
            yield Delta(text[at : at + size])
        yield Delta(finish="stop", usage=Usage(1, 1))


@pytest.mark.parametrize("model", ["llm", "damda"])
def test_no_unchecked_text_leaves_the_server(tmp_path: Path, model: str) -> None:
    """The bytes on the wire, whatever the pieces that the model gives, streamed and whole."""
    root = documents(tmp_path / "docs")
    settings = {**WRITER, "guard.answer": ["personal"]}
    with serving(root, settings, writer=Leaks()) as server, server.client() as plain:
        for size in (1, 2, 3, 5, 8, 13, 100):
            for gap in ("-", "", " ", "\n", "-\n", " - "):
                body = {"model": model, "messages": user(json.dumps([size, gap]))}
                whole = plain.post("/v1/chat/completions", json=body)
                stream = plain.post("/v1/chat/completions", json={**body, "stream": True})
                assert whole.status_code == stream.status_code == 200
                events = [json.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: {")]
                pieces = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
                for text in (whole.text, stream.text, pieces):
                    assert "2123456" not in text.replace("\\n", ""), (size, gap)
                if model == "llm":
                    assert whole.json()["choices"][0]["message"]["content"] == pieces
                    assert pieces.count(MASK) == 39, "thirteen digits, three times"


def test_a_blocked_answer_ends_as_openai_says(tmp_path: Path) -> None:
    root = documents(tmp_path / "docs")
    settings = {**WRITER, "guard.answer": ["personal"], "guard.block": ["rrn"], "guard.redact": []}
    with serving(root, settings, writer=Told()) as server:
        with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
            pieces, finish, told = streamed(client, f"Fine. {SAY} More. More.")
            assert finish == "content_filter" and NUMBER not in "".join(pieces)
            assert pieces[0].strip() == "said: Fine." and told["verdicts"][0]["action"] == "block"
            answer = client.chat.completions.create(model="llm", messages=user(SAY))
            assert answer.choices[0].finish_reason == "content_filter"
            assert NUMBER not in (answer.choices[0].message.content or "")
        blocked = built(root, settings | {"guard.question": ["personal"]}, writer=Told())
        with served(build(blocked)) as strict, strict.client() as plain:
            for model in ("llm", "damda"):
                got = plain.post("/v1/chat/completions", json={"model": model, "messages": user(SAY)})
                assert got.status_code == 200 and NUMBER not in got.text
                assert got.json()["choices"][0]["finish_reason"] == "content_filter"
