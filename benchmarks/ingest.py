"""Whole ingest of a folder: where the time goes, how much memory it takes, and what an unchanged second run costs.

python benchmarks/ingest.py FOLDER

Each run is a process of its own. The baseline is the same work one step after another on one thread: reading,
cutting, analysing, encoding, with no overlap.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import machine
import watch

INDEX = "from damda.cli import main; main()"
ONE_AFTER_ANOTHER = """
import sys, time
from pathlib import Path
from damda.assemble import models
from damda.settings import EncoderSettings, Settings
from damda.ingest.chunk import chunk
from damda.ingest.read import read
from damda.ingest.walk import walk
from damda.errors import ReadError
from damda.korean import Morphemes
settings = Settings()
begun = time.perf_counter()
encoder = models.make_encoder(EncoderSettings(threads=1), offline=True)
analyser = Morphemes()
texts = []
for found in walk(Path(sys.argv[1]), settings.read)[0]:
    try:
        documents = read(found, settings.read)
    except ReadError:
        continue
    texts += [c.in_context() for d in documents for c in chunk(d, encoder.count_tokens, settings.chunk.tokens)]
analyser.content(texts)
encoder.encode(texts, kind="passage")
print(time.perf_counter() - begun)
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("folder", type=Path)
    given = arguments.parse_args()
    folder = given.folder.resolve()
    plain = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_ANOTHER, str(folder)], capture_output=True, text=True, check=True
    )
    alone = float(plain.stdout.strip().splitlines()[-1])
    with tempfile.TemporaryDirectory() as home:
        first, wall, peak = _index(folder, home)
        again, wall_again, _ = _index(folder, home)
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    result = {
        "files_read": first["read"],
        "megabytes": round(size / 1e6, 1),
        "passages": first["chunks"],
        "failed": len(first["failed"]),
        "wall_s": round(wall, 1),
        "stage_seconds": {stage: round(seconds, 2) for stage, seconds in first["seconds"].items()},
        "one_after_another_on_one_thread_s": round(alone, 1),
        "times_faster": round(alone / wall, 2),
        # Of all its processes together, looked at twenty times a second.
        "peak_memory_mb": round(peak / 1e6),
        "unchanged_again": {"wall_s": round(wall_again, 2), "passages_encoded": again["chunks"]},
    }
    print(json.dumps(result, indent=1))
    machine.save("ingest", result)


def _index(folder: Path, home: str) -> tuple[dict[str, Any], float, int]:
    """The report, seconds, and the most bytes of memory."""
    command = [sys.executable, "-c", INDEX, "index", str(folder), "--home", home, "--json", "--quiet"]
    done = watch.run(command)
    return json.loads(done.said), done.seconds, done.peak


if __name__ == "__main__":
    main()
