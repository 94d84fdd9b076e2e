"""What a GGUF file says of itself."""

import struct
from pathlib import Path

import pytest

from damda.errors import WeightsError
from damda.generate import gguf
from damda.generate.gguf import Tensor


def string(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def written(*pairs: bytes, tensors: tuple[bytes, ...] = ()) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join((*pairs, *tensors))


def tensor(name: str, shape: tuple[int, ...], kind: int) -> bytes:
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, 0)


ARCHITECTURE = string("general.architecture") + struct.pack("<I", 8) + string("toy")
CONTEXT = string("toy.context_length") + struct.pack("<II", 4, 777)
WORDS = string("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + string("가") + string("나다")
SCORES = string("tokenizer.ggml.scores") + struct.pack("<IIQ5000f", 9, 6, 5000, *range(5000))
HEADS = string("toy.attention.head_count_kv") + struct.pack("<IIQ3I", 9, 4, 3, 1, 2, 1)
EPSILON = string("toy.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 0.5)
TEMPLATE = string("tokenizer.chat_template") + struct.pack("<I", 8) + string("{{x}}")
TENSORS = (tensor("token_embd.weight", (64, 100), 2), tensor("output_norm.weight", (64,), 0))


def test_facts_and_tensors(tmp_path: Path) -> None:
    file = tmp_path / "toy.gguf"
    file.write_bytes(written(ARCHITECTURE, WORDS, SCORES, CONTEXT, HEADS, EPSILON, TEMPLATE, tensors=TENSORS))
    found = gguf.header(file)
    assert (found.architecture, found.context, found.chat_template) == ("toy", 777, True)
    assert found.fact("attention.head_count_kv") == (1, 2, 1) and found.fact("rope.freq_base") is None
    assert found.fact("attention.layer_norm_rms_epsilon") == 0.5
    assert found.facts["tokenizer.ggml.tokens"] is None and found.facts["tokenizer.ggml.scores"] is None
    assert found.tensors == (Tensor("token_embd.weight", (64, 100), 2), Tensor("output_norm.weight", (64,), 0))
    assert [one.count for one in found.tensors] == [6400, 64]


def test_what_a_file_does_not_say(tmp_path: Path) -> None:
    file = tmp_path / "toy.gguf"
    file.write_bytes(written(ARCHITECTURE, SCORES))
    found = gguf.header(file)
    assert (found.architecture, found.context, found.chat_template, found.tensors) == ("toy", 0, False, ())
    file.write_bytes(written())
    assert gguf.header(file).architecture == ""


@pytest.mark.parametrize("keep", [5, 23, 40, 70, 110, 140])
def test_one_that_ends(tmp_path: Path, keep: int) -> None:
    file = tmp_path / "toy.gguf"
    whole = written(ARCHITECTURE, TEMPLATE, tensors=TENSORS)
    assert len(whole) > keep
    file.write_bytes(whole[:keep])
    with pytest.raises(WeightsError, match="damaged"):
        gguf.header(file)


def test_one_that_lies_about_lengths(tmp_path: Path) -> None:
    file = tmp_path / "toy.gguf"
    for body in (
        struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 60),
        struct.pack("<IQQ", 3, 1 << 60, 0),
        struct.pack("<IQQ", 3, 1, 0) + string("x") + struct.pack("<I", (1 << 32) - 1),
    ):
        file.write_bytes(b"GGUF" + body)
        with pytest.raises(WeightsError, match="damaged"):
            gguf.header(file)


def test_what_is_none(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    with pytest.raises(WeightsError, match="can't be read"):
        gguf.header(file)
    file.write_text("<html>")
    for reads in (gguf.header, gguf.fingerprint):
        with pytest.raises(WeightsError, match="no GGUF"):
            reads(file)
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 1, 0, 0))
    with pytest.raises(WeightsError, match="version 1"):
        gguf.header(file)


def test_fingerprint_sees_size_and_both_ends(tmp_path: Path) -> None:
    file, edge = tmp_path / "m.gguf", gguf.EDGE
    seen = set()
    for body in (b"a" * 3 * edge, b"a" * (3 * edge + 1), b"b" + b"a" * (3 * edge - 1), b"a" * (3 * edge - 1) + b"b"):
        file.write_bytes(b"GGUF" + body)
        seen.add(gguf.fingerprint(file))
    assert len(seen) == 4
