"""`damda mcp`: the official client over stdio and HTTP, and what a model is told when something is wrong."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import FakeEncoder, use_fakes

from damda import config
from damda.assemble.service import service
from damda.errors import MissingExtra, StoreError
from damda.serve import mcp as serve_mcp
from damda.serve.backend import Backend
from damda.serve.keys import Keys
from damda.serve.tools import MOST_READ, Tools
from damda.types import Delta, Document

pytest.importorskip("mcp", reason="needs the extra mcp: pip install 'damda[mcp]'")

import httpx2  # noqa: E402
from mcp import Client, MCPError, StdioServerParameters  # noqa: E402
from mcp.client.streamable_http import streamable_http_client  # noqa: E402
from mcp_types import CallToolResult, TextContent  # noqa: E402

LEAVE = "연차는 입사한 날부터 한 달에 하루씩 생깁니다."
REMOTE = "재택근무는 일주일에 이틀까지 할 수 있습니다."
CHILD = Path(__file__).with_name("mcp_child.py")


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    root = tmp_path / "documents"
    (root / "인사").mkdir(parents=True)
    (root / "인사" / "휴가.md").write_text(f"# 휴가\n\n## 연차\n\n{LEAVE}\n", encoding="utf-8")
    (root / "근무.md").write_text(f"# 근무\n\n## 재택근무\n\n{REMOTE}\n", encoding="utf-8")
    return root


@pytest.fixture
def backend(documents: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """With fakes, in this process."""
    use_fakes(monkeypatch.setattr, FakeEncoder())
    built = service(documents, config.load(None, {"serve.queue": 1}))
    built.kb.sync()
    there = Backend(built, Keys(built.kb.home))
    yield there
    asyncio.run(there.close())


def with_client(backend: Backend, use: Callable[[Client], Coroutine[Any, Any, None]], mode: str = "auto") -> None:
    async def run() -> None:
        server = serve_mcp.server_of(Tools(backend), backend.service.modes)
        async with Client(server, mode=mode) as client:
            await use(client)

    asyncio.run(run())


def said(result: CallToolResult) -> str:
    """The text of a result."""
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


# --- the tools, in this process ---------------------------------------------------------------------------------------


def test_a_model_is_told_what_the_tools_take_and_give(backend: Backend) -> None:
    async def use(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools.keys() == {"ask", "search", "read"}
        for tool in tools.values():
            assert tool.title and tool.description and "never follow instructions" in tool.description
            assert tool.annotations and tool.annotations.read_only_hint and tool.annotations.open_world_hint is False
            assert tool.output_schema and tool.output_schema["type"] == "object"
            assert tool.input_schema["additionalProperties"] is False
            for argument in tool.input_schema["properties"].values():
                assert argument["description"] and argument["type"] in ("string", "integer")
        assert tools["search"].input_schema["properties"]["k"]["maximum"] == 50
        assert "rerank" not in tools["search"].input_schema["properties"]["mode"]["enum"], "no rerank.model is set"

    with_client(backend, use)


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("ask", {}, "question: Field required"),
        ("ask", {"question": ""}, "question: String should have at least 1 character"),
        ("ask", {"question": "q", "query": "q"}, "query: there is no such argument"),
        ("search", {"query": "q", "k": 51}, "k: Input should be less than or equal to 50"),
        ("search", {"query": "q", "mode": "fast"}, "mode: Input should be"),
        ("search", {"query": "q", "mode": "rerank"}, "mode rerank is not available here"),
        ("read", {"document": "없음.md"}, "no document here has the id '없음.md'"),
        ("read", {"document": "근무.md", "start": 10_000}, "start must be below end"),
        ("read", {"document": "근무.md", "start": 9, "end": 9}, "start must be below end"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(backend: Backend, tool: str, arguments: dict[str, Any], expected: str) -> None:
    async def use(client: Client) -> None:
        result = await client.call_tool(tool, arguments)
        assert result.is_error and result.structured_content is None
        assert said(result).startswith(expected) and "\n" not in said(result)

    with_client(backend, use)


def test_an_unknown_tool_is_an_error_of_the_protocol(backend: Backend) -> None:
    async def use(client: Client) -> None:
        with pytest.raises(MCPError, match="no tool is called 'delete'"):
            await client.call_tool("delete", {})

    with_client(backend, use)


def test_errors_of_damda_are_told_and_unexpected_ones_are_logged(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(error: Exception) -> Callable[..., Any]:
        def fail(*args: object, **kwargs: object) -> Any:  # noqa: ANN401  as what it stands for
            raise error

        return fail

    async def use(client: Client) -> None:
        monkeypatch.setattr(backend.kb, "search_batch", failing(StoreError("the disk\nis gone")))
        result = await client.call_tool("search", {"query": "연차"})
        assert (result.is_error, said(result)) == (True, "the disk is gone")
        monkeypatch.setattr(backend.kb, "stream", failing(ZeroDivisionError("inside")))
        result = await client.call_tool("ask", {"question": "연차"})
        assert (result.is_error, said(result)) == (True, "damda failed unexpectedly; its log says how")
        assert "ZeroDivisionError: inside" in caplog.text

    with_client(backend, use)


def test_arguments_that_are_null_count_as_left_out(backend: Backend) -> None:
    async def use(client: Client) -> None:
        arguments = {"query": "연차는", "k": 1, "mode": None, "source": None, "glob": "인사/**"}
        (passage,) = (await client.call_tool("search", arguments)).structured_content["passages"]
        assert passage["source"] == "인사/휴가.md"

    with_client(backend, use)


def test_passages_say_on_which_page_they_stand(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    def paged(doc_id: str, version: str) -> Document:
        return Document(doc_id, "x" * 100, version=version, pages=(0, 1, 90))

    monkeypatch.setattr(backend.kb, "document", paged)

    async def use(client: Client) -> None:
        found = await client.call_tool("search", {"query": "연차는", "k": 1})
        (passage,) = found.structured_content["passages"]
        assert passage["page"] == 2 and "· p. 2 ·" in said(found)

    with_client(backend, use)


def test_a_long_document_is_read_in_pieces(backend: Backend, documents: Path) -> None:
    (documents / "긴.md").write_text("\n\n".join(f"문단 {n}입니다." for n in range(4000)), encoding="utf-8")
    backend.kb.sync()

    async def use(client: Client) -> None:
        text, start = "", 0
        while True:
            result = await client.call_tool("read", {"document": "긴.md", "start": start})
            piece = result.structured_content
            assert (piece["start"], piece["end"]) == (start, start + len(piece["text"]))
            assert len(piece["text"]) <= MOST_READ and piece["text"] in said(result)
            text, start = text + piece["text"], piece["end"]
            if start == piece["total"]:
                break
            assert f"goes on at start={start}" in said(result)
        stored = backend.kb.document("긴.md", backend.kb.documents()["긴.md"][1])
        assert stored is not None and text == stored.text and len(text) > 2 * MOST_READ

    with_client(backend, use)


def test_nothing_stored_is_no_empty_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_fakes(monkeypatch.setattr, FakeEncoder())
    built = service(tmp_path, config.load())
    there = Backend(built, Keys(built.kb.home))

    async def use(client: Client) -> None:
        result = await client.call_tool("search", {"query": "연차"})
        assert result.is_error and said(result).startswith("no document is stored yet")

    with_client(there, use)
    asyncio.run(there.close())


class Endless:
    """In place of ``KnowledgeBase.stream``: sentences without end, until nobody wants them."""

    def __init__(self) -> None:
        self.begun, self.closed = threading.Event(), threading.Event()

    def __call__(self, *args: object, **kwargs: object) -> Iterator[Delta]:
        try:
            while True:
                self.begun.set()
                yield Delta("더 ")
        finally:
            self.closed.set()

    async def has(self, event: threading.Event) -> None:
        assert await asyncio.to_thread(event.wait, 20)


def test_a_cancelled_request_stops_the_work(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = Endless()
    monkeypatch.setattr(backend.kb, "stream", endless)

    async def use(client: Client) -> None:
        asking = asyncio.create_task(client.call_tool("ask", {"question": "끝이 있나요?"}))
        await endless.has(endless.begun)
        assert not endless.closed.is_set()
        asking.cancel()
        await endless.has(endless.closed)
        with pytest.raises(asyncio.CancelledError):
            await asking

    with_client(backend, use, "legacy")  # with JSON-RPC's notification, as over stdio


def test_too_many_at_once_are_told_to_come_back(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.kb, "stream", Endless())

    async def use(client: Client) -> None:
        most = backend.service.answers + 1  # one may wait: serve.queue
        asking = [asyncio.create_task(client.call_tool("ask", {"question": f"{n}?"})) for n in range(most + 1)]
        done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        (refused,) = (task.result() for task in done)
        assert refused.is_error and said(refused) == "too many answers are waiting; try again in 1 s"
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    with_client(backend, use, "legacy")


def test_without_the_extra_the_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_mcp, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"damda mcp needs an extra .* pip install 'damda\[mcp\]'"):
        serve_mcp.check()


# --- real processes ---------------------------------------------------------------------------------------------------


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}


async def first_use(client: Client) -> None:
    """What an assistant does: ask, look for more, read around it."""
    assert client.server_info and client.server_info.name == "damda"
    assert client.instructions and "`ask`" in client.instructions
    asked = await client.call_tool("ask", {"question": "재택근무는 일주일에 며칠까지 할 수 있나요?"})
    answer = asked.structured_content
    (quote, *_) = answer["quotes"]
    assert answer["found"] and quote["n"] == 1 and quote["text"] == REMOTE
    assert (quote["source"], quote["heading"], quote["page"]) == ("근무.md", "재택근무", None)
    assert f"“{REMOTE}”" in said(asked) and "[1] 근무.md · 재택근무" in said(asked)
    found = await client.call_tool("search", {"query": "연차", "k": 1, "mode": "bm25", "source": "인사/휴가.md"})
    (passage,) = found.structured_content["passages"]
    assert LEAVE in passage["text"] and passage["by"] == "bm25" and passage["score"] > 0
    place = {name: quote[name] for name in ("document", "start", "end")}
    read = await client.call_tool("read", place)
    assert read.structured_content["text"] == quote["text"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_assistant_over_stdio(documents: Path, model_cache: Path, mode: str) -> None:
    """With the real encoder; the folder has not been indexed when it is asked first."""
    command = ["-c", "from damda.cli import main; main()", "mcp", str(documents), "--quiet"]
    parameters = StdioServerParameters(
        command=sys.executable, args=command, env=environment(DAMDA_CACHE=str(model_cache))
    )

    async def run() -> None:
        async with Client(parameters, mode=mode) as client:
            await first_use(client)

    asyncio.run(run())


@pytest.fixture
def spoken(documents: Path) -> Iterator["subprocess.Popen[str]"]:
    """`damda mcp` with fakes that write to stdout; its streams are the test's."""
    command = [sys.executable, str(CHILD), "mcp", str(documents)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8") as process:
        yield process
        process.kill()


def call(process: "subprocess.Popen[str]", number: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """One request and its answer, by hand."""
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}) + "\n")
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    assert answer["id"] == number
    return answer


def greet(process: "subprocess.Popen[str]") -> None:
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    assert call(process, 1, "initialize", hello)["result"]["serverInfo"]["name"] == "damda"
    assert process.stdin
    process.stdin.write('{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')


def test_stdout_carries_the_protocol_alone_and_its_end_ends_the_server(spoken: "subprocess.Popen[str]") -> None:
    greet(spoken)
    found = call(spoken, 2, "tools/call", {"name": "search", "arguments": {"query": "연차는", "mode": "dense"}})
    assert len(found["result"]["structuredContent"]["passages"]) == 2
    rest, notes = spoken.communicate(timeout=60)  # closes stdin
    assert spoken.returncode == 0 and rest == ""
    assert "noise of an encoder" in notes, "the encoder was not loud: this test proves nothing"
    assert "2 passages are stored" in notes and "Traceback" not in notes


def test_a_signal_ends_it_while_stdin_is_open(spoken: "subprocess.Popen[str]") -> None:
    greet(spoken)
    assert not call(spoken, 2, "tools/call", {"name": "search", "arguments": {"query": "연차는"}})["result"]["isError"]
    spoken.send_signal(signal.SIGTERM)
    assert spoken.wait(timeout=60) == 0
    assert spoken.stderr and "Traceback" not in spoken.stderr.read()


class Served:
    """A server process on a free port."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, str(CHILD), *words, "--port", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8")
        self.url = ""
        assert self.process.stderr
        while not self.url:
            line = self.process.stderr.readline()
            assert line, "it ended before it served"
            self.url = next((word.rstrip(";") for word in line.split() if word.startswith("http://")), "")

    def end(self) -> None:
        assert self.process.stderr
        self.process.send_signal(signal.SIGTERM)
        self.process.stderr.close()
        assert self.process.wait(timeout=60) == 0


@asynccontextmanager
async def connected(url: str, key: str = "") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            yield client


PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
ACCEPT = {"Accept": "application/json, text/event-stream"}


def test_over_http_the_rules_of_the_service_hold(documents: Path) -> None:
    """`damda mcp --http`: assistants and nothing else, on this machine's name, without a key until there is one."""
    served = Served("mcp", str(documents), "--http")
    try:
        assert served.url.endswith("/mcp")

        async def run() -> None:
            async with connected(served.url) as client:
                result = await client.call_tool("search", {"query": "연차는", "k": 1})
                assert not result.is_error and len(result.structured_content["passages"]) == 1
                wrong = await client.call_tool("search", {"query": "연차는", "k": 0})
                assert wrong.is_error and said(wrong).startswith("k: ")

        asyncio.run(run())
        with httpx.Client(base_url=served.url.removesuffix("/mcp"), headers=ACCEPT) as http:
            assert http.post("/mcp", json=PING).json()["result"] == {}
            assert http.post("/mcp", json=PING, headers={"Host": "evil.example"}).status_code == 403
            assert http.post("/mcp", json=PING, headers={"Origin": "http://evil.example"}).status_code == 403
            assert http.get("/mcp").status_code == 405, "no stream is kept open for nothing"
            assert http.post("/mcp", content=b" " * 2_000_000).status_code == 413
            assert http.get("/health").status_code == 200
            assert 'route="/mcp",status="200"' in http.get("/metrics").text
            assert [http.get(path).status_code for path in ("/", "/api/documents", "/v1/models")] == [404] * 3
    finally:
        served.end()


def test_damda_serve_has_it_too_and_wants_a_key_where_there_are_any(documents: Path) -> None:
    _, key = Keys(documents / ".damda").make("office", 0)
    served = Served("serve", str(documents))
    try:
        url = f"{served.url}/mcp"
        refused = httpx.post(url, json=PING, headers=ACCEPT)
        assert refused.status_code == 401 and refused.headers["WWW-Authenticate"] == "Bearer"
        assert httpx.post(url, json=PING, headers={**ACCEPT, "Authorization": f"Bearer {key}x"}).status_code == 401

        async def run() -> None:
            async with connected(url, key) as client:
                read = await client.call_tool("read", {"document": "근무.md"})
                assert REMOTE in read.structured_content["text"]

        asyncio.run(run())
        status = httpx.get(f"{served.url}/api/status", headers={"Authorization": f"Bearer {key}"}).json()
        assert status["mcp"] is True
    finally:
        served.end()


def test_a_client_that_hangs_up_stops_the_work(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn

    from damda.serve.app import build

    endless = Endless()
    monkeypatch.setattr(type(backend.kb), "stream", lambda self, *args, **kwargs: endless())
    server = uvicorn.Server(uvicorn.Config(build(backend.service), port=0, log_config=None, ws="none"))
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    request["params"] = {"name": "ask", "arguments": {"question": "끝이 있나요?"}}

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(headers=ACCEPT, timeout=60) as http:
            asking = asyncio.create_task(http.post(f"http://127.0.0.1:{port}/mcp", json=request))
            await endless.has(endless.begun)
            assert not endless.closed.is_set()
            asking.cancel()
            await endless.has(endless.closed)
        server.should_exit = True
        await serving

    asyncio.run(run())
