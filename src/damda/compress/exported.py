"""OpenVINO's form of a model, run as a program of its own by the Python that ``damda compress setup openvino`` made.

Knows: optimum-intel's calls, and how a folder of transformers 5 is told to the transformers 4 that it wants. Does not
know: damda, which is not installed there; what comes in, and what goes out, is a line of JSON each.

8 bits: a scale and a zero point for each row of a matrix, the word table's too. 4 bits: for each group of a row, and 8
bits for the word table (NNCF's weight compression, without data).
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    """Reads {"model", "out", "work", "form", "group"} from stdin.

    Prints a line {"what", "done", "total"} for each step, on what was stdout before libraries wrote there.
    """
    asked = json.loads(sys.stdin.read())
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(what: str, done: int) -> None:
        told.write(json.dumps({"what": what, "done": done, "total": 3}) + "\n")
        told.flush()

    export(asked, tell)


def export(asked: dict[str, Any], tell: Callable[[str, int], None]) -> None:
    """Fill the folder ``asked["out"]``."""
    tell("loading", 0)
    from optimum.exporters.openvino.convert import export_tokenizer
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig
    from transformers import AutoTokenizer

    source = Path(asked["work"]) / "of transformers 4"
    retold(Path(asked["model"]), source)
    form, packed = asked["form"], None
    if form == "int8":
        packed = OVWeightQuantizationConfig(bits=8)
    elif form == "int4":
        packed = OVWeightQuantizationConfig(bits=4, sym=False, group_size=asked["group"], ratio=1.0)
    tell("tracing and packing", 1)
    model = OVModelForCausalLM.from_pretrained(
        str(source),
        export=True,
        compile=False,
        load_in_8bit=False if packed is None else None,  # None: of large models, 8 bits are made unasked
        quantization_config=packed,
    )
    tell("writing", 2)
    model.save_pretrained(asked["out"])
    tokenizer = AutoTokenizer.from_pretrained(str(source))
    tokenizer.save_pretrained(asked["out"])
    export_tokenizer(tokenizer, asked["out"])
    tell("writing", 3)


def retold(folder: Path, out: Path) -> None:
    """A folder of transformers 5, as transformers 4 reads it; what is large is linked.

    Transformers 4 ignores what it has no name for: with ``rope_parameters`` alone it would take other positions than
    the model was trained with, and say nothing.
    """
    out.mkdir()
    changed: dict[str, Callable[[dict[str, Any]], None]] = {
        "config.json": _config,
        "tokenizer_config.json": _tokenizer,
    }
    for file in folder.iterdir():
        if file.name not in changed:
            _link(file, out / file.name)
            continue
        about = json.loads(file.read_text(encoding="utf-8"))
        changed[file.name](about)
        (out / file.name).write_text(json.dumps(about), encoding="utf-8")


def _config(config: dict[str, Any]) -> None:
    if "dtype" in config:
        config["torch_dtype"] = config.pop("dtype")
    config["use_cache"] = True  # some trainings leave it off
    rope = config.pop("rope_parameters", None)
    if not rope:
        return
    whole = rope.get("full_attention", rope)
    config["rope_theta"] = whole["rope_theta"]
    if whole.get("rope_type", "default") != "default":
        config["rope_scaling"] = {key: value for key, value in whole.items() if key != "rope_theta"}
    if "sliding_attention" in rope:
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]


def _tokenizer(config: dict[str, Any]) -> None:
    if config.get("tokenizer_class") == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"


def _link(file: Path, out: Path) -> None:
    try:
        os.symlink(file.absolute(), out)
    except OSError:  # Windows lets few do it
        import shutil

        shutil.copyfile(file, out)


if __name__ == "__main__":
    main()
