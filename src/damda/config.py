"""Settings: what the home has adopted, then ``damda.toml``, then the environment, then flags; the later wins. Unknown
keys are errors.

Knows: where a value came from, and what is said of one that can't be. Does not know: which settings there are
(``settings``), whether a model or a folder exists; building settings reads at most one TOML file, the environment and
the home's adopted.json.

Environment: ``DAMDA_`` + section + ``__`` + key, e.g. ``DAMDA_ANSWER__QUOTES=2``; lists are separated by commas.
Environment variables are for secrets too: ``DAMDA_REMOTE__API_KEY``.
"""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from damda import adopted
from damda.errors import ConfigError
from damda.home import home_of
from damda.settings import Section, Settings
from damda.sources import Sources, flat, found, merged, sources_of
from damda.types import NO_META


def load(
    file: Path | None = None, flags: Mapping[str, Any] = NO_META, env: Mapping[str, str] | None = None
) -> Settings:
    """Settings from a TOML file, the environment and flags, in that order of increasing precedence.

    Args:
        file: a damda.toml; None for none.
        flags: dotted keys, e.g. ``{"search.mode": "bm25"}``; values that are None were not given.
        env: the environment; None: this process's.

    Raises:
        ConfigError: a key is unknown or a value impossible. Names the key, where it was set, and what is wrong.
    """
    return validated(sources_of(file, flags, env))


def find(
    file: str | os.PathLike[str] | None = None, flags: Mapping[str, Any] = NO_META, root: Path | None = None
) -> Settings:
    """Settings for documents at ``root``: from the damda.toml given, or found in the current folder or beside them;
    below them all, what their home has adopted.

    Raises:
        ConfigError: as in `load`.
        StoreError: what the home has adopted can't be read.
    """
    return of(sources_of(found(file, root), flags, None), root)


def of(sources: Sources, root: Path | None = None) -> Settings:
    """Settings of what was set, and below it what the home of the documents has adopted.

    Raises:
        ConfigError, StoreError: as in `find`.
    """
    settings = validated(sources)
    home = _home(settings, root)
    taken = adopted.read(home).settings if home else {}
    return validated([(str(home / adopted.FILE), taken), *sources]) if home and taken else settings


def home_for(file: str | os.PathLike[str] | None, flags: Mapping[str, Any], root: Path) -> Path:
    """The home of documents at ``root``, whatever it has adopted.

    Raises:
        ConfigError: as in `load`.
    """
    home = _home(validated(sources_of(found(file, root), flags, None)), root)
    assert home is not None
    return home


def changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """The settings with others instead, as dotted keys.

    Raises:
        ConfigError: a key is unknown or a value impossible.
    """
    return validated([("these settings", flat(settings.model_dump())), ("the changes", changes)])


def value_of(settings: Settings, key: str) -> Any:  # noqa: ANN401  whatever it is set to
    """The value of a dotted key."""
    return reduce(getattr, key.split("."), settings)


def describe() -> dict[str, str]:
    """All settings as dotted keys, each with what it is for."""
    known: dict[str, str] = {}
    for name, info in Settings.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, Section):
            known |= {f"{name}.{key}": inner.description or "" for key, inner in section.model_fields.items()}
        else:
            known[name] = info.description or ""
    return known


def _home(settings: Settings, root: Path | None) -> Path | None:
    """None: there are no documents, and no home is set."""
    if root is None:
        return home_of(Path(), settings.home) if settings.home else None
    return home_of(root.expanduser().resolve(), settings.home)


def validated(sources: Sources) -> Settings:
    """Settings from what was set.

    Raises:
        ConfigError: as in `load`.
    """
    try:
        return Settings.model_validate(merged(sources))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][:2])
        unknown = first["type"] == "extra_forbidden"
        if unknown:
            # A section that does not exist is reported without the key in it; that is what was set, so say it whole.
            key = next((k for _, values in reversed(sources) for k in values if k.split(".")[0] == key), key)
        exact = [name for name, values in sources if key in values]
        below = [name for name, values in sources if any(k.startswith(f"{key}.") for k in values)]
        origin = (exact or below or ["settings"])[-1]
        what = f"unknown setting{_similar(key)}" if unknown else f"{first['msg']}, not {first['input']!r}"
        if origin.endswith(adopted.FILE):
            what += "; `damda tune rollback` undoes the last adoption"
        raise ConfigError(f"{key} in {origin}: {what}") from error


def _similar(key: str) -> str:
    close = get_close_matches(key, describe(), n=1)
    return f"; did you mean {close[0]}?" if close else "; `damda doctor --settings` lists all"
