"""Counts and times for Prometheus.

Knows: prometheus_client, also with several processes. Does not know: what is counted. Labels are routes as the
interface names them, never what a client sent.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from damda.types import Answer

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SHARED = "PROMETHEUS_MULTIPROC_DIR"


def share_between_processes() -> Callable[[], None]:
    """Before worker processes start: have them write into one folder. Returns what removes it.

    prometheus_client looks at the environment when it is imported.
    """
    folder = tempfile.mkdtemp(prefix="damda-metrics-")
    os.environ[_SHARED] = folder
    return lambda: shutil.rmtree(folder, ignore_errors=True)


class Metrics:
    """What is counted. One a process."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        own = CollectorRegistry()
        self._own = own
        self.requests = Counter("damda_requests", "Requests", ("route", "method", "status"), registry=own)
        self.seconds = Histogram(
            "damda_request_seconds", "Until the last byte of an answer", ("route",), buckets=_SECONDS, registry=own
        )
        self.answers = Counter("damda_answers", "Answers from the documents", ("found",), registry=own)
        self.cached = Counter("damda_cached", "Answers that were remembered", ("what", "how"), registry=own)
        self.verdicts = Counter("damda_verdicts", "What guards found", ("guard", "place", "action"), registry=own)
        self.first = Histogram(
            "damda_first_sentence_seconds", "Until an answer's first sentence", buckets=_SECONDS, registry=own
        )
        self.tokens = Counter("damda_tokens", "Tokens of language models", ("kind",), registry=own)
        self.batches = Histogram(
            "damda_batch_items", "Items worked on together", ("kind",), buckets=(1, 2, 4, 8, 16, 32, 64), registry=own
        )
        self.running = Gauge(
            "damda_requests_running", "Requests not answered yet", multiprocess_mode="livesum", registry=own
        )
        self.passages = Gauge("damda_passages", "Passages stored", multiprocess_mode="mostrecent", registry=own)

    def said(self, answer: Answer, *, rag: bool) -> None:
        """An answer from the documents, or by the language model itself."""
        if rag:
            self.answers.labels(str(answer.found).lower()).inc()
        for verdict in answer.verdicts:
            self.verdicts.labels(verdict.guard, verdict.place, verdict.action).inc()
        if answer.cached:  # nothing was spent
            self.cached.labels("answer" if rag else "llm", answer.cached).inc()
            return
        self.tokens.labels("input").inc(answer.usage.prompt_tokens)
        self.tokens.labels("output").inc(answer.usage.completion_tokens)

    def text(self) -> bytes:
        """In Prometheus' format, over all processes."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = self._own
        if _SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class Measured:
    """Middleware: counts requests and takes their time."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), "none"

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        self._metrics.running.inc()
        try:
            await self._app(scope, receive, noted)
        finally:
            self._metrics.running.dec()
            # The router leaves the route in the scope; a path that is none must not become a label.
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(route, method, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - begun)


_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
