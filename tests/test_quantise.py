"""A GGUF's weights in other forms: which form each tensor gets, and its bytes."""

import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from damda.compress import ggml, quantise
from damda.compress.memory import BLOCKS
from damda.errors import ConfigError, MissingExtra, WeightsError
from damda.generate.gguf import Tensor, header
from damda.types import quiet
from damda.weights import sha256

gguf = pytest.importorskip("gguf", reason="needs the extra tune")
if ggml.library() is None:
    pytest.skip("needs the extra llama", allow_module_level=True)

DRAWN = np.random.default_rng(7)
LAYERS = 8


def weights(hidden: int = 256, inner: int = 512) -> dict[str, NDArray[np.float32]]:
    """Of a Llama with eight layers, as shapes of NumPy: rows first. The same every time."""
    drawn = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (320, hidden), "output_norm.weight": (hidden,)}
    for n in range(LAYERS):
        shapes |= {
            f"blk.{n}.attn_norm.weight": (hidden,),
            f"blk.{n}.attn_q.weight": (hidden, hidden),
            f"blk.{n}.attn_v.weight": (64, hidden),
            f"blk.{n}.ffn_up.weight": (inner, hidden),
            f"blk.{n}.ffn_down.weight": (hidden, inner),
        }
    return {name: drawn.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}


def write(path: Path, tensors: Mapping[str, NDArray[np.float32]], architecture: str = "llama") -> Path:
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(tensors["output_norm.weight"].shape[0])
    writer.add_feed_forward_length(tensors["blk.0.ffn_up.weight"].shape[0])
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_string("tokenizer.chat_template", "{{ messages }}")
    writer.add_array("tokenizer.ggml.tokens", ["가", "나다", "<s>"])
    writer.add_array("tokenizer.ggml.token_type", [1, 1, 3])
    writer.add_file_type(1)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor if tensor.ndim == 1 else tensor.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


MADE_BY_LLAMA_CPP = {
    "Q4_0": ("ecc0a5caaf850060", "43c7b54f8ea261d0"),
    "Q4_1": ("3bdced93701f6058", "eef1c00b2dd067b3"),
    "Q8_0": ("4c3be9955d3a3dc1", "44fdd9366ae3bdfe"),
    "Q5_0": ("13ac6df38d8c436e", "cc3bc9e5a93d570d"),
    "Q5_1": ("7bc8769486f591fc", "aeced7b0fa32ade5"),
    "Q4_K_S": ("a0e0a2b7796952b9", "0ba1e975466f6552"),
    "Q4_K_M": ("2a9513c4ecb33ff2", "7b0b3a2b0a4143bf"),
    "Q5_K_S": ("dba722d505624f9d", "df0de0593c94bd70"),
    "Q5_K_M": ("bcb1a2f89ed6abb7", "1830f29eff547d4d"),
    "Q6_K": ("d8bb44ad718cc309", "a880c69f4c788e62"),
}
"""First digits of the sha256 of what llama-quantize makes of `weights()` and of `weights(288, 352)`, built from the
llama.cpp that xllamacpp 2026.10.11549 brings its source of: `llama-quantize f16.gguf made.gguf MIX`."""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="recorded on x86-64")
@pytest.mark.parametrize("mix", quantise.MIXES)
def test_the_file_is_llama_cpps_to_the_last_byte(mix: str, tmp_path: Path) -> None:
    for (hidden, inner), source, expected in zip(
        ((256, 512), (288, 352)), ("3c3530fcf4fc7283", "b7efe2b82f90a752"), MADE_BY_LLAMA_CPP[mix], strict=True
    ):
        given = write(tmp_path / "f16.gguf", weights(hidden, inner))
        assert sha256(given).startswith(source), "numpy draws other numbers, or gguf writes otherwise: record anew"
        quantise.quantise(given, tmp_path / "made.gguf", mix, quiet)
        assert sha256(tmp_path / "made.gguf").startswith(expected)


def test_what_is_packed_is_unpacked_first(tmp_path: Path) -> None:
    """What comes of it is the packed file's floats, packed."""
    source, packed = write(tmp_path / "f16.gguf", weights()), tmp_path / "q4_1.gguf"
    quantise.quantise(source, packed, "Q4_1", quiet)
    assert quantise.packed_already(source) == "" and quantise.packed_already(packed) == "Q4_1, Q6_K"
    quantise.quantise(packed, tmp_path / "floats.gguf", "F16", quiet)
    assert quantise.packed_already(tmp_path / "floats.gguf") == ""
    old, new = ({one.name: one for one in gguf.GGUFReader(path).tensors} for path in (packed, tmp_path / "floats.gguf"))
    for name, one in old.items():
        floats = gguf.dequantize(one.data, one.tensor_type)
        assert np.array_equal(new[name].data, floats if floats.ndim == 1 else floats.astype(np.float16))


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_forms_are_packed_as_the_reference_packs_them(name: str) -> None:
    """gguf's own NumPy code, which its makers hold against llama.cpp byte by byte."""
    kind = next(number for number, (of, _, _) in BLOCKS.items() if of == name)
    rows = DRAWN.normal(0, 1, (16, 512)).astype(np.float32)
    rows[3] = 0
    assert np.array_equal(ggml.packed(rows, kind), gguf.quantize(rows, gguf.GGMLQuantizationType(kind)))


@pytest.mark.parametrize("kind", sorted(BLOCKS.keys() - {0, 1, 30} - {16, 17, 22}))
def test_what_was_packed_is_nearly_what_it_was(kind: int) -> None:
    name, size, length = BLOCKS[kind]
    rows = DRAWN.normal(0, 1, (8, 1024)).astype(np.float32)
    packed = ggml.packed(rows, kind)
    assert packed.shape == (8, 1024 // size * length)
    again = gguf.dequantize(packed, gguf.GGMLQuantizationType(kind))
    error = float(np.sqrt(((again - rows) ** 2).mean()))
    assert error < {"Q2_K": 0.35, "Q3_K": 0.2, "IQ3_XXS": 0.3, "IQ3_S": 0.2}.get(name, 0.12), (name, error)


def test_a_mix_is_what_llama_cpp_makes_of_it(tmp_path: Path) -> None:
    source, tensors = tmp_path / "f16.gguf", weights()
    write(source, tensors)
    quantise.quantise(source, tmp_path / "made.gguf", "Q4_K_M", quiet)
    found = {one.name: BLOCKS[one.kind][0] for one in header(tmp_path / "made.gguf").tensors}
    assert found.keys() == tensors.keys()
    assert found["token_embd.weight"] == "Q6_K", "a table that is the head as well"
    assert found["output_norm.weight"] == found["blk.3.attn_norm.weight"] == "F32"
    for name in ("attn_v", "ffn_down"):
        forms = [found[f"blk.{n}.{name}.weight"] for n in range(LAYERS)]
        assert [n for n, form in enumerate(forms) if form == "Q6_K"] == [0, 3, 6, 7], "n < 1, n >= 7, (n - 1) % 3 == 2"
        assert set(forms) == {"Q4_K", "Q6_K"}
    assert {found[f"blk.{n}.{name}.weight"] for n in range(LAYERS) for name in ("attn_q", "ffn_up")} == {"Q4_K"}


def test_the_copy_says_all_that_the_source_says(tmp_path: Path) -> None:
    source = write(tmp_path / "f16.gguf", weights())
    quantise.quantise(source, tmp_path / "made.gguf", "Q8_0", quiet)
    before, after = (gguf.GGUFReader(tmp_path / name) for name in ("f16.gguf", "made.gguf"))
    told = {key: field.contents() for key, field in after.fields.items() if not key.startswith("GGUF.")}
    kept = {key: field.contents() for key, field in before.fields.items() if not key.startswith("GGUF.")}
    assert told == kept | {"general.file_type": 7, "general.quantization_version": 2}
    made = {one.name: one for one in after.tensors}
    for old in before.tensors:
        new, floats = made[old.name], gguf.dequantize(old.data, old.tensor_type)
        if len(old.shape) == 1:
            assert np.array_equal(old.data, new.data)
        assert np.abs(gguf.dequantize(new.data, new.tensor_type) - floats).max() <= np.abs(floats).max() / 127


@pytest.mark.parametrize(
    ("width", "mix", "form"),
    [(256, "Q4_K_M", 12), (288, "Q4_K_M", 6), (288, "Q5_K_S", 7), (288, "Q6_K", 8), (40, "Q4_0", 1), (288, "Q4_0", 2)],
)
def test_rows_that_a_block_does_not_fit(width: int, mix: str, form: int) -> None:
    tensor = Tensor("blk.2.attn_q.weight", (width, 64), 1)
    assert quantise.form(tensor, mix, LAYERS, tied=True) == form
    table = Tensor("token_embd.weight", (288, 64), 1)
    assert quantise.form(table, mix, LAYERS, tied=True) == 8


def test_a_table_beside_a_head_is_like_any_matrix() -> None:
    table, head = (Tensor(name, (256, 64), 1) for name in ("token_embd.weight", "output.weight"))
    assert quantise.form(table, "Q4_K_M", LAYERS, tied=False) == 12
    assert quantise.form(head, "Q4_K_M", LAYERS, tied=False) == 14
    assert quantise.form(head, "Q8_0", LAYERS, tied=False) == 8


def test_rows_are_packed_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "f16.gguf", weights())
    quantise.quantise(source, tmp_path / "one.gguf", "Q5_K_M", quiet)
    monkeypatch.setattr(quantise, "_ROWS", 1000)
    quantise.quantise(source, tmp_path / "many.gguf", "Q5_K_M", quiet)
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "many.gguf").read_bytes()


def test_what_is_not_quantised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, made = write(tmp_path / "f16.gguf", weights()), tmp_path / "made.gguf"
    with pytest.raises(ConfigError, match="Q9 is no form"):
        quantise.quantise(source, made, "Q9", quiet)
    short = tmp_path / "short.gguf"
    short.write_bytes(source.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"short\.gguf ends in the middle"):
        quantise.quantise(short, made, "Q8_0", quiet)
    falcon = write(tmp_path / "falcon.gguf", weights(), "falcon")
    with pytest.raises(ConfigError, match="models of falcon"):
        quantise.quantise(falcon, tmp_path / "x.gguf", "Q4_0", quiet)
    monkeypatch.setattr(ggml, "library", lambda: None)
    with pytest.raises(MissingExtra, match="llama"):
        quantise.quantise(source, tmp_path / "x.gguf", "Q4_0", quiet)
