"""What is asked of OpenTelemetry's API. Imported when tracing starts, not before.

Knows: contexts, parents, status. Does not know: damda.
"""

from collections.abc import Mapping, Sequence
from contextvars import Token

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "server": SpanKind.SERVER}
_HEADERS = TraceContextTextMapPropagator()

Value = str | bool | int | float | Sequence[str]


def begin(
    tracer: Tracer, name: str, kind: str, attributes: Mapping[str, Value], parent: SpanContext | None, links: list[Link]
) -> Span:
    """A span below ``parent``; None: below the one that is current."""
    context = None if parent is None else set_span_in_context(NonRecordingSpan(parent), Context())
    return tracer.start_span(name, context, _KINDS[kind], attributes, links, record_exception=False)


def enter(span: Span) -> Token[Context]:
    """Make a span current; `leave` undoes it, in the same thread."""
    return attach(set_span_in_context(span))


def leave(token: Token[Context]) -> None:
    """Undo `enter`."""
    detach(token)


def current() -> Span | None:
    """The current span, if it is recorded."""
    span = get_current_span()
    return span if span.is_recording() else None


def remote(header: str) -> SpanContext | None:
    """What a traceparent header refers to; None: it is malformed."""
    context = get_current_span(_HEADERS.extract({"traceparent": header}, Context())).get_span_context()
    return context if context.is_valid else None


def link(span: Span) -> Link:
    """A reference to a span of another trace."""
    return Link(span.get_span_context())


def failed(span: Span, kind: str, said: str | None) -> None:
    """Mark a span as failed with an error of this kind."""
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR, said)
