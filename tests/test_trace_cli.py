"""`damda trace`, and that `ask`, `chat` and `search` leave traces."""

import json
from pathlib import Path

import pytest
from fakes import FakeEncoder, use_fakes
from test_trace import SENTENCES, Talker
from tracing_fixtures import outline
from typer.testing import CliRunner, Result

from damda import assemble, trace
from damda.cli import commands
from damda.ingest import sync
from damda.traces import Traces
from damda.tune.questions import liked

app = commands()
runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_fakes(monkeypatch.setattr, FakeEncoder())
    monkeypatch.setattr(assemble, "make_generator", lambda *_: Talker(SENTENCES[0], "Nobody said so."))
    monkeypatch.setattr(sync, "_TRUST_AFTER", 0.0)
    root = tmp_path / "handbook"
    root.mkdir()
    (root / "leave.md").write_text(f"{SENTENCES[0]}\n", encoding="utf-8")
    return root


def run(*words: str | Path, input: str | None = None) -> Result:
    return runner.invoke(app, [str(word) for word in words], input=input, env={"COLUMNS": "100"})


def test_none_yet(folder: Path) -> None:
    result = run("trace", folder)
    assert (result.exit_code, result.stdout) == (0, "") and "ask or search something first" in result.stderr
    assert "trace.on = false" in run("trace", folder, "--set", "trace.on=false").stderr
    assert run("trace", folder, "last").exit_code == 2
    assert json.loads(run("trace", folder, "--json").stdout) == []


def test_a_question_and_its_waterfall(folder: Path) -> None:
    asked = json.loads(run("ask", folder, "leave days", "--json").stdout)
    assert trace.active() is None
    id = asked["trace_id"]
    listed = run("trace", folder)
    assert listed.exit_code == 0, listed.output
    head, line = listed.stdout.splitlines()
    assert head.split() == ["trace", "when", "ms", "tokens", "found", "quotes", "liked"]
    assert line.startswith(id[:8]) and line.split()[-5:] == ["30+7", "yes", "1", "invoke_workflow", "answer"]
    drawn = run("trace", folder, id[:5])
    assert drawn.exit_code == 0, drawn.output
    lines = drawn.stdout.splitlines()
    assert lines[0].startswith(id)
    assert "1 quotes, 1 unsupported · 30 tokens in, 7 out" in lines[1]
    shown = [line for line in lines if line.endswith(" ms") and "█" in line or "▏" in line]
    assert [line.split()[0] for line in lines if line.rstrip().endswith(" ms")][1:] == [
        "invoke_workflow", "cache", "retrieval", "bm25", "dense", "embeddings", "guard", "chat", "guard", "quote",
        "guard", "quote",
    ]  # fmt: skip
    assert shown and max(map(len, shown)) <= 100
    assert any("leave.md#0" in line and "bm25" in line and "cosine" in line for line in lines)
    assert any("no passage supports it" in line for line in lines)
    assert drawn.stdout == run("trace", folder, "last").stdout
    assert "gen_ai.request.max_tokens: 512" in run("trace", folder, "last", "--verbose").stdout
    whole = json.loads(run("trace", folder, id, "--json").stdout)
    assert whole["summary"]["id"] == id
    assert [step["name"] for step in whole["steps"][0]["steps"]][:2] == ["cache", "retrieval handbook"]


def test_texts_if_asked_for(folder: Path) -> None:
    run("ask", folder, "leave days", "--set", "trace.content=true")
    assert run("trace", folder).stdout.splitlines()[1].endswith("leave days")
    assert "leave days" in run("trace", folder, "last").stdout


def test_search_and_chat(folder: Path) -> None:
    assert run("search", folder, "leave").exit_code == 0
    assert run("chat", folder, input="leave\ndays\n").exit_code == 0
    names = [one.name for one in Traces(folder / ".damda").recent()]
    assert names == ["invoke_workflow answer", "invoke_workflow answer", "retrieval handbook"]


def test_off(folder: Path) -> None:
    asked = json.loads(run("ask", folder, "leave", "--json", "--set", "trace.on=false").stdout)
    assert asked["trace_id"] == "" and not (folder / ".damda" / "traces.sqlite").exists()


def test_only_the_bad_and_the_slow(folder: Path) -> None:
    for question in ("leave", "days"):
        run("ask", folder, question)
    traces = Traces(folder / ".damda")
    bad, other = traces.recent()
    assert traces.feedback(bad.id, -1, "wrong number") and traces.feedback(other.id, 1)
    listed = run("trace", folder, "--bad").stdout.splitlines()
    assert [line[:8] for line in listed[1:]] == [bad.id[:8]] and " -1 " in listed[1]
    assert " +1 " in run("trace", folder).stdout
    assert "feedback -1: wrong number" in run("trace", folder, bad.id[:6]).stdout
    assert len(run("trace", folder, "--slow", "0", "-n", "1").stdout.splitlines()) == 2
    assert "no trace is like that" in run("trace", folder, "--slow", "60000").stderr


def test_liked_answers_are_questions_to_learn_from(folder: Path) -> None:
    for question in ("leave days", "leave  days", "days of leave", "leave"):
        run("ask", folder, question, "--set", f"trace.content={question != 'leave'}", "--no-cache")
    traces = Traces(folder / ".damda")
    assert liked(traces) == []
    for one in traces.recent():
        traces.feedback(one.id, -1 if one.question == "days of leave" else 1)
    (learnt,) = liked(traces)
    assert learnt.text == "leave days", "each once; what nobody may read, or nobody liked, is not learnt from"
    assert learnt.relevant == {"leave.md"} and learnt.source == "feedback"


def test_ids_that_are_none_or_several(folder: Path) -> None:
    for _ in range(20):
        run("search", folder, "leave")
    unknown = run("trace", folder, "zz")
    assert unknown.exit_code == 2 and "no trace begins with" in unknown.stderr
    first = [one.id[0] for one in Traces(folder / ".damda").recent()]
    twice = next(c for c in first if first.count(c) > 1)
    assert "begins" in run("trace", folder, twice).stderr


def test_an_answer_goes_on_where_traces_can_t_be_kept(folder: Path) -> None:
    run("index", folder)
    (folder / ".damda" / "traces.sqlite").mkdir()
    asked = run("ask", folder, "leave")
    assert asked.exit_code == 0 and SENTENCES[0] in asked.stdout


def test_a_trace_of_nothing(folder: Path) -> None:
    """An answer without hits has a trace too."""
    asked = json.loads(run("ask", folder, "leave", "--json", "--glob", "nothing/**").stdout)
    kept = Traces(folder / ".damda").get(asked["trace_id"])
    assert kept is not None and outline(kept)[0] == "invoke_workflow answer"
    assert kept.summary.found is False
