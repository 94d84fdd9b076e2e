"""Chroma: a persistent local collection with an embedding function of our own, for the two prefixes.

Documents stay whole; the encoder (sentence-transformers) sees their first 512 tokens. The collection keeps its default
index (HNSW, squared distance; the vectors have unit length). Dense only: BM25 and fusion are for Chroma's cloud, the
local client raises NotImplementedError.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import child
import chromadb
from chromadb import Documents, EmbeddingFunction, Embeddings
from sentence_transformers import SentenceTransformer


class E5(EmbeddingFunction[Documents]):  # type: ignore[misc]  # a stranger's class is Any here
    """The encoder with its prefixes."""

    def __init__(self, model: str) -> None:
        self._path, self._model = model, SentenceTransformer(model, device="cpu")

    def __call__(self, input: Documents) -> Embeddings:  # noqa: A002  Chroma looks at the name
        return [*self._model.encode(["passage: " + text for text in input])]

    def embed_query(self, input: Documents) -> Embeddings:  # noqa: A002
        return [*self._model.encode(["query: " + text for text in input])]

    @staticmethod
    def name() -> str:
        return "e5"

    def get_config(self) -> dict[str, Any]:
        return {"model": self._path}

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> "E5":
        return E5(config["model"])


class Chroma:
    def __init__(self, work: Path) -> None:
        self._folder, self._encoder = str(work / "index"), E5(str(work / "model"))

    def ingest(self, documents: Sequence[child.Document]) -> None:
        client = chromadb.PersistentClient(self._folder)
        collection = client.create_collection("corpus", embedding_function=self._encoder)
        most = client.get_max_batch_size()
        for at in range(0, len(documents), most):
            batch = documents[at : at + most]
            collection.add(ids=[d.id for d in batch], documents=[d.text for d in batch])

    def open(self) -> Mapping[str, child.Search]:
        client = chromadb.PersistentClient(self._folder)
        collection = client.get_collection("corpus", embedding_function=self._encoder)

        def dense(question: str) -> Sequence[str]:
            found = collection.query(query_texts=[question], n_results=child.DEPTH)
            return list(found["ids"][0])

        return {"dense": dense}


if __name__ == "__main__":
    child.run(Chroma)
