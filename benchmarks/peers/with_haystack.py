"""Haystack: its in-memory store with the BM25 and the embedding retriever, joined by reciprocal ranks in a pipeline.

As in its tutorial on hybrid retrieval, with the joiner instead of a ranker. Documents stay whole; the encoder sees
their first 512 tokens. BM25 has its defaults (BM25L; Hangul a syllable a token). The store is written to disk and read
back, which its documentation does not recommend for production; BM25's statistics are made again on reading.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import child
from haystack import Document, Pipeline
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)


class Haystack:
    def __init__(self, work: Path) -> None:
        self._model, self._folder = str(work / "model"), work / "index"
        self._text = SentenceTransformersTextEmbedder(model=self._model, prefix="query: ", progress_bar=False)
        self._text.warm_up()

    def ingest(self, documents: Sequence[child.Document]) -> None:
        embedder = SentenceTransformersDocumentEmbedder(model=self._model, prefix="passage: ", progress_bar=False)
        embedder.warm_up()
        store = InMemoryDocumentStore()
        made = embedder.run([Document(id=d.id, content=d.text) for d in documents])["documents"]
        store.write_documents(made)
        self._folder.mkdir()
        store.save_to_disk(str(self._folder / "store.json"))

    def open(self) -> Mapping[str, child.Search]:
        store = InMemoryDocumentStore.load_from_disk(str(self._folder / "store.json"))
        near = InMemoryEmbeddingRetriever(store, top_k=child.DEPTH)
        words = InMemoryBM25Retriever(store, top_k=child.DEPTH)
        joined = Pipeline()
        joined.add_component("text", self._text)
        joined.add_component("near", InMemoryEmbeddingRetriever(store, top_k=child.DEPTH))
        joined.add_component("words", InMemoryBM25Retriever(store, top_k=child.DEPTH))
        joined.add_component("joiner", DocumentJoiner(join_mode="reciprocal_rank_fusion"))
        joined.connect("text.embedding", "near.query_embedding")
        joined.connect("near", "joiner")
        joined.connect("words", "joiner")

        def embedding(question: str) -> list[str]:
            vector = self._text.run(text=question)["embedding"]
            return [d.id for d in near.run(query_embedding=vector)["documents"]]

        def bm25(question: str) -> list[str]:
            return [d.id for d in words.run(query=question)["documents"]]

        def both(question: str) -> list[str]:
            found = joined.run({"text": {"text": question}, "words": {"query": question}})
            return [d.id for d in found["joiner"]["documents"]]

        return {"embedding": embedding, "bm25": bm25, "joined": both}


if __name__ == "__main__":
    child.run(Haystack)
