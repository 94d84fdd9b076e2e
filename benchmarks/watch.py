"""Runs a command and watches how much memory it takes, with all the processes that it starts."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Done:
    """What a command wrote on stdout, its wall time, and the most bytes it had resident."""

    said: str
    seconds: float
    peak: int


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Done:
    """Run to the end, looking at memory twenty times a second; a command that fails ends this program.

    A page that several of its processes share counts once for each.
    """
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        most, over = [0], threading.Event()

        def look() -> None:
            while not over.wait(0.05):
                most[0] = max(most[0], memory(process.pid))

        looking = threading.Thread(target=look)
        looking.start()
        said, _ = process.communicate()
        over.set()
        looking.join()
    if process.returncode:
        raise SystemExit(process.returncode)
    return Done(said, time.perf_counter() - begun, most[0])


def memory(pid: int) -> int:
    """Resident bytes of a process and all its descendants; Linux only, elsewhere 0."""
    own = Path(f"/proc/{pid}")
    try:
        pages = int((own / "statm").read_text().split()[1])
        children = [int(n) for task in (own / "task").iterdir() for n in (task / "children").read_text().split()]
    except OSError:  # it ended, or there is no /proc
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(map(memory, children))
