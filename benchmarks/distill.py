"""A small model that learns to read, and what it can do beside what it was: `damda distill`, its figures kept.

python benchmarks/distill.py DATA --work FOLDER
python benchmarks/distill.py DATA --work FOLDER --name layers -- --by logits --teacher FOLDER/gemma3-270m-reader

DATA has ko_qa, in BEIR layout. FOLDER keeps the reader, and what it has not learnt from as a data set; a run that was
interrupted goes on there. What stands behind ``--`` is handed to the command.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import machine

STUDENT = "gemma3-270m"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("data", type=Path, help="the folder with ko_qa")
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--student", default=STUDENT, help="as `damda distill` takes it")
    arguments.add_argument("--name", default="", help="of the result, behind the student's")
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)  # argparse takes none behind options
    given, more = arguments.parse_args(sys.argv[1:at]), sys.argv[at + 1 :]
    given.work.mkdir(parents=True, exist_ok=True)
    name = "-".join(filter(None, (Path(given.student).stem, given.name)))
    out, unseen = given.work / f"{name}-reader", given.work / "unseen"
    words = ["distill", str(given.data / "ko_qa"), "--student", given.student, "--out", str(out)]
    words += ["--held-out", str(unseen), "--licence", "CC-BY-SA-4.0", *more, "--json"]
    program = "from damda.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *words], stdout=subprocess.PIPE, check=True)
    made = json.loads(done.stdout)
    shown = ("parents", "data", "settings", "metrics", "seconds", "damda")
    said = " ".join(["damda", *(Path(word).name if Path(word).is_absolute() else word for word in words)])
    machine.save(f"distill-{name}", {"distill": said, **{name: made[name] for name in shown}})


if __name__ == "__main__":
    main()
