"""Contrastive training, all weights or low-rank ones, and the linear adapter of questions."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from damda.embed.encoder import OnnxEncoder
from damda.tune import adapter
from damda.tune.adapter import Vectors, learn, validated
from damda.tune.backbone import freeze_words, open_model
from damda.tune.contrast import Contrast, columns, filled, ranked
from damda.tune.export import export
from damda.tune.mine import Example
from damda.tune.train import Recipe, digest
from damda.types import Kind, Progress, quiet

torch = pytest.importorskip("torch", reason="needs the extra tune")
import tiny_models  # noqa: E402

one_thread = pytest.fixture(scope="module", autouse=True)(tiny_models.one_thread)
RECIPE = Recipe(epochs=4, batch=16, rate=5e-3, checks=1, patience=9)
SAMPLE = [example.passage for example in tiny_models.examples(12, seed=9)]


# --- training


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.bert(tmp_path_factory.mktemp("models") / "bert")


def contrast(base: Path, method: Any = "full", recipe: Recipe = RECIPE) -> Contrast:  # noqa: ANN401  a Literal
    model = open_model(base)
    model.prompts = {"query": "query: ", "passage": "passage: "}
    freeze_words(model)
    examples = tiny_models.examples(64)  # learnt by heart: so small a model can't do more
    return Contrast(model, examples, examples[:24], recipe, method=method, tokens=16)


def interrupting(at: int) -> Progress:
    def progress(what: str, done: int, total: int) -> None:
        if done == at:
            signal.raise_signal(signal.SIGINT)

    return progress


@pytest.mark.parametrize("method", ["full", "lora"])
def test_it_learns_and_goes_on_after_an_interrupt(base: Path, tmp_path: Path, method: str) -> None:
    before = digest(open_model(base))
    straight = contrast(base, method)
    words = straight.model[0].auto_model.get_input_embeddings().weight.clone()
    assert straight.estimate().steps == 16
    done = straight.run(tmp_path / "straight", quiet)
    assert done.best > done.before and done.curve and straight.model.max_seq_length == 64
    assert torch.equal(straight.model[0].auto_model.get_input_embeddings().weight, words)

    with pytest.raises(KeyboardInterrupt):
        contrast(base, method).run(tmp_path / "w", interrupting(5))
    told: list[int] = []
    resumed = contrast(base, method)
    again = resumed.run(tmp_path / "w", lambda what, step, total: told.append(step))
    assert told[0] == 5 and again.scores == done.scores
    assert digest(resumed.model) == digest(straight.model) != before

    finished = contrast(base, method)
    assert finished.run(tmp_path / "w", lambda *_: pytest.fail("trained again")).scores == done.scores
    assert digest(finished.model) == digest(straight.model)


def test_low_rank_changes_become_plain_weights(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import safe_open
    from sentence_transformers import SentenceTransformer

    from damda.tune import contrast as module

    made, seen = contrast(base, "lora"), []
    original = dict(open_model(base).state_dict())
    trained = [name for name, parameter in made.model.named_parameters() if parameter.requires_grad]
    assert trained and all("lora_" in name for name in trained)
    merge = module._merge_lora

    def merging(model: Any) -> None:  # noqa: ANN401
        seen.append(model.encode(SAMPLE))
        merge(model)

    monkeypatch.setattr(module, "_merge_lora", merging)
    made.run(tmp_path / "w", quiet)
    assert made.model.encode(SAMPLE) == pytest.approx(seen[0], abs=1e-5)
    assert np.abs(seen[0] - open_model(base).encode(SAMPLE)).max() > 0.01
    state = made.model.state_dict()
    assert state.keys() == original.keys(), "no trace of the adapter"
    changed = {name for name in state if not torch.equal(state[name], original[name])}
    assert "0.model.encoder.layer.0.attention.self.query.weight" in changed
    assert not {name for name in changed if "bias" in name or "embeddings" in name}

    out = tmp_path / "out"
    out.mkdir()
    export(made.model, out, "tiny", SAMPLE)
    assert not list(out.rglob("adapter_*"))
    with safe_open(str(out / "model.safetensors"), "pt") as file:
        assert not [name for name in file.keys() if "lora" in name or "base_layer" in name]  # noqa: SIM118  no dict
    assert SentenceTransformer(str(out)).encode(SAMPLE) == pytest.approx(seen[0], abs=1e-5)
    ours = OnnxEncoder(out, passage_prefix="").encode(SAMPLE, kind="passage")
    assert (ours * seen[0]).sum(axis=1).min() > 0.99


def test_another_seed_begins_anew(base: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        contrast(base, "lora").run(tmp_path / "w", interrupting(3))
    told: list[int] = []
    contrast(base, "lora", replace(RECIPE, seed=1, epochs=0.5)).run(
        tmp_path / "w", lambda _, step, total: told.append(step)
    )
    assert told[0] == 0


# --- what is learnt from


def test_columns_have_prefixes_and_as_many_wrong_passages_as_all_have() -> None:
    examples = [Example("q", "p", ("a", "b")), Example("r", "s", ("c",))]
    assert columns(examples, "query: ", "passage: ") == {
        "anchor": ["query: q", "query: r"],
        "positive": ["passage: p", "passage: s"],
        "negative_0": ["passage: a", "passage: c"],
    }
    assert columns([], "", "") == {"anchor": [], "positive": []}


def test_missing_wrong_passages_are_filled_with_others_right_ones() -> None:
    examples = [Example("q", "p", ("a", "b")), Example("r", "s", ()), Example("t", "p", ("s",)), Example("u", "v", ())]
    found = filled(examples, 2)
    assert [example.wrong for example in found] == [("a", "b"), ("p", "v"), ("s", "v"), ("p", "s")]
    assert [example.wrong for example in filled(examples, 1)] == [("a",), ("p",), ("s",), ("p",)]
    assert filled(examples[:1], 3)[0].wrong == ("a", "b"), "there is no other"


class Table:
    """Vectors of texts as they are given here."""

    id, dim = "table", 2

    def __init__(self, **vectors: Sequence[float]) -> None:
        self._vectors = vectors

    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        return np.array([self._vectors[text] for text in texts], np.float32).reshape(len(texts), 2)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [1] * len(texts)


def test_the_reciprocal_rank_of_the_right_passage() -> None:
    table = Table(q=(1, 0), p=(1, 0), r=(0, 1), s=(0.6, 0.8), w=(0, 1), same=(1, 0))
    kept = [Example("q", "p", ("w",)), Example("r", "s", ("w",))]
    assert ranked(table, kept) == pytest.approx((1 + 1 / 2) / 2)
    assert ranked(table, [Example("q", "p", ()), Example("q", "p", ())]) == 1.0, "no rival of itself"
    assert ranked(table, []) == 0.0


@pytest.mark.parametrize("value", [1.0, 0.0, float("nan")])
def test_a_model_that_tells_nothing_apart_is_the_worst(value: float) -> None:
    table = Table(q=(value, 0), p=(value, 0), a=(value, 0), b=(value, 0))
    assert ranked(table, [Example("q", "p", ("a", "b"))]) == pytest.approx(1 / 3)


# --- the adapter


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return found.astype(np.float32)


def turned(count: int, seed: int, angle: float = 1.2, dim: int = 16) -> Vectors:
    """Questions are their passages, turned in every plane of two dimensions, with some noise."""
    generator = np.random.default_rng(seed)
    right = unit(generator.normal(size=(count, dim)).astype(np.float32))
    turn = np.kron(np.eye(dim // 2), [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    asked = unit((right @ turn + generator.normal(size=right.shape) * 0.02).astype(np.float32))
    return Vectors(asked, right, unit(generator.normal(size=(count, 2, dim)).astype(np.float32)))


def test_a_turn_is_learnt() -> None:
    told: list[tuple[int, int]] = []
    kept, before = turned(60, 1), np.eye(16, dtype=np.float32)
    matrix = learn(turned(400, 0), kept, lambda _, at, of: told.append((at, of)), rate=2e-2, epochs=20)
    assert matrix.shape == (16, 16) and matrix.dtype == np.float32
    assert validated(before, kept) < 0.5 < 0.9 < validated(matrix, kept)
    assert told[0] == (0, 20) and told[-1] == (20, 20)
    assert np.array_equal(matrix, learn(turned(400, 0), kept, quiet, rate=2e-2, epochs=20)), "the same every time"


def test_where_nothing_helps_it_changes_nothing() -> None:
    generator = np.random.default_rng(0)
    asked = unit(generator.normal(size=(50, 8)).astype(np.float32))
    perfect = Vectors(asked, asked, unit(generator.normal(size=(50, 1, 8)).astype(np.float32)))
    noise = Vectors(asked, unit(generator.normal(size=(50, 8)).astype(np.float32)), perfect.wrong)
    assert np.array_equal(learn(noise, perfect, quiet, epochs=12), np.eye(8))
    nothing = Vectors(asked[:0], asked[:0], perfect.wrong[:0])
    assert np.array_equal(learn(nothing, perfect, quiet, epochs=3), np.eye(8))
    assert np.array_equal(learn(noise, nothing, quiet, epochs=3), np.eye(8))


def test_an_adapter_that_tells_nothing_apart_is_the_worst() -> None:
    kept = turned(10, 0)
    assert validated(np.eye(16, dtype=np.float32), turned(10, 0, angle=0)) == 1.0
    for value in (0.0, np.nan):
        assert validated(np.full((16, 16), value, np.float32), kept) == pytest.approx(1 / 30, abs=0.001)


def test_one_passage_of_several_questions_is_no_rival_of_itself() -> None:
    one = turned(1, 0, angle=0)
    same = Vectors(*(np.repeat(values, 5, axis=0) for values in (one.asked, one.right, one.wrong)))
    assert validated(np.eye(16, dtype=np.float32), same) == 1.0
    assert np.isfinite(learn(same, same, quiet, epochs=2)).all()
    cosines = torch.tensor([[1.0, 1.0, 0.2], [1.0, 1.0, 0.1]])
    assert adapter._same(cosines).tolist() == [[False, True, False], [True, False, False]]


def test_texts_are_encoded_once() -> None:
    asked: list[tuple[tuple[str, ...], str]] = []

    def encode(texts: Sequence[str], kind: str) -> NDArray[np.float32]:
        asked.append((tuple(texts), kind))
        return np.array([[len(text), 1] for text in texts], np.float32).reshape(len(texts), 2)

    make: Callable[..., Vectors] = lambda *rows: adapter.vectors(encode, rows)  # noqa: E731
    found = make(("q", "pp", ("www", "pp")), ("qq", "www", ("pp",)))
    assert asked == [(("pp", "www"), "passage"), (("q", "qq"), "query")]
    assert found.right[:, 0].tolist() == [2, 3] and found.asked[:, 0].tolist() == [1, 2]
    assert found.wrong[..., 0].tolist() == [[3], [2]], "as many as every row has"
    assert make(("q", "p", ()), ("r", "s", ())).wrong.shape == (2, 0, 2)
    assert not len(make().wrong) and validated(np.eye(2, dtype=np.float32), make()) == 0.0
