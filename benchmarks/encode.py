"""Passages a second of the built-in encoder beside sentence-transformers (torch), same weights, one thread each.

python benchmarks/encode.py DATASET --peer PYTHON [--passages N] [--repeats N]

DATASET: a folder with corpus.jsonl. PYTHON: an interpreter of an environment that has torch, sentence-transformers and
safetensors (damda itself needs none of them). The peer runs as it comes (32 texts a batch) and with 8 texts a batch,
which suits a CPU best (1, 4, 16 and 64 were tried). All run in turn, in processes of their own; the figures to quote
are the ratios.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from damda.tune.backbone import write_e5

CHARACTERS = 200

OURS = """
import json, sys, time
from damda.assemble import models
from damda.settings import EncoderSettings
encoder = models.make_encoder(EncoderSettings(threads=1), offline=True)
texts = json.load(sys.stdin)
encoder.encode(texts[:16], kind="passage")
wall, cpu = time.perf_counter(), time.process_time()
encoder.encode(texts, kind="passage")
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""

PEER = """
import json, sys, time
import torch
from sentence_transformers import SentenceTransformer
torch.set_num_threads(1)
model = SentenceTransformer(sys.argv[1], device="cpu")
texts = json.load(open(sys.argv[2], encoding="utf-8"))
model.encode(texts[:16])
batch = {"batch_size": int(sys.argv[4])} if sys.argv[4:] else {}
wall, cpu = time.perf_counter(), time.process_time()
vectors = model.encode(["passage: " + text for text in texts], normalize_embeddings=True, **batch)
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
json.dump(vectors[:200].tolist(), open(sys.argv[3], "w"))
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("dataset", type=Path)
    arguments.add_argument("--peer", required=True)
    arguments.add_argument("--passages", type=int, default=400)
    arguments.add_argument("--repeats", type=int, default=3)
    given = arguments.parse_args()
    lines = (given.dataset / "corpus.jsonl").read_text(encoding="utf-8").split("\n")
    texts = [json.loads(line)["text"][:CHARACTERS] for line in lines if line][:: max(len(lines) // given.passages, 1)]
    texts = texts[: given.passages]
    ours, default, tuned = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        write_e5(work / "model")
        for _ in range(given.repeats):
            ours.append(_damda(texts))
            default.append(_peer(given.peer, work))
            tuned.append(_peer(given.peer, work, "8"))
        agreement = _agreement(texts[:200], json.loads((work / "vectors.json").read_text()))
    _save(texts, ours, default, tuned, agreement)


def _damda(texts: list[str]) -> list[float]:
    """Wall and CPU seconds in a process of its own, one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", OURS],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return list(json.loads(done.stdout))


def _peer(python: str, work: Path, *batch: str) -> list[float]:
    command = [python, "-c", PEER, str(work / "model"), str(work / "texts.json"), str(work / "vectors.json"), *batch]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return list(json.loads(done.stdout.strip().splitlines()[-1]))


def _agreement(texts: list[str], theirs: list[list[float]]) -> float:
    """Mean cosine between the two: they have the same weights, ours in int8."""
    import numpy as np

    from damda.assemble import models
    from damda.settings import EncoderSettings

    ours = models.make_encoder(EncoderSettings(), offline=True).encode(texts, kind="passage")
    return float((ours * np.array(theirs, np.float32)).sum(axis=1).mean())


def _save(
    texts: list[str], ours: list[list[float]], default: list[list[float]], tuned: list[list[float]], agreement: float
) -> None:
    import machine

    def rate(runs: list[list[float]]) -> float:
        return round(statistics.median(len(texts) / cpu for _, cpu in runs), 1)

    def ratio(runs: list[list[float]]) -> float:
        return round(statistics.median(b[1] / a[1] for a, b in zip(ours, runs, strict=True)), 2)

    result = {
        "passages": len(texts),
        "characters_a_passage": CHARACTERS,
        "repeats": len(ours),
        "damda_passages_a_cpu_second": rate(ours),
        "sentence_transformers_passages_a_cpu_second": rate(default),
        "sentence_transformers_batch_8_passages_a_cpu_second": rate(tuned),
        "ratio": ratio(default),
        "ratio_to_batch_8": ratio(tuned),
        "mean_cosine_between_them": round(agreement, 4),
    }
    print(json.dumps(result, indent=1))
    machine.save("encode", result)


if __name__ == "__main__":
    begun = time.perf_counter()
    main()
    print(f"{time.perf_counter() - begun:.0f} s in all")
