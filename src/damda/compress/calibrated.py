"""GPTQ and AWQ, run as a program of its own by the Python that ``damda compress setup`` has made.

Knows: llmcompressor's calls. Does not know: damda, which is not installed there; what comes in, and what goes out, is a
line of JSON each.

GPTQ: Frantar et al., "GPTQ", ICLR 2023. AWQ: Lin et al., "AWQ", MLSys 2024. Both leave the head as it is.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any


def main() -> None:
    """Reads {"model", "out", "method", "group", "rows"} from stdin; rows are token ids, all of one length.

    Prints a line {"what", "done", "total"} for each step, on what was stdout before libraries wrote there.
    """
    asked = json.loads(sys.stdin.read())
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(what: str, done: int, total: int) -> None:
        told.write(json.dumps({"what": what, "done": done, "total": total}) + "\n")
        told.flush()

    compress(asked, tell)


def compress(asked: dict[str, Any], tell: Callable[[str, int, int], None]) -> None:
    """Write the folder ``asked["out"]``."""
    import torch
    from datasets import Dataset
    from llmcompressor import oneshot
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tell("loading", 0, 1)
    # On a CPU float32 is the quickest; what is written is 4 bits and, of the rest, the folder's own precision.
    cpu = not torch.cuda.is_available()
    model = AutoModelForCausalLM.from_pretrained(asked["model"], dtype=torch.float32 if cpu else "auto")
    stored = asked["stored"]
    tokenizer = AutoTokenizer.from_pretrained(asked["model"])
    if cpu:
        _no_pinning()
    rows = {"input_ids": asked["rows"], "attention_mask": [[1] * len(row) for row in asked["rows"]]}
    _count_layers(model, tell)
    oneshot(
        model=model,
        dataset=Dataset.from_dict(rows),
        recipe=_recipe(asked["method"], asked["group"]),
        num_calibration_samples=len(asked["rows"]),
        max_seq_length=len(asked["rows"][0]),
        shuffle_calibration_samples=False,
    )
    tell("writing", 0, 1)
    model.to(getattr(torch, stored))
    model.save_pretrained(asked["out"], save_compressed=True)
    tokenizer.save_pretrained(asked["out"])
    tell("writing", 1, 1)


def _recipe(method: str, group: int) -> list[Any]:
    """W4A16: weights of 4 bits, symmetric for GPTQ as its kernels want it, with a scale for each group."""
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    weights = QuantizationArgs(num_bits=4, type="int", strategy="group", group_size=group, symmetric=method == "gptq")
    groups = {"group_0": QuantizationScheme(targets=["Linear"], weights=weights)}
    if method == "gptq":
        from llmcompressor.modifiers.gptq import GPTQModifier

        return [GPTQModifier(config_groups=groups, ignore=["lm_head"])]
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier

    return [AWQModifier(), QuantizationModifier(config_groups=groups, ignore=["lm_head"])]


def _no_pinning() -> None:
    """llmcompressor 0.14 pins memory for a graphics card without asking whether there is one."""
    from llmcompressor.pipelines.cache import IntermediatesCache

    IntermediatesCache.pin_memory = lambda *_, **__: None


def _count_layers(model: Any, tell: Callable[[str, int, int], None]) -> None:  # noqa: ANN401  transformers' model
    """Tell how far it is: layers are gone through one after another."""
    layers, reached = model.model.layers, [-1]

    def entered(n: int) -> None:
        if n > reached[0]:
            reached[0] = n
            tell("learning and packing", n, len(layers))

    for n, layer in enumerate(layers):
        layer.register_forward_pre_hook(lambda *_, n=n: entered(n))


if __name__ == "__main__":
    main()
