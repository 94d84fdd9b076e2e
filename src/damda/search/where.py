"""A filter as a condition in SQL.

Knows: how names and patterns are quoted, how ``meta`` is stored. Does not know: tables.
"""

import re
from collections.abc import Iterable

from damda.korean import nfc
from damda.types import Where


def sql(where: Where) -> str:
    """The filter as a condition over the columns of ``chunks``."""
    conditions = []
    if where.source:
        conditions.append(f"source = {quoted(nfc(where.source))}")
    if where.glob:
        conditions.append(f"regexp_like(source, {quoted(glob_pattern(nfc(where.glob)))})")
    conditions += [f"array_has(meta, {quoted(paired(nfc(key), nfc(value)))})" for key, value in where.meta.items()]
    return " AND ".join(conditions)


def glob_pattern(glob: str) -> str:
    """A shell pattern as a regular expression: ``*`` and ``?`` stay within a folder, ``**/`` is any folders or none."""
    pattern = re.sub(
        r"\\\*\\\*/|\\\*\\\*|\\\*|\\\?",
        lambda m: {r"\*\*/": "(.*/)?", r"\*\*": ".*", r"\*": "[^/]*", r"\?": "[^/]"}[m[0]],
        re.escape(glob),
    )
    return f"(?s)^{pattern}$"


def quoted(value: str) -> str:
    """A string in SQL."""
    return "'" + value.replace("'", "''") + "'"


def among(column: str, values: Iterable[str]) -> str:
    """Whether ``column`` has one of the values, in SQL."""
    return f"{column} IN ({', '.join(map(quoted, values))})"


def paired(key: str, value: str) -> str:
    """A field of ``meta`` as it is stored: a key may hold an equals sign too."""
    return f"{key.replace('%', '%25').replace('=', '%3D')}={value}"


def unpaired(pair: str) -> tuple[str, str]:
    """What ``paired`` was made from."""
    key, _, value = pair.partition("=")
    return key.replace("%3D", "=").replace("%25", "%"), value
