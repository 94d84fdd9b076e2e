"""tune_child.py BASE WORK STEP: test_tune_fit.py's training, saving at every step; at one it waits to be killed."""

import sys
import time
from pathlib import Path

import test_tune_fit
import torch

from damda.tune import train

torch.set_num_threads(1)
train._SAVE_EVERY = 0.0


def progress(what: str, done: int, total: int) -> None:
    if done == int(sys.argv[3]):
        sys.stdout.write("there\n")
        sys.stdout.flush()
        time.sleep(600)


test_tune_fit.trained(test_tune_fit.opened(Path(sys.argv[1])), Path(sys.argv[2]), progress=progress)
