"""Which rows a step of training sees together.

Knows: lengths, which texts are equal. Does not know: texts, models.
"""

import random
from collections.abc import Sequence

_SORTED = 40
"""Batches whose texts are sorted by length together: little padding, and still another mixture in every epoch."""


def batches(
    lengths: Sequence[int], keys: Sequence[Sequence[int]], size: int, *, seed: int, distinct: bool
) -> list[list[int]]:
    """Rows of each batch: of about one length, in random order.

    Args:
        lengths: of each row, in whatever unit.
        keys: what each row's texts are, as numbers: equal texts have equal ones.
        size: rows a batch.
        distinct: no text stands twice in a batch; for losses that take the others of a batch as wrong answers. Rows
            that fit nowhere are left out this time.
    """
    generator = random.Random(seed)
    order = list(range(len(lengths)))
    generator.shuffle(order)
    out: list[list[int]] = []
    for at in range(0, len(order), size * _SORTED):
        together = sorted(order[at : at + size * _SORTED], key=lambda row: lengths[row])
        made = _distinct(together, keys, size) if distinct else _cut(together, size)
        generator.shuffle(made)
        out += made
    return out


def _cut(rows: Sequence[int], size: int) -> list[list[int]]:
    return [list(rows[at : at + size]) for at in range(0, len(rows), size)]


def _distinct(rows: Sequence[int], keys: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """First fit: a row whose text stands in this batch waits for the next."""
    out: list[list[int]] = []
    waiting = list(rows)
    while waiting:
        batch: list[int] = []
        seen: set[int] = set()
        left = []
        for row in waiting:
            if len(batch) < size and not seen.intersection(keys[row]):
                batch.append(row)
                seen.update(keys[row])
            else:
                left.append(row)
        if len(batch) < min(2, size):  # one alone has nothing to be told from
            break
        out.append(batch)
        waiting = left
    return out
