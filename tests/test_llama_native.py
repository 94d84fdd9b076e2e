"""llama.cpp's own interface: logits and times of a real model."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_llama import MISSING, smollm

from damda import weights
from damda.assemble.compressing import built_in_texts
from damda.compress import measured
from damda.compress.measured import OfGguf
from damda.errors import GeneratorError
from damda.generate import native
from damda.generate.native import Native
from damda.types import quiet

PATH = smollm()
pytestmark = pytest.mark.skipif(PATH is None, reason=MISSING)

PUBLISHED = {
    "smollm2-135m": {"ko": 5.3130, "en": 31.5073},
    "gemma3-270m": {"ko": 19.3136, "en": 30.3420},
}
"""What `llama-perplexity -c 512 --chunks 4` says of the built-in texts, built from the llama.cpp that xllamacpp
2026.10.11549 brings its source of."""


@pytest.fixture(scope="module")
def model() -> Iterator[Native]:
    assert PATH
    found = Native(PATH, context=600, requests=2, threads=1)
    yield found
    found.close()


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("language", ["ko", "en"])
def test_perplexity_is_llama_cpps(name: str, language: str) -> None:
    path = weights.gguf_path(name)
    if path is None:
        pytest.skip(f"needs `damda models pull {name}`")
    opened = OfGguf(path)
    begins = [] if opened.first is None else [opened.first]
    ids = begins + opened.tokens(built_in_texts()[language])
    windows = [[*begins, *ids[start + len(begins) : start + 512]] for start in range(0, 2048, 512)]
    losses = [loss for window in windows for loss in opened.losses(window, 256)]
    opened.close()
    assert len(losses) == 4 * 255
    assert math.exp(sum(losses) / len(losses)) == pytest.approx(PUBLISHED[name][language], rel=2e-3)


def test_positions_are_scaled() -> None:
    """Twice as near to one another as they were learnt: close to the truth, and not the same; 1 changes nothing."""
    assert PATH
    losses = {}
    for rope, factor in (("none", 1.0), ("linear", 1.0), ("linear", 2.0), ("yarn", 2.0)):
        scaled = Native(PATH, context=256, threads=1, rope=rope, factor=factor, trained=8192)
        ids = scaled.tokens("The library opens at nine and closes at six. " * 4)
        scaled.read(ids, [False] * (len(ids) - 1) + [True])
        losses[rope, factor] = np.array(scaled.logits(len(ids) - 1))
        scaled.close()
    usual = losses["none", 1.0]
    assert np.array_equal(losses["linear", 1.0], usual)
    for key in (("linear", 2.0), ("yarn", 2.0)):
        assert not np.allclose(losses[key], usual, atol=1e-3) and np.corrcoef(losses[key], usual)[0, 1] > 0.8


def test_reading_in_parts_is_reading_at_once(model: Native) -> None:
    ids = model.tokens("The library opens at nine and closes at six. " * 4)
    model.forget()
    model.read(ids, [False] * (len(ids) - 1) + [True])
    whole = np.array(model.logits(len(ids) - 1))
    model.forget()
    model.read(ids[:-1], [False] * (len(ids) - 1))
    model.read(ids[-1:], [True], at=len(ids) - 1)
    assert np.abs(model.logits(0) - whole).max() < 0.3 and model.logits(0).argmax() == whole.argmax()
    # Two requests that have read the same go on alike.
    model.forget()
    for request in (0, 1):
        model.read(ids[:-1], [False] * (len(ids) - 1), request=request)
    model.step([ids[-1]] * 2, len(ids) - 1)
    assert [int(model.logits(n).argmax()) for n in (0, 1)] == [int(whole.argmax())] * 2


def test_all_that_is_measured_of_one(tmp_path: Path) -> None:
    row = {"question": "When does it open?", "title": "", "answers": ["nine"]}
    row |= {"other": "Tea is made of leaves.", "other_title": ""}
    rows = [row | {"passage": "The library opens at nine."}]
    texts = {"en": built_in_texts()["en"]}
    found = measured.measure({"model": str(PATH), "texts": texts, "windows": 2, "reading": rows, "most": 8}, quiet)
    assert found["texts"]["en"]["tokens"] == 510 and found["texts"]["en"]["windows"] == 2
    assert 0.5 < found["texts"]["en"]["bits_a_byte"] < 2
    assert found["prefill"] > found["decode"] > 0 and found["memory"] > 9e7 and found["load_seconds"] > 0
    assert found["reading"]["questions"] == 1 and 0 <= found["reading"]["verbatim"] <= 1
    short = {"model": str(PATH), "texts": {"x": "too short"}, "windows": 2, "reading": [], "most": 8}
    with pytest.raises(ValueError, match="a text has 2 tokens; 512 are needed"):
        measured.measure(short, quiet)


def test_what_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(GeneratorError, match=r"can't load no\.gguf"):
        Native(tmp_path / "no.gguf", context=128)
    native._llama.cache_clear()
    monkeypatch.setitem(native._DEFAULTS, "n_ctx", 1)
    with pytest.raises(GeneratorError, match="this xllamacpp has another interface"):
        Native(tmp_path / "no.gguf", context=128)
    native._llama.cache_clear()
