"""Settings -> caches: of answers, and of what the bare language model says."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from damda.assemble import models
from damda.settings import Settings
from damda.types import Encoder

if TYPE_CHECKING:
    from damda.answer.agreement.agree import Agreement
    from damda.answer.memory.cache import AnswerCache, TextCache
    from damda.answer.memory.remembered import Memory
    from damda.generate.kv import States

FILE, STATES = "answers.sqlite", "kv"
"""In a home: answers and texts; read prompts."""


def make_answers(settings: Settings, home: Path, encoder: Encoder) -> "AnswerCache | None":
    """What remembers answers; None where the settings want none."""
    from damda.answer.memory.cache import THRESHOLD, AnswerCache

    mode, threshold = settings.cache.mode, settings.cache.threshold
    if mode == "auto":  # an extractive answer is made anew in less time than a doubt is worth
        mode = "exact" if settings.answer.generator == "extract" else "semantic"
    if mode == "off":
        return None
    if mode == "exact":
        return AnswerCache(make_memory(settings, home))
    least = THRESHOLD if threshold is None else threshold
    return AnswerCache(make_memory(settings, home), encoder, _agreement(settings), least)


def make_texts(settings: Settings, home: Path, encoder: Callable[[], Encoder]) -> "TextCache | None":
    """What remembers the bare language model's texts; None where the settings want none."""
    from damda.answer.memory.cache import THRESHOLD, TextCache

    mode, threshold = settings.cache.llm, settings.cache.threshold
    if mode == "off":
        return None
    if mode == "exact":
        return TextCache(make_memory(settings, home))
    least = THRESHOLD if threshold is None else threshold
    return TextCache(make_memory(settings, home), encoder(), _agreement(settings), least)


def make_memory(settings: Settings, home: Path) -> "Memory":
    """Where a home keeps what it remembers; nothing is made before something is put there."""
    from damda.answer.memory.remembered import Memory

    return Memory(home / FILE, days=settings.cache.days, megabytes=settings.cache.megabytes)


def make_states(settings: Settings, home: Path) -> "States":
    """Where a home keeps what a llama model has computed of prompts (``llama.kv``)."""
    from damda.generate.kv import States

    return States(home / STATES, settings.llama.kv_megabytes)


def _agreement(settings: Settings) -> "Agreement":
    from damda.answer.agreement.agree import Agreement

    return Agreement(models.make_analyser(settings))
