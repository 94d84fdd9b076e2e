"""A folder of transformers as a generator."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra tune")

import tiny_models

from damda.errors import ConfigError, GeneratorError, MissingExtra, WeightsError
from damda.generate import fewshot, transformer
from damda.generate.transformer import Loaded, Transformer
from damda.settings import TransformersSettings
from damda.types import NOT_FOUND, Chunk, Delta, Hit, Message

SAID = [Message("user", "t1w1 t2w2 t3w3")]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    yield from tiny_models.one_thread()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.llama(tmp_path_factory.mktemp("llama") / "chat", chats=True, eos_token_id=None)


@pytest.fixture(scope="module")
def writer(folder: Path) -> Transformer:
    return Transformer(TransformersSettings(model=str(folder), threads=1))


def text(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def test_greedy_text_is_what_transformers_makes(writer: Transformer, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    deltas = list(writer.stream(SAID, max_tokens=20))
    model, tokenizer = (kind.from_pretrained(folder) for kind in (AutoModelForCausalLM, AutoTokenizer))
    read = tokenizer.apply_chat_template([{"role": "user", "content": SAID[0].content}], return_tensors="pt")
    made = model.generate(**read, max_new_tokens=20, do_sample=False)[0, read["input_ids"].shape[1] :]
    assert text(deltas) == tokenizer.decode(made, skip_special_tokens=True) != ""
    usage = deltas[-1].usage
    assert usage and (usage.prompt_tokens, usage.completion_tokens) == (read["input_ids"].shape[1], len(made))
    assert deltas[-1].finish == "length" and len(deltas) > 10, "it streams"


def test_it_ends_where_the_model_says_so(writer: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = writer._weights.get()
    words = text(list(writer.stream(SAID, max_tokens=20))).split()
    ends = loaded.tokenizer.convert_tokens_to_ids(next(word for word in words[2:] if word not in words[:2]))
    monkeypatch.setattr(loaded.model.generation_config, "eos_token_id", [1, ends])
    deltas = list(writer.stream(SAID, max_tokens=20))
    assert deltas[-1].finish == "stop" and text(deltas).split() == words[: len(text(deltas).split())] != words


def test_it_ends_before_a_stop(writer: Transformer) -> None:
    whole = text(list(writer.stream(SAID, max_tokens=20)))
    words = whole.split()
    end = next(word for word in words[2:] if word not in words[:2])
    deltas = list(writer.stream(SAID, max_tokens=20, stop=["nowhere", end]))
    assert text(deltas) == whole[: whole.index(end)] and deltas[-1].finish == "stop"


def test_the_same_draw_every_time(writer: Transformer) -> None:
    drawn = [text(list(writer.complete("t1w1", max_tokens=12, temperature=1.5))) for _ in range(2)]
    assert drawn[0] == drawn[1] != text(list(writer.complete("t1w1", max_tokens=12)))


def test_who_leaves_early_lets_the_next_one_in(writer: Transformer) -> None:
    stream = writer.stream(SAID, max_tokens=50)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not writer._weights.get().lock.locked()
    assert text(list(writer.stream(SAID, max_tokens=2)))


def test_a_model_without_a_chat_template_gets_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fewshot, "EXAMPLES", fewshot.EXAMPLES[:1])
    base = Transformer(TransformersSettings(threads=1), folder=tiny_models.llama(tmp_path / "base"))
    hits = [Hit(Chunk("c", "d", "t4w1 t4w2", 0, 9), 1.0, "bm25")]
    said = text(list(base.stream(SAID, passages=hits, max_tokens=8)))
    assert said and "\n" not in said
    monkeypatch.setattr(Loaded, "run", lambda *_, **__: iter([Delta(f" {fewshot.ABSENT}."), Delta(finish="stop")]))
    assert text(list(base.stream(SAID, passages=hits, max_tokens=8))) == NOT_FOUND


def test_a_prompt_that_is_too_long(writer: Transformer) -> None:
    with pytest.raises(GeneratorError, match="the prompt takes 20. tokens"):
        list(writer.complete("t1w1 " * 200))


def test_memory_is_shared_and_given_back(writer: Transformer, folder: Path) -> None:
    other = Transformer(TransformersSettings(model=str(folder), threads=1))
    assert other.id == writer.id and other._weights is writer._weights
    before = other._weights.get()
    other.close()
    assert writer._weights.get() is not before


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="transformers.model is not set"):
        Transformer(TransformersSettings())
    with pytest.raises(WeightsError, match=r"has no config\.json"):
        Transformer(TransformersSettings(model=str(tmp_path)))
    strange = tiny_models.llama(tmp_path / "strange", quantization_config={"quant_method": "gguf"})
    with pytest.raises(WeightsError, match="quantised by gguf, which is not run here"):
        list(Transformer(TransformersSettings(model=str(strange))).stream(SAID))
    monkeypatch.setattr(transformer, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"damda\[compress\]"):
        Transformer(TransformersSettings(model=str(strange)))


def test_other_weights_are_another_model(folder: Path, tmp_path: Path, writer: Transformer) -> None:
    import shutil

    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    assert Transformer(TransformersSettings(model=str(copy))).id == writer.id
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-8, 2)
        file.write(b"\x01\x02\x03\x04\x05\x06\x07\x08")
    assert Transformer(TransformersSettings(model=str(copy))).id != writer.id
