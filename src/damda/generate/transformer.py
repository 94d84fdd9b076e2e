"""Text from a folder of transformers in this process: slow, and exact where other engines round.

Knows: torch's and transformers' calls, how tokens become text while they come. Does not know: where folders come from,
how a question becomes a request that fits (``fitting``).

It is there for the formats that llama.cpp does not read (bitsandbytes, GPTQ, AWQ), and to hold other engines against.
"""

import inspect
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from damda import pretrained
from damda.errors import ConfigError, GeneratorError, MissingExtra, WeightsError
from damda.generate import fewshot, fitting
from damda.generate.engine import SEED, cores
from damda.generate.shared import shared
from damda.generate.thinking import HideThinking
from damda.settings import TransformersSettings
from damda.types import NOT_FOUND, Delta, Hit, Message, Usage

PACKAGES = {"bitsandbytes": "bitsandbytes", "compressed-tensors": "compressed_tensors"}
"""A quantised folder's method, as its config names it -> the package that loads it."""


class Loaded:
    """One model in memory, for as long as somebody holds this. One request at a time.

    On a graphics card if there is one, in the precision that the folder has; else on the CPU, in float32.

    Args:
        folder: of transformers; quantised by bitsandbytes or as compressed-tensors, or not at all.
        context: tokens of prompt and answer together, at most; a model trained for fewer gets those.
        threads: 0 for one a core.

    Attributes:
        chats: the model has a chat template.

    Raises:
        MissingExtra: torch, transformers or what loads the folder's method is not installed.
        WeightsError: the folder is no model, damaged, or of a method that is not known here.
    """

    def __init__(self, folder: Path, *, context: int, threads: int = 0) -> None:
        require()
        config = pretrained.check(folder)
        more = _loading(folder, config)
        pretrained.silence()
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(threads or cores())
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            with warnings.catch_warnings(), redirect_stderr(io.StringIO()):  # bars that nothing else turns off
                warnings.filterwarnings("ignore", message="You passed `quantization_config`")  # to be asked to unpack
                self.model: Any = AutoModelForCausalLM.from_pretrained(
                    str(folder),
                    local_files_only=True,
                    dtype="auto" if device == "cuda" else torch.float32,
                    device_map=device,
                    **more,
                ).eval()
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            raise WeightsError(f"{folder} can't be loaded: {str(error).splitlines()[0]}") from error
        positions = getattr(self.model.config, "max_position_embeddings", None)
        self.context: int = min(context, positions or context)
        self.chats = bool(self.tokenizer.chat_template)
        self.lock = Lock()

    def count(self, request: Mapping[str, object]) -> int:
        """Tokens that the request's prompt or messages take, template and special tokens included."""
        return len(self.tokens(request))

    def tokens(self, request: Mapping[str, object]) -> list[int]:
        """What the model reads for the request's prompt or messages."""
        if "prompt" in request:
            return [int(token) for token in self.tokenizer(request["prompt"])["input_ids"]]
        more = request.get("chat_template_kwargs")
        read = self.tokenizer.apply_chat_template(
            request["messages"],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            **(more if isinstance(more, dict) else {}),
        )
        return [int(token) for token in read["input_ids"]]

    def run(self, tokens: Sequence[int], *, most: int, temperature: float, stop: Sequence[str]) -> Iterator[Delta]:
        """Text that goes on from tokens, as it comes; the last Delta says how it ended. To be called with ``lock``
        held."""
        import torch

        drawn = torch.Generator().manual_seed(SEED)
        ends, text, cache, fed = self._ends(), _Text(self.tokenizer, stop), self.cache(), tokens
        finish: Literal["stop", "length"] = "length"
        for _ in range(most):
            token = _pick(self.read(fed, cache)[-1], temperature, drawn)
            text.tokens += 1
            if token in ends:
                finish = "stop"
                break
            if piece := text.add(token):
                yield Delta(piece)
            if text.stopped:
                finish = "stop"
                break
            fed = [token]
        if piece := text.rest():
            yield Delta(piece)
        yield Delta(finish=finish, usage=Usage(len(tokens), text.tokens))

    def read(self, tokens: Sequence[int], cache: Mapping[str, Any], last: int = 1) -> Any:  # noqa: ANN401  torch's
        """Logits after the last tokens, a tensor of shape (last, vocabulary), float32, on the CPU."""
        import torch

        fed = torch.tensor([list(tokens)], device=self.model.device)
        with torch.inference_mode():
            return self.model(input_ids=fed, **cache, use_cache=True, logits_to_keep=last).logits[0].float().cpu()

    def cache(self) -> dict[str, Any]:
        """For `read`: keys and values of what was read, empty. transformers 5.24 calls the argument otherwise than
        before."""
        from transformers import DynamicCache

        known = inspect.signature(self.model.forward).parameters
        return {"cache" if "cache" in known else "past_key_values": DynamicCache(config=self.model.config)}

    def _ends(self) -> set[int]:
        said = self.model.generation_config.eos_token_id
        ends = set(said if isinstance(said, list) else [said])
        return {int(end) for end in (*ends, self.tokenizer.eos_token_id) if end is not None}


class _Text:
    """Tokens -> text, given out as soon as no stop can begin in it."""

    def __init__(self, tokenizer: Any, stop: Sequence[str]) -> None:  # noqa: ANN401  transformers' tokenizer
        self._tokenizer, self._stop = tokenizer, [end for end in stop if end]
        self._read: list[int] = []
        self._whole, self._given = "", 0
        self.tokens, self.stopped = 0, False

    def add(self, token: int) -> str:
        """Text that can be shown now."""
        self._read.append(token)
        self._whole = self._tokenizer.decode(self._read, skip_special_tokens=True)
        found = [at for end in self._stop if (at := self._whole.find(end)) >= 0]
        if found:
            self.stopped, self._whole = True, self._whole[: min(found)]
            return self.rest()
        held = max((len(end) - 1 for end in self._stop), default=0)
        # A token may end inside a character; the rest of it changes what stands there now.
        return self._give(len(self._whole) - held) if not self._whole.endswith("\ufffd") else ""

    def rest(self) -> str:
        """What was held back."""
        return self._give(len(self._whole))

    def _give(self, end: int) -> str:
        end = max(self._given, end)
        piece, self._given = self._whole[self._given : end], end
        return piece


def _pick(logits: Any, temperature: float, drawn: Any) -> int:  # noqa: ANN401  torch's tensor and generator
    if not temperature:
        return int(logits.argmax())
    import torch

    return int(torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=drawn))


class Transformer:
    """A Generator and Completer over a folder of transformers, one answer at a time; others wait.

    Cheap to make: the weights load at the first ``stream()`` or ``complete()``.

    Args:
        folder: None: ``settings.model`` is one itself.

    Raises:
        MissingExtra: torch or transformers is not installed.
        ConfigError: no folder is set.
        WeightsError: it is no model.
    """

    def __init__(self, settings: TransformersSettings, *, folder: Path | None = None) -> None:
        require()
        if folder is None and not settings.model:
            raise ConfigError("transformers.model is not set: give a folder that `damda compress` has made, or another")
        self._folder = (folder or Path(settings.model).expanduser()).absolute()
        pretrained.check(self._folder)
        self._id = f"transformers:{self._folder.name}:{pretrained.fingerprint(self._folder)}"
        key = (self._id, self._folder, settings.context, settings.threads)
        load = partial(Loaded, self._folder, context=settings.context, threads=settings.threads)
        self._weights = shared(key, load)

    def __repr__(self) -> str:
        return f"Transformer({str(self._folder)!r})"

    @property
    def id(self) -> str:
        """The folder's name, and a hash of its config and of its weights' sizes and edges."""
        return self._id

    def close(self) -> None:
        """Gives the memory back once what runs has ended; the next ``stream()`` loads again."""
        self._weights.drop()

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> Iterator[Delta]:
        """See ``Generator``. Passages that the context has no room for are left out whole, the last ones first.

        Raises:
            GeneratorError: the model fails, or the prompt does not fit even with one passage.
            WeightsError: the folder can't be loaded.
        """
        loaded = self._weights.get()
        request, _ = fitting.fit(loaded, messages, passages, chats=loaded.chats, quote=False, max_tokens=max_tokens)
        if loaded.chats:
            yield from _shown(self._run(loaded, request, max_tokens, temperature, stop))
            return
        deltas = [*self._run(loaded, request, max_tokens, temperature, [*stop, fewshot.STOP])]
        said = "".join(delta.text for delta in deltas).strip()
        yield Delta(NOT_FOUND if not said or said.rstrip(".") == fewshot.ABSENT else said)
        yield deltas[-1]

    def complete(
        self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, stop: Sequence[str] = ()
    ) -> Iterator[Delta]:
        """See ``Completer``.

        Raises:
            GeneratorError, WeightsError: as in `stream`.
        """
        loaded = self._weights.get()
        yield from self._run(loaded, fitting.fit_prompt(loaded, prompt, max_tokens), max_tokens, temperature, stop)

    def _run(
        self, loaded: Loaded, request: Mapping[str, object], most: int, temperature: float, stop: Sequence[str]
    ) -> Iterator[Delta]:
        with loaded.lock:
            try:
                yield from loaded.run(loaded.tokens(request), most=most, temperature=temperature, stop=stop)
            except RuntimeError as error:  # torch's only kind
                raise GeneratorError(f"{self._folder.name} failed: {str(error).splitlines()[0]}") from error


def _shown(deltas: Iterator[Delta]) -> Iterator[Delta]:
    thinking = HideThinking()
    for delta in deltas:
        if delta.finish:
            if text := thinking.rest():
                yield Delta(text)
            yield delta
        elif text := thinking.feed(delta.text):
            yield Delta(text)


def require() -> None:
    """Raises MissingExtra where torch or transformers is not installed. Does not import them."""
    if any(find_spec(name) is None for name in ("torch", "transformers", "accelerate")):
        raise MissingExtra("the transformers generator", "compress")


def _loading(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers has to be told to load a quantised folder."""
    about = config.get("quantization_config") or {}
    method = about.get("quant_method", "")
    if not method:
        return {}
    if method not in PACKAGES:
        raise WeightsError(f"{folder} is quantised by {method}, which is not run here: {', '.join(PACKAGES)} are")
    if find_spec(PACKAGES[method]) is None:
        raise MissingExtra(f"a model quantised by {method}", "compress")
    if method == "compressed-tensors":
        from transformers import CompressedTensorsConfig

        # Unpacked as it loads: it would be at its first use in any case, and zero points can't be loaded packed.
        return {"quantization_config": CompressedTensorsConfig(dequantize=True)}
    return {}
