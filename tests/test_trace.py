"""Spans of answers and searches: their tree, their names, what is in them and what never is."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from fakes import FakeEncoder, Opener
from tracing_fixtures import Start, latest, outline, steps

from damda import assemble, config, trace
from damda.errors import GeneratorError
from damda.generate.remote import Remote
from damda.knowledge import KnowledgeBase
from damda.settings import RemoteSettings
from damda.traces import Traces
from damda.types import Answer, Delta, Hit, Message, Usage

SENTENCES = ("Leave is 15 days a year.", "Laptops are lent for three years.")


class Talker:
    """A generator that says what it is told to, a sentence a delta."""

    id = "llama:talker.gguf:f00:write"

    def __init__(self, *said: str) -> None:
        self.said, self.closed = said, 0

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> Iterator[Delta]:
        try:
            for sentence in self.said:
                trace.note({"test.sentences": self.said.index(sentence) + 1})
                yield Delta(sentence + "\n")
            yield Delta("", "stop", Usage(30, 7))
        finally:
            self.closed += 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "handbook"
    root.mkdir()
    for n, sentence in enumerate(SENTENCES):
        (root / f"{n}.md").write_text(f"{sentence}\n", encoding="utf-8")
    return root


@pytest.fixture
def kb(folder: Path, open_fake: Opener, monkeypatch: pytest.MonkeyPatch) -> KnowledgeBase:
    monkeypatch.setattr(assemble, "make_generator", lambda *_: Talker(*SENTENCES))
    opened = open_fake(folder)
    opened.sync()
    return opened


def test_the_tree_of_an_answer(kb: KnowledgeBase, start: Start) -> None:
    tracing = start(kb.home)
    answer = kb.ask("leave laptops")
    tracing.flush()
    kept = Traces(kb.home).get(answer.trace_id)
    assert kept is not None
    assert outline(kept) == [
        "invoke_workflow answer",
        "  cache",
        "  retrieval handbook",
        "    bm25",
        "    dense",
        "      embeddings fake",
        "  guard",
        "  chat talker.gguf",
        "  guard",
        "  quote",
        "  guard",
        "  quote",
    ]
    facts = {step.name: step.attributes for step in steps(kept)}
    assert facts["invoke_workflow answer"] == {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "answer",
        "damda.found": True,
        "damda.quotes": 2,
        "damda.unsupported": 0,
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 7,
    }
    retrieval = dict(facts["retrieval handbook"])
    documents = json.loads(retrieval.pop("gen_ai.retrieval.documents"))
    assert retrieval == {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.provider.name": "damda",
        "gen_ai.data_source.id": "handbook",
        "gen_ai.retrieval.top_k": 5,
        "damda.mode": "hybrid",
    }
    assert [one["id"] for one in documents] == [hit.chunk.id for hit in answer.hits]
    assert documents[0]["score"] == pytest.approx(answer.hits[0].score, abs=1e-4)
    assert facts["embeddings fake"] == {
        "gen_ai.provider.name": "damda",
        "gen_ai.request.model": "fake",
        "gen_ai.operation.name": "embeddings",
        "gen_ai.embeddings.dimension.count": 16,
        "damda.texts": 1,
    }
    chat = dict(facts["chat talker.gguf"])
    assert chat.pop("gen_ai.response.time_to_first_chunk") >= 0
    assert chat == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "llama.cpp",
        "gen_ai.request.model": "talker.gguf",
        "gen_ai.request.max_tokens": 512,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.stream": True,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 7,
        "test.sentences": 2,
    }
    quote = facts["quote"]
    assert (quote["damda.supported"], quote["damda.document"], quote["damda.start"]) == (True, "1.md", 0)
    assert (kept.summary.found, kept.summary.quotes, kept.summary.input_tokens) == (True, 2, 30)
    for step in steps(kept):
        for below in step.steps:
            assert step.start_ms <= below.start_ms and below.start_ms + below.ms <= step.start_ms + step.ms + 0.01


def test_no_text_is_recorded_unless_asked_for(kb: KnowledgeBase, start: Start) -> None:
    tracing = start(kb.home)
    kb.ask("where are laptops lent")
    kb.search("where are laptops lent")
    tracing.close()
    stored = b"".join(path.read_bytes() for path in kb.home.glob("traces.sqlite*"))
    assert b"retrieval handbook" in stored
    assert not any(word in stored for word in (b"lent", b"Laptops", b"15 days", b"numbered passages"))


def test_texts_have_the_conventions_form(kb: KnowledgeBase, start: Start) -> None:
    tracing = start(kb.home, content=True)
    answer = kb.ask("leave laptops", history=[Message("user", "hello"), Message("assistant", "yes?")])
    tracing.flush()
    kept = latest(kb.home)
    facts = {step.name: step.attributes for step in steps(kept)}
    assert kept.summary.question == "leave laptops"
    assert facts["retrieval handbook"]["gen_ai.retrieval.query.text"] == "leave laptops"
    documents = json.loads(facts["retrieval handbook"]["gen_ai.retrieval.documents"])
    assert [one["content"] for one in documents] == [hit.chunk.text for hit in answer.hits]
    chat = facts["chat talker.gguf"]
    prompt = json.loads(chat["gen_ai.input.messages"])
    assert [message["role"] for message in prompt] == ["system", "user", "assistant", "user"]
    assert prompt[-1]["parts"] == [{"type": "text", "content": "leave laptops"}]
    assert SENTENCES[0] in prompt[0]["parts"][0]["content"]
    said = "".join(f"{sentence}\n" for sentence in SENTENCES)
    assert json.loads(chat["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": said}]}
    ]
    whole = json.loads(facts["invoke_workflow answer"]["gen_ai.output.messages"])
    assert whole[0]["parts"][0]["content"] == answer.text


def test_a_search_and_its_batch(kb: KnowledgeBase, start: Start) -> None:
    """A batch put together from several requests is in each one's trace; its steps are in the first's."""
    tracing = start(kb.home)
    kb.search("leave", 1)
    with trace.span("POST /a", kind="server", current=False) as a, trace.span("POST /b", current=False) as b:
        (first,), (second,) = kb.search_batch(["leave", "laptops"], 1, mode="bm25", parents=[a, b])
    tracing.flush()
    traces = Traces(kb.home)
    assert outline(latest(kb.home)) == ["POST /b", "  retrieval handbook"]
    kept_a, kept_b = traces.get(a.trace_id), traces.get(b.trace_id)
    assert kept_a is not None and outline(kept_a) == ["POST /a", "  retrieval handbook", "    bm25"]
    for kept, hit in ((kept_a, first), (kept_b, second)):
        (shown,) = json.loads(steps(kept)[1].attributes["gen_ai.retrieval.documents"])
        assert shown["id"] == hit.chunk.id
    assert steps(kept_b)[1].attributes["damda.queries"] == 2
    alone = traces.get(traces.recent(3)[-1].id)
    assert steps(alone)[0].attributes["gen_ai.retrieval.top_k"] == 1


def test_two_streams_in_one_thread_do_not_mix(kb: KnowledgeBase, start: Start) -> None:
    """Advanced in turn, one closed early; what the consumer does in between is in neither."""
    tracing = start(kb.home)
    first, second = kb.stream("leave laptops"), kb.stream("leave laptops")
    next(first)
    assert not trace.current()
    next(second)
    with trace.span("between"):
        pass
    first.close()  # type: ignore[attr-defined]
    answers = [item for item in second if isinstance(item, Answer)]
    tracing.flush()
    traces = Traces(kb.home)
    between, *rest = sorted((one.name, one.status, one.id) for one in traces.recent())
    assert between[:2] == ("between", "ok")
    assert sorted(one[:2] for one in rest) == [
        ("invoke_workflow answer", "cancelled"),
        ("invoke_workflow answer", "ok"),
    ]
    for _, status, id in rest:
        kept = traces.get(id)
        assert [step.name for step in steps(kept)].count("retrieval handbook") == 1
        quotes = [step for step in steps(kept) if step.name == "quote"]
        if status == "ok":
            assert id == answers[0].trace_id and len(quotes) == 2
        else:
            assert len(quotes) == 1
            assert {step.name: step.status for step in steps(kept)}["chat talker.gguf"] == "cancelled"


def test_a_stream_advanced_and_closed_by_different_threads(kb: KnowledgeBase, start: Start) -> None:
    tracing = start(kb.home)
    failed = list[BaseException]()

    def run(what: object) -> None:
        def caught() -> None:
            try:
                what()  # type: ignore[operator]
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=caught)
        thread.start()
        thread.join()

    with trace.span("POST /v1/chat/completions", kind="server", current=False) as request:
        with request.current():
            stream = kb.stream("leave laptops")
        run(lambda: next(stream))
        run(lambda: next(stream))
        run(stream.close)  # type: ignore[attr-defined]
    tracing.flush()
    assert failed == []
    kept = latest(kb.home)
    assert kept.summary.id == request.trace_id
    assert outline(kept)[:4] == [
        "POST /v1/chat/completions",
        "  invoke_workflow answer",
        "    cache",
        "    retrieval handbook",
    ]
    assert kept.summary.status == "cancelled"


def test_the_generator_is_closed_with_its_span(
    folder: Path,
    open_fake: Opener,
    monkeypatch: pytest.MonkeyPatch,
    start: Start,
) -> None:
    talker = Talker(*SENTENCES)
    monkeypatch.setattr(assemble, "make_generator", lambda *_: talker)
    kb = open_fake(folder)
    kb.sync()
    start(kb.home)
    stream = kb.stream("leave laptops")
    next(stream)
    assert talker.closed == 0
    stream.close()  # type: ignore[attr-defined]
    assert talker.closed == 1


def test_an_error_is_told_by_its_kind(
    folder: Path,
    open_fake: Opener,
    monkeypatch: pytest.MonkeyPatch,
    start: Start,
) -> None:
    """Its message only with content: a server may repeat the question that it refuses. A key in neither."""
    key = 'sk-5ecret"key'
    settings = {"generator": "remote", "url": "http://user:pa55@llm.example:8000/v1", "api_key": key, "model": "m"}

    def refuse(request: httpx.Request) -> httpx.Response:
        said = f"can't say {json.loads(request.content)['messages'][-1]['content']} to {key} at {request.url}"
        return httpx.Response(422, json={"error": {"message": said + " Bearer abc.def"}})

    remote = Remote(
        RemoteSettings(**{k: v for k, v in settings.items() if k != "generator"}),  # type: ignore[arg-type]
        transport=httpx.MockTransport(refuse),
    )
    monkeypatch.setattr(assemble, "make_generator", lambda *_: remote)
    kb = open_fake(folder)
    kb.sync()
    for content in (False, True):
        loaded = config.load(
            flags={"trace.content": content, "remote.api_key": key, "encoder.api_key": "another-key"}, env={}
        )
        tracing = trace.start(loaded, kb.home)
        with trace.span("request", {"test.header": f"x-api-key: another-key {key}"}), pytest.raises(GeneratorError):
            kb.ask("leave of absence")
        tracing.close()
        kept = latest(kb.home)
        by_name = {step.name: step for step in steps(kept)}
        assert by_name["chat"].attributes["error.type"] == "GeneratorError"
        assert (kept.summary.status, by_name["chat"].status) == ("error", "error")
        assert ("can't say leave of absence" in by_name["chat"].said) is content
    stored = b"".join(path.read_bytes() for path in kb.home.glob("traces.sqlite*"))
    for secret in (b"5ecret", b"another-key", b"pa55", b"abc.def"):
        assert secret not in stored


def test_a_remote_model_is_named_with_its_server(
    folder: Path,
    open_fake: Opener,
    monkeypatch: pytest.MonkeyPatch,
    start: Start,
) -> None:
    lines = [
        {"choices": [{"delta": {"content": SENTENCES[0]}}]},
        {"choices": [{"delta": {}, "finish_reason": "length"}], "usage": {"prompt_tokens": 9, "completion_tokens": 4}},
    ]
    asked = list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json={"data": [{"id": "@cf/qwen:4b"}]})
        body = "".join(f"data: {json.dumps(line)}\n\n" for line in lines) + "data: [DONE]\n\n"
        return httpx.Response(200, text=body, headers={"content-type": "text/event-stream"})

    remote = Remote(RemoteSettings(url="http://llm.example:8000/v1"), transport=httpx.MockTransport(answer))
    monkeypatch.setattr(assemble, "make_generator", lambda *_: remote)
    kb = open_fake(folder)
    kb.sync()
    start(kb.home)
    kb.ask("leave")
    trace.active().flush()  # type: ignore[union-attr]
    chat = next(step for step in steps(latest(kb.home)) if step.name.startswith("chat"))
    assert chat.name == "chat @cf/qwen:4b"
    wanted = {
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "@cf/qwen:4b",
        "server.address": "llm.example",
        "server.port": 8000,
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.usage.input_tokens": 9,
    }
    assert {name: chat.attributes[name] for name in wanted} == wanted
    assert asked == ["/v1/models", "/v1/chat/completions"], "a trace asks the server for nothing"


def test_a_caller_in_another_process(tmp_path: Path, start: Start) -> None:
    tracing = start(tmp_path)
    theirs = "4bf92f3577b34da6a3ce929d0e0e4736"
    with trace.span("a", traceparent=f"00-{theirs}-00f067aa0ba902b7-01") as joined:
        assert joined.trace_id == theirs
        assert joined.traceparent.startswith(f"00-{theirs}-") and joined.traceparent.endswith("-01")
    for malformed in ("", "no", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"ff-{theirs}-00f067aa0ba902b7-01"):
        with trace.span("b", traceparent=malformed) as alone:
            assert alone.trace_id not in ("", theirs)
    tracing.flush()
    kept = Traces(tmp_path).get(theirs)
    assert kept is not None and (kept.summary.name, kept.summary.status) == ("a", "ok")


def test_off_is_off(kb: KnowledgeBase, start: Start) -> None:
    assert not start(kb.home, on=False).on
    with trace.span("nothing") as step:
        step.set({"a": 1})
        assert (step.trace_id, step.traceparent, bool(step)) == ("", "", False)
    assert kb.ask("leave laptops").trace_id == ""
    assert not (kb.home / "traces.sqlite").exists()


def test_what_is_muted_leaves_no_trace(kb: KnowledgeBase, start: Start) -> None:
    tracing = start(kb.home)
    with trace.muted():
        kb.search("leave laptops")
    kb.search("leave laptops")
    tracing.flush()
    assert len(Traces(kb.home).recent()) == 1


def test_started_twice(tmp_path: Path, start: Start) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    first = start(one)
    assert start(one) is first
    with trace.span("first"):
        pass
    second = start(other)
    with trace.span("second"):
        pass
    second.flush()
    first.close()  # again: nothing happens
    assert trace.active() is second
    assert [[t.name for t in Traces(home).recent()] for home in (one, other)] == [["first"], ["second"]]


def test_nothing_is_imported_before_it_starts() -> None:
    code = (
        "import sys, damda.answer.pipeline, damda.knowledge, damda.trace, damda.traces\n"
        "print('opentelemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_what_is_left_is_written_at_the_end_of_the_program(tmp_path: Path) -> None:
    """And a child of fork, which has none of the threads, hangs on nothing and writes nothing twice."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from damda import config, trace\n"
        "trace.start(config.load(env={}), Path(sys.argv[1])).flush()\n"
        "with trace.span('parent'):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        assert trace.active() is None\n"
        "        with trace.span('nothing'): pass\n"
        "        trace.start(config.load(env={}), Path(sys.argv[1]))\n"
        "        with trace.span('child'): pass\n"
        "        sys.exit()\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(tmp_path)], check=True, timeout=60)
    assert outline(latest(tmp_path)) == ["parent", "  child"]


def test_the_encoder_of_a_test_is_not_asked_twice(folder: Path, open_fake: Opener, start: Start) -> None:
    kb = open_fake(folder, encoder := FakeEncoder())
    kb.sync()
    start(kb.home)
    before = list(encoder.encoded)
    kb.search("leave")
    assert encoder.encoded == before
