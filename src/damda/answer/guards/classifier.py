"""A trained classifier as a guard: how likely a text is what it was trained to find.

Knows: a folder of weights, windows of long texts, verdicts. Does not know: how the weights were found (``train.py``).

A folder holds ``manifest.json``, ``vectors.npy`` and, with n-grams, ``ngrams.npy``. No pickle: loading runs no code.
"""

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from damda.answer.guards.features import BESIDE, BITS, LONGEST, SHORTEST, Float, cells
from damda.answer.guards.logistic import sigmoid
from damda.errors import ConfigError
from damda.korean import sentences
from damda.types import Encoder, Found, Hit, Verdict

KIND = "guard-classifier"
VERSION = 1
NGRAMS = f"ngrams {SHORTEST}-{LONGEST} of jamo, 2**{BITS} cells"

_Scale = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Weights:
    """What training finds.

    Attributes:
        name: what is looked for: "toxic".
        encoder: id of the encoder whose vectors it was trained on.
        vectors: weight of each dimension, shape (dim,), float32.
        ngrams: for each cell how much it counts in a text, and its weight, shape (2, 2**BITS), float32; None: none.
        intercept: of the logit.
        threshold: probability from which on a text is found.
        window: characters that are read at once.
    """

    name: str
    encoder: str
    vectors: _Scale
    ngrams: _Scale | None
    intercept: float
    threshold: float
    window: int

    @property
    def features(self) -> tuple[str, ...]:
        """What it looks at, as the manifest says it."""
        return ("vectors",) if self.ngrams is None else ("vectors", NGRAMS)

    @property
    def id(self) -> str:
        """Changes whenever a score or what follows from it would."""
        about = (self.name, self.encoder, self.features, BESIDE, self.intercept, self.threshold, self.window)
        whole = hashlib.sha256(repr(about).encode())
        whole.update(self.vectors.tobytes())
        whole.update(b"" if self.ngrams is None else self.ngrams.tobytes())
        return whole.hexdigest()[:16]

    def probabilities(self, texts: Sequence[str], encoder: Encoder) -> Float:
        """For each text how likely it is, were both kinds equally frequent; shape (len(texts),). No windows."""
        logits = encoder.encode(texts, kind="query") @ self.vectors.astype(np.float64) + self.intercept
        if self.ngrams is not None:
            logits += [_written(self.ngrams, text) for text in texts]
        return sigmoid(np.asarray(logits, np.float64))


def _written(ngrams: _Scale, text: str) -> float:
    """What a text's n-grams add to its logit."""
    share, weight = ngrams[:, cells(text)].astype(np.float64)
    length = float(np.sqrt(share @ share))
    return BESIDE * float(share @ weight) / length if length else 0.0


class Classifier:
    """Fits ``Guard``.

    A text longer than the window is read in pieces of whole sentences, and its score is that of the likeliest piece.

    Args:
        weights: of `train`, or of a folder by `Classifier.load`.
        encoder: the one that it was trained with.
        action: what is done about a text whose score reaches the threshold.

    Raises:
        ConfigError: it was trained with another encoder.
    """

    def __init__(self, weights: Weights, encoder: Encoder, action: Literal["block", "flag"] = "block") -> None:
        if weights.encoder != encoder.id:
            raise ConfigError(
                f"the classifier {weights.name!r} was trained with the encoder {weights.encoder}, not with "
                f"{encoder.id}: train it again, or set encoder.name to that one"
            )
        if len(weights.vectors) != encoder.dim:
            raise ConfigError(
                f"the classifier {weights.name!r} is for {len(weights.vectors)} dimensions, "
                f"{encoder.id} has {encoder.dim}"
            )
        self.weights, self._encoder, self._action = weights, encoder, action
        self.name = weights.name
        self.id = f"classifier:{weights.name}:{weights.id}:{action}"

    @classmethod
    def load(cls, folder: Path, encoder: Encoder, action: Literal["block", "flag"] = "block") -> "Classifier":
        """The classifier that `damda guard train` has written.

        Raises:
            ConfigError: the folder is none, is damaged, or was trained with another encoder.
        """
        return cls(load(folder), encoder, action)

    def check(self, text: str, hits: Sequence[Hit] = ()) -> Verdict:
        """Blocks or flags a text, or a part of a long one, that is likely enough what it looks for."""
        spans = pieces(text, self.weights.window)
        if not spans:
            return Verdict("allow", text, score=0.0, guard="classifier")
        scores = self.weights.probabilities([text[a:b] for a, b in spans], self._encoder)
        over = [span for span, score in zip(spans, scores, strict=True) if score >= self.weights.threshold]
        found = tuple(Found(self.name, *span) for span in over)
        score = float(scores.max())
        if not found:
            return Verdict("allow", text, score=score, guard="classifier")
        return Verdict(self._action, "" if self._action == "block" else text, found, score, "classifier")


def pieces(text: str, window: int) -> list[tuple[int, int]]:
    """Spans of at most ``window`` characters that end with a sentence where one ends; a short text is one span."""
    if not text.strip():
        return []
    if len(text) <= window:
        return [(0, len(text))]
    spans: list[tuple[int, int]] = []
    for start, end in sentences(text):
        if spans and end - spans[-1][0] <= window:
            spans[-1] = (spans[-1][0], end)
            continue
        spans += [(at, min(at + window, end)) for at in range(start, end, window)]
    return spans


def is_classifier(folder: Path) -> bool:
    """Whether a folder holds a classifier, be it damaged."""
    try:
        about = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and about.get("kind") == KIND


def may_write(folder: Path) -> None:
    """Say no before the work.

    Raises:
        ConfigError: something else is there.
    """
    empty = folder.is_dir() and not any(folder.iterdir())
    if folder.exists() and not empty and not is_classifier(folder):
        raise ConfigError(f"{folder} is there and is no classifier: give another folder with --out")


def save(weights: Weights, about: Mapping[str, Any], folder: Path) -> None:
    """Write a folder, whole or not at all; one that holds a classifier is replaced.

    Args:
        about: what else the manifest tells.

    Raises:
        ConfigError: something else is there, or it can't be written.
    """
    may_write(folder)
    told = {
        "kind": KIND,
        "version": VERSION,
        "id": weights.id,
        "name": weights.name,
        "encoder": weights.encoder,
        "features": weights.features,
        "intercept": weights.intercept,
        "threshold": weights.threshold,
        "window": weights.window,
        **about,
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            draft.chmod(0o755)
            whole = draft / "new"
            whole.mkdir()
            np.save(whole / "vectors.npy", weights.vectors, allow_pickle=False)
            if weights.ngrams is not None:
                np.save(whole / "ngrams.npy", weights.ngrams, allow_pickle=False)
            text = json.dumps(told, ensure_ascii=False, indent=1)
            (whole / "manifest.json").write_text(text + "\n", encoding="utf-8")
            if folder.exists():
                folder.rename(draft / "old")
            whole.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise ConfigError(f"{folder} can't be written: {error.strerror}") from error


def load(folder: Path) -> Weights:
    """The weights in a folder.

    Raises:
        ConfigError: it holds no classifier, one of another version, or a damaged one.
    """
    if not (folder / "manifest.json").is_file():
        raise ConfigError(f"{folder} holds no classifier: `damda guard train FILE --out {folder}` makes one")
    try:
        about = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if about["kind"] != KIND or about["version"] != VERSION:
            raise ConfigError(
                f"{folder} holds {about['kind']} {about['version']}, not {KIND} {VERSION}: train it again"
            )
        with_ngrams = tuple(about["features"]) == ("vectors", NGRAMS)
        if not with_ngrams and about["features"] != ["vectors"]:
            raise ConfigError(f"{folder} looks at {', '.join(about['features'])}, unknown here: train it again")
        found = Weights(
            str(about["name"]),
            str(about["encoder"]),
            _array(folder / "vectors.npy", 1),
            _array(folder / "ngrams.npy", 2) if with_ngrams else None,
            float(about["intercept"]),
            float(about["threshold"]),
            int(about["window"]),
        )
        if not (math.isfinite(found.intercept) and 0 <= found.threshold <= 1 and found.window > 0):
            raise ValueError("manifest.json has an impossible number")
        if found.id != about["id"]:
            raise ValueError("the weights are not those that the manifest tells of")
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise ConfigError(f"the classifier in {folder} is damaged ({why}): train it again") from error
    return found


def _array(path: Path, dimensions: int) -> _Scale:
    found = np.load(path, allow_pickle=False)
    if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.ndim != dimensions:
        raise ValueError(f"{path.name} has another shape")
    if dimensions == 2 and found.shape != (2, 1 << BITS):
        raise ValueError(f"{path.name} has another shape")
    if not np.isfinite(found).all():
        raise ValueError(f"{path.name} has numbers that are none")
    return found
