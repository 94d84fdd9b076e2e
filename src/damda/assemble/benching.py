"""Settings, documents and questions -> what `damda bench` measures."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from damda import weights
from damda.assemble import models
from damda.assemble.compressing import built_in_texts, documents_of
from damda.bench import batching, caches, engines, positions, single
from damda.bench.fusion import fusion
from damda.bench.run import Study
from damda.bench.subject import Row, Subject
from damda.errors import ConfigError
from damda.measure.dataset import fetch
from damda.settings import Settings
from damda.types import Progress

QUESTIONS = (
    "How do I boil an egg?",
    "What is a library for?",
    "Why is the sky blue?",
    "Name three uses of salt.",
    "What does a bicycle need to be safe at night?",
    "How is tea made?",
    "도서관에서는 무엇을 하나요?",
    "하늘은 왜 파란가요?",
    "자전거를 밤에 안전하게 타려면 무엇이 필요한가요?",
    "소금은 어디에 쓰나요?",
    "차는 어떻게 끓이나요?",
    "겨울에 집을 따뜻하게 하려면 어떻게 하나요?",
)
"""Where the user brings none."""


def subject(
    model: str, draft: str, documents: Path | None, questions: Path | None, settings: Settings, progress: Progress
) -> Subject:
    """What is measured.

    Args:
        model, draft: GGUF files, folders with one, or names that `damda models` knows; draft "": none.

    Raises:
        ConfigError: one of them is no GGUF that is there, or there are no questions, or no texts.
        ReadError: a document can't be read.
    """
    path, small = _gguf(model), _gguf(draft) if draft else None
    asked = [q.text for q in fetch(questions, offline=settings.offline).questions] if questions else list(QUESTIONS)
    if not asked:
        raise ConfigError(f"{questions} has no questions")
    texts = list(built_in_texts().values())
    if documents:
        texts = [document.text for document in documents_of(documents, settings, progress).values()]
    if not any(text.strip() for text in texts):
        raise ConfigError(f"{documents} has no texts")
    return Subject(path, asked, texts, small, settings.llama.threads)


def studies(of: Subject, only: Sequence[str], settings: Settings, progress: Progress) -> dict[str, Study]:
    """Those that are wanted, the quickest first; all where ``only`` is empty.

    Raises:
        ConfigError: one of ``only`` is none.
    """

    def fused(tell: Progress) -> list[Row]:
        folder = models.built_in_encoder(settings.encoder.name, progress)
        return fusion(folder, of.passages, tell)

    found: dict[str, Study] = {"kv cache": partial(caches.kept, of), "cache memory": partial(caches.weighed, of)}
    found |= {name: partial(study, of) for name, study in single.studies()}
    if settings.encoder.name in models.BUILT_IN_ENCODERS:
        found["kernel fusion"] = fused
    found["batching"] = partial(batching.batching, of)
    found["engines"] = partial(engines.side_by_side, of)
    found["positions"] = partial(positions.positions, of)
    if unknown := sorted(set(only) - set(found)):
        raise ConfigError(f"{unknown[0]!r} is no study: give {', '.join(found)}")
    return {name: study for name, study in found.items() if not only or name in only}


def _gguf(name: str) -> Path:
    path = Path(weights.gguf(name))
    if not path.is_file():
        raise ConfigError(f"{name!r} is no model: give {', '.join(weights.GGUFS)}, a .gguf, or a folder with one")
    return path
