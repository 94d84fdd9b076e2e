"""The bare language models of a service, by the names that clients use."""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from damda import config
from damda.answer.direct import Direct, Writer
from damda.assemble import guarding, models, remembering
from damda.errors import ConfigError
from damda.settings import Settings
from damda.types import NO_META, Encoder, Progress, quiet
from damda.weights import cache_folder

LLM = "llm"
"""Another name for the bare language model, whatever it is."""
_FRESH = 60.0
"""Seconds that a server's list of models counts for."""


class Llms:
    """One model with a name, or those of a server elsewhere that its settings name none of.

    Args:
        make: a model by its name elsewhere; "": the one that the settings mean.
        name: of the one that the settings mean; "": it has none, and there may be others.
        offered: names of the others, asked for when they are needed.
    """

    def __init__(self, make: Callable[[str], Direct], name: str, offered: Callable[[], Sequence[str]]) -> None:
        self._make, self._name, self._offered = make, name, offered
        self._made: dict[str, Direct] = {}
        self._there: tuple[float, Sequence[str]] | None = None
        self._lock = threading.Lock()

    def get(self, name: str) -> Direct | None:
        """The model of this name; None: there is none. May ask the server elsewhere."""
        if name == LLM or (name and name == self._name):
            return self._known("")
        return self._known(name) if name in self._others() else None

    def names(self) -> list[str]:
        """Every name. May ask the server elsewhere."""
        return [*([self._name] if self._name else self._others()), LLM]

    def _known(self, name: str) -> Direct:
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def _others(self) -> Sequence[str]:
        if self._name:
            return ()
        with self._lock:
            now = time.monotonic()
            if self._there is None or now - self._there[0] > _FRESH:
                self._there = now, self._offered()
            return self._there[1]


def llm(
    *,
    settings: Mapping[str, Any] = NO_META,
    config_file: str | os.PathLike[str] | None = None,
    progress: Progress = quiet,
) -> Direct:
    """The language model of the settings by itself: guarded, and remembered in ``home``.

    Args:
        settings: dotted keys, as in damda.toml: ``{"remote.url": "http://127.0.0.1:8000/v1"}``.
        config_file: a damda.toml; None: the one in the current folder, if any.
        progress: told about making the encoder, if a guard or a cache wants it.

    Raises:
        ConfigError: a setting is unknown or impossible, or there is no language model.
    """
    found = config.find(config_file, settings)
    writer, name = models.bare(found)
    if writer is None:
        raise ConfigError("the settings have no language model: set remote.url, or llama.model")

    def encoder() -> Encoder:
        return models.make_encoder(found.encoder, offline=found.offline, progress=progress)

    made = make_llms(writer, name, found, home_without_documents(found), encoder).get(LLM)
    assert made is not None
    return made


def home_without_documents(settings: Settings) -> Path:
    """Where things are kept that belong to no documents: ``home``, else damda's folder among the user's caches."""
    return Path(settings.home).expanduser() if settings.home else cache_folder() / "llm"


def make_llms(
    writer: Writer,
    name: str,
    settings: Settings,
    home: Path | None,
    encoder: Callable[[], Encoder],
    attended: Callable[[Writer], Writer] = lambda writer: writer,
) -> Llms:
    """The bare language models, guarded; and remembered, where there is a home.

    Args:
        writer, name: the one that the settings mean.
        settings: of everything.
        home: where texts are remembered.
        encoder: gets it, for guards and a cache that want one.
        attended: put around each other one; ``writer`` has it already.
    """
    guards = guarding.make_guards(settings, encoder, lambda: writer)
    texts = remembering.make_texts(settings, home, encoder) if home else None

    def make(other: str) -> Direct:
        return Direct(attended(models.elsewhere(settings, other)) if other else writer, guards, texts)

    return Llms(make, name, lambda: models.offered(settings) if settings.remote.url else ())
