"""Batches of a training: every row once, about one length, no text twice where that matters."""

import subprocess
import sys
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damda.tune.batches import batches
from damda.tune.train import Recipe, _batched


@given(st.lists(st.integers(1, 500), min_size=1, max_size=300), st.integers(1, 40), st.integers(0, 5))
def test_every_row_is_in_one_batch(lengths: list[int], size: int, seed: int) -> None:
    made = batches(lengths, [[n] for n in range(len(lengths))], size, seed=seed, distinct=False)
    assert sorted(row for batch in made for row in batch) == list(range(len(lengths)))
    assert all(len(batch) <= size for batch in made) and sum(len(batch) < size for batch in made) <= 1 + len(
        lengths
    ) // (size * 40)
    assert made == batches(lengths, [[n] for n in range(len(lengths))], size, seed=seed, distinct=False)


def test_batches_are_of_about_one_length() -> None:
    lengths = [n % 97 for n in range(640)]
    made = batches(lengths, [[n] for n in range(640)], 16, seed=0, distinct=False)
    for batch in made:
        assert [lengths[row] for row in batch] == sorted(lengths[row] for row in batch)
        assert max(lengths[row] for row in batch) - min(lengths[row] for row in batch) <= 4
    means = [sum(lengths[row] for row in batch) for batch in made]
    assert means != sorted(means), "short ones do not come first"


def test_another_epoch_has_another_order() -> None:
    texts = {"a": [f"a{n}" for n in range(64)], "b": [f"b{n}" for n in range(64)]}
    first, again, second = (_batched(texts, Recipe(batch=8), distinct=True, epoch=epoch) for epoch in (0, 0, 1))
    assert first == again != second
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(13, 30)), max_size=120), st.integers(2, 16))
def test_no_text_is_twice_in_a_batch(keys: list[tuple[int, int]], size: int) -> None:
    made = batches([1] * len(keys), keys, size, seed=1, distinct=True)
    rows = [row for batch in made for row in batch]
    assert len(rows) == len(set(rows))
    for batch in made:
        texts = [key for row in batch for key in set(keys[row])]
        assert len(texts) == len(set(texts)) and 2 <= len(batch) <= size


def test_rows_that_fit_nowhere_are_left_out() -> None:
    """All of one passage: any two of them would be wrong answers to one another."""
    assert batches([1] * 50, [[n, 99] for n in range(50)], 8, seed=0, distinct=True) == []
    mixed = [[n, 99] if n < 10 else [n, n + 100] for n in range(20)]
    made = batches([1] * 20, mixed, 4, seed=0, distinct=True)
    assert sum(map(len, made)) >= 12 and all(sum(row < 10 for row in batch) <= 1 for batch in made)


@pytest.mark.parametrize("distinct", [True, False])
def test_equal_texts_are_known_across_columns(distinct: bool) -> None:
    names = count()
    texts = {"anchor": [f"q{next(names)}" for _ in range(8)], "positive": ["same"] * 4 + ["a", "b", "c", "d"]}
    texts["negative"] = ["a", "b", "c", "d", "same", "same", "same", "same"]
    made = _batched(texts, Recipe(batch=8), distinct=distinct, epoch=0)
    assert made == [] if distinct else len(made) == 1


def test_what_needs_no_torch_does_not_import_it() -> None:
    """`damda tune --help`, and reading files before minutes of training, must not wait for it."""
    names = "adapter backbone contrast encoding export make_encoder make_sts mine pairs split sts train verdict"
    code = f"import sys, {', '.join('damda.tune.' + name for name in names.split())}\n"
    code += "print(sorted({'torch', 'sentence_transformers', 'transformers', 'datasets', 'onnx'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
