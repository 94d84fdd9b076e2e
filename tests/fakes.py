"""Fast stand-ins for what takes seconds to load, and a folder opened with them. Tests' child processes import this too.

They fit the Protocols of ``damda.types``; mypy checks that where they are handed to ``damda``.
"""

import hashlib
import re
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from damda import assemble
from damda.assemble import models
from damda.knowledge import KnowledgeBase
from damda.settings import EncoderSettings, Settings
from damda.types import NO_META, Kind, Morpheme, Progress, quiet


class FakeEncoder:
    """Unit vectors drawn from a text's hash: equal texts have cosine 1, others about 0. A token is a word.

    Args:
        id: as in ``Encoder``; it goes into the vectors too, so that those of two encoders differ.
        pause: seconds that each call takes.
    """

    def __init__(self, id: str = "fake", dim: int = 16, pause: float = 0.0) -> None:
        self.id, self.dim, self._pause = id, dim, pause
        self.encoded: list[str] = []  # every passage, in the order of the calls

    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        time.sleep(self._pause)
        if kind == "passage":
            self.encoded += texts
        vectors = np.empty((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            seed = hashlib.sha256(f"{self.id}\0{unicodedata.normalize('NFC', text)}".encode()).digest()
            vectors[row] = np.random.default_rng(int.from_bytes(seed[:8])).normal(size=self.dim)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class FakeAnalyser:
    """Words are what stands between spaces, in lower case."""

    def __init__(self, id: str = "split") -> None:
        self.id = id

    def content(self, texts: Sequence[str]) -> list[list[str]]:
        return [text.lower().split() for text in texts]

    def tags(self, texts: Sequence[str]) -> list[list[Morpheme]]:
        """Every word is a noun."""
        return [[Morpheme(m[0], "NNG", *m.span()) for m in re.finditer(r"\w+", text)] for text in texts]

    def load(self) -> None: ...


class Patch(Protocol):
    """``pytest.MonkeyPatch.setattr``, or plain ``setattr`` in a child process."""

    def __call__(self, target: Any, name: str, value: object, /) -> None: ...  # noqa: ANN401  modules have no closer type


def use_fakes(patch: Patch, encoder: FakeEncoder, analyser: FakeAnalyser | None = None) -> None:
    """Make ``damda.open`` build with these instead of e5 and Kiwi."""

    def make_encoder(settings: EncoderSettings, *, offline: bool, progress: Progress = quiet) -> FakeEncoder:
        return encoder

    def make_analyser(settings: Settings) -> FakeAnalyser:
        return analyser or FakeAnalyser(f"split{settings.search.user_dictionary}")

    patch(models, "make_encoder", make_encoder)
    patch(models, "make_analyser", make_analyser)


class Opener(Protocol):
    """Opens a folder with fakes; each call is like a new process with its own encoder."""

    def __call__(
        self, root: Path, encoder: FakeEncoder | None = None, *, settings: Mapping[str, Any] = NO_META
    ) -> KnowledgeBase: ...


def opener(patch: Patch) -> Opener:
    def opened(
        root: Path, encoder: FakeEncoder | None = None, *, settings: Mapping[str, Any] = NO_META
    ) -> KnowledgeBase:
        use_fakes(patch, encoder or FakeEncoder())
        return assemble.open(root, settings=settings)

    return opened


def found(kb: KnowledgeBase, word: str, k: int = 1000) -> dict[str, list[str]]:
    """Texts of all passages with this word, by document, in the order of the document."""
    hits = sorted(kb.search(word, k, mode="bm25"), key=lambda hit: (hit.chunk.doc_id, hit.chunk.start))
    texts: dict[str, list[str]] = {}
    for hit in hits:
        texts.setdefault(hit.chunk.doc_id, []).append(hit.chunk.text)
    return texts


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for another process; fail rather than hang."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"nothing happened in {seconds} s"
        time.sleep(0.01)


def use_named_fakes(patch: Patch, pause: float = 0.0) -> dict[str, FakeEncoder]:
    """Make ``damda.open`` build with a fake encoder for every ``encoder.name``; returned by name. The built-in one is
    as in `opener`."""
    made: dict[str, FakeEncoder] = {}

    def make_encoder(settings: EncoderSettings, *, offline: bool, progress: Progress = quiet) -> FakeEncoder:
        built_in = settings.name == EncoderSettings().name
        made[settings.name] = FakeEncoder("fake" if built_in else settings.name, pause=pause)
        return made[settings.name]

    use_fakes(patch, FakeEncoder())
    patch(models, "make_encoder", make_encoder)
    return made
