"""What is known of a model before it is loaded: its shape, the memory it takes, how fast it can be at most."""

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_gguf import string, tensor, written
from typer.testing import CliRunner

from damda.cli import commands
from damda.compress import ggml, machine, memory, roofline, vllm
from damda.compress.roofline import PUBLISHED, Device
from damda.compress.shape import Shape, Tensors, shape
from damda.errors import ConfigError, WeightsError

LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}
"""Llama 3.1 8B, which has 8,030,261,248 weights."""


def config(folder: Path, **changed: Any) -> Path:  # noqa: ANN401  JSON
    folder.mkdir(exist_ok=True)
    path = folder / "config.json"
    path.write_text(json.dumps({key: value for key, value in {**LLAMA_8B, **changed}.items() if value is not None}))
    return path


def fact(name: str, value: int) -> bytes:
    return string(name) + struct.pack("<II", 4, value)


def tiny_gguf(path: Path, *more: bytes, architecture: str = "llama", layers: int = 6) -> Path:
    facts = {"block_count": layers, "embedding_length": 64, "attention.head_count": 4, "context_length": 2048}
    said = [fact(f"{architecture}.{name}", value) for name, value in facts.items()]
    named = string("general.architecture") + struct.pack("<I", 8) + string(architecture)
    tensors = (
        tensor("token_embd.weight", (64, 1000), 8),
        tensor("blk.0.attn_q.weight", (64, 64), 2),
        tensor("blk.0.attn_norm.weight", (64,), 0),
    )
    path.write_bytes(written(named, *said, *more, tensors=tensors))
    return path


# --- shapes


def test_a_config_alone(tmp_path: Path) -> None:
    found = shape(config(tmp_path / "llama"))
    assert found.counts.all == 8_030_261_248
    assert found.name == "llama" and found.attention == "grouped-query, 32 over 8" and not any(found.windows)
    assert shape(tmp_path / "llama") == found, "its folder does as well"
    assert found.multiplied == found.counts.linear + found.counts.head, "a table that is looked up is not multiplied"


def test_weights_beside_it_are_counted(tmp_path: Path) -> None:
    path = config(tmp_path / "odd", model_type="odd", tie_word_embeddings=True)
    with pytest.raises(ConfigError, match="how many weights a odd has"):
        shape(path)
    about: dict[str, Any] = {
        "__metadata__": {"format": "pt"},
        "model.embed_tokens.weight": {"dtype": "F32", "shape": [1000, 64], "data_offsets": [0, 0]},
        "lm_head.weight": {"dtype": "F32", "shape": [1000, 64], "data_offsets": [0, 0]},
        "model.layers.0.mlp.experts.0.up_proj.weight": {"dtype": "F32", "shape": [64, 128], "data_offsets": [0, 0]},
        "model.layers.0.self_attn.q_proj.weight": {"dtype": "F32", "shape": [64, 64], "data_offsets": [0, 0]},
        "model.norm.weight": {"dtype": "F32", "shape": [64], "data_offsets": [0, 0]},
    }
    header = json.dumps(about).encode()
    (path.parent / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    of = shape(path).counts
    assert (of.table, of.head, of.linear, of.small, of.experts) == (64_000, 0, 64 * 192, 64, 64 * 128)
    (path.parent / "model.safetensors").write_bytes(struct.pack("<Q", 500) + header[:20])
    with pytest.raises(WeightsError, match=r"model\.safetensors ends in the middle"):
        shape(path)


@pytest.mark.parametrize(
    ("changed", "full"),
    [
        ({}, 6),
        ({"sliding_window": 512}, 0),
        ({"sliding_window": 512, "use_sliding_window": False}, 6),
        ({"sliding_window": 512, "sliding_window_pattern": 3}, 2),
        ({"sliding_window": 512, "layer_types": ["sliding_attention"] * 5 + ["full_attention"]}, 1),
    ],
)
def test_windows_of_a_config(tmp_path: Path, changed: dict[str, Any], full: int) -> None:
    found = shape(config(tmp_path / "m", num_hidden_layers=6, **changed))
    assert found.windows.count(0) == full and set(found.windows) <= {0, 512}


def test_a_text_model_inside_of_another(tmp_path: Path) -> None:
    path = config(tmp_path / "sees")
    path.write_text(json.dumps({"model_type": "gemma3", "text_config": LLAMA_8B}))
    assert shape(path).layers == 32 and shape(path).architecture == "llama"


def test_a_gguf(tmp_path: Path) -> None:
    found = shape(tiny_gguf(tmp_path / "tiny.gguf"))
    assert (found.name, found.layers, found.kv_heads[0], found.key_dim, found.vocabulary) == ("tiny", 6, 4, 16, 1000)
    assert found.attention == "multi-head" and found.context == 2048
    assert memory.stored(found) == 64_000 * 34 / 32 + 64 * 64 * 18 / 32 + 64 * 4
    windowed = tiny_gguf(tmp_path / "g.gguf", fact("gemma3.attention.sliding_window", 512), architecture="gemma3")
    assert shape(windowed).windows == (512,) * 5 + (0,), "llama.cpp knows this one's pattern"
    unknown = tiny_gguf(tmp_path / "n.gguf", fact("new.attention.sliding_window", 512), architecture="new")
    assert shape(unknown).windows == (0,) * 6, "never too little"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kv_lora_rank": 512}, "something else than keys and values"),
        ({"num_hidden_layers": None}, "doesn't say num_hidden_layers"),
        ({"vocab_size": "many"}, "doesn't say vocab_size"),
        ({"model_type": "gpt2"}, r"put its \.safetensors beside it"),
    ],
)
def test_what_can_not_be_planned(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        shape(config(tmp_path / "m", **changed))


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"config\.json can't be read"):
        shape(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="no JSON"):
        shape(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(WeightsError, match="no config"):
        shape(tmp_path)
    with pytest.raises(ConfigError, match="is no model"):
        shape(tmp_path / "model.bin")
    mamba = tiny_gguf(tmp_path / "m.gguf", fact("mamba.ssm.state_size", 16), architecture="mamba")
    with pytest.raises(ConfigError, match="mamba keeps something else"):
        shape(mamba)


# --- memory


SMOLLM2 = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}
GEMMA3 = {
    "model_type": "gemma3_text",
    "hidden_size": 640,
    "intermediate_size": 2048,
    "num_hidden_layers": 18,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 256,
    "vocab_size": 262144,
    "sliding_window": 512,
    "_sliding_window_pattern": 6,
    "tie_word_embeddings": None,
}


@pytest.mark.parametrize(
    ("model", "context", "requests", "kind", "windowed", "mebibytes"),
    [
        (SMOLLM2, 4096, 1, "f16", True, 90.0),
        (SMOLLM2, 1000, 2, "f16", True, 45.0),
        (SMOLLM2, 4096, 1, "q8_0", True, 47.81),
        (SMOLLM2, 2048, 3, "q4_0", True, 37.97),
        (GEMMA3, 4096, 1, "f16", True, 27.0),
        (GEMMA3, 1000, 2, "f16", True, 36.0),
        (GEMMA3, 4096, 1, "q8_0", True, 14.35),
        (GEMMA3, 4096, 1, "f16", False, 72.0),
        (GEMMA3, 2048, 3, "q4_0", True, 17.72),
    ],
)
def test_a_cache_is_what_llama_cpp_says_it_allocates(
    tmp_path: Path, model: dict[str, Any], context: int, requests: int, kind: str, windowed: bool, mebibytes: float
) -> None:
    """Its own log, of SmolLM2-135M and Gemma-3-270M; test_llama_plan.py reads it anew."""
    found = shape(config(tmp_path / "m", **model))
    assert memory.cache(found, context, requests, kind, windowed=windowed) / 2**20 == pytest.approx(mebibytes, abs=0.01)


def test_what_it_would_take_otherwise(tmp_path: Path) -> None:
    found = shape(config(tmp_path / "m"))
    assert memory.a_token(found) == 131_072
    for heads, times in ((32, 4), (8, 1), (1, 1 / 8)):
        assert memory.a_token(memory.had_it_been(found, heads)) == 131_072 * times
    assert memory.had_it_been(found, 1).attention == "multi-query"


def test_what_is_read_ends_with_the_window(tmp_path: Path) -> None:
    found = shape(config(tmp_path / "m", **GEMMA3))
    assert memory.looked_at(found, 400) == 400 * memory.a_token(found)
    assert memory.looked_at(found, 2000) == memory.a_token(found) / 18 * (15 * 512 + 3 * 2000)


def test_methods_leave_what_they_leave(tmp_path: Path) -> None:
    found = shape(config(tmp_path / "m", **GEMMA3))
    of, sizes = found.counts, {method: memory.weights(found, method) for method in memory.METHODS}
    assert sizes["f32"] == 4 * of.all and sizes["f16"] == 2 * (of.all - of.small) + 4 * of.small
    assert sizes["int8"] == of.linear + 2 * of.table + 4 * of.small, "most of Gemma 270M is its table, which stays"
    assert sizes["gguf:Q4_0"] < sizes["nf4"] < sizes["int8"] < sizes["f16"]


# --- speed

HALF = Device("half", 16e9, 100e9, 1e12, "made up")


def loaded(tmp_path: Path, **changed: Any) -> roofline.Load:  # noqa: ANN401  JSON
    return roofline.load(shape(config(tmp_path / "m", **changed)), 4096)


def test_small_batches_wait_for_memory_and_large_ones_for_arithmetic(tmp_path: Path) -> None:
    one, device = roofline.load(shape(config(tmp_path / "m")), 512), PUBLISHED[-1]
    turn, what = roofline.turns(one, device)
    assert what == "arithmetic" and 100 < turn < 1000
    reading, multiplying = roofline.step(one, device, 1)
    assert reading > 50 * multiplying
    for batch in (int(turn * 0.9), int(turn * 1.1) + 1):
        reading, multiplying = roofline.step(one, device, batch)
        assert (reading > multiplying) == (batch < turn)
    assert roofline.decode(one, device, 8) == pytest.approx(8 * roofline.decode(one, device, 1), rel=0.2)


def test_long_contexts_are_all_reading(tmp_path: Path) -> None:
    """With one head of keys and values a query, more requests are soon only more to read."""
    one, device = roofline.load(shape(config(tmp_path / "m", num_key_value_heads=32)), 16_384), PUBLISHED[-1]
    turn, what = roofline.turns(one, device)
    assert what == "caches" and turn == pytest.approx(one.read / memory.looked_at(one.shape, 8192))
    assert 1 < roofline.best(one, device) <= turn
    gained = roofline.decode(one, device, 2 * round(turn)) / roofline.decode(one, device, round(turn))
    assert gained == pytest.approx(4 / 3, rel=0.1)


def test_what_fits(tmp_path: Path) -> None:
    one = loaded(tmp_path)
    h100, t4 = (next(d for d in PUBLISHED if d.name == name) for name in ("H100", "T4"))
    assert one.weights == pytest.approx(16.06e9, rel=0.01) and one.a_request == 512 * 2**20
    assert roofline.fits(one, h100) == int((0.9 * 80e9 - one.weights) / 2**29)
    assert roofline.fits(one, t4) == 0 and roofline.best(one, t4) == 0 and roofline.table(one, t4) == []
    assert roofline.best(one, h100) == 32, "caches are more to read than the weights from 56 on"
    smaller = roofline.load(one.shape, 4096, "gguf:Q4_K_M", "q8_0")
    assert roofline.fits(smaller, t4) == int((0.9 * 16e9 - smaller.weights) / (512 * 2**20 * 17 / 32))


def test_a_table_that_is_looked_up_is_not_read(tmp_path: Path) -> None:
    one = loaded(tmp_path)
    assert one.weights - one.read == pytest.approx(2 * one.shape.counts.table, rel=0.001)
    tied = roofline.load(shape(config(tmp_path / "tied", **SMOLLM2)), 4096)
    assert tied.weights == tied.read


def test_prompts_are_arithmetic(tmp_path: Path) -> None:
    one = loaded(tmp_path)
    attending = 2 * 32 * (128 + 128) * 32 * 2048  # half of the context, in each of 32 layers
    words = 2 * one.shape.counts.linear  # the head makes a word of the last token only
    assert roofline.prefill(one, HALF) == pytest.approx(1e12 / (words + attending))


def test_speeds_that_were_measured_count(tmp_path: Path) -> None:
    """A processor that unpacks four bits is never as fast as its memory, and hardly faster with more tokens at once."""
    one = roofline.load(shape(config(tmp_path / "m", **SMOLLM2)), 128)
    weights = 2 * one.shape.multiplied
    device = Device("here", 1e11, 1e10, 8e10, "", ((1, 2e10), (4, 6e10), (256, 8e10)), attending=8e10)
    assert roofline.decode(one, device, 1) == pytest.approx(2e10 / weights, rel=0.05)
    assert roofline.decode(one, device, 2) == pytest.approx((2e10 + 4e10 / 3) / weights, rel=0.05)
    assert roofline.decode(one, device, 256) == pytest.approx(8e10 / weights, rel=0.05)
    assert roofline.turns(one, device) == (4, "arithmetic") and roofline.best(one, device) == 4
    waiting = replace(device, between=((1, 1e-4), (256, 1e-4)))
    lost = 1 / roofline.decode(one, waiting, 1) - 1 / roofline.decode(one, device, 1)
    assert lost == pytest.approx(30 * (8 + 2 * 2) * 1e-4)
    assert roofline.turns(one, waiting)[0] > 4, "what is the same for one and for many is shared by all requests"
    slower = replace(device, attending=1e9)
    back = 30 * 2 * 9 * 64 * 2 * 64  # operations of one token that looks back at 64
    lost = 1 / roofline.decode(one, slower, 1) - 1 / roofline.decode(one, device, 1)
    assert lost == pytest.approx(back / 1e9 - max(back / 8e10, memory.looked_at(one.shape, 64) / 1e10))


# --- this machine


@pytest.mark.parametrize("library", [True, False])
def test_this_machine_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: bool) -> None:
    monkeypatch.setattr(machine, "_SECONDS", 0.01)
    if not library:
        monkeypatch.setattr(ggml, "library", lambda: None)
    elif ggml.library() is None:
        pytest.skip("xllamacpp is not installed")
    found = machine.measured(shape(config(tmp_path / "m", **SMOLLM2)), "gguf:Q4_0")
    assert ("products of llama.cpp in Q4_0, Q8_0" in found.source) == library
    assert bool(found.products) == library == (found.attending > 0) == (found.between[0][1] > 0)
    assert 1e8 < found.bandwidth < 1e13 and found.bandwidth < found.flops < 1e15 and found.memory > 1e8


def test_a_mix_is_as_fast_as_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head of 64,000 weights in one form, a layer of 4,096 in another: seconds add up, whatever the batch."""
    taken = {8: 1e-9, 2: 3e-9}
    monkeypatch.setattr(ggml, "library", lambda: "there")
    monkeypatch.setattr(machine, "_weight", lambda library, made, n, threads: n * taken[made[0].kind])
    monkeypatch.setattr(machine, "_node", lambda library, hidden, n, threads: 1e-6)
    monkeypatch.setattr(machine, "_attention", lambda library, of, threads: 1e9)
    found = machine.measured(shape(tiny_gguf(tmp_path / "tiny.gguf")))
    seconds = 64_000e-9 + 4096 * 3e-9
    assert [speed for _, speed in found.products] == pytest.approx([2 * 68_096 / seconds] * 6)
    assert found.bandwidth == pytest.approx((64_000 * 34 / 32 + 4096 * 18 / 32) / seconds)
    assert found.flops == pytest.approx(2 / 3e-9), "a prompt's words but the last pass through no head"


def test_a_system_that_hides_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sysconf")
    with pytest.raises(ConfigError, match="plan for a GPU with --device"):
        machine.measured(shape(config(tmp_path / "m")))


def test_what_a_token_is_multiplied_with(tmp_path: Path) -> None:
    layers, head = machine.matrices(shape(tiny_gguf(tmp_path / "tiny.gguf")))
    assert layers == [(64, 64, 2, 1)] and head == (64, 1000, 8, 1)
    of = shape(config(tmp_path / "m", **SMOLLM2))
    layers, head = machine.matrices(of)
    assert sorted((one.wide, one.long, one.copies) for one in layers) == [
        (576, 192, 60), (576, 576, 30), (576, 576, 30), (576, 1536, 60), (1536, 576, 30),
    ]  # fmt: skip
    assert {one.kind for one in layers} == {head.kind} == {1}, "a config says nothing: 16 bits"
    assert sum(one.weights for one in (*layers, head)) == of.multiplied

    def kinds(of: Shape, method: str) -> set[tuple[int, int]]:
        layers, head = machine.matrices(of, method)
        return {(one.kind, head.kind) for one in layers}

    assert kinds(of, "gguf:Q4_K_M") == {(6, 8)}, "576 is no multiple of 256"
    assert kinds(replace(of, hidden=512), "gguf:Q4_K_M") == {(12, 14)}
    assert {kind for method in memory.METHODS for both in kinds(of, method) for kind in both} <= set(memory.BLOCKS)


def test_experts_count_as_far_as_they_are_passed_through(tmp_path: Path) -> None:
    tensors = (Tensors("experts", 8, (64, 128, 16), 3), Tensors("table", 8, (64, 1000), 1))
    of = replace(shape(config(tmp_path / "m", **SMOLLM2)), tensors=tensors, used=1 / 4)
    assert machine.matrices(of)[0] == [(64, 128, 8, 12)]


def test_a_form_that_no_kernel_is_known_of(tmp_path: Path) -> None:
    of = replace(shape(config(tmp_path / "m")), tensors=(Tensors("linear", 99, (64, 64), 1),))
    with pytest.raises(ConfigError, match="form 99"):
        machine.measured(of)
    assert memory.stored(of) is None


# --- the command


OTHERWISE = ("multi-head", "multi-query")  # it is grouped by eight as it is


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(commands(), ["plan", *words])
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout if code == 0 else done.output


def test_a_plan(tmp_path: Path) -> None:
    path = str(config(tmp_path / "llama"))
    said = run(path, "--device", "L4", "--device", "h100", "--method", "gguf:Q4_K_M")
    assert "8,030,261,248 weights" in said and "grouped-query, 32 over 8" in said and "128.0" in said
    made = json.loads(run(path, "--device", "H100", "--json"))
    (fit,) = made["fits"]
    assert fit["requests"] == 104 and fit["best"] == 32 and made["caches"][0]["request"]["f16"] == 2**29
    assert [one["name"] for one in made["caches"]] == ["as it is", *(f"if {name}" for name in OTHERWISE)]
    assert json.loads(run(path, "--device", "T4", "--json"))["fits"][0]["decode"] == []


def test_a_command_for_vllm(tmp_path: Path) -> None:
    path = str(config(tmp_path / "llama"))
    said = run(path, "--device", "H100", "--kv", "fp8")
    assert f"on H100: vllm serve {tmp_path / 'llama'} --max-model-len 4096 --max-num-seqs" in said
    assert "--kv-cache-dtype fp8" in said and "--tensor-parallel-size" not in said and '"ngram"' in said
    several = json.loads(run(path, "--device", "T4", "--json"))["fits"][0]["vllm"]  # 16 GB of weights, and a cache
    assert "--tensor-parallel-size 2" in several
    assert "bitsandbytes" in json.loads(run(path, "--device", "T4", "--method", "nf4", "--json"))["fits"][0]["vllm"]
    for words in (("--method", "gguf:Q4_K_M"), ("--kv", "q8_0")):
        assert json.loads(run(path, "--device", "L4", *words, "--json"))["fits"][0]["vllm"] == ""
    packed = tiny_gguf(tmp_path / "m.gguf")
    assert json.loads(run(str(packed), "--device", "L4", "--json"))["fits"][0]["vllm"] == ""


def test_heads_that_can_not_be_split(tmp_path: Path) -> None:
    one, t4 = loaded(tmp_path, num_attention_heads=33, num_key_value_heads=33, head_dim=128), PUBLISHED[0]
    assert vllm.cards(one, t4) is None and vllm.command("m", one, t4, "") == ""
    found = vllm.cards(loaded(tmp_path), t4)
    assert found and found[0] == 2 and found[1].memory == 2 * t4.memory and found[1].name == "2 x T4"


def test_a_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra measure")
    path = str(config(tmp_path / "<llama>"))
    run(path, "--device", "L4", "--device", "T4", "--report", str(tmp_path / "plan.html"), "--quiet")
    page = (tmp_path / "plan.html").read_text()
    assert page.count("<svg") == 2 and "&lt;llama&gt;" in page and "<llama>" not in page and "<script" not in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--method", "q5"), "none of f32"),
        (("--kv", "f8"), "none of f16"),
        (("--device", "B9000"), "none of this, t4"),
    ],
)
def test_what_is_not_known_is_named(tmp_path: Path, words: tuple[str, str], said: str) -> None:
    output = run(str(config(tmp_path / "m")), *words, code=2)
    assert said in " ".join(output.replace("│", " ").split())


def test_no_such_model() -> None:
    with pytest.raises(ConfigError, match="'nothing' is no model: give smollm2-135m"):
        CliRunner().invoke(commands(), ["plan", "nothing"], catch_exceptions=False)
