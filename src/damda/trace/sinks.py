"""Where ended spans go: into the home always, to a collector and to Weights & Biases where the settings say so.

Knows: OpenTelemetry's SDK: providers, processors, batches. Does not know: how each sink writes.

damda has a provider of its own, so that it neither sets nor needs the global one. A program that has set one itself
gets damda's spans among its own; damda's sinks then take those of damda's from it.
"""

import atexit
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace as api
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from damda.config import TraceSettings
from damda.errors import ConfigError, MissingExtra
from damda.trace.local import Local

SCOPE = "damda"
_DELAY_MS = 1000
"""A trace can be read about a second after its end."""
_QUEUE = 8192


class Sinks:
    """Everything behind a tracer. Made once a process.

    Args:
        settings: which sinks there are.
        home: of the local one.

    Raises:
        MissingExtra: a sink's package is not installed.
        ConfigError: ``trace.otlp`` is no URL.
    """

    def __init__(self, settings: TraceSettings, home: Path) -> None:
        exporters: list[SpanExporter] = [Local(home, keep=settings.keep, days=settings.keep_days)]
        if settings.otlp:
            exporters.append(_otlp(settings.otlp))
        self._figures: Any = None
        if settings.wandb:
            from damda.trace.figures import Figures

            self._figures = Figures(settings.wandb)
            exporters.append(self._figures)
        self._processors = [_Batches(exporter) for exporter in exporters]
        given = api.get_tracer_provider()
        self._own = not isinstance(given, TracerProvider)
        if isinstance(given, TracerProvider):
            provider = given
        else:
            resource = Resource({"service.name": SCOPE})
            provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        for processor in self._processors:
            provider.add_span_processor(processor)
        self.tracer = provider.get_tracer(SCOPE)
        atexit.register(self.close)

    def flush(self) -> None:
        """Write what has ended."""
        for processor in self._processors:
            processor.force_flush()

    def close(self) -> None:
        """Write what has ended, and take no more."""
        atexit.unregister(self.close)
        for processor in self._processors:
            processor.close()

    def feedback(self, trace_id: str, score: int) -> None:
        """Tell the sink for figures."""
        if self._figures is not None:
            self._figures.feedback(trace_id, score)


class _Batches(BatchSpanProcessor):
    """Batches of damda's own spans, written in a thread.

    Everything in the environment that is meant for other programs' batches is left alone.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        super().__init__(exporter, max_queue_size=_QUEUE, schedule_delay_millis=_DELAY_MS, max_export_batch_size=512)

    def close(self) -> None:
        """Write what has ended, and take no more."""
        self._batch_processor.shutdown()

    def on_end(self, span: ReadableSpan) -> None:
        scope = span.instrumentation_scope
        if scope is not None and scope.name == SCOPE:
            super().on_end(span)


def _otlp(url: str) -> SpanExporter:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise MissingExtra("trace.otlp", "otlp") from error
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("trace.otlp must be an http:// or https:// URL, e.g. http://127.0.0.1:4318")
    path = parts.path.rstrip("/")
    if not path.endswith("/v1/traces"):
        path += "/v1/traces"
    return OTLPSpanExporter(endpoint=parts._replace(path=path).geturl(), timeout=5)
