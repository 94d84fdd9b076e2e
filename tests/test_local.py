"""Commands go through the door of a `damda serve` on the same home, and do without where it would do otherwise."""

import json
import os
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from serving import DOCUMENTS, WRITER, Child, built, served
from typer.testing import CliRunner, Result

import damda
from damda import door
from damda.cli import commands
from damda.serve.app import build
from damda.serve.keys import Keys
from damda.types import NO_META

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")

app = commands()
ASKED = ("연차 휴가는 며칠?", "--source", "leave.md")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("DAMDA_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def child(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    """Runs; and a command that would open the documents itself fails."""
    monkeypatch.setenv("DAMDA_ANSWER__THRESHOLD", "0")  # the same setting, from elsewhere
    with Child(root, {"serve.rescan": 0, "answer.threshold": 0}) as one:
        monkeypatch.setattr(damda, "open", by_itself)
        monkeypatch.setattr("damda.cli.questions.opened_warm", damda.open)
        monkeypatch.setattr("damda.cli.questions.opened", damda.open)
        monkeypatch.setattr("damda.cli.documents.opened", damda.open)
        yield one


def by_itself(*_: object, **__: object) -> None:
    raise LookupError("the command did its work by itself")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def said(*words: str) -> str:
    done = run(*words)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


# --- through the door


def test_ask_through_the_door(child: Child, root: Path) -> None:
    text = said("ask", "docs", *ASKED)
    assert "15일" in text and "[1]" in text and "leave.md" in text
    answer = json.loads(said("ask", "docs", *ASKED, "--json", "--no-cache"))
    assert answer["found"] and answer["quotes"][0]["text"] in DOCUMENTS["leave.md"] and len(answer["trace_id"]) == 32
    assert json.loads(said("ask", "docs", *ASKED, "--json"))["cached"] == "exact"
    # What a file says now, not what was stored when the service began.
    (root / "leave.md").write_text("연차 휴가는 1년에 30일이다.", encoding="utf-8")
    assert "30일" in said("ask", "docs", *ASKED)
    nothing = run("ask", "docs", "우주선은 어디에 있나?", "--source", "library.md")
    assert nothing.exit_code in (0, 3)


def test_search_through_the_door(child: Child) -> None:
    hits = json.loads(said("search", "docs", "library opens", "-k", "2", "--json"))
    assert hits[0]["chunk"]["source"] == "library.md" and len(hits) <= 2
    assert [hit["by"] for hit in json.loads(said("search", "docs", "library", "--mode", "bm25", "--json"))][:1] == [
        "bm25"
    ]
    assert "library.md" in said("search", "docs", "library opens", "--glob", "*.md")


def test_index_through_the_door(child: Child, root: Path) -> None:
    (root / "new.md").write_text("The bicycle stands in the yard.", encoding="utf-8")
    (root / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    report = json.loads(said("index", "docs", "--json"))
    assert report["documents"] == 1 and report["failed"][0]["source"] == "broken.pdf"
    assert run("index", "docs", "--strict", "--quiet").exit_code == 4
    assert "bicycle" in said("search", "docs", "bicycle")


# --- by itself


def test_who_would_do_otherwise_is_told_so(child: Child, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these opens the documents itself, which fails here."""

    def alone(*words: str) -> bool:
        return isinstance(run(*words).exception, LookupError)

    assert not alone("ask", "docs", *ASKED)
    assert alone("ask", "docs", *ASKED, "--no-server")
    assert alone("ask", "docs", *ASKED, "--set", "answer.quotes=1")
    assert alone("ask", "docs", *ASKED, "--mode", "bm25")
    assert alone("search", "docs", "x", "--set", "chunk.tokens=64")
    assert alone("index", "docs", "--no-server")
    assert alone("index", "docs", "--home", "elsewhere")
    with monkeypatch.context() as patched:
        patched.setenv("DAMDA_ANSWER__QUOTES", "1")
        assert alone("ask", "docs", *ASKED)
    with monkeypatch.context() as patched:
        patched.setattr(damda, "__version__", "9.9")
        assert alone("ask", "docs", *ASKED)
    with monkeypatch.context() as patched:
        patched.setenv("DAMDA_CACHE", "/elsewhere")
        assert alone("ask", "docs", *ASKED)
    (root.parent / "damda.toml").write_text("[answer]\nquotes = 2\n")
    assert alone("ask", "docs", *ASKED)
    (root.parent / "damda.toml").write_text("[serve]\nport = 1\n")
    assert not alone("ask", "docs", *ASKED)


def test_a_relative_path_means_a_file_beside_the_command(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Child(root, {"serve.rescan": 0, "llama.draft": "m.gguf"}) as one:
        other, model = root.parent / "other", {"llama.draft": "m.gguf"}
        other.mkdir()
        assert status(root, root.parent, model) == 200
        assert status(root, other, model) == 200, "there is no such file"
        (other / "m.gguf").touch()
        assert status(root, other, model) == 409 and one.process.poll() is None


def test_without_a_service_nothing_changes(root: Path) -> None:
    assert door.opened(root / ".damda") is None
    home = root / ".damda"
    home.mkdir()
    left = socket.socket(socket.AF_UNIX)
    place(root).parent.mkdir(mode=0o700, exist_ok=True)
    left.bind(str(place(root)))
    left.close()  # as a kill leaves it
    assert door.opened(home) is None
    again = door.made(home)
    assert again is not None
    again.close()
    assert not place(root).exists()


# --- who may come


def test_the_door_is_the_owners_alone(child: Child, root: Path) -> None:
    there = place(root)
    assert stat.S_IMODE(there.stat().st_mode) == 0o600
    with child.client() as client:
        assert client.post("/local/ask", json={}).status_code in (400, 404), "not over the network"
        body = caller(root) | {"question": ASKED[0]}
        answer = client.post("/local/ask", json=body)
        assert answer.status_code == 404 and "15일" not in answer.text
    assert child.end() == 0 and not there.exists()


def test_keys_are_for_others(root: Path) -> None:
    """Who may open the socket may read the home, where the documents' texts are."""
    keys = Keys(root / ".damda")
    keys.make("office")
    keys.close()
    with Child(root, {"serve.rescan": 0}) as one:
        assert status(root) == 200
        with one.client() as other:
            assert other.post("/local/ask", json=caller(root) | {"question": ASKED[0]}).status_code == 401


def test_without_a_door_nobody_comes_through_one(root: Path) -> None:
    with served(build(built(root))) as server, server.client() as client:
        assert client.post("/local/ask", json=caller(root) | {"question": ASKED[0]}).status_code == 404


def test_a_second_service_leaves_the_first_its_door(child: Child, root: Path) -> None:
    before = place(root).stat().st_ino
    with Child(root, {"serve.rescan": 0, "answer.threshold": 0}) as second:
        assert second.end() == 0
    assert place(root).stat().st_ino == before
    assert "15일" in said("ask", "docs", *ASKED)


def test_several_workers_share_the_door(root: Path) -> None:
    with Child(root, {"serve.rescan": 0, "serve.workers": 2}):
        assert {status(root) for _ in range(4)} == {200}


def test_a_home_far_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    home = tmp_path / ("가" * 60) / ".damda"
    made = door.made(home)
    assert made is not None
    folder = tmp_path / f"damda-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and len(list(folder.iterdir())) == 1
    found = door.opened(home)
    assert found is not None and door.made(home) is None, "it is served already"
    found.close()
    made.close()
    assert list(folder.iterdir()) == []
    folder.chmod(0o755)
    assert door.made(home) is None, "others could look in"


# --- what goes wrong


def test_a_service_that_ends_in_the_middle(root: Path) -> None:
    """Half an answer is an error, not an answer."""
    home = root / ".damda"
    home.mkdir()
    made = door.made(home)
    assert made is not None

    def half() -> None:
        sock, _ = made.sock.accept()
        while b'"recall"' not in sock.recv(65536):
            pass
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        piece = b'data: {"type": "refreshed", "report": {"skipped": [], "failed": []}}\n\ndata: {"text": "Fifteen"}\n\n'
        sock.sendall(head + f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        sock.close()

    thread = threading.Thread(target=half)
    thread.start()
    done = run("ask", "docs", *ASKED)
    thread.join()
    made.close()
    assert done.exit_code == 1 and "ended in the middle" in str(done.exception)


def test_a_models_error_is_told(root: Path) -> None:
    settings = {**WRITER, "serve.rescan": 0}
    with Child(root, settings), through(root) as client:
        answer = client.post("/local/ask", json=caller(root, **WRITER) | {"question": "fail"})
        assert answer.status_code == 200 and '"refreshed"' in answer.text and '"unexpected"' in answer.text


def test_long_settings_name_no_file(root: Path) -> None:
    long = {"answer.instructions": "가" * 300}
    other = root.parent / "other"
    other.mkdir()
    with Child(root, {"serve.rescan": 0, **long}):
        assert status(root, other, long) == 200


def test_a_service_that_does_not_answer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that was suspended: after some seconds the command does its work by itself."""
    monkeypatch.setattr("damda.cli.through._HEAD", 0.3)
    monkeypatch.setattr("damda.cli.questions.opened_warm", by_itself)
    (root / ".damda").mkdir()
    made = door.made(root / ".damda")
    assert made is not None
    assert isinstance(run("ask", "docs", *ASKED).exception, LookupError)
    made.close()


def test_only_what_commands_ask_needs_no_key(root: Path) -> None:
    keys = Keys(root / ".damda")
    keys.make("office")
    keys.close()
    with Child(root, {"serve.rescan": 0}), through(root) as client:
        assert client.get("/api/status").status_code == 401
        assert client.post("/local/ask", json=caller(root) | {"question": ASKED[0]}).status_code == 200


def place(root: Path) -> Path:
    found = door._place(root / ".damda")
    assert found is not None
    return found


def through(root: Path) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=str(place(root)))
    return httpx.Client(transport=transport, base_url="http://localhost", timeout=20)


def status(root: Path, folder: Path | None = None, settings: Mapping[str, object] = NO_META) -> int:
    """What a command in a folder, with settings, is told."""
    body = caller(root, str(folder or ""), **settings) | {"question": ASKED[0]}
    with through(root) as client:
        return client.post("/local/ask", json=body).status_code


def caller(root: Path, folder: str = "", **settings: object) -> dict[str, object]:
    return {
        "version": damda.__version__,
        "root": str(root.resolve()),
        "folder": folder or os.getcwd(),
        "cache": "",
        "sources": [("the command line", settings), ("the door", {"home": str(root / ".damda")})],
    }
