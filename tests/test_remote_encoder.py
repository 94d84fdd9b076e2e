"""Vectors over HTTP, from a server that the tests make up."""

import json
import math
import unicodedata
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from damda.embed.remote import RemoteEncoder
from damda.errors import EncoderError

URL = "http://127.0.0.1:9/v1"
Handler = Callable[[httpx.Request], httpx.Response]


def vector(text: str) -> list[float]:
    return [float(len(text)), 1.0, float(sum(map(ord, text)) % 97)]


def answer(request: httpx.Request) -> httpx.Response:
    """As a good server does it, but in another order, and with vectors that are not of unit length."""
    if request.url.path == "/v1/models":
        return httpx.Response(200, json={"data": [{"id": "first"}, {"id": "second"}]})
    assert (request.method, request.url.path) == ("POST", "/v1/embeddings")
    texts = json.loads(request.content)["input"]
    rows = [{"index": i, "embedding": vector(text)} for i, text in enumerate(texts)]
    return httpx.Response(200, json={"data": rows[::-1]})


def opened(handler: Handler = answer, model: str = "m", **more: Any) -> RemoteEncoder:  # noqa: ANN401
    more.setdefault("sleep", lambda seconds: None)
    return RemoteEncoder(URL, model, transport=httpx.MockTransport(handler), **more)


def test_vectors() -> None:
    texts = [f"text {'x' * i}" for i in range(150)]  # more than one request's worth
    requests: list[dict[str, Any]] = []

    def counted(request: httpx.Request) -> httpx.Response:
        requests.append(json.loads(request.content))
        return answer(request)

    found = opened(counted).encode(texts, kind="passage")
    expected = np.array([vector(text) for text in texts])
    assert found == pytest.approx(expected / np.linalg.norm(expected, axis=1, keepdims=True), abs=1e-5)
    assert found.dtype == np.float32
    assert [len(request["input"]) for request in requests] == [64, 64, 22]
    assert {request["model"] for request in requests} == {"m"}


def test_no_texts() -> None:
    encoder = opened()
    assert encoder.encode([], kind="query").shape == (0, 3) and encoder.dim == 3


def test_prefixes_and_nfc() -> None:
    seen: list[str] = []

    def listen(request: httpx.Request) -> httpx.Response:
        seen.extend(json.loads(request.content)["input"])
        return answer(request)

    encoder = opened(listen, query_prefix="q: ", passage_prefix="p: ")
    encoder.encode([unicodedata.normalize("NFD", "휴가")], kind="query")
    encoder.encode(["규정"], kind="passage")
    assert seen == ["q: 휴가", "p: 규정"]


def test_the_first_model_is_taken() -> None:
    assert opened(model="").id.startswith("remote:first@")


def test_ids() -> None:
    transport = httpx.MockTransport(answer)
    ids = [
        RemoteEncoder(url, model, query_prefix=prefix, transport=transport).id
        for url, model, prefix in [
            ("http://127.0.0.1:1/v1", "m", ""),
            ("http://127.0.0.1:2/v1", "m", ""),
            ("http://127.0.0.1:1/v1", "n", ""),
            ("http://127.0.0.1:1/v1", "m", "query: "),
        ]
    ]
    assert len(set(ids)) == 4
    assert RemoteEncoder("http://127.0.0.1:1/v1/", "m", transport=transport).id == ids[0]


def test_the_key_is_sent_and_not_told() -> None:
    def check(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer secret"
        return httpx.Response(401, text="no")

    with pytest.raises(EncoderError, match="DAMDA_ENCODER__API_KEY") as caught:
        opened(check, api_key="secret").encode(["a"], kind="query")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status: int) -> None:
    left, slept = [status, status], list[float]()

    def busy(request: httpx.Request) -> httpx.Response:
        return httpx.Response(left.pop()) if left else answer(request)

    opened(busy, sleep=slept.append).encode(["a"], kind="query")
    assert slept == [1.0, 2.0]


def test_a_server_that_stays_busy() -> None:
    with pytest.raises(EncoderError, match="answers 503"):
        opened(lambda request: httpx.Response(503)).encode(["a"], kind="query")


def test_no_server() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(EncoderError, match="is the server running"):
        opened(refuse).encode(["a"], kind="query")
    with pytest.raises(EncoderError, match="is the server running"):
        opened(refuse, model="")


def rows(*embeddings: object) -> object:
    return {"data": [{"index": i, "embedding": e} for i, e in enumerate(embeddings)]}


@pytest.mark.parametrize(
    "said",
    [
        {"data": []},
        {},
        [],
        {"data": [{"index": 0}]},
        {"data": [{"index": 0, "embedding": "AAAA"}]},
        rows([1.0, 2.0]),
        rows([1.0, 2.0], [1.0]),
        rows([1.0, 2.0], [math.nan, 1.0]),
        rows([1.0, 2.0], [None, 1.0]),
        rows([1.0], [2.0], [3.0]),
    ],
)
def test_answers_that_are_no_vectors(said: object) -> None:
    body = json.dumps(said)
    with pytest.raises(EncoderError) as caught:
        opened(lambda request: httpx.Response(200, text=body)).encode(["a", "b"], kind="query")
    assert URL in str(caught.value) and "\n" not in str(caught.value)


def test_vectors_that_change_their_length() -> None:
    """Another model behind the same name: its vectors must not be mixed with the old ones."""
    lengths = [3, 3, 4]

    def grow(request: httpx.Request) -> httpx.Response:
        length = lengths.pop(0)
        return httpx.Response(200, json=rows(*[[1.0] * length for _ in json.loads(request.content)["input"]]))

    with pytest.raises(EncoderError, match="lengths"):
        opened(grow).encode(["a"] * 150, kind="passage")


@pytest.mark.parametrize("status, text", [(404, "<p>\nnot\nhere"), (400, '{"error": "too\\nlong"}'), (200, "<p>")])
def test_other_answers_are_one_line(status: int, text: str) -> None:
    with pytest.raises(EncoderError) as caught:
        opened(lambda request: httpx.Response(status, text=text)).encode(["a"], kind="query")
    assert "\n" not in str(caught.value) and URL in str(caught.value)


@pytest.mark.parametrize("said", [{"data": []}, {}, {"data": [1]}])
def test_no_models(said: object) -> None:
    with pytest.raises(EncoderError, match=r"set encoder\.model"):
        opened(lambda request: httpx.Response(200, json=said), model="")


def test_tokens_are_guessed_upwards() -> None:
    counts = opened().count_tokens(["", "휴가 규정", "hello world", "漢字"])
    assert counts[1] >= 4 and counts[2] >= 2 and counts[3] >= 2
