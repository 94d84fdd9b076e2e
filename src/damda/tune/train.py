"""One training, from the first batch to the best weights.

Knows: validation, early stopping, checkpoints, resuming, how long it will take. Does not know: what is learnt (a loss
says), which rows go together, or where texts come from.

Training runs in sentence-transformers' trainer. A run that was stopped, by Ctrl-C or by a kill, goes on from its last
checkpoint when it is started again with the same data and settings; with others it begins anew.
"""

import hashlib
import json
import math
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from damda import runtime
from damda.errors import ConfigError
from damda.tune.batches import batches
from damda.types import Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Texts = Mapping[str, Sequence[Any]]
"""Columns of texts, in the order that the loss takes them; a last column ``label`` of numbers where it wants one."""

_SAVE_EVERY = 60.0
"""Seconds between checkpoints: what a kill may cost."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How something is learnt.

    Attributes:
        epochs: rounds over the data, at most.
        batch: rows a step.
        rate: highest learning rate; it rises over the first ``warmup`` share of the steps, then falls to 0.
        checks: validations an epoch.
        patience: validations without a gain before training stops.
        rates: patterns of weights' names -> a highest learning rate of their own.
    """

    epochs: float = 1.0
    batch: int = 32
    rate: float = 2e-5
    warmup: float = 0.1
    checks: int = 2
    patience: int = 3
    seed: int = 42
    rates: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Trained:
    """What a training did: ``curve`` has (step, loss), ``scores`` (step, validation score); the best step's weights
    are those that the model has now."""

    steps: int
    best_step: int
    best: float
    before: float
    seconds: float
    curve: list[tuple[int, float]] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a training will take: seconds of computing, and bytes of memory at its widest batch."""

    steps: int
    seconds: float
    memory: int

    def check(self) -> None:
        """Find out before the first step whether it fits.

        Raises:
            ConfigError: this machine has too little memory.
        """
        has = runtime.memory()
        if has is not None and self.memory > has:
            raise ConfigError(
                f"this takes {self.memory / 1e9:.1f} GB of memory, and this machine has {has / 1e9:.1f}: give a "
                "smaller --batch, train fewer weights (LoRA), or train on a larger one: the result runs here"
            )


def estimate(model: "SentenceTransformer", loss: Any, texts: Texts, recipe: Recipe, *, distinct: bool) -> Estimate:  # noqa: ANN401  a torch module
    """Time one step on a batch of middle length, and see how much memory the widest takes; weights stay as they are.

    Raises:
        ConfigError: there is too little data.
    """
    import resource

    from damda.tune.trainer import backward

    _enough(texts, recipe, "training", distinct=distinct)
    rows = _batched(texts, recipe, distinct=distinct, epoch=0)
    lengths = _lengths(texts)
    ordered = sorted(rows, key=lambda batch: sum(lengths[row] for row in batch))
    backward(model, loss, texts, ordered[len(ordered) // 2][:2])  # what is set up once
    begun = time.perf_counter()
    backward(model, loss, texts, ordered[len(ordered) // 2])
    seconds = time.perf_counter() - begun
    backward(model, loss, texts, max(rows, key=lambda batch: max(lengths[row] for row in batch)))
    model.zero_grad(set_to_none=True)
    # Adam keeps two more numbers of each weight that is trained, and its gradient one.
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if _kilobytes_are_bytes() else 1024)
    model.eval()
    steps = math.ceil(len(rows) * recipe.epochs)
    return Estimate(steps, steps * seconds, peak + 2 * trained)


def _kilobytes_are_bytes() -> bool:
    import sys

    return sys.platform == "darwin"


def fit(
    model: "SentenceTransformer",
    loss: Any,  # noqa: ANN401  a torch module of sentence-transformers
    texts: Texts,
    recipe: Recipe,
    work: Path,
    validate: Callable[[], float],
    progress: Progress,
    *,
    what: str,
    distinct: bool = False,
) -> Trained:
    """Train ``model`` in place; at the end it has the weights of its best validation, which may be those it came with.

    Args:
        loss: of sentence-transformers, made for this model.
        work: a folder of this training alone; checkpoints go there, and what was learnt stays there.
        validate: how good the model is now; higher is better.
        what: the training's name, for the progress.
        distinct: no text twice in a batch.

    Raises:
        KeyboardInterrupt: after Ctrl-C; a checkpoint was written first.
        ConfigError: there is too little data, or the folder can't be written.
    """
    from damda.tune.trainer import load_weights, run, save_weights

    _enough(texts, recipe, what, distinct=distinct)
    about = {"recipe": asdict(recipe), "texts": _digest(texts), "model": digest(model), "distinct": distinct}

    def batched(epoch: int) -> list[list[int]]:
        return _batched(texts, recipe, distinct=distinct, epoch=epoch)

    return session(
        work,
        about,
        recipe,
        validate,
        Weights(lambda folder: save_weights(model, folder), lambda folder: load_weights(model, folder)),
        lambda watch: run(model, loss, texts, recipe, work, watch, batched),
        progress,
        what=what,
    )


@dataclass(frozen=True, slots=True)
class Weights:
    """How what is learnt is kept in a folder, and put back."""

    save: Callable[[Path], None]
    load: Callable[[Path], None]


def session(
    work: Path,
    about: Mapping[str, Any],
    recipe: Recipe,
    validate: Callable[[], float],
    weights: Weights,
    run: Callable[["Watch"], None],
    progress: Progress,
    *,
    what: str,
    every: float | None = None,
) -> Trained:
    """A training by any trainer that tells a Watch of its steps: it ends with the weights of its best validation.

    Args:
        work: a folder of this training alone.
        about: all that it depends on; one with the same goes on from where it was.
        run: trains from the last checkpoint in ``work``, or from the start.
        every: seconds between checkpoints; None: a minute.

    Raises:
        KeyboardInterrupt, ConfigError: as in `fit`.
    """
    _begin(work, about)
    done = work / "done.json"
    if done.is_file():
        weights.load(work / "best")
        return _trained(json.loads(done.read_text(encoding="utf-8")))
    watch = Watch(work, recipe, validate, lambda: weights.save(work / "best"), progress, what, every)
    with _interrupts(watch):
        run(watch)
    if watch.interrupted:
        signal.raise_signal(signal.SIGINT)  # whoever handled it before does so now
        raise KeyboardInterrupt  # nobody did
    weights.load(work / "best")
    trained = watch.outcome()
    write_json(done, asdict(trained))
    for left in work.glob("checkpoint-*"):
        shutil.rmtree(left)
    return trained


class Watch:
    """What happens beside the steps: validation, checkpoints, stopping. Its state is in ``watch.json`` for a resume.

    Args:
        work, recipe, validate, progress, what: as in `fit`.
        keep: saves the weights as they are now as the best.
        every: seconds between checkpoints; None: a minute.
    """

    def __init__(
        self,
        work: Path,
        recipe: Recipe,
        validate: Callable[[], float],
        keep: Callable[[], None],
        progress: Progress,
        what: str,
        every: float | None = None,
    ) -> None:
        self.interrupted = False
        self._seconds = _SAVE_EVERY if every is None else every
        self._file, self._recipe = work / "watch.json", recipe
        self._validate, self._keep, self._progress, self._what = validate, keep, progress, what
        self._saved = self._begun = time.monotonic()
        self._curve: list[tuple[int, float]] = []
        self._scores: list[tuple[int, float]] = []

    def begin(self, step: int, total: int) -> None:
        """Before the first step, of a run or of what is left of it."""
        self._total = total
        self._every = max(1, round(total / max(1.0, self._recipe.epochs * self._recipe.checks)))
        if self._file.is_file():
            known = json.loads(self._file.read_text(encoding="utf-8"))
            self._curve = [(at, value) for at, value in known["curve"] if at <= step]
            self._scores = [(at, value) for at, value in known["scores"] if at <= step]
            self._begun -= known["spent"]  # by the runs before
        if not self._scores:
            self._score(0)
        self._progress(self._what, step, total)

    def step(self, step: int) -> tuple[bool, bool]:
        """After each step: whether to save a checkpoint, and whether to stop."""
        self._progress(self._what, step, self._total)
        if (step % self._every == 0 or step == self._total) and self._scores[-1][0] != step:
            self._score(step)
        enough = len(self._scores) - 1 - self._best() >= self._recipe.patience
        stop = self.interrupted or enough
        save = self.interrupted or time.monotonic() - self._saved > self._seconds
        if save:
            self._saved = time.monotonic()
            spent = self._saved - self._begun
            write_json(self._file, {"curve": self._curve, "scores": self._scores, "spent": spent})
        return save and not enough, stop

    def end(self, step: int) -> None:
        """After the last step, which comes earlier than foreseen where later epochs have fewer batches."""
        if not self.interrupted and self._scores[-1][0] != step:
            self._score(step)

    def loss(self, step: int, value: float) -> None:
        """The mean loss since it was told last."""
        self._curve.append((step, value))

    def outcome(self) -> Trained:
        """All of it, when training is over."""
        best_step, best = self._scores[self._best()]
        last, seconds = self._scores[-1][0], time.monotonic() - self._begun
        return Trained(last, best_step, best, self._scores[0][1], seconds, self._curve, self._scores)

    def _score(self, step: int) -> None:
        self._scores.append((step, self._validate()))
        if self._best() == len(self._scores) - 1:
            self._keep()

    def _best(self) -> int:
        return max(range(len(self._scores)), key=lambda n: (self._scores[n][1], -n))


def _enough(texts: Texts, recipe: Recipe, what: str, *, distinct: bool) -> None:
    if (count := len(_lengths(texts))) < 2 * recipe.batch:
        raise ConfigError(
            f"{what}: {count} examples are too few for batches of {recipe.batch}, {2 * recipe.batch} are needed: "
            "give more, or smaller batches"
        )
    if not _batched(texts, recipe, distinct=distinct, epoch=0):
        raise ConfigError(f"{what}: all examples share a text, so that none can be told from another: give others")


def _trained(known: dict[str, Any]) -> Trained:
    pairs = {name: [(at, value) for at, value in known[name]] for name in ("curve", "scores")}
    return Trained(**{**known, **pairs})


def _batched(texts: Texts, recipe: Recipe, *, distinct: bool, epoch: int) -> list[list[int]]:
    columns = [column for name, column in texts.items() if name != "label"]
    known: dict[str, int] = {}
    keys = [[known.setdefault(text, len(known)) for text in row] for row in zip(*columns, strict=True)]
    return batches(_lengths(texts), keys, recipe.batch, seed=recipe.seed + epoch, distinct=distinct)


def _lengths(texts: Texts) -> list[int]:
    columns = [column for name, column in texts.items() if name != "label"]
    return [sum(map(len, row)) for row in zip(*columns, strict=True)]


def _digest(texts: Texts) -> str:
    whole = hashlib.sha256()
    for name, column in texts.items():
        whole.update(json.dumps([name, *column], ensure_ascii=False).encode())
    return whole.hexdigest()[:16]


def digest(model: Any) -> str:  # noqa: ANN401  a torch module
    """Of a model's weights."""
    whole = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        whole.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()[:16]


def _begin(work: Path, about: Mapping[str, Any]) -> None:
    """Go on with a folder's training if it is the same one; else empty the folder."""
    file = work / "run.json"
    text = json.dumps(about, sort_keys=True)
    try:
        if work.is_dir() and not (file.is_file() and file.read_text(encoding="utf-8") == text):
            shutil.rmtree(work)
        work.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{work} can't be written ({error.strerror}): make room, or give another place") from error


def write_json(path: Path, value: object) -> None:
    """Write in one step."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    draft.replace(path)


class _interrupts:
    """The first Ctrl-C asks for a checkpoint and an end, the second ends at once."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._before: Any = None

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if before not in (None, signal.SIG_IGN):  # whoever ignores it wants to go on; None is not Python's
                self._before = before
                signal.signal(signal.SIGINT, self._asked)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        self._watch.interrupted = True
        signal.signal(signal.SIGINT, self._before)

    def __exit__(self, *args: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


def complete(work: Path) -> Iterator[Path]:
    """Checkpoints that were written to their end, newest first; the others are removed."""
    found = sorted(work.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2]))
    for path in found:
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))  # the last file of a checkpoint
        except (OSError, ValueError):
            shutil.rmtree(path)
            continue
        yield path
