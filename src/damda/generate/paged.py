"""The one seam to OpenVINO GenAI, which has no type hints that hold: a model whose requests share their steps.

Knows: openvino-genai 2026.4's pipeline (continuous batching, keys and values in blocks, as in Kwon et al. 2023,
arXiv:2309.06180). Does not know: prompts, passages, settings.

A thread steps for as long as any request runs; each step computes a token of all of them, or a piece of their prompts.
The pipeline holds Python's lock for the whole of a step, so this runs in a process of its own (``elsewhere``):
``python -m damda.generate.paged PATH SHAPE WAYS``, the latter two in JSON.
"""

import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Literal

from damda.errors import MissingExtra, WeightsError
from damda.generate import gguf
from damda.generate.elsewhere import Elsewhere, Unfit, serve
from damda.generate.engine import SEED, cores
from damda.generate.text import Text
from damda.types import Delta, Usage

_BLOCK = 32
"""Tokens of a block of keys and values on a CPU."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How much is done at once.

    Attributes:
        context: tokens of a request, prompt and answer; a model trained for fewer gets those.
        slots: requests.
        batch: tokens of a step.
        threads: 0 for one a core.
    """

    context: int
    slots: int
    batch: int
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Ways:
    """What is switched on.

    Attributes:
        prefixes: blocks of prompts stay, and serve prompts that begin alike.
        guesses: "none", "ngram" or "draft".
        guessed: tokens of a guess, at most.
        draft: of the smaller model.
    """

    prefixes: bool = False
    guesses: str = "none"
    guessed: int = 5
    draft: Path | None = None


class Paged:
    """One model in memory, for as long as somebody holds this. Safe to use from several threads.

    Args:
        path: a GGUF file, or a folder of OpenVINO's own.

    Attributes:
        context: tokens that a request has.
        chats: the model has a chat template.

    Raises:
        MissingExtra: openvino-genai is not installed.
        WeightsError: OpenVINO can't read the model.
    """

    def __init__(self, path: Path, shape: Shape, ways: Ways) -> None:
        require()
        self._genai = importlib.import_module("openvino_genai")
        self._name, self._ways = path.name, ways
        scheduler = self._genai.SchedulerConfig()
        scheduler.num_kv_blocks = shape.slots * -(-shape.context // _BLOCK) + 1
        scheduler.max_num_seqs, scheduler.max_num_batched_tokens = shape.slots, shape.batch
        scheduler.enable_prefix_caching = ways.prefixes
        more: dict[str, Any] = {"INFERENCE_NUM_THREADS": shape.threads or cores()}
        if ways.guesses == "ngram":
            more["prompt_lookup"] = True
        try:
            if ways.draft:
                more["draft_model"] = self._genai.draft_model(str(ways.draft), "CPU")
            self._pipe = self._genai.ContinuousBatchingPipeline(str(path), scheduler, "CPU", more)
            self._tokenizer = self._pipe.get_tokenizer()
        except RuntimeError as error:
            raise WeightsError(_unreadable(path, str(error))) from error
        known = {int(token) for token in self._pipe.get_config().stop_token_ids}
        self._eos = int(self._tokenizer.get_eos_token_id())
        if self._eos < 0:
            raise WeightsError(f"{path.name} names no token that ends a text, which OpenVINO wants (eos_token)")
        self._ends = frozenset((*known, self._eos))
        trained = gguf.header(path).context if path.suffix == ".gguf" else 0
        self.context, self.chats = min(shape.context, trained or shape.context), bool(self._tokenizer.chat_template)
        self._lock = Lock()
        self._running: dict[int, _Running] = {}
        self._thread: Thread | None = None
        self._asked, self._broken = 0, False

    def count(self, request: Mapping[str, object]) -> int:
        """Tokens that the request's prompt or messages take, template and special tokens included."""
        return int(self._tokens(request).shape[1])

    def run(
        self,
        request: Mapping[str, object],
        *,
        most: int,
        temperature: float,
        stop: Sequence[str],
        grammar: str = "",
        schema: str = "",
    ) -> Iterator[Delta]:
        """See ``local.Loaded``. Closing the iterator gives the request up.

        Raises:
            Unfit: OpenVINO failed: the request that it failed at stays in its pipeline, which does nothing else since.
        """
        tokens = self._tokens(request)
        running = self._begin(tokens, self._config(most, temperature, grammar, schema), bool(grammar or schema))
        text = Text(lambda read: str(self._tokenizer.decode(read, skip_special_tokens=True)), stop)
        finish: Literal["stop", "length"] = "length"
        try:
            while (got := running.queue.get()) is not None:
                if isinstance(got, Exception):
                    raise Unfit(_reason(got) if running.blamed else "") from got
                piece = ""
                for token in got:
                    text.tokens += 1
                    if token in self._ends:
                        finish = "stop"
                        break
                    piece += text.add(token)
                    if text.stopped:
                        finish = "stop"
                        break
                if piece:
                    yield Delta(piece)
                if finish == "stop":
                    break
        finally:
            running.handle.cancel()
        if piece := text.rest():
            yield Delta(piece)
        yield Delta(finish=finish, usage=Usage(int(tokens.shape[1]), text.tokens))

    def _tokens(self, request: Mapping[str, object]) -> Any:  # noqa: ANN401  a tensor of shape (1, tokens)
        prompt = request.get("prompt")
        if prompt is not None:
            return self._tokenizer.encode(prompt).input_ids
        more = request.get("chat_template_kwargs")
        text = self._tokenizer.apply_chat_template(
            request["messages"], add_generation_prompt=True, extra_context=more if isinstance(more, dict) else {}
        )
        return self._tokenizer.encode(text, add_special_tokens=False).input_ids

    def _config(self, most: int, temperature: float, grammar: str, schema: str) -> Any:  # noqa: ANN401  theirs
        config = self._genai.GenerationConfig()
        config.max_new_tokens, config.do_sample = most, temperature > 0
        config.set_eos_token_id(self._eos)
        config.stop_token_ids = set(self._ends)
        if temperature > 0:
            config.temperature, config.rng_seed = temperature, SEED
        if grammar:
            config.structured_output_config = self._genai.StructuredOutputConfig(grammar=grammar)
        if schema:
            config.structured_output_config = self._genai.StructuredOutputConfig(json_schema=schema)
        if self._ways.guesses != "none":
            config.num_assistant_tokens = self._ways.guessed
        if self._ways.guesses == "ngram":
            config.max_ngram_size = 3
        return config

    def _begin(self, tokens: Any, config: Any, shaped: bool) -> "_Running":  # noqa: ANN401  a tensor, a config
        with self._lock:
            if self._broken:
                raise Unfit("")
            self._asked += 1
            running = _Running(self._pipe.add_request(self._asked, tokens, config), shaped)
            self._running[self._asked] = running
            if self._thread is None:
                self._thread = Thread(target=self._step, name="damda-openvino")  # no daemon: ends with the requests
                self._thread.start()
        return running

    def _step(self) -> None:
        while True:
            with self._lock:
                if not self._running:
                    self._thread = None
                    return
            try:
                self._pipe.step()
            except Exception as error:  # handed over: each reader raises it
                with self._lock:
                    self._broken, failed = True, list(self._running.values())
                    self._running = {}
                # A shape that OpenVINO can't read fails at its request's first step.
                suspects = [one for one in failed if one.shaped and not one.begun] or failed
                for one in failed:
                    one.blamed = one in suspects
                    one.queue.put(error)
                continue
            with self._lock:
                self._running = {n: one for n, one in self._running.items() if one.told(self._genai.GenerationStatus)}


class _Running:
    """A request: its handle, and a queue of tokens; None ends it.

    Attributes:
        shaped: it has a grammar or a schema.
        begun: it has tokens.
        blamed: a step has failed because of it.
    """

    def __init__(self, handle: Any, shaped: bool) -> None:  # noqa: ANN401  a GenerationHandle
        self.handle, self.shaped = handle, shaped
        self.begun = self.blamed = False
        self.queue: SimpleQueue[list[int] | Exception | None] = SimpleQueue()

    def told(self, status: Any) -> bool:  # noqa: ANN401  an enumeration
        """Hand over what is there; whether more will come."""
        try:
            running = bool(self.handle.get_status() == status.RUNNING)  # before the last look, or tokens were missed
            while self.handle.can_read():
                for output in self.handle.read().values():
                    self.begun = True
                    self.queue.put(list(output.generated_ids))
        except Exception as error:  # given up between the two calls: its reader, if there is one, raises it
            self.blamed = True
            self.queue.put(error)
            return False
        if not running:
            self.queue.put(None)
        return running


def require() -> None:
    """Raises MissingExtra where openvino-genai is not installed. Does not import it."""
    if importlib.util.find_spec("openvino_genai") is None:
        raise MissingExtra("the openvino generator", "openvino")


def _reason(error: Exception) -> str:
    """OpenVINO's own words, less its build machine's paths."""
    said = re.sub(r"^(?:\[[\d:]+\] )?(?:.*\.cc:\d+: )?", "", str(error).splitlines()[0])
    return f"OpenVINO failed: {said}"


def _unreadable(path: Path, said: str) -> str:
    """What to tell of a model that OpenVINO does not read."""
    reason = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "no reason given")
    if path.suffix == ".gguf":
        kind = gguf.header(path).facts.get("general.architecture")
        return (
            f'OpenVINO does not read {path.name} (architecture {kind}): {reason[:200]}; answer.generator = "llama" does'
        )
    return f"OpenVINO does not read {path}: {reason[:200]}"


def apart(path: Path, shape: Shape, ways: Ways) -> Elsewhere:
    """A `Paged` in a process of its own.

    Raises:
        MissingExtra: openvino-genai is not installed.
        WeightsError: OpenVINO can't read the model.
        GeneratorError: the process died while it loaded it.
    """
    require()
    draft = [str(ways.draft.absolute())] if ways.draft else []
    told = asdict(replace(ways, draft=None))
    words = (str(path.absolute()), json.dumps(asdict(shape)), json.dumps(told), *draft)
    return Elsewhere("OpenVINO", "damda.generate.paged", *words)


def main() -> None:
    """Answer requests until the input ends."""
    path, shape, ways, *draft = sys.argv[1:]
    wanted = Ways(**{**json.loads(ways), "draft": Path(draft[0]) if draft else None})
    serve(lambda: Paged(Path(path), Shape(**json.loads(shape)), wanted))


if __name__ == "__main__":
    main()
