"""Adopted settings against those that somebody has set: which of them have no effect, and why.

Knows: which source wins. Does not know: what the settings do.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from damda import adopted, config
from damda.sources import found, sources_of


@dataclass(frozen=True, slots=True)
class Overridden:
    """An adopted setting that has no effect: ``source`` (a file, the environment or the command line) sets ``value``
    explicitly."""

    key: str
    adopted: Any
    value: Any
    source: str


def overridden(
    file: str | os.PathLike[str] | None,
    flags: Mapping[str, Any],
    root: Path,
    settings: Mapping[str, Any] | None = None,
) -> list[Overridden]:
    """Adopted settings that have no effect, as others are set explicitly.

    Args:
        file, flags, root: as in `find`.
        settings: dotted keys that might be adopted; None: those that are.

    Raises:
        ConfigError, StoreError: as in `find`.
    """
    sources = sources_of(found(file, root), flags, None)
    explicit = config.validated(sources)
    if settings is None:
        settings = adopted.read(config.home_for(file, flags, root)).settings
    alone = config.validated([(adopted.FILE, settings)])
    without = []
    for key in settings:
        by = [name for name, values in sources if key in values]
        if by and config.value_of(explicit, key) != config.value_of(alone, key):
            without.append(Overridden(key, settings[key], config.value_of(explicit, key), by[-1]))
    return without
