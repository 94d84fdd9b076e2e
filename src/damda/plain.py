"""Any value as JSON can hold it.

Knows: dataclasses, mappings, numbers that are none. Does not know: what is made of them.
"""

import math
from dataclasses import is_dataclass
from pathlib import PurePath
from typing import Any


def plain(value: Any) -> Any:  # noqa: ANN401  any JSON-like value
    """Dataclasses as dictionaries, tuples as lists, paths as text, numbers that are none as None; at any depth."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "items"):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    return value
