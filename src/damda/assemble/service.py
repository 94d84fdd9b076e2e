"""Settings -> what a service has beside the knowledge base: a scorer, a bare language model, names of models."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from damda.answer.direct import Writer
from damda.assemble import assemble, models
from damda.assemble.llms import Llms, make_llms
from damda.knowledge import KnowledgeBase
from damda.settings import Settings
from damda.types import Encoder, Mode, Progress, Scorer, quiet

RAG = "damda"
"""The name of the model that answers from the documents."""


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that can be asked for over a network.

    Attributes:
        scorer: for ``/v1/rerank``.
        llms: the bare language models, guarded and remembered; None where the settings have none.
        names: of the models, by job: "encoder", "reranker".
        answers: how many answers can be made at once.
        modes: of search, those that can be used.
    """

    kb: KnowledgeBase
    settings: Settings
    encoder: Encoder
    scorer: Scorer
    llms: Llms | None
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
    writer, name = models.bare(models.housed(settings, root))
    writer = attended(writer) if writer else None
    kb = assemble(root, settings, progress, writer=writer)
    llms = make_llms(writer, name, settings, kb.home, lambda: kb.encoder, attended) if writer else None
    names = {"encoder": models.encoder_name(settings.encoder)}
    modes: tuple[Mode, ...] = ("hybrid", "bm25", "dense", "rrf", "convex")
    if settings.rerank.model:
        scorer: Scorer = models.make_reranker(settings.rerank, offline=settings.offline)
        names["reranker"] = settings.rerank.name or Path(settings.rerank.model).name
        modes += ("rerank",)
    else:
        from damda.search.rerank import Cosine

        scorer = Cosine(kb.encoder)
    return Service(kb, settings, kb.encoder, scorer, llms, names, models.slots_of(settings), modes)
