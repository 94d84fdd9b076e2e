"""What each serving technique is worth here: `damda bench`, its figures kept.

python benchmarks/bench.py MODEL DATA [--draft MODEL]

DATA has en_xquad, in BEIR layout: its passages are read, its questions asked. Let the machine rest meanwhile.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import machine


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("model", help="as `damda bench` takes it")
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--draft", default="")
    given = arguments.parse_args()
    asked = given.data / "en_xquad"
    words = ["bench", str(asked / "corpus.jsonl"), "--model", given.model, "--questions", str(asked), "--minutes", "60"]
    words += ["--draft", given.draft] if given.draft else []
    program = "from damda.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *words, "--json"], stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout)
    machine.save(f"bench-{found['measured']['model']}", found)


if __name__ == "__main__":
    main()
