"""Settings -> objects: the only room that names concrete classes. Here the knowledge base; its models are beside it.

Building loads nothing slow: models load when they are first used, or side by side by ``KnowledgeBase.warm``.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from damda import config
from damda.answer.each import Each
from damda.answer.pipeline import Pipeline
from damda.assemble import conversation, guarding, models, remembering
from damda.embed.encoder import OnnxEncoder
from damda.embed.turned import Turned, read_matrix
from damda.errors import ConfigError, DamdaError
from damda.generate.extract import Extract, Gated
from damda.generate.reader import Reader
from damda.home import Home, home_of
from damda.ingest.chunk import CHUNKER_VERSION
from damda.ingest.read import READER_VERSION
from damda.ingest.sync import Sync
from damda.knowledge import KnowledgeBase
from damda.search.hybrid import Fused, convex, reciprocal_rank
from damda.search.pictures import Pictures
from damda.search.single import Bm25, Dense
from damda.search.store import Store
from damda.search.tables import sizes
from damda.settings import Settings
from damda.types import (
    NO_META,
    Analyser,
    Cache,
    Encoder,
    Generator,
    Guard,
    Mode,
    Place,
    Progress,
    Searcher,
    quiet,
)

TABLES = "lance"
"""In a home: the tables."""
STORE_VERSION = "1"
"""Goes up when the tables' columns change: older ones are made again from the documents."""


def open(  # noqa: A001  damda.open, as in shelve.open or tarfile.open
    path: str | os.PathLike[str],
    *,
    settings: Mapping[str, Any] = NO_META,
    config_file: str | os.PathLike[str] | None = None,
    encoder: Encoder | None = None,
    generator: Generator | None = None,
    guards: Mapping[Place, Sequence[Guard]] = MappingProxyType({}),
    cache: Cache | None = None,
    progress: Progress = quiet,
) -> KnowledgeBase:
    """Open a folder of documents, one file, or a corpus.jsonl. Nothing is read yet: call ``sync`` or ``refresh``.

    Args:
        path: the documents. They are read, never written; the index goes to ``.damda`` among them, or to ``home``.
        settings: dotted keys, as in damda.toml: ``{"answer.generator": "llama", "home": "/var/lib/damda"}``.
        config_file: a damda.toml; None: the one in the current folder, else the one beside the documents, if any.
        encoder, generator, cache: objects of your own instead of those that the settings name.
        guards: of your own, behind those that the settings name: ``{"answer": [MyGuard()]}``.
        progress: told about making the encoder, on its very first use.

    Raises:
        ConfigError: a setting is unknown or impossible, or the path does not exist.
        WeightsError: the encoder's files are missing or damaged.
    """
    root = root_of(path)
    found = config.find(config_file, settings, root)
    return assemble(root, found, progress, encoder, generator, guards=guards, cache=cache)


def root_of(path: str | os.PathLike[str]) -> Path:
    """The documents at a path, as `assemble` wants them.

    Raises:
        ConfigError: nothing is there.
    """
    root = Path(path).expanduser()
    if not root.exists():
        raise ConfigError(f"{root} does not exist: give a folder of documents, a file, or a corpus.jsonl")
    return root.resolve()


def assemble(
    root: Path,
    settings: Settings,
    progress: Progress = quiet,
    encoder: Encoder | None = None,
    generator: Generator | None = None,
    writer: Generator | None = None,
    *,
    guards: Mapping[Place, Sequence[Guard]] = MappingProxyType({}),
    cache: Cache | None = None,
    candidate: bool = False,
) -> KnowledgeBase:
    """Build everything for one root; an encoder or generator that is given takes the place of the settings' one.

    ``writer`` is the settings' bare language model where the caller has made it already: it is loaded once then.
    A ``candidate`` has its tables beside those in use; `candidates.make` is the door to it.
    """
    settings = models.housed(settings, root)
    if not candidate:
        models.check_adopted(settings, root, besides="encoder." if encoder else "")
    analyser = models.make_analyser(settings)
    encoder = encoder or models.make_encoder(settings.encoder, offline=settings.offline, progress=progress)
    loads = [analyser.load, *([encoder.load] if isinstance(encoder, OnnxEncoder) else [])]
    images = models.make_image_encoder(settings) if settings.image.name else None
    parts = {
        "encoder": encoder.id,
        "chunks": f"{CHUNKER_VERSION} of {settings.chunk.tokens} tokens",
        "morphemes": analyser.id,
        "reader": READER_VERSION,
        "store": STORE_VERSION,
    }
    if images:  # else nothing changes for those who have none
        parts["images"] = images.id + ("" if settings.image.passages else " without passages")
    home = Home(home_of(root, settings.home), root, parts, candidate=candidate)
    tables = home.folder / TABLES
    store = Store(tables, home.fingerprint, encoder.dim, partial(sizes, tables) if candidate else home.kept)
    sync = Sync(
        root,
        store,
        encoder,
        analyser,
        reading=settings.read,
        chunk_tokens=settings.chunk.tokens,
        images=images,
        passages=settings.image.passages,
    )
    searchers = make_searchers(settings, store, encoder, analyser)
    generator = generator or make_generator(settings, encoder, analyser, store, writer)
    pipeline = Pipeline(
        searchers[settings.search.mode](),
        generator,
        store.document,
        analyser,
        passages=settings.answer.passages,
        max_tokens=settings.answer.max_tokens,
        temperature=settings.answer.temperature,
        instructions=settings.answer.instructions,
        source=root.name,
        followup=conversation.make_followup(settings, encoder, analyser, store, generator),
        guards=guarding.make_guards(settings, lambda: encoder, lambda: writer or models.judging(settings), guards),
        cache=cache or remembering.make_answers(settings, home.folder, encoder),
        state=lambda: f"{store.fingerprint}:{store.view().state()}",
    )
    return KnowledgeBase(
        root,
        home,
        encoder,
        store,
        sync,
        searchers,
        settings.search.mode,
        pipeline,
        partial(_in_background, loads),
        Pictures(store, images, passages=settings.image.passages) if images else None,
        lambda question, hits: make_reader(encoder, analyser, store).read(question, hits).confidence,
    )


def make_searchers(
    settings: Settings, store: Store, encoder: Encoder, analyser: Analyser
) -> dict[Mode, Callable[[], Searcher]]:
    """How to make each mode's searcher; making one loads nothing."""
    search, bm25 = settings.search, Bm25(store, analyser)
    dense = Dense(store, Turned(encoder, read_matrix(Path(search.adapter))) if search.adapter else encoder)
    fused = partial(Fused, store=store, bm25=bm25, dense=dense, candidates=search.candidates)
    hybrid = fused("hybrid", weights=f"{search.vectors:g}", worth=search.vectors)

    @cache
    def reranked() -> Searcher:
        from damda.search.rerank import Reranked

        reranker = models.make_reranker(settings.rerank, offline=settings.offline)
        return Reranked(hybrid, reranker, settings.rerank.top)

    return {
        "bm25": lambda: bm25,
        "dense": lambda: dense,
        "rrf": lambda: fused("rrf", fuse=reciprocal_rank(search.rrf_k), weights=f"{search.rrf_k}"),
        "convex": lambda: fused("convex", fuse=convex(search.weight), weights=f"{search.weight:g}"),
        "hybrid": lambda: hybrid,
        "rerank": reranked,
    }


def make_generator(
    settings: Settings, encoder: Encoder, analyser: Analyser, store: Store, writer: Generator | None = None
) -> Generator:
    """The generator that ``answer.generator`` names, of ``writer`` where that is it; making one loads nothing."""
    if settings.answer.generator == "remote":
        return writer or models.make_writer(settings)
    reader = make_reader(encoder, analyser, store)
    if settings.answer.generator == "llama":
        from damda.generate.llama import Llama

        if settings.llama.each and settings.llama.mode != "quote":
            raise ConfigError('llama.each gives the best quote: set llama.mode to "quote", or llama.each to 0')
        if writer is None or settings.llama.mode == "quote":  # a bare one writes
            quoter = Llama(models.llama_settings(settings.llama), kv_folder=models.kv_folder(settings))
            writer = Each(quoter, settings.llama.each) if settings.llama.each else quoter
        return Gated(writer, reader, threshold=settings.answer.threshold)
    if settings.answer.generator == "openvino" and settings.openvino.mode == "quote":  # a bare one writes
        return Gated(models.openvino(settings.openvino), reader, threshold=settings.answer.threshold)
    if settings.answer.generator in ("openvino", "transformers"):
        return Gated(writer or models.make_writer(settings), reader, threshold=settings.answer.threshold)
    return Extract(reader, quotes=settings.answer.quotes, threshold=settings.answer.threshold)


def make_reader(encoder: Encoder, analyser: Analyser, store: Store) -> Reader:
    """What finds the answering sentences of passages; making one loads nothing."""
    onnx = encoder if isinstance(encoder, OnnxEncoder) else None
    known = onnx.cosines if onnx else None
    return Reader(
        encoder,
        analyser,
        lambda: known or store.view().cosines(),
        lambda words: store.view().rarity(words),
        onnx.encode_parts if onnx else None,
    )


def _in_background(loads: Sequence[Callable[[], object]]) -> None:
    """Start loading what is slow, side by side; each is loaded once, and whoever needs it waits for it only."""

    def run(load: Callable[[], object]) -> None:
        try:
            load()
        except DamdaError:
            pass  # whoever needs it loads again, and gets the error where it can be shown

    for load in loads:
        # Not a daemon: one that is killed inside native code takes the whole process down with an abort.
        threading.Thread(target=run, args=(load,)).start()
