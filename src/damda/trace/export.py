"""Spans for other programs, by OpenTelemetry's SDK: to a collector, and as figures to Weights & Biases.

Knows: the SDK's spans, processors, exporters. Does not know: the local sink. Imported where such a sink is set, and in
programs that have set a provider of OpenTelemetry's themselves.
"""

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from damda.settings import TraceSettings
from damda.trace.figures import Figures
from damda.trace.local import Local
from damda.trace.spans import Attributes, Own, Place, Policy

SCOPE = "damda"
_SCOPE = InstrumentationScope(SCOPE)
_RESOURCE = Resource({"service.name": SCOPE})
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "server": SpanKind.SERVER}
_OK = Status()
_DELAY_MS, _QUEUE, _BATCH = 1000, 8192, 512
_OTLP_SECONDS = 3.0
_OTLP_LOG = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class Exports:
    """The sinks that the settings name, and with a provider the local one too.

    Args:
        settings: which there are.
        home: of the local one; figures that can't be sent at once go there too.
        provider: somebody else's; damda's spans are taken from it.
    """

    def __init__(self, settings: TraceSettings, home: Path, provider: TracerProvider | None = None) -> None:
        self._figures = Figures(settings.wandb, home) if settings.wandb else None
        exporters: list[SpanExporter] = [_otlp(settings.otlp)] if settings.otlp else []
        if self._figures is not None:
            exporters.append(self._figures)
        if provider is None:
            self._batches = [_Batches(exporter) for exporter in exporters]
            return
        kept = _Kept(Local(home, keep=settings.keep, days=settings.keep_days))
        self._batches = [_Batches(exporter) for exporter in (kept, *exporters)]
        for one in self._batches:
            provider.add_span_processor(one)

    def took(self, span: Own, facts: Attributes, policy: Policy) -> None:
        """A span of damda's own."""
        made = ReadableSpan(
            name=policy.text(span.name),
            context=context(span.at),
            parent=context(span.parent) if span.parent else None,
            resource=_RESOURCE,
            attributes=facts,
            links=[Link(context(to)) for to in span.links],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR, span.said or None) if span.error else _OK,
            start_time=span.began,
            end_time=span.ended,
            instrumentation_scope=_SCOPE,
        )
        for one in self._batches:
            one.on_end(made)

    def flush(self) -> None:
        """Send what has ended."""
        for one in self._batches:
            one.force_flush()

    def close(self) -> None:
        """Send what has ended, and take no more."""
        for one in self._batches:
            one.close()

    def feedback(self, trace_id: str, score: int) -> None:
        """Tell the sink for figures."""
        if self._figures is not None:
            self._figures.feedback(trace_id, score)


def context(place: Place) -> SpanContext:
    """The same as OpenTelemetry has it."""
    return SpanContext(place.trace, place.span, place.remote, _SAMPLED)


class _Batches(BatchSpanProcessor):
    """Batches of damda's spans, sent by a thread; what the environment says of other batches is left alone."""

    def __init__(self, exporter: SpanExporter) -> None:
        super().__init__(exporter, _QUEUE, _DELAY_MS, _BATCH, 30_000)

    def on_end(self, span: ReadableSpan) -> None:
        scope = span.instrumentation_scope
        if scope is not None and scope.name == SCOPE:  # not the other spans of somebody else's provider
            super().on_end(span)

    def close(self) -> None:
        """Send what has ended, and take no more."""
        self._batch_processor.shutdown()


class _Kept(SpanExporter):
    """Somebody else's provider's spans into the local sink."""

    def __init__(self, local: Local) -> None:
        self._local = local

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            at, parent = span.get_span_context(), span.parent
            assert at is not None
            self._local.add(
                Place(at.trace_id, at.span_id),
                Place(parent.trace_id, parent.span_id, parent.is_remote) if parent is not None else None,
                span.name,
                span.start_time or 0,
                span.end_time or 0,
                dict(span.attributes or {}),
                (span.status.description or "") if span.status.status_code is StatusCode.ERROR else None,
            )
        return SpanExportResult.SUCCESS if self._local.write() else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self._local.close()


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
