"""The Model Context Protocol: `tools` for assistants, over stdio or HTTP.

Protocol: https://modelcontextprotocol.io/specification. Knows: the official SDK (package ``mcp``, extra ``mcp``), which
is imported when it is needed only: that takes a second. Does not know: what the tools do.

HTTP has no sessions, so any of several processes can answer any request. A client that closes the connection cancels
its request; over stdio ``notifications/cancelled`` does.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from io import TextIOWrapper
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

import damda
from damda.assemble.service import Service
from damda.child import answers
from damda.errors import MissingExtra
from damda.serve.backend import Backend
from damda.serve.errors import Gone, Refused, described, printable
from damda.serve.keys import Keys
from damda.serve.lanes import until_gone
from damda.serve.tools import INSTRUCTIONS, TOOLS, Tool, Tools

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp_types import CallToolResult
    from mcp_types import Tool as ListedTool

log = logging.getLogger(__name__)

PATH = "/mcp"


def available() -> bool:
    """Whether the extra is installed. Imports nothing."""
    return find_spec("mcp") is not None


def check() -> None:
    """For a program that will need it.

    Raises:
        MissingExtra: it is not installed.
    """
    if not available():
        raise MissingExtra("damda mcp", "mcp")


def server_of(tools: Tools, modes: tuple[str, ...]) -> "Server[Any]":
    """The SDK's server with damda's tools.

    Args:
        tools: what carries them out.
        modes: of search that can be used.
    """
    from mcp import MCPError
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server
    from mcp_types import INVALID_PARAMS, CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams

    listed = [_listed(tool, modes) for tool in TOOLS]
    names = [tool.name for tool in TOOLS]

    async def list_tools(ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=listed)

    async def call_tool(ctx: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        if params.name not in names:
            raise MCPError(INVALID_PARAMS, f"no tool is called {printable(params.name[:80])!r}")
        work = _result(tools.call(params.name, params.arguments or {}))
        if ctx.request is None:
            return await work
        try:
            return await until_gone(ctx.request, work)
        except Gone:
            return CallToolResult(content=[], is_error=True)  # nobody reads it

    return Server(
        "damda",
        version=damda.__version__,
        title="damda: answers from a folder of documents",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _result(work: "Coroutine[Any, Any, tuple[str, dict[str, Any]]]") -> "CallToolResult":
    """What became of a call. Errors are results too, in one line, so that a model can read them and do better."""
    from mcp_types import CallToolResult, TextContent

    try:
        text, fields = await work
    except Exception as error:
        message = _invalid(error) if isinstance(error, ValidationError) else _message(error)
        line = printable(" ".join(message.split()))
        return CallToolResult(content=[TextContent(type="text", text=line)], is_error=True)
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=fields)


def _message(error: Exception) -> str:
    _, body, _ = described(error)  # what damda does not expect is logged there, and told without its traceback
    said: Any = body["error"]
    return str(said["message"])


def _invalid(error: ValidationError) -> str:
    wrong = []
    for each in error.errors(include_url=False):
        said = "there is no such argument" if each["type"] == "extra_forbidden" else each["msg"]
        wrong.append(": ".join([*map(str, each["loc"]), said]))
    return "; ".join(wrong)


def _listed(tool: Tool, modes: tuple[str, ...]) -> "ListedTool":
    from mcp_types import Tool as ListedTool
    from mcp_types import ToolAnnotations

    arguments = _untitled(tool.arguments.model_json_schema())
    for name, schema in arguments["properties"].items():
        # Models are better with an argument that may be left out than with one that may be null.
        values = [option for option in schema.pop("anyOf", []) if option.get("type") != "null"]
        schema.update(*values)
        if schema.get("default", "") is None:
            del schema["default"]
        if name == "mode":
            schema["enum"] = list(modes)
    return ListedTool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=arguments,
        output_schema=_untitled(tool.result.model_json_schema(mode="serialization")),
        annotations=ToolAnnotations(
            title=tool.title, read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )


def _untitled(schema: Any) -> Any:  # noqa: ANN401  JSON
    """A JSON schema without the titles that pydantic makes of names: they say nothing and cost tokens."""
    if isinstance(schema, dict):
        return {
            key: _untitled(value) for key, value in schema.items() if not (key == "title" and isinstance(value, str))
        }
    return [_untitled(value) for value in schema] if isinstance(schema, list) else schema


class Door:
    """Streamable HTTP, as an ASGI application; `run` has to run beside it.

    Args:
        backend: what is asked.
    """

    path = PATH

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._manager: StreamableHTTPSessionManager | None = None
        self._tried = asyncio.Event()

    async def run(self) -> None:
        """Import the SDK while the service starts, then be there until cancelled."""
        try:
            manager = await asyncio.to_thread(self._made)
            async with manager.run():
                self._manager = manager
                self._tried.set()
                await asyncio.Event().wait()
        except Exception:
            log.exception("%s can't be served", PATH)
        finally:
            self._manager = None
            self._tried.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self  # as FastAPI does with its own: metrics look for the path there
        await self._tried.wait()
        if self._manager is None:
            raise Refused(503, "MCP is not served any more, or could not be started; the log says why", "stopped")
        await self._manager.handle_request(scope, receive, send)

    def _made(self) -> "StreamableHTTPSessionManager":
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        server = server_of(Tools(self._backend), self._backend.service.modes)
        most = self._backend.settings.serve.max_body
        # Names of hosts and other sites' pages are `access`' business. JSON and no event streams: a result comes at
        # once, and what reads the request watches the connection (`until_gone`), which event streams would do too.
        return StreamableHTTPSessionManager(server, json_response=True, stateless=True, max_request_body_size=most)


def over_stdio(
    build: Callable[[], Service],
    follow: Callable[[Backend], Coroutine[Any, Any, None]],
    told: Callable[[str], None],
) -> None:
    """Serve the process that started this one, until it closes stdin or a signal comes.

    Tools wait for the first look at the folder; the protocol is answered at once, since clients give up early.

    Args:
        build: makes what is served.
        follow: keeps the index up to date.
        told: told what is stored after the first look.
    """
    out = answers()  # whatever else writes to stdout, in Python or below, lands on stderr
    service = build()
    service.kb.warm()  # loads beside the imports that come now
    asyncio.run(_over_stdio(service, out, follow, told))


async def _over_stdio(
    service: Service,
    out: IO[bytes],
    follow: Callable[[Backend], Coroutine[Any, Any, None]],
    told: Callable[[str], None],
) -> None:
    import anyio
    from mcp.server.stdio import stdio_server

    backend, caught_up = Backend(service, Keys(service.kb.home)), asyncio.Event()
    server = server_of(Tools(backend, caught_up), service.modes)

    async def background() -> None:
        try:
            await asyncio.to_thread(backend.indexing.look)
        finally:
            caught_up.set()
        told(f"{await backend.looking.value(backend.kb.count)} passages are stored")
        await follow(backend)

    ended = asyncio.Event()
    undo_signals = _on_signals(asyncio.get_running_loop(), ended)
    lines = anyio.wrap_file(TextIOWrapper(out, encoding="utf-8", newline="\n"))
    async with stdio_server(stdout=lines) as (read, write):
        tasks = [asyncio.create_task(background())]
        serving = asyncio.create_task(server.run(read, write, server.create_initialization_options()))
        stopping = asyncio.create_task(ended.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        backend.indexing.stop()
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.wait({*tasks, stopping})
        if not serving.done():
            await asyncio.wait({asyncio.create_task(backend.close())}, timeout=_LAST_WORDS)
            os._exit(0)  # a thread waits for a line of stdin, and nothing but a line or its end would free it
        await backend.close()
    undo_signals()
    serving.result()


_LAST_WORDS = 2.0
"""Seconds that running work gets after a signal; clients kill after that."""


def _on_signals(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> Callable[[], None]:
    """Set the event on SIGTERM and SIGINT; returns what undoes that."""

    def end(signum: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(ended.set)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}

    def undo() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return undo
