"""A model and what was made of it, side by side: what was gained, what it cost, which one to take.

Knows: which figures there are, which of two models is better. Does not know: how a model is measured (``measured``).
"""

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from damda import manifest
from damda.compress import apart
from damda.errors import ConfigError, GeneratorError, WeightsError
from damda.types import Progress
from damda.unfinished import Unfinished


@dataclass(frozen=True, slots=True)
class Asked:
    """What all of them are measured with.

    Attributes:
        texts: name -> text.
        windows: of each text, at most.
        reading: rows as in `measured.measure`.
        most: tokens of an answer.
    """

    texts: Mapping[str, str]
    windows: int = 8
    reading: Sequence[Mapping[str, Any]] = ()
    most: int = 48


@dataclass(frozen=True, slots=True)
class Row:
    """One model.

    Attributes:
        method: "" for the first one, which the others are held against, unless it has a manifest.
        size: bytes of the weights on disk.
        made: seconds that making it took; None: unknown.
        memory: bytes that the process holds once the model is loaded and has read.
        prefill, decode: tokens a second.
        perplexity, bits: by text; bits are bits a byte.
        loss: mean rise of bits a byte over the first row's, in percent.
        reading: figures by name, empty where no questions were given.
    """

    name: str
    path: str
    method: str
    size: int
    made: float | None
    memory: int
    load_seconds: float
    prefill: float
    decode: float
    perplexity: Mapping[str, float]
    bits: Mapping[str, float]
    loss: float
    reading: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """All of them.

    Attributes:
        windows, tokens: by text: how many windows were read, how many tokens counted.
        chosen: name of the one to take; "": none was asked for, or none fits.
        why: in a sentence.
        machine: that it was measured on.
    """

    rows: Sequence[Row]
    windows: Mapping[str, int]
    tokens: Mapping[str, int]
    chosen: str = ""
    why: str = ""
    machine: str = ""


def weights_of(path: Path) -> Path:
    """What is loaded: a GGUF file, or a folder of transformers.

    Raises:
        ConfigError: it is neither.
    """
    if path.suffix == ".gguf" and path.is_file():
        return path
    files = sorted(path.glob("*.gguf")) if path.is_dir() else []
    if len(files) == 1:
        return files[0]
    if (path / "config.json").is_file():
        return path
    raise ConfigError(f"{path} is no model: give a .gguf file, a folder of transformers, or one that damda made")


def measured(path: Path, asked: Asked, progress: Progress) -> dict[str, Any]:
    """One model's figures, taken in a process of its own.

    Raises:
        GeneratorError: it does not load, or fails.
    """
    request = {"model": str(weights_of(path).absolute()), **_request(asked)}
    try:
        found = apart.run([sys.executable, "-P", "-m", "damda.compress.measured"], request, progress)
    except apart.Failed as error:
        raise GeneratorError(f"{path} can't be measured: {error}") from error
    assert isinstance(found, dict)
    return found


def _request(asked: Asked) -> dict[str, Any]:
    return {
        "texts": dict(asked.texts),
        "windows": asked.windows,
        "reading": list(asked.reading),
        "most": asked.most,
    }


def report(paths: Sequence[Path], asked: Asked, progress: Progress, machine: str = "") -> Report:
    """Measure all, one after another; the first one is what the others are held against.

    What was measured is kept until all are: a report that was stopped goes on with the next model when it is asked
    for again within a day.

    Raises:
        ConfigError, GeneratorError: as in `weights_of` and `measured`.
    """
    for path in paths:
        weights_of(path)
    kept = Unfinished({**_request(asked), "machine": machine})
    rows: list[Row] = []
    windows: dict[str, int] = {}
    tokens: dict[str, int] = {}
    for path in paths:

        def tell(what: str, done: int, total: int, name: str = path.name) -> None:
            progress(f"{name}: {what}", done, total)

        found = kept.get(_named(weights_of(path)))
        if found is None:
            found = measured(path, asked, tell)
            kept.add(_named(weights_of(path)), found)
        else:
            tell("measured before this run was begun again", 1, 1)
        windows |= {name: int(of["windows"]) for name, of in found["texts"].items()}
        tokens |= {name: int(of["tokens"]) for name, of in found["texts"].items()}
        rows.append(_row(path, found, rows[0].bits if rows else {}))
    kept.done()
    return Report(rows, windows, tokens, machine=machine)


def _files(weights: Path) -> list[Path]:
    """That hold the weights, of a file or folder."""
    if weights.is_file():
        return [weights]
    return sorted([*weights.glob("*.safetensors"), *weights.glob("openvino_model.bin")])


def _named(weights: Path) -> str:
    """A model's path, and what changes when its files do."""
    files = _files(weights)
    return json.dumps([str(weights.absolute()), *((file.stat().st_size, file.stat().st_mtime_ns) for file in files)])


def _row(path: Path, found: Mapping[str, Any], first: Mapping[str, float]) -> Row:
    weights = weights_of(path)
    bits = {name: of["bits_a_byte"] for name, of in found["texts"].items()}
    method, made = "", None
    folder = path if path.is_dir() else path.parent
    if manifest.described(folder):
        try:
            about = manifest.read(folder)
        except WeightsError as error:
            raise ConfigError(f"{path}: {error}") from error
        method, made = str(about.settings.get("method", "")), about.seconds
    return Row(
        path.stem if path.is_file() else path.name,
        str(path),
        method,
        sum(file.stat().st_size for file in _files(weights)),
        made,
        found["memory"],
        found["load_seconds"],
        found["prefill"],
        found["decode"],
        {name: of["perplexity"] for name, of in found["texts"].items()},
        bits,
        100 * statistics.mean(bits[name] / first[name] - 1 for name in first) if first else 0.0,
        found.get("reading", {}),
    )


def choose(rows: Sequence[Row], max_size: float | None, max_loss: float | None) -> tuple[str, str]:
    """(Name, why) of the one to take; ("", why) where none fits.

    Within ``max_size`` bytes the one that loses least is taken; within ``max_loss`` percent the smallest; with both,
    the smallest of those that keep to both.
    """
    fits = [
        row for row in rows if (max_size is None or row.size <= max_size) and (max_loss is None or row.loss <= max_loss)
    ]
    bounds = [f"at most {max_size / 1e6:,.0f} MB"] if max_size is not None else []
    bounds += [f"at most {max_loss:g} % more bits a byte"] if max_loss is not None else []
    if not fits:
        return "", f"none has {' and '.join(bounds)}"
    if max_loss is None:
        best = min(fits, key=lambda row: (row.loss, row.size))
        return best.name, f"loses least ({best.loss:+.1f} %) of the {len(fits)} with {bounds[0]}"
    best = min(fits, key=lambda row: (row.size, row.loss))
    return best.name, f"is the smallest ({best.size / 1e6:,.0f} MB) of the {len(fits)} with {' and '.join(bounds)}"


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Of points (what it costs, what is lost): whether no other one is at least as good in both and better in one."""
    return [not any(x <= a and y <= b and (x, y) != (a, b) for x, y in points) for a, b in points]
