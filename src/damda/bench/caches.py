"""Keys and values that are kept: what it saves to keep them, and the memory that they take beside what was planned.

Knows: what to compare. Does not know: how many bytes a cache has (``compress.memory``), how a model runs (``native``).
"""

import statistics
import time
from collections.abc import Callable, Sequence

from damda.bench.subject import Row, Subject
from damda.compress import memory
from damda.compress.shape import shape
from damda.errors import GeneratorError
from damda.generate.native import Native
from damda.types import Progress

READ, WRITTEN, ROUNDS = (64, 256), 8, 3
"""Tokens of the prompts; tokens that are written behind them, greedily; rounds."""

CONTEXT = 4096
"""Tokens of a request whose cache is weighed, at most."""


def kept(subject: Subject, progress: Progress) -> list[Row]:
    """A token reads the keys and values of all before it; without a cache it would have to compute them all anew.

    Raises:
        GeneratorError: the documents have too few words.
    """
    model = Native(subject.path, context=READ[-1] + WRITTEN + 8, threads=subject.threads)
    ways: dict[str, Callable[[Native, Sequence[int]], list[int]]] = {"kept": _kept, "computed anew": _anew}
    try:
        tokens = model.tokens(subject.text(READ[-1]))
        if len(tokens) < READ[-1]:
            raise GeneratorError(f"the documents have {len(tokens):,} tokens: {READ[-1]:,} are read")
        rows: list[Row] = []
        for n, length in enumerate(READ):
            taken: dict[str, list[float]] = {way: [] for way in ways}
            wrote: dict[str, list[int]] = {}
            for turn in range(ROUNDS):
                progress("kv cache", n * ROUNDS + turn, len(READ) * ROUNDS)
                for way, write in ways.items():
                    model.forget()
                    model.read(tokens[: length - 1], [False] * (length - 1))
                    begun = time.perf_counter()
                    wrote[way] = write(model, tokens[:length])
                    taken[way].append(time.perf_counter() - begun)
            rows += [
                {
                    "study": "kv cache",
                    "task": f"behind {length} tokens",
                    "way": way,
                    "tokens_per_second": WRITTEN / statistics.median(seconds),
                    "same": wrote[way] == wrote["kept"],
                }
                for way, seconds in taken.items()
            ]
    finally:
        model.close()
    progress("kv cache", 1, 1)
    return rows


def _kept(model: Native, tokens: Sequence[int]) -> list[int]:
    """All but the last token were read."""
    written = [tokens[-1]]
    for n in range(WRITTEN):
        model.step(written[-1:], len(tokens) - 1 + n)
        written.append(int(model.logits(0).argmax()))
    return written[1:]


def _anew(model: Native, tokens: Sequence[int]) -> list[int]:
    known = list(tokens)
    for _ in range(WRITTEN):
        model.forget()
        model.read(known, [False] * (len(known) - 1) + [True])
        known.append(int(model.logits(len(known) - 1).argmax()))
    return known[len(tokens) :]


def weighed(subject: Subject, progress: Progress) -> list[Row]:
    """Megabytes of one request's cache, as planned and as llama.cpp says that it has taken, by form and by heads."""
    of = shape(subject.path)
    context = min(CONTEXT, subject.trained() or CONTEXT)
    rows: list[Row] = []
    for n, kind in enumerate(forms := ("f16", "q8_0", "q4_0")):
        progress("cache memory", n, len(forms))
        model = Native(subject.path, context=context, threads=subject.threads, cache=kind)
        planned = memory.cache(of, context, 1, kind, windowed=False)
        rows.append(_row(f"{of.attention}, {kind}", context, planned, model.cached / 1e6))
        model.close()
    heads = {"multi-head": of.heads, "grouped-query, 8 heads": 8, "multi-query": 1}
    for name, count in heads.items():
        if {count} != {*of.kv_heads} and (count < of.heads or name == "multi-head"):
            other = memory.had_it_been(of, count)
            rows.append(_row(f"if {name}, f16", context, memory.cache(other, context, 1, "f16", windowed=False)))
    progress("cache memory", 1, 1)
    return rows


def _row(way: str, context: int, planned: int, taken: float | None = None) -> Row:
    return {
        "study": "cache memory",
        "task": f"{context:,} tokens",
        "way": way,
        "planned": planned / 1e6,
        "taken": taken,
    }
