"""The service does not fall over: models that hang, clients that leave, full disks, damaged files, signals, crowds."""

import http.server
import io
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import FakeEncoder, until
from serving import DOCUMENTS, SECRET, WRITER, Child, Served, Told, built, documents, served, serving

from damda.ingest import sync as sync_module
from damda.knowledge import KnowledgeBase
from damda.serve import process
from damda.serve.app import build
from damda.serve.uploads import FOLDER

LLM = "/v1/chat/completions"


def asking(text: str, model: str = "llm", *, stream: bool = False) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}


def events(text: str) -> list[Any]:
    """The JSON of a stream's events, and "[DONE]"."""
    lines = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def error_of(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return str(error["message"])


def upload(client: httpx.Client, name: str, content: bytes, **headers: str) -> httpx.Response:
    return client.post("/api/documents", files={"files": (name, content)}, headers=headers)


def finds(client: httpx.Client, word: str) -> set[str]:
    """Sources of the passages that have this word."""
    answer = client.post("/api/search", json={"query": word, "modes": ["bm25"], "k": 100})
    assert answer.status_code == 200, answer.text
    return {hit["chunk"]["source"] for hit in answer.json()["results"]["bm25"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return documents(tmp_path / "docs")


@pytest.fixture
def told() -> Iterator[Told]:
    model = Told()
    yield model
    model.go.set()


# --- a language model elsewhere --------------------------------------------------------------------------------------


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """An OpenAI-compatible server on which everything goes wrong, as the last message says."""

    leave = threading.Event()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        what = body["messages"][-1]["content"].split()[-1]
        if what in ("500", "429"):
            self.send_response(int(what))
            self.end_headers()
            self.wfile.write(b'{"error": {"message": "not now"}}')
        elif what == "garbage":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>\xff\xfe")
        elif what == "hang":
            self.leave.wait(20)
        else:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            self.wfile.write(b'data: {"choices": [{"delta": {"content": "half \\ud83d"}}]}\n\n')
            self.wfile.flush()
            if what == "silence":
                self.leave.wait(20)
            if what == "error":
                self.wfile.write(b'data: {"error": {"message": "out of memory \\ud83d"}}\n\n')
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        """To nobody."""


@pytest.fixture
def elsewhere() -> Iterator[dict[str, Any]]:
    Elsewhere.leave.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    settings = {"remote.url": url, "remote.model": "m", "remote.timeout": 0.4, "remote.retries": 0}
    yield {**settings, "answer.generator": "remote", "remote.api_key": "sk-secret", "guard.answer": []}
    Elsewhere.leave.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_that_fails_elsewhere(root: Path, elsewhere: dict[str, Any]) -> None:
    with serving(root, elsewhere) as server, server.client() as client:
        for model in ("llm", "damda"):
            for what, status in (("500", 502), ("429", 502), ("garbage", 502), ("hang", 504)):
                message = error_of(client.post(LLM, json=asking(f"금고 {what}", model)), status)
                assert "sk-secret" not in message
                error_of(client.post(LLM, json=asking(f"금고 {what}", model, stream=True)), status)
        for what in ("die", "silence", "error"):
            answer = client.post(LLM, json=asking(what))
            error_of(answer, 504 if what == "silence" else 502)
            begun, *_, last = events(client.post(LLM, json=asking(what, stream=True)).text)
            assert begun["choices"][0]["delta"]["role"] == "assistant"
            assert last["error"].keys() == {"message", "type", "param", "code"}, what
            assert last["error"]["type"] == "server_error"
        until(lambda: server.backend.answering.pending == 0)


def test_searches_go_on_while_a_model_hangs(root: Path, elsewhere: dict[str, Any]) -> None:
    settings = {**elsewhere, "remote.timeout": 20, "serve.answers": 1}
    with serving(root, settings) as server, server.client() as client, ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(client.post, LLM, json=asking("hang"))
        until(lambda: server.backend.answering.pending == 1)
        for _ in range(20):
            assert finds(client, "library") == {"library.md"}
        assert not hanging.done()
        Elsewhere.leave.set()
        error_of(hanging.result(), 502)


# --- clients that leave, and crowds ----------------------------------------------------------------------------------


@contextmanager
def leaving(server: Served, body: dict[str, Any], until_seen: bytes = b"") -> Iterator[None]:
    """A client that asks, reads until it has seen something, and is gone when the block ends."""
    data = json.dumps(body).encode()
    head = f"POST {LLM} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(head.encode() + b"\r\n\r\n" + data)
        sock.settimeout(20)
        seen = b""
        while until_seen not in seen:
            seen += sock.recv(4096)
        yield


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["llm", "damda"])
def test_a_client_that_leaves_frees_the_lane(
    root: Path, told: Told, model: str, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """In mid-stream, or before the first byte: what nobody will read is not written to its end."""
    with serving(root, {**WRITER, "serve.answers": 1}, writer=told) as server, server.client() as client:
        seen = b"word1" if stream and model == "llm" else b""
        with leaving(server, asking("drip 200", model, stream=stream), seen):
            until(lambda: told.begun == 1)
        until(lambda: server.backend.answering.pending == 0, 10)
        assert told.closed == ["drip 200"]
        assert client.post(LLM, json=asking("next")).status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"], caplog.text


def test_a_client_that_leaves_the_queue_is_not_worked_for(root: Path, told: Told) -> None:
    with serving(root, {**WRITER, "serve.answers": 1}, writer=told) as server:
        with leaving(server, asking("hold")):
            until(lambda: told.begun == 1)
            with leaving(server, asking("never")):
                until(lambda: server.backend.answering.pending == 2)
            until(lambda: server.backend.answering.pending == 1)
            told.go.set()
        until(lambda: server.backend.answering.pending == 0)
        assert told.begun == told.ended == 1


def test_a_full_queue_says_so_and_recovers(root: Path, told: Told) -> None:
    settings = {**WRITER, "serve.answers": 1, "serve.queue": 2}
    with serving(root, settings, writer=told) as server, server.client() as client, ThreadPoolExecutor(3) as pool:
        running = [pool.submit(client.post, LLM, json=asking("hold")) for _ in range(3)]
        until(lambda: server.backend.answering.pending == 3)
        for stream in (False, True):
            refused = client.post(LLM, json=asking("one too many", stream=stream))
            assert "waiting" in error_of(refused, 429) and refused.headers["retry-after"] == "1"
        assert finds(client, "library"), "searches have a queue of their own"
        told.go.set()
        assert [future.result().status_code for future in running] == [200] * 3
        until(lambda: server.backend.answering.pending == 0)
        assert client.post(LLM, json=asking("hello")).status_code == 200


def test_what_nobody_expects_is_answered_counted_and_logged(
    root: Path, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(root, WRITER, writer=told) as server, server.client() as client:
        for _ in range(3):  # over one connection: it is not lost
            answer = client.post(LLM, json=asking("fail"))
            assert "unexpectedly" in error_of(answer, 500) and answer.headers["x-content-type-options"] == "nosniff"
        assert "unexpectedly" in error_of(client.post(LLM, json=asking("fail", stream=True)), 500)
        assert "own secret words" in caplog.text and "own secret words" not in answer.text
        counted = 'damda_requests_total{method="POST",route="/v1/chat/completions",status="500"}'
        assert counted in client.get("/metrics").text


def test_a_panic_in_native_code_is_answered(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        """As pyo3's."""

    def panic(*args: object, **kwargs: object) -> None:
        raise Panic("index out of bounds")

    with serving(root) as server, server.client() as client:
        with monkeypatch.context() as patch:
            patch.setattr(KnowledgeBase, "search_batch", panic)
            error_of(client.post("/api/search", json={"query": "x"}), 500)
        assert finds(client, "library")


# --- uploads ---------------------------------------------------------------------------------------------------------


def bomb() -> bytes:
    """A few kilobytes that unpack to hundreds of megabytes."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("mimetype", "application/hwp+zip")
        file.writestr("Contents/section0.xml", b"\0" * 300_000_000)
    return held.getvalue()


def test_broken_uploads_are_named_with_their_reason(root: Path) -> None:
    with serving(root) as server, server.client() as client:
        files = {
            "bomb.hwpx": bomb(),
            "empty.pdf": b"",
            "lies.docx": b"no archive",
            "image.exe": b"MZ",
            "good.md": b"# good\n\nword",
        }
        answer = client.post("/api/documents", files=[("files", (n, c)) for n, c in files.items()])
        assert answer.status_code == 200, answer.text
        refused = {row["name"]: row["reason"] for row in answer.json()["refused"]}
        assert {name.rpartition("/")[2] for name in refused} == {*files} - {"good.md"}
        assert all(refused.values())
        assert f"{FOLDER}/good.md" in finds(client, "word")
        listed = client.get("/api/documents").json()
        assert len(listed["failed"]) == 3 and all(row["error"] and row["uploaded"] for row in listed["failed"])
        for name in ("bomb.hwpx", "empty.pdf", "lies.docx"):
            assert client.delete("/api/documents", params={"source": f"{FOLDER}/{name}"}).status_code == 200
        assert client.get("/api/documents").json()["failed"] == []
        assert "image.exe" in error_of(upload(client, "image.exe", b"MZ"), 400)


def test_a_client_that_leaves_in_its_upload_leaves_nothing(root: Path) -> None:
    with serving(root) as server, server.client() as client:
        head = "POST /api/documents HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        part = '--b\r\nContent-Disposition: form-data; name="files"; filename="half.md"\r\n\r\nhalf'
        for length in ("Content-Length: 100000", "Transfer-Encoding: chunked"):
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                body = part if "Length" in length else f"{len(part):x}\r\n{part}\r\n"
                sock.sendall(f"{head}{length}\r\n\r\n{body}".encode())
        assert client.get("/health").status_code == 200
        assert not (root / FOLDER).exists()
        assert upload(client, "whole.md", b"# whole").status_code == 200


def test_an_upload_waits_for_another_process(root: Path) -> None:
    with serving(root) as server, server.client(Accept="text/event-stream") as client, ExitStack() as held:
        held.enter_context(server.backend.kb._home.writing())
        with client.stream("POST", "/api/documents", files={"files": ("new.md", b"# new\n\nnewword")}) as answer:
            told = (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))
            assert [next(told)["type"] for _ in range(2)] == ["waiting"] * 2
            assert finds(client, "library") and not finds(client, "newword")
            held.close()
            kinds = [(last := event)["type"] for event in told]
        assert "waiting" not in kinds[1:] and kinds[-1] == "done"
        assert last["saved"] == [f"{FOLDER}/new.md"] and last["refused"] == []
        assert finds(client, "newword") == {f"{FOLDER}/new.md"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("no small disk to fill: mounting a tmpfs is not permitted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("full", ["documents", "home"])
def test_a_full_disk(tmp_path: Path, small_disk: Path, full: str) -> None:
    root = documents(small_disk / "docs" if full == "documents" else tmp_path / "docs")
    home = small_disk / "home" if full == "home" else tmp_path / "home"
    with serving(root, {"home": str(home)}) as server, server.client() as client:
        before = {path.name for path in root.rglob("*")}
        if full == "home":
            with (small_disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
                while True:
                    filler.write(b"x" * 4096)
        answer = upload(client, "large.md", b"# large\n\nlarge " + b"word " * 600_000)
        message = error_of(answer, 503)
        assert "full" in message or "space" in message, message
        if full == "documents":
            assert {path.name for path in root.rglob("*")} - {FOLDER} == before, "nothing half is left"
        assert finds(client, "library") == {"library.md"}
        if full == "home":
            (small_disk / "filler").unlink()
            assert client.delete("/api/documents", params={"source": f"{FOLDER}/large.md"}).status_code == 200
        assert upload(client, "small.md", b"# small\n\nsmallword").status_code == 200
        assert finds(client, "smallword") == {f"{FOLDER}/small.md"}


# --- the folder and the index ----------------------------------------------------------------------------------------


def test_two_services_over_one_home(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_module, "_TRUST_AFTER", 0.0)
    with serving(root) as one, served(build(built(root))) as two, one.client() as a, two.client() as b:

        def turn(n: int) -> None:
            client, other = (a, b) if n % 2 else (b, a)
            assert upload(client, f"n{n}.md", f"# n\n\nunique{n}".encode()).status_code == 200
            assert finds(client, f"unique{n}") == {f"{FOLDER}/n{n}.md"}, "found at once where it was uploaded"
            until(lambda: finds(other, f"unique{n}") == {f"{FOLDER}/n{n}.md"}, 5)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(turn, range(8)))
        assert a.get("/api/documents").json() == b.get("/api/documents").json()
        assert a.get("/api/status").json()["documents"] == len(DOCUMENTS) + 8


def test_an_index_made_again_with_other_settings(root: Path) -> None:
    with serving(root) as server, server.client() as client:
        assert finds(client, "library")
        built(root, {"chunk.tokens": 64})  # in its place
        asked = {"query": "library"}
        until(lambda: "start damda again" in client.post("/api/search", json=asked).text, 5)
        error_of(client.post("/api/search", json=asked), 503)
        for path in ("/api/status", "/api/documents", "/api/document?id=library.md", "/metrics", "/ready"):
            assert client.get(path).status_code in (200, 404, 503), path
        assert client.post("/api/index").status_code == 200
        assert finds(client, "library") == {"library.md"}, "and made again for this service"


def test_the_folder_is_followed_on_after_an_error(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed = threading.Event()
    real = KnowledgeBase.refresh

    def refresh(self: KnowledgeBase, *args: Any) -> Any:  # noqa: ANN401  as the real one
        if not failed.is_set():
            failed.set()
            raise RuntimeError("a bug")
        return real(self, *args)

    monkeypatch.setattr(KnowledgeBase, "refresh", refresh)
    with serving(root, {"serve.rescan": 0.1}) as server, server.client() as client:
        until(failed.is_set)
        (root / "later.md").write_text("# later\n\nlaterword")
        until(lambda: finds(client, "laterword") == {"later.md"})
    assert "a bug" in caplog.text


def test_a_service_that_ends_while_indexing_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was saved and not read is not told as done, nor as left out by a pattern."""
    with serving(root) as server, server.client() as client:
        server.backend.indexing.stop()
        message = error_of(upload(client, "x.md", b"# x"), 503)
        assert "ended" in message
        assert (root / FOLDER / "x.md").exists()


def test_many_threads(root: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions, searches, lists, uploads and deletions at once: each is answered, and nothing is lost or left."""
    monkeypatch.setattr(sync_module, "_TRUST_AFTER", 0.0)
    chance, stored = random.Random(5), list[str]()
    with serving(root, {**WRITER, "serve.queue": 1000}, writer=told) as server, server.client() as client:

        def one(n: int) -> None:
            kind = n % 10
            if kind == 0:
                assert upload(client, f"u{n}.md", f"# u\n\nuploaded{n} word".encode()).status_code == 200
                assert f"{FOLDER}/u{n}.md" in finds(client, f"uploaded{n}")
                stored.append(f"{FOLDER}/u{n}.md")
            elif kind == 1 and stored:
                answer = client.delete("/api/documents", params={"source": stored.pop()})
                assert answer.status_code == 200, answer.text
            elif kind == 2:
                assert client.get("/api/documents").json()["total"] >= len(DOCUMENTS)
            elif kind == 3:
                assert client.get("/api/status").json()["documents"] >= len(DOCUMENTS)
            elif kind == 4:
                assert SECRET in client.get("/api/document", params={"id": "비밀.md"}).text
            elif kind == 5:
                texts = [f"text {n} {i}" for i in range(chance.randrange(1, 9))]
                answer = client.post("/v1/embeddings", json={"model": "e5-small-koen", "input": texts})
                wanted = FakeEncoder().encode(texts, kind="passage")
                assert [row["embedding"] for row in answer.json()["data"]] == [
                    pytest.approx(v) for v in wanted.tolist()
                ]
            elif kind == 6:
                assert f"said: {n}" in client.post(LLM, json=asking(str(n))).text
            elif kind == 7:
                assert events(client.post(LLM, json=asking(SECRET, "damda", stream=True)).text)[-1] == "[DONE]"
            else:
                assert "library.md" in finds(client, "library")

        with ThreadPoolExecutor(32) as pool:
            list(pool.map(one, range(200)))
        kept = {f"{FOLDER}/{path.name}" for path in (root / FOLDER).iterdir()}
        assert kept == {*stored}
        assert client.post("/api/index").status_code == 200
        listed = client.get("/api/documents", params={"limit": 1000}).json()
        assert {row["source"] for row in listed["documents"] if row["uploaded"]} == kept
        backend = server.backend
        lanes = (backend.answering, backend.looking, backend._searching, backend._encoding, backend.indexing.lanes)
        until(lambda: not any(lane.pending for lane in lanes))
        assert not backend._searches.requests and not backend._texts.requests


def test_damaged_traces_hold_nothing_up(root: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    built(root, {"home": str(home)})
    (home / "traces.sqlite").write_bytes(b"no database" * 1000)
    with serving(root, {**WRITER, "home": str(home)}, writer=Told()) as server, server.client() as client:
        for _ in range(3):
            answer = client.post(LLM, json=asking(SECRET, "damda"))
            assert answer.status_code == 200 and answer.json()["damda"]["found"]
        assert client.get("/api/traces").json()["traces"], "begun anew"
        assert finds(client, "library")


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """asyncio switches Nagle off only where a socket names its protocol; else an answer takes 40 ms more."""
    with process._bound("127.0.0.1", 0) as sock:
        assert sock.proto == socket.IPPROTO_TCP


# --- processes and signals -------------------------------------------------------------------------------------------


def refused(url: str) -> bool:
    """Whether nobody takes connections there."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), 5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_running_answer_is_finished_after_sigterm(root: Path) -> None:
    with Child(root, WRITER) as child, child.client() as client:
        with client.stream("POST", LLM, json=asking("drip 20", stream=True)) as answer:
            lines = answer.iter_lines()
            while "word1 " not in next(lines):
                pass
            child.process.send_signal(signal.SIGTERM)
            until(lambda: refused(child.url))
            rest = "\n".join(lines)
        assert "word19" in rest and rest.rstrip().endswith("data: [DONE]")
        assert child.process.wait(20) == 0
        assert "Traceback" not in child.said


@pytest.mark.parametrize("number", [signal.SIGINT])
def test_told_twice_it_ends_at_once(root: Path, number: int) -> None:
    with Child(root, WRITER) as child, child.client() as client:
        with client.stream("POST", LLM, json=asking("hold", stream=True)) as answer:
            next(answer.iter_lines())
            child.process.send_signal(number)
            until(lambda: refused(child.url))
            assert child.process.poll() is None
            child.process.send_signal(number)
            assert child.process.wait(5) == 128 + number
        assert "Traceback" not in child.said


def test_work_that_does_not_end_does_not_keep_the_service(root: Path) -> None:
    with Child(root, {**WRITER, "serve.shutdown": 1}) as child, child.client() as client:
        with client.stream("POST", LLM, json=asking("hold", stream=True)) as answer:
            next(answer.iter_lines())
            child.process.send_signal(signal.SIGTERM)
            assert child.process.wait(20) == 0, "the model is silent for half a minute"
        assert "did not end in time" in child.said


def workers_of(child: Child) -> set[int]:
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(child.process.pid)], capture_output=True, text=True
    )
    return {int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line}


def test_ready_soon_where_another_was_indexing(tmp_path: Path) -> None:
    (root := tmp_path / "docs").mkdir()
    service = built(root, {"serve.rescan": 600})
    documents(root)
    with ExitStack() as other:
        other.enter_context(service.kb._home.writing())
        with served(build(service)) as server, server.client() as client:
            time.sleep(0.5)  # by now it has looked, and found somebody indexing
            assert client.get("/ready").status_code == 503
            other.close()
            until(lambda: client.get("/ready").status_code == 200, 10)


def test_several_workers(root: Path) -> None:
    """One is killed: the other answers, it is replaced. The parent is killed: they end, and the port is free."""
    with Child(root, {**WRITER, "serve.workers": 2}) as child, child.client() as client:
        before = workers_of(child)
        assert len(before) == 2
        os.kill(victim := min(before), signal.SIGSTOP)
        time.sleep(1.2)  # by now it has been asked for a sign of life
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in workers_of(child))
        for _ in range(10):
            with child.client() as fresh:
                assert finds(fresh, "library") == {"library.md"}
        until(lambda: len(workers_of(child) - {victim}) == 2)
        assert "damda_requests_total" in client.get("/metrics").text
        child.process.kill()
        child.process.wait()
        client.close()
        until(lambda: refused(child.url), 30)
