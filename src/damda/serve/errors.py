"""Errors as HTTP: one shape, OpenAI's, for whatever goes wrong.

Knows: which status an error of damda's gets. Does not know: where it was raised. What damda does not expect is logged
with its traceback and answered without it.
"""

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from damda.errors import (
    BusyError,
    ConfigError,
    DamdaError,
    EncoderError,
    GeneratorError,
    ReadError,
    RerankerError,
    StoreError,
    UnreachableError,
)

log = logging.getLogger(__name__)

RETRY_AFTER = 1
"""Seconds after which a client that was turned away may come back."""


class Refused(DamdaError):
    """A request that is not carried out.

    Args:
        status: of HTTP.
        message: one line: what is wrong and what to do.
        code: OpenAI's word for it, or one like them.
        param: the field that is wrong.
        headers: beside the usual ones.
    """

    def __init__(
        self, status: int, message: str, code: str, param: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param
        self.headers = dict(headers or {})


class Gone(Exception):
    """Whoever asked has left; nobody hears the answer."""


def shapeless() -> Refused:
    """For a schema that an answer from the documents would have to keep to."""
    message = "answers from the documents are text, whose quotes are data in the damda field: ask model llm for JSON"
    return Refused(400, message, "unsupported_value", "response_format")


def crowded(what: str) -> Refused:
    """For a queue that is full."""
    message = f"too many {what} are waiting; try again in {RETRY_AFTER} s"
    return Refused(429, message, "rate_limit_exceeded", headers={"Retry-After": str(RETRY_AFTER)})


def body(status: int, message: str, code: str | None = None, param: str | None = None) -> dict[str, object]:
    """The one shape of an error."""
    return {"error": {"message": message, "type": _type(status), "param": param, "code": code}}


def _type(status: int) -> str:
    names = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    return names.get(status, "invalid_request_error" if status < 500 else "server_error")


# The first that fits; classes stand before those that they are made from.
_STATUS: tuple[tuple[type[DamdaError], int, str], ...] = (
    (UnreachableError, 504, "model_unreachable"),
    (GeneratorError, 502, "model_failed"),
    (RerankerError, 502, "model_failed"),
    (EncoderError, 502, "model_failed"),
    (BusyError, 409, "indexing"),
    (StoreError, 503, "store_failed"),
    (ReadError, 400, "unreadable"),
    (ConfigError, 400, "not_available"),
)


def described(error: Exception) -> tuple[int, dict[str, object], dict[str, str]]:
    """Status, body and headers for an error; also for one that comes in the middle of a stream."""
    if isinstance(error, Refused):
        return error.status, body(error.status, str(error), error.code, error.param), error.headers
    if isinstance(error, DamdaError):
        status, code = next(((s, c) for kind, s, c in _STATUS if isinstance(error, kind)), (500, "failed"))
        return status, body(status, str(error), code), {}
    log.error("unexpected error", exc_info=error)
    return 500, body(500, "damda failed unexpectedly; its log says how", "unexpected"), {}


def install(app: FastAPI) -> None:
    """Answer every error of the app in the one shape."""

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        loc = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
        param = printable(".".join(loc)) or None
        said = str(first["msg"]).removeprefix("Value error, ")
        message = f"{param}: {said}" if param and first["type"] != "json_invalid" else said
        return JSONResponse(body(400, printable(message), "invalid_value", param), 400)

    async def plain(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(error.status_code)
        return JSONResponse(body(error.status_code, str(error.detail), code), error.status_code, error.headers)

    async def ours(request: Request, error: Exception) -> JSONResponse:
        status, said, headers = described(error)
        return JSONResponse(said, status, headers)

    async def left(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(body(499, "the client is gone"), 499)  # nobody reads it; for the metrics

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(DamdaError, ours)
    app.add_exception_handler(Gone, left)
    app.add_exception_handler(Exception, ours)


class Caught:
    """Middleware: answers what nobody expected, in the one shape.

    Starlette answers it too, but outside of all other middleware, and raises it once more: the client would lose its
    connection, the answer its headers, the metrics its status.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            status, said, headers = described(error)
            await JSONResponse(said, status, headers)(scope, receive, send)


def printable(text: str) -> str:
    """Text that UTF-8 can hold: what a client sent may have half a surrogate pair in it."""
    return text.encode("utf-8", "replace").decode("utf-8")
