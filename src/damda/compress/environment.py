"""An environment of its own for llmcompressor, which wants another transformers than damda does.

Knows: how the environment is made, where it lies, how the program in it is asked. Does not know: what is learnt there.
"""

import importlib.metadata
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from damda import weights
from damda.compress import apart, calibrated
from damda.errors import ConfigError, WeightsError
from damda.types import Progress

PACKAGE = "llmcompressor==0.14.0.1"
MISSING = "runs in an environment of its own: make it with `damda compress setup`"
_NAME = f"environments/{PACKAGE}"


def place() -> Path | None:
    """Its folder; None: `setup` was not run yet."""
    folder = weights.cache_folder() / _NAME
    return folder if folder.is_dir() else None


def default_torch() -> str:
    """What pip is asked for: the version that is installed here, so that a build for CPUs stays one."""
    try:
        return f"torch=={importlib.metadata.version('torch').partition('+')[0]}"
    except importlib.metadata.PackageNotFoundError:
        return "torch"


def setup(torch: str, progress: Progress) -> Path:
    """Make the environment; done already: nothing. An interrupted one is begun anew.

    Args:
        torch: pip's requirement, installed by itself first: which build pip takes depends on how pip is set up.

    Raises:
        WeightsError: pip could not install something, or the disk is full.
    """

    def make(folder: Path) -> None:
        progress("making an environment", 0, 3)
        venv.create(folder, with_pip=True, symlinks=sys.platform != "win32")
        for n, package in enumerate((torch, PACKAGE)):
            progress(f"installing {package}", n + 1, 3)
            command = [str(_python(folder)), "-m", "pip", "install", "--quiet", package]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
                raise WeightsError(f"pip could not install {package}: {reason}")
        progress("installed", 3, 3)

    return weights.cached(_NAME, make)


def run(request: Mapping[str, Any], progress: Progress) -> None:
    """Ask `calibrated` there.

    Raises:
        ConfigError: the environment was not made yet.
        WeightsError: it failed; with the last line of its own words.
    """
    folder = place()
    if folder is None:
        raise ConfigError(f"this {MISSING}")
    try:
        apart.run([str(_python(folder)), "-P", str(Path(calibrated.__file__))], request, progress)
    except apart.Failed as error:
        raise WeightsError(f"{request['model']}: llmcompressor failed: {error}") from error


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
