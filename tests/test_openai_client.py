"""Clients that exist work unchanged: OpenAI's own, against a running service; httpx where OpenAI has nothing."""

import asyncio
import base64
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from fakes import FakeEncoder
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from serving import DOCUMENTS, SECRET, WRITER, Served, Told, documents, serving

from damda import weights
from damda.serve.keys import Keys

PULLED = weights.gguf_path("smollm2-135m")
ENCODER = "e5-small-koen"


@pytest.fixture(scope="module")
def told() -> Told:
    return Told()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, told: Told) -> Iterator[Served]:
    root = documents(tmp_path_factory.mktemp("openai") / "docs")
    with serving(root, {**WRITER, "serve.answers": 2, "serve.queue": 1}, writer=told) as served:
        yield served


@pytest.fixture
def client(server: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=20) as made:
        yield made


def user(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


# --- chat ------------------------------------------------------------------------------------------------------------


def test_an_answer_from_the_documents(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="damda", messages=user(SECRET))
    text = answer.choices[0].message.content or ""
    body, _, notes = text.partition("\n\n")
    assert "4711" in body and "[^1]" in body and notes.startswith("[^1]: “") and "비밀.md" in notes
    assert answer.choices[0].finish_reason == "stop" and answer.choices[0].message.role == "assistant"
    assert answer.object == "chat.completion" and answer.model == "damda" and answer.id.startswith("chatcmpl-")
    assert answer.usage is not None and answer.usage.total_tokens == 10
    extension: dict[str, Any] = (answer.model_extra or {})["damda"]
    said = {"found", "quotes", "unsupported", "asked", "trace_id", "cached", "cached_for", "verdicts"}
    assert extension.keys() == said and extension["found"] is True
    quotes = extension["quotes"]
    assert [quote["n"] for quote in quotes] == [*range(1, len(quotes) + 1)] and "비밀.md" in {
        q["source"] for q in quotes
    }
    assert all(DOCUMENTS[q["source"]][q["start"] : q["end"]] == q["text"] for q in quotes)


@pytest.mark.parametrize("footnotes", [True, False])
def test_a_stream_says_what_the_whole_answer_says(client: OpenAI, footnotes: bool) -> None:
    given: dict[str, Any] = {"damda": {"footnotes": footnotes, "where": {"glob": "l*.md"}}}
    whole = client.chat.completions.create(model="damda", messages=user("연차 휴가는"), extra_body=given)
    chunks = [
        *client.chat.completions.create(
            model="damda",
            messages=user("연차 휴가는"),
            stream=True,
            stream_options={"include_usage": True},
            extra_body=given,
        )
    ]
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said == whole.choices[0].message.content
    assert bool(re.search(r"\[\^1\]", said)) is footnotes and (footnotes or "[1]" in said)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert {c.id for c in chunks} == {chunks[0].id} and {c.object for c in chunks} == {"chat.completion.chunk"}
    usage = chunks[-1]
    assert usage.choices == [] and usage.usage is not None and usage.usage == whole.usage
    last = (chunks[-2].model_extra or {})["damda"]
    wanted = (whole.model_extra or {})["damda"]
    assert {**last, "trace_id": ""} == {**wanted, "trace_id": ""} and last["quotes"]
    assert {q["source"] for q in last["quotes"]} <= {"leave.md", "library.md"}, "the filter holds"


def test_without_being_asked_a_stream_counts_nothing(client: OpenAI) -> None:
    chunks = [*client.chat.completions.create(model="llm", messages=user("hello"), stream=True)]
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_there_is_not_found(client: OpenAI, stream: bool) -> None:
    if stream:
        chunks = [*client.chat.completions.create(model="damda", messages=user("nothing 이 있나요?"), stream=True)]
        text = "".join(c.choices[0].delta.content or "" for c in chunks)
        extra = chunks[-1].model_extra or {}
    else:
        answer = client.chat.completions.create(model="damda", messages=user("nothing 이 있나요?"))
        text, extra = answer.choices[0].message.content or "", answer.model_extra or {}
    assert (
        text == "문서에서 답을 찾지 못했습니다." and extra["damda"]["found"] is False and not extra["damda"]["quotes"]
    )


def test_a_conversation(client: OpenAI, told: Told) -> None:
    history: list[ChatCompletionMessageParam] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "연차는 며칠?"}]},
        {"role": "assistant", "content": "15일이다."},
        {"role": "user", "content": "신청은?"},
    ]
    answer = client.chat.completions.create(model="damda", messages=history)
    assert (answer.model_extra or {})["damda"]["found"]
    plain = client.chat.completions.create(model="llm", messages=history, temperature=0.5, max_tokens=9, stop=["x"])
    assert plain.choices[0].message.content == "said: 신청은?"
    assert [(m.role, m.content) for m in told.heard] == [
        ("system", "Be brief."),
        ("user", "연차는 며칠?"),
        ("assistant", "15일이다."),
        ("user", "신청은?"),
    ]
    assert told.asked == {"max_tokens": 9, "temperature": 0.5, "stop": ["x"], "schema": ""}


@pytest.mark.parametrize("model", ["llm", "acme/told-1"])
def test_the_bare_language_model(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=user("long story"), max_completion_tokens=5)
    assert answer.choices[0].message.content == "said: long story" and answer.choices[0].finish_reason == "length"
    assert answer.model == model and (answer.model_extra or {})["damda"]["cached"] == ""
    with client.chat.completions.stream(model=model, messages=user("hello")) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "said: hello"


@pytest.mark.parametrize("model", ["llm", "damda"])
def test_plain_completions(client: OpenAI, model: str) -> None:
    answer = client.completions.create(model=model, prompt="연차 휴가는")
    assert answer.object == "text_completion" and answer.choices[0].finish_reason == "stop"
    assert ("said: 연차" if model == "llm" else "15일이다") in answer.choices[0].text
    chunks = [*client.completions.create(model=model, prompt=["연차 휴가는"], stream=True)]
    assert "".join(chunk.choices[0].text for chunk in chunks) == answer.choices[0].text
    if model == "damda":
        assert (chunks[-1].model_extra or {})["damda"]["found"]


# --- embeddings and models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_embeddings(client: OpenAI, encoding: Any) -> None:  # noqa: ANN401  a literal, or left out
    given = {"encoding_format": encoding} if encoding else {}
    texts = ["연차는 15일이다", "the library opens", ""]
    answer = client.embeddings.create(model=ENCODER, input=texts, **given)
    rows = [row.embedding for row in answer.data]
    if encoding == "base64":
        packed: list[Any] = rows
        rows = [np.frombuffer(base64.b64decode(row), "<f4").tolist() for row in packed]
    wanted = FakeEncoder().encode(texts, kind="passage")
    np.testing.assert_array_equal(np.asarray(rows, np.float32), wanted)
    assert [row.index for row in answer.data] == [0, 1, 2] and answer.model == ENCODER
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 5
    one = client.embeddings.create(model=ENCODER, input=texts[0], dimensions=16, **given)
    assert len(one.data) == 1 and one.data[0].embedding == answer.data[0].embedding


def test_questions_and_passages_are_encoded_in_different_ways(
    client: OpenAI, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[str] = []
    encode = FakeEncoder.encode

    def noted(self: FakeEncoder, texts: Any, *, kind: Any) -> Any:  # noqa: ANN401  as the real one
        kinds.append(kind)
        return encode(self, texts, kind=kind)

    monkeypatch.setattr(FakeEncoder, "encode", noted)
    for name in ("", ":query", ":passage"):
        client.embeddings.create(model=ENCODER + name, input="x")
    client.embeddings.create(model=ENCODER, input="x", extra_body={"input_type": "query"})
    client.embeddings.create(model=ENCODER, input="x", extra_body={"input_type": "document"})
    assert kinds == ["passage", "query", "passage", "query", "passage"]


def test_models(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert names == ["damda", "acme/told-1", "llm", ENCODER, f"{ENCODER}:query", f"{ENCODER}:passage"]
    for name in names:
        assert client.models.retrieve(name).id == name
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("gpt-4")
    assert missing.value.code == "model_not_found" and "damda" in missing.value.message


def test_a_model_without_a_name_is_not_listed(tmp_path: Path, told: Told) -> None:
    """``remote.model`` empty: the only one that the server lists."""
    root = documents(tmp_path / "docs")
    with serving(root, {**WRITER, "remote.model": ""}, writer=told) as server, server.client() as plain:
        assert "" not in [row["id"] for row in plain.get("/v1/models").json()["data"]]
        with OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as client:
            assert client.chat.completions.create(model="llm", messages=user("hi")).choices[0].message.content
            for model in ("", "gpt-4"):
                with pytest.raises(openai.NotFoundError, match="llm"):
                    client.chat.completions.create(model=model, messages=user("hi"))


# --- errors ----------------------------------------------------------------------------------------------------------


def test_an_unknown_model(client: OpenAI) -> None:
    for call in (
        lambda: client.chat.completions.create(model="gpt-4", messages=user("hi")),
        lambda: client.chat.completions.create(model="gpt-4", messages=user("hi"), stream=True),
        lambda: client.completions.create(model="gpt-4", prompt="hi"),
        lambda: client.embeddings.create(model="text-embedding-3-small", input="hi"),
    ):
        with pytest.raises(openai.NotFoundError) as error:
            call()
        assert error.value.code == "model_not_found" and error.value.param == "model"


@pytest.mark.parametrize(
    "given",
    [
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "hi"}]},
        {"messages": [{"role": "user", "content": "  "}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {"n": 2},
        {"temperature": 3},
        {"max_tokens": 0},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"logprobs": True},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "no schema"}}},
        {"response_format": {"type": "yaml"}},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"extra_body": {"damda": {"where": {"meta": {"a": 1}}}}},
    ],
    ids=str,
)
def test_a_request_that_can_not_be_carried_out(client: OpenAI, given: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(**{"model": "damda", "messages": user("hi"), **given})
    assert error.value.type == "invalid_request_error" and error.value.code == "invalid_value"
    assert error.value.message and "Traceback" not in str(error.value)


def test_answers_from_the_documents_have_no_schema(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="ask model llm for JSON") as error:
        client.chat.completions.create(model="damda", messages=user("hi"), response_format={"type": "json_object"})
    assert error.value.param == "response_format" and error.value.code == "unsupported_value"


def test_dimensions_that_there_are_not(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="16 dimensions"):
        client.embeddings.create(model=ENCODER, input="x", dimensions=8)


def test_a_model_that_fails(client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError, match="unexpectedly"):
        client.chat.completions.create(model="llm", messages=user("fail"))


def test_keys_and_limits(tmp_path: Path) -> None:
    with serving(documents(tmp_path / "docs")) as server:
        keys = Keys(server.backend.kb.home)
        _, secret = keys.make("office", per_minute=2)
        keys.close()
        with OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as stranger:
            with pytest.raises(openai.AuthenticationError) as error:
                stranger.models.list()
            assert error.value.code == "invalid_api_key"
        with OpenAI(base_url=f"{server.url}/v1", api_key=secret, max_retries=0) as friend:
            friend.models.list()
            friend.models.list()
            with pytest.raises(openai.RateLimitError) as late:
                friend.models.list()
            assert late.value.code == "rate_limit_exceeded" and int(late.value.response.headers["retry-after"]) <= 30


def test_a_full_queue_is_a_rate_limit_and_a_slow_answer_a_timeout(client: OpenAI, server: Served, told: Told) -> None:
    async def crowd() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0, timeout=2) as many:
            calls = [many.chat.completions.create(model="llm", messages=user("hold")) for _ in range(5)]
            return await asyncio.gather(*calls, return_exceptions=True)

    told.go.clear()
    kinds = sorted(type(result).__name__ for result in asyncio.run(crowd()))
    told.go.set()
    assert kinds == ["APITimeoutError"] * 3 + ["RateLimitError"] * 2
    assert client.chat.completions.create(model="llm", messages=user("hello")).choices[0].message.content


def test_the_asynchronous_client(server: Served) -> None:
    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x", timeout=20) as client:
            answers = await asyncio.gather(
                client.chat.completions.create(model="damda", messages=user(SECRET)),
                client.embeddings.create(model=f"{ENCODER}:query", input=["a", "b"]),
            )
            assert "4711" in (answers[0].choices[0].message.content or "") and len(answers[1].data) == 2
            stream = await client.chat.completions.create(model="llm", messages=user("hello"), stream=True)
            assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "said: hello"

    asyncio.run(main())


# --- beside OpenAI's interface ---------------------------------------------------------------------------------------


@pytest.fixture
def plain(server: Served) -> Iterator[httpx.Client]:
    with server.client() as made:
        yield made


def test_rerank(plain: httpx.Client) -> None:
    asked = {"query": "a cat", "documents": ["a dog", {"text": "a cat"}, "a bird"], "return_documents": True}
    answer = plain.post("/v1/rerank", json=asked).json()
    assert [row["index"] for row in answer["results"]][0] == 1
    assert answer["results"][0]["document"] == {"text": "a cat"}
    scores = [row["relevance_score"] for row in answer["results"]]
    assert scores == sorted(scores, reverse=True) and scores[0] == pytest.approx(1)
    top = plain.post("/v1/rerank", json={**asked, "top_n": 1, "model": ENCODER}).json()
    assert len(top["results"]) == 1
    assert plain.post("/v1/rerank", json={**asked, "model": "other"}).status_code == 404
    wrongs: list[dict[str, Any]] = [{"documents": []}, {"top_n": 0}, {"documents": [1]}]
    for wrong in wrongs:
        assert plain.post("/v1/rerank", json={**asked, **wrong}).status_code == 400


def test_search_and_documents(plain: httpx.Client) -> None:
    found = plain.post("/api/search", json={"query": SECRET, "modes": ["bm25", "dense", "hybrid"], "k": 2}).json()
    assert [*found["results"]] == ["bm25", "dense", "hybrid"]
    hit = found["results"]["bm25"][0]
    assert hit["chunk"]["source"] == "비밀.md" and hit["bm25"] > 0 and hit["cosine"] is None
    shown = plain.get("/api/document", params={"id": hit["chunk"]["doc_id"], "version": hit["chunk"]["version"]}).json()
    assert shown["text"][hit["chunk"]["start"] : hit["chunk"]["end"]] == hit["chunk"]["text"]
    listed = plain.get("/api/documents", params={"q": "L", "limit": 1, "offset": 1}).json()
    assert listed["total"] == 2 and [row["id"] for row in listed["documents"]] == ["library.md"]
    status = plain.get("/api/status").json()
    assert status["documents"] == 3 and status["generator"] == "remote" and "root" not in status


# --- a real language model -------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    PULLED is None or importlib.util.find_spec("xllamacpp") is None,
    reason="no SmolLM2-135M (`damda models pull smollm2-135m`) or no xllamacpp (extra llama)",
)
def test_a_real_language_model(tmp_path: Path) -> None:
    root = documents(tmp_path / "docs")
    with serving(root, {"llama.model": str(PULLED), "llama.context": 512}) as server:
        with OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0, timeout=120) as client:
            asked = user("Say hello.")
            answer = client.chat.completions.create(model="llm", messages=asked, max_tokens=8, temperature=0)
            assert answer.choices[0].message.content and answer.choices[0].finish_reason == "length"
            assert answer.usage is not None and answer.usage.completion_tokens == 8
            chunks = [
                *client.chat.completions.create(
                    model="smollm2-135m", messages=asked, max_tokens=8, temperature=0, stream=True
                )
            ]
            assert "".join(c.choices[0].delta.content or "" for c in chunks) == answer.choices[0].message.content
            assert client.completions.create(model="llm", prompt="One, two,", max_tokens=4).choices[0].text
