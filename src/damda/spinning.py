"""How long threads keep a core while they wait for one another, in libraries that bring GNU OpenMP along.

Knows: OpenMP's variables, which it reads when it is loaded. Does not know: llama.cpp, torch.

llama.cpp's threads meet some hundreds of times for each token, torch's as often for each step of a training. Who comes
first turns in a loop, by GNU OpenMP's own choice up to 300,000 times; where other programs want the cores, the thread
that is waited for can't come meanwhile, and writing all but stops. Who sleeps at once loses two thirds of the speed on
a machine that is free. What lies between, `benchmarks/busy.py` says (docs/decisions/0024).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

TURNS = "3000"

_TURNS, _POLICY = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"


def short() -> None:
    """For this process, and those that it starts. What the user has said of it in the environment stands."""
    if _POLICY not in os.environ:
        os.environ.setdefault(_TURNS, TURNS)


@contextmanager
def shortly() -> Iterator[None]:
    """For what is loaded while this lasts: a program that damda is a part of keeps its environment."""
    was = os.environ.get(_TURNS)
    short()
    try:
        yield
    finally:
        if was is None:
            os.environ.pop(_TURNS, None)
