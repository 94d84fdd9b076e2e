"""What is remembered in the life of a folder: asked twice, and every change after which it must be asked anew."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeEncoder, Opener, use_fakes
from typer.testing import CliRunner

import damda
from damda.answer.direct import Direct, Limits
from damda.answer.guard import Guards
from damda.assemble import models, remembering
from damda.cli import commands
from damda.config import load
from damda.errors import DamdaError
from damda.knowledge import KnowledgeBase
from damda.types import Answer, Delta, Found, Hit, Message, Usage, Verdict, Where

QUESTION = "how many days of leave?"
SETTINGS: dict[str, Any] = {"answer.threshold": 0.0}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "leave.md").write_text("Leave is 15 days.\n\nAsk a week before.", encoding="utf-8")
    (tmp_path / "travel.md").write_text("Trains are second class.", encoding="utf-8")
    return tmp_path


def ask(kb: KnowledgeBase, question: str = QUESTION, **more: Any) -> Answer:  # noqa: ANN401
    kb.refresh()
    return kb.ask(question, **more)


def test_the_second_time_it_is_remembered(root: Path, open_fake: Opener) -> None:
    kb = open_fake(root, settings=SETTINGS)
    first, second = ask(kb), ask(kb)
    assert first.found and not first.cached and second.cached == "exact"
    assert (second.text, second.quotes) == (first.text, first.quotes) and repr(second.hits) == repr(first.hits)
    *deltas, third = kb.stream(QUESTION)
    assert isinstance(third, Answer) and third.cached == "exact"
    assert "".join(d.text for d in deltas if isinstance(d, Delta)) == first.text
    assert ask(open_fake(root, settings=SETTINGS)).cached == "exact", "in another process too"


def test_another_spelling_is_the_same_question(root: Path, open_fake: Opener) -> None:
    kb = open_fake(root, settings=SETTINGS)
    ask(kb)
    assert ask(kb, "  How many days   of leave").cached == "exact"
    assert not ask(kb, "how many days of travel?").cached


def changed_document(root: Path) -> dict[str, Any]:
    (root / "leave.md").write_text("Leave is 20 days.\n\nAsk a week before.", encoding="utf-8")
    return {}


def another_document(root: Path) -> dict[str, Any]:
    (root / "more.md").write_text("Leave is 30 days for pilots.", encoding="utf-8")
    return {}


def gone_document(root: Path) -> dict[str, Any]:
    (root / "travel.md").unlink()
    return {}


@pytest.mark.parametrize(
    "change",
    [
        changed_document,
        another_document,
        gone_document,
        lambda root: {"answer.quotes": 2},
        lambda root: {"answer.threshold": 0.01},
        lambda root: {"answer.passages": 4},
        lambda root: {"answer.instructions": "Be kind."},
        lambda root: {"answer.max_tokens": 100},
        lambda root: {"search.mode": "bm25"},
        lambda root: {"search.candidates": 40},
        lambda root: {"guard.question": ["personal"]},
        lambda root: {"guard.redact": ["phone"]},
        lambda root: {"guard.passage": []},
        lambda root: {"guard.answer": []},
        lambda root: {"guard.unsupported": "drop"},
        lambda root: {"chunk.tokens": 64},
    ],
)
def test_after_any_change_it_is_asked_anew(root: Path, open_fake: Opener, change: Any) -> None:  # noqa: ANN401
    assert not ask(open_fake(root, settings=SETTINGS)).cached
    kb = open_fake(root, settings=SETTINGS | change(root))
    assert not ask(kb).cached and ask(kb).cached == "exact"


def test_a_document_that_came_back_brings_its_answers_back(root: Path, open_fake: Opener) -> None:
    kb = open_fake(root, settings=SETTINGS)
    before, text = ask(kb), (root / "leave.md").read_text(encoding="utf-8")
    changed_document(root)
    assert not ask(kb).cached
    (root / "leave.md").write_text(text, encoding="utf-8")
    assert ask(kb).cached == "exact" and ask(kb).text == before.text


def test_another_encoder_is_asked_anew(root: Path, open_fake: Opener) -> None:
    ask(open_fake(root, settings=SETTINGS))
    assert not ask(open_fake(root, FakeEncoder("other"), settings=SETTINGS)).cached


def test_a_filter_is_part_of_the_question(root: Path, open_fake: Opener) -> None:
    kb = open_fake(root, settings=SETTINGS)
    ask(kb)
    where = Where(source="travel.md")
    assert not ask(kb, where=where).cached and ask(kb, where=where).cached == "exact"


def test_so_is_the_conversation(root: Path, open_fake: Opener) -> None:
    kb = open_fake(root, settings=SETTINGS)
    history = [Message("user", "hello"), Message("assistant", "hello")]
    assert not ask(kb).cached and not ask(kb, history=history).cached and ask(kb, history=history).cached


def test_one_may_want_it_made_anew_or_not_kept(root: Path, open_fake: Opener) -> None:
    kb = open_fake(root, settings=SETTINGS)
    assert not ask(kb, recall="off").cached and not ask(kb).cached
    assert not ask(kb, recall="renew").cached and not ask(kb, recall="off").cached and ask(kb).cached == "exact"


@pytest.mark.parametrize("settings", [{"cache.mode": "off"}, {"answer.temperature": 0.5}])
def test_nothing_is_remembered_where_it_must_not_be(root: Path, open_fake: Opener, settings: dict[str, Any]) -> None:
    kb = open_fake(root, settings=SETTINGS | settings)
    assert not ask(kb).cached and not ask(kb).cached
    assert not (kb.home / remembering.FILE).exists()


def test_what_a_guard_withholds_is_not_remembered(root: Path, open_fake: Opener) -> None:
    (root / "secret.md").write_text("The number is 960121-2123456.", encoding="utf-8")
    kb = open_fake(root, settings=SETTINGS | {"guard.block": ["rrn"], "guard.redact": []})
    for _ in range(2):
        answer = ask(kb, "what is the number?", where=Where(source="secret.md"))
        assert answer.blocked and not answer.cached and "2123456" not in repr((answer.text, answer.quotes))


@pytest.mark.parametrize("damage", ["garbage", "cut", "folder", "row"])
def test_a_damaged_cache_costs_no_answer(root: Path, open_fake: Opener, damage: str) -> None:
    first = ask(open_fake(root, settings=SETTINGS))
    kb = open_fake(root, settings=SETTINGS)
    path = kb.home / remembering.FILE
    if damage == "row":
        with sqlite3.connect(path) as db:
            db.execute("UPDATE entries SET payload = replace(payload, '15', '99')")
        db.close()
    else:
        for beside in path.parent.glob(f"{path.name}*"):
            beside.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "row":
        path.write_bytes(b"SQLite format 3\0" + b"x" * 5000 if damage == "cut" else b"garbage" * 1000)
    again = ask(kb)
    assert again.text == first.text and not again.cached


class Counts:
    """A language model that says how often it was asked."""

    id = "counts"

    def __init__(self) -> None:
        self.asked = 0

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        schema: str = "",
    ) -> Iterator[Delta]:
        return self.complete(messages[-1].content)

    def complete(
        self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, stop: Sequence[str] = ()
    ) -> Iterator[Delta]:
        self.asked += 1
        yield from (Delta("Once. "), Delta(f"Time {self.asked}."))
        yield Delta(finish="length" if prompt == "long" else "stop", usage=Usage(3, 4))


@pytest.fixture
def direct(tmp_path: Path) -> tuple[Direct, Counts]:
    writer = Counts()
    return Direct(writer, Guards(), remembering.make_texts(load(env={}), tmp_path, FakeEncoder)), writer


def said(direct: Direct, *messages: str, chat: bool = True, limits: Limits | None = None, **more: Any) -> Answer:  # noqa: ANN401
    told = [Message("user", text) for text in messages]
    limits = limits or Limits()
    stream = direct.chat(told, limits, **more) if chat else direct.complete(told[-1].content, limits, **more)
    *deltas, answer = stream
    assert isinstance(answer, Answer)
    assert "".join(d.text for d in deltas if isinstance(d, Delta)) == answer.text
    return answer


def test_the_bare_model_is_asked_once(direct: tuple[Direct, Counts]) -> None:
    first, second = said(direct[0], "hi"), said(direct[0], "hi")
    assert first.text == second.text == "Once. Time 1." and second.cached == "exact" and direct[1].asked == 1
    assert second.usage == first.usage == Usage(3, 4)


def test_a_remembered_text_is_a_stream_again_and_ends_as_it_did(direct: tuple[Direct, Counts]) -> None:
    said(direct[0], "long")
    deltas = [item for item in direct[0].chat([Message("user", "long")], Limits()) if isinstance(item, Delta)]
    assert [d.text for d in deltas] == ["Once.", " Time 1.", ""] and deltas[-1].finish == "length"


def test_to_a_bare_model_every_letter_counts(direct: tuple[Direct, Counts]) -> None:
    """Not a question but a prompt: "Translate: Polish" is not "translate: polish"."""
    texts = ("Translate: Polish", "translate: polish", "Translate:  Polish", "Translate: Polish.", "Translate: Polish?")
    assert [said(direct[0], text).text for text in texts] == [f"Once. Time {n}." for n in range(1, 6)]


@pytest.mark.parametrize(
    "other",
    [
        {"limits": Limits(max_tokens=5)},
        {"limits": Limits(stop=["x"])},
        {"chat": False},
        {"recall": "renew"},
        {"recall": "off"},
        {"limits": Limits(temperature=0.1)},
    ],
)
def test_other_wishes_are_other_texts(direct: tuple[Direct, Counts], other: dict[str, Any]) -> None:
    said(direct[0], "hi")
    assert not said(direct[0], "hi", **other).cached and direct[1].asked == 2


def test_what_was_said_before_counts(direct: tuple[Direct, Counts]) -> None:
    said(direct[0], "hi")
    assert not said(direct[0], "hello", "hi").cached


# --- the command line -------------------------------------------------------------------------------------------------


def run(*args: str) -> str:
    result = CliRunner().invoke(commands(), list(args))
    assert result.exit_code == 0, result.output
    return result.output


def test_asked_twice_the_command_says_that_it_was_remembered(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_fakes(monkeypatch.setattr, FakeEncoder())
    options = ("ask", str(root), QUESTION, "--set", "answer.threshold=0")
    assert "remembered" not in run(*options) and "remembered" in run(*options)
    assert "remembered" not in run(*options, "--no-cache")
    assert json.loads(run(*options, "--json"))["cached"] == "exact"
    kept = json.loads(run("cache", "stats", str(root), "--json"))
    assert kept["answers"]["entries"] == 1 and kept["answers"]["exact"] == 2
    assert "same question" in run("cache", "stats", str(root))
    assert json.loads(run("cache", "clear", str(root), "--json")) == {"texts": 1, "prompts": 0}
    assert "remembered" not in run(*options)


def test_clearing_what_was_never_made(root: Path) -> None:
    assert json.loads(run("cache", "stats", str(root), "--json"))["answers"]["entries"] == 0
    assert json.loads(run("cache", "clear", str(root), "--json")) == {"texts": 0, "prompts": 0}
    assert not (root / ".damda").exists(), "nothing is made of a mere question"


def test_the_bare_model_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Counts()
    monkeypatch.setattr(models, "make_writer", lambda settings: writer)
    for cached in ("", "exact"):
        model = damda.llm(settings={"remote.url": "http://127.0.0.1:9/v1", "home": str(tmp_path)})
        assert model.ask("hi").cached == cached and writer.asked == 1
    with pytest.raises(DamdaError, match=r"remote\.url"):
        damda.llm()


def test_a_cache_and_guards_of_ones_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine:
        kept: dict[tuple[str, str], Answer] = {}

        def get(self, question: str, scope: str) -> Answer | None:
            found = self.kept.get((question, scope))
            return replace(found, cached="exact") if found else None

        def put(self, question: str, scope: str, answer: Answer) -> None:
            self.kept[question, scope] = answer

    class Shy:
        id = "shy-1"

        def check(self, text: str, hits: Sequence[Hit] = ()) -> Verdict:
            return Verdict("redact", "●" * len(text), (Found("all", 0, len(text)),), guard="shy")

    use_fakes(monkeypatch.setattr, FakeEncoder())
    kb = damda.open(root, settings=SETTINGS, cache=Mine(), guards={"answer": [Shy()]})
    first, second = ask(kb), ask(kb)
    assert not first.cached and second.cached and first.text.startswith("●●●") and len(Mine.kept) == 1
    assert set(first.hits[0].chunk.text) == {"●"} and not (kb.home / remembering.FILE).exists()
