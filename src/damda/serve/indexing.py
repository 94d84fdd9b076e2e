"""Bringing the index up to date while questions are answered.

Knows: one writer at a time, whoever it is; progress; being told to stop. Does not know: HTTP, who asked.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence

from damda.errors import BusyError, DamdaError
from damda.ingest.sync import Report
from damda.knowledge import KnowledgeBase
from damda.plain import plain
from damda.serve.errors import Gone, Refused, described
from damda.serve.lanes import Emit, Lanes
from damda.serve.uploads import Uploads
from damda.types import Progress

log = logging.getLogger(__name__)

Event = Mapping[str, object]
_LOOK_AGAIN = 0.25
_TELL_EVERY = 0.2


class _Stopped(Exception):
    """The service ends; what is stored stays."""


class Indexing:
    """Indexing on behalf of requests, and by itself now and then.

    Args:
        kb: whose index.
        uploads: to tell what became of them.
    """

    def __init__(self, kb: KnowledgeBase, uploads: Uploads) -> None:
        self._kb, self._uploads = kb, uploads
        self._stopping = threading.Event()
        self.lanes = Lanes("indexings", 4, 64)
        self._said = ""

    def stop(self) -> None:
        """End what runs at its next step. What it has stored so far stays."""
        self._stopping.set()

    def look(self) -> bool:
        """Bring the index up to date if the folder changed; whether it had. Problems are logged, once each."""
        try:
            report = self._kb.refresh(self._telling(None))
        except (BusyError, _Stopped):
            return False
        except DamdaError as error:
            if str(error) != self._said:
                log.warning("%s", error)
            self._said = str(error)
            return False
        self._said = ""
        return report is not None and report.changed

    def refresh(self, emit: Emit[Event]) -> None:
        """Bring the index up to date before a question, as a command does; then tell what was done.

        Raises:
            DamdaError: it can't be.
            Gone: nobody listens any more.
        """
        try:
            report = self._kb.refresh(self._telling(_Deaf(emit)))
        except _Stopped as error:
            raise Refused(503, "the service is being shut down", "stopping") from error
        emit({"type": "refreshed", "report": plain(report) if report else None})

    def run(self, emit: Emit[Event], saved: Sequence[str] = (), refused: Sequence[Mapping[str, str]] = ()) -> None:
        """Bring the index up to date; tell how far it is, then what became of the files that were saved.

        Goes on when nobody listens any more: what was saved should be found. Only waiting for another process ends
        then, since that one, or the next look at the folder, does the same.
        """
        deaf = _Deaf(emit)
        try:
            report = self._sync(deaf)
        except Gone:
            return
        except (_Stopped, DamdaError) as error:
            stopped = Refused(503, "the service ended before the index was up to date; what was saved stays", "stopped")
            _, body, _ = described(stopped if isinstance(error, _Stopped) else error)
            deaf({"type": "error", "saved": list(saved), "refused": list(refused), **body})
            return
        deaf(
            {"type": "done", "saved": list(saved), "refused": [*refused, *self._unread(saved)], "report": plain(report)}
        )

    def _sync(self, emit: "_Deaf") -> Report:
        while True:
            try:
                return self._kb.sync(self._telling(emit))
            except BusyError:
                emit.wait_or_leave({"type": "waiting"})
                if self._stopping.wait(_LOOK_AGAIN):
                    raise _Stopped from None

    def _unread(self, saved: Sequence[str]) -> list[dict[str, str]]:
        """Files that were saved and of which nothing can be found, with the reason."""
        files = self._kb.files() if saved else {}
        ignored = "left out by a pattern of .damdaignore or read.ignore"
        why = {source: files[source].error if source in files else ignored for source in saved}
        return [{"name": source, "reason": reason} for source, reason in why.items() if reason]

    def _telling(self, emit: "_Deaf | None") -> Progress:
        last, stage = 0.0, ""

        def progress(what: str, done: int, total: int) -> None:
            nonlocal last, stage
            if self._stopping.is_set():
                raise _Stopped
            now = time.monotonic()
            if emit is not None and (what != stage or now - last >= _TELL_EVERY):
                last, stage = now, what
                emit({"type": "progress", "what": what, "done": done, "total": total})

        return progress


class _Deaf:
    """Emits as long as somebody listens, and is silent then."""

    def __init__(self, emit: Emit[Event]) -> None:
        self._emit, self._left = emit, False

    def __call__(self, event: Event) -> None:
        if not self._left:
            try:
                self._emit(event)
            except Gone:
                self._left = True

    def wait_or_leave(self, event: Event) -> None:
        """Raises Gone when nobody listens."""
        self._emit(event)
