"""The stored passages as they were at one moment, to be searched.

Knows: how LanceDB is asked. Does not know: when the passages were written, how the question became words or a vector.

A search names what it finds by row, a number that means something in its view only; texts are fetched last, for the few
passages that are shown. Fetching by row takes a third of the time that fetching by id takes.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from damda.search.rows import COLUMNS
from damda.search.where import sql
from damda.types import Chunk, Where

if TYPE_CHECKING:
    import lancedb
    import pyarrow as pa

# The index's own guesses at a distance are rough: three times this many are compared exactly, however few are wanted.
_NEAR_LEAST = 100
_COSINES_SAMPLE = 500
_WORDS_SAMPLE = 2000
# With fewer passages a sample says little: take what multilingual-e5-small has on most corpora.
_COSINES_LEAST, _COSINES_USUAL = 30, (0.785, 0.025)


class View:
    """Passages at one moment; safe to use from threads.

    Args:
        table: an opened table that nobody brings to another version; None: nothing is stored.
        reported: a context in which the table's exceptions become StoreErrors; told what is being done.
        only: a condition in SQL that every passage found meets; "": none.
    """

    def __init__(
        self,
        table: "lancedb.table.Table | None",
        reported: Callable[[str], AbstractContextManager[None]],
        *,
        only: str = "",
    ) -> None:
        self._table, self._reported, self._only = table, reported, only
        with reported("opening"):
            self.version = int(table.version) if table is not None else 0
        self._state: str | None = None
        self._cosines: tuple[float, float] | None = None
        self._containing: Counter[str] | None = None
        self._sampled_words = 0

    def match(self, words: Sequence[str], n: int, where: Where | None = None) -> list[tuple[int, float]]:
        """BM25 over the stored words: (row, score), best first."""
        from lancedb.query import MatchQuery

        if self._table is None or not words:
            return []
        with self._reported("searching"):
            query = self._table.search(MatchQuery(" ".join(words), "words"), query_type="fts")
            return _scored(self._filtered(query, where).limit(n).select(["_score"]), "_score")

    def near(self, vector: NDArray[np.float32], n: int, where: Where | None = None) -> list[tuple[int, float]]:
        """Nearest vectors: (row, cosine), best first."""
        if self._table is None:
            return []
        with self._reported("searching"):
            query = self._table.search(vector, vector_column_name="vector").distance_type("cosine")
            query = self._filtered(query.nprobes(50).refine_factor(3), where).limit(max(n, _NEAR_LEAST))
            return [(row, 1 - distance) for row, distance in _scored(query.select(["_distance"]), "_distance")[:n]]

    def chunks(self, rows: Sequence[int]) -> dict[int, Chunk]:
        """Passages by row."""
        if self._table is None or not rows:
            return {}
        with self._reported("reading"):
            found = self._table.take_row_ids(list(rows)).select(COLUMNS).with_row_id().to_arrow().to_pylist()
        return {fields.pop("_rowid"): Chunk(**fields) for fields in found}

    def state(self) -> str:
        """Names the documents, and their versions, that can be found here: views of the same ones have the same."""
        if self._state is None:
            pairs: set[tuple[str, str]] = set()
            if self._table is not None:
                with self._reported("reading"):
                    rows = self._table.search().select(["doc_id", "version"]).to_arrow()
                pairs = set(zip(*(rows.column(name).to_pylist() for name in ("doc_id", "version")), strict=True))
            self._state = hashlib.sha256(repr(sorted(pairs)).encode()).hexdigest()[:16]
        return self._state

    def cosines(self) -> tuple[float, float]:
        """Mean and deviation of the cosine between two passages, from a sample: the scale of all cosines here."""
        if self._cosines is None:
            self._cosines = self._sampled()
        return self._cosines

    def rarity(self, words: Sequence[str]) -> list[float]:
        """How rare each word is: ln((n + 1) / (df + 0.5)), df of n sampled passages having it. Always above 0."""
        if self._containing is None:
            found = self._drawn(_WORDS_SAMPLE, ["words"])
            texts = found.column("words").to_pylist() if found is not None else []
            self._sampled_words = len(texts)
            self._containing = Counter(word for text in texts for word in set(text.split(" ")))
        return [math.log((self._sampled_words + 1) / (self._containing[word] + 0.5)) for word in words]

    def sample(self, count: int) -> list[Chunk]:
        """At most ``count`` passages, the same ones every time."""
        found = self._drawn(count, COLUMNS)
        return [Chunk(**fields) for fields in found.to_pylist()] if found is not None else []

    def _filtered(self, query: Any, where: Where | None) -> Any:  # noqa: ANN401  LanceDB's query builders share no type
        conditions = [self._only, sql(where) if where else ""]
        condition = " AND ".join(f"({part})" for part in conditions if part)
        return query.where(condition, prefilter=True) if condition else query

    def _sampled(self) -> tuple[float, float]:
        found = self._drawn(_COSINES_SAMPLE, ["vector"])
        if found is None or found.num_rows < _COSINES_LEAST:
            return _COSINES_USUAL
        column = found.column("vector").combine_chunks()
        vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
        cosines = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
        return float(cosines.mean()), max(float(cosines.std()), 1e-6)

    def _drawn(self, count: int, columns: list[str]) -> "pa.Table | None":
        if self._table is None:
            return None
        with self._reported("reading"):
            rows = int(self._table.count_rows())
            drawn = np.sort(np.random.default_rng(0).choice(rows, min(rows, count), replace=False)).tolist()
            return self._table.take_offsets(drawn).select(columns).to_arrow() if drawn else None


def _scored(query: Any, column: str) -> list[tuple[int, float]]:  # noqa: ANN401  as above
    found = query.with_row_id(True).to_arrow()
    return list(zip(found.column("_rowid").to_pylist(), found.column(column).to_pylist(), strict=True))
