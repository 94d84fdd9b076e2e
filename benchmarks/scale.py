"""Warm search latency over 100,000 passages, question encoding included, one core; an exact scan as the baseline.

python benchmarks/scale.py DATASET [--passages 100000] [--queries 200] [--home DIR]

DATASET: a folder in BEIR layout. Its passages are repeated with words exchanged between them until there are enough
(their real vectors, with noise of the size of the usual distance between neighbours, so that none is a duplicate);
the questions are its own. The process pins itself to one core, where the system lets it.
"""

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import machine
import numpy as np
from numpy.typing import NDArray

from damda import assemble
from damda.assemble import models
from damda.ingest.chunk import chunk
from damda.korean import nfc
from damda.library import Prepared
from damda.morphemes import MorphemeProcess
from damda.search.store import Store
from damda.settings import Settings
from damda.types import Analyser, Chunk, Document, Encoder, Mode, Searcher, quiet

MODES: tuple[Mode, ...] = ("hybrid", "bm25", "dense")
REAL = 2000  # documents that are really encoded


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("dataset", type=Path)
    arguments.add_argument("--passages", type=int, default=100_000)
    arguments.add_argument("--queries", type=int, default=200)
    arguments.add_argument("--home", type=Path, default=None, help="where the index is kept between runs")
    given = arguments.parse_args()
    home = given.home or Path(tempfile.mkdtemp())
    settings = Settings()
    encoder = models.make_encoder(settings.encoder, offline=True)
    analyser = MorphemeProcess()
    store = Store(home, f"scale{given.passages}", encoder.dim)
    built = 0.0
    if not store.exists():
        begun = time.perf_counter()
        _fill(store, given, encoder, analyser)
        built = time.perf_counter() - begun
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})
    questions = _texts(given.dataset / "queries.jsonl")
    random.Random(1).shuffle(questions)
    result = _measure(store, encoder, analyser, settings, questions[: given.queries + 20])
    result |= {"passages": store.count(), "seconds_to_build": round(built, 1)}
    print(json.dumps(result, indent=1))
    machine.save("scale", result)


def _texts(path: Path) -> list[str]:
    return [nfc(json.loads(line)["text"]) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _fill(store: Store, given: argparse.Namespace, encoder: Encoder, analyser: Analyser) -> None:
    """Real passages first, then variants of them: a third of the words come from another passage."""
    chunks = [
        piece
        for n, text in enumerate(_texts(given.dataset / "corpus.jsonl")[:REAL])
        for piece in chunk(Document(f"d{n}", text), encoder.count_tokens, Settings().chunk.tokens)
    ][: given.passages]
    texts = [piece.in_context() for piece in chunks]
    words, vectors = analyser.content(texts), encoder.encode(texts, kind="passage")
    generator, np_generator = random.Random(0), np.random.default_rng(0)
    for start in range(0, given.passages, 10_000):
        rows = range(start, min(start + 10_000, given.passages))
        store.put([_variant(n, chunks, words, vectors, generator, np_generator) for n in rows])
        print(f"{rows.stop} passages stored", flush=True)
    store.finish(quiet)


def _variant(
    n: int,
    chunks: list[Chunk],
    words: list[list[str]],
    vectors: NDArray[np.float32],
    generator: random.Random,
    np_generator: np.random.Generator,
) -> Prepared:
    of = n % len(chunks)
    text, mine, vector = chunks[of].text, words[of], vectors[of]
    if n >= len(chunks):
        other = generator.choice(words)
        mine = [generator.choice(other) if other and generator.random() < 0.33 else word for word in mine]
        noisy = vector + np_generator.normal(0, 0.02, len(vector)).astype(np.float32)
        vector = noisy / np.linalg.norm(noisy)
    document = Document(f"v{n}", text, version="1")
    piece = Chunk(f"v{n}#0", f"v{n}", text, 0, len(text), version="1")
    return Prepared(document, [piece], [mine], vector[None])


def _measure(
    store: Store, encoder: Encoder, analyser: Analyser, settings: Settings, questions: list[str]
) -> dict[str, Any]:
    searchers = assemble.make_searchers(settings, store, encoder, analyser)
    result: dict[str, Any] = {"queries": len(questions) - 20}
    for mode in MODES:
        searcher = searchers[mode]()
        result[mode] = _latency(partial(_search, searcher), questions)
    result["encode_question"] = _latency(lambda q: encoder.encode([q], kind="query"), questions)
    result["exact_scan_in_numpy"] = _exact(store, encoder, questions)
    result["hybrid_p50_over_exact_scan_p50"] = round(
        result["hybrid"]["p50_ms"] / (result["exact_scan_in_numpy"]["p50_ms"]), 2
    )
    return result


def _search(searcher: Searcher, question: str) -> None:
    searcher.search([question], 10)


def _exact(store: Store, encoder: Encoder, questions: list[str]) -> dict[str, float]:
    """The baseline: all vectors in memory, one product, ten best. Also says how many of its ten the index finds."""
    import lancedb

    rows = lancedb.connect(store.folder).open_table(f"chunks-{store.fingerprint}").to_arrow()
    ids = rows.column("id").to_pylist()
    matrix = np.concatenate([c.flatten().to_numpy() for c in rows.column("vector").chunks]).reshape(len(ids), -1)
    found = []

    def scan(question: str) -> list[str]:
        vector = encoder.encode([question], kind="query")[0]
        scores = matrix @ vector
        best = np.argpartition(-scores, 10)[:10]
        return [ids[i] for i in best]

    latency = _latency(scan, questions)
    for question in questions[:100]:
        vector = encoder.encode([question], kind="query")[0]
        near = {piece.id for piece in store.view().chunks([row for row, _ in store.view().near(vector, 10)]).values()}
        found.append(len(near & set(scan(question))) / 10)
    return latency | {"recall_of_its_ten_by_the_index": round(float(np.mean(found)), 3)}


def _latency(call: Callable[[str], object], questions: list[str]) -> dict[str, float]:
    """Milliseconds; the first twenty calls warm up and do not count."""
    times = []
    for question in questions:
        begun = time.perf_counter()
        call(question)
        times.append(1000 * (time.perf_counter() - begun))
    return {f"p{p}_ms": round(float(np.percentile(times[20:], p)), 2) for p in (50, 95)}


if __name__ == "__main__":
    main()
