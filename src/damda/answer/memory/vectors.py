"""Vectors of remembered questions, in memory, so that a search is one product.

Knows: which rows of a scope were read. Does not know: questions, age, checksums. Callers lock.
"""

import sqlite3
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SCOPES = 8
"""Scopes kept at once; the one that was not asked for longest goes."""


class Vectors:
    """The vectors of a few scopes. What another process has added is read before each search: rows with a greater id
    than any seen."""

    def __init__(self) -> None:
        self._scopes: OrderedDict[tuple[str, str], _Matrix] = OrderedDict()

    def clear(self) -> None:
        """Forget all: the file is another one."""
        self._scopes.clear()

    def forget(self, scope: str, space: str, number: int) -> None:
        """A row is gone."""
        if (scope, space) in self._scopes:
            self._scopes[scope, space].forget(number)

    def search(
        self, db: sqlite3.Connection, scope: str, space: str, vector: "NDArray[np.float32]", least: float, most: int
    ) -> list[tuple[int, float]]:
        """Ids and cosines of the nearest rows, best first."""
        matrix = self._scopes.setdefault((scope, space), _Matrix(len(vector)))
        self._scopes.move_to_end((scope, space))
        while len(self._scopes) > _SCOPES:
            self._scopes.popitem(last=False)
        matrix.refresh(db, scope, space)
        return matrix.search(vector, least, most)


class _Matrix:
    """Rows of one scope: ``ids[n]`` is the id of ``rows[n]``; room for more behind ``count``."""

    def __init__(self, dim: int) -> None:
        import numpy as np

        self._dim = dim
        self._begin(np.empty((0, dim), np.float32))

    def _begin(self, rows: "NDArray[np.float32]") -> None:
        import numpy as np

        self._rows, self._ids = rows, np.empty(len(rows), np.int64)
        self._count, self._last, self._gone, self._added = 0, 0, 0, 0

    def refresh(self, db: sqlite3.Connection, scope: str, space: str) -> None:
        import numpy as np

        if self._gone + self._added > max(1000, self._count):  # rows that went are found out by reading all again
            self._begin(np.empty((0, self._dim), np.float32))
        first = self._last == 0
        query = "SELECT id, space, vector FROM entries WHERE scope = ? AND id > ? ORDER BY id"
        for number, of, raw in db.execute(query, (scope, self._last)):
            self._last = number
            if of == space and isinstance(raw, bytes) and len(raw) == 4 * self._dim:
                self._append(number, np.frombuffer(raw, "<f4"))
                self._added += not first

    def _append(self, number: int, row: "NDArray[np.float32]") -> None:
        import numpy as np

        if self._count == len(self._rows):
            room = max(64, 2 * self._count)
            rows, ids = np.empty((room, self._dim), np.float32), np.empty(room, np.int64)
            rows[: self._count], ids[: self._count] = self._rows[: self._count], self._ids[: self._count]
            self._rows, self._ids = rows, ids
        self._rows[self._count], self._ids[self._count] = row, number
        self._count += 1

    def forget(self, number: int) -> None:
        import numpy as np

        at = int(np.searchsorted(self._ids[: self._count], number))
        if at < self._count and self._ids[at] == number:
            self._rows[at] = 0
            self._gone += 1

    def search(self, vector: "NDArray[np.float32]", least: float, most: int) -> list[tuple[int, float]]:
        import numpy as np

        if not self._count:
            return []
        # Not `@`: for 10,000 rows the threads of BLAS wait 12 ms for one another on a busy machine; this takes 1.2.
        cosines = np.einsum("ij,j->i", self._rows[: self._count], vector)
        at = np.flatnonzero(cosines >= max(least, 1e-6))
        if len(at) > most:
            at = at[np.argpartition(-cosines[at], most)[:most]]
        at = at[np.argsort(-cosines[at], kind="stable")]
        return [(int(self._ids[n]), float(cosines[n])) for n in at]
