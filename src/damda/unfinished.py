"""What a run has measured so far, kept until it is done: one that was stopped goes on from it.

Knows: which figures may be used again. Does not know: what they mean.
"""

import json
import logging
import time
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import version
from typing import Any

from damda.weights import cache_folder

log = logging.getLogger(__name__)

_DAY = 86_400
"""Seconds after which a machine is no longer in the same state."""


class Unfinished:
    """Figures that were measured alike on one machine.

    Args:
        about: all that they depend on but their names.
    """

    def __init__(self, about: Mapping[str, Any]) -> None:
        text = json.dumps([version("damda"), dict(about)], sort_keys=True, ensure_ascii=False)
        self._file = cache_folder() / "reports" / f"{sha256(text.encode()).hexdigest()[:16]}.json"
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
            fresh = time.time() - self._file.stat().st_mtime < _DAY
        except (OSError, ValueError):  # there is none, or its writing was cut off: all is measured
            known, fresh = {}, False
        self._known: dict[str, Any] = known if fresh and isinstance(known, dict) else {}

    def get(self, name: str) -> dict[str, Any] | None:
        """Figures; None: they were not measured."""
        found = self._known.get(name)
        return found if isinstance(found, dict) else None

    def add(self, name: str, figures: Mapping[str, Any]) -> None:
        """Keep figures. A cache that can't be written is told in the log; the run goes on."""
        self._known[name] = dict(figures)
        draft = self._file.with_suffix(".draft")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(self._known), encoding="utf-8")
            draft.replace(self._file)
        except OSError as error:
            log.warning("%s can't be written (%s): a run that is stopped begins anew", self._file, error.strerror)

    def done(self) -> None:
        """Nothing is needed any more."""
        self._file.unlink(missing_ok=True)
