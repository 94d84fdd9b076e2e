"""Where ended spans go: into the home always, to a collector and to Weights & Biases where the settings say so.

Knows: OpenTelemetry's SDK: its spans, processors, batches. Does not know: how each sink writes.

damda makes its spans itself, as the SDK's `ReadableSpan`, when they are written: the SDK's own tracer would cost a few
hundredths of a search (docs/decisions/0014-tracing.md).
"""

import logging
import os
import threading
import time
from collections import deque
from pathlib import Path
from urllib.parse import urlsplit

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from damda.config import TraceSettings
from damda.trace.figures import Figures
from damda.trace.local import Local
from damda.trace.spans import Own, Place, Policy

SCOPE = "damda"
_SCOPE = InstrumentationScope(SCOPE)
_RESOURCE = Resource({"service.name": SCOPE})
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "server": SpanKind.SERVER}
_OK = Status()
_DELAY_MS = 1000
"""A trace can be read about a second after its end."""
_QUEUE, _BATCH = 8192, 512
_OTLP_SECONDS = 3.0
_OTLP_LOG = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class Sinks:
    """The sinks of a process, for spans of damda's own.

    Args:
        settings: which there are.
        home: of the local one.
        policy: what may be in a span.
    """

    def __init__(self, settings: TraceSettings, home: Path, policy: Policy) -> None:
        self._local, (self._figures, others) = _local(settings, home), _others(settings, home)
        self._others = [_Batches(exporter) for exporter in others]
        self._policy = policy
        self._writing = threading.Lock()

    def write(self, ended: deque[Own]) -> None:
        """Take spans out and write them."""
        with self._writing:
            while ended:
                made = [_readable(ended.popleft(), self._policy) for _ in range(min(len(ended), _BATCH))]
                self._local.export(made)
                for other in self._others:
                    for span in made:
                        other.on_end(span)

    def flush(self) -> None:
        """Send what the other sinks have not sent yet."""
        for other in self._others:
            other.force_flush()

    def close(self) -> None:
        """Send the rest, and end."""
        for other in self._others:
            other.close()
        self._local.shutdown()

    def feedback(self, trace_id: str, score: int) -> None:
        """Tell the sink for figures."""
        if self._figures is not None:
            self._figures.feedback(trace_id, score)


class Batched:
    """The sinks of a process, for damda's spans among those of somebody else's provider."""

    def __init__(self, settings: TraceSettings, home: Path, provider: TracerProvider) -> None:
        self._figures, others = _others(settings, home)
        self._all = [_Batches(exporter) for exporter in (_local(settings, home), *others)]
        for one in self._all:
            provider.add_span_processor(one)

    def flush(self) -> None:
        """Write what has ended."""
        for one in self._all:
            one.force_flush()

    def close(self) -> None:
        """Write what has ended, and take no more."""
        for one in self._all:
            one.close()

    def feedback(self, trace_id: str, score: int) -> None:
        """Tell the sink for figures."""
        if self._figures is not None:
            self._figures.feedback(trace_id, score)


def _local(settings: TraceSettings, home: Path) -> Local:
    return Local(home, keep=settings.keep, days=settings.keep_days)


def _others(settings: TraceSettings, home: Path) -> tuple[Figures | None, list[SpanExporter]]:
    figures = Figures(settings.wandb, home) if settings.wandb else None
    return figures, [*([_otlp(settings.otlp)] if settings.otlp else []), *([figures] if figures else [])]


class _Batches(BatchSpanProcessor):
    """Batches of damda's spans, sent by a thread; what the environment says of other batches is left alone."""

    def __init__(self, exporter: SpanExporter) -> None:
        super().__init__(exporter, _QUEUE, _DELAY_MS, _BATCH, 30_000)

    def on_end(self, span: ReadableSpan) -> None:
        scope = span.instrumentation_scope
        if scope is not None and scope.name == SCOPE:  # not the other spans of somebody else's provider
            super().on_end(span)

    def close(self) -> None:
        """Write what has ended, and take no more."""
        self._batch_processor.shutdown()


def _readable(span: Own, policy: Policy) -> ReadableSpan:
    facts = {name: value() if callable(value) else value for name, value in span.facts.items()}
    return ReadableSpan(
        name=policy.text(span.name),
        context=_context(span.at),
        parent=_context(span.parent) if span.parent else None,
        resource=_RESOURCE,
        attributes=policy.attributes(facts),
        links=[Link(_context(to)) for to in span.links],
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR, span.said or None) if span.error else _OK,
        start_time=span.began,
        end_time=span.ended,
        instrumentation_scope=_SCOPE,
    )


def _context(place: Place) -> SpanContext:
    return SpanContext(place.trace, place.span, place.remote, _SAMPLED)


def _otlp(url: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if not path.endswith("/v1/traces"):
        path += "/v1/traces"
    logging.getLogger(_OTLP_LOG).addFilter(_Seldom())
    own = "OTEL_EXPORTER_OTLP_TIMEOUT" in os.environ or "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT" in os.environ
    return OTLPSpanExporter(endpoint=parts._replace(path=path).geturl(), timeout=None if own else _OTLP_SECONDS)


class _Seldom(logging.Filter):
    """A collector that is not there is worth a line an hour, not one a second."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if record.levelno < logging.ERROR or now < self._next:
            return False
        self._next = now + 3600
        return True
