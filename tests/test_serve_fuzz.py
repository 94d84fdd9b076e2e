"""Malformed requests: no server error, whatever comes, and no answer that the OpenAPI description does not tell of."""

import gc
import json
import random
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fuzzing import fuzz, operations
from serving import WRITER, Served, Told, documents, raw, serving

SEED = 20261125


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = documents(tmp_path_factory.mktemp("fuzz") / "docs")
    with serving(root, WRITER, writer=Told()) as served:
        yield served


def test_requests_made_from_the_description(server: Served) -> None:
    statuses: Counter[int] = Counter()
    for operation in operations(server.app.openapi()):
        statuses += fuzz(operation, server.url, 8, SEED)
    assert sum(statuses.values()) >= 200
    assert statuses[200] > 50 and statuses[400] > 50, "good ones are among them, and bad ones"
    assert not any(status >= 500 for status in statuses)


def test_every_route_is_described_with_all_that_it_answers(server: Served) -> None:
    described = server.app.openapi()["paths"]
    for path, methods in described.items():
        for method, operation in methods.items():
            content = operation["responses"]["200"]["content"]
            assert all(kind["schema"] for kind in content.values()), f"{method} {path} does not say what it answers"
            assert operation["summary"]
            if path.startswith(("/v1/", "/api/")):
                assert {"400", "401", "403", "413", "429", "503"} <= operation["responses"].keys()


# --- by hand: what no client that means well would send --------------------------------------------------------------

CHAT = "/v1/chat/completions"
DEEP = "[" * 100_000
BODIES = {
    "nothing": b"",
    "half": b'{"model": "damda", "messages": [{"role": "user", "con',
    "no object": b"[]",
    "null": b"null",
    "a number": b"1e400",
    "deep": DEEP.encode(),
    "deep and whole": b'{"model": "damda", "messages": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "not utf-8": b'{"model": "damda", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
    "utf-16": '{"model": "damda"}'.encode("utf-16"),
    "bom": b'\xef\xbb\xbf{"model": "damda", "messages": [{"role": "user", "content": "x"}]}',
    "nul": b'{"model": "da\\u0000mda", "messages": [{"role": "user", "content": "\\u0000"}]}',
    "half a surrogate": b'{"model": "damda", "messages": [{"role": "user", "content": "\\ud83d"}]}',
    "half a surrogate as a name": b'{"model": "damda", "\\ud83d": 1, "messages": [{"role": "\\ud83d", "content": "x"}]}',  # noqa: E501
    "half a surrogate as a model": b'{"model": "\\ud83d", "messages": [{"role": "user", "content": "x"}]}',
    "infinite": b'{"model": "llm", "temperature": 1e400, "messages": [{"role": "user", "content": "x"}]}',
    "nan": b'{"model": "llm", "temperature": NaN, "messages": [{"role": "user", "content": "x"}]}',
    "huge": b'{"model": "llm", "max_tokens": ' + b"9" * 5000 + b', "messages": [{"role": "user", "content": "x"}]}',
    "large": b'{"model": "llm", "max_tokens": 1e300, "messages": [{"role": "user", "content": "x"}]}',
    "twice": b'{"model": "none", "model": "llm", "messages": [{"role": "user", "content": "x"}]}',
    "booleans": b'{"model": true, "messages": false, "stream": "yes"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings", "/v1/rerank", "/api/search"])
def test_json_that_is_none_or_means_nothing(server: Served, path: str, body: bytes) -> None:
    with server.client() as client:
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code < 500, answer.text
        if answer.status_code != 200:
            assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "text", ["\ud83d", "\x00", "\u202e", "a\u0300" * 500, "'; DROP TABLE chunks; --", "%", "\\", "*" * 99]
)
def test_texts_that_are_hard_to_store_or_to_look_for(server: Served, text: str) -> None:
    requests: list[tuple[str, dict[str, Any]]] = [
        ("/v1/embeddings", {"model": "e5-small-koen", "input": [text, "x"]}),
        ("/v1/rerank", {"query": text, "documents": [text, "x"]}),
        ("/api/search", {"query": text, "modes": ["bm25", "dense", "hybrid", "rrf", "convex"]}),
        ("/api/search", {"query": "연차", "where": {"source": text[:900], "glob": text[:900], "meta": {text: text}}}),
        (CHAT, {"model": "damda", "messages": [{"role": "user", "content": text}]}),
        (CHAT, {"model": "llm", "messages": [{"role": "user", "content": text}], "stop": [text[:900]]}),
    ]
    with server.client() as client:
        trace_id = client.post("/api/search", json={"query": "연차"}).json()["trace_id"]
        feedback = json.dumps({"score": 1, "comment": text}).encode()
        kept = client.post(f"/api/traces/{trace_id}/feedback", content=feedback)
        assert kept.status_code in (200, 400), kept.text
        for path, body in requests:
            for stream in (False, True):
                content = json.dumps({**body, **({"stream": stream} if path == CHAT else {})}).encode()
                answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
                assert answer.status_code in (200, 400), (path, body, answer.text)
                assert '"error"' not in answer.text or answer.status_code == 400
        shown = client.get("/api/document", params={"id": text.encode("utf-8", "replace").decode()})
        assert shown.status_code == 404


@pytest.mark.parametrize(
    "glob", ["[", "]", "[!", "**/**/**/*", "*" * 500, "{a,b}", "(?", "(?P<n>", "\\", "a{1,99999}", "?" * 900]
)
def test_patterns(server: Served, glob: str) -> None:
    with server.client() as client:
        answer = client.post("/api/search", json={"query": "연차", "where": {"glob": glob}})
        assert answer.status_code in (200, 400), answer.text


TYPES = (
    "text/plain",
    "application/xml",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=" + "b" * 300,
    "application/json; charset=utf-7",
    "application/x-www-form-urlencoded",
    "",
    "a" * 1000,
)


@pytest.mark.parametrize("kind", TYPES)
def test_bodies_of_other_types(server: Served, kind: str) -> None:
    with server.client() as client:
        for path in (CHAT, "/api/search", "/api/documents"):
            for body in (b'{"query": "x"}', b"--\r\n\r\n", b"files=x"):
                answer = client.post(path, content=body, headers={"Content-Type": kind})
                assert answer.status_code in (200, 400), (path, answer.text)
                assert answer.status_code == 200 or answer.json()["error"]["message"]


FORMS = {
    "no end": b'--b\r\nContent-Disposition: form-data; name="files"; filename="x.md"\r\n\r\nhalf',
    "no name": b'--b\r\nContent-Disposition: form-data; filename="x.md"\r\n\r\nx\r\n--b--\r\n',
    "no disposition": b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n",
    "a field": b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\nx\r\n--b--\r\n',
    "other field": b'--b\r\nContent-Disposition: form-data; name="other"; filename="x.md"\r\n\r\nx\r\n--b--\r\n',
    "bad header": b"--b\r\n\xff\x00: \xff\r\n\r\nx\r\n--b--\r\n",
    "name in latin": b'--b\r\nContent-Disposition: form-data; name="files"; filename="\xff\xfe"\r\n\r\nx\r\n--b--\r\n',
    "coded name": b"--b\r\nContent-Disposition: form-data; name=\"files\"; filename*=utf-8''%2e%2e%2fx\r\n\r\nx\r\n--b--\r\n",  # noqa: E501
    "many": b'--b\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\n\r\n' * 1200 + b"--b--\r\n",
    "fields": b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n\r\n' * 1200 + b"--b--\r\n",
    "long header": b"--b\r\nContent-Disposition: form-data; name=" + b"n" * 100_000 + b"\r\n\r\nx\r\n--b--\r\n",
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Starlette leaves the file to the GC
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_forms(server: Served, form: bytes) -> None:
    with server.client() as client:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = client.post("/api/documents", content=form, headers=headers)
        assert answer.status_code == 400 and answer.json()["error"]["message"], answer.text
    gc.collect()


@pytest.mark.parametrize(
    "method", ["HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "CONNECT", "BREW", "GET", "get"]
)
def test_methods(server: Served, method: str) -> None:
    with server.client() as client:
        for path in (CHAT, "/health", "/", "/page/docs.js", "/api/search", "/v1/models", "/nothing"):
            answer = client.request(method, path)
            assert answer.status_code < 500
            if answer.status_code >= 400 and method != "HEAD":
                assert answer.json()["error"]["message"]
            if method == "TRACE":
                assert "user-agent" not in answer.text.lower(), "nothing is echoed"


RAW = {
    "no http": b"hello\r\n\r\n",
    "nul": b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "http 9": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "http 0.9": b"GET /\r\n",
    "no host": b"GET /api/status HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "huge header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 30_000 + b"\r\n",
    "huge line": b"GET /" + b"x" * 300_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n z\r\n\r\n",
    "bad header": b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon here\r\n\r\n",
    "bad chunk": b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",  # noqa: E501
    "huge chunk": b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"  # noqa: E501
    + b"f" * 40
    + b"\r\n",
    "smuggled": b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",  # noqa: E501
    "odd coding": b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n{}",
    "upgrade": b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "h2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
    "absolute": b"GET http://evil.example/api/status HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "expect": b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("sent", RAW.values(), ids=RAW)
def test_what_is_no_http(server: Served, sent: bytes) -> None:
    for status in raw(server, sent, silent=0.3).split(b"HTTP/1.1 ")[1:]:
        assert status[:1] in b"1234", status
    with server.client() as client:
        assert client.get("/health").status_code == 200


def test_noise(server: Served) -> None:
    """Good requests with a few bytes changed, dropped or doubled."""
    chance = random.Random(SEED)
    body = json.dumps({"query": "연차", "modes": ["bm25"], "where": {"glob": "*.md"}}).encode()
    head = (
        f"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    good = head.encode() + b"\r\nConnection: close\r\n\r\n" + body
    assert raw(server, good, silent=0.3).startswith(b"HTTP/1.1 200")
    for _ in range(150):
        sent = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(sent))
            sent[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            got = sock.makefile("rb").read()
        assert not got.startswith(b"HTTP/1.1 5"), (bytes(sent), got)


def test_after_all_that_it_answers(server: Served) -> None:
    with server.client() as client:
        answer: httpx.Response = client.post("/api/search", json={"query": "연차", "modes": ["bm25"]})
        assert answer.status_code == 200 and answer.json()["results"]["bm25"]
        assert client.get("/api/documents").json()["total"] == 3
