"""Indexes a folder with fakes, in a process of its own that a test may kill.

    python index_child.py ROOT HOME ENCODER PAUSE [STEP WHEN COUNT]

Says on stdout what it reports as stored, line by line. With STEP, a method of ``Store``, it kills itself ``before`` or
``after`` the COUNTth call of it.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fakes import FakeEncoder, opener

from damda.ingest import sync
from damda.library import FileState
from damda.search.store import Store


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # at once, and never half a line


def tell_what_is_stored() -> None:
    record = Store.record

    def told(self: Store, files: Sequence[FileState], gone: Sequence[str] = ()) -> None:
        record(self, files, gone)
        for state in files:
            say(f"stored {state.source}")
        for source in gone:
            say(f"removed {source}")

    Store.record = told  # type: ignore[method-assign]


def die_at(step: str, when: str, count: int) -> None:
    real: Callable[..., Any] = getattr(Store, step)
    calls = 0

    def deadly(*args: Any) -> Any:  # noqa: ANN401  whatever the method has
        nonlocal calls
        calls += 1
        if calls == count and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args)
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(Store, step, deadly)


def main(root: str, home: str, encoder: str, pause: str, *death: str) -> None:
    sync._BATCH_CHUNKS = 12  # many small commits
    sync._TRUST_AFTER = 0.0
    tell_what_is_stored()
    if death:
        die_at(death[0], death[1], int(death[2]))
    kb = opener(setattr)(Path(root), FakeEncoder(encoder, pause=float(pause)), settings={"home": home})
    say("ready")
    kb.sync()
    say("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
