"""Start-up: `damda --help`, `import damda`, `damda ask` cold beside its slowest load, and through a service.

python benchmarks/start.py FOLDER [--repeats N]

FOLDER: documents; they are indexed first into a home that is thrown away. "Cold" is a new process with a warm file
cache. The loads (LanceDB's import, the morpheme dictionary, the encoder) are timed in processes of their own, in
turn with the whole. `ask_through_service` is the same command while `damda serve` runs on the same home.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import machine

QUESTION = "재택근무는 일주일에 며칠까지 할 수 있나요?"
ASK = "from damda.cli import main; main()"
LOADS = {
    "python_alone": "pass",
    "lancedb_import": "import lancedb",
    "morphemes": "from damda.korean import Morphemes; Morphemes().content(['시작'])",
    "encoder": (
        "from damda.assemble import models; from damda.settings import EncoderSettings;"
        "models.make_encoder(EncoderSettings(), offline=True).encode(['시작'], kind='query')"
    ),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--repeats", type=int, default=5)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as home:
        remembered = ["-c", ASK, "ask", str(given.folder), QUESTION, "--home", home]
        ask = [*remembered, "--no-cache", "--no-server"]
        _timed(ask)
        commands = {
            "help": ["-c", ASK, "--help"],
            "import_damda": ["-c", "import damda"],
            "ask": ask,
            "ask_remembered": [*remembered, "--no-server"],
            "status": ["-c", ASK, "status", str(given.folder), "--home", home],
        } | {name: ["-c", code] for name, code in LOADS.items()}
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(given.repeats):
            for name, command in commands.items():
                runs[name].append(_timed(command))
        with _service(given.folder, home):
            through = {"ask_through_service": [*remembered, "--no-cache"], "ask_remembered_through_service": remembered}
            for name, command in through.items():
                runs[name] = [_timed(command) for _ in range(given.repeats)]
    table = {name: {"wall_s": _median(times, 0), "cpu_s": _median(times, 1)} for name, times in runs.items()}
    slowest = max(("lancedb_import", "morphemes", "encoder"), key=lambda name: table[name]["wall_s"])
    ratio = statistics.median(a[0] / b[0] for a, b in zip(runs["ask"], runs[slowest], strict=True))
    result = {
        "repeats": given.repeats,
        "runs": table,
        "slowest_load": slowest,
        "ask_over_slowest_load": round(ratio, 2),
    }
    print(json.dumps(result, indent=1))
    machine.save("start", result)


@contextmanager
def _service(folder: Path, home: str) -> Iterator[None]:
    words = [sys.executable, "-c", ASK, "serve", str(folder), "--home", home, "--port", "0", "--quiet"]
    process = subprocess.Popen(words)
    try:
        while not (Path(home) / "serve.sock").exists() and process.poll() is None:
            time.sleep(0.1)
        subprocess.run(
            [sys.executable, "-c", ASK, "ask", str(folder), QUESTION, "--home", home], stdout=subprocess.DEVNULL
        )
        yield
    finally:
        process.terminate()
        process.wait(30)


def _timed(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a child process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True, env=os.environ)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _median(times: list[tuple[float, float]], which: int) -> float:
    return round(statistics.median(t[which] for t in times), 3)


if __name__ == "__main__":
    main()
