"""Makes what is stored equal to what is in the folder, at the price of what changed.

Knows: which files changed, in which order to store so that nothing reported is ever lost, how reading, analysing and
encoding overlap. Does not know: formats, models, tables; they come as arguments.

A file is looked at again when its stamp (size, times, inode) differs; a document is encoded again when its bytes do.
Documents are stored in batches, each whole. A file counts as done after its last document: a run that was killed goes
on where it stopped, and re-reads at most the files of one batch.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from damda.errors import ReadError
from damda.ingest.chunk import chunk
from damda.ingest.formats import IMAGES, ending
from damda.ingest.read import read, read_image
from damda.ingest.walk import Found, Skipped, walk
from damda.library import FileState, Library, Prepared
from damda.settings import ReadSettings
from damda.types import Analyser, Chunk, Document, Encoder, ImageEncoder, Progress

# A batch is stored when it has this many passages, or has waited this long: what a kill can cost.
_BATCH_CHUNKS = 256
_BATCH_SECONDS = 10.0
# A file changed so shortly before it was read may change again without a new time stamp; its stamp is not trusted.
_TRUST_AFTER = 2.0
# How the error of a file begins that holds a document which another file has: it is tried again when any file changes.
_TAKEN = "already stored from "


@dataclass(slots=True)
class Report:
    """What a sync did. Images are counted by themselves, not among the documents.

    ``rebuilt`` names the settings that changed so that everything was encoded again. ``seconds`` says where the time
    went (stages overlap, so they add up to more than ``wall``).
    """

    unchanged: int = 0
    read: int = 0
    removed: int = 0
    documents: int = 0
    chunks: int = 0
    images: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    failed: list[FileState] = field(default_factory=list)
    rebuilt: str = ""
    wall: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return bool(self.read or self.removed)

    def clock(self, stage: str, since: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - since


@dataclass(frozen=True, slots=True)
class _Piece:
    """Part of a file: documents to store. The file's last piece has its ``state`` and the documents that left it."""

    size: int
    new: list[tuple[Document, list[Chunk]]]
    gone: list[str] = field(default_factory=list)
    state: FileState | None = None
    image: Prepared | None = None
    changed: bool = True
    """Of a last piece: whether the file brought or lost a document, or is new; its stamp alone may have changed."""

    @property
    def chunks(self) -> int:
        return sum(len(chunks) for _, chunks in self.new)


class Sync:
    """One folder, file or corpus, and the library that mirrors it.

    Args:
        root: folder or single file.
        library: where documents are kept.
        encoder: makes the vectors, and counts tokens for the chunker.
        analyser: makes the words.
        reading: limits for reading.
        chunk_tokens: most tokens of a passage.
        images: makes the vectors of images; None: images are passed over.
        passages: whether it encodes the passages too, so that an image finds them.
    """

    def __init__(
        self,
        root: Path,
        library: Library,
        encoder: Encoder,
        analyser: Analyser,
        *,
        reading: ReadSettings,
        chunk_tokens: int,
        images: ImageEncoder | None = None,
        passages: bool = True,
    ) -> None:
        self._root, self._library = root, library
        self._encoder, self._analyser = encoder, analyser
        self._reading, self._chunk_tokens = reading, chunk_tokens
        self._images, self._passages = images, passages

    def pending(self) -> int:
        """Files that the next run would read or remove. Looks at the folder only; reads no file."""
        found, _ = self._walk()
        known = self._library.files()
        changed = sum(known.get(f.source) is None or known[f.source].stamp != f.stamp for f in found)
        return changed + len(known.keys() - {f.source for f in found})

    def unfinished(self) -> bool:
        """Whether a run was ended before its indexes were whole; the next run completes them."""
        return self._library.unfinished()

    def run(self, progress: Progress) -> Report:
        """Read what changed, store it, remove what is gone.

        Raises:
            ReadError: the root itself can't be read, or is empty while files of it are stored.
            StoreError: the disk refused. What was stored before stays.
        """
        begun = time.perf_counter()
        report = Report()
        found, report.skipped = self._walk()
        known = self._library.files()
        changed = [f for f in found if f.source not in known or known[f.source].stamp != f.stamp]
        gone = sorted(known.keys() - {f.source for f in found})
        if known and not found and not report.skipped:
            # More likely a share that is not mounted than a wish to forget everything.
            raise ReadError(
                f"{self._root} is empty, but {len(known)} files of it are stored: is it mounted? "
                "To forget them, delete the index"
            )
        if changed or gone:
            waiting = {state.source for state in known.values() if state.error.startswith(_TAKEN)}
            waiting |= {f.source for f in changed}
            changed = [f for f in found if f.source in waiting]
        report.unchanged = len(found) - len(changed)
        report.clock("scan", begun)
        if changed or gone or self._library.unfinished():
            stored = self._library.stored()
            self._remove(gone, {f.source for f in found}, stored, report)
            self._store(self._read(changed, stored, report), sum(f.size for f in changed), report, progress)
            since = time.perf_counter()
            self._library.finish(progress)
            report.clock("index", since)
        changed_now = {f.source for f in changed}
        here = {f.source for f in found}
        report.failed += [s for s in known.values() if s.error and s.source in here and s.source not in changed_now]
        report.failed.sort(key=lambda s: s.source)
        report.wall = time.perf_counter() - begun
        return report

    def _walk(self) -> tuple[list[Found], list[Skipped]]:
        return walk(self._root, self._reading, images=self._images is not None)

    def _remove(self, gone: list[str], here: set[str], stored: dict[str, tuple[str, str]], report: Report) -> None:
        # Not only those of gone: a killed run stored documents without their file's state, and that file may be gone.
        doc_ids = [doc_id for doc_id, (source, _) in stored.items() if source not in here]
        if not doc_ids and not gone:
            return
        self._library.forget(doc_ids)
        self._library.record([], gone)
        for doc_id in doc_ids:
            del stored[doc_id]
        report.removed = len(gone)

    def _read(self, changed: list[Found], stored: dict[str, tuple[str, str]], report: Report) -> Iterator[_Piece]:
        """Read and cut changed files one after another. A file that can't be read leaves what is stored of it alone."""
        by_source: dict[str, list[str]] = {}
        for doc_id, (source, _) in stored.items():
            by_source.setdefault(source, []).append(doc_id)
        # Documents may move between files that changed: until its file is read, an id belongs to whoever has it now.
        unread = {found.source for found in changed}
        for fresh in changed:
            since = time.perf_counter()
            found = replace(fresh, stamp=_stamp(fresh))
            unread.remove(found.source)
            old = by_source.get(found.source, [])
            try:
                if self._images is not None and ending(found.path.name) in IMAGES:
                    yield self._image(found, self._images, stored, unread)
                    report.clock("images", since)
                    continue
                documents = read(found, self._reading)
                _check_ids(documents, stored, unread)
            except ReadError as error:
                yield _Piece(found.size, [], state=FileState(found.source, found.stamp, len(old), error=str(error)))
                continue
            report.clock("read", since)
            yield from self._pieces(found, documents, old, stored, report)

    def _image(
        self, found: Found, images: ImageEncoder, stored: dict[str, tuple[str, str]], unread: set[str]
    ) -> _Piece:
        """An image with its vector. It is encoded here, one at a time, since only then is it known to be one."""
        document, data = read_image(found, self._reading)
        _check_ids([document], stored, unread)
        state = FileState(found.source, found.stamp, 1)
        if stored.get(document.id) == (found.source, document.version):
            return _Piece(found.size, [], state=state, changed=False)
        vectors = images.encode_images([data])
        stored[document.id] = (found.source, document.version)
        place = Chunk(f"{document.id}#0", document.id, "", 0, 0, document.title, "", found.source, document.version)
        return _Piece(found.size, [], state=state, image=Prepared(document, [place], [], vectors))

    def _pieces(
        self,
        found: Found,
        documents: list[Document],
        old: list[str],
        stored: dict[str, tuple[str, str]],
        report: Report,
    ) -> Iterator[_Piece]:
        kept: set[str] = set()
        new: list[tuple[Document, list[Chunk]]] = []
        waiting = total = told = 0
        for document in documents:
            if stored.get(document.id) == (found.source, document.version):
                kept.add(document.id)
                continue
            since = time.perf_counter()
            chunks = chunk(document, self._encoder.count_tokens, self._chunk_tokens)
            report.clock("chunk", since)
            if not chunks:
                continue
            kept.add(document.id)
            stored[document.id] = (found.source, document.version)
            new.append((document, chunks))
            waiting, total = waiting + len(chunks), total + len(chunks)
            if waiting >= _BATCH_CHUNKS:
                size = found.size * len(new) // len(documents)
                told += size
                yield _Piece(size, new)
                new, waiting = [], 0
        gone = [doc_id for doc_id in old if doc_id not in kept and stored[doc_id][0] == found.source]
        for doc_id in gone:
            del stored[doc_id]
        state = FileState(found.source, found.stamp, len(kept), total)
        yield _Piece(found.size - told, new, gone, state, changed=bool(total or gone or not old))

    def _store(self, pieces: Iterator[_Piece], total: int, report: Report, progress: Progress) -> None:
        """Encode and store in batches. Reading runs one batch ahead in its own thread."""
        done = 0
        progress("reading and encoding", 0, total)
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as analyser:
            batches = _batched(pieces)
            ahead = reader.submit(next, batches, None)
            while (batch := ahead.result()) is not None:
                ahead = reader.submit(next, batches, None)
                documents = [pair for piece in batch for pair in piece.new]
                size = sum(piece.size for piece in batch)

                def advance(share: float, at: int = done, size: int = size) -> None:
                    progress("reading and encoding", at + int(size * share), total)

                prepared = self._prepare(documents, analyser, report, advance)
                pictured = self._pictured(prepared, report) + [piece.image for piece in batch if piece.image]
                since = time.perf_counter()
                self._commit(batch, prepared, pictured)
                report.clock("write", since)
                done += size
                progress("reading and encoding", done, total)
                _count(report, batch)

    def _prepare(
        self,
        documents: Sequence[tuple[Document, list[Chunk]]],
        analyser: ThreadPoolExecutor,
        report: Report,
        advance: Callable[[float], None],
    ) -> list[Prepared]:
        import numpy as np

        texts = [piece.in_context() for _, chunks in documents for piece in chunks]
        if not texts:
            return []
        begun = time.perf_counter()

        def analyse() -> list[list[str]]:
            words = self._analyser.content(texts)
            report.clock("morphemes", begun)
            return words

        analysed = analyser.submit(analyse)
        slices = [texts[at : at + 64] for at in range(0, len(texts), 64)]
        parts = []
        for n, piece in enumerate(slices, 1):
            parts.append(self._encoder.encode(piece, kind="passage"))
            advance(n / (len(slices) + 1))
        report.clock("encode", begun)
        vectors, words = np.concatenate(parts), analysed.result()
        prepared, at = [], 0
        for document, chunks in documents:
            to = at + len(chunks)
            prepared.append(Prepared(document, chunks, words[at:to], vectors[at:to]))
            at = to
        return prepared

    def _pictured(self, prepared: Sequence[Prepared], report: Report) -> list[Prepared]:
        """The same passages with vectors in the space of the images."""
        if self._images is None or not self._passages:
            return []
        begun, pictured = time.perf_counter(), []
        for p in prepared:
            vectors = self._images.encode([piece.in_context() for piece in p.chunks], kind="passage")
            pictured.append(Prepared(p.document, p.chunks, [], vectors))
        report.clock("encode for images", begun)
        return pictured

    def _commit(self, batch: list[_Piece], prepared: list[Prepared], pictured: list[Prepared]) -> None:
        if prepared or pictured:
            self._library.put(prepared, pictured)
        here = {p.document.id for p in (*prepared, *pictured)}
        self._library.forget([doc_id for piece in batch for doc_id in piece.gone if doc_id not in here])
        self._library.record([piece.state for piece in batch if piece.state])


def _stamp(found: Found) -> str:
    """The file's stamp; "", which equals none, if the file is so fresh that it may change again under the same one."""
    times = (int(part) / 1e9 for part in found.stamp.split(":")[1:3])
    return "" if any(abs(time.time() - changed) < _TRUST_AFTER for changed in times) else found.stamp


def _check_ids(documents: list[Document], stored: dict[str, tuple[str, str]], unread: set[str]) -> None:
    seen: set[str] = set()
    for document in documents:
        before = stored.get(document.id)
        if document.id in seen:
            raise ReadError(f"the id {document.id!r} stands twice in it; ids must be unique")
        if before is not None and before[0] != document.source and before[0] not in unread:
            raise ReadError(f"{_TAKEN}{before[0]}: the document {document.id!r}; ids must be unique")
        seen.add(document.id)


def _count(report: Report, batch: list[_Piece]) -> None:
    for piece in batch:
        report.documents += len(piece.new)
        report.images += piece.image is not None
        report.chunks += piece.chunks
        if piece.state and piece.state.error:
            report.failed.append(piece.state)
        elif piece.state and piece.changed:
            report.read += 1
        elif piece.state:
            report.unchanged += 1


def _batched(pieces: Iterator[_Piece]) -> Iterator[list[_Piece]]:
    batch: list[_Piece] = []
    size, since = 0, time.monotonic()
    for piece in pieces:
        batch.append(piece)
        size += piece.chunks + (piece.image is not None)
        if size >= _BATCH_CHUNKS or time.monotonic() - since > _BATCH_SECONDS:
            yield batch
            batch, size, since = [], 0, time.monotonic()
    if batch:
        yield batch
