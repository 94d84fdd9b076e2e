"""A folder of transformers -> the same in 8 or 4 bits, by bitsandbytes.

Knows: bitsandbytes' settings. Does not know: where folders come from.

8 bits: Dettmers et al., "LLM.int8()", NeurIPS 2022: rows and columns have a scale each; activations over 6 stay in 16
bits. 4 bits: Dettmers et al., "QLoRA", NeurIPS 2023: sixteen values at the quantiles of a normal distribution, a scale
for 64 weights, and those scales in 8 bits again. The word table and the head stay as they are.
"""

from pathlib import Path

from damda import pretrained
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
    form = getattr(torch, pretrained.stored(pretrained.check(folder)))
    model, tokenizer = pretrained.opened(folder, quantization_config=wanted, dtype=form)
    progress("writing", 1, 2)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    progress("writing", 2, 2)


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
    else:
        assert folder
        model, tokenizer = pretrained.opened(folder, dtype="auto")
    progress("writing", 1, 2)
    model.to(getattr(torch, pretrained.stored(model.config.to_dict()))).save_pretrained(out)
    tokenizer.save_pretrained(out)
    progress("writing", 2, 2)
