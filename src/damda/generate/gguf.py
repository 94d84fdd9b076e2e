"""What a GGUF file says of itself, without its weights: facts, and which tensors it holds in which form.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Knows: the header. Does not know: what the facts
mean, tokens (long arrays are skipped unread).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from math import prod
from pathlib import Path
from typing import BinaryIO

from damda.errors import WeightsError

MAGIC = b"GGUF"
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
EDGE = 1 << 20
_LAYERS = 4096
"""Longest array that is read: facts by layer are, vocabularies are not."""

Fact = str | int | float | bool | tuple[int | float | bool, ...] | None


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor stands, and how.

    Attributes:
        shape: the innermost dimension first, as GGUF has it.
        kind: ggml's number of the form it is stored in.
        offset: of its first byte, from ``Header.data``.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int = 0

    @property
    def count(self) -> int:
        """Numbers in it."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """All of it; None stands for an array that was skipped.

    Attributes:
        spans: key -> where it, its type and its value begin and end in the file.
        data: where the tensors begin in the file.
    """

    facts: Mapping[str, Fact]
    tensors: tuple[Tensor, ...]
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    data: int = 0

    @property
    def architecture(self) -> str:
        """As llama.cpp calls it; "" where the file doesn't say."""
        name = self.facts.get("general.architecture")
        return name if isinstance(name, str) else ""

    def fact(self, key: str) -> Fact:
        """A fact of the architecture: ``block_count`` is that of ``llama.block_count``."""
        return self.facts.get(f"{self.architecture}.{key}")

    @property
    def alignment(self) -> int:
        """Each tensor begins at a multiple of so many bytes."""
        found = self.facts.get("general.alignment")
        return found if isinstance(found, int) and found > 0 else 32

    @property
    def context(self) -> int:
        """Tokens that the model was trained for, 0 where the file doesn't say."""
        found = self.fact("context_length")
        return found if isinstance(found, int) else 0

    @property
    def split(self) -> str:
        """llama.cpp's name of how a text is cut before its pieces are found; "" where the file doesn't say."""
        found = self.facts.get("tokenizer.ggml.pre")
        return found if isinstance(found, str) else ""

    @property
    def chat_template(self) -> bool:
        """Whether it has one."""
        return bool(self.facts.get("tokenizer.chat_template"))


def header(path: Path) -> Header:
    """Reads the header.

    Raises:
        WeightsError: the file can't be read, is no GGUF, or ends in its header.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != MAGIC:
                raise WeightsError(f"{path} is no GGUF file")
            version, tensors, facts = struct.unpack("<IQQ", _exactly(file, 20))
            if version < 2:
                raise WeightsError(f"{path} is GGUF version {version}: convert it to version 3")
            said: dict[str, Fact] = {}
            spans: dict[str, tuple[int, int]] = {}
            for _ in range(facts):
                begin = file.tell()
                key = _string(file)
                said[key] = _value(file, *struct.unpack("<I", _exactly(file, 4)))
                spans[key] = begin, file.tell()
            held = Header(said, tuple(_tensor(file) for _ in range(tensors)), spans)
            return replace(held, data=-(-file.tell() // held.alignment) * held.alignment)
    except OSError as error:
        raise WeightsError(f"{path} can't be read: {error.strerror or error}") from error
    except (struct.error, UnicodeDecodeError, KeyError) as error:
        raise WeightsError(f"{path} ends in the middle or is damaged: get it again") from error


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


def _tensor(file: BinaryIO) -> Tensor:
    name = _string(file)
    (dimensions,) = struct.unpack("<I", _exactly(file, 4))
    shape = struct.unpack(f"<{dimensions}Q", _exactly(file, 8 * dimensions))
    kind, offset = struct.unpack("<IQ", _exactly(file, 12))
    return Tensor(name, shape, kind, offset)


def _value(file: BinaryIO, kind: int) -> Fact:
    """None for an array of strings, or one that is too long: read past."""
    if kind == STRING:
        return _string(file)
    if kind != ARRAY:
        return _scalars(file, kind, 1)[0]
    inner, count = struct.unpack("<IQ", _exactly(file, 12))
    if inner in SCALARS and count <= _LAYERS:
        return _scalars(file, inner, count)
    if inner in SCALARS:
        file.seek(struct.calcsize(f"<{SCALARS[inner]}") * count, 1)
    else:
        for _ in range(count):
            _skip(file, inner)
    return None


def _scalars(file: BinaryIO, kind: int, count: int) -> tuple[int | float | bool, ...]:
    form = f"<{count}{SCALARS[kind]}"
    return struct.unpack(form, _exactly(file, struct.calcsize(form)))


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
