"""Tracing for tests: started for a home, closed at the end, and its spans by name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from damda import config, trace
from damda.traces import Kept, Step, Traces


class Start(Protocol):
    """Starts tracing; keyword arguments are settings of the section trace."""

    def __call__(self, home: Path, **settings: Any) -> trace.Tracing: ...  # noqa: ANN401  as config.load takes them


@pytest.fixture
def start() -> Iterator[Start]:
    def begin(home: Path, **settings: Any) -> trace.Tracing:  # noqa: ANN401
        return trace.start(config.load(flags={f"trace.{k}": v for k, v in settings.items()}, env={}), home)

    yield begin
    if (left := trace.active()) is not None:
        left.close()


def steps(kept: Kept | None) -> list[Step]:
    """All spans of a trace, each before those below it."""
    assert kept is not None
    found, waiting = [], list(kept.steps)
    while waiting:
        found.append(waiting.pop(0))
        waiting = [*found[-1].steps, *waiting]
    return found


def latest(home: Path) -> Kept:
    """The last trace of a home."""
    (one, *_) = Traces(home).recent(1)
    kept = Traces(home).get(one.id)
    assert kept is not None
    return kept


def outline(kept: Kept) -> list[str]:
    """Names, indented by depth."""

    def lines(some: tuple[Step, ...], depth: int) -> Iterator[str]:
        for step in some:
            yield "  " * depth + step.name
            yield from lines(step.steps, depth + 1)

    return list(lines(kept.steps, 0))
