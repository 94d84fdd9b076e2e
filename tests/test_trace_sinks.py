"""Traces that leave the machine: OTLP to a collector, figures to Weights & Biases; and a program's own provider."""

import importlib.machinery
import logging
import sys
import threading
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace as api
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from tracing_fixtures import Start, latest, outline, steps

from damda import trace
from damda.errors import ConfigError, MissingExtra
from damda.trace import figures, tracing
from damda.traces import Traces
from damda.types import Answer, Quote, Usage

ANSWER = Answer("Leave is 15 days. [1]", quotes=(Quote("Leave is 15 days.", "a.md", 0, 17),), usage=Usage(20, 5))


class Collector:
    """Takes OTLP over HTTP as Jaeger, Phoenix, Langfuse and MLflow do."""

    def __init__(self) -> None:
        self.paths, self.spans, self.resources = list[str](), list[Any](), list[Any]()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # noqa: N802  the base class's name
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.paths.append(self.path)
                for of_one in ExportTraceServiceRequest.FromString(body).resource_spans:
                    collector.resources.append(of_one.resource)
                    collector.spans += [span for scope in of_one.scope_spans for span in scope.spans]
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    one = Collector()
    yield one
    one.close()


def facts(span: Any) -> dict[str, Any]:  # noqa: ANN401  a message of protobuf
    def value(given: Any) -> Any:  # noqa: ANN401
        kind = given.WhichOneof("value")
        return [value(one) for one in given.array_value.values] if kind == "array_value" else getattr(given, kind)

    return {attribute.key: value(attribute.value) for attribute in span.attributes}


@pytest.mark.parametrize("path", ["", "/", "/v1/traces", "/api/public/otel"])
def test_otlp(tmp_path: Path, start: Start, collector: Collector, path: str) -> None:
    tracing = start(tmp_path, otlp=collector.url + path)
    with trace.span("POST /a", kind="server", traceparent=f"00-{'a' * 32}-{'b' * 16}-01") as request:
        with pytest.raises(ValueError), trace.span("below", {"list": ["x", "y"], "number": 1.5}, kind="client"):
            raise ValueError("no")
    with trace.span("other", links=[request]):
        pass
    tracing.flush()
    assert collector.paths == [(path if path.startswith("/api") else "") + "/v1/traces"]
    below, above, other = collector.spans
    assert (below.name, above.name, other.name) == ("below", "POST /a", "other")
    assert above.trace_id.hex() == below.trace_id.hex() == "a" * 32
    assert (above.parent_span_id.hex(), below.parent_span_id) == ("b" * 16, above.span_id)
    assert other.links[0].span_id == above.span_id
    assert facts(below) == {"list": ["x", "y"], "number": 1.5, "error.type": "ValueError"}
    assert (below.status.code, below.status.message, above.status.code) == (2, "", 0)
    assert (above.kind, below.kind, other.kind) == (2, 3, 1)
    assert above.start_time_unix_nano <= below.start_time_unix_nano <= below.end_time_unix_nano
    assert facts(collector.resources[0]) == {"service.name": "damda"}
    assert {one.name for one in Traces(tmp_path).recent()} == {"POST /a", "other"}, "and kept here too"


def test_a_collector_that_is_not_there(
    tmp_path: Path,
    start: Start,
    collector: Collector,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = collector.url
    collector.close()
    with caplog.at_level(logging.WARNING):
        tracing = start(tmp_path, otlp=url)
        for _ in range(2):
            with trace.span("kept"):
                pass
            tracing.flush()
    assert len(caplog.records) <= 1, "a line an hour"
    assert len(Traces(tmp_path).recent()) == 2


@pytest.mark.parametrize("url", ["localhost:4318", "ftp://a", "http://"])
def test_otlp_wants_a_url(tmp_path: Path, start: Start, url: str) -> None:
    with pytest.raises(ConfigError, match="trace.otlp must be"):
        start(tmp_path, otlp=url)
    assert trace.active() is None


def test_extras_are_named(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_installed", lambda module: False)
    with pytest.raises(MissingExtra, match=r"damda\[otlp\]"):
        start(tmp_path, otlp="http://127.0.0.1:4318")
    with pytest.raises(MissingExtra, match=r"damda\[wandb\]"):
        start(tmp_path, wandb="answers")


# --- Weights & Biases


class FakeRun:
    def __init__(self, given: dict[str, Any]) -> None:
        self.given, self.lines, self.finished = given, list[dict[str, Any]](), 0

    def log(self, line: dict[str, Any]) -> None:
        self.lines.append(line)

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401  a fake module
    """The package, as far as it is used; checked against the real one in docs/decisions/0014-tracing.md."""
    module: Any = types.ModuleType("wandb")
    module.__spec__ = importlib.machinery.ModuleSpec("wandb", None)
    module.runs = []

    def init(**given: Any) -> FakeRun:  # noqa: ANN401
        run = FakeRun(given)
        module.runs.append(run)
        return run

    module.init, module.Settings = init, dict
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_DIR", raising=False)
    return module


def test_figures(tmp_path: Path, start: Start, wandb: Any) -> None:  # noqa: ANN401  a fake module
    started = start(tmp_path, wandb="team/answers", content=True)
    with trace.answering() as whole:
        trace.answered(whole, ANSWER)
    with pytest.raises(ValueError), trace.answering():
        raise ValueError("no")
    with trace.span("retrieval a"):
        pass
    started.flush()
    assert Traces(tmp_path).feedback(whole.trace_id, -1)
    started.close()
    (run,) = wandb.runs
    told = run.given
    assert (told["entity"], told["project"], told["dir"]) == ("team", "answers", str(tmp_path))
    assert told["settings"]["console"] == "off", "else what is printed is sent"
    assert run.lines[0].pop("seconds") >= 0 and run.lines[1].pop("seconds") >= 0
    assert run.lines == [
        {
            "trace_id": whole.trace_id,
            "failed": 0,
            "cancelled": 0,
            "found": 1,
            "quotes": 1,
            "unsupported": 0,
            "input_tokens": 20,
            "output_tokens": 5,
        },
        {"trace_id": run.lines[1]["trace_id"], "failed": 1, "cancelled": 0},
        {"feedback": -1, "trace_id": whole.trace_id},
    ]
    assert run.finished == 1


def test_figures_that_can_t_be_sent(
    tmp_path: Path,
    start: Start,
    wandb: Any,  # noqa: ANN401
    caplog: pytest.LogCaptureFixture,
) -> None:
    def init(**given: Any) -> None:  # noqa: ANN401
        raise RuntimeError("api key abcdef not valid")

    wandb.init = init
    started = start(tmp_path, wandb="answers")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with trace.answering() as whole:
                trace.answered(whole, ANSWER)
            started.flush()
    (record,) = caplog.records
    assert "Weights & Biases" in record.message and "abcdef" not in record.message
    assert len(Traces(tmp_path).recent()) == 2


def test_every_setting_that_is_given_away_has_a_reason() -> None:
    assert figures._NOTHING_ELSE["console"] == "off" and figures._NOTHING_ELSE["x_disable_meta"] is True


# --- a program that has set a provider


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    """A global provider, as a program sets one, for one test."""
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(api, "_TRACER_PROVIDER", provider)
    return provider


def test_spans_join_those_of_the_program(tmp_path: Path, start: Start, theirs: TracerProvider) -> None:
    exported = InMemorySpanExporter()
    theirs.add_span_processor(SimpleSpanProcessor(exported))
    started = start(tmp_path)
    with theirs.get_tracer("their.app").start_as_current_span("their request") as request:
        with trace.span("retrieval a") as step, trace.span("bm25", kind="client"):
            trace.note({"noted": 1})
        stream = trace.answering()
        with stream as whole, pytest.raises(GeneratorExit):
            with trace.span("below", parent=whole):
                raise GeneratorExit
    started.flush()
    names = {span.name: span for span in exported.get_finished_spans()}
    assert names.keys() == {"their request", "retrieval a", "bm25", "invoke_workflow answer", "below"}
    assert names["retrieval a"].parent == request.get_span_context()
    assert names["bm25"].attributes == {"noted": 1}
    assert step.trace_id == format(request.get_span_context().trace_id, "032x")
    kept = latest(tmp_path)
    assert outline(kept) == ["retrieval a", "  bm25", "invoke_workflow answer", "  below"], "theirs are not kept here"
    assert [one.status for one in steps(kept)] == ["ok", "ok", "ok", "cancelled"]
    started.close()
    with theirs.get_tracer("damda").start_as_current_span("later"):
        pass
    assert "later" in {span.name for span in exported.get_finished_spans()}, "their provider goes on"


def test_what_their_sampler_leaves_out_is_not_kept(
    tmp_path: Path,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "_TRACER_PROVIDER", TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    started = start(tmp_path)
    with trace.span("a") as step:
        step.set({"b": 1})
        assert step.trace_id == "", "an answer must not name a trace that nobody has"
    started.flush()
    assert Traces(tmp_path).recent() == []
