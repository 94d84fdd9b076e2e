"""The ways to make a model lighter, by name, and what each takes before it begins.

Knows: names, packages, and how memory and disk grow with a model. Does not know: how any of them works.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from damda import runtime
from damda.compress import ggml, memory
from damda.compress.quantise import FLOATS, MIXES
from damda.compress.shape import Shape
from damda.errors import ConfigError, MissingExtra

FOLDERS = ("f16", "int8", "nf4", "gptq", "awq")
"""What becomes a folder of transformers."""

CALIBRATED: Mapping[str, int] = {"gptq": 64, "awq": 16}
"""What wants texts to learn from, and how many rows of them if nobody says: AWQ reads each more than a hundred times,
trying scales."""

METHODS = (*FOLDERS, *(f"gguf:{mix}" for mix in (*FLOATS, *MIXES)), *memory.OPENVINO)

_PACKAGES = {
    "f16": ("torch", "transformers"),
    "int8": ("torch", "transformers", "accelerate", "bitsandbytes"),
    "nf4": ("torch", "transformers", "accelerate", "bitsandbytes"),
    "gptq": ("torch", "transformers", "compressed_tensors"),
    "awq": ("torch", "transformers", "compressed_tensors"),
    "gguf": ("torch", "transformers", "sentencepiece", "gguf"),
    "openvino": ("torch", "transformers"),
}

_LIBRARIES = 0.7e9
"""Bytes of memory that torch and transformers take before a model is there."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What making it takes, in bytes: of memory at most, of disk while it is made, and of the result."""

    memory: float
    disk: float
    size: float


def known(method: str) -> str:
    """The method's kind: "gguf", or its name.

    Raises:
        ConfigError: it is none.
        MissingExtra: what does it is not installed.
    """
    if method not in METHODS:
        raise ConfigError(f"{method!r} is no method: give one of {', '.join(METHODS)}")
    kind = method.partition(":")[0]
    if any(find_spec(package) is None for package in _PACKAGES[kind]) or (kind == "gguf" and not ggml.library()):
        raise MissingExtra(f"--method {method}", "compress")
    return kind


def estimate(of: Shape, source: Path, method: str) -> Estimate:
    """Before anything is loaded.

    Args:
        source: a GGUF file, or a folder.
    """
    kind, mix = method.partition(":")[::2]
    count, size = of.counts.all, memory.weights(of, method)
    if kind == "gguf":
        passing = source.is_dir() and mix not in FLOATS  # a GGUF of floats
    else:
        passing = source.is_file() and kind != "f16"  # a folder in 16 bits
    between = 2 * count if passing else 0
    if kind == "gguf":
        widest = max(of.counts.table, of.counts.head) * 4
        taken = (_LIBRARIES if source.is_dir() else 0.3e9) + 2 * widest
    else:
        apart = 4 * count + 1e9  # a second copy, and what is computed with it
        taken = _LIBRARIES + 4 * count + (apart if kind in CALIBRATED or kind == "openvino" else size)
    return Estimate(taken, size + between, size)


def check_room(needed: Estimate, out: Path) -> None:
    """Find out before minutes of work whether it fits.

    Raises:
        ConfigError: this machine has too little memory, or the disk too little room.
    """
    has = runtime.memory()
    if has is not None and needed.memory > has:
        raise ConfigError(
            f"this takes {needed.memory / 1e9:.1f} GB of memory, and this machine has {has / 1e9:.1f}: make it "
            "on a larger one, the result runs here"
        )
    free = shutil.disk_usage(out.parent).free
    if needed.disk > free:
        raise ConfigError(
            f"this takes {needed.disk / 1e9:.1f} GB of disk, and {out.parent} has {free / 1e9:.1f} left: make room, or "
            "give another place by --out"
        )


def group_size(widths: Sequence[int], wanted: int = 128) -> int:
    """Weights that share a scale: the largest of 128, 64 and 32 that divides every matrix's width.

    Raises:
        ConfigError: none does, or the one that is wanted doesn't.
    """
    for size in (wanted, 64, 32) if wanted == 128 else (wanted,):
        if all(width % size == 0 for width in widths):
            return size
    shown = ", ".join(map(str, sorted(set(widths))))
    raise ConfigError(f"no group of {wanted} weights divides the model's widths ({shown}): give another by --group")
