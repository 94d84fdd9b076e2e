"""A searcher of your own: any object with an ``id`` and this ``search`` fits damda.types.Searcher."""

from collections.abc import Sequence
from pathlib import Path

import damda
from damda import Hit, KnowledgeBase, Where
from damda.measure.retrieval import best_of_documents


class Only:
    """What a knowledge base finds below one folder, the best passage of each document."""

    def __init__(self, kb: KnowledgeBase, folder: str) -> None:
        self.id = f"only({folder})"
        self._kb, self._where = kb, Where(glob=f"{folder}/**")

    def search(self, queries: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        found = self._kb.search_batch(queries, 5 * k, where=where or self._where)
        return [[hit for _, hit in best_of_documents(hits)][:k] for hits in found]


if __name__ == "__main__":
    kb = damda.open(Path(__file__).parent / "documents")
    kb.refresh()
    for hit in Only(kb, "인사").search(["휴가는 며칠인가요?"], 3)[0]:
        print(f"{hit.score:8.2f}  {hit.chunk.source}  {hit.chunk.heading}")
