"""A server's address and key, and what its refusals mean to the owner.

Knows: URLs, connections, statuses, and which setting to change. Does not know: when to try again, or what an answer is
made of. The key is in no message and no repr.
"""

import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from damda.errors import ConfigError, GeneratorError, UnreachableError
from damda.generate import wire
from damda.settings import RemoteSettings

if TYPE_CHECKING:
    import httpx

BUSY = frozenset({429, 500, 502, 503, 504})
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
OPTIONAL = ("stream_options", "max_tokens", "temperature", "stop")
UNWANTED = ("unsupported", "not supported", "unknown", "unrecognized", "not permitted")


class Again(Exception):
    """A failure after which the same request may work.

    Attributes:
        error: what to raise when there is no next try.
        wait: seconds that the server asked for, None where it didn't.
        without: a parameter that the server does not take; leaving it out is no retry, just another request.
    """

    def __init__(self, error: GeneratorError, wait: float | None = None, without: str = "") -> None:
        super().__init__(str(error))
        self.error, self.wait, self.without = error, wait, without


class Endpoint:
    """An OpenAI-compatible base URL. Connects on first use.

    Raises:
        ConfigError: the URL is missing or no http(s) URL, or the key can't be a key.
    """

    def __init__(self, settings: RemoteSettings, transport: "httpx.BaseTransport | None") -> None:
        example = "e.g. http://127.0.0.1:8000/v1"
        if not settings.url:
            raise ConfigError(f"remote.url is not set: give the server's base URL, {example}")
        try:
            parts = urlsplit(settings.url)
            whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or True)
        except ValueError:  # a port that is no number, a bracket that does not close
            whole = False
        if not whole:
            raise ConfigError(f"remote.url must be an http:// or https:// URL, {example}")
        self.key = settings.api_key.strip()
        if not self.key.isascii() or not self.key.isprintable() or " " in self.key:
            raise ConfigError("remote.api_key has characters that no key has: check what was pasted there")
        self.base = settings.url.rstrip("/")
        self.host = parts.netloc.rpartition("@")[2]  # user:password@ is for the server, not for messages
        self.shown = f"{parts.scheme}://{self.host}{parts.path}".rstrip("/")
        self._direct = parts.hostname in LOOPBACK
        self._timeout, self._transport = settings.timeout, transport
        self._lock = Lock()
        self._opened: httpx.Client | None = None

    def client(self) -> "httpx.Client":
        import httpx

        with self._lock:
            if self._opened is None:
                self._opened = httpx.Client(
                    headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
                    timeout=httpx.Timeout(self._timeout, connect=min(10.0, self._timeout)),
                    transport=self._transport,
                    trust_env=not self._direct,  # a proxy for the internet can't reach this machine's own ports
                )
            return self._opened

    def close(self) -> None:
        with self._lock:
            client, self._opened = self._opened, None
        if client is not None:
            client.close()

    def offers(self) -> list[str]:
        """The models that the server has.

        Raises:
            Again: it could not be asked just now.
            GeneratorError: it refused, or does not tell.
        """
        import httpx

        try:
            response = self.client().get(f"{self.base}/models")
        except httpx.RequestError as error:
            raise self.lost(error) from error
        if response.status_code in (401, 403) or response.status_code in BUSY:
            raise self.refusal(response, {})
        names = wire.models(wire.parse(response.text)) if response.status_code == 200 else None
        if names is None:
            raise GeneratorError(f"{self.shown}/models lists no models: set remote.model, and check remote.url")
        return names

    def lost(self, error: "httpx.RequestError") -> Exception:
        """What to raise for a connection that was not made or did not hold."""
        import httpx

        if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout | httpx.PoolTimeout):
            # Not again: it may be at work, and a second request would make it slower.
            late = f"{self.shown} sent nothing for {self._timeout:g} s"
            return UnreachableError(f"{late}: raise remote.timeout if it is just slow")
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            check = "check that the server runs and that remote.url is right"
            return Again(UnreachableError(f"no connection to {self.shown}: {check}"))
        return Again(GeneratorError(f"{self.shown} broke off in the middle of its answer"))

    def refusal(self, response: "httpx.Response", asked: Mapping[str, object]) -> Exception:
        """What to raise for a status that isn't 200. ``asked`` is the request's body."""
        status, said = response.status_code, wire.parse(response.read().decode("utf-8", "replace"))
        reason = self.scrub(wire.reason(said)) or response.reason_phrase
        error = GeneratorError(f"{self.shown} answered {status}: {reason}")
        if status in (401, 403):
            how = "refused the key" if self.key else "wants a key"
            return GeneratorError(f"{self.shown} {how} ({status}): set remote.api_key or DAMDA_REMOTE__API_KEY")
        if status == 404:
            return self._missing(asked, error)
        if status in (400, 413, 422):
            return _unusable(status, reason, asked) or error
        if status in BUSY and "insufficient_quota" not in response.text:  # an empty account won't fill by itself
            return Again(error, _retry_after(response.headers.get("retry-after", "")))
        if 300 <= status < 400:
            return GeneratorError(f"{self.shown} redirects ({status}): set remote.url to where the server really is")
        return error

    def choose(self, model: object) -> str:
        """The sentence that tells which models there are, where ``model`` is not among them; "" where it is."""
        names = self.offers()
        return "" if model in names else f"set remote.model to one of: {few(names)}"

    def scrub(self, text: str) -> str:
        """Some servers repeat the key that they refuse."""
        return text.replace(self.key, "***") if self.key else text

    def _missing(self, asked: Mapping[str, object], error: GeneratorError) -> GeneratorError:
        model = asked.get("model")
        try:
            choice = self.choose(model)
        except (GeneratorError, Again):
            path = "/completions" if "prompt" in asked else "/chat/completions"
            return GeneratorError(f"{self.shown} has no {path} (404): check remote.url; it often ends in /v1")
        return GeneratorError(f"{self.shown} has no model {model!r}; {choice}") if choice else error


def _unusable(status: int, reason: str, asked: Mapping[str, object]) -> Exception | None:
    """A request that the server can't use: one parameter too many, or too long. None: anything else."""
    said = reason.lower()
    if any(word in said for word in UNWANTED):
        without = next((key for key in OPTIONAL if key in said and key in asked), "")
        if without:
            return Again(GeneratorError(reason), without=without)
    long = "context" in said or ("token" in said and any(w in said for w in ("exceed", "too long", "maximum")))
    if status == 413 or long:
        what = f"the prompt is too long for {asked.get('model')} ({status})"
        return GeneratorError(f"{what}: {reason}; lower answer.passages or answer.max_tokens")
    return None


def _retry_after(value: str) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date (RFC 9110, 10.2.3)."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None  # no header, or none that means anything: the back-off decides


def few(names: Sequence[str]) -> str:
    """The first ten names, for a message."""
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "") if names else "(it offers none)"
