"""A training of test_tune_fit.py that saves at every step, and waits at one to be killed: tune_child.py BASE WORK STEP."""

import sys
import time
from pathlib import Path

import test_tune_fit
import torch

from damda.tune import train

torch.set_num_threads(1)
train._SAVE_EVERY = 0.0


def progress(what: str, step: int, total: int) -> None:
    if step == int(sys.argv[3]):
        sys.stdout.write("there\n")
        sys.stdout.flush()
        time.sleep(600)


test_tune_fit.trained(test_tune_fit.opened(Path(sys.argv[1])), Path(sys.argv[2]), progress=progress)
