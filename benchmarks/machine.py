"""What every result file says of the run that made it: command, hardware, versions."""

import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("damda", "lancedb", "kiwipiepy", "onnxruntime", "tokenizers", "numpy")


def describe() -> dict[str, Any]:
    """Hardware and versions, without names of users, hosts or folders."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "memory_gib": round(memory, 1),
        "load_average_at_end": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
    }


def save(name: str, result: dict[str, Any]) -> None:
    """Write ``results/NAME.json`` with the command and the machine, and print where it went."""
    words = [f".../{Path(word).name}" if os.sep in word else word for word in sys.argv[1:]]
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{name}.json"
    whole = {"command": command, "date": time.strftime("%Y-%m-%d"), "machine": describe(), **result}
    target.write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"written to benchmarks/results/{target.name}")
