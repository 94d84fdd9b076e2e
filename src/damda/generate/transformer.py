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
from damda.generate.engine import SEED, cores
from damda.generate.local import Local
from damda.generate.shared import shared
from damda.generate.text import Text
from damda.settings import TransformersSettings
from damda.types import Delta, Usage

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
        self.chats: bool = bool(self.tokenizer.chat_template)
        self._name = folder.name
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
        """See ``local.Loaded``; grammars are not there for it.

        Raises:
            GeneratorError: the model fails, or a schema is asked for.
        """
        if schema:
            raise GeneratorError("the transformers generator can't keep to a JSON schema; llama and openvino can")
        with self.lock:
            try:
                yield from self._run(self.tokens(request), most, temperature, stop)
            except RuntimeError as error:  # torch's only kind
                raise GeneratorError(f"{self._name} failed: {str(error).splitlines()[0]}") from error

    def _run(self, tokens: Sequence[int], most: int, temperature: float, stop: Sequence[str]) -> Iterator[Delta]:
        import torch

        drawn = torch.Generator().manual_seed(SEED)
        ends, cache, fed = self._ends(), self.cache(), tokens
        text = Text(lambda read: str(self.tokenizer.decode(read, skip_special_tokens=True)), stop)
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


def _pick(logits: Any, temperature: float, drawn: Any) -> int:  # noqa: ANN401  torch's tensor and generator
    if not temperature:
        return int(logits.argmax())
    import torch

    return int(torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=drawn))


class Transformer(Local[Loaded]):
    """A Generator and Completer over a folder of transformers, one answer at a time; others wait.

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
        name = f"transformers:{self._folder.name}:{pretrained.fingerprint(self._folder)}"
        key = (name, self._folder, settings.context, settings.threads)
        load = partial(Loaded, self._folder, context=settings.context, threads=settings.threads)
        super().__init__(name, shared(key, load))

    def __repr__(self) -> str:
        return f"Transformer({str(self._folder)!r})"


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
