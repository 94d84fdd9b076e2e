"""The one seam to xllamacpp, which has no type hints: a loaded GGUF that counts tokens and runs requests.

Knows: xllamacpp 2026.10's parameters, and its HTTP port: it always opens one on 127.0.0.1, so a random key shuts it to
every other program. Does not know: prompts, passages, Deltas.
"""

import http.client
import importlib.util
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Semaphore
from typing import Any
from urllib.parse import urlsplit

from damda.errors import GeneratorError, MissingExtra
from damda.generate import wire

SEED = 20_240_229
BATCH = 512
"""Prompt tokens that are read at once; between batches a request can be given up."""

ALWAYS = {
    "stream": True,
    "stream_options": {"include_usage": True},
    "return_progress": True,  # chunks while the prompt is read, so that it can be given up there too
    "cache_prompt": False,  # with it, 1 of 12 greedy answers depended on what was asked before
    "seed": SEED,
}


class Engine:
    """One model in memory, for as long as somebody holds this. Safe to use from several threads.

    Args:
        path: a GGUF file.
        context: tokens of prompt and answer together that one request gets; a model trained for fewer gets those.
        threads: 0 for one a core.
        slots: requests that are worked on at once, in common batches. Memory for ``context`` times ``slots`` tokens
            is taken at the start.

    Attributes:
        context: tokens that one request has.
        free: the slots that nobody uses; whoever waits gets one in the order of coming.

    Raises:
        MissingExtra: xllamacpp is not installed.
        GeneratorError: llama.cpp can't load the file; its own reason goes to stderr.
    """

    def __init__(self, path: Path, *, context: int, threads: int, slots: int = 1) -> None:
        require()
        xllamacpp = importlib.import_module("xllamacpp")
        self._key = secrets.token_urlsafe(32)
        self.free = Semaphore(slots)
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context * slots  # llama.cpp splits it evenly over the slots
        params.n_parallel = slots
        params.kv_unified = False  # one pool for all would let a long request take what another was promised
        params.n_batch = params.n_ubatch = BATCH
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads or cores()
        params.api_keys = [self._key]
        params.ui = False
        params.fit_params = False  # would change n_ctx behind our back
        params.cache_ram_mib = 0  # old prompts, by default up to 8 GB of them
        params.verbosity = 1  # errors only
        try:
            self._server: Any = xllamacpp.Server(params)
        except RuntimeError as error:
            raise GeneratorError(f"llama.cpp can't load {path.name}; its reason is on stderr") from error
        self.address: str = self._server.listening_address
        loaded = wire.at(self._ask("GET", "/props"), "default_generation_settings", "n_ctx")
        self.context = loaded if isinstance(loaded, int) else context

    def count(self, request: Mapping[str, object]) -> int:
        """Tokens that the request's prompt or messages take, template and special tokens included."""
        if "prompt" in request:
            answer = self._ask("POST", "/tokenize", {"content": request["prompt"], "add_special": True})
            tokens = wire.at(answer, "tokens")
            number: object = len(tokens) if isinstance(tokens, list) else None
        else:
            # Not the whole request: this counts, it must not compile a grammar.
            asked = {key: request[key] for key in ("messages", "chat_template_kwargs") if key in request}
            number = wire.at(self._ask("POST", "/v1/chat/completions/input_tokens", asked), "input_tokens")
        if not isinstance(number, int):
            raise GeneratorError("llama.cpp does not tell how long the prompt is: is xllamacpp another version?")
        return number

    def run(self, request: Mapping[str, object], heard: Callable[[object], bool]) -> None:
        """Calls ``heard`` with each chunk, also while the prompt is read, until it returns True or the answer ends.

        ``heard`` must not raise: xllamacpp swallows that and goes on. To be called with ``free`` held: a request
        without a slot waits inside llama.cpp, where nothing is heard of it and it can't be given up.
        """
        handle = self._server.handle_completions if "prompt" in request else self._server.handle_chat_completions
        handle({**ALWAYS, **request}, heard)

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> object:
        """Asks the port: what tokens a prompt has can't be had in process."""
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = wire.parse(connection.getresponse().read().decode("utf-8", "replace"))
        except OSError as error:
            raise GeneratorError(f"llama.cpp does not answer on its own port {self.address}: {error}") from error
        finally:
            connection.close()
        if reason := wire.reason(answer):
            raise GeneratorError(f"llama.cpp refused the prompt: {reason}")
        return answer


def require() -> None:
    """Raises MissingExtra where xllamacpp is not installed. Does not import it."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise MissingExtra("the llama generator", "llama")


def cores() -> int:
    """Cores that this process may use; hyper-threads count once where the system tells (Linux), as they don't help."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    allowed = os.sched_getaffinity(0)
    return max(1, len({_siblings(cpu) for cpu in allowed}))


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text(encoding="ascii")
    except OSError:
        return str(cpu)  # a container without /sys: each counts
