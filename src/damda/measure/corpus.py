"""Documents as plain texts, for what looks at all of them at once.

Knows: that they are read as an index would read them. Does not know: what is done with them.
"""

import random
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

from damda.errors import ConfigError, ReadError
from damda.ingest.read import read
from damda.ingest.walk import walk
from damda.settings import ReadSettings

Text = TypeVar("Text")


def texts(root: Path, settings: ReadSettings) -> tuple[dict[str, str], dict[str, str]]:
    """Title and text by document id, and why files could not be read by their path below ``root``.

    Raises:
        ReadError: ``root`` can't be read.
        ConfigError: no file has any text.
    """
    found: dict[str, str] = {}
    failed: dict[str, str] = {}
    for file in walk(root, settings)[0]:
        try:
            found |= {document.id: f"{document.title}\n{document.text}" for document in read(file, settings)}
        except ReadError as error:
            failed[file.source] = str(error)
    if not found:
        raise ConfigError(f"{root} has no readable documents")
    return found, failed


def drawn(texts: Mapping[str, Text], needed: Collection[str], most: int) -> dict[str, Text]:
    """The needed ones, and others up to ``most`` in all (0: all), in their own order; drawn with a fixed seed."""
    others = [document for document in texts if document not in needed]
    room = max(most - len(needed), 0) if most else len(others)
    kept = {*needed, *random.Random(0).sample(others, min(room, len(others)))}
    return {document: text for document, text in texts.items() if document in kept}
