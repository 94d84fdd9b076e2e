"""transformers' models on disk: which are safe to open, and how a GGUF file becomes one.

Knows: the names of files in a folder of transformers, how a GGUF's weights are unpacked, what transformers prints.
Does not know: what a model is for.
"""

import io
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from hashlib import blake2b
from pathlib import Path
from typing import Any

from damda.errors import WeightsError


def check(folder: Path) -> dict[str, Any]:
    """The config of a folder whose model can be opened without running code of its maker.

    Raises:
        WeightsError: it has no config, or no .safetensors; damaged ones are found before anything is loaded.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{folder} has no config.json: give a model in transformers' form") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder / 'config.json'} can't be read ({error}): get the model again") from error
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(f"{folder} has no .safetensors: other weights are not opened, as loading them runs code")
    for file in files:
        _whole(file)
    for index in folder.glob("*.safetensors.index.json"):
        _complete(index)
    if not isinstance(config, dict):
        raise WeightsError(f"{folder / 'config.json'} is no config: get the model again")
    return config


def stored(config: Mapping[str, Any]) -> str:
    """torch's name of the 16 bits that a model is kept in: its own; Gemma's activations exceed float16."""
    said = config.get("dtype") or config.get("torch_dtype")
    mine = str(said).endswith("bfloat16") or str(config.get("model_type")).startswith("gemma")
    return "bfloat16" if mine else "float16"


def opened(folder: Path, **more: Any) -> tuple[Any, Any]:  # noqa: ANN401  of from_pretrained
    """A language model and its tokenizer, from a folder that `check` finds safe.

    Raises:
        WeightsError: it is not, or transformers can't load it.
    """
    check(folder)
    silence()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        model = AutoModelForCausalLM.from_pretrained(str(folder), local_files_only=True, **more)
        return model, AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise WeightsError(f"{folder} can't be loaded: {str(error).splitlines()[0]}") from error


def fingerprint(folder: Path) -> str:
    """Twelve hex digits that differ for other weights: config, sizes, first and last megabytes. Reads no more.

    Raises:
        WeightsError: a file can't be read.
    """
    try:
        config = (folder / "config.json").read_bytes()
    except OSError as error:
        raise WeightsError(f"{folder} can't be read: {error.strerror or error}") from error
    return edges(sorted(folder.glob("*.safetensors")), config)


def edges(files: Sequence[Path], before: bytes = b"") -> str:
    """Twelve hex digits of names, sizes, first and last megabytes, and of what stands before them.

    Raises:
        WeightsError: a file can't be read.
    """
    read = blake2b(before, digest_size=6)
    for path in files:
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                read.update(path.name.encode() + size.to_bytes(8, "little") + file.read(_EDGE))
                file.seek(max(0, size - _EDGE))
                read.update(file.read(_EDGE))
        except OSError as error:
            raise WeightsError(f"{path} can't be read: {error.strerror or error}") from error
    return read.hexdigest()


_EDGE = 1 << 20


def tensors(file: Path) -> dict[str, Any]:
    """What the header of a .safetensors file says of each: ``dtype``, ``shape`` and ``data_offsets`` by name.

    Raises:
        WeightsError: the file can't be read, or is none.
    """
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length)) if length < _HEADER else None
    except OSError as error:
        raise WeightsError(f"{file} can't be read: {error.strerror or error}") from error
    except ValueError as error:
        raise WeightsError(f"{file} ends in the middle or is damaged: get it again") from error
    if not isinstance(header, dict) or not all(isinstance(of, dict) for of in header.values()):
        raise WeightsError(f"{file} ends in the middle or is damaged: get it again")
    return {name: about for name, about in header.items() if name != "__metadata__"}


_HEADER = 100_000_000
"""safetensors' own limit, in bytes."""


def _whole(file: Path) -> None:
    """A file that ends before its last weight is found by its header: length, JSON, then the weights."""
    last = max((about["data_offsets"][1] for about in tensors(file).values()), default=None)
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
    if last is None or last + 8 + length != file.stat().st_size:
        raise WeightsError(f"{file} is not whole: get the model again")


def _complete(index: Path) -> None:
    try:
        files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise WeightsError(f"{index} can't be read ({error}): get the model again") from error
    if missing := sorted(str(name) for name in files if not (index.parent / str(name)).is_file()):
        raise WeightsError(f"{index.parent} is not whole: {', '.join(missing)} missing; get the model again")


def unpacked(gguf: Path, split: str) -> tuple[Any, Any]:
    """A GGUF's model in float32, as transformers has it, and its tokenizer.

    Args:
        split: what the file's ``tokenizer.ggml.pre`` says: how a text is cut before its pieces are found.

    Raises:
        WeightsError: transformers does not know its architecture, or the file is damaged.
    """
    silence()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with redirect_stderr(io.StringIO()):  # a bar that nothing else turns off
            model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
            tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    except Exception as error:  # tokenizers raises no other kind
        raise WeightsError(f"{gguf}: transformers can't read it: {str(error).splitlines()[0]}") from error
    # Else the folder would say that its weights are quantised, which they no longer are.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    if split == "smollm":  # transformers forgets that digits stand alone, and with it how the text around them is cut
        from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

        whole = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
        tokenizer.backend_tokenizer.pre_tokenizer = whole
    return model, tokenizer


def silence() -> None:
    """Keep transformers' own bars and reports off the terminal; damda has its own."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    if "datasets" in sys.modules:
        sys.modules["datasets"].disable_progress_bars()
