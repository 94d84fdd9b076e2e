"""Searches a folder with fakes, in a process of its own, while others write; fails at the first half document.

    python search_child.py ROOT HOME STOP

Every document is ``VERSION of COUNT`` in each of its passages. Makes the file STOP.PID when it has searched. Runs until
the file STOP is there; then says how many versions it has seen of all documents together.
"""

import os
import sys
from pathlib import Path

from fakes import FakeEncoder, opener

from damda.knowledge import KnowledgeBase
from damda.search import store
from damda.types import Hit, Mode, Where


def whole(hits: list[Hit], mode: Mode) -> str:
    """The version that all hits of a document belong to; fails unless they are all of its passages."""
    versions = {hit.chunk.version for hit in hits}
    assert len(versions) == 1, f"{mode}: passages of {len(versions)} versions seen together"
    says = {hit.chunk.text.split("|")[1] for hit in hits}
    assert len(says) == 1, f"{mode}: {says}"
    count = int(says.pop().split()[-1])
    assert sorted(int(hit.chunk.id.split("#")[1]) for hit in hits) == list(range(count)), f"{mode}: passages missing"
    return versions.pop()


def look(kb: KnowledgeBase, source: str, mode: Mode) -> str:
    hits = kb.search("word", 1000, where=Where(source=source), mode=mode)
    version = whole(hits, mode)
    document = kb.document(source, version)
    assert document is not None, f"{mode}: a passage without its text"
    assert all(document.text[hit.chunk.start : hit.chunk.end] == hit.chunk.text for hit in hits)
    return version


def main(root: str, home: str, stop: str) -> None:
    store._REFRESH_SECONDS = 0.0  # look at the disk before every search
    kb = opener(setattr)(Path(root), FakeEncoder(), settings={"home": home})
    seen: set[str] = set()
    turns = 0
    while not Path(stop).exists():
        for path in sorted(Path(root).glob("*.md")):
            modes: tuple[Mode, ...] = ("bm25", "dense", "hybrid")
            seen.add(look(kb, path.name, modes[turns % 3]))
            turns += 1
            Path(f"{stop}.{os.getpid()}").touch()
    os.write(1, f"{turns} {len(seen)}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
