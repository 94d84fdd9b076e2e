"""`damda bench`: what is measured, what is kept, what is chosen, where it is written."""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_llama import MISSING, smollm
from typer.testing import CliRunner

from damda.bench import caches, choose, engines, page, run, single, toml
from damda.bench.choose import Choice
from damda.bench.run import Measured
from damda.bench.subject import Row, Subject, engine, heard
from damda.cli import commands
from damda.errors import ConfigError, GeneratorError
from damda.types import Delta, Message, Progress, Usage, quiet

app = commands()


def spoken(task: str, way: str, speed: float, same: bool = True) -> Row:
    return {
        "study": "speculation",
        "task": task,
        "way": way,
        "tokens_per_second": speed,
        "acceptance": 0.5,
        "same": same,
    }


def known(way: str, first: float, same: bool = True) -> Row:
    named = {"study": "prefixes", "task": "1,000 tokens that are known", "way": way}
    return {**named, "first": first, "read": 9, "same": same}


def read(task: str, way: str, first: float) -> Row:
    named = {"study": "flash attention", "task": task, "way": way}
    return {**named, "first": first, "tokens_per_second": 50.0, "same": True}


# --- what is chosen


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([], {}),
        ([spoken("copying", "none", 50), spoken("copying", "ngram", 80)], {"llama.speculation": "ngram"}),
        ([spoken("copying", "none", 50), spoken("copying", "ngram", 80, same=False)], {}),
        ([spoken("copying", "none", 50), spoken("copying", "ngram", 51)], {}),
        (
            [
                *(spoken("copying", way, speed) for way, speed in (("none", 50), ("ngram", 80), ("draft", 90))),
                *(spoken("free text", way, speed) for way, speed in (("none", 50), ("ngram", 50), ("draft", 40))),
            ],
            {"llama.speculation": "ngram"},
        ),
        ([known("computed", 2.0), known("in memory", 0.1), known("restored", 0.1)], {"llama.kv": True}),
        ([known("computed", 2.0), known("in memory", 0.1), known("restored", 1.5)], {}),
        ([known("computed", 2.0), known("in memory", 0.1), known("restored", 0.1, same=False)], {}),
        ([read("256", "on", 2.0), read("256", "off", 1.0)], {"llama.flash_attention": "off"}),
        ([read("256", "on", 2.0), read("256", "off", 1.0), read("1024", "on", 1), read("1024", "off", 2)], {}),
    ],
)
def test_only_what_gains_and_loses_nothing_is_chosen(rows: list[Row], wanted: Mapping[str, Any]) -> None:
    found = choose.choices(rows)
    assert {choice.key: choice.value for choice in found} == wanted and all(choice.why for choice in found)


# --- where it is written

CHOSEN = [Choice("llama.kv", True, "first words 30 times as early"), Choice("llama.speculation", "ngram", "1.6 times")]


@pytest.mark.parametrize(
    "before",
    [
        "",
        "offline = true\n",
        "# mine\n[llama]\nmodel = 'm.gguf'  # small\nkv = false\n\n[answer]\nquotes = 2\n",
        "[answer]\nquotes = 2\n[llama]\n",
    ],
)
def test_what_people_wrote_stays(before: str, tmp_path: Path) -> None:
    file = tmp_path / "damda.toml"
    if before:
        file.write_text(before, encoding="utf-8")
    toml.put(file, CHOSEN, "2 cores")
    text = file.read_text(encoding="utf-8")
    kept = tomllib.loads(before)
    assert tomllib.loads(text) == {**kept, "llama": {**kept.get("llama", {}), "kv": True, "speculation": "ngram"}}
    assert "# damda bench, 2 cores: first words 30 times as early" in text
    assert all(line in text for line in before.splitlines() if "kv" not in line)
    toml.put(file, CHOSEN, "2 cores")
    assert file.read_text(encoding="utf-8") == text, "a second time nothing changes"


@pytest.mark.parametrize("before", ["llama = {model = 'm'}\n", "llama.model = 'm'\n", "[llama\n"])
def test_a_file_that_cannot_be_added_to_stays(before: str, tmp_path: Path) -> None:
    file = tmp_path / "damda.toml"
    file.write_text(before)
    with pytest.raises(ConfigError, match=r"llama.kv = true; llama.speculation = \"ngram\""):
        toml.put(file, CHOSEN, "2 cores")
    assert file.read_text() == before and list(tmp_path.iterdir()) == [file]


def test_what_would_stop_damda_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "damda.toml"
    file.write_text("[llama]\ncache = 'q8_0'\n")
    with pytest.raises(ConfigError, match="stays as it is: .*needs flash attention"):
        toml.put(file, [Choice("llama.flash_attention", "off", "faster")], "2 cores")
    assert "flash" not in file.read_text() and list(tmp_path.iterdir()) == [file]


def test_a_smaller_model_is_named() -> None:
    rows = [spoken("copying", "none", 50), spoken("copying", "draft", 80)]
    assert {c.key: c.value for c in choose.choices(rows, "s.gguf")} == {
        "llama.speculation": "draft",
        "llama.draft": "s.gguf",
    }


# --- what is kept


def test_a_run_goes_on_and_names_what_it_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAMDA_CACHE", str(tmp_path))
    done: list[str] = []

    def study(name: str, fails: bool = False) -> run.Study:
        def measure(progress: Progress) -> list[Row]:
            done.append(name)
            if fails:
                raise GeneratorError("no such architecture")
            return [known(name, 1.0)]

        return measure

    studies = {"a": study("a"), "b": study("b", fails=True), "c": study("c")}
    made, kept = run.run("m", {"a": studies["a"], "b": studies["b"]}, 5, {}, "here", quiet)
    assert [row["way"] for row in made.rows] == ["a"] and made.failed == {"b": "no such architecture"}
    again, _ = run.run("m", {"a": studies["a"]}, 0, {}, "here", quiet)
    assert [row["way"] for row in again.rows] == ["a"] and done == ["a", "b"], "kept until it was shown"
    kept.done()
    short, _ = run.run("m", studies, 0, {}, "here", quiet)
    assert short.left == ["a", "b", "c"], "what was shown is measured anew another time"
    with monkeypatch.context() as patched:
        patched.setattr("damda.bench.run.time.monotonic", iter([0.0, 0.0, 99.0, 99.0]).__next__)
        first, _ = run.run("m", {"a": studies["a"], "c": studies["c"]}, 1, {}, "here", quiet)
    assert [row["way"] for row in first.rows] == ["a"] and first.left == ["c"]
    done.clear()
    whole, _ = run.run("m", {"a": studies["a"], "c": studies["c"]}, 5, {}, "here", quiet)
    assert [row["way"] for row in whole.rows] == ["a", "c"] and done == ["c"]


# --- the page


def test_the_page_shows_everything_and_escapes_it() -> None:
    pytest.importorskip("matplotlib", reason="needs the extra measure")
    rows = [spoken("copying", "none", 50), spoken("copying", "ngram", 80), known("<b>", 1.0)]
    text = page.page(Measured("m<i>", "2 cores", rows, ["batching"], {"x": "no <room>"}), CHOSEN)
    assert "m&lt;i&gt;" in text and "&lt;b&gt;" in text and "no &lt;room&gt;" in text and "<svg" in text
    assert "80.0" in text and "batching: there was no time" in text and "llama.speculation" in text


# --- engines


class Slow:
    """Writes two words behind any prompt, as if it had 10 tokens."""

    id = "slow"

    def __init__(self, fails: bool = False) -> None:
        self.closed, self._fails = False, fails

    def stream(self, messages: Sequence[Message], **_: object) -> Iterator[Delta]:
        if self._fails:
            raise GeneratorError("it can't read this architecture")
        yield Delta("a ")
        yield Delta("b", "stop", Usage(10, 2))

    def complete(self, prompt: str, **_: object) -> Iterator[Delta]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


def test_engines_side_by_side() -> None:
    made = [Slow(), Slow(), Slow()]
    ready = iter(made)
    those = [
        engines.Engine("good", lambda n: next(ready), size=5_000_000, memory=lambda writer: 7_000_000),
        engines.Engine("other", lambda n: Slow(fails=True)),
    ]
    subject = Subject(Path("m.gguf"), ["What?"], ["some words"])
    *rows, unread = engines.side_by_side(subject, quiet, those, "some words")
    assert [row["task"] for row in rows] == ["1 at once", "4 at once", "8 at once"]
    for row in rows:
        assert row["together"] == pytest.approx(6 * row["throughput"]), "12 tokens read and written, 2 of them written"
        assert row["installed"] == 5 and row["memory"] == 7 and row["first"] >= 0 and row["load"] >= 0
    assert all(one.closed for one in made)
    assert (unread["way"], unread["task"], unread["throughput"]) == ("other", "it can't read this architecture", None)
    with pytest.raises(GeneratorError, match="other: it can't read"):
        engines.side_by_side(subject, quiet, those[1:], "some words")
    with pytest.raises(GeneratorError, match="no engine is installed"):
        engines.side_by_side(subject, quiet, [], "some words")


# --- a real model


@pytest.fixture(scope="module")
def subject() -> Subject:
    path = smollm()
    if path is None:
        pytest.skip(MISSING)
    return Subject(path, ["How is tea made?", "What is salt?"], ["The library opens at nine. " * 30], threads=1)


def test_a_request_is_timed(subject: Subject) -> None:
    made = engine(subject, context=256)
    one = heard(made, subject.request("How is tea made?", 8, exactly=True))
    assert one.written == 8 and 0 < one.first <= one.whole and one.read > 8 and one.cached == 0 and one.speed > 0
    assert one.text == heard(made, subject.request("How is tea made?", 8, exactly=True)).text


def test_engines_read_as_many_tokens_of_any_language(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    korean = replace(
        subject, passages=["도서관은 아홉 시에 열고 여섯 시에 닫는다. " * 30], questions=["차는 어떻게 끓이나요?"]
    )
    monkeypatch.setattr(engines, "ROUNDS", 1)
    monkeypatch.setattr(engines, "TOKENS", 2)
    monkeypatch.setattr(engines, "AT_ONCE", (1,))
    llama = next(engine for engine in engines.known(korean) if engine.name == "llama")
    read: list[int] = []
    monkeypatch.setattr(engines, "_written", _noting(engines._written, read))
    (row,) = engines.side_by_side(korean, quiet, [llama])
    assert row["way"] == "llama" and row["together"] > 0, "a word of Korean is many of this model's tokens"
    assert 400 < read[-1] < 700


def _noting(written: Callable[..., tuple[float, Usage]], read: list[int]) -> Callable[..., tuple[float, Usage]]:
    def note(*given: Any) -> tuple[float, Usage]:  # noqa: ANN401
        seconds, usage = written(*given)
        read.append(usage.prompt_tokens)
        return seconds, usage

    return note


def test_a_known_beginning_is_not_read_again(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single, "ROUNDS", 1)
    rows = {row["way"]: row for row in single.prefixes(subject, quiet)}
    assert rows["computed"]["read"] > 900 and rows["restored"]["read"] < 100 and rows["in memory"]["read"] < 100
    assert rows["restored"]["same"]


def test_a_cache_changes_no_word_and_takes_what_was_planned(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "ROUNDS", 1)
    monkeypatch.setattr(caches, "READ", (128,))
    rows = {row["way"]: row for row in caches.kept(subject, quiet)}
    assert all(row["tokens_per_second"] > 0 for row in rows.values())
    assert rows["computed anew"]["same"], "a text that repeats itself leaves no doubt about the next word"
    weighed = caches.weighed(subject, quiet)
    taken = [row for row in weighed if row["taken"] is not None]
    assert [row["taken"] for row in taken] == pytest.approx([row["planned"] for row in taken], abs=0.01)
    assert [row["way"] for row in weighed] == [
        "grouped-query, 9 over 3, f16", "grouped-query, 9 over 3, q8_0", "grouped-query, 9 over 3, q4_0",
        "if multi-head, f16", "if grouped-query, 8 heads, f16", "if multi-query, f16",
    ]  # fmt: skip


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subject: Subject) -> None:
    monkeypatch.setenv("DAMDA_LLAMA__THREADS", "1")
    monkeypatch.setattr(single, "ROUNDS", 1)
    monkeypatch.setattr(single, "_LONG", 8)
    words = ["bench", "--model", str(subject.path), "--only", "speculation", "--quiet"]
    done = CliRunner().invoke(app, [*words, "--json", "--report", str(tmp_path / "b.html")])
    assert done.exit_code == 0, (done.output, done.exception)
    found = json.loads(done.stdout)
    assert {row["way"] for row in found["measured"]["rows"]} == {"none", "ngram"}
    assert all(row["same"] for row in found["measured"]["rows"])
    assert (tmp_path / "b.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "no model"),
        (["--model", "/nowhere/m.gguf"], "is no model"),
        (["--model", "smollm2-135m", "--only", "magic"], "is no study"),
        (["--model", "smollm2-135m", "--report", "/nowhere/at/all.html"], "does not exist"),
    ],
)
def test_what_cannot_be_measured_is_said(words: list[str], why: str, subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "damda.toml").write_text("")
    done = CliRunner().invoke(app, ["bench", *words, "--config", str(tmp_path / "damda.toml")])
    assert done.exit_code == 1 and why in str(done.exception)
