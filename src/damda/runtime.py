"""Opens ONNX models and tokenizers.

Knows: how onnxruntime is best set up for many short texts on a CPU. Does not know: what a model computes.
"""

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
