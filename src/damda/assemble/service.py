"""Settings -> what a service has beside the knowledge base: a scorer, a bare language model, names of models."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from damda.assemble import assemble, models
from damda.config import Settings
from damda.knowledge import KnowledgeBase
from damda.types import Encoder, Mode, Progress, Scorer, Writer, quiet

RAG = "damda"
"""The name of the model that answers from the documents."""


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that can be asked for over a network.

    Attributes:
        scorer: for ``/v1/rerank``.
        writer: the bare language model; None where the settings have none.
        names: of the models, by job: "encoder", "reranker", "writer".
        answers: how many answers can be made at once.
        modes: of search, those that can be used.
    """

    kb: KnowledgeBase
    settings: Settings
    encoder: Encoder
    scorer: Scorer
    writer: Writer | None
    names: dict[str, str]
    answers: int
    modes: tuple[Mode, ...]


def service(
    root: Path,
    settings: Settings,
    progress: Progress = quiet,
    attended: Callable[[Writer], Writer] = lambda writer: writer,
) -> Service:
    """Build it; nothing slow is loaded.

    Args:
        root: the documents.
        settings: of everything.
        progress: told about making the encoder, on its very first use.
        attended: put around the language model; may have it stop when nobody waits for its text any more.

    Raises:
        ConfigError, WeightsError, MissingExtra: as `damda.open`.
    """
    writer, name = bare(settings)
    writer = attended(writer) if writer else None
    kb = assemble(root, settings, progress, writer=writer)
    names = {"encoder": models.encoder_name(settings.encoder)} | ({"writer": name} if writer else {})
    modes: tuple[Mode, ...] = ("hybrid", "bm25", "dense", "rrf", "convex")
    if settings.rerank.model:
        scorer: Scorer = models.make_reranker(settings.rerank, offline=settings.offline)
        names["reranker"] = settings.rerank.name or Path(settings.rerank.model).name
        modes += ("rerank",)
    else:
        from damda.search.rerank import Cosine

        scorer = Cosine(kb.encoder)
    return Service(kb, settings, kb.encoder, scorer, writer, names, models.slots_of(settings), modes)


def bare(settings: Settings) -> tuple[Writer | None, str]:
    """The bare language model and its name: the generator's where it is one, else any that is set."""
    kind = settings.answer.generator
    if kind == "extract":
        kind = "remote" if settings.remote.url else "llama" if settings.llama.model else kind
    if kind == "extract":
        return None, ""
    chosen = settings.model_copy(update={"answer": settings.answer.model_copy(update={"generator": kind})})
    name = settings.remote.model if kind == "remote" else Path(settings.llama.model).stem
    return models.make_writer(chosen), name
