"""Asks a server of the OpenAI kind for JSON.

Knows: connections, retries, what refusals mean to the owner. Does not know: what is asked for.
"""

import time
from collections.abc import Callable
from typing import Any

import httpx

from damda.errors import DamdaError

_RETRY = frozenset((408, 429, 500, 502, 503, 504))


class Api:
    """A base URL.

    Args:
        url: ends in ``/v1``.
        api_key: sent as a bearer token when not empty; it is in no message.
        key_setting: the environment variable that sets the key, for the message when it is wanted.
        error: the class of all errors here.
        timeout: seconds for an answer.
        transport, sleep: for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        key_setting: str,
        error: type[DamdaError],
        timeout: float = 60,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.url, self._key_setting, self._error, self._sleep = url, key_setting, error, sleep
        self._client = httpx.Client(
            base_url=url.rstrip("/") + "/",
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=10),
            transport=transport,
        )

    @property
    def host(self) -> str:
        """Name and port, without the key."""
        return self._client.base_url.netloc.decode()

    def ask(self, method: str, path: str, body: dict[str, object] | None = None) -> Any:  # noqa: ANN401  JSON
        """The answer. Failures that may pass are tried three more times, after 1, 2 and 4 seconds."""
        last = ""
        for attempt in range(4):
            if attempt:
                self._sleep(2.0 ** (attempt - 1))
            try:
                response = self._client.request(method, path, json=body)
            except httpx.HTTPError as error:
                last = f"can't be reached ({type(error).__name__}); is the server running?"
                continue
            if response.status_code in _RETRY:
                last = f"answers {response.status_code}; try later"
                continue
            if response.status_code in (401, 403):
                raise self._error(f"{self.url} wants a key: set {self._key_setting}")
            if response.is_error:
                said = " ".join(response.text[:200].split())
                raise self._error(f"{self.url} answers {response.status_code}: {said}")
            try:
                return response.json()
            except ValueError as error:
                raise self._error(f"{self.url} answered no JSON; is it an OpenAI-compatible /v1?") from error
        raise self._error(f"{self.url} {last}")

    def first_model(self, setting: str) -> str:
        """The first model that the server lists; ``setting`` names one where it lists none."""
        try:
            return str(self.ask("GET", "models")["data"][0]["id"])
        except (KeyError, IndexError, TypeError) as error:
            raise self._error(f"{self.url} lists no models; set {setting}") from error
