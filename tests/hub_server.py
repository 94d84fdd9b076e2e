"""A model hub for tests: what of its HTTP interface huggingface_hub needs to make a repository, fill it and fetch it.

Large files (`.onnx`, `.safetensors`) go the way of Git LFS, the others into the commit, as on the real one. `damaged`
and `refusing` let it misbehave.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Any
from urllib.parse import unquote, urlsplit

WRITER, READER = "hf_writerOf1000Models", "hf_readerOf1000Models"
_LARGE = (".onnx", ".safetensors")


@dataclass
class Repository:
    """``commits``: id -> files, path -> content; the last one is ``main``."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(
        default_factory=lambda: {"0" * 40: {".gitattributes": b"*.onnx lfs\n"}}
    )

    @property
    def main(self) -> str:
        return list(self.commits)[-1]

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.main]


class Hub:
    """Repositories belong to ``me`` and ``team``; only `WRITER` may write, `READER` sees private ones."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.damaged: dict[str, bytes] = {}
        """Path -> what is sent in its place; all that describes the file stays as it was."""
        self.refusing: tuple[int, str] | None = None
        """Status and code with which everything is refused."""

    def at(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """Files of a commit."""
        repository = self.repositories[repo]
        return repository.files if revision == "main" else repository.commits[revision]


class Refused(Exception):
    """Args: status; the hub's code for it; what it says; the repository, where one is in the way."""


def _create(hub: Hub, given: dict[str, Any]) -> dict[str, Any]:
    repo = f"{given['organization']}/{given['name']}"
    if given["organization"] not in ("me", "team"):
        raise Refused(403, "", "You don't have the rights to create a model under this namespace")
    if repo in hub.repositories:
        raise Refused(409, "", "You already created this model repo", repo)
    hub.repositories[repo] = Repository(given.get("private", given.get("visibility") == "private"))
    return {"url": f"{hub.url}/{repo}"}


def _validate(hub: Hub, given: dict[str, Any]) -> dict[str, Any]:
    front = import_module("yaml").safe_load(given["content"].split("---\n")[1])
    if not isinstance(front, dict) or not isinstance(front.get("license", ""), str):
        raise Refused(400, "", "metadata")
    return {"errors": [], "warnings": []}


def _preupload(hub: Hub, repo: str, given: dict[str, Any]) -> dict[str, Any]:
    def about(path: str) -> dict[str, Any]:
        now = hub.at(repo).get(path)
        large = path.endswith(_LARGE)
        oid = None if now is None else _sha256(now) if large else _git(now)
        return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}

    return {"files": [about(file["path"]) for file in given["files"]]}


def _batch(hub: Hub, given: dict[str, Any]) -> dict[str, Any]:
    def actions(oid: str) -> dict[str, Any]:
        there = {"upload": {"href": f"{hub.url}/blobs/{oid}"}, "verify": {"href": f"{hub.url}/verify/{oid}"}}
        return {} if oid in hub.blobs else {"actions": there}

    return {"transfer": "basic", "objects": [{**item, **actions(item["oid"])} for item in given["objects"]]}


def _commit(hub: Hub, repo: str, body: bytes) -> dict[str, Any]:
    files = dict(hub.at(repo))
    for line in body.splitlines():
        item = json.loads(line)
        value = item["value"]
        if item["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif item["key"] == "lfsFile":
            files[value["path"]] = hub.blobs[value["oid"]]
        elif item["key"] == "deletedFile":
            del files[value["path"]]
    commit = hashlib.sha1(body + str(len(hub.repositories[repo].commits)).encode()).hexdigest()
    hub.repositories[repo].commits[commit] = files
    return {"commitUrl": f"{hub.url}/{repo}/commit/{commit}", "commitOid": commit, "success": True}


def _info(hub: Hub, repo: str) -> dict[str, Any]:
    repository = hub.repositories[repo]
    siblings = [{"rfilename": path} for path in repository.files]
    return {"id": repo, "modelId": repo, "private": repository.private, "sha": repository.main, "siblings": siblings}


def _tree(hub: Hub, repo: str, revision: str) -> list[dict[str, Any]]:
    def about(path: str, content: bytes) -> dict[str, Any]:
        found = {"type": "file", "path": path, "size": len(content), "oid": _git(content)}
        large = {"oid": _sha256(content), "size": len(content), "pointerSize": 130}
        return {**found, "lfs": large} if path.endswith(_LARGE) else found

    return [about(path, content) for path, content in hub.at(repo, revision).items()]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, status: int, content: bytes, *, size: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content) if size is None else size), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self._body()
        self.hub.asked.append((self.command, path))
        try:
            if self.hub.refusing:
                raise Refused(*self.hub.refusing, "told to refuse")
            if found := re.fullmatch(r"/(\w+/[\w.-]+)/resolve/(\w+)/(.+)", path):
                self._file(*found.groups())
                return
            content = json.dumps(self._routed(path, body)).encode()
            self._send(200, content, Content_Type="application/json")
        except Refused as refused:
            status, code, message, *repo = refused.args
            content = json.dumps(
                {"error": message, "url": "/".join([self.hub.url, *repo]), "errors": [{"message": message}]}
            ).encode()
            headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
            self._send(status, content, Content_Type="application/json", **headers)

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def _routed(self, path: str, body: bytes) -> object:
        repo = r"/api/models/(\w+/[\w.-]+)"
        routes: list[tuple[str, str, Callable[..., object]]] = [
            ("PUT", r"/blobs/(\w+)", lambda oid: self._store(oid, body)),
            ("POST", r"/verify/(\w+)", lambda oid: {"stored": len(self.hub.blobs[oid])}),
            ("POST", r"/api/repos/create", lambda: self._may_write() and _create(self.hub, json.loads(body))),
            ("POST", r"/api/validate-yaml", lambda: _validate(self.hub, json.loads(body))),
            (
                "POST",
                repo + r"/preupload/main",
                lambda r: self._may_write(r) and _preupload(self.hub, r, json.loads(body)),
            ),
            (
                "POST",
                r"/(\w+/[\w.-]+)\.git/info/lfs/objects/batch",
                lambda r: self._may_write(r) and _batch(self.hub, json.loads(body)),
            ),
            ("POST", repo + r"/commit/main", lambda r: self._may_write(r) and _commit(self.hub, r, body)),
            ("GET", repo + r"(?:/revision/main)?", lambda r: self._may_see(r) and _info(self.hub, r)),
            ("GET", repo + r"/tree/(\w+)", lambda r, revision: self._may_see(r) and _tree(self.hub, r, revision)),
        ]
        for method, pattern, act in routes:
            if method == self.command and (found := re.fullmatch(pattern, path)):
                return act(*found.groups())
        raise Refused(404, "", "no such page")

    def _store(self, oid: str, body: bytes) -> object:
        if _sha256(body) != oid:
            raise Refused(400, "", "the content is another than announced")
        self.hub.blobs[oid] = body
        return {}

    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _may_write(self, repo: str = "") -> bool:
        if self._token() not in (WRITER, READER):
            raise Refused(401, "", "Invalid username or password.")
        if repo and repo not in self.hub.repositories:
            raise Refused(404, "RepoNotFound", "Repository not found")
        if self._token() != WRITER:
            raise Refused(403, "", "You need a token with the right to write")
        return True

    def _may_see(self, repo: str) -> bool:
        known = self.hub.repositories.get(repo)
        if known is None or (known.private and self._token() not in (WRITER, READER)):
            raise Refused(404 if self._token() else 401, "RepoNotFound", "Repository not found")
        return True

    def _file(self, repo: str, revision: str, path: str) -> None:
        self._may_see(repo)
        if path not in self.hub.at(repo, revision):
            raise Refused(404, "EntryNotFound", "Entry not found")
        content = self.hub.at(repo, revision)[path]
        etag = _sha256(content) if path.endswith(_LARGE) else _git(content)
        commit = self.hub.repositories[repo].main if revision == "main" else revision
        sent = self.hub.damaged.get(path, content)
        self._send(200, sent, size=len(content), ETag=f'"{etag}"', X_Repo_Commit=commit)


@contextmanager
def running() -> Iterator[Hub]:
    """A hub on a port of this machine, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    hub = Hub(f"http://127.0.0.1:{server.server_port}")
    server.RequestHandlerClass = type("Handler", (_Handler,), {"hub": hub})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
