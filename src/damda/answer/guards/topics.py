"""Topics given by example, as a guard: what is near to a forbidden one is found, or what is near to no allowed one.

Knows: the file of topics, nearness on a scale that does not depend on the encoder. Does not know: encoders.

Nearness is counted in standard deviations. The mean vector of the background sentences (``background.py``) is taken off
every vector, since encoders put all texts into one corner of the space (Mu and Viswanath 2018, "All-but-the-Top"); then
the mean cosine with the topic's examples is compared with that of the background sentences: 0 is what these have on
average, 2 lies two of their standard deviations above.
"""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from damda.answer.guards.background import SENTENCES
from damda.answer.guards.classifier import pieces
from damda.errors import ConfigError
from damda.korean import nfc
from damda.types import Encoder, Found, Hit, Verdict

FORBIDDEN = 2.0
"""Nearness from which on a text counts as about a forbidden topic. The same for all topics: thresholds made of each
topic's own examples, left out one at a time, were worse and far less even (benchmarks/topics.py)."""
ALLOWED = 1.0
"""The same for an allowed one. It is lower, for a question that is refused for nothing is what users see."""
OFF_TOPIC = "off-topic"
FEWEST = 3
_WINDOW = 300

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: its name, whether it is allowed, texts about it, and a threshold of its own; None: the default."""

    name: str
    allow: bool
    examples: tuple[str, ...]
    threshold: float | None = None


def read(file: Path) -> tuple[Topic, ...]:
    """Topics of a TOML file: ``[[topic]]`` with ``name``, ``examples``, and if wanted ``allow`` and ``threshold``.

    Raises:
        ConfigError: the file can't be read, or says something else.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"guard.topics {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"guard.topics {file} is not TOML: {error}") from error
    given = table.get("topic")
    if table.keys() - {"topic"} or not isinstance(given, list) or not given:
        raise ConfigError(f"guard.topics {file}: it has to hold [[topic]] tables, and nothing else")
    topics = tuple(_topic(f"guard.topics {file}, topic {n}", one) for n, one in enumerate(given, 1))
    names = [topic.name for topic in topics]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"guard.topics {file}: two topics are called {twice!r}")
    return topics


def _topic(where: str, given: object) -> Topic:
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: no table")
    if unknown := sorted(given.keys() - {"name", "allow", "examples", "threshold"}):
        raise ConfigError(f"{where}: {unknown[0]} is unknown; name, allow, examples and threshold are known")
    name, allow, threshold = given.get("name"), given.get("allow", False), given.get("threshold")
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"{where}: it has no name")
    if not isinstance(allow, bool):
        raise ConfigError(f"{where} ({name}): allow has to be true or false, not {allow!r}")
    if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, int | float)):
        raise ConfigError(f"{where} ({name}): threshold has to be a number, not {threshold!r}")
    return Topic(name.strip(), allow, _examples(f"{where} ({name})", given.get("examples")), threshold)


def _examples(where: str, given: Any) -> tuple[str, ...]:  # noqa: ANN401  whatever TOML holds
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise ConfigError(f"{where}: examples has to be a list of sentences")
    texts = tuple(dict.fromkeys(nfc(text).strip() for text in given if text.strip()))
    if len(texts) < FEWEST:
        raise ConfigError(f"{where}: {len(texts)} different examples are too few: at least {FEWEST}, better ten")
    return texts


class Topics:
    """Fits ``Guard``. Building one encodes nothing; the examples are encoded with the first check.

    A text is found when it is near enough to a forbidden topic and nearer to it than to every allowed one, or when
    there are allowed topics and it is near enough to none. A long text is read in pieces of 300 characters: one piece
    about a forbidden topic is enough, and so is one about an allowed topic.

    Args:
        file: as `read` wants it.
        encoder: of texts.
        action: what is done about what is found.
        threshold: for all topics that have none of their own; None: `FORBIDDEN` and `ALLOWED`.

    Raises:
        ConfigError: the file is no file of topics.
    """

    def __init__(
        self, file: Path, encoder: Encoder, action: Literal["block", "flag"] = "block", threshold: float | None = None
    ) -> None:
        self.topics, self._encoder, self._action = read(file), encoder, action
        defaults = [
            (ALLOWED if topic.allow else FORBIDDEN) if threshold is None else threshold for topic in self.topics
        ]
        self._thresholds = np.array(
            [own if (own := topic.threshold) is not None else d for topic, d in zip(self.topics, defaults, strict=True)]
        )
        self._allowed = np.array([topic.allow for topic in self.topics])
        about = (self.topics, self._thresholds.tolist(), SENTENCES, encoder.id, action)
        self.id = f"topics:{hashlib.sha256(repr(about).encode()).hexdigest()[:16]}"

    def check(self, text: str, hits: Sequence[Hit] = ()) -> Verdict:
        """Blocks or flags a text about a forbidden topic, or about no allowed one; ``score`` is the nearness."""
        spans = pieces(text, _WINDOW)
        if not spans:
            return Verdict("allow", text, guard="topics")
        near = self.nearness([text[a:b] for a, b in spans])
        forbidden, allowed = near[:, ~self._allowed], near[:, self._allowed]
        found = []
        score = float(forbidden.max()) if forbidden.size else float(allowed.max())
        for span, row in zip(spans, near, strict=True):
            rival = row[self._allowed].max(initial=-np.inf)
            over = (row >= self._thresholds) & ~self._allowed & (row > rival)
            found += [Found(self.topics[n].name, *span) for n in np.flatnonzero(over)]
        if not found and allowed.size and not (allowed >= self._thresholds[self._allowed]).any():
            found, score = [Found(OFF_TOPIC, 0, len(text))], float(allowed.max())
        if not found:
            return Verdict("allow", text, score=score, guard="topics")
        return Verdict(self._action, "" if self._action == "block" else text, tuple(found), score, "topics")

    def nearness(self, texts: Sequence[str]) -> Float:
        """How near each text is to each topic, shape (len(texts), topics), in standard deviations."""
        space = self._space
        return space.nearness(self._encoder.encode(texts, kind="query"))

    @cached_property
    def _space(self) -> "_Space":
        vectors = [self._encoder.encode(topic.examples, kind="query") for topic in self.topics]
        return _Space(self._encoder.encode(SENTENCES, kind="query"), vectors)


class _Space:
    """The middle of each topic, shape (topics, dim), and mean and standard deviation of the background's cosine."""

    def __init__(self, background: NDArray[np.float32], topics: Sequence[NDArray[np.float32]]) -> None:
        self._centre = background.astype(np.float64).mean(axis=0)
        self.middles = np.stack([self.placed(vectors).mean(axis=0) for vectors in topics])
        usual = self.placed(background) @ self.middles.T
        self.mean, self.spread = usual.mean(axis=0), np.maximum(usual.std(axis=0), 1e-9)

    def nearness(self, vectors: NDArray[np.float32]) -> Float:
        """How near each vector is to each topic, shape (len(vectors), topics)."""
        out: Float = (self.placed(vectors) @ self.middles.T - self.mean) / self.spread
        return out

    def placed(self, vectors: NDArray[np.float32]) -> Float:
        """Unit vectors from the background's middle."""
        moved = vectors - self._centre
        unit: Float = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
        return unit
