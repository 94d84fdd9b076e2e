"""Tracing of this process: started, asked for spans, flushed, closed.

Knows: whether it is on, and whose provider is used. Does not know: what spans are called (``genai``), where they go
(``sinks``).
"""

import atexit
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from damda.errors import ConfigError, MissingExtra
from damda.trace.spans import NONE, OFF, Attributes, Kind, Own, Place, Policy, Span, own_current, remote

if TYPE_CHECKING:
    from damda.settings import Settings, TraceSettings
    from damda.trace.sinks import Sinks


log = logging.getLogger("damda.trace")

_SECONDS, _SOON = 5.0, 0.3
"""A trace can be read about so long after its end: most can wait, and many are cheaper written together; those of
answers are wanted soon."""
_MANY, _MOST = 2048, 16384


class Tracing:
    """Tracing as it was started; what `start` returns. This one is off.

    Attributes:
        on: whether spans are recorded.
        home: where `traces.sqlite` is.
    """

    on = False

    def __init__(self, settings: "Settings", home: Path) -> None:
        self.settings, self.home = settings, home

    def begin(
        self, name: str, attributes: Attributes, kind: Kind, parent: Place | None, links: Sequence[Place], attach: bool
    ) -> Span:
        """A span; ``parent`` None: below the current one."""
        return OFF

    def current(self) -> Span:
        """The current span."""
        return OFF

    def flush(self) -> None:
        """Write what was recorded so far; returns when it is written, or known to be lost."""

    def close(self) -> None:
        """Write the rest, and record no more. Once is enough; at the end of the program it happens by itself."""

    def feedback(self, trace_id: str, score: int) -> None:
        """Tell sinks other than the local one what somebody thinks of an answer."""

    def forked(self) -> None:
        """This is another process than the one that it was started in."""


class OwnTracing(Tracing):
    """Tracing with spans of damda's own, which a thread writes a little after they have ended.

    It imports what it needs when there is something to write: a command that gives one answer has printed it by then.
    """

    on = True

    def __init__(self, settings: "Settings", home: Path) -> None:
        super().__init__(settings, home)
        self._policy = Policy(settings)
        self._ended: deque[Own] = deque(maxlen=_MOST)  # when nobody can write, the oldest go
        self._sinks: Sinks | None = None
        self._opened, self._wake, self._stop = threading.Event(), threading.Event(), threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="damda-traces", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def begin(
        self, name: str, attributes: Attributes, kind: Kind, parent: Place | None, links: Sequence[Place], attach: bool
    ) -> Span:
        if parent is None and (above := own_current()) is not None:
            parent = above.at
        return Own(self._took, self._policy, name, kind, attributes, parent, links, attach)

    def current(self) -> Span:
        return own_current() or OFF

    def flush(self) -> None:
        self._open()
        if self._sinks is not None:
            self._sinks.write(self._ended)
            self._sinks.flush()

    def close(self) -> None:
        forget(self)
        atexit.unregister(self.close)
        if self._closed:
            return
        self._closed = True
        self._stop.set()
        self._wake.set()
        self._thread.join()
        if self._sinks is not None:
            self._sinks.write(self._ended)
            self._sinks.close()

    def feedback(self, trace_id: str, score: int) -> None:
        self._open()
        if self._sinks is not None:
            self._sinks.feedback(trace_id, score)

    def forked(self) -> None:
        atexit.unregister(self.close)
        self._closed = True

    def _took(self, span: Own) -> None:
        if not self._closed:
            self._ended.append(span)
            if span.soon or len(self._ended) == _MANY:
                self._wake.set()

    def _open(self) -> None:
        self._wake.set()
        self._opened.wait()

    def _run(self) -> None:
        self._wake.wait(_SECONDS)
        if self._closed and not self._ended:
            self._opened.set()
            return
        try:
            from damda.trace.sinks import Sinks

            self._sinks = Sinks(self.settings.trace, self.home, self._policy)
        except Exception:  # else whoever waits for it waits for ever
            log.exception("traces can't be kept")
        finally:
            self._opened.set()
        while self._sinks is not None and not self._closed:
            if self._wake.wait(_SECONDS):
                self._stop.wait(_SOON)  # the request's span ends a little later than the answer's
            self._wake.clear()
            self._sinks.write(self._ended)


_tracing: Tracing | None = None
_starting = threading.Lock()


def start(settings: "Settings", home: Path) -> Tracing:
    """Record spans from now on, as ``settings.trace`` says, in this process.

    Started again for the same home, it goes on as it was; for another, the first is closed. Another process starts its
    own, also one made by fork. Where ``trace.on`` is false nothing is recorded.

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
        _check(settings.trace)
        if before is not None:
            before.close()
        if "opentelemetry.sdk.trace" in sys.modules:  # else nobody can have set a provider
            from damda.trace.joined import JoinedTracing, provider

            if (theirs := provider()) is not None:
                _tracing = JoinedTracing(settings, home, theirs)
                return _tracing
        _tracing = OwnTracing(settings, home)
        return _tracing


def active() -> Tracing | None:
    """Tracing as it was started in this process; None: it is off."""
    return _tracing


def span(
    name: str,
    attributes: Attributes = NONE,
    *,
    kind: Kind = "internal",
    parent: Span = OFF,
    traceparent: str = "",
    links: Sequence[Span] = (),
    current: bool = True,
) -> Span:
    """Begin a span; use it as a context manager.

    Args:
        name: few different ones; what varies goes into attributes.
        attributes: facts that are known by now.
        kind: of OpenTelemetry's.
        parent: the span above; one that records nothing: the current one.
        traceparent: W3C's header of a caller in another process; one that is malformed counts as none.
        links: spans of other traces that this one works for too.
        current: whether it is current inside its block; False for a block that yields.
    """
    if _tracing is None or _muted.get():
        return OFF
    above = (remote(traceparent) if traceparent else None) or parent.place
    return _tracing.begin(name, attributes, kind, above, [to for link in links if (to := link.place)], current)


@contextmanager
def muted() -> Iterator[None]:
    """Record nothing of what runs in this block, in this thread: for questions that nobody asked."""
    token = _muted.set(True)
    try:
        yield
    finally:
        _muted.reset(token)


_muted: ContextVar[bool] = ContextVar("damda_muted", default=False)


def current() -> Span:
    """The span that is current here, to be a parent elsewhere or to be given attributes; not to be ended."""
    return OFF if _tracing is None else _tracing.current()


def note(attributes: Attributes) -> None:
    """Set attributes of the current span."""
    if _tracing is not None:
        _tracing.current().set(attributes)


def forget(tracing: Tracing) -> None:
    """It was closed."""
    global _tracing
    if _tracing is tracing:
        _tracing = None


def _forked() -> None:
    """A child of fork has none of the threads that write: it traces when it starts to."""
    global _starting
    _starting = threading.Lock()
    if _tracing is not None:
        _tracing.forked()
        forget(_tracing)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _check(settings: "TraceSettings") -> None:
    """What is wrong with the settings is said now, not by a thread."""
    if settings.otlp:
        parts = urlsplit(settings.otlp)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("trace.otlp must be an http:// or https:// URL, e.g. http://127.0.0.1:4318")
        if not _installed("opentelemetry.exporter.otlp.proto.http"):
            raise MissingExtra("trace.otlp", "otlp")
    if settings.wandb and not _installed("wandb"):
        raise MissingExtra("trace.wandb", "wandb")


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # nor is what it is in
        return False
