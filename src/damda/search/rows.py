"""What stands in the tables: columns, and types of damda as rows of them.

Knows: Arrow schemas. Does not know: which tables there are, or when they are written.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from damda.library import FileState, Prepared
from damda.search.where import paired, unpaired
from damda.types import NO_META, Document

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ["id", "doc_id", "version", "source", "title", "heading", "text", "start", "end"]


def chunk_schema(dim: int) -> "pa.Schema":
    import pyarrow as pa

    text = [(name, pa.string()) for name in COLUMNS[:7]]
    rest = [("start", pa.int64()), ("end", pa.int64()), ("meta", pa.list_(pa.string())), ("words", pa.string())]
    return pa.schema([*text, *rest, ("vector", pa.list_(pa.float32(), dim))])


def picture_schema(dim: int) -> "pa.Schema":
    import pyarrow as pa

    chunks = chunk_schema(dim)
    return chunks.set(chunks.get_field_index("words"), pa.field("image", pa.bool_()))


def document_schema() -> "pa.Schema":
    import pyarrow as pa

    text = [(name, pa.string()) for name in ("id", "version", "source", "title", "text")]
    return pa.schema([*text, ("meta", pa.list_(pa.string())), ("pages", pa.list_(pa.int64()))])


def file_schema() -> "pa.Schema":
    import pyarrow as pa

    text = [(name, pa.string()) for name in ("source", "stamp", "error")]
    return pa.schema([*text, ("documents", pa.int64()), ("chunks", pa.int64())])


def document_rows(documents: Sequence[Document]) -> "pa.Table":
    import pyarrow as pa

    plain = ("id", "version", "source", "title", "text")
    rows = [
        {name: getattr(document, name) for name in plain} | {"meta": _pairs(document), "pages": list(document.pages)}
        for document in documents
    ]
    return pa.Table.from_pylist(rows, document_schema())


def _pairs(document: Document) -> list[str]:
    return [paired(key, value) for key, value in document.meta.items()]


def chunk_rows(prepared: Sequence[Prepared], dim: int) -> "pa.Table":
    import pyarrow as pa

    words = [" ".join(words) for p in prepared for words in p.morphemes]
    return pa.table(_chunk_columns(prepared, dim) | {"words": words}, chunk_schema(dim))


def picture_rows(pictured: Sequence[Prepared]) -> "pa.Table":
    """At least one; an image is a passage without text."""
    import pyarrow as pa

    dim = pictured[0].vectors.shape[1]
    images = [not chunk.text for p in pictured for chunk in p.chunks]
    return pa.table(_chunk_columns(pictured, dim) | {"image": images}, picture_schema(dim))


def _chunk_columns(prepared: Sequence[Prepared], dim: int) -> dict[str, Any]:
    import pyarrow as pa

    chunks = [chunk for p in prepared for chunk in p.chunks]
    columns: dict[str, Any] = {name: [getattr(chunk, name) for chunk in chunks] for name in COLUMNS}
    columns["meta"] = [_pairs(p.document) for p in prepared for _ in p.chunks]
    vectors = np.concatenate([p.vectors for p in prepared]) if chunks else np.empty((0, dim), np.float32)
    columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), dim)
    return columns


def as_document(row: dict[str, Any]) -> Document:
    meta = dict(map(unpaired, row["meta"])) or NO_META
    return Document(**row | {"meta": meta, "pages": tuple(row["pages"])})


def file_rows(files: Sequence[FileState]) -> "pa.Table":
    import pyarrow as pa

    schema = file_schema()
    return pa.Table.from_pylist([{name: getattr(f, name) for name in schema.names} for f in files], schema)
