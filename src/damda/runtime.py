"""Opens ONNX models and tokenizers.

Knows: how onnxruntime is best set up for many short texts on a CPU. Does not know: what a model computes.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damda.errors import WeightsError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def model_file(folder: Path) -> Path:
    """The ONNX file of a model's folder: ``model.onnx`` or ``onnx/model.onnx``, with a tokenizer.json beside it.

    Raises:
        WeightsError: one of them is missing.
    """
    found = next((p for p in (folder / "model.onnx", folder / "onnx" / "model.onnx") if p.is_file()), None)
    if found is None or not (folder / "tokenizer.json").is_file():
        raise WeightsError(f"{folder} has no model.onnx with tokenizer.json: export the model to ONNX first")
    return found


def read_json(path: Path) -> dict[str, Any]:
    """An object of a model's folder; empty where there is no such file.

    Raises:
        ValueError: it is something else.
    """
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def model_length(folder: Path) -> int:
    """Tokens that a model was made for, as its folder says; 512 where it says nothing.

    Raises:
        ValueError: a file is not the JSON that it should be.
    """
    if said := read_json(folder / "sentence_bert_config.json").get("max_seq_length"):
        return int(said)
    said = read_json(folder / "tokenizer_config.json").get("model_max_length") or 0
    if 0 < said < 10**6:  # a tokenizer without a limit says 10^30
        return int(said)
    config = read_json(folder / "config.json")
    offset = int(config.get("pad_token_id", 1)) + 1 if "roberta" in config.get("model_type", "") else 0
    return int(config.get("max_position_embeddings") or 512) - offset


def open_tokenizer(path: Path) -> "Tokenizer":
    """A tokenizer.json, without padding and truncation.

    Raises:
        WeightsError: it is none.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust side raises bare Exception
        raise WeightsError(f"{path} is not a tokenizer: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def open_session(path: Path, *, threads: int = 1) -> Any:  # onnxruntime ships no type of its own  # noqa: ANN401
    """A model, one thread a call: several calls side by side scale with the cores, one product over threads does not.

    Args:
        path: the ONNX file.
        threads: for models whose inputs come one at a time.

    Raises:
        WeightsError: it can't be loaded.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if threads != 1:  # beside other work, threads that wait by spinning take its cores
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common public class
        raise WeightsError(
            f"{path} can't be loaded ({str(error).splitlines()[0]}); if damaged, delete its folder and get it again"
        ) from error


def memory() -> int | None:
    """Bytes of memory that this machine has; None: its system doesn't say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
