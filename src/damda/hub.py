"""Talks to a model hub through huggingface_hub, and says in one line why it did not work.

Knows: how that library fails, and the variables that it reads: HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE. Does not know:
what is sent or fetched.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from damda.errors import ConfigError, MissingExtra, WeightsError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)


def repository(name: str) -> str:
    """``OWNER/NAME`` of a name with or without ``hub:`` before it.

    Raises:
        ConfigError: it is none.
    """
    bare = name.removeprefix("hub:")
    if not _NAME.fullmatch(bare):
        raise ConfigError(f"{name!r} is no repository of a model hub: give OWNER/NAME, in letters, digits, - _ .")
    return bare


def token() -> str:
    """The user's token: from ``HF_TOKEN``, and from nowhere else.

    Raises:
        ConfigError: it is not set, or no header can carry it. The message does not repeat it.
    """
    given = os.environ.get("HF_TOKEN", "").strip()
    if not given:
        raise ConfigError("publishing needs a token of the hub that may write: set the variable HF_TOKEN")
    if not (given.isascii() and given.isprintable()) or " " in given:
        raise ConfigError("HF_TOKEN is no token: it has spaces or other characters that none has; set it again")
    return given


@contextmanager
def talking(what: str, *, bars: bool = True) -> Iterator[None]:
    """Run calls of huggingface_hub; whatever they fail with becomes one error that says what to do.

    Args:
        what: what the message begins with, e.g. "publishing to OWNER/NAME".
        bars: show the library's own progress bars on stderr.

    Raises:
        MissingExtra: huggingface_hub is not installed.
        ConfigError: HF_ENDPOINT is no address.
        WeightsError: it did not work.
    """
    _check_endpoint()
    try:
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    except ImportError as error:
        raise MissingExtra("a model-hub name", "hub") from error
    # Its connection errors are those of the HTTP library beneath, which is another one in its version 2 than in 1.
    transport: type[BaseException] = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    hide = not bars and not are_progress_bars_disabled()
    if hide:
        disable_progress_bars()
    try:
        yield
    except (transport, OSError, ValueError, RuntimeError, LookupError) as error:
        raise WeightsError(f"{what}: {_reason(error, transport)}") from error
    finally:
        if hide:
            enable_progress_bars()


def _check_endpoint() -> None:
    endpoint = os.environ.get("HF_ENDPOINT", "")
    if not endpoint:
        return
    try:
        parts = urlsplit(endpoint)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        fine = False
    if not fine:
        raise ConfigError(
            f"HF_ENDPOINT is {endpoint!r}, which is no address: set it to that of your hub, http(s)://..."
        )
    # A mirror may well lack the hub's newer way of moving large files, which the library would insist on where it has
    # it. Read when huggingface_hub is imported; whoever wants that way sets the variable to 0.
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")


def _reason(error: BaseException, transport: type[BaseException]) -> str:
    """Why, and what to do. Never with the token in it."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None and len(causes) < 9:
        causes.append(cause)
    said = next((text for cause in causes if (text := _status(cause, error))), "")
    if not said and any(type(cause).__name__ == "OfflineModeIsEnabled" for cause in causes):
        said = "HF_HUB_OFFLINE is set, and what is needed is not in the cache; unset it"
    if not said and any(isinstance(cause, transport) for cause in causes):
        last = _line(next(cause for cause in causes if isinstance(cause, transport)))
        said = f"the hub at {_endpoint()} can't be reached ({last}); check the network and HF_ENDPOINT"
    if not said and any(isinstance(cause, json.JSONDecodeError | LookupError) for cause in causes):
        said = f"{_endpoint()} answers as no model hub does; check HF_ENDPOINT"
    said = said or ": ".join(dict.fromkeys(_line(cause).rstrip(".") for cause in causes))
    secret = os.environ.get("HF_TOKEN", "").strip()
    return said.replace(secret, "***") if secret else said


def _status(error: BaseException, outermost: BaseException) -> str:
    """What the hub's answer means; "" where the error is no answer of the hub."""
    response = getattr(error, "response", None)
    if response is None:
        return ""
    code = response.status_code
    missing = type(error).__name__ == "RepositoryNotFoundError"
    if type(error).__name__ == "GatedRepoError":
        return "its owner lets in only whom he knows; ask for access on its page, then set HF_TOKEN"
    if missing or code == 404:
        return f"{_endpoint()} has no such repository, or it is private and HF_TOKEN is missing or may not see it"
    known = {
        401: "the hub does not know this token; set HF_TOKEN to a valid one",
        403: "the token may not do this; HF_TOKEN must be one that may write there",
        429: "the hub had too many requests from here; wait some minutes and try again",
    }
    if code in known:
        return known[code]
    if code >= 500:
        return f"the hub has a fault of its own ({code}); try again later"
    detail = getattr(error, "server_message", None) or str(outermost)
    return f"the hub refused ({code}): {' '.join(str(detail).split())}"


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _line(error: BaseException) -> str:
    """The first line that says something; the library begins with empty ones."""
    lines = (line.strip(" -") for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)
