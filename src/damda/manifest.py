"""What a made model says of itself: ``manifest.json`` in its folder.

Knows: the fields, their place on disk, and how a folder is checked against them. Does not know: how a model was
trained, what its figures mean, where it goes.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from damda.errors import WeightsError
from damda.plain import plain
from damda.weights import sha256

MANIFEST = "manifest.json"
CARD = "README.md"
VERSION = 1

_SECRET = re.compile(r"((?:api_key|hf_token|password|secret)\W)\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parent:
    """A model that this one was made from.

    Args:
        name: as in ``encoder.name``; ``hub:OWNER/NAME`` where it came from a model hub.
        id: the encoder's id, where it has one.
        sha256: of its weights, where they are one file.
        licence: as SPDX writes it, e.g. "MIT"; "": not stated.
    """

    name: str
    id: str = ""
    sha256: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Data:
    """A data set that was used.

    Args:
        name: a name, not a path: it is published.
        sha256: of its file, or of whatever tells two of them apart.
        count: its questions, pairs or texts.
        licence: as SPDX writes it, e.g. "CC-BY-SA-4.0"; "": not stated.
        use: "training", "validation" or "evaluation". Only what is evaluated on leaves the model's licence alone.
    """

    name: str
    sha256: str = ""
    count: int = 0
    licence: str = ""
    use: str = "training"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was made, from what, how, and what it achieved.

    Args:
        kind: "encoder" or "reranker".
        name: what its maker calls it.
        command: the command line that made it. `write` blots out what looks like a key, and where the user's home is.
        settings: of the training, by name.
        metrics: name -> figure, or name -> figures by name; what was measured before and after the training is called
            ``..._before`` and ``..._after``.
        machine: processor, cores, memory.
        seconds: that it took.
        made: when, UTC, ISO 8601; `write` fills it in, as it does the next two.
        damda: the version that made it.
        files: path below the folder -> sha256, of every file but this one and the card, which is made from it.
        version: of this description.
    """

    kind: str
    name: str
    command: str = ""
    parents: Sequence[Parent] = ()
    data: Sequence[Data] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    machine: str = ""
    seconds: float = 0.0
    made: str = ""
    damda: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    version: int = VERSION


def write(folder: Path, manifest: Manifest) -> Manifest:
    """Describe the files that are in the folder now, and put the description there, whole or not at all.

    Returns:
        What was written: with the files, and with date and version where the manifest given has none.

    Raises:
        WeightsError: the folder can't be read or written.
    """
    draft = folder / f".{MANIFEST}.{os.getpid()}"
    try:
        whole = replace(
            manifest,
            command=_publishable(manifest.command),
            made=manifest.made or datetime.now(UTC).isoformat(timespec="seconds"),
            damda=manifest.damda or version("damda"),
            files={name: sha256(folder / name) for name in _names(folder)},
        )
        draft.write_text(json.dumps(plain(whole), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        draft.replace(folder / MANIFEST)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise WeightsError(f"{folder / MANIFEST} can't be written ({error.strerror or error})") from error
    return whole


def _publishable(command: str) -> str:
    home = Path.home()
    return _SECRET.sub(r"\1***", command.replace(str(home), "~") if home.name else command)


def _names(folder: Path) -> list[str]:
    """Every file's path below the folder; hidden ones are no part of a model."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    names = [path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)]
    return sorted(name for name in names if name not in (MANIFEST, CARD))


def described(folder: Path) -> bool:
    """Whether the folder has a manifest, were it a damaged one; other programs' files of that name are none."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError:
        return False
    except ValueError:
        return True
    return isinstance(content, dict) and "damda" in content


def read(folder: Path) -> Manifest:
    """The manifest of a folder.

    Raises:
        WeightsError: there is none, it is damaged, or of a version unknown here.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise WeightsError(f"{folder} has no {MANIFEST}: give a folder that damda made") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged ({error}): make or get the folder again") from error
    if not isinstance(content, dict) or "damda" not in content:
        raise WeightsError(f"{path} is not damda's: give a folder that damda made")
    if content.get("version") != VERSION:
        raise WeightsError(f"{path} is of version {content.get('version')}, known is {VERSION}: update damda")
    try:
        return _checked(content)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise WeightsError(f"{path} is damaged ({error}): make or get the folder again") from error


def _checked(content: dict[str, Any]) -> Manifest:
    """The manifest, were every field of its type and every file below the folder."""
    made = Manifest(
        **{
            **content,
            "parents": tuple(Parent(**parent) for parent in content.get("parents", ())),
            "data": tuple(Data(**data) for data in content.get("data", ())),
        }
    )
    texts = [made.kind, made.name, made.command, made.machine, made.made, made.damda]
    texts += [text for parent in made.parents for text in (parent.name, parent.id, parent.sha256, parent.licence)]
    texts += [text for data in made.data for text in (data.name, data.sha256, data.licence, data.use)]
    if not all(isinstance(text, str) for text in [*texts, *made.files.keys(), *made.files.values()]):
        raise ValueError("a text is of another type")
    if not all(isinstance(number, int | float) for number in [made.seconds, *(data.count for data in made.data)]):
        raise ValueError("a number is of another type")
    if not all(isinstance(fields, dict) for fields in (made.settings, made.metrics)):
        raise ValueError("settings or metrics are no object")
    for name in made.files:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
            raise ValueError(f"{name!r} is no file below the folder")
    return made


def differing(folder: Path, manifest: Manifest) -> dict[str, str]:
    """Files of the manifest that are not as it says: path -> "missing" or "differs"."""
    found = {}
    for name, expected in manifest.files.items():
        try:
            if sha256(folder / name) != expected:
                found[name] = "differs"
        except OSError:
            found[name] = "missing"
    return found


def unlisted(folder: Path, manifest: Manifest) -> list[str]:
    """Files in the folder that the manifest does not name."""
    return [name for name in _names(folder) if name not in manifest.files]


def verify(folder: Path) -> Manifest:
    """Check every file that the folder's manifest names.

    Raises:
        WeightsError: as in `read`, or a file is missing or another than was described; names the files.
    """
    manifest = read(folder)
    if wrong := differing(folder, manifest):
        raise WeightsError(f"{folder} is not what its {MANIFEST} describes: {told(wrong)}")
    return manifest


def told(wrong: Mapping[str, str]) -> str:
    """What `differing` found, in a line."""
    return ", ".join(f"{name} {'is missing' if how == 'missing' else 'differs'}" for name, how in wrong.items())
