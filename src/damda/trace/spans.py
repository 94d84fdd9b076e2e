"""Spans: begun, ended, handed from thread to thread.

Knows: when a span is current, what must never be in one. Does not know: names and attributes of GenAI (``genai``),
where spans go (``sinks``).

A span is *current* inside a block that runs in one go: spans begun in it become its children. Generators and requests
do not run in one go: between two items the consumer runs, perhaps in another thread, and the context would leak into
it. Their span is begun with ``current=False``: children name it as their parent, and it is current only while
`Span.current` or `Span.steps` says so.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from random import getrandbits
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

if TYPE_CHECKING:
    from damda.settings import Settings

T = TypeVar("T")
Kind = Literal["internal", "client", "server"]
Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value]

CANCELLED = "damda.cancelled"
NONE: Attributes = {}
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+\S+")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")


class Place(NamedTuple):
    """Which span of which trace. ``remote``: it is another process's."""

    trace: int
    span: int
    remote: bool = False


class Span:
    """A span; this one records nothing, as all do where tracing is off: every method is safe either way.

    As a context manager it ends with its block: well, with an error, or cancelled (a closed generator, an interrupt).
    """

    __slots__ = ()

    def __bool__(self) -> bool:
        """Whether anything is recorded: for attributes that cost something to make."""
        return False

    @property
    def content(self) -> bool:
        """Whether texts may be recorded."""
        return False

    @property
    def place(self) -> Place | None:
        """Its identity; None where nothing is recorded."""
        return None

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; "" where nothing is recorded."""
        place = self.place
        return format(place.trace, "032x") if place else ""

    @property
    def traceparent(self) -> str:
        """W3C's header, for a process that goes on with this trace; "" where nothing is recorded."""
        place = self.place
        return f"00-{place.trace:032x}-{place.span:016x}-01" if place else ""

    def set(self, attributes: Attributes) -> None:
        """Set attributes."""

    def defer(self, name: str, make: Callable[[], Value]) -> None:
        """Set an attribute that takes a while to make; it may be made later, by another thread."""

    def rename(self, name: str) -> None:
        """Give it another name."""

    def hasten(self) -> None:
        """Have it written soon after its end: somebody will want to read it."""

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make it current, for a block that runs in one go, in any thread."""
        yield

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

    def end(self) -> None:
        """End it, where no block does."""

    def __enter__(self) -> "Span":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.fail(error)
        self.end()


OFF = Span()


class Policy:
    """What may be in a span.

    Args:
        settings: ``trace.content`` says whether texts may; the keys in all of them must not.
    """

    __slots__ = ("_secrets", "content")

    def __init__(self, settings: "Settings") -> None:
        self.content = settings.trace.content
        self._secrets = _secrets(settings)

    def text(self, text: str) -> str:
        """The same without keys."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def attributes(self, attributes: Attributes) -> Attributes:
        """The same without keys."""
        if not self._secrets:
            return attributes
        return {name: self.text(value) if isinstance(value, str) else value for name, value in attributes.items()}

    def said(self, error: BaseException) -> str:
        """An error's message; "" where texts must not be recorded: a server may repeat the question that it refuses."""
        if not self.content:
            return ""
        # A line without credentials that stand in URLs and headers.
        return self.text(_BEARER.sub(r"\1 ***", _USER.sub("***@", " ".join(str(error).split()))))


class Own(Span):
    """A span of damda's own. ``ended`` is 0 until it is; ``error``: it failed, and ``said`` why.

    A search has four of these and may lose a hundredth of its time to them: what can wait is done by the thread that
    writes, many at a time. Till then `facts` may have functions in the place of values, and keys in its texts.
    """

    __slots__ = (
        "_attach",
        "_keep",
        "_policy",
        "_token",
        "at",
        "began",
        "ended",
        "error",
        "facts",
        "kind",
        "links",
        "name",
        "parent",
        "said",
        "soon",
    )

    def __init__(
        self,
        keep: "Callable[[Own], None]",
        policy: Policy,
        name: str,
        kind: Kind,
        attributes: Attributes,
        parent: Place | None,
        links: Sequence[Place],
        attach: bool,
    ) -> None:
        self._keep, self._policy, self._attach = keep, policy, attach
        self._token: Token[Own | None] | None = None
        self.name, self.kind, self.parent, self.links = name, kind, parent, links
        self.facts: dict[str, Value | Callable[[], Value]] = {**attributes}
        self.at = Place(parent[0] if parent else getrandbits(128) or 1, getrandbits(64) or 1)
        self.ended, self.error, self.said, self.soon = 0, False, "", False
        self.began = time_ns()

    def __bool__(self) -> bool:
        return True

    @property
    def content(self) -> bool:
        return self._policy.content

    @property
    def place(self) -> Place:
        return self.at

    def set(self, attributes: Attributes) -> None:
        self.facts.update(attributes)

    def defer(self, name: str, make: Callable[[], Value]) -> None:
        self.facts[name] = make

    def rename(self, name: str) -> None:
        self.name = name

    def hasten(self) -> None:
        self.soon = True

    @contextmanager
    def current(self) -> Iterator[None]:
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def fail(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            self.error, self.said = True, self._policy.said(error)
            self.facts["error.type"] = kind_of(error)
        else:
            self.facts[CANCELLED] = True

    def end(self) -> None:
        if not self.ended:
            self.ended = time_ns()
            self._keep(self)

    def __enter__(self) -> "Own":
        if self._attach:
            self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)
            self._token = None
        if error is not None:
            self.fail(error)
        self.end()


_current: ContextVar[Own | None] = ContextVar("damda_span", default=None)


def own_current() -> Own | None:
    """The current span, if it is one of damda's own."""
    return _current.get()


def remote(traceparent: str) -> Place | None:
    """What W3C's header refers to; None: it is malformed."""
    found = _TRACEPARENT.fullmatch(traceparent.strip())
    return Place(int(found[1], 16), int(found[2], 16), True) if found else None


def kind_of(error: BaseException) -> str:
    """An error's class, for ``error.type``; damda's own and Python's without their module."""
    kind = type(error)
    own = kind.__module__ in ("builtins", "damda.errors")
    return kind.__qualname__ if own else f"{kind.__module__}.{kind.__qualname__}"


def _secrets(settings: "Settings") -> tuple[str, ...]:
    """Every setting that is not to be shown, as it is and as it stands in JSON."""
    found = set()
    for section in (getattr(settings, name) for name in type(settings).model_fields):
        for name, field in getattr(type(section), "model_fields", {}).items():
            value = getattr(section, name)
            if field.repr is False and isinstance(value, str) and value.strip():
                found |= {value.strip(), value.strip().replace("\\", "\\\\").replace('"', '\\"')}
    return tuple(sorted(found, key=len, reverse=True))
