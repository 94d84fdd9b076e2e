"""Nobody gets more of the documents than he should: keys, hosts' names, other sites' pages, sizes, names of uploads."""

import json
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import until
from hypothesis import example, given
from hypothesis import strategies as st
from serving import DOCUMENTS, SECRET, WRITER, Child, Served, Told, built, documents, raw, served, serving

from damda.errors import ConfigError, ReadError
from damda.serve import process
from damda.serve.access import is_local
from damda.serve.app import build
from damda.serve.keys import FILE, Keys
from damda.serve.uploads import FOLDER, Uploads, safe_name

OPEN = ("/", "/docs", "/health", "/ready", "/page/docs.js", "/docs/swagger-ui.css")
CLOSED = (
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/damda", None),
    ("GET", "/api/status", None),
    ("GET", "/api/documents", None),
    ("GET", "/api/document?id=leave.md", None),
    ("GET", "/metrics", None),
    ("GET", "/openapi.json", None),
    ("GET", "/nothing/here", None),
    ("POST", "/api/search", {"query": "금고"}),
    ("POST", "/api/index", None),
    ("DELETE", "/api/documents?source=x", None),
    ("POST", "/api/documents", None),
    ("POST", "/v1/chat/completions", {"model": "damda", "messages": [{"role": "user", "content": "금고"}]}),
    ("POST", "/v1/completions", {"model": "damda", "prompt": "금고"}),
    ("POST", "/v1/embeddings", {"model": "e5-small-koen", "input": "금고"}),
    ("POST", "/v1/rerank", {"query": "금고", "documents": ["a"]}),
)


def error_of(response: httpx.Response, status: int, code: str | None = None) -> str:
    """The message of an error, which has OpenAI's shape."""
    assert response.status_code == status, response.text
    assert response.json().keys() >= {"error"}
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"} and error["message"]
    assert code is None or error["code"] == code
    assert "Traceback" not in response.text
    return str(error["message"])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return documents(tmp_path_factory.mktemp("access") / "docs")


@pytest.fixture(scope="module")
def open_server(root: Path) -> Iterator[Served]:
    """On this machine's address, no key made."""
    with serving(root, {**WRITER, "serve.max_body": 2000, "serve.max_upload": 5000}, writer=Told()) as server:
        yield server


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Keys, str]]:
    folder = documents(tmp_path_factory.mktemp("keyed") / "docs")
    with serving(folder) as server:
        keys = Keys(server.backend.kb.home)
        with server.client() as client:
            until(lambda: client.get("/ready").status_code == 200)
        yield server, keys, keys.make("office")[1]
        keys.close()


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given_key", [None, "damda-wrong", "damda-", "\x00", "x" * 5000])
def test_without_a_key_nothing_is_told(keyed: tuple[Served, Keys, str], given_key: str | None) -> None:
    server, _, secret = keyed
    headers = {} if given_key is None else {"Authorization": f"Bearer {given_key}"}
    if given_key == "\x00":
        headers = {"Authorization": "Basic b2ZmaWNlOm9mZmljZQ==", "X-API-Key": secret[:-1]}
    with server.client(**headers) as client:
        for method, path, body in CLOSED:
            response = client.request(method, path, json=body)
            error_of(response, 401)
            assert response.headers["www-authenticate"] == "Bearer"
            assert not any(name in response.text for name in DOCUMENTS) and SECRET not in response.text
        for path in OPEN:
            assert client.get(path).status_code == 200, path


def test_with_a_key_everything_is_answered(keyed: tuple[Served, Keys, str]) -> None:
    server, _, secret = keyed
    for headers in (
        {"Authorization": f"Bearer {secret}"},
        {"authorization": f"bearer  {secret}"},
        {"x-api-key": secret},
    ):
        with server.client(**headers) as client:
            assert client.get("/v1/models").status_code == 200
    with server.client(Authorization=f"Bearer {secret}", Host="damda.example.com") as client:
        found = client.post("/api/search", json={"query": SECRET})
        assert SECRET in found.text, "a key admits under any name: there may be a proxy in front"


def test_a_key_shows_in_the_next_request_and_its_end_too(tmp_path: Path) -> None:
    with serving(documents(tmp_path / "docs")) as server, server.client() as client:
        assert client.get("/api/status").status_code == 200
        other = Keys(server.backend.kb.home)  # another process' view
        key, secret = other.make("office")
        error_of(client.get("/api/status"), 401, "missing_api_key")
        asked = {"Authorization": f"Bearer {secret}"}
        assert client.get("/api/status", headers=asked).status_code == 200
        assert other.revoke("office").id == key.id
        error_of(client.get("/api/status", headers=asked), 401, "invalid_api_key")
        error_of(client.get("/api/status"), 401)  # the last key is revoked: that opens nothing
        other.close()


def test_keys_made_anew_replace_the_old_ones_at_once(tmp_path: Path) -> None:
    """As the advice for a damaged file goes: delete it, make new keys. A running service must see that."""
    with serving(documents(tmp_path / "docs")) as server, server.client() as client:
        first = Keys(server.backend.kb.home)
        _, old = first.make("old")
        first.close()
        assert client.get("/api/status", headers={"x-api-key": old}).status_code == 200
        for path in server.backend.kb.home.glob(f"{FILE}*"):
            path.unlink()
        second = Keys(server.backend.kb.home)
        _, new = second.make("new")
        second.close()
        assert client.get("/api/status", headers={"x-api-key": new}).status_code == 200
        error_of(client.get("/api/status", headers={"x-api-key": old}), 401, "invalid_api_key")


def test_only_a_hash_is_on_disk_and_only_the_owner_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keys = Keys(tmp_path / "home")
        secrets = [keys.make(f"key{n}", 5)[1] for n in range(3)]
        assert (key := keys.find(secrets[1])) is not None and key.name == "key1"
        files = sorted((tmp_path / "home").iterdir())
    finally:
        os.umask(before)
    assert FILE in [path.name for path in files]
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        held = path.read_bytes()
        for secret in secrets:
            assert secret.encode() not in held and secret.removeprefix("damda-").encode() not in held
    assert len({*secrets}) == 3 and all(len(secret) >= 43 for secret in secrets)
    keys.close()


def test_a_limit_is_shared_by_all_who_use_the_file(tmp_path: Path) -> None:
    one, two = Keys(tmp_path), Keys(tmp_path)
    key, _ = one.make("office", per_minute=6)
    now = 2e9
    waits = [keys.wait(key, now) for keys in (one, two) * 4]
    assert waits[:6] == [0.0] * 6 and all(0 < wait <= 10 for wait in waits[6:])
    assert two.wait(key, now + 10.5) == 0.0 and one.wait(key, now + 10.5) > 0
    assert one.wait(key, now - 3600) > 0, "a clock that was set back grants nothing"
    assert one.wait(key, now + 3600) == 0.0
    one.close()
    two.close()


def test_a_limit_holds_for_threads_at_once(tmp_path: Path) -> None:
    views = [Keys(tmp_path) for _ in range(2)]
    key, _ = views[0].make("office", per_minute=10)
    waits: list[float] = []
    threads = [
        threading.Thread(target=lambda v=view: waits.extend(v.wait(key, 2e9) for _ in range(10))) for view in views * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(waits) == 40 and waits.count(0.0) == 10
    for view in views:
        view.close()


def test_too_many_requests_of_a_key(tmp_path: Path) -> None:
    with serving(documents(tmp_path / "docs")) as server:
        keys = Keys(server.backend.kb.home)
        _, slow = keys.make("slow", per_minute=2)
        _, fast = keys.make("fast")
        keys.close()
        with server.client(Authorization=f"Bearer {slow}") as client:
            answers = [client.get("/v1/models") for _ in range(3)]
        assert [a.status_code for a in answers] == [200, 200, 429]
        error_of(answers[2], 429, "rate_limit_exceeded")
        assert 1 <= int(answers[2].headers["retry-after"]) <= 30
        with server.client(Authorization=f"Bearer {fast}") as client:
            assert all(client.get("/v1/models").status_code == 200 for _ in range(5))


DAMAGE = {
    "garbage": lambda path: path.write_bytes(b"no database at all" * 500),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "empty": lambda path: path.write_bytes(b""),
    "another database": lambda path: (
        sqlite3.connect(path).execute("ALTER TABLE keys RENAME TO other").connection.close()
    ),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_keys_open_nothing(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    home = tmp_path / "home"
    keys = Keys(home)
    _, secret = keys.make("office")
    keys.close()
    for path in home.glob(f"{FILE}-*"):
        path.unlink()
    damage(home / FILE)
    with serving(documents(tmp_path / "docs"), {"home": str(home)}) as server, server.client() as client:
        for headers in ({}, {"x-api-key": secret}, {"x-api-key": "damda-other"}):
            response = client.get("/api/document", params={"id": "비밀.md"}, headers=headers)
            assert response.status_code in (401, 503), response.text
            message = error_of(response, response.status_code)
            assert SECRET not in response.text and str(tmp_path) not in message
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "damda.example.com", ""])
def test_other_addresses_need_a_key_from_the_start(tmp_path: Path, host: str) -> None:
    assert not is_local(host)
    service = built(documents(tmp_path / "docs"), {"serve.host": host})
    with pytest.raises(ConfigError, match="make a key first"):
        process.check(service.settings, service.kb.home, insecure=False)
    process.check(service.settings, service.kb.home, insecure=True)
    with served(build(service)) as server, server.client() as client:
        error_of(client.get("/api/status"), 401)
        assert client.get("/").status_code == 200
    keys = Keys(service.kb.home)
    keys.make("office")
    keys.revoke("office")
    keys.close()
    process.check(service.settings, service.kb.home, insecure=False)  # nobody gets in, but it may start


def test_insecure_wants_no_key(tmp_path: Path) -> None:
    service = built(documents(tmp_path / "docs"), {"serve.host": "0.0.0.0"})
    with served(build(service, insecure=True)) as server, server.client(Host="damda.example.com") as client:
        assert client.get("/api/status").status_code == 200
        error_of(client.post("/api/index", headers={"Origin": "https://evil.example"}), 403, "cross_site")


# --- other names, other sites ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", "10.0.0.1", "", "[::2]:80", "a@b"]
)
def test_another_name_is_refused_without_keys(open_server: Served, host: str) -> None:
    """DNS rebinding: a page of that name would be allowed by the browser to read the answers."""
    with open_server.client(Host=host) as client:
        for method, path, body in CLOSED:
            error_of(client.request(method, path, json=body), 403, "wrong_host")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:8080", "127.8.8.8", "LOCALHOST:1"])
def test_this_machines_names_are_accepted(open_server: Served, host: str) -> None:
    with open_server.client(Host=host) as client:
        assert client.get("/api/status").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://["},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_another_sites_page_changes_and_asks_nothing(open_server: Served, headers: dict[str, str]) -> None:
    with open_server.client(**headers) as client:
        for method, path, body in CLOSED:
            if method != "GET":
                error_of(client.request(method, path, json=body), 403, "cross_site")
        form = client.post("/api/documents", files={"files": ("evil.md", b"# evil")})
        error_of(form, 403, "cross_site")
    assert not (open_server.backend.kb.root / FOLDER).exists()


def test_the_own_page_may(open_server: Served) -> None:
    with open_server.client(Origin=open_server.url, **{"Sec-Fetch-Site": "same-origin"}) as client:
        assert client.post("/api/search", json={"query": "금고"}).status_code == 200


def test_no_other_site_may_read_an_answer(open_server: Served) -> None:
    with open_server.client(Origin="https://evil.example") as client:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        answers = [
            client.options("/v1/chat/completions", headers=asked),
            client.get("/api/documents"),
            client.get("/v1/models"),
            client.get("/"),
            client.post("/api/search", json={"query": "x"}),
        ]
    assert not [name for answer in answers for name in answer.headers if name.startswith("access-control-")]
    assert all(answer.headers["cross-origin-resource-policy"] == "same-origin" for answer in answers)


def test_headers_that_keep_a_browser_in_bounds(open_server: Served) -> None:
    with open_server.client() as client:
        answers = [client.get(path) for path in (*OPEN, "/api/documents", "/v1/models", "/nothing")]
        answers.append(client.post("/api/search", content=b"{"))
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
        rules = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert rules["default-src"] == rules["base-uri"] == rules["frame-ancestors"] == rules["form-action"] == "'none'"
        assert rules["script-src"] == "'self'" and rules["connect-src"] == "'self'"
    assert all(
        a.headers["cache-control"] == "no-store" for a in answers if "/api/" in a.url.path or "/v1/" in a.url.path
    )


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_a_body_that_is_too_large_is_not_read(open_server: Served) -> None:
    with open_server.client() as client:
        message = error_of(client.post("/api/search", json={"query": "x" * 3000}), 413, "too_large")
        assert "2000" in message
        error_of(client.post("/api/documents", files={"files": ("a.md", b"x" * 6000)}), 413, "too_large")
        assert client.post("/api/documents", files={"files": ("a.md", b"x " * 1500)}).status_code == 200
        assert client.delete("/api/documents", params={"source": f"{FOLDER}/a.md"}).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/search"), ("DELETE", "/api/documents?source=x"),
                                              ("POST", "/api/index"), ("POST", "/v1/embeddings")])  # fmt: skip
def test_a_body_without_a_length_is_cut_off(open_server: Served, method: str, path: str) -> None:
    def blocks() -> Iterator[bytes]:
        for _ in range(100):
            yield b'"' + b"x" * 999

    with open_server.client() as client:
        response = client.request(method, path, content=blocks(), headers={"Content-Type": "application/json"})
        if path.startswith("/api/documents"):
            assert response.status_code in (404, 413)  # it may be answered before the body is looked at
        elif path == "/api/index":
            assert response.status_code in (200, 413)
        else:
            error_of(response, 413, "too_large")
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize("length", ["-1", "1e3", "abc", "9" * 30, "9" * 5000, "²", "10, 11", "0x10", ""])
def test_a_length_that_lies(open_server: Served, length: str) -> None:
    head = f"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}"
    got = raw(open_server, head.encode("latin-1") + b"\r\n\r\n{}")
    assert got.split(b" ")[1][:1] == b"4", got
    with open_server.client() as client:
        assert client.get("/health").status_code == 200


# --- names of uploads ------------------------------------------------------------------------------------------------

NAMES = {
    "../../x.md": "x.md",
    "/etc/passwd.md": "passwd.md",
    "C:\\temp\\x.md": "x.md",
    "..\\..\\x.md": "x.md",
    "a\x00b.md": "ab.md",
    "‮dm.exe.md": "dm.exe.md",
    "\x1b[31mred.md": "[31mred.md",
    '<img src=x onerror="alert(1)">.md': "img src=x onerror=alert(1).md",
    "보고서.md": "보고서.md",
    unicodedata.normalize("NFD", "보고서.md"): "보고서.md",
    "a b.md ": "a b.md",
    "x.md.": "x.md",
    "|rm -rf.md": "rm -rf.md",
    "e\u200d\u0301.md": "é.md",
}
NOT_NAMES = (
    "", ".", "..", "/", "\\", "noending", "....", ".md", "a.md/", "a/..", "\x00.md", "~$x.docx", ".hidden.md",
    "dir/.x.md", ".damdaignore", "x.", " .md", "desktop.ini", "~.md",
)  # fmt: skip


@pytest.mark.parametrize(("name", "kept"), NAMES.items())
def test_a_name_is_made_harmless(name: str, kept: str) -> None:
    assert safe_name(name) == kept


@pytest.mark.parametrize("name", NOT_NAMES)
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    uploads = Uploads(tmp_path, images=False, on=True)
    with pytest.raises(ReadError), (tmp_path / "some").open("wb+") as content:
        uploads.save(name, content)
    assert not (tmp_path / FOLDER).exists() or not [*(tmp_path / FOLDER).iterdir()]


@given(st.text(max_size=400) | st.builds(lambda a, b: f"{a}.{b}", st.text(max_size=300), st.text(max_size=250)))
@example("0\xa0.0")
@example("휴가\u3000규정.md")
def test_any_name_becomes_one_part_of_a_path_or_nothing(name: str) -> None:
    try:
        kept = safe_name(name)
    except ReadError:
        return
    assert len(kept.encode()) <= 255 and Path(kept).name == kept and not kept.startswith((".", "~", "-."))
    assert "/" not in kept and "\\" not in kept and kept.isprintable()
    assert unicodedata.is_normalized("NFC", kept), "else it is not found under the name that it was given"
    assert safe_name(kept) == kept


def test_uploads_stay_in_their_folder(tmp_path: Path) -> None:
    folder = documents(tmp_path / "docs")
    names = [
        *NAMES,
        *NOT_NAMES,
        "x" * 1000 + ".md",
        "CON.md",
        "aux.txt",
        "leave.md",
        f"../{FOLDER}/y.md",
        "..%2f..%2fz.md",
    ]
    names = [name for name in names if name and "\x00" not in name]  # such a part of a form is no file
    with serving(folder) as server, server.client() as client:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*.md")}
        files = [("files", (name or "x", b"# uploaded\n\nword", "text/markdown")) for name in names]
        answer = client.post("/api/documents", files=files).json()
        for source in answer["saved"]:
            assert Path(source).parent == Path(FOLDER)
        assert len({*answer["saved"]}) == len(answer["saved"]), (
            "no upload takes the place of another of the same request"
        )
        assert len(answer["saved"]) + len(answer["refused"]) >= len(names)
        listed = client.get("/api/documents", params={"limit": 1000}).json()
        uploaded = {row["source"] for row in listed["documents"] if row["uploaded"]}
        assert uploaded | {row["source"] for row in listed["failed"]} >= {*answer["saved"]}
        shown = [answer, listed, client.get("/api/status").json()]
        deleted = client.delete("/api/documents", params={"source": "leave.md"})
        error_of(deleted, 404, "not_found")
        for source in ("../docs/leave.md", f"{FOLDER}/../leave.md", f"{FOLDER}/", FOLDER, "", "/etc/passwd", "\x00"):
            error_of(client.delete("/api/documents", params={"source": source}), 404, "not_found")
    assert {path: path.read_bytes() for path in before} == before
    made = {path for path in tmp_path.rglob("*") if path.is_file() and ".damda" not in path.parts} - {*before}
    assert {path.parent for path in made} == {folder / FOLDER}
    assert not [path for path in made if path.name.startswith(".") or len(path.name.encode()) > 255]
    assert str(tmp_path) not in json.dumps(shown, ensure_ascii=False)


@pytest.mark.parametrize("kind", ["link", "file", "dangling"])
def test_a_folder_of_uploads_that_leads_elsewhere_is_not_used(tmp_path: Path, kind: str) -> None:
    folder, elsewhere = documents(tmp_path / "docs"), tmp_path / "elsewhere"
    if kind == "file":
        (folder / FOLDER).write_text("a file")
    else:
        (folder / FOLDER).symlink_to(elsewhere)
        if kind == "link":
            elsewhere.mkdir()
            (elsewhere / "theirs.md").write_text("# not ours to delete")
    with serving(folder) as server, server.client() as client:
        answer = client.post("/api/documents", files={"files": ("x.md", b"# x")})
        error_of(answer, 400, "not_available")
        answer = client.delete("/api/documents", params={"source": f"{FOLDER}/theirs.md"})
        assert answer.status_code in (400, 404)
    assert not elsewhere.exists() or [path.name for path in elsewhere.iterdir()] == ["theirs.md"]


def test_switched_off_uploads(tmp_path: Path) -> None:
    with serving(documents(tmp_path / "docs"), {"serve.uploads": False}) as server, server.client() as client:
        error_of(client.post("/api/documents", files={"files": ("x.md", b"# x")}), 400, "not_available")
        assert client.get("/api/status").json()["uploads"] is False


@pytest.mark.parametrize(
    "path",
    [
        "/page/../pages.py", "/page/..%2fpages.py", "/page/%2e%2e/pages.py", "/page/..%5cpages.py", "/page//etc/passwd",
        "/page/%2fetc%2fpasswd", "/docs/..%2f..%2f__init__.py", "/docs/%2e%2e%2f%2e%2e%2f__init__.py", "/page/%00",
        "/docs/%ff", "/page/../../../../../../../etc/passwd", "/page/../api/documents", "/docs/../api/documents",
        "/page/%2e%2e/api/documents", "//api/documents", "/page/.", "/docs/", "/page/" + "a" * 5000,
    ],
)  # fmt: skip
def test_static_files_lead_nowhere_else(keyed: tuple[Served, Keys, str], path: str) -> None:
    server, _, _ = keyed
    got = raw(server, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    status = int(got.split(b" ")[1])
    assert status in (400, 401, 404, 405), got[:300]
    assert b"root:" not in got and b"import" not in got and b"leave.md" not in got


@pytest.mark.parametrize(
    "doc_id", ["../비밀.md", "/etc/passwd", "..", "a' OR '1'='1", "x\x00", "%2e%2e/비밀.md", "비밀.md' --"]
)
def test_a_documents_id_is_no_path_and_no_sql(open_server: Served, doc_id: str) -> None:
    with open_server.client() as client:
        for params in ({"id": doc_id}, {"id": "leave.md", "version": doc_id}):
            error_of(client.get("/api/document", params=params), 404, "not_found")


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_secrets_are_in_no_answer_and_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    settings = {**WRITER, "encoder.api_key": "sk-encoder-secret", "rerank.api_key": "sk-rerank-secret"}
    with serving(documents(tmp_path / "docs"), settings, writer=Told()) as server:
        keys = Keys(server.backend.kb.home)
        _, secret = keys.make("office")
        keys.close()
        said = []
        with server.client(Authorization=f"Bearer {secret}") as client:
            for method, path, body in CLOSED:
                said.append(client.request(method, path, json=body).text)
            for model, text in (("llm", "fail"), ("damda", "fail"), ("none", "x")):
                messages = [{"role": "user", "content": text}]
                for stream in (False, True):
                    chat = {"model": model, "messages": messages, "stream": stream}
                    answer = client.post("/v1/chat/completions", json=chat)
                    said.append(answer.text)
                    assert "own secret words" not in answer.text, "what damda does not expect is not told to strangers"
            said.append(client.get("/api/status", headers={"Authorization": f"Bearer {secret}x"}).text)
    logged = "\n".join(record.getMessage() for record in caplog.records)
    for word in (secret, "sk-remote-secret", "sk-encoder-secret", "sk-rerank-secret", secret.removeprefix("damda-")):
        assert word not in "".join(said) and word not in logged
    assert str(tmp_path) not in "".join(said)


# --- from another machine --------------------------------------------------------------------------------------------

NETWORK = {"there": "10.213.77.1", "here": "10.213.77.2"}
ASK = """
import json, sys, urllib.error, urllib.request
base, key, asked = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for method, path, body in asked:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = urllib.request.Request(base + path, data, headers, method=method)
    try:
        with opener.open(request, timeout=15) as answer:
            print(json.dumps([path, answer.status, answer.read().decode("utf-8", "replace")]))
    except urllib.error.HTTPError as error:
        print(json.dumps([path, error.code, error.read().decode("utf-8", "replace")]))
    except OSError as error:
        print(json.dumps([path, 0, str(error)]))
"""


def ip(*words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


@pytest.fixture
def namespace() -> Iterator[str]:
    """Another network, joined to this one by a cable: what is in it is not this machine."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("a second network needs root and iproute2's `ip`")
    name, cable = f"damda{os.getpid()}", f"dmd{os.getpid() % 100000}"
    made = ip("netns", "add", name, check=False)
    if made.returncode:
        pytest.skip(f"a second network is not permitted here: {made.stderr.strip()}")
    try:
        plugged = ip(
            "link", "add", f"{cable}a", "type", "veth", "peer", "name", f"{cable}b", "netns", name, check=False
        )
        if plugged.returncode:
            pytest.skip(f"a second network can't be joined here: {plugged.stderr.strip()}")
        ip("addr", "add", f"{NETWORK['there']}/30", "dev", f"{cable}a")
        ip("link", "set", f"{cable}a", "up")
        ip("-n", name, "addr", "add", f"{NETWORK['here']}/30", "dev", f"{cable}b")
        ip("-n", name, "link", "set", f"{cable}b", "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        ip("link", "del", f"{cable}a", check=False)
        ip("netns", "del", name, check=False)


def ask_from(namespace: str, base: str, key: str, asked: list[tuple[str, str, Any]]) -> dict[str, tuple[int, str]]:
    words = ["ip", "netns", "exec", namespace, sys.executable, "-c", ASK, base, key, json.dumps(asked)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    return {path: (status, text) for path, status, text in map(json.loads, done.stdout.splitlines())}


def test_from_another_machine(tmp_path: Path, namespace: str) -> None:
    root = documents(tmp_path / "docs")
    host = {"serve.host": NETWORK["there"]}
    with Child(root, host) as refused:
        assert refused.process.wait(60) != 0 and "make a key first" in refused.said
    keys = Keys(root / ".damda")
    _, secret = keys.make("office")
    keys.close()
    with Child(root, host, ready=False) as child:
        base, asked = child.url, [(method, path, body) for method, path, body in CLOSED]
        end = time.monotonic() + 60
        while ask_from(namespace, base, "", [("GET", "/ready", None)])["/ready"][0] != 200:
            assert time.monotonic() < end
        stranger = ask_from(namespace, base, "", [*asked, *(("GET", path, None) for path in OPEN)])
        for _, path, _ in asked:
            status, text = stranger[path]
            assert status == 401 and SECRET not in text and not any(name in text for name in DOCUMENTS), path
        for path in OPEN:
            assert stranger[path][0] == 200 and not any(name in stranger[path][1] for name in DOCUMENTS), path
        friend = ask_from(namespace, base, secret, asked)
        assert friend["/api/documents"][0] == 400, "the upload that has no files"
        assert SECRET in friend["/api/search"][1] and friend["/v1/chat/completions"][0] == 200
        assert child.end() == 0
    (root / ".damda" / FILE).unlink()
    with Child(root) as child:
        port = child.url.rpartition(":")[2]
        for address in (NETWORK["there"], "127.0.0.1"):
            (answer,) = ask_from(namespace, f"http://{address}:{port}", "", [("GET", "/health", None)]).values()
            assert answer[0] == 0 and "refused" in answer[1], "bound to 127.0.0.1, it can't be reached at all"
        with child.client() as client:
            assert client.get("/health").status_code == 200
