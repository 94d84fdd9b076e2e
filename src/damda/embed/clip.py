"""Text and images to vectors of one space: two ONNX models, one for each, as the model hub's exports lie in a folder.

Knows: CLIP's and SigLIP's file layout, how their text is tokenised and their pixels scaled. Does not know: how an
image file is decoded (see ``pixels.py``), where the folder came from, or what the vectors are for.

    config.json                 which kind of text model, and its window
    preprocessor_config.json    size, crop, filter, scale, mean and deviation of the pixels
    tokenizer.json, tokenizer_config.json
    onnx/text_model.onnx        input_ids, maybe attention_mask -> text_embeds, or pooler_output
    onnx/vision_model.onnx      pixel_values -> image_embeds, or pooler_output

The ONNX files may lie beside config.json too, and have a variant's ending (``text_model_quantized.onnx``). Each text
and image is run by itself: there is no padding that a neighbour causes, and models that quantise activations on the fly
do that over a whole batch.

Sources: Radford et al. 2021 (CLIP), Tschannen et al. 2025 (SigLIP 2); the arithmetic is that of CLIPImageProcessor and
SiglipImageProcessor in Hugging Face's transformers.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from damda.errors import WeightsError
from damda.korean import nfc
from damda.pixels import PIXELS, Frame
from damda.runtime import open_session, open_tokenizer
from damda.types import Kind
from damda.weights import sha256

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Input = TypeVar("Input")
Float = NDArray[np.float32]

# Goes up whenever this file or pixels.py would make other vectors of the same files.
_VERSION = 1

VARIANTS = ("", "quantized", "int8")
"""Endings of the ONNX files that are looked for, in this order, when none is asked for."""


@dataclass(frozen=True, slots=True)
class TextKind:
    """What a kind of text model was trained with and its files may leave unsaid.

    ``config.json`` holds only what differs from its class's defaults, so a window that is missing there is this one.
    """

    window: int
    padded: bool
    """Every text fills the window: there is no mask, and the padding was seen in training."""
    lower: bool
    """Only lower case was seen in training; SigLIP 2's tokenizer.json does not say so (transformers PR 43101)."""


TEXT_KINDS: Mapping[str, TextKind] = MappingProxyType(
    {
        "clip_text_model": TextKind(77, padded=False, lower=False),  # its tokenizer.json makes lower case itself
        "siglip_text_model": TextKind(64, padded=True, lower=True),
    }
)
"""By ``text_config.model_type`` in config.json. SigLIP 2 at a fixed size calls itself siglip there."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a folder says of its use. ``scale``, ``mean`` and ``deviation`` make pixels of 0 to 255 into inputs."""

    window: int
    padded: bool
    lower: bool
    pad_token: str
    frame: Frame
    scale: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


class ClipEncoder:
    """Fits ``ImageEncoder``. Opening reads each file once, for the id; the models load when they are first needed.

    Args:
        folder: laid out as above.
        variant: which of the ONNX files, e.g. "quantized" for text_model_quantized.onnx; "": the first of `VARIANTS`.
        threads: texts that are encoded at the same time, and cores that work on an image; 0: all cores.
        seconds: that decoding an image may take.

    Raises:
        WeightsError: a file or a value in it is missing, damaged or not known here.
    """

    def __init__(self, folder: Path, *, variant: str = "", threads: int = 0, seconds: float = 120) -> None:
        self._folder, self._threads, self._seconds = folder, threads or os.cpu_count() or 1, seconds
        self._files = _onnx_files(folder, variant)
        self.card = read_card(folder)
        self.id = f"clip:{_digest([*self._files, folder / 'tokenizer.json'], self.card)}"
        self._lock = threading.Lock()
        self._dim = 0
        self._text: _Text | None = None
        self._vision: _Vision | None = None

    @property
    def dim(self) -> int:
        """Length of the vectors. Files don't say it reliably, so the text model is run."""
        return self._dim or self.encode([""], kind="query").shape[1]

    def encode(self, texts: Sequence[str], *, kind: Kind) -> Float:
        """Unit vectors of texts, shape (len(texts), dim); longer texts are cut at the window. Questions and passages
        are treated alike."""
        with self._lock:
            text = self._text = self._text or _Text(self._files[0], self._folder, self.card)
        return self._unit(_side_by_side(text.run, texts, self._threads))

    def encode_images(self, images: Sequence[bytes]) -> Float:
        """Unit vectors of image files' content, shape (len(images), dim).

        Raises:
            ReadError: one of them can't be decoded.
        """
        with self._lock:
            vision = self._vision = self._vision or _Vision(self._files[1], self.card, self._threads)
        framed = (PIXELS.framed(data, self.card.frame, seconds=self._seconds) for data in images)
        return self._unit([vision.run(pixels) for pixels in framed])

    def _unit(self, vectors: Sequence[Float]) -> Float:
        if not vectors:
            return np.empty((0, self.dim), np.float32)
        stacked = np.stack(vectors).astype(np.float32)
        self._dim = self._dim or stacked.shape[1]
        if stacked.shape[1] != self._dim:
            raise WeightsError(
                f"{self._folder}: one model gives vectors of {self._dim}, the other of {stacked.shape[1]}: "
                "they share no space; get an export that projects them"
            )
        unit: Float = stacked / np.maximum(np.linalg.norm(stacked, axis=1, keepdims=True), 1e-12)
        return unit


class _Text:
    """Tokenizer and text model."""

    def __init__(self, file: Path, folder: Path, card: Card) -> None:
        self._session = open_session(file)
        self._output = _output(self._session, file, ("text_embeds", "pooler_output"))
        self._inputs = _inputs(self._session, file, {"input_ids", "attention_mask"}, "input_ids")
        self._tokenizer = open_tokenizer(folder / "tokenizer.json")
        if not self._tokenizer.encode("").ids:
            raise WeightsError(f"{folder}/tokenizer.json puts no end after a text, where the model looks for one")
        self._lower = card.lower
        fixed = self._inputs["input_ids"][-1]  # some exports know one length only
        self._tokenizer.enable_truncation(min(card.window, fixed) if isinstance(fixed, int) else card.window)
        if card.padded or isinstance(fixed, int):
            _pad(self._tokenizer, card.pad_token, fixed if isinstance(fixed, int) else card.window, folder)

    def run(self, text: str) -> Float:
        text = nfc(text)
        encoded = self._tokenizer.encode(text.lower() if self._lower else text)
        feed = {"input_ids": [encoded.ids], "attention_mask": [encoded.attention_mask]}
        feeds = {name: np.array(feed[name], np.int64) for name in self._inputs}
        vector: Float = self._session.run([self._output], feeds)[0][0]
        return vector


class _Vision:
    """Vision model. All cores work on one image, as images come one at a time."""

    def __init__(self, file: Path, card: Card, threads: int) -> None:
        self._session = open_session(file, threads=threads)
        self._output = _output(self._session, file, ("image_embeds", "pooler_output"))
        shape = _inputs(self._session, file, {"pixel_values"}, "pixel_values")["pixel_values"]
        wanted = (3, card.frame.height, card.frame.width)
        if any(isinstance(has, int) and has != wants for has, wants in zip(shape[1:], wanted, strict=True)):
            raise WeightsError(f"{file} wants images of {shape[1:]}, but preprocessor_config.json makes {wanted}")
        self._card = card

    def run(self, pixels: NDArray[np.uint8]) -> Float:
        vector: Float = self._session.run([self._output], {"pixel_values": normalised(pixels, self._card)[None]})[0][0]
        return vector


def normalised(pixels: NDArray[np.uint8], card: Card) -> Float:
    """(pixels * scale - mean) / deviation, for each channel; shape (height, width, 3) -> (3, height, width)."""
    mean, deviation = np.array(card.mean, np.float32), np.array(card.deviation, np.float32)
    scaled = (pixels * np.float32(card.scale) - mean) / deviation
    return np.ascontiguousarray(scaled.transpose(2, 0, 1), np.float32)


def _side_by_side(run: Callable[[Input], Float], inputs: Sequence[Input], threads: int) -> list[Float]:
    if len(inputs) < 2 or threads == 1:
        return [run(one) for one in inputs]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, inputs))


# --- what the files say ----------------------------------------------------------------------------------------------


def read_card(folder: Path) -> Card:
    """Read config.json, preprocessor_config.json and tokenizer_config.json.

    Raises:
        WeightsError: one is missing or no JSON, or has a kind of model or of resizing that is not known here.
    """
    config, pixels = _json(folder / "config.json"), _json(folder / "preprocessor_config.json")
    tokens = _json(folder / "tokenizer_config.json")
    try:
        text = {"model_type": f"{config.get('model_type')}_text_model", **(config.get("text_config") or {})}
        kind = TEXT_KINDS.get(str(text["model_type"]))
        if kind is None:
            known = ", ".join(TEXT_KINDS)
            raise WeightsError(f"{folder}/config.json: a text model of kind {text['model_type']}; known are {known}")
        pad = tokens.get("pad_token") or ""
        return Card(
            window=int(text.get("max_position_embeddings") or kind.window),
            padded=kind.padded,
            lower=kind.lower or tokens.get("do_lower_case") is True,
            pad_token=str(pad["content"] if isinstance(pad, dict) else pad),
            frame=_frame(pixels),
            # Older files leave these out: true and 1/255 are the processors' defaults.
            scale=float(pixels.get("rescale_factor", 1 / 255)) if pixels.get("do_rescale", True) else 1.0,
            mean=_channels(pixels["image_mean"] if pixels.get("do_normalize", True) else 0.0),
            deviation=_channels(pixels["image_std"] if pixels.get("do_normalize", True) else 1.0),
        )
    except KeyError as error:
        raise WeightsError(f"{folder}/preprocessor_config.json does not say {error.args[0]}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder}: its description can't be read: {error}") from error


def _frame(pixels: Mapping[str, Any]) -> Frame:
    """``size`` is height and width, or before a crop {"shortest_edge"}, in CLIP's first files a bare number."""
    size, crop = pixels["size"], pixels.get("crop_size")
    if pixels.get("do_resize", True) is not True:
        raise ValueError("do_resize is off, but the model takes one size only")
    resample = int(pixels.get("resample", 3))  # bicubic is both processors' default
    if not pixels.get("do_center_crop", crop is not None):
        return Frame(int(size["height"]), int(size["width"]), 0, resample)
    shortest = int(size["shortest_edge"] if isinstance(size, dict) else size)
    sides = (crop["height"], crop["width"]) if isinstance(crop, dict) else (crop, crop)
    height, width = (int(side or 0) for side in sides)
    if not 0 < max(height, width) <= shortest:
        raise ValueError(f"preprocessor_config.json crops {height} x {width} from a shortest edge of {shortest}")
    return Frame(height, width, shortest, resample)


def _channels(value: float | Sequence[float]) -> tuple[float, ...]:
    values = (value,) * 3 if isinstance(value, int | float) else tuple(value)
    if len(values) != 3:
        raise ValueError(f"{values} are not three channels")
    return tuple(map(float, values))


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise WeightsError(f"{path.parent} has no {path.name}: get the model's folder whole") from error
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"{path} can't be read: {error}") from error


def _onnx_files(folder: Path, variant: str) -> tuple[Path, Path]:
    """Text and vision model of one variant, in ``onnx`` or in the folder itself."""
    if not (folder / "tokenizer.json").is_file():
        raise WeightsError(f"{folder} has no tokenizer.json: get the model's folder whole")
    for ending in [variant] if variant else VARIANTS:
        for place in (folder / "onnx", folder):
            text, vision = (place / f"{name}_model{ending and f'_{ending}'}.onnx" for name in ("text", "vision"))
            if text.is_file() and vision.is_file():
                return text, vision
    wanted = f"_{variant}" if variant else ""
    raise WeightsError(
        f"{folder} has no onnx/text_model{wanted}.onnx with onnx/vision_model{wanted}.onnx: "
        "get a model that was exported as two, see docs/images.md"
    )


def _output(session: Any, file: Path, names: Sequence[str]) -> str:  # noqa: ANN401  onnxruntime has no type for sessions
    has = [output.name for output in session.get_outputs()]
    for name in names:
        if name in has:
            return name
    raise WeightsError(f"{file} gives {', '.join(has)}, but neither {' nor '.join(names)}")


def _inputs(session: Any, file: Path, known: set[str], needed: str) -> dict[str, list[int | str]]:  # noqa: ANN401  as above
    """Name -> shape."""
    wants = {i.name: i for i in session.get_inputs()}
    if needed not in wants or wants.keys() - known:
        raise WeightsError(f"{file} wants {', '.join(wants)}, not {' and '.join(sorted(known))}: it is another model")
    kind = "tensor(float)" if needed == "pixel_values" else "tensor(int64)"
    if wants[needed].type != kind:
        raise WeightsError(f"{file} wants {needed} as {wants[needed].type}; get a variant that takes {kind}")
    return {name: list(i.shape) for name, i in wants.items()}


def _pad(tokenizer: "Tokenizer", token: str, length: int, folder: Path) -> None:
    number = tokenizer.token_to_id(token) if token else None
    if number is None:
        raise WeightsError(f"{folder}/tokenizer_config.json names no pad_token that its tokenizer.json knows")
    tokenizer.enable_padding(pad_id=number, pad_token=token, length=length)


def _digest(files: Sequence[Path], card: Card) -> str:
    """Of all that decides the vectors; big models keep their weights beside the graph, as ``x.onnx_data`` or so."""
    whole = hashlib.sha256(f"{_VERSION} {card}".encode())
    for path in [found for file in files for found in sorted(file.parent.glob(f"{file.name}*"))]:
        whole.update(bytes.fromhex(sha256(path)))
    return whole.hexdigest()[:16]
