"""A model on a graphics card, as planned -> the command that serves it there with vLLM.

Knows: vLLM's options. Does not know: how plans are made; vLLM is not run here.
"""

import json
import shlex
from dataclasses import replace

from damda.compress import roofline
from damda.compress.roofline import RESERVED, Device, Load

_TOGETHER = (1, 2, 4, 8)
"""Cards that one model is spread over: vLLM splits heads evenly."""

_GUESSED = 4
"""Tokens that are guessed ahead, from what stands in the prompt: answers quote their passages."""

_QUANTISED = {"": [], "f16": [], "w4a16": [], "nf4": ["--quantization", "bitsandbytes"]}
"""Form of the weights -> what has to be said; of folders that are packed already vLLM reads how."""

_CACHED = {"f16": [], "fp8": ["--kv-cache-dtype", "fp8"]}


def cards(one: Load, device: Device) -> tuple[int, Device] | None:
    """How many of these cards the model takes with one request at least, and what they are together; None: eight don't
    do, or its heads can't be split so."""
    for count in _TOGETHER:
        together = replace(
            device,
            name=device.name if count == 1 else f"{count} x {device.name}",
            memory=count * device.memory,
            bandwidth=count * device.bandwidth,
            flops=count * device.flops,
        )
        if one.shape.heads % count == 0 and roofline.fits(one, together):
            return count, together
    return None


def command(model: str, one: Load, device: Device, method: str) -> str:
    """A line for a shell; "" where vLLM has no such form of weights or cache, or the cards' memory is too small.

    Guessing ahead is asked for where arithmetic is left over: the best batch times the tokens of a guess stays below
    the batch from which on it counts.

    Args:
        model: a folder, or a name on the model hub.
    """
    found = cards(one, device)
    if found is None or method not in _QUANTISED or one.cached not in _CACHED:
        return ""
    count, together = found
    best = roofline.best(one, together)
    words = ["vllm", "serve", model, "--max-model-len", f"{one.context}", "--max-num-seqs", f"{best}"]
    words += ["--gpu-memory-utilization", f"{RESERVED:g}", "--enable-prefix-caching"]
    words += [*_QUANTISED[method], *_CACHED[one.cached]]
    if count > 1:
        words += ["--tensor-parallel-size", f"{count}"]
    turn, why = roofline.turns(one, together)
    if why == "caches" or best * _GUESSED <= turn:
        guess = {"method": "ngram", "num_speculative_tokens": _GUESSED, "prompt_lookup_max": _GUESSED}
        words += ["--speculative-config", json.dumps(guess)]
    return shlex.join(words)
