"""damda with its defaults, over the corpus.jsonl.

It cuts documents into passages of 256 tokens; a document ranks where its best passage does. Its encoder is the same
model in int8 on onnxruntime; it loads while documents are read, and counts as ingest here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import child

import damda
from damda.types import Mode

WAYS: tuple[Mode, ...] = ("dense", "bm25", "hybrid")


class Damda:
    def __init__(self, work: Path) -> None:
        self._kb = damda.open(work / "corpus.jsonl", settings={"home": str(work / "index")})

    def ingest(self, documents: Sequence[child.Document]) -> None:
        self._kb.sync()

    def open(self) -> Mapping[str, child.Search]:
        def way(mode: Mode) -> child.Search:
            # Two passages for each document that is wanted.
            return lambda question: [hit.chunk.doc_id for hit in self._kb.search(question, 2 * child.DEPTH, mode=mode)]

        return {mode: way(mode) for mode in WAYS}


if __name__ == "__main__":
    child.run(Damda)
