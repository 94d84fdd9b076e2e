"""damda's spans among those of a program that has set OpenTelemetry's global provider itself.

Knows: OpenTelemetry's API. Does not know: what spans are called, where they go.

They are made by that program's provider: its sampler, its ids, its context, its exporters. damda's sinks listen to it.
"""

import atexit
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Token
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from opentelemetry import trace as api
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, StatusCode

from damda.trace import tracing
from damda.trace.export import SCOPE, Exports, context
from damda.trace.spans import CANCELLED, OFF, Attributes, Kind, Place, Policy, Span, Value, kind_of

if TYPE_CHECKING:
    from damda.settings import Settings


def provider() -> TracerProvider | None:
    """The program's own; None: it has set none."""
    found = api.get_tracer_provider()
    return found if isinstance(found, TracerProvider) else None


class JoinedSpan(Span):
    """A span of that provider."""

    __slots__ = ("_attach", "_made", "_policy", "_recorded", "_token")

    def __init__(self, policy: Policy, made: api.Span, attach: bool) -> None:
        self._policy, self._made, self._attach = policy, made, attach
        self._recorded = made.is_recording()
        self._token: Token[Context] | None = None

    def __bool__(self) -> bool:
        return self._recorded

    @property
    def content(self) -> bool:
        return self._policy.content

    @property
    def place(self) -> Place:
        context = self._made.get_span_context()
        return Place(context.trace_id, context.span_id)

    @property
    def trace_id(self) -> str:
        return super().trace_id if self else ""  # one that its sampler left out is kept nowhere

    def set(self, attributes: Attributes) -> None:
        self._made.set_attributes(self._policy.attributes(attributes))

    def defer(self, name: str, make: Callable[[], Value]) -> None:
        self.set({name: make()})

    def rename(self, name: str) -> None:
        self._made.update_name(name)

    @contextmanager
    def current(self) -> Iterator[None]:
        token = attach(api.set_span_in_context(self._made))
        try:
            yield
        finally:
            detach(token)

    def fail(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            self._made.set_attribute("error.type", kind_of(error))
            self._made.set_status(StatusCode.ERROR, self._policy.said(error))
        else:
            self._made.set_attribute(CANCELLED, True)

    def end(self) -> None:
        if self._made.is_recording():
            self._made.end()

    def __enter__(self) -> "JoinedSpan":
        if self._attach:
            self._token = attach(api.set_span_in_context(self._made))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            detach(self._token)
            self._token = None
        super().__exit__(kind, error, trace)


class JoinedTracing(tracing.Tracing):
    """Tracing with spans of that provider."""

    on = True

    def __init__(self, settings: "Settings", home: Path, theirs: TracerProvider) -> None:
        super().__init__(settings, home)
        self._policy = Policy(settings)
        self._sinks = Exports(settings.trace, home, theirs)
        self._tracer = theirs.get_tracer(SCOPE)
        atexit.register(self.close)

    def begin(
        self, name: str, attributes: Attributes, kind: Kind, parent: Place | None, links: Sequence[Place], attach: bool
    ) -> Span:
        above = None if parent is None else api.set_span_in_context(NonRecordingSpan(context(parent)), Context())
        made = self._tracer.start_span(
            name,
            above,
            SpanKind[kind.upper()],
            self._policy.attributes(attributes),
            [Link(context(to)) for to in links],
            record_exception=False,
        )
        return JoinedSpan(self._policy, made, attach)

    def current(self) -> Span:
        made = api.get_current_span()
        return JoinedSpan(self._policy, made, False) if made.get_span_context().is_valid else OFF

    def flush(self) -> None:
        self._sinks.flush()

    def close(self) -> None:
        tracing.forget(self)
        atexit.unregister(self.close)
        self._sinks.close()

    def feedback(self, trace_id: str, score: int) -> None:
        self._sinks.feedback(trace_id, score)

    def forked(self) -> None:
        atexit.unregister(self.close)
