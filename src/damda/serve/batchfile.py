"""OpenAI's batch files: requests as JSON lines in, answers as JSON lines out, whatever happens in between.

Format: https://platform.openai.com/docs/api-reference/batch. Knows: the lines, which requests are answered already,
how a file grows so that a killed run or a full disk costs at most the line in the making. Does not know: models, or
what a body means.

A line of answers is ``{"id", "custom_id", "response": {"status_code", "request_id", "body"}, "error"}``. As with
OpenAI, ``response.body`` of a failed request is the error that a server would answer; ``error`` repeats its code and
message, for readers that look there. ``request_id`` is a hash of the request: by it a run knows that an answer is one
to this request and not to another one of the same custom_id.
"""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from damda.errors import BusyError, ConfigError, ReadError, StoreError

URLS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
_START = b'{"id": "batch_req_'
_SYNC_LINES, _SYNC_SECONDS = 64, 2.0


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the requests. ``body`` is JSON that was not looked into; ``hash`` tells it from any other."""

    line: int
    custom_id: str
    url: str
    body: bytes
    hash: str


def read(path: Path) -> list[Request]:
    """All requests of a file.

    Raises:
        ReadError: the file can't be read, or lines of it are no requests; names the first, and says how many there are.
    """
    requests: dict[str, Request] = {}
    wrong: list[str] = []
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                raw = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
                if not raw.strip():
                    continue
                try:
                    request = _request(number, raw)
                    if before := requests.get(request.custom_id):
                        raise ValueError(f"custom_id {_shown(request.custom_id)} is that of line {before.line} too")
                    requests[request.custom_id] = request
                except ValueError as error:
                    wrong.append(f"{path}, line {number}: {error}")
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from error
    if wrong:
        more = f" (and {len(wrong) - 1} more lines that can't be used)" if len(wrong) > 1 else ""
        raise ReadError(wrong[0] + more)
    if not requests:
        raise ReadError(f"{path} has no requests: give a line of JSON for each (docs/offline.md)")
    return list(requests.values())


def _request(number: int, raw: bytes) -> Request:
    """Raises ValueError: what is wrong with the line."""
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({str(error)[:80]})") from error
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    custom_id, method, url, body = (row.get(key) for key in ("custom_id", "method", "url", "body"))
    if not isinstance(custom_id, str) or not custom_id:
        raise ValueError("no custom_id, a text that names the request")
    if any("\ud800" <= char <= "\udfff" for char in custom_id):
        raise ValueError("custom_id has half a character in it (a lone surrogate)")
    if method != "POST":
        raise ValueError('method must be "POST"')
    if url not in URLS:
        raise ValueError(f"url must be one of {', '.join(URLS)}")
    if not isinstance(body, dict):
        raise ValueError("body must be an object, as one would send it to the url")
    packed = json.dumps(body, sort_keys=True).encode()
    return Request(number, custom_id, url, packed, hashlib.sha256(f"{url}\n".encode() + packed).hexdigest()[:32])


def line(request: Request, status: int, body: Mapping[str, object]) -> bytes:
    """A line of answers, with its line end. ``body`` is the answer, or OpenAI's error object where status isn't 200."""
    error = body.get("error") if status != 200 else None
    row = {
        "id": f"batch_req_{uuid.uuid4().hex}",
        "custom_id": request.custom_id,
        "response": {"status_code": status, "request_id": f"req_{request.hash}", "body": body},
        "error": {"code": error.get("code"), "message": error.get("message")} if isinstance(error, dict) else None,
    }
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half a character that a model or server made; JSON can say it, UTF-8 can't
        return json.dumps(row).encode() + b"\n"


@dataclass
class Answers:
    """A file of answers that grows line by line. Made by `answers`; one thread writes.

    Attributes:
        done: custom_ids that are answered, also by earlier runs.
        foreign: answers in it to requests that are not among these.
    """

    path: Path
    done: set[str] = field(default_factory=set)
    foreign: int = 0
    _fd: int = -1
    _end: int = 0  # everything before it is whole lines
    _unsynced: int = 0
    _synced: float = 0.0

    def write(self, text: bytes) -> None:
        """Append a whole line.

        Raises:
            StoreError: the disk refused. The file ends in a whole line.
        """
        try:
            if os.fstat(self._fd).st_size != self._end:  # Ctrl-C came in the middle of the last one
                os.ftruncate(self._fd, self._end)
            at = 0
            while at < len(text):
                at += os.write(self._fd, text[at:])
            self._end += len(text)
            self._unsynced += 1
            if self._unsynced >= _SYNC_LINES or time.monotonic() - self._synced > _SYNC_SECONDS:
                self.sync()
        except OSError as error:
            os.ftruncate(self._fd, self._end)
            raise _full(self.path, error) from error

    def sync(self) -> None:
        """What was written is on the disk."""
        os.fsync(self._fd)
        self._unsynced, self._synced = 0, time.monotonic()


@contextmanager
def answers(path: Path, requests: Sequence[Request], *, fresh: bool = False) -> Iterator[Answers]:
    """Open a file of answers to go on with it.

    A line that a killed run left unfinished is dropped, and so are failed requests, which are tried again.

    Args:
        path: need not exist.
        requests: those that are to be answered.
        fresh: start anew, in a file that has nothing but failed requests.

    Raises:
        BusyError: another run writes to it.
        ConfigError: it is no file of answers, or one to other requests. It is left as it is.
        StoreError: it can't be read or written.
    """
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is no file: give another --out or --errors")
    with _lock(path):
        state = Answers(path)
        try:
            kept = _kept(path, {request.custom_id: request.hash for request in requests}, state, fresh=fresh)
            _rewrite(path, kept)
            state._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            state._end = os.fstat(state._fd).st_size
        except OSError as error:
            raise _full(path, error) from error
        try:
            yield state
        finally:
            try:
                state.sync()
            except OSError as error:
                raise _full(path, error) from error
            finally:
                os.close(state._fd)


def _kept(path: Path, wanted: Mapping[str, str], state: Answers, *, fresh: bool) -> list[tuple[int, int]] | None:
    """Spans of the lines that stay; None: all of them. Fills in what is done."""
    spans: list[tuple[int, int]] = []
    dropped, at = False, 0
    if not path.exists():
        return None
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            start, at = at, at + len(raw)
            where = f"{path}, line {number}"
            if not raw.endswith(b"\n"):
                if not (raw.startswith(_START) or _START.startswith(raw)):
                    raise ConfigError(f"{where}: no answer, and no part of one: give another --out or --errors")
                dropped = True
                continue
            custom_id, status, made_for = _answer(raw, where)
            if fresh and status == 200:
                raise ConfigError(
                    f"{where} is an answer, and what is here would be written anew: give another --errors"
                )
            if status != 200:
                dropped = True
                continue
            if wanted.get(custom_id, made_for) != made_for:
                raise ConfigError(
                    f"{where} answers another request that was called {_shown(custom_id)} too: give another --out"
                )
            state.foreign += custom_id not in wanted
            state.done.add(custom_id)
            spans.append((start, at))
    if spans and state.foreign == len(spans):
        raise ConfigError(f"{path} has answers to other requests, none to these: give another --out")
    return spans if dropped else None


def _answer(raw: bytes, where: str) -> tuple[str, int, str]:
    """custom_id, status and hash of the request of a line of answers."""
    try:
        row: Any = json.loads(raw)
        response = row["response"]
        return str(row["custom_id"]), int(response["status_code"]), str(response["request_id"]).removeprefix("req_")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{where}: no answer as damda writes them: give another --out or --errors") from error


def _rewrite(path: Path, kept: list[tuple[int, int]] | None) -> None:
    """Leave only these spans in the file, in one step."""
    if kept is None:
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with path.open("rb") as old, draft.open("wb") as new:
            for start, end in kept:
                old.seek(start)
                new.write(old.read(end - start))
            new.flush()
            os.fsync(new.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise BusyError(f"another run is writing to {path}: wait for it, or give another --out") from error
    except OSError as error:
        raise _full(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _full(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} can't be written ({error.strerror}); what is in it stays: make room and run again")


def _shown(custom_id: str) -> str:
    return repr(custom_id if len(custom_id) <= 60 else custom_id[:59] + "…")
