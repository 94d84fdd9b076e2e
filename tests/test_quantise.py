"""A GGUF's weights in other forms: which form each tensor gets, and its bytes."""

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

gguf = pytest.importorskip("gguf", reason="needs the extra tune")
if ggml.library() is None:
    pytest.skip("needs the extra llama", allow_module_level=True)

DRAWN = np.random.default_rng(7)
LAYERS = 8


def weights(hidden: int = 256, inner: int = 512) -> dict[str, NDArray[np.float32]]:
    """Of a Llama with eight layers, as shapes of NumPy: rows first."""
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (320, hidden), "output_norm.weight": (hidden,)}
    for n in range(LAYERS):
        shapes |= {
            f"blk.{n}.attn_norm.weight": (hidden,),
            f"blk.{n}.attn_q.weight": (hidden, hidden),
            f"blk.{n}.attn_v.weight": (64, hidden),
            f"blk.{n}.ffn_up.weight": (inner, hidden),
            f"blk.{n}.ffn_down.weight": (hidden, inner),
        }
    return {name: DRAWN.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}


def write(path: Path, tensors: Mapping[str, NDArray[np.float32]], architecture: str = "llama") -> Path:
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_block_count(LAYERS)
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
    assert list(found) == list(tensors), "in the same order"
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
    for old, new in zip(before.tensors, after.tensors, strict=True):
        floats = gguf.dequantize(old.data, old.tensor_type)
        assert np.abs(gguf.dequantize(new.data, new.tensor_type) - floats).max() <= np.abs(floats).max() / 127
    if len(before.tensors[1].shape) == 1:
        assert np.array_equal(before.tensors[1].data, after.tensors[1].data)


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
    quantise.quantise(source, made, "Q8_0", quiet)
    with pytest.raises(WeightsError, match=r"made\.gguf is quantised \(Q8_0\)"):
        quantise.quantise(made, tmp_path / "again.gguf", "Q4_0", quiet)
    falcon = write(tmp_path / "falcon.gguf", weights(), "falcon")
    with pytest.raises(ConfigError, match="models of falcon"):
        quantise.quantise(falcon, tmp_path / "x.gguf", "Q4_0", quiet)
    monkeypatch.setattr(ggml, "library", lambda: None)
    with pytest.raises(MissingExtra, match="llama"):
        quantise.quantise(source, tmp_path / "x.gguf", "Q4_0", quiet)
