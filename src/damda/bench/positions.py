"""Perplexity by length, past the length that a model was trained for, with and without RoPE scaling.

Knows: where losses are taken. Does not know: how positions are scaled (``native``).
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from damda.bench.subject import Row, Subject
from damda.errors import GeneratorError
from damda.generate.native import Native
from damda.types import Progress

FACTOR, READ, LOOKED = 2, 512, 256
"""How many times the trained length; tokens read at once; tokens that a perplexity is of, the last ones of a length."""

MOST = 8192
"""Trained tokens; reading twice as many takes minutes, and more with their square."""

WAYS = ("none", "linear", "yarn")


def positions(subject: Subject, progress: Progress) -> list[Row]:
    """At half of, at, one and a half times and twice the trained length; one pass a way.

    Raises:
        GeneratorError: the model was trained for so long a context that it would take too long, or the texts are too
            short; repeated ones would be copied, not read.
    """
    trained = subject.trained()
    if not 0 < trained <= MOST:
        raise GeneratorError(f"trained for {trained:,} tokens: measured are models of at most {MOST:,}")
    lengths = [trained // 2, trained, trained * 3 // 2, trained * FACTOR]
    rows: list[Row] = []
    for n, way in enumerate(WAYS):
        factor = 1 if way == "none" else FACTOR
        model = Native(
            subject.path, context=lengths[-1] + 8, threads=subject.threads, rope=way, factor=factor, trained=trained
        )
        try:
            tokens = model.tokens("\n\n".join(subject.passages))[: lengths[-1] + 1]
            if len(tokens) <= lengths[-1]:
                raise GeneratorError(f"the documents have {len(tokens):,} tokens: {lengths[-1]:,} are read")

            def told(done: int, of: int = n, whole: int = len(tokens)) -> None:
                progress("positions", of * whole + done, len(WAYS) * whole)

            found = _perplexities(model, tokens, lengths, told)
        finally:
            model.close()
        rows += [
            {"study": "positions", "task": f"{length:,} tokens", "way": way, "perplexity": figure}
            for length, figure in zip(lengths, found, strict=True)
        ]
    progress("positions", 1, 1)
    return sorted(rows, key=lambda row: int(str(row["task"]).partition(" ")[0].replace(",", "")))


def _perplexities(
    model: Native, tokens: Sequence[int], lengths: Sequence[int], told: Callable[[int], None]
) -> list[float]:
    wanted = {at: length for length in lengths for at in range(length - LOOKED, length)}
    losses: dict[int, list[float]] = {length: [] for length in lengths}
    for begin in range(0, len(tokens) - 1, READ):
        told(begin)
        part = tokens[begin : min(begin + READ, len(tokens) - 1)]
        looked = [begin + n in wanted for n in range(len(part))]
        model.read(part, looked, at=begin)
        for n in (n for n, one in enumerate(looked) if one):
            logits = model.logits(n).astype(np.float64)
            top = float(logits.max())
            loss = top + math.log(np.exp(logits - top).sum()) - float(logits[tokens[begin + n + 1]])
            losses[wanted[begin + n]].append(loss)
    return [math.exp(sum(found) / len(found)) for found in losses.values()]
