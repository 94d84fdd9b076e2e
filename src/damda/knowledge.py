"""One folder of documents as an object: what `damda.open` returns.

Knows: when the index is brought up to date and what a caller may ask. Does not know: concrete stores, models or files;
`assemble/` hands them in.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from damda import trace
from damda.answer.pipeline import Pipeline
from damda.errors import BusyError, ConfigError, ReadError
from damda.home import Home
from damda.ingest.sync import Report, Sync
from damda.library import FileState
from damda.types import (
    Answer,
    Chunk,
    Delta,
    Document,
    Encoder,
    Hit,
    Message,
    Mode,
    Progress,
    Recall,
    Searcher,
    Where,
    quiet,
)


class Sampled(Protocol):
    """Passages that a few can be drawn from."""

    def sample(self, count: int) -> list[Chunk]: ...

    def cosines(self) -> tuple[float, float]: ...


class Reading(Protocol):
    """The reading half of the store, as far as it is needed here."""

    def exists(self) -> bool: ...

    def count(self) -> int: ...

    def images(self) -> int: ...

    def files(self) -> dict[str, FileState]: ...

    def stored(self) -> dict[str, tuple[str, str]]: ...

    def view(self) -> "Sampled": ...

    def document(self, doc_id: str, version: str) -> Document | None: ...


class Pictured(Protocol):
    """Search for images, and by them."""

    def by_text(self, query: str, k: int, where: Where | None = None) -> list[Hit]: ...

    def by_image(self, image: bytes, k: int, where: Where | None = None, *, images: bool) -> list[Hit]: ...


@dataclass(frozen=True, slots=True)
class Status:
    """What is stored. ``pending``: files that the next indexing would read or remove. Images are no documents here."""

    root: str
    home: str
    encoder: str
    documents: int
    chunks: int
    images: int
    pending: int
    failed: tuple[FileState, ...]


class KnowledgeBase:
    """A folder of documents that answers questions.

    Made by `damda.open`. Reading needs no lock; `sync` takes the home's write lock.
    """

    def __init__(
        self,
        root: Path,
        home: Home,
        encoder: Encoder,
        store: Reading,
        sync: Sync,
        searchers: Mapping[Mode, Callable[[], Searcher]],
        mode: Mode,
        pipeline: Pipeline,
        load: Callable[[], None],
        pictures: Pictured | None = None,
        confidence: Callable[[str, Sequence[Hit]], float] = lambda question, passages: 0.0,
    ) -> None:
        self.root = root
        self._pictures, self._confidence = pictures, confidence
        self._home, self._encoder = home, encoder
        self._store, self._sync, self._pipeline = store, sync, pipeline
        self._searchers, self._mode = searchers, mode
        self._load, self._warm = load, False

    @property
    def home(self) -> Path:
        """The folder that holds the index."""
        return self._home.folder

    @property
    def fingerprint(self) -> str:
        """Of everything that decides what a stored passage looks like; the tables are named after it."""
        return self._home.fingerprint

    @property
    def encoder(self) -> Encoder:
        """What turns texts into vectors here."""
        return self._encoder

    @property
    def mode(self) -> Mode:
        """How passages are searched for when nothing else is said."""
        return self._mode

    def exists(self) -> bool:
        """Whether anything is stored, with the settings as they are now."""
        return self._store.exists()

    def warm(self) -> None:
        """Start loading the models in the background. Asking, searching and indexing do it too, as soon as they know
        that models are needed; a program that will ask anyway gains a second by saying so first."""
        if not self._warm:
            self._warm = True
            self._load()

    def sync(self, progress: Progress = quiet) -> Report:
        """Bring the index up to date with the folder.

        Raises:
            BusyError: another process is writing to the same home.
            ReadError: the folder can't be read.
            StoreError: the disk refused. What was stored before stays.
        """
        with self._home.writing():
            rebuilt = self._home.changes()
            report = self._sync.run(progress)
            self._home.describe()
        report.rebuilt = rebuilt
        return report

    def changes(self) -> str:
        """Which settings changed so that everything has to be encoded again; "" for none."""
        return self._home.changes()

    def refresh(self, progress: Progress = quiet) -> Report | None:
        """`sync` when something changed or a run was killed before its end.

        While another process is indexing, what it has stored so far is used: None.
        """
        if not self._sync.pending() and not self._sync.unfinished():
            return Report()
        self.warm()
        try:
            return self.sync(progress)
        except BusyError:
            if not self._store.exists():
                raise
            return None

    def ask(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        where: Where | None = None,
        passages: Sequence[Hit] | None = None,
        recall: Recall = "use",
    ) -> Answer:
        """Answer from the documents, with verbatim, located quotes; ``found`` is False when they don't answer.

        Args:
            question: in the documents' language.
            history: what was said before: a follow-up is made whole from it (``answer.asked``), and language models
                see it.
            where: which documents count.
            passages: hits of a search of your own to answer from, instead of searching.
            recall: whether an answer may be a remembered one (``answer.cached``), and is remembered.
        """
        self.warm()
        return self._pipeline.ask(question, history=history, where=where, passages=passages, recall=recall)

    def stream(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        where: Where | None = None,
        recall: Recall = "use",
    ) -> Iterator[Delta | Answer]:
        """Like `ask`, sentence by sentence; the last item is the Answer."""
        self.warm()
        return self._pipeline.stream(question, history=history, where=where, recall=recall)

    def search(self, query: str, k: int = 10, *, where: Where | None = None, mode: Mode | None = None) -> list[Hit]:
        """The ``k`` best passages."""
        return self.search_batch([query], k, where=where, mode=mode)[0]

    def search_batch(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        where: Where | None = None,
        mode: Mode | None = None,
        parents: Sequence[trace.Span] = (),
    ) -> list[list[Hit]]:
        """The ``k`` best passages for each query.

        Args:
            queries: texts.
            k: at most so many hits for each.
            where: which documents count.
            mode: None: as the settings say.
            parents: the span above each query, where they come from several requests.
        """
        self.warm()
        searcher = self._searchers[mode or self._mode]()
        with trace.retrieval(self.root.name, searcher.id, queries, k, parents) as step:
            found = searcher.search(queries, k, where)
            step.found(found)
        return found

    def search_images(self, query: str, k: int = 10, *, where: Where | None = None) -> list[Hit]:
        """The ``k`` images that are nearest to a text; ``chunk.source`` is the file, ``chunk.text`` empty.

        Raises:
            ConfigError: images are switched off.
        """
        seeing = self._seeing()
        with trace.retrieval(self.root.name, "image", [query], k) as step:
            found = seeing.by_text(query, k, where)
            step.found([found])
        return found

    def search_by_image(
        self, image: str | os.PathLike[str] | bytes, k: int = 10, *, images: bool = False, where: Where | None = None
    ) -> list[Hit]:
        """The ``k`` passages that are nearest to an image.

        Args:
            image: a file, or the content of one.
            k: at most so many.
            images: find images instead of passages.
            where: which documents count.

        Raises:
            ConfigError: images are switched off.
            ReadError: it is no image.
        """
        self.check_images()
        if isinstance(image, bytes):
            return self._seen(image, k, where, images)
        path = Path(image).expanduser()
        try:
            return self._seen(path.read_bytes(), k, where, images)
        except (OSError, ReadError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ReadError(f"{path}: {reason}") from error

    def _seen(self, image: bytes, k: int, where: Where | None, images: bool) -> list[Hit]:
        with trace.retrieval(self.root.name, "image", [""], k) as step:
            found = self._seeing().by_image(image, k, where, images=images)
            step.found([found])
        return found

    def check_images(self) -> None:
        """For a program that will search with images: say so before anything is indexed.

        Raises:
            ConfigError: images are switched off.
        """
        self._seeing()

    def _seeing(self) -> Pictured:
        if self._pictures is None:
            raise ConfigError("images are switched off: set image.name to a model that sees them (docs/images.md)")
        return self._pictures

    def document(self, doc_id: str, version: str) -> Document | None:
        """A stored document, to show a hit or a quote in its place."""
        return self._store.document(doc_id, version)

    def count(self) -> int:
        """Passages stored."""
        return self._store.count()

    def documents(self) -> dict[str, tuple[str, str]]:
        """Id -> (source, version) of all stored documents."""
        return self._store.stored()

    def files(self) -> dict[str, FileState]:
        """What is stored of every file, and why nothing is, by source."""
        return self._store.files()

    def document_ids(self) -> frozenset[str]:
        """Ids of all stored documents."""
        return frozenset(self._store.stored())

    def sample(self, count: int) -> list[Chunk]:
        """At most ``count`` stored passages, the same ones every time; to look at, or to make questions of."""
        return self._store.view().sample(count)

    def cosines(self) -> tuple[float, float]:
        """Mean and standard deviation of the cosine between two passages: the scale of all cosines here."""
        return self._store.view().cosines()

    def confidence(self, question: str, passages: Sequence[Hit]) -> float:
        """How sure the reader is that these passages answer, 0 to 1: ``answer.threshold`` is held against it."""
        return self._confidence(question, passages)

    def status(self) -> Status:
        """What is stored, and what is not and why."""
        files = self._store.files().values()
        images = self._store.images()
        return Status(
            root=str(self.root),
            home=str(self._home.folder),
            encoder=self._encoder.id,
            documents=sum(f.documents for f in files) - images,
            chunks=self._store.count(),
            images=images,
            pending=self._sync.pending(),
            failed=tuple(sorted((f for f in files if f.error), key=lambda f: f.source)),
        )
