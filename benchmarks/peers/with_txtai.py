"""txtai: one embeddings database with ``hybrid`` on, that is vectors in faiss, BM25, and their sum after scaling.

Documents stay whole, with their content stored; the encoder (transformers, pooled by txtai) sees their first 512
tokens. BM25 splits at word boundaries of Unicode, its default. The dense and the sparse way are the same index asked
with the weights 1 and 0; both halves are searched every time, which is how txtai does it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import child
from txtai import Embeddings


class Txtai:
    def __init__(self, work: Path) -> None:
        self._folder = str(work / "index")
        self._embeddings = Embeddings(
            path=str(work / "model"),
            instructions={"query": "query: ", "data": "passage: "},
            hybrid=True,
            content=True,
        )

    def ingest(self, documents: Sequence[child.Document]) -> None:
        self._embeddings.index((d.id, d.text) for d in documents)
        self._embeddings.save(self._folder)

    def open(self) -> Mapping[str, child.Search]:
        self._embeddings.load(self._folder)

        def way(weight: float) -> child.Search:
            return lambda question: [
                found["id"] for found in self._embeddings.search(question, child.DEPTH, weights=weight)
            ]

        return {"dense": way(1.0), "bm25": way(0.0), "hybrid": way(0.5)}


if __name__ == "__main__":
    child.run(Txtai)
