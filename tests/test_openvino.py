"""OpenVINO as an engine: what it reads, what its techniques change, what is said of what it can't."""

import contextlib
import importlib.util
import threading
from pathlib import Path

import pytest

from damda import weights
from damda.assemble import models
from damda.config import load
from damda.errors import ConfigError, GeneratorError, MissingExtra, WeightsError
from damda.generate import quoting
from damda.generate.openvino import Openvino
from damda.settings import OpenvinoSettings
from damda.types import NOT_FOUND, Chunk, Delta, Hit, Message

ASKED = [
    Message("system", "Answer from the passage.\n\n[1] \nThe library opens at nine and closes at six."),
    Message("user", "Copy the passage word for word."),
]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="openvino"):
        Openvino(OpenvinoSettings(model="m.gguf"))


def test_a_grammar_of_what_can_be_quoted() -> None:
    choice = quoting.quotable(['그는 "안녕"이라고 말했다. Next one.'])
    assert quoting.ebnf(choice, "Not found.", line=True).splitlines() == [
        'root ::= " "? answer "\\n"',
        'answer ::= s0_0 | s0_1 | s0_2 | s1_0 | s1_1 | "Not found."',
        's0_0 ::= "그는" (" " s0_1)?',
        's0_1 ::= "\\"안녕\\"이라고" (" " s0_2)?',
        's0_2 ::= "말했다."',
        's1_0 ::= "Next" (" " s1_1)?',
        's1_1 ::= "one."',
    ]
    assert quoting.ebnf(choice, "", line=False).startswith("root ::= answer\nanswer ::= s0_0 | s0_1")


needs = pytest.mark.skipif(importlib.util.find_spec("openvino_genai") is None, reason="needs the extra openvino")


@pytest.fixture(scope="module")
def path() -> Path:
    return weights.gguf_path("smollm2-135m") or pytest.skip("needs `damda models pull smollm2-135m`")


def made(path: Path, **given: object) -> Openvino:
    settings = {"context": 512, "threads": 1, "slots": 4, **given}
    return Openvino(OpenvinoSettings.model_validate(settings), path=path)


def said(writer: Openvino, most: int = 16) -> str:
    return "".join(delta.text for delta in writer.stream(ASKED, max_tokens=most))


@needs
def test_it_answers_and_ends(path: Path) -> None:
    writer = made(path)
    asked = [Message("user", "What is the capital of France? Answer in one sentence.")]
    deltas = list(writer.stream(asked, max_tokens=32))
    assert "Paris" in "".join(delta.text for delta in deltas) and deltas[-1].finish == "stop"
    assert deltas[-1].usage is not None and deltas[-1].usage.prompt_tokens > 20
    stopped = list(writer.stream(asked, max_tokens=32, stop=["Paris"]))
    assert "Paris" not in "".join(delta.text for delta in stopped) and stopped[-1].finish == "stop"
    warm = [said_with(writer, 0.9) for _ in range(2)]
    assert warm[0] == warm[1], "the seed is fixed"
    writer.close()


def said_with(writer: Openvino, temperature: float) -> list[Delta]:
    return list(writer.stream(ASKED, max_tokens=8, temperature=temperature))


@needs
def test_many_at_once_and_some_given_up(path: Path) -> None:
    writer = made(path, slots=2)
    alone = said(writer, 24)
    found: list[str] = []

    def ask(early: bool) -> None:
        stream = writer.stream(ASKED, max_tokens=24)
        if early:
            next(stream)
            stream.close()  # type: ignore[attr-defined]
        else:
            found.append("".join(delta.text for delta in stream))

    threads = [threading.Thread(target=ask, args=(n % 3 == 0,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert found == [alone] * 4
    writer.close()


@needs
@pytest.mark.parametrize("given", [{"prefixes": True}, {"speculation": "ngram"}], ids=str)
def test_what_only_makes_it_faster_changes_no_word(given: dict[str, object], path: Path) -> None:
    usual, faster = made(path), made(path, **given)
    text = said(usual)
    assert text and [said(faster), said(faster)] == [text, text]
    usual.close()
    faster.close()


@needs
def test_it_can_be_made_to_quote(path: Path) -> None:
    passage = "The library opens at nine\nand closes at six. Parking is free for two hours."
    hits = [Hit(Chunk("0", "0", passage, 0, len(passage)), 1.0, "given")]
    asked = [Message("system", f"Answer from the passage.\n\n[1] \n{passage}"), Message("user", "When does it open?")]
    writer, quoter = made(path), made(path, mode="quote")
    assert quoter.id == f"{writer.id}:quote"
    deltas = list(quoter.stream(asked, passages=hits, max_tokens=24))
    text = "".join(delta.text for delta in deltas)
    assert text in " ".join(passage.split()) or text == NOT_FOUND
    assert deltas[-1].finish and deltas[-1].usage and writer.pid == quoter.pid, "one model for both"
    nothing = [Hit(Chunk("0", "0", "…", 0, 1), 1.0, "given")]
    assert next(iter(quoter.stream(asked, passages=nothing))).text == NOT_FOUND
    assert text not in ("", said(writer, 24))
    writer.close()
    quoter.close()


@needs
def test_a_schema_that_it_can_not_read_harms_nobody_else(path: Path) -> None:
    """The request stays in OpenVINO's pipeline, which then fails at every step: its process ends, another begins."""
    writer, texts = made(path, slots=4), list[str]()
    usual, first = said(writer, 24), writer.pid

    def ask() -> None:
        with contextlib.suppress(GeneratorError):
            texts.append(said(writer, 24))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    with pytest.raises(GeneratorError, match='^OpenVINO failed: Unsupported type "nonsense"$'):
        list(writer.stream([Message("user", "Hi")], schema='{"type": "nonsense"}'))
    said_after = said(writer, 24)
    for thread in threads:
        thread.join(120)
    assert said_after == usual and writer.pid != first
    assert set(texts) <= {usual}, "who had begun was told, who had not was asked for again"
    writer.close()


@needs
def test_what_it_does_not_read_is_named() -> None:
    path = weights.gguf_path("gemma3-270m") or pytest.skip("needs `damda models pull gemma3-270m`")
    with pytest.raises(WeightsError, match=r'architecture gemma3\).*answer.generator = "llama" does'):
        said(made(path))


@needs
def test_settings(path: Path, tmp_path: Path) -> None:
    settings = load(flags={"answer.generator": "openvino", "openvino.model": str(path), "openvino.slots": 3}, env={})
    assert models.slots_of(settings) == 3 and models.make_writer(settings).id.startswith("openvino:smollm2-135m.gguf:")
    assert models.make_judge(f"openvino:{path}", settings).id.startswith("openvino:")
    with pytest.raises(ConfigError, match="not set"):
        Openvino(OpenvinoSettings())
    with pytest.raises(ConfigError, match="go together"):
        made(path, speculation="draft")
    with pytest.raises(WeightsError, match=r"openvino_model\.bin is missing"):
        made(tmp_path)
