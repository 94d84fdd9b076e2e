"""Fills the tables of a candidate with fakes, in a process of its own that a test may kill.

    python candidate_child.py ROOT HOME ENCODER PAUSE [STEP WHEN COUNT]

The rest is as in ``index_child.py``.
"""

import sys
from pathlib import Path

from fakes import use_named_fakes
from index_child import die_at, say, tell_what_is_stored

from damda import assemble, config
from damda.assemble import candidates
from damda.ingest import sync


def main(root: str, home: str, encoder: str, pause: str, *death: str) -> None:
    sync._BATCH_CHUNKS = 12  # many small commits
    sync._TRUST_AFTER = 0.0
    tell_what_is_stored()
    if death:
        die_at(death[0], death[1], int(death[2]))
    use_named_fakes(setattr, pause=float(pause))
    settings = config.find(None, {"home": home}, Path(root))
    live = assemble.assemble(assemble.root_of(root), settings)
    candidate = candidates.make(live, settings, {"encoder.name": encoder})
    say("ready")
    candidate.kb.sync()
    say("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
