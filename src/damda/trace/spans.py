"""Spans: begun, ended, handed from thread to thread.

Knows: when a span is current, what must never be in one. Does not know: names and attributes of GenAI (``genai``),
where spans go (``sinks``).

A span is *current* inside a block that runs in one go: spans begun in it become its children. Generators and requests
do not run in one go. Between two items the consumer runs, perhaps in another thread, and OpenTelemetry's context would
leak into it. Their span is begun with ``current=False``: children name it as their parent, and it is current only while
`Span.current` or `Span.steps` says so.
"""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from opentelemetry import trace as api

    from damda.config import Settings

T = TypeVar("T")
Kind = Literal["internal", "client", "server"]
Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value]

CANCELLED = "damda.cancelled"
_NONE: Attributes = {}
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+\S+")


class Sinks(Protocol):
    """Where ended spans go."""

    @property
    def tracer(self) -> "api.Tracer": ...

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def feedback(self, trace_id: str, score: int) -> None: ...


class Tracing:
    """Tracing as it was started; what `start` returns.

    Attributes:
        content: whether questions, passages and answers are recorded.
        home: where `traces.sqlite` is.
    """

    def __init__(self, settings: "Settings", home: Path) -> None:
        self.settings, self.home = settings, home
        self.content = settings.trace.content
        self._secrets = _secrets(settings)
        self._sinks: Sinks | None = None

    @property
    def on(self) -> bool:
        """Whether spans are recorded."""
        return self._sinks is not None

    def flush(self) -> None:
        """Write what was recorded so far; returns when it is written, or known to be lost."""
        if self._sinks is not None:
            self._sinks.flush()

    def close(self) -> None:
        """Write the rest, and record no more. Once is enough; at the end of the program it happens by itself."""
        global _tracing
        if _tracing is self:
            _tracing = None
        sinks, self._sinks = self._sinks, None
        if sinks is not None:
            sinks.close()

    def feedback(self, trace_id: str, score: int) -> None:
        """Tell sinks other than the local one what somebody thinks of an answer."""
        if self._sinks is not None:
            self._sinks.feedback(trace_id, score)

    def scrub(self, text: str) -> str:
        """The same without the keys that the settings hold."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def scrubbed(self, attributes: Attributes) -> Attributes:
        """The same for all values that are texts."""
        if not self._secrets:
            return attributes
        return {name: self.scrub(value) if isinstance(value, str) else value for name, value in attributes.items()}


class _Recording(Tracing):
    """Tracing that is on."""

    def __init__(self, settings: "Settings", home: Path) -> None:
        super().__init__(settings, home)
        from damda.trace import otel
        from damda.trace.sinks import Sinks

        self.otel = otel
        self._sinks = Sinks(settings.trace, home)
        self.tracer = self._sinks.tracer  # kept: a thread that is in the middle of something may outlive `close`


class Span:
    """A span, or nothing where tracing is off: every method is safe either way.

    As a context manager it ends with its block: well, with an error, or cancelled (a closed generator, an interrupt).
    """

    __slots__ = ("_attach", "_span", "_token", "_tracing")

    def __init__(self, tracing: _Recording, span: "api.Span", attach: bool) -> None:
        self._tracing, self._span, self._attach = tracing, span, attach
        self._token: Any = None

    def __bool__(self) -> bool:
        """Whether anything is recorded: for attributes that cost something to make."""
        return True

    @property
    def content(self) -> bool:
        """Whether texts may be recorded."""
        return self._tracing.content

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; "" where nothing is recorded."""
        return format(self._span.get_span_context().trace_id, "032x")

    @property
    def traceparent(self) -> str:
        """W3C's header, for a process that goes on with this trace; "" where nothing is recorded."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"

    def set(self, attributes: Attributes) -> None:
        """Set attributes."""
        self._span.set_attributes(self._tracing.scrubbed(attributes))

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._span.update_name(self._tracing.scrub(name))

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make it current, for a block that runs in one go, in any thread."""
        token = self._tracing.otel.enter(self._span)
        try:
            yield
        finally:
            self._tracing.otel.leave(token)

    def steps(self, items: Iterator[T]) -> Iterator[T]:
        """The items of an iterator, each made while this span is current; the iterator is closed with this one."""
        try:
            while True:
                with self.current():
                    try:
                        item = next(items)
                    except StopIteration:
                        return
                yield item
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                with self.current():
                    close()

    def fail(self, error: BaseException) -> None:
        """Mark it as failed; as cancelled where the error is no error but an end."""
        if not isinstance(error, Exception):
            self._span.set_attribute(CANCELLED, True)
            return
        # A server that refuses a question may repeat it: what it says is content.
        said = self._tracing.scrub(_harmless(str(error))) if self._tracing.content else None
        self._tracing.otel.failed(self._span, _name(type(error)), said)

    def end(self) -> None:
        """End it, where no block does."""
        self._span.end()

    def __enter__(self) -> "Span":
        if self._attach:
            self._token = self._tracing.otel.enter(self._span)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            self._tracing.otel.leave(self._token)
            self._token = None
        if error is not None:
            self.fail(error)
        self._span.end()


class _Off(Span):
    """The span of those who do not trace."""

    __slots__ = ()

    def __init__(self) -> None: ...

    def __bool__(self) -> bool:
        return False

    @property
    def content(self) -> bool:
        return False

    @property
    def trace_id(self) -> str:
        return ""

    @property
    def traceparent(self) -> str:
        return ""

    def set(self, attributes: Attributes) -> None: ...

    def rename(self, name: str) -> None: ...

    @contextmanager
    def current(self) -> Iterator[None]:
        yield

    def steps(self, items: Iterator[T]) -> Iterator[T]:
        return items

    def fail(self, error: BaseException) -> None: ...

    def end(self) -> None: ...

    def __enter__(self) -> "Span":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


OFF: Span = _Off()
_tracing: _Recording | None = None
_starting = threading.Lock()


def start(settings: "Settings", home: Path) -> Tracing:
    """Record spans from now on, as ``settings.trace`` says, in this process.

    Started again for the same home, it goes on as it was; for another, the first is closed. A process made by spawn
    starts its own; one made by fork goes on with what it inherited. Where ``trace.on`` is false nothing is recorded.

    Args:
        settings: all of them: the keys in them are kept out of spans.
        home: `traces.sqlite` is made in it.

    Raises:
        MissingExtra: ``trace.otlp`` or ``trace.wandb`` is set and its package is not installed.
        ConfigError: ``trace.otlp`` is no URL.
    """
    global _tracing
    with _starting:
        before = _tracing
        if before is not None and (before.settings, before.home) == (settings, home):
            return before
        if not settings.trace.on:
            return Tracing(settings, home)
        if before is not None:
            before.close()
        _tracing = _Recording(settings, home)
        return _tracing


def active() -> Tracing | None:
    """Tracing as it was started in this process; None: it is off."""
    return _tracing


def span(
    name: str,
    attributes: Attributes = _NONE,
    *,
    kind: Kind = "internal",
    parent: Span | None = None,
    traceparent: str = "",
    links: Sequence[Span] = (),
    current: bool = True,
) -> Span:
    """Begin a span; use it as a context manager.

    Args:
        name: few different ones; what varies goes into attributes.
        attributes: facts that are known by now.
        kind: of OpenTelemetry's.
        parent: the span above; None, or one that records nothing: the current one.
        traceparent: W3C's header of a caller in another process; one that is malformed counts as none.
        links: spans of other traces that this one works for too.
        current: whether it is current inside its block; False for a block that yields.
    """
    tracing = _tracing
    if tracing is None:
        return OFF
    otel = tracing.otel
    above = parent._span.get_span_context() if parent else None
    if traceparent:
        above = otel.remote(traceparent) or above
    to = [otel.link(other._span) for other in links if other]
    made = otel.begin(tracing.tracer, tracing.scrub(name), kind, tracing.scrubbed(attributes), above, to)
    return Span(tracing, made, current)


def current() -> Span:
    """The span that is current here, to be a parent elsewhere or to be given attributes; not to be ended."""
    tracing = _tracing
    if tracing is None:
        return OFF
    found = tracing.otel.current()
    return Span(tracing, found, False) if found is not None else OFF


def note(attributes: Attributes) -> None:
    """Set attributes of the current span."""
    if _tracing is not None:
        current().set(attributes)


def _secrets(settings: "Settings") -> tuple[str, ...]:
    """Every setting that is not to be shown, as it is and as it stands in JSON."""
    found = set()
    for section in (getattr(settings, name) for name in type(settings).model_fields):
        for name, field in getattr(type(section), "model_fields", {}).items():
            value = getattr(section, name)
            if field.repr is False and isinstance(value, str) and value.strip():
                found |= {value.strip(), value.strip().replace("\\", "\\\\").replace('"', '\\"')}
    return tuple(sorted(found, key=len, reverse=True))


def _name(kind: type[BaseException]) -> str:
    """An error's class; damda's own and Python's without their module."""
    own = kind.__module__ in ("builtins", "damda.errors")
    return kind.__qualname__ if own else f"{kind.__module__}.{kind.__qualname__}"


def _harmless(text: str) -> str:
    """One line without credentials that stand in URLs and headers."""
    return _BEARER.sub(r"\1 ***", _USER.sub("***@", " ".join(text.split())))
