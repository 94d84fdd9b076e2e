"""What each way to make a model lighter gains and costs: made by `damda compress`, measured by its report.

python benchmarks/compress.py smollm2-135m DATA --work FOLDER
python benchmarks/compress.py gemma3-270m DATA --work FOLDER --questions ko_qa

DATA has ko_qa and en_xquad, in BEIR layout. FOLDER keeps what is made: what is there already is not made again. gptq,
awq and openvino want `damda compress setup` first, and are left out, with a word, where it was not run. Each model also
answers two questions about the example documents, by `damda ask`. Let the machine rest meanwhile: speeds are measured.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import machine

from damda.compress import environment
from damda.compress.memory import OPENVINO
from damda.compress.methods import CALIBRATED

ROOT = Path(__file__).parent.parent

ASKED = (
    "How long before a trip to a restricted country do I have to borrow a travel laptop?",
    "재택근무는 일주일에 며칠까지 할 수 있나요?",
)
"""Of the example documents: three working days; up to three days."""

METHODS = (
    "gguf:F16",
    "gguf:Q8_0",
    "gguf:Q6_K",
    "gguf:Q5_K_M",
    "gguf:Q4_K_M",
    "gguf:Q4_0",
    "int8",
    "nf4",
    "gptq",
    "awq",
    *OPENVINO,
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("model", help="as `damda compress` takes it")
    arguments.add_argument("data", type=Path, help="the folder with ko_qa and en_xquad")
    arguments.add_argument("--work", type=Path, required=True, help="where models are made")
    arguments.add_argument("--methods", nargs="*", default=METHODS)
    arguments.add_argument("--questions", default="en_xquad", help="the data set of DATA that is read from")
    arguments.add_argument("--count", type=int, default=20)
    arguments.add_argument("--windows", type=int, default=8)
    given = arguments.parse_args()
    name = Path(given.model).stem
    given.work.mkdir(parents=True, exist_ok=True)
    first = given.work / f"{name}-f16"
    make(given.model, "f16", first, given.data)
    made = [first]
    for method in given.methods:
        needed = environment.of(method.partition(":")[0])
        if needed and needed.place() is None:
            print(f"{method} is left out: run `damda compress setup {needed.name}` first", file=sys.stderr)
            continue
        made.append(given.work / f"{name}-{method.removeprefix('gguf:').replace(':', '-')}")
        make(str(first), method, made[-1], given.data)
    words = ["compress", "report", *map(str, made), "--windows", str(given.windows), "--count", str(given.count)]
    words += ["--questions", str(given.data / given.questions)]
    for language, corpus in (("ko", "ko_qa"), ("en", "en_xquad")):
        words += ["--text", f"{language}={given.data / corpus / 'corpus.jsonl'}"]
    result = damda([*words, "--report", str(given.work / f"{name}.html"), "--json"])
    del result["machine"]  # `machine.save` says more of it
    for row in result["rows"]:
        path = Path(row.pop("path"))
        row["asked"] = [asked(path, question) for question in ASKED]
    machine.save(f"compress-{name}", result)


def make(model: str, method: str, out: Path, data: Path) -> None:
    if not out.exists():
        calibrate = ["--calibrate", str(data / "ko_qa" / "corpus.jsonl")] if method in CALIBRATED else []
        damda(["compress", "make", model, "--method", method, "--out", str(out), *calibrate, "--json"])


def asked(model: Path, question: str) -> dict[str, Any]:
    """What a model says to a question about the example documents."""
    generator = "llama" if model.suffix == ".gguf" or list(model.glob("*.gguf")) else "transformers"
    generator = "openvino" if (model / "openvino_model.xml").is_file() else generator
    words = ["ask", str(ROOT / "examples" / "documents"), question, "--generator", generator, "--no-cache", "--json"]
    settings = [f"{generator}.model={model}", "answer.passages=1", "answer.max_tokens=48"]
    said = damda([*words, *(word for setting in settings for word in ("--set", setting))])
    return {"question": question, "text": said["text"], "found": said["found"]}


def damda(words: list[str]) -> Any:  # noqa: ANN401  JSON
    program = "from damda.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *words], stdout=subprocess.PIPE, check=False)
    if done.returncode not in (0, 3):  # 3: answered that nothing was found
        raise SystemExit(done.returncode)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
