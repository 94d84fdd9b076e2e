"""What `damda plan` says of this machine, held against llama.cpp: tokens a second of 1 to 8 requests, and of prompts.

python benchmarks/plan.py MODEL...

MODELs are names that `damda models` knows, or .gguf files. Let the machine rest meanwhile.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import machine

from damda import weights
from damda.compress import roofline
from damda.compress.machine import measured
from damda.compress.shape import shape
from damda.generate.native import Native

BATCHES = (1, 2, 4, 8)
READ, SPOKEN, RUNS = 64, 24, 9
"""Tokens of each request's prompt; tokens that are written behind it; times."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("models", nargs="+")
    rows = [row for model in arguments.parse_args().models for row in compared(Path(weights.gguf(model)))]
    for row in rows:
        print(f"{row['model']:28} {row['what']:10} {row['predicted']:8.1f} {row['measured']:8.1f} {row['ratio']:5.2f}")
    machine.save("plan", {"rows": rows, "worst": max(max(row["ratio"], 1 / row["ratio"]) for row in rows)})


def compared(path: Path) -> list[dict[str, Any]]:
    """Rows of what was predicted, what was measured, and their ratio."""
    of = shape(path)
    one = roofline.load(of, 2 * (READ + SPOKEN // 2))  # half of it is what a step has before it on average
    device = measured(of)
    found = [("prompt", roofline.prefill(roofline.load(of, 512), device), prompt(path))]
    found += [(f"batch {n}", roofline.decode(one, device, n), decode(path, n)) for n in BATCHES]
    return [
        {"model": path.stem, "what": what, "predicted": said, "measured": got, "ratio": said / got}
        for what, said, got in found
    ]


def prompt(path: Path) -> float:
    model = Native(path, context=512)
    tokens = (model.tokens("The library opens at nine and closes at six. ") * 60)[:512]
    taken = []
    for _ in range(RUNS + 1):
        model.forget()
        begun = time.perf_counter()
        model.read(tokens, [n == 511 for n in range(512)])
        model.logits(511)
        taken.append(time.perf_counter() - begun)
    model.close()
    return 512 / statistics.median(taken[1:])


def decode(path: Path, batch: int) -> float:
    """Tokens a second of all requests together."""
    model = Native(path, context=256, requests=batch)
    tokens = (model.tokens("The library opens at nine and closes at six. ") * 10)[:READ]
    taken = []
    for _ in range(RUNS):
        model.forget()
        for request in range(batch):
            model.read(tokens, [False] * READ, request=request)
        model.step(tokens[:1] * batch, READ)  # waits for what is still under way
        model.logits(0)
        begun = time.perf_counter()
        for n in range(1, SPOKEN + 1):
            model.step(tokens[n : n + 1] * batch, READ + n)
            model.logits(0)
        taken.append(time.perf_counter() - begun)
    model.close()
    return batch * SPOKEN / statistics.median(taken)


if __name__ == "__main__":
    main()
