"""Writing on a machine that other programs use too: tokens a second, by how long threads spin for one another.

python benchmarks/busy.py [--model smollm2-135m] [--rounds 3]

Beside it run as many programs that only count as the machine has cores, or half of them, or none. `default` is GNU
OpenMP's own choice, `damda` that of `damda.spinning`, `passive` sleeps at once. Each measurement is a process of its
own that writes for six seconds, or 150 tokens.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import machine

from damda import spinning, weights
from damda.generate.engine import cores
from damda.generate.native import Native

SECONDS, TOKENS, READ = 6.0, 150, 64
SAID = {
    "default": {"GOMP_SPINCOUNT": "300000"},
    "damda": {"GOMP_SPINCOUNT": spinning.TURNS},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}
COUNTS = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: sum(range(9999))"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--model", default="smollm2-135m", help="a name that `damda models` knows, or a .gguf")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    path = Path(weights.gguf(given.model))
    if given.write:
        print(written(path))
        return
    rows = []
    for others in sorted({0, max(1, cores() // 2), cores()}):
        speeds: dict[str, list[float]] = {name: [] for name in SAID}
        for _ in range(given.rounds):
            for name, said in SAID.items():
                speeds[name].append(beside(others, given.model, said))
        row = {"others": others, **{name: round(statistics.median(found), 1) for name, found in speeds.items()}}
        print(row, flush=True)
        rows.append(row)
    machine.save("busy", {"model": path.stem, "threads": cores(), "turns": spinning.TURNS, "rows": rows})


def beside(others: int, model: str, said: dict[str, str]) -> float:
    """Tokens a second of a process of its own beside others."""
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    busy = [subprocess.Popen([sys.executable, "-c", COUNTS]) for _ in range(others)]
    try:
        words = [sys.executable, __file__, "--model", model, "--write"]
        done = subprocess.run(words, env={**kept, **said}, capture_output=True, text=True, check=True)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    return float(done.stdout)


def written(path: Path) -> float:
    """Tokens a second that are written here."""
    model = Native(path, context=READ + TOKENS + 2)
    tokens = (model.tokens("The library opens at nine and closes at six. ") * 30)[: READ + TOKENS]
    model.read(tokens[:READ], [False] * READ)
    model.step(tokens[:1], READ)
    model.logits(0)
    begun, count = time.perf_counter(), 0
    while count < TOKENS and time.perf_counter() - begun < SECONDS:
        count += 1
        model.step(tokens[count : count + 1], READ + count)
        model.logits(0)
    return count / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
