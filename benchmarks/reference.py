"""Engines held against the reference: greedy text of twenty prompts, 32 tokens each, on the same weights.

python benchmarks/reference.py GGUF FOLDER

FOLDER is a model of transformers in 16 bits, GGUF the same as F16 (`damda compress ... --method gguf:F16`).
transformers computes in 32 bits; a text counts as the same up to the first character that differs.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine

from damda.answer.direct import Writer
from damda.assemble.benching import QUESTIONS
from damda.errors import DamdaError
from damda.generate.llama import Llama
from damda.generate.openvino import Openvino
from damda.generate.transformer import Transformer
from damda.settings import LlamaSettings, OpenvinoSettings, TransformersSettings
from damda.types import Message

MORE = (
    "Write one sentence about the sea.",
    "List three fruits.",
    "Translate 'good morning' into French.",
    "What comes after Tuesday?",
    "Explain rain to a child.",
    "How many legs has a spider?",
    "Give a short recipe for pancakes.",
    "Who wrote Hamlet?",
)
TOKENS, CONTEXT = 32, 1024


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("gguf", type=Path)
    arguments.add_argument("folder", type=Path)
    given = arguments.parse_args()
    asked = [*QUESTIONS, *MORE]
    usual = texts(Transformer(TransformersSettings(context=CONTEXT), folder=given.folder), asked)
    engines: dict[str, Callable[[], Writer]] = {
        "llama": lambda: Llama(LlamaSettings(context=CONTEXT), path=given.gguf),
        "llama, 8 slots": lambda: Llama(LlamaSettings(context=CONTEXT, slots=8), path=given.gguf),
        "llama, no flash attention": lambda: Llama(
            LlamaSettings(context=CONTEXT, flash_attention="off"), path=given.gguf
        ),
        "openvino": lambda: Openvino(OpenvinoSettings(context=CONTEXT), path=given.gguf),
    }
    rows: list[dict[str, Any]] = []
    for name, make in engines.items():
        try:
            found = texts(make(), asked)
        except DamdaError as error:
            rows.append({"engine": name, "error": str(error)})
            continue
        same = [_same(one, other) for one, other in zip(found, usual, strict=True)]
        whole = sum(n == len(text) for n, text in zip(same, usual, strict=True))
        rows.append({"engine": name, "same": whole, "of": len(asked), "characters": sum(same) / sum(map(len, usual))})
        print(rows[-1], flush=True)
    machine.save("reference", {"model": given.gguf.stem, "tokens": TOKENS, "rows": rows})


def texts(writer: Writer, asked: list[str]) -> list[str]:
    return [
        "".join(delta.text for delta in writer.stream([Message("user", question)], max_tokens=TOKENS))
        for question in asked
    ]


def _same(text: str, usual: str) -> int:
    """Characters before the first that differs."""
    return next((n for n, pair in enumerate(zip(text, usual, strict=False)) if pair[0] != pair[1]), len(usual))


if __name__ == "__main__":
    main()
