"""Documents and passages on disk, in LanceDB tables.

Knows: the tables, what is atomic. Does not know: encoders, morphemes (it stores and matches what it is given), files.

Three tables. ``chunks-F`` has a row a passage: its words, its vector, the document's version. ``files-F`` has a row a
file. ``documents-F`` has the texts by (id, version). F is the fingerprint of everything that decides what a passage row
holds, so rows of two encoders never share a table, and offsets never meet a text that was read in another way.
With an image encoder there is a fourth: ``pictures-F`` has a row an image, and the passages once more, with vectors of
its space. It is written before ``chunks-F``: a run that was killed in between stores the same passages again.

The commit to ``chunks-F`` is what makes a document visible, all of it at once: its text is written before that commit,
and the text of the version that it replaces is removed when the run ends (a process that is reading keeps the state
that it has opened). A process killed anywhere in between leaves texts that nothing refers to, no half document.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from damda.errors import StoreError
from damda.library import FileState, Prepared
from damda.search.rows import (
    as_document,
    chunk_rows,
    chunk_schema,
    document_rows,
    document_schema,
    file_rows,
    file_schema,
    picture_rows,
    picture_schema,
)
from damda.search.tables import fingerprint_in, reported
from damda.search.view import View
from damda.search.where import among, quoted
from damda.types import Document, Progress

if TYPE_CHECKING:
    import lancedb
    import pyarrow as pa

# Below this many passages an exact scan is as fast as an approximate index, and exact.
_APPROXIMATE_FROM = 20_000
# Versions that a reader may still hold are kept this long.
_KEEP_VERSIONS = timedelta(hours=1)
_REFRESH_SECONDS = 0.5


class Store:
    """The tables of one home, as seen with one fingerprint. Fits ``Library``; one writer, any number of readers.

    Args:
        folder: made when something is stored first.
        fingerprint: of everything that decides what a passage row holds.
        dim: length of the vectors.
        kept: fingerprints of other tables that stay when old ones are dropped; asked each time.
    """

    def __init__(
        self, folder: Path, fingerprint: str, dim: int, kept: Callable[[], Collection[str]] = frozenset
    ) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self._dim, self._kept = dim, kept
        self._lock = threading.Lock()
        self._tables: dict[str, lancedb.table.Table] = {}
        self._refreshed = 0.0
        self._view: View | None = None
        self._viewing = threading.Lock()
        self._db: lancedb.DBConnection | None = None

    # --- writing -------------------------------------------------------------------------------------------------

    def files(self) -> dict[str, FileState]:
        """State of every file that was read or refused, by source. Looks at the newest state of all tables."""
        for name in self._outdated():
            self._tables.pop(name, None)  # another thread may have been faster
        self._refreshed = 0.0  # the next search sees what the caller is told of, whoever stored it
        table = self._open(self._files)
        if table is None:
            return {}
        with self._reported("reading"):
            rows = table.to_arrow().to_pylist()
        return {row["source"]: FileState(**row) for row in rows}

    def stored(self) -> dict[str, tuple[str, str]]:
        """Document id -> (source, version) of everything that searches can find."""
        found: dict[str, tuple[str, str]] = {}
        for name, condition in ((self._chunks, "true"), (self._pictures, "image")):
            if (table := self._open(name)) is not None:
                with self._reported("reading"):
                    rows = table.search().where(condition).select(["doc_id", "source", "version"]).to_arrow()
                columns = (rows.column(name).to_pylist() for name in ("doc_id", "source", "version"))
                found |= {doc_id: (source, version) for doc_id, source, version in zip(*columns, strict=True)}
        return found

    def put(self, prepared: Sequence[Prepared], pictured: Sequence[Prepared] = ()) -> None:
        """Store documents; whatever was stored under the same ids is replaced, in one commit a table.

        Raises:
            StoreError: the disk refused; what was stored before is intact.
        """
        with self._reported("storing"):
            documents = {p.document.id: p.document for p in (*prepared, *pictured)}
            texts = self._make(self._documents, document_schema())
            _replace(texts, ["id", "version"], document_rows([*documents.values()]))
            if pictured:
                pictures = self._make(self._pictures, picture_schema(pictured[0].vectors.shape[1]))
                _put(pictures, picture_rows(pictured), pictured)
            chunks = self._make(self._chunks, chunk_schema(self._dim))
            if prepared:
                _put(chunks, chunk_rows(prepared, self._dim), prepared)
            self._changed()

    def forget(self, doc_ids: Sequence[str]) -> None:
        """Remove documents, in one commit a table."""
        for name in (self._pictures, self._chunks):
            table = self._open(name)
            if table is not None and doc_ids:
                with self._reported("removing"):
                    table.delete(among("doc_id", doc_ids))
        self._changed()

    def record(self, files: Sequence[FileState], gone: Sequence[str] = ()) -> None:
        """Remember the state of files, and forget that of ``gone``."""
        with self._reported("storing"):
            table = self._make(self._files, file_schema())
            if files:
                _replace(table, ["source"], file_rows(files))
            if gone:
                table.delete(among("source", gone))

    def unfinished(self) -> bool:
        """Whether old tables are left, or rows are outside their index: they are found all the same, more slowly."""
        if self._left_over():
            return True
        tables = ((self._open(self._chunks), "words"), (self._open(self._pictures), "doc_id"))
        with self._reported("reading"):
            return any(table is not None and _unindexed(table, column) for table, column in tables)

    def finish(self, progress: Progress) -> None:
        """Bring the indexes up to date, drop texts and tables that nobody needs any more."""
        with self._reported("indexing"):
            chunks = self._open(self._chunks)
            steps = 4
            progress("building indexes", 0, steps)
            if chunks is not None:
                self._index(chunks)
                progress("building indexes", 1, steps)
                chunks.optimize(cleanup_older_than=_KEEP_VERSIONS)
                self._changed()
            progress("building indexes", 2, steps)
            self._drop_unused(self._documents, "id")
            if (pictures := self._open(self._pictures)) is not None:
                _index_ids(pictures)
            self._drop_unused(self._pictures, "doc_id")
            if (files := self._open(self._files)) is not None:
                files.optimize(cleanup_older_than=_KEEP_VERSIONS)
            progress("building indexes", 3, steps)
            for name in self._left_over():
                self._connect().drop_table(name)
            progress("building indexes", steps, steps)

    def _changed(self) -> None:
        """The next search looks anew. Waits for a view that is being opened: it may be of the state before."""
        with self._viewing:
            self._view = None

    def _index(self, chunks: "lancedb.table.Table") -> None:
        from lancedb.index import FTS, IvfRq

        have = {name for index in chunks.list_indices() for name in index.columns}
        if "words" not in have:
            # Words come analysed: the defaults would stem them, drop stop words and fold letters once more.
            plain = FTS(
                base_tokenizer="whitespace",
                stem=False,
                remove_stop_words=False,
                ascii_folding=False,
                lower_case=False,
                max_token_length=None,
                with_position=False,
            )
            chunks.create_index("words", config=plain)
        _index_ids(chunks)
        if "vector" not in have and chunks.count_rows() >= _APPROXIMATE_FROM:
            chunks.create_index("vector", config=IvfRq(distance_type="cosine"))

    def _drop_unused(self, name: str, key: str) -> None:
        """Rows of documents, or of versions of them, that searches can't find."""
        table = self._open(name)
        if table is None:
            return
        used = {(doc_id, version) for doc_id, (_, version) in self.stored().items()}
        rows = table.search().select([key, "version"]).to_arrow()
        unused = sorted({*zip(*(rows.column(name).to_pylist() for name in (key, "version")), strict=True)} - used)
        for start in range(0, len(unused), 500):
            pairs = (f"({key} = {quoted(i)} AND version = {quoted(v)})" for i, v in unused[start : start + 500])
            table.delete(" OR ".join(pairs))
        table.optimize(cleanup_older_than=_KEEP_VERSIONS)

    # --- reading -------------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether anything was stored with this fingerprint."""
        return self._chunks in self._names()

    def count(self) -> int:
        """Passages stored."""
        table = self._open(self._chunks)
        if table is None:
            return 0
        with self._reported("reading"):
            return int(table.count_rows())

    def images(self) -> int:
        """Images stored."""
        table = self._open(self._pictures)
        if table is None:
            return 0
        with self._reported("reading"):
            return int(table.count_rows("image"))

    def pictures(self, *, images: bool) -> View:
        """The images as they are now, or the passages in their space. Searched exactly: the vectors of texts and of
        images lie apart, and an approximate index would look for the one among the other."""
        with self._reported("opening"):
            there = self._pictures in self._names()
            table = self._connect().open_table(self._pictures) if there else None
        return View(table, self._reported, only="image" if images else "NOT image")

    def view(self) -> View:
        """The passages as they are now, for one search; what another process stored may be half a second late.

        Raises:
            StoreError: another process has made the index again with other settings.
        """
        now = time.monotonic()
        with self._viewing:
            if now - self._refreshed >= _REFRESH_SECONDS:
                self._look()
                self._refreshed = now
                if self._view is not None and self._view.version != self._version():
                    self._view = None
            if self._view is None:
                # A handle of its own, which nobody moves on: rows that it names stay what they are.
                exists = self._open(self._chunks) is not None
                with self._reported("opening"):
                    table = self._connect().open_table(self._chunks) if exists else None
                self._view = View(table, self._reported)
            return self._view

    def _look(self) -> None:
        """See what other processes committed."""
        for name in self._outdated():
            if name not in self._names():
                raise StoreError(f"the index in {self.folder} was made again with other settings: start damda again")
            self._tables.pop(name, None)
        # Now, so that a text stays readable here even when a writer drops it before it is asked for.
        self._open(self._documents)

    def _version(self) -> int:
        """Of the passages; 0 while there are none."""
        table = self._open(self._chunks)
        if table is None:
            return 0
        with self._reported("opening"):
            return int(table.version)

    def document(self, doc_id: str, version: str) -> Document | None:
        """The text that a passage of this version was cut from."""
        table = self._open(self._documents)
        if table is None:
            return None
        with self._reported("reading"):
            condition = f"id = {quoted(doc_id)} AND version = {quoted(version)}"
            rows = table.search().where(condition).limit(1).to_arrow().to_pylist()
            if not rows:  # written by another process since this table was opened
                table.checkout_latest()
                rows = table.search().where(condition).limit(1).to_arrow().to_pylist()
        return as_document(rows[0]) if rows else None

    # --- tables --------------------------------------------------------------------------------------------------

    @property
    def _chunks(self) -> str:
        return f"chunks-{self.fingerprint}"

    @property
    def _files(self) -> str:
        return f"files-{self.fingerprint}"

    @property
    def _documents(self) -> str:
        return f"documents-{self.fingerprint}"

    @property
    def _pictures(self) -> str:
        return f"pictures-{self.fingerprint}"

    def _connect(self) -> "lancedb.DBConnection":
        import lancedb

        with self._lock:
            if self._db is None:
                self._db = lancedb.connect(self.folder)
            return self._db

    def _all_names(self) -> set[str]:
        if not self.folder.is_dir():
            return set()
        with self._reported("opening"):
            return set(self._connect().list_tables(limit=1000).tables)

    def _names(self) -> set[str]:
        """Tables that are there: a process killed while it made one leaves a folder without a first version."""
        return {n for n in self._all_names() if any((self.folder / f"{n}.lance" / "_versions").glob("*.manifest"))}

    def _left_over(self) -> set[str]:
        others = {name for name in self._all_names() if fingerprint_in(name) != self.fingerprint}
        # Asked after the names were listed: whoever makes tables that are to stay says so before.
        kept = self._kept() if others else ()
        return {name for name in others if fingerprint_in(name) not in kept}

    def _outdated(self) -> list[str]:
        """Bring open tables to their newest version; returns those that can't be, for they were dropped meanwhile.

        Texts before passages: a passage never refers to a text that this process does not see yet and that is gone.
        """
        dropped = []
        for name, table in sorted(self._tables.items(), reverse=True):
            try:
                table.checkout_latest()
            except (OSError, RuntimeError, ValueError):
                dropped.append(name)
        return dropped

    def _open(self, name: str) -> "lancedb.table.Table | None":
        table = self._tables.get(name)
        if table is None and name in self._names():
            with self._reported("opening"):
                table = self._tables[name] = self._connect().open_table(name)
        return table

    def _make(self, name: str, schema: "pa.Schema") -> "lancedb.table.Table":
        self.folder.mkdir(parents=True, exist_ok=True)
        table = self._open(name)
        if table is None:
            table = self._tables[name] = self._connect().create_table(name, schema=schema)
        return table

    @contextmanager
    def _reported(self, doing: str) -> Iterator[None]:
        with reported(doing, self.folder):
            yield


def _index_ids(table: "lancedb.table.Table") -> None:
    from lancedb.index import BTree

    have = {name for index in table.list_indices() for name in index.columns}
    for column in ("id", "doc_id"):
        if column not in have:
            table.create_index(column, config=BTree())


def _unindexed(table: "lancedb.table.Table", column: str) -> bool:
    """Whether rows are outside the index over the column."""
    if not table.count_rows():
        return False
    stats = [table.index_stats(index.name) for index in table.list_indices() if column in index.columns]
    return not stats or stats[0] is None or stats[0].num_unindexed_rows > 0


def _put(table: "lancedb.table.Table", rows: "pa.Table", prepared: Sequence[Prepared]) -> None:
    """In one commit, put rows in the place of all that the table has of their documents."""
    ids = among("doc_id", [p.document.id for p in prepared])
    if table.count_rows(ids):
        _replace(table, ["id"], rows, else_delete=ids)
    else:
        table.add(rows)


def _replace(table: "lancedb.table.Table", key: list[str], rows: "pa.Table", else_delete: str | None = None) -> None:
    """In one commit, put rows in the place of those with the same key, and delete others that meet a condition."""
    merge = table.merge_insert(key).when_matched_update_all().when_not_matched_insert_all()
    if else_delete is not None:
        merge = merge.when_not_matched_by_source_delete(else_delete)
    merge.execute(rows)
