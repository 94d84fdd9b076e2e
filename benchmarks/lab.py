"""Every representation in one table: `damda lab encoders` with the figures kept.

python benchmarks/lab.py DATASET --sts PAIRS [--sts PAIRS] [--sample N]

DATASET: a folder in BEIR layout. PAIRS: scored pairs of sentences. Figures of single questions are left out of the
result file.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import machine

LAB = "from damda.cli import main; main()"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("dataset", type=Path)
    arguments.add_argument("--sts", type=Path, action="append", default=[])
    arguments.add_argument("--sample", type=int, default=200)
    given = arguments.parse_args()
    pairs = [word for path in given.sts for word in ("--sts", str(path))]
    command = [sys.executable, "-c", LAB, "lab", "encoders", str(given.dataset), "--sample", str(given.sample), *pairs]
    done = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, text=True, check=True)
    result = json.loads(done.stdout)
    for row in result["rows"]:
        del row["values"]
        print(f"{row['name']:<10}" + "  ".join(f"{metric} {value:.3f}" for metric, value in row["metrics"].items()))
    machine.save(f"lab-{given.dataset.name}", result)


if __name__ == "__main__":
    main()
