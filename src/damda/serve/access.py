"""Who may ask, as middleware: keys, names of hosts, other sites' pages, sizes of requests.

Knows: headers. Does not know: routes beyond which of them tell nothing. docs/decisions/0013-serving.md has the rules.
"""

import ipaddress
import logging
import math
import time

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from damda.errors import StoreError
from damda.serve.errors import Refused, described
from damda.serve.keys import Keys

log = logging.getLogger(__name__)

_OPEN = frozenset(("/", "/docs", "/health", "/ready"))
"""Answered without a key: they hold nothing of the documents."""
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))


def is_local(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def through_the_door(scope: Scope) -> bool:
    """Whether a request came through a Unix socket: those have no port."""
    server = scope.get("server")
    return server is not None and server[1] is None


class Access:
    """Lets in who may come.

    Args:
        app: what is behind the door.
        keys: of the home.
        local: only this machine can reach the address.
        insecure: the owner wants no keys.
        door: requests also come through a socket that only the owner's own commands can open (`damda.door`).
    """

    def __init__(self, app: ASGIApp, keys: Keys, *, local: bool, insecure: bool, door: bool = False) -> None:
        self._app, self._keys = app, keys
        self._local, self._insecure, self._door = local, insecure, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope)
            except Exception as error:  # as for an error in a route, which would be answered farther in
                status, body, headers = described(error)
                await JSONResponse(body, status, headers)(scope, receive, send)
                return
        if scope["type"] != "websocket":  # there are none; left unanswered, the server refuses them
            await self._app(scope, receive, send)

    def needs_key(self) -> bool:
        """Whether requests must have one, as things are now."""
        return not self._insecure and (not self._local or self._keys.any())

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if scope["path"] in _OPEN or scope["path"].startswith(("/page/", "/docs/")):
            return
        if self._door and through_the_door(scope) and scope["path"].startswith("/local/"):
            return  # whoever may use the door may read the home; for more than that, keys are wanted as elsewhere
        if self.needs_key():
            self._admit(headers)
            return
        if self._local and not self._insecure and not is_local(_name(headers.get("host", ""))):
            raise Refused(403, "ask by this machine's own name: http://127.0.0.1 or http://localhost", "wrong_host")
        if scope["method"] not in _SAFE:
            _same_site(headers)

    def _admit(self, headers: Headers) -> None:
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            secret = headers.get("x-api-key", "")
        challenge = {"WWW-Authenticate": "Bearer"}
        if not secret:
            raise Refused(401, "an API key is needed: Authorization: Bearer KEY", "missing_api_key", headers=challenge)
        try:
            key = self._keys.find(secret.strip())
            wait = self._keys.wait(key, time.time()) if key else 0.0
        except StoreError as error:  # says where the keys lie, which is nothing for strangers
            log.error("%s", error)
            raise Refused(503, "the API keys can't be read; damda's log says why", "store_failed") from error
        if key is None:
            raise Refused(401, "this API key is not known here, or was revoked", "invalid_api_key", headers=challenge)
        if wait:
            seconds = math.ceil(wait)
            message = f"this key may ask {key.per_minute} times a minute; try again in {seconds} s"
            raise Refused(429, message, "rate_limit_exceeded", headers={"Retry-After": str(seconds)})


def _name(host: str) -> str:
    """A Host header without its port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _same_site(headers: Headers) -> None:
    """Refuse what another site's page sends: without keys, a browser would carry it here without asking anybody."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    own = origin is None or origin.partition("://")[2] == headers.get("host")
    if site not in ("none", "same-origin") or not own:
        raise Refused(403, "requests from other sites' pages are refused", "cross_site")


class Sizes:
    """Refuses requests that are too large, without reading them.

    Args:
        app: what is behind.
        most: bytes of a body.
        uploads: bytes of an upload.
    """

    def __init__(self, app: ASGIApp, *, most: int, uploads: int) -> None:
        self._app, self._most, self._uploads = app, most, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        upload = scope["path"] == "/api/documents" and scope["method"] == "POST"
        most = self._uploads if upload else self._most
        said = Headers(scope=scope).get("content-length", "0")
        error = Refused(413, f"the request is too large: at most {most} bytes", "too_large")
        # No number is longer than 18 digits; Python refuses to read those of thousands.
        if not said.isdecimal() or len(said) > 18 or int(said) > most:
            status, body, headers = described(error)
            await JSONResponse(body, status, headers)(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                # FastAPI passes this one on; it takes any other error while a body is read for a malformed body.
                raise HTTPException(413, str(error))
            return message

        await self._app(scope, counted, send)


class Hardened:
    """Headers that keep a browser from doing more with an answer than it should."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = list(_HEADERS)
        if scope["type"] == "http" and scope["path"].startswith(("/v1/", "/api/")):
            headers.append((b"cache-control", b"no-store"))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                have = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in headers if pair[0] not in have)]
            await send(message)

        await self._app(scope, receive, with_headers)


_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)
