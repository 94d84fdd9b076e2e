"""What tuning gains: the commands of `damda tune` on the shared data, their figures kept.

python benchmarks/tune.py sts DATA --home HOME
python benchmarks/tune.py gemma DATA --home HOME
python benchmarks/tune.py encoder DATA --home HOME
python benchmarks/tune.py light DATA --home HOME
python benchmarks/tune.py fusion DATA --home HOME
python benchmarks/tune.py reranker DATA --home HOME
python benchmarks/tune.py compare DATA --home HOME
python benchmarks/tune.py examples DATA --home HOME

`gemma` is `damda tune sts` from a raw language model, `light` is `damda tune encoder` by the two methods that change
little of the model. `examples` compares on the example documents: what was tuned on them, if there is a home in which
that was done (HOME/examples), else what was tuned on ko_qa, which has never seen them.

DATA has the folders ko_sts, ko_nli and ko_qa. HOME keeps the index, what is trained and what is adopted: a command
that was interrupted goes on there, and a later one starts from what an earlier one has adopted. What stands behind
``--`` is handed to the command: ``-- --method full,lora,adapter``.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import machine

from damda.assemble.three import newest

STEPS = ("sts", "gemma", "encoder", "light", "fusion", "reranker", "compare", "examples")
EXAMPLES = Path(__file__).parents[1] / "examples"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("step", choices=STEPS)
    arguments.add_argument("data", type=Path, help="the folder with ko_sts, ko_nli and ko_qa")
    arguments.add_argument("--home", type=Path, required=True)
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)  # argparse takes none behind options
    given, more = arguments.parse_args(sys.argv[1:at]), sys.argv[at + 1 :]
    command = {"examples": "compare", "gemma": "sts", "light": "encoder"}.get(given.step, given.step)
    words = ["tune", command, *options(given.step, given.data, given.home), *more]
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", "from damda.cli import main; main()", *words, "--json"],
        stdout=subprocess.PIPE,
        check=True,
    )
    result: dict[str, Any] = {
        "tune": " ".join(["damda", *(Path(word).name if Path(word).is_absolute() else word for word in words)]),
        "minutes": round((time.perf_counter() - begun) / 60, 1),
        "result": shortened(json.loads(done.stdout), given.home),
    }
    print(json.dumps(result, indent=1, ensure_ascii=False))
    machine.save(f"tune-{given.step}", result)


def options(step: str, data: Path, home: Path) -> list[str]:
    """Of one command."""
    if step == "examples":
        own = (home / "examples" / "artifacts").is_dir()
        of = home / "examples" if own else home
        tuned, cross = (newest(of, kind) for kind in ("encoder", "reranker"))
        words = [str(EXAMPLES / "documents"), "--questions", str(EXAMPLES / "questions.jsonl"), "--synthesise", "400"]
        words += [] if own else ["--all"]  # else only what is held out: they were tuned on the others
        return [*words, "--home", str(home / "examples"), "--encoder", str(tuned), "--reranker", str(cross)]
    if step not in ("sts", "gemma"):
        methods = ["--method", "lora,adapter"] if step == "light" else []
        return [str(data / "ko_qa"), "--home", str(home), *methods]
    sts, nli = data / "ko_sts", data / "ko_nli"
    words = [str(sts / "korsts_train.jsonl"), str(sts / "korsts_dev.jsonl"), "--licence", "CC-BY-SA-4.0"]
    for name in ("klue_sts_dev", "korsts_test"):
        words += ["--test", str(sts / f"{name}.jsonl")]
    if step == "gemma":
        words += ["--model", "gemma3-270m", "--pooling", "mean", "--epochs", "0.5", "--rate", "1e-4", "--batch", "16"]
        return [*words, "--out", str(home / "gemma")]
    for name in ("klue_nli_dev", "xnli_dev", "xnli_test"):
        words += ["--nli", str(nli / f"{name}.jsonl")]
    return [*words, "--retrieval", str(data / "ko_qa"), "--out", str(home / "sts")]


def shortened(result: Any, home: Path) -> Any:  # noqa: ANN401  JSON
    """Without what can be made again, and without this machine's folders."""
    if isinstance(result, dict):
        gone = ("command", "files", "doubtful", "per_question", "worst")
        return {key: shortened(value, home) for key, value in result.items() if key not in gone}
    if isinstance(result, list):
        return [shortened(value, home) for value in result]
    return result.replace(f"{home.resolve()}/", "") if isinstance(result, str) else result


if __name__ == "__main__":
    main()
