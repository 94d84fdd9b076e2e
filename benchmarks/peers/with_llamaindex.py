"""LlamaIndex: its own vector index and docstore, its BM25 retriever, and their fusion by reciprocal ranks.

As its documentation has it: documents go through ``VectorStoreIndex.from_documents`` with the default splitter (1,024
tokens of its own tokenizer), retrievers are fused with ``QueryFusionRetriever`` without made-up further questions
(they need a language model). BM25 keeps its defaults: words of two characters and more, English stemmer and stop
words. Stored with ``persist``. Twenty nodes are asked for, so that ten documents come out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import child
from llama_index.core import Document, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from llama_index.retrievers.bm25 import BM25Retriever

NODES = 2 * child.DEPTH


class LlamaIndex:
    def __init__(self, work: Path) -> None:
        self._vectors, self._words = str(work / "index" / "vectors"), str(work / "index" / "words")
        self._encoder = HuggingFaceEmbedding(
            model_name=str(work / "model"), query_instruction="query: ", text_instruction="passage: "
        )

    def ingest(self, documents: Sequence[child.Document]) -> None:
        index = VectorStoreIndex.from_documents(
            [Document(text=d.text, doc_id=d.id) for d in documents], embed_model=self._encoder
        )
        index.storage_context.persist(self._vectors)
        BM25Retriever.from_defaults(docstore=index.docstore, similarity_top_k=NODES).persist(self._words)

    def open(self) -> Mapping[str, child.Search]:
        stored = StorageContext.from_defaults(persist_dir=self._vectors)
        vector = load_index_from_storage(stored, embed_model=self._encoder).as_retriever(similarity_top_k=NODES)
        bm25 = BM25Retriever.from_persist_dir(self._words)
        fusion = QueryFusionRetriever(
            [vector, bm25], llm=MockLLM(), mode="reciprocal_rerank", num_queries=1, similarity_top_k=NODES
        )

        def way(retriever: BaseRetriever) -> child.Search:
            return lambda question: [found.node.ref_doc_id for found in retriever.retrieve(question)]

        return {"vector": way(vector), "bm25": way(bm25), "fusion": way(fusion)}


if __name__ == "__main__":
    child.run(LlamaIndex)
