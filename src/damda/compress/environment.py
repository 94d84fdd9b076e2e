"""Environments of their own, for packages that want another transformers than damda does.

Knows: what is installed in each, where it lies, how the program in it is asked. Does not know: what the program does.
"""

import importlib.metadata
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from damda import weights
from damda.compress import apart, calibrated, exported
from damda.errors import ConfigError, WeightsError
from damda.types import Progress


@dataclass(frozen=True, slots=True)
class Environment:
    """One of them.

    Attributes:
        name: `damda compress setup NAME` makes it.
        package: that it is for, in the version that damda was written against.
        program: what runs in it; imports nothing of damda, which is not installed there.
        installs: what pip is asked for, call by call, once torch is there.
    """

    name: str
    package: str
    program: ModuleType
    installs: Sequence[Sequence[str]]

    @property
    def missing(self) -> str:
        """What to tell whoever needs it, behind the method's name."""
        return f"runs in an environment of its own: make it with `damda compress setup {self.name}`"

    def place(self) -> Path | None:
        """Its folder; None: `setup` was not run yet."""
        folder = weights.cache_folder() / self._folder
        return folder if folder.is_dir() else None

    def setup(self, torch: str, progress: Progress) -> Path:
        """Make the environment; done already: nothing. An interrupted one is begun anew.

        Args:
            torch: pip's requirement, installed by itself first: which build pip takes depends on how pip is set up.

        Raises:
            WeightsError: pip could not install something, or the disk is full.
        """
        calls = ((torch,), *self.installs)

        def make(folder: Path) -> None:
            progress("making an environment", 0, len(calls) + 1)
            venv.create(folder, with_pip=True, symlinks=sys.platform != "win32")
            for n, words in enumerate(calls):
                shown = next(word for word in words if not word.startswith("-"))
                progress(f"installing {shown}", n + 1, len(calls) + 1)
                command = [str(_python(folder)), "-m", "pip", "install", "--quiet", *words]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    reason = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
                    raise WeightsError(f"pip could not install {shown}: {reason}")
            progress("installed", len(calls) + 1, len(calls) + 1)

        return weights.cached(self._folder, make)

    def run(self, request: Mapping[str, Any], progress: Progress) -> None:
        """Ask the program there.

        Raises:
            ConfigError: the environment was not made yet.
            WeightsError: it failed; with the last line of its own words.
        """
        folder = self.place()
        if folder is None:
            raise ConfigError(f"this {self.missing}")
        try:
            apart.run([str(_python(folder)), "-P", str(Path(str(self.program.__file__)))], request, progress)
        except apart.Failed as error:
            package = self.package.partition("==")[0]
            raise WeightsError(f"{request['model']}: {package} failed: {error}") from error

    @property
    def _folder(self) -> str:
        return f"environments/{self.package}"


LEARNING = Environment("gptq", "llmcompressor==0.14.0.1", calibrated, (("llmcompressor==0.14.0.1",),))
"""For gptq and awq."""

EXPORTING = Environment(
    "openvino",
    "optimum-intel==2.2.0",
    exported,
    (
        ("transformers==4.57.6", "nncf==3.4.0", "openvino==2026.4.1", "openvino-tokenizers==2026.4.1.0"),
        # It asks for torchvision, which is for images, and whose build for graphics cards brings their torch along.
        ("--no-deps", "optimum-intel==2.2.0", "optimum==2.3.0"),
    ),
)
"""For openvino:...; the last transformers that it reads every architecture with."""

ALL: Mapping[str, Environment] = {made.name: made for made in (LEARNING, EXPORTING)}


def of(kind: str) -> Environment | None:
    """That a method runs in; None: in damda's own."""
    return {"gptq": LEARNING, "awq": LEARNING, "openvino": EXPORTING}.get(kind)


def default_torch() -> str:
    """What pip is asked for: the version that is installed here, so that a build for CPUs stays one."""
    try:
        return f"torch=={importlib.metadata.version('torch').partition('+')[0]}"
    except importlib.metadata.PackageNotFoundError:
        return "torch"


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
