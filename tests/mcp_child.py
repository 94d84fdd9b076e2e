"""`damda` with fakes, in a process of its own, with an encoder that writes to stdout as native libraries do.

python mcp_child.py mcp ROOT [--http ...]
"""

import os
from collections.abc import Sequence

import numpy as np
from fakes import FakeEncoder, use_fakes
from numpy.typing import NDArray

from damda.cli import main
from damda.types import Kind


class LoudEncoder(FakeEncoder):
    """Writes to stdout at every call, past Python's own."""

    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        os.write(1, b"noise of an encoder\n")
        return super().encode(texts, kind=kind)


if __name__ == "__main__":
    use_fakes(setattr, LoudEncoder())
    main()
