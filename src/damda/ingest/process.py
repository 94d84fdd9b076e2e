"""Has files parsed by a process that may hang or crash: it costs one file.

Knows: what is asked of the worker, and what its failures mean. Does not know: formats.
"""

import json
from typing import Any

from damda.child import Child
from damda.errors import ReadError
from damda.ingest.structure import Parsed


class Worker:
    """A process that parses one file at a time. Safe to use from threads, which wait for one another."""

    def __init__(self) -> None:
        self._child = Child("damda.ingest.worker")

    @property
    def pid(self) -> int | None:
        """Process id of the worker, None before its first file."""
        return self._child.pid

    def parse(self, name: str, data: bytes, *, seconds: float, chars: int) -> Parsed:
        """What the worker makes of ``data``; the format ``name`` is one of ``worker.PARSERS``.

        Raises:
            ReadError: the parser refused it, crashed on it or took more than ``seconds``.
        """
        header = json.dumps({"format": name, "size": len(data), "seconds": seconds, "chars": chars})
        try:
            line = self._child.ask(header.encode("ascii") + b"\n" + data, seconds=seconds)
        except TimeoutError as error:
            raise ReadError(f"took more than {seconds:g} s to read; split it, or raise read.timeout") from error
        except EOFError as error:
            raise ReadError(
                "the parser crashed on it; the file is damaged, or too large for this machine's memory"
            ) from error
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ReadError(answer["error"])
        return Parsed(answer["text"], answer["title"], tuple(answer["pages"]), answer["meta"])

    def close(self) -> None:
        """End the worker; the next file starts another."""
        self._child.close()


WORKER = Worker()
"""The one worker of this process; started by the first file that needs it, ended with the process."""
