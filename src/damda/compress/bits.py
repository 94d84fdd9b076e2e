"""A folder of transformers -> the same in 8 or 4 bits, by bitsandbytes.

Knows: bitsandbytes' settings. Does not know: where folders come from.

8 bits: Dettmers et al., "LLM.int8()", NeurIPS 2022: rows and columns have a scale each; activations over 6 stay in 16
bits. 4 bits: Dettmers et al., "QLoRA", NeurIPS 2023: sixteen values at the quantiles of a normal distribution, a scale
for 64 weights, and those scales in 8 bits again. The word table and the head stay as they are.
"""

from pathlib import Path
from typing import Any

from damda import pretrained
from damda.errors import WeightsError
from damda.generate.gguf import header
from damda.types import Progress

COMPUTES = {"bf16": "bfloat16", "f16": "float16", "f32": "float32"}
"""Names of the precision that 4-bit weights are unpacked to when they are used."""


def write(folder: Path, out: Path, method: str, compute: str, progress: Progress) -> None:
    """Fill an empty folder.

    Args:
        method: "int8" or "nf4".
        compute: of `COMPUTES`; only nf4 has it, int8 computes in 16 bits.

    Raises:
        WeightsError: transformers can't load the folder.
    """
    pretrained.silence()
    import torch
    from transformers import BitsAndBytesConfig

    wanted = (
        BitsAndBytesConfig(load_in_8bit=True)
        if method == "int8"
        else BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, COMPUTES[compute]),
        )
    )
    progress("loading and packing", 0, 2)
    model, tokenizer = _loaded(folder, quantization_config=wanted, dtype=getattr(torch, stored(folder)))
    progress("writing", 1, 2)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    progress("writing", 2, 2)


def stored(folder: Path) -> str:
    """torch's name of the 16-bit form in which what is not packed is kept: the folder's own, else float16."""
    config = pretrained.check(folder)
    said = config.get("dtype") or config.get("torch_dtype")
    return "bfloat16" if said == "bfloat16" else "float16"


def write_f16(folder: Path | None, gguf: Path | None, out: Path, progress: Progress) -> None:
    """Fill an empty folder with a model in 16 bits: a folder's, or a GGUF's unpacked.

    Raises:
        WeightsError: transformers can't load it.
    """
    pretrained.silence()
    import torch

    progress("loading", 0, 2)
    if gguf:
        model, tokenizer = pretrained.unpacked(gguf, header(gguf).split)
        form = "float16"
    else:
        assert folder
        form = stored(folder)
        model, tokenizer = _loaded(folder, dtype="auto")
    progress("writing", 1, 2)
    model.to(getattr(torch, form)).save_pretrained(out)
    tokenizer.save_pretrained(out)
    progress("writing", 2, 2)


def _loaded(folder: Path, **more: Any) -> tuple[Any, Any]:  # noqa: ANN401  of from_pretrained
    """Model and tokenizer of a folder."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        model = AutoModelForCausalLM.from_pretrained(str(folder), local_files_only=True, **more)
        return model, AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(f"{folder} can't be loaded: {str(error).splitlines()[0]}") from error
