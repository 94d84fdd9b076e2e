"""The few facts that are needed of a GGUF file before it is loaded: its architecture, context, chat template.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Knows: the header and its key-value pairs. Does not
know: tensors, tokens (arrays are skipped unread).
"""

import struct
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from damda.errors import WeightsError

MAGIC = b"GGUF"
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # type -> bytes of a scalar
STRING, ARRAY = 8, 9
EDGE = 1 << 20


@dataclass(frozen=True, slots=True)
class Gguf:
    """Attributes: ``context`` is what the model was trained for, 0 where the file doesn't say."""

    architecture: str
    context: int
    chat_template: bool


def inspect(path: Path) -> Gguf:
    """Reads the header.

    Raises:
        WeightsError: the file can't be read, is no GGUF, or ends in its header.
    """
    architecture, contexts, template = "", dict[str, int](), False
    try:
        with path.open("rb") as file:
            for key, value in _pairs(file, path):
                if key == "general.architecture" and isinstance(value, str):
                    architecture = value
                elif key.endswith(".context_length") and isinstance(value, int):
                    contexts[key] = value
                elif key == "tokenizer.chat_template":
                    template = bool(value)
    except OSError as error:
        raise WeightsError(f"{path} can't be read: {error.strerror or error}") from error
    except (struct.error, UnicodeDecodeError, KeyError) as error:
        raise WeightsError(f"{path} ends in the middle or is damaged: get it again") from error
    return Gguf(architecture, contexts.get(f"{architecture}.context_length", 0), template)


def fingerprint(path: Path) -> str:
    """Twelve hex digits that differ for other weights: size, first and last megabyte. Reads no more than that.

    Raises:
        WeightsError: the file can't be read or is no GGUF.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            head = file.read(EDGE)
            file.seek(max(0, size - EDGE))
            tail = file.read(EDGE)
    except OSError as error:
        raise WeightsError(f"{path} can't be read: {error.strerror or error}") from error
    if not head.startswith(MAGIC):
        raise WeightsError(f"{path} is no GGUF file")
    return blake2b(size.to_bytes(8, "little") + head + tail, digest_size=6).hexdigest()


def _pairs(file: BinaryIO, path: Path) -> "list[tuple[str, str | int | None]]":
    if file.read(4) != MAGIC:
        raise WeightsError(f"{path} is no GGUF file")
    version, _tensors, count = struct.unpack("<IQQ", _exactly(file, 20))
    if version < 2:
        raise WeightsError(f"{path} is GGUF version {version}: convert it to version 3")
    return [(_string(file), _value(file, *struct.unpack("<I", _exactly(file, 4)))) for _ in range(count)]


def _value(file: BinaryIO, kind: int) -> str | int | None:
    """A string or an integer of four bytes or more; None for anything else, read past."""
    if kind == STRING:
        return _string(file)
    if kind == ARRAY:
        inner, count = struct.unpack("<IQ", _exactly(file, 12))
        if inner in SIZES:
            file.seek(SIZES[inner] * count, 1)
        else:
            for _ in range(count):
                _skip(file, inner)
        return None
    raw = _exactly(file, SIZES[kind])
    return int.from_bytes(raw, "little") if kind in (4, 5, 10, 11) else None


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == STRING:
        file.seek(struct.unpack("<Q", _exactly(file, 8))[0], 1)
    else:
        _value(file, kind)


def _string(file: BinaryIO) -> str:
    return _exactly(file, struct.unpack("<Q", _exactly(file, 8))[0]).decode("utf-8")


def _exactly(file: BinaryIO, count: int) -> bytes:
    if count > EDGE * 64:  # a damaged length must not become an allocation
        raise struct.error("length beyond reason")
    data = file.read(count)
    if len(data) < count:
        raise struct.error("end of file")
    return data
