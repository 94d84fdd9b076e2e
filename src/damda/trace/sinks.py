"""Where spans of damda's own go: into the home always, to others where the settings say so.

Knows: that texts lose their keys on the way out. Does not know: how each sink writes; OpenTelemetry's SDK (``export``).
"""

import logging
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from damda.settings import TraceSettings
from damda.trace.local import Local
from damda.trace.spans import Own, Policy

if TYPE_CHECKING:
    from damda.trace.export import Exports

log = logging.getLogger("damda.trace")

_BATCH = 512


class Sinks:
    """The sinks of a process.

    Args:
        settings: which there are.
        home: of the local one.
        policy: what may be in a span.
    """

    def __init__(self, settings: TraceSettings, home: Path, policy: Policy) -> None:
        self._local, self._policy = Local(home, keep=settings.keep, days=settings.keep_days), policy
        self._exports = _exports(settings, home)
        self._writing = threading.Lock()

    def write(self, ended: deque[Own]) -> None:
        """Take spans out and write them."""
        with self._writing:
            while ended:
                for _ in range(min(len(ended), _BATCH)):
                    try:
                        self._take(ended.popleft())
                    except Exception:  # one span less: answers and other spans go on
                        log.exception("a span can't be kept")
                self._local.write()

    def _take(self, span: Own) -> None:
        facts = {name: value() if callable(value) else value for name, value in span.facts.items()}
        clean = self._policy.attributes(facts)
        name, said = self._policy.text(span.name), span.said if span.error else None
        self._local.add(span.at, span.parent, name, span.began, span.ended, clean, said)
        if self._exports is not None:
            self._exports.took(span, clean, self._policy)

    def flush(self) -> None:
        """Send what the other sinks have not sent yet."""
        if self._exports is not None:
            self._exports.flush()

    def close(self) -> None:
        """Send the rest, and end."""
        if self._exports is not None:
            self._exports.close()
        self._local.close()

    def feedback(self, trace_id: str, score: int) -> None:
        """Tell the sink for figures."""
        if self._exports is not None:
            self._exports.feedback(trace_id, score)


def _exports(settings: TraceSettings, home: Path) -> "Exports | None":
    if not (settings.otlp or settings.wandb):
        return None
    from damda.trace.export import Exports

    return Exports(settings, home)
