"""What crosses from reading to storing: documents made ready, the state of files, and where both are kept.

Knows: shapes. Does not know: tables, models, files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from damda.types import Chunk, Document, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document ready to be stored: ``morphemes[i]`` and ``vectors[i]`` belong to ``chunks[i]``.

    In the space of an image encoder there are no morphemes.
    """

    document: Document
    chunks: Sequence[Chunk]
    morphemes: Sequence[Sequence[str]]
    vectors: "NDArray[np.float32]"


@dataclass(frozen=True, slots=True)
class FileState:
    """What is stored of one file. ``stamp`` changes when the file does; ``error`` says why nothing is stored.

    An image is a document without passages.
    """

    source: str
    stamp: str
    documents: int = 0
    chunks: int = 0
    error: str = ""


class Library(Protocol):
    """Where documents are kept; the writing half of the store. Each method is one step that a reader sees whole."""

    def files(self) -> dict[str, FileState]: ...

    def stored(self) -> dict[str, tuple[str, str]]:
        """Document id -> (source, version) of everything that searches can find."""
        ...

    def put(self, prepared: Sequence[Prepared], pictured: Sequence[Prepared] = ()) -> None:
        """Store documents; whatever was stored under the same ids is replaced.

        Args:
            prepared: texts.
            pictured: images, and the texts once more, with vectors in the space of an image encoder.
        """
        ...

    def forget(self, doc_ids: Sequence[str]) -> None: ...

    def record(self, files: Sequence[FileState], gone: Sequence[str] = ()) -> None:
        """Remember the state of files, and forget that of ``gone``."""
        ...

    def unfinished(self) -> bool:
        """Whether ``finish`` is due, because a run was cut off before it."""
        ...

    def finish(self, progress: Progress) -> None:
        """After the last change: bring indexes up to date and drop what nobody needs."""
        ...
