"""The one seam to xllamacpp, which has no type hints: a loaded GGUF that counts tokens and runs requests.

Knows: xllamacpp 2026.10's parameters, and its HTTP port: it always opens one on 127.0.0.1, so a random key shuts it to
every other program. Does not know: prompts, passages, Deltas.
"""

import http.client
import importlib.util
import json
import os
import platform
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from threading import Semaphore
from typing import Any
from urllib.parse import urlsplit

from damda import spinning
from damda.errors import GeneratorError, MissingExtra
from damda.generate import wire
from damda.generate.techniques import Techniques, apply

USUAL = Techniques()

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
        states: the folder that `save` writes to and `restore` reads from, if they are to be used. Models with a
            sliding window then keep the whole context in memory: a restored window can't be gone back in.
        techniques: how it is run.
        trained: tokens that the model was trained for; 0: not known.

    Attributes:
        context: tokens that one request has.
        conditions: what a saved state depends on besides the weights and the tokens, down to the rounding.
        free: the slots that nobody uses; whoever waits gets one in the order of coming.

    Raises:
        MissingExtra: xllamacpp is not installed.
        GeneratorError: llama.cpp can't load the file; its own reason goes to stderr.
    """

    def __init__(
        self,
        path: Path,
        *,
        context: int,
        threads: int,
        slots: int = 1,
        states: Path | None = None,
        techniques: Techniques = USUAL,
        trained: int = 0,
    ) -> None:
        xllamacpp = imported()
        self._key = secrets.token_urlsafe(32)
        self.free = Semaphore(slots)
        self._idle = list(range(slots))
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
        apply(techniques, params, xllamacpp, trained)
        self._remembers = techniques.prompts > 0
        params.verbosity = 1  # errors only
        if states:
            params.slot_save_path = f"{states}/"  # llama.cpp puts the name right behind it
            params.swa_full = True
            params.n_ctx_checkpoints = 0  # would be saved, too, and gone back to
        try:
            self._server: Any = xllamacpp.Server(params)
        except RuntimeError as error:
            raise GeneratorError(f"llama.cpp can't load {path.name}; its reason is on stderr") from error
        self.address: str = self._server.listening_address
        loaded = wire.at(self._ask("GET", "/props"), "default_generation_settings", "n_ctx")
        self.context = loaded if isinstance(loaded, int) else context
        kinds = (params.cache_type_k, params.cache_type_v, params.flash_attn_type)
        used = (*kinds, self.context, BATCH, params.cpuparams.n_threads, platform.machine(), techniques)
        self.conditions = ("xllamacpp", version("xllamacpp"), *map(str, used))

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

    def tokens(self, request: Mapping[str, object]) -> list[int]:
        """What the model reads for the request's prompt or messages, as `run` makes it of them."""
        prompt = request.get("prompt")
        if prompt is None:
            asked = {key: request[key] for key in ("messages", "chat_template_kwargs") if key in request}
            prompt = wire.at(self._ask("POST", "/apply-template", asked), "prompt")
        answer = self._ask("POST", "/tokenize", {"content": prompt, "add_special": True, "parse_special": True})
        tokens = wire.at(answer, "tokens")
        return [token for token in tokens if isinstance(token, int)] if isinstance(tokens, list) else []

    def run(self, request: Mapping[str, object], heard: Callable[[object], bool]) -> None:
        """Calls ``heard`` with each chunk, also while the prompt is read, until it returns True or the answer ends.

        ``heard`` must not raise: xllamacpp swallows that and goes on. To be called with ``free`` held: a request
        without a slot waits inside llama.cpp, where nothing is heard of it and it can't be given up.
        """
        with self.slot() as slot:
            self.send(request, heard, slot)

    @contextmanager
    def slot(self) -> Iterator[int]:
        """A slot that nobody else gets meanwhile. To be called with ``free`` held, so that there is one."""
        slot = self._idle.pop()
        try:
            yield slot
        finally:
            self._idle.append(slot)

    def send(self, request: Mapping[str, object], heard: Callable[[object], bool], slot: int) -> None:
        """`run` in a slot of one's own."""
        handle = self._server.handle_completions if "prompt" in request else self._server.handle_chat_completions
        handle({**ALWAYS, "cache_prompt": self._remembers, **request, "id_slot": slot}, heard)

    def save(self, slot: int, name: str) -> tuple[int, int]:
        """Writes what the slot holds to a file of that name among ``states``: how many tokens, how many bytes.

        Raises:
            GeneratorError: it can't be written.
        """
        answer = self._ask("POST", f"/slots/{slot}?action=save", {"filename": name})
        return wire.number(answer, "n_saved"), wire.number(answer, "n_written")

    def restore(self, slot: int, name: str) -> int:
        """Puts a saved file in the place of what the slot holds: how many tokens. A damaged file ends the process.

        Raises:
            GeneratorError: the file is not there.
        """
        answer = self._ask("POST", f"/slots/{slot}?action=restore", {"filename": name})
        return wire.number(answer, "n_restored")

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> object:
        """Asks the port: tokens of a prompt and states of slots can't be had in process."""
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
            raise GeneratorError(f"llama.cpp refused: {reason}")
        return answer


def require() -> None:
    """Raises MissingExtra where xllamacpp is not installed. Does not import it."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise MissingExtra("the llama generator", "llama")


def imported() -> Any:  # noqa: ANN401  it has no types
    """xllamacpp.

    Raises:
        MissingExtra: it is not installed.
    """
    require()
    with spinning.shortly():
        return importlib.import_module("xllamacpp")


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
