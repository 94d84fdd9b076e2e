"""Where settings come from: a TOML file, the environment, flags; each as dotted keys.

Knows: how they are written there. Does not know: which settings there are.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from damda.errors import ConfigError

Sources = list[tuple[str, Mapping[str, Any]]]
"""What was set, by who set it; later ones win."""


def sources_of(file: Path | None, flags: Mapping[str, Any], env: Mapping[str, str] | None) -> Sources:
    """All that was set; ``env`` None: this process's environment.

    Raises:
        ConfigError: the file can't be read, or is no TOML.
    """
    return [
        (str(file), from_file(file) if file else {}),
        ("the environment", from_environment(os.environ if env is None else env)),
        ("the command line", {key: given(key, value) for key, value in flags.items() if value is not None}),
    ]


def found(file: str | os.PathLike[str] | None, root: Path | None) -> Path | None:
    """The damda.toml that counts, if any."""
    if file is not None:
        return Path(file)
    folders = [Path(), *([root if root.is_dir() else root.parent] if root else [])]
    return next((path for folder in folders if (path := folder / "damda.toml").is_file()), None)


def merged(sources: Sources) -> dict[str, Any]:
    """Sections with their keys; what is set last wins."""
    found: dict[str, Any] = {}
    for _, values in sources:
        for key, value in values.items():
            section, _, name = key.rpartition(".")
            inside = found.setdefault(section, {}) if section else found
            if isinstance(inside, dict):  # else whoever validates it says what is wrong
                inside[name] = value
    return found


def from_file(file: Path) -> dict[str, Any]:
    """What a TOML file sets.

    Raises:
        ConfigError: it can't be read, or is no TOML.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error
    return flat(table)


def flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Sections and their keys as dotted keys."""
    keys: dict[str, Any] = {}
    for name, value in table.items():
        keys |= {f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
    return keys


def from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    """What the environment sets."""
    found: dict[str, Any] = {}
    for name, value in env.items():
        if not name.startswith(_PREFIX) or name in _NOT_SETTINGS:
            continue
        key = name.removeprefix(_PREFIX).lower().replace("__", ".")
        found[key] = given(key, value)
    return found


def given(key: str, value: Any) -> Any:  # noqa: ANN401  whatever was given
    """Lists are written with commas where only text can be."""
    if key in _LISTS and isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


_PREFIX = "DAMDA_"
WORKER = "DAMDA_WORKER"
"""Where `damda serve` tells its processes what to serve; no setting."""
_NOT_SETTINGS = frozenset(("DAMDA_CACHE", WORKER))
_LISTS = frozenset(
    ("read.ignore",)
    + tuple(f"guard.{key}" for key in ("question", "passage", "answer", "redact", "block", "languages", "classifiers"))
)
