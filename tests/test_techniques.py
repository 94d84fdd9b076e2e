"""What llama.cpp can do to be faster, smaller or longer: each can be set, and what is written stays what it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_llama import MISSING, smollm
from tracing_fixtures import Start, latest, steps

from damda import trace
from damda.errors import ConfigError
from damda.generate.llama import Llama
from damda.generate.techniques import Techniques, techniques
from damda.settings import LlamaSettings
from damda.types import Chunk, Hit, Message

PASSAGE = "The library opens at nine and closes at six. Parking is free for two hours. The cafe sells tea and bread."
ASKED = [
    Message("system", f"Answer from the passage, in its own words.\n\n[1] \n{PASSAGE}"),
    Message("user", "Copy the passage word for word, twice."),
]
HITS = [Hit(Chunk("0", "0", PASSAGE, 0, len(PASSAGE)), 1.0, "given")]


@pytest.fixture(scope="module")
def path() -> Path:
    found = smollm()
    if found is None:
        pytest.skip(MISSING)
    return found


def said(path: Path, most: int = 24, **given: object) -> str:
    llama = Llama(LlamaSettings.model_validate({"context": 512, **given}), path=path)
    text = "".join(delta.text for delta in llama.stream(ASKED, passages=HITS, max_tokens=most))
    llama.close()
    return text


@pytest.fixture(scope="module")
def usual(path: Path) -> Iterator[str]:
    yield said(path)


@pytest.mark.parametrize(
    "given",
    [
        {"flash_attention": "on"},
        {"flash_attention": "off"},
        {"speculation": "ngram"},
        {"speculation": "ngram", "guess": 2, "mode": "write"},
    ],
    ids=lambda given: ",".join(f"{key}={value}" for key, value in given.items()),
)
def test_what_only_makes_it_faster_changes_no_word(given: dict[str, Any], path: Path, usual: str) -> None:
    assert usual and said(path, **given) == usual
    assert Llama(LlamaSettings.model_validate(given), path=path).id == Llama(LlamaSettings(), path=path).id


def test_a_smaller_model_guesses(path: Path, usual: str) -> None:
    """The model itself is the smaller one here: all guesses are right."""
    assert said(path, speculation="draft", draft=str(path)) == usual


def test_prompts_in_memory(path: Path, usual: str) -> None:
    assert said(path, prompt_megabytes=64) == usual
    assert Llama(LlamaSettings(prompt_megabytes=64), path=path).id.endswith(":write:prompts")


@pytest.mark.parametrize("cache", ["q8_0", "q4_0"])
def test_packed_keys_and_values(cache: str, path: Path) -> None:
    assert said(path, cache=cache)
    assert Llama(LlamaSettings.model_validate({"cache": cache}), path=path).id.endswith(f":write:{cache}")


@pytest.mark.parametrize("rope", ["linear", "yarn"])
def test_longer_than_it_was_trained_for(rope: str, path: Path) -> None:
    given = {"rope": rope, "rope_factor": 2, "context": 12_000}
    llama = Llama(LlamaSettings.model_validate(given), path=path)
    assert llama._weights.get().engine.context >= 12_000, "it was trained for 8,192"
    assert llama.id.endswith(f":{rope}2") and "".join(d.text for d in llama.stream(ASKED, max_tokens=8))
    llama.close()


def test_both_modes_share_what_runs_alike(path: Path) -> None:
    quotes = LlamaSettings(mode="quote", speculation="ngram")
    writes = LlamaSettings(mode="write", speculation="ngram")
    first, second, other = (Llama(given, path=path) for given in (quotes, writes, LlamaSettings()))
    assert first._weights is second._weights and first._weights is not other._weights


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"cache": "q8_0", "flash_attention": "off"}, "needs flash attention"),
        ({"speculation": "draft"}, "go together"),
        ({"draft": "smaller.gguf"}, "go together"),
        ({"speculation": "draft", "draft": "/nowhere/m.gguf"}, "/nowhere/m.gguf is not there"),
        ({"rope": "yarn"}, "a factor above 1"),
        ({"rope_factor": 2}, "a factor above 1"),
        ({"kv": True, "prompt_megabytes": 64}, "set one of them"),
        ({"lora": ["/nowhere/a.gguf"]}, "/nowhere/a.gguf is not there"),
        ({"lora": ["a.gguf=much"]}, "how much it counts"),
    ],
)
def test_what_does_not_go_together(given: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        techniques(LlamaSettings.model_validate(given))


def test_adapters(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF" + name.encode() * 9)
    found = techniques(LlamaSettings(lora=(f"{tmp_path}/a.gguf", f"{tmp_path}/b.gguf=0.5")))
    assert [(path.name, scale) for path, scale in found.adapters] == [("a.gguf", 1.0), ("b.gguf", 0.5)]
    assert found.changing.startswith("a.gguf=1-") and "b.gguf=0.5-" in found.changing
    assert Techniques().changing == ""


def test_an_adapter_does_what_its_sum_with_the_weights_does(path: Path, tmp_path: Path) -> None:
    """A matrix in Q4_1 (scale, least, 32 numbers of 4 bits a block) can take one number more a row exactly: that is the
    product of a column and a row of ones, an adapter of rank 1."""
    gguf = pytest.importorskip("gguf", reason="needs the extra tune")
    with adapter_of(gguf, tmp_path / "adapter.gguf") as writer, path.open("rb") as file:
        merged = bytearray(file.read())
        drawn = np.random.default_rng(7)
        for tensor in gguf.GGUFReader(path).tensors:
            if tensor.name not in {f"blk.{n}.ffn_down.weight" for n in range(2, 28)}:
                continue
            assert tensor.tensor_type.name == "Q4_1"
            wide, rows = (int(n) for n in tensor.shape)
            more = drawn.normal(0, 0.02, rows).astype(np.float32)
            writer.add_tensor(f"{tensor.name}.lora_a", np.ones((1, wide), np.float32))
            writer.add_tensor(f"{tensor.name}.lora_b", more[:, None])
            begin, size = tensor.data_offset, rows * wide // 32 * 20
            halves = np.frombuffer(merged, np.float16, size // 2, begin).reshape(rows, -1, 10)
            halves[:, :, 1] += more[:, None].astype(np.float16)
    (tmp_path / "merged.gguf").write_bytes(merged)

    usual, adapted = said(path, 8), said(path, 8, lora=[str(tmp_path / "adapter.gguf")])
    assert adapted == said(tmp_path / "merged.gguf", 8) != usual
    assert said(path, 8, lora=[f"{tmp_path / 'adapter.gguf'}=0"]) == usual


@contextmanager
def adapter_of(gguf: Any, out: Path) -> Iterator[Any]:  # noqa: ANN401
    """A file for an adapter of a Llama."""
    writer = gguf.GGUFWriter(str(out), "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 1.0)
    yield writer
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_trace_shows_what_was_switched_on_and_what_it_spared(path: Path, tmp_path: Path, start: Start) -> None:
    given = {"context": 512, "speculation": "ngram", "prompt_megabytes": 64, "mode": "write"}
    llama = Llama(LlamaSettings.model_validate(given), path=path)
    start(tmp_path)
    for _ in range(2):
        with trace.generation(ASKED, 48, 0.0, model=lambda: llama.id) as step:
            for delta in step.steps(llama.stream(ASKED, passages=HITS, max_tokens=48)):
                step.took(delta)
    llama.close()
    (made,) = steps(latest(tmp_path))
    facts = made.attributes
    assert facts["damda.techniques"] == [
        "flash attention auto", "cache f16", "guesses ngram, up to 8 tokens", "prompts in 64 MB", "1 at once",
    ]  # fmt: skip
    assert facts["gen_ai.usage.cache_read.input_tokens"] > 40, "asked before: all but the last tokens were read"
    assert facts["damda.guessed"] >= facts["damda.guessed.right"] > 0, "copying is what can be guessed"
