"""An order -> a folder with a lighter model and its manifest.

Knows: which steps a method needs. Does not know: names of models, settings, how a step is done.
"""

import random
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from damda import artifact, manifest, pretrained
from damda.compress import bits, convert, environment, methods, quantise
from damda.compress.shape import Shape, shape, widths
from damda.errors import ConfigError, WeightsError
from damda.manifest import Data, Manifest, Parent
from damda.types import Progress

KIND = "language model"
"""In manifests."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Texts that GPTQ and AWQ learn from.

    Attributes:
        count, length: rows of so many tokens, drawn with ``seed``.
        data: what the manifest says of the texts.
    """

    texts: Sequence[str]
    data: Sequence[Data]
    count: int = 64
    length: int = 256
    seed: int = 42


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted.

    Attributes:
        source: a GGUF file, or a folder of transformers.
        parent: what the manifest says of it.
        method: of `methods.METHODS`.
        out: the folder to write.
        compute: of `bits.COMPUTES`, for nf4.
        group: weights that share a scale, for gptq, awq and openvino:int4; None: as the widths allow.
        calibration: for gptq and awq.
        command, machine: for the manifest.
    """

    source: Path
    parent: Parent
    method: str
    out: Path
    compute: str = "bf16"
    group: int | None = None
    calibration: Calibration | None = None
    command: str = ""
    machine: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)


class Making:
    """One order, checked; `run` does it.

    Raises:
        ConfigError: the method is unknown, wants texts or an environment that is not there, or the place is taken.
        MissingExtra: a package is not installed.
        WeightsError: the source is no model, damaged, or pickled.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._kind = methods.known(order.method)
        artifact.may_write(order.out)
        if order.source.is_dir():
            done = pretrained.check(order.source).get("quantization_config")
            if done:
                how = done.get("quant_method") if isinstance(done, dict) else done
                raise ConfigError(f"{order.source} is quantised by {how}: give the model that it was made of")
        if order.compute not in bits.COMPUTES:
            raise ConfigError(f"{order.compute!r} is no precision to compute in: give {', '.join(bits.COMPUTES)}")
        self._shape: Shape = shape(order.source)
        self._group = 0
        self._environment = environment.of(self._kind)
        if self._environment and self._environment.place() is None:
            raise ConfigError(f"{self._kind} {self._environment.missing}")
        if order.method == "openvino:int4":
            self._group = methods.group_size(widths(order.source), order.group or 128)
        if self._kind in methods.CALIBRATED:
            if not order.calibration:
                raise ConfigError(f"{self._kind} learns from texts: give your documents by --calibrate")
            self._group = methods.group_size(widths(order.source), order.group or 128)

    @property
    def out(self) -> Path:
        """The folder that it makes."""
        return self._order.out

    def estimate(self) -> methods.Estimate:
        """What it takes."""
        return methods.estimate(self._shape, self._order.source, self._order.method)

    def run(self, progress: Progress) -> Manifest:
        """Make the folder, whole or not at all.

        Raises:
            ConfigError: it takes more memory or disk than there is, or the disk refused.
            WeightsError: a step failed.
        """
        order, begun = self._order, time.perf_counter()
        foreseen = self.estimate()
        methods.check_room(foreseen, order.out)
        with artifact.drafted(order.out) as draft, _beside(order.out) as work:
            if self._kind == "gguf":
                self._gguf(draft, work, foreseen.disk, progress)
            elif self._kind == "f16":
                gguf = order.source if order.source.is_file() else None
                bits.write_f16(None if gguf else order.source, gguf, draft, progress)
            else:
                folder = order.source
                if folder.is_file():
                    folder = work / "unpacked"
                    bits.write_f16(None, order.source, folder, progress)
                if self._kind in methods.CALIBRATED:
                    self._calibrated(folder, draft, progress)
                elif self._environment:
                    self._exported(folder, draft, work, progress)
                else:
                    bits.write(folder, draft, self._kind, order.compute, progress)
            return manifest.write(draft, self._described(draft, time.perf_counter() - begun))

    def _gguf(self, draft: Path, work: Path, size: float, progress: Progress) -> None:
        order, mix = self._order, self._order.method.partition(":")[2]
        target = draft / f"{order.out.name}.gguf"
        if order.source.is_dir():
            floats = target if mix in quantise.FLOATS else work / "floats.gguf"
            convert.convert(order.source, floats, size if floats is target else 2 * self._shape.counts.all, progress)
            if floats is target:
                return
        else:
            floats = order.source
        quantise.quantise(floats, target, mix, progress)

    def _calibrated(self, folder: Path, draft: Path, progress: Progress) -> None:
        from transformers import AutoTokenizer

        order = self._order
        assert order.calibration
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise WeightsError(f"{folder} has no tokenizer: {str(error).splitlines()[0]}") from error
        request = {
            "model": str(folder.absolute()),
            "out": str(draft.absolute()),
            "method": self._kind,
            "group": self._group,
            "stored": pretrained.stored(pretrained.check(folder)),
            "rows": rows(lambda text: tokenizer(text)["input_ids"], order.calibration),
        }
        assert self._environment
        self._environment.run(request, progress)

    def _exported(self, folder: Path, draft: Path, work: Path, progress: Progress) -> None:
        assert self._environment
        request = {
            "model": str(folder.absolute()),
            "out": str(draft.absolute()),
            "work": str(work.absolute()),
            "form": self._order.method.partition(":")[2],
            "group": self._group,
        }
        self._environment.run(request, progress)

    def _described(self, draft: Path, seconds: float) -> Manifest:
        order = self._order
        settings: dict[str, Any] = {"method": order.method, **order.notes}
        if self._kind == "nf4":
            settings |= {"compute": order.compute, "double_quantisation": True}
        if order.method == "openvino:int4":
            settings["group"] = self._group
        if order.calibration and self._kind in methods.CALIBRATED:
            used = order.calibration
            settings |= {"group": self._group, "rows": used.count, "tokens": used.length, "seed": used.seed}
        after, before = _bytes(draft), _bytes(order.source)
        return Manifest(
            KIND,
            order.out.name,
            order.command,
            parents=(order.parent,),
            data=tuple(order.calibration.data) if order.calibration and self._kind in methods.CALIBRATED else (),
            settings=settings,
            metrics={
                "weights": self._shape.counts.all,
                "bytes": after,
                "bytes_before": before,
                "bits_a_weight": round(8 * after / self._shape.counts.all, 3),
            },
            machine=order.machine,
            seconds=round(seconds, 1),
        )


def rows(tokenize: Any, given: Calibration) -> list[list[int]]:  # noqa: ANN401  text -> token ids
    """Rows of token ids: texts in a drawn order, one behind the other, until there is four times as much as is needed,
    and of that the rows.

    Raises:
        ConfigError: the texts have no row of that length.
    """
    drawn, ids = random.Random(given.seed), list[int]()
    for text in drawn.sample(given.texts, len(given.texts)):
        ids += tokenize(text)
        if len(ids) > 4 * given.count * given.length:
            break
    starts = range(0, len(ids) - given.length + 1, given.length)
    if not starts:
        raise ConfigError(f"the texts to learn from have {len(ids)} tokens, and one row has {given.length}: give more")
    chosen = drawn.sample(starts, min(given.count, len(starts)))
    return [ids[start : start + given.length] for start in sorted(chosen)]


def _bytes(path: Path) -> int:
    """Of the weights."""
    if path.is_file():
        return path.stat().st_size
    files = [*path.glob("*.safetensors"), *path.glob("*.gguf"), *path.glob("openvino_model.bin")]
    return sum(file.stat().st_size for file in files)


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A folder for what is between, gone in the end; what a killed run has left goes at the start."""
    work = out.parent / f".{out.name}.between"
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir()
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
