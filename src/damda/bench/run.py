"""One study after another, as long as there is time; what was measured before a stop is not measured again.

Knows: names, time, what failed. Does not know: how anything is measured.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from damda.bench.subject import Row
from damda.errors import DamdaError
from damda.types import Progress
from damda.unfinished import Unfinished

Study = Callable[[Progress], list[Row]]


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of it.

    Attributes:
        rows: of all studies.
        left: names of those that there was no time for.
        failed: name -> why.
    """

    model: str
    machine: str
    rows: Sequence[Row]
    left: Sequence[str] = ()
    failed: Mapping[str, str] = field(default_factory=dict)


def run(
    model: str,
    studies: Mapping[str, Study],
    minutes: float,
    about: Mapping[str, object],
    machine: str,
    progress: Progress,
) -> tuple[Measured, Unfinished]:
    """Measure.

    Args:
        minutes: none is begun later.
        about: all that the figures depend on.

    Returns:
        What came of it, and where it is kept until the caller, having shown it, says that it is done.
    """
    kept = Unfinished({"bench": model, "machine": machine, **about})
    end = time.monotonic() + 60 * minutes
    rows: list[Row] = []
    left: list[str] = []
    failed: dict[str, str] = {}
    for name, study in studies.items():
        known = kept.get(name)
        if known is None and time.monotonic() >= end:
            left.append(name)
            continue
        if known is None:
            try:
                known = {"rows": study(progress)}
            except DamdaError as error:  # one technique that this model can't do leaves the others theirs
                failed[name] = str(error)
                continue
            kept.add(name, known)
        rows += known["rows"]
    return Measured(model, machine, rows, left, failed), kept
