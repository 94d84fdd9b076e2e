"""One training: that it learns, ends with its best weights, and goes on after Ctrl-C and kill as if nothing was."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from damda import runtime
from damda.errors import ConfigError
from damda.measure.similarity import agreement, cosines, people
from damda.tune import train
from damda.tune.encoding import TorchEncoder
from damda.tune.train import Estimate, Recipe, Trained, complete, digest, estimate, fit
from damda.types import Progress, quiet

torch = pytest.importorskip("torch", reason="needs the extra tune")
import tiny_models  # noqa: E402

RECIPE = Recipe(epochs=3, batch=16, rate=5e-3, checks=1, patience=9)
STEPS = 21
TEXTS = tiny_models.columns(tiny_models.scored_pairs(112))
KEPT = tiny_models.scored_pairs(60, seed=1)
CHILD = Path(__file__).parent / "tune_child.py"


one_thread = pytest.fixture(scope="module", autouse=True)(tiny_models.one_thread)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.bert(tmp_path_factory.mktemp("models") / "bert")


def opened(base: Path) -> Any:  # noqa: ANN401  a SentenceTransformer
    from damda.tune.backbone import open_model

    return open_model(base)


def judge(model: Any) -> Callable[[], float]:  # noqa: ANN401
    encoder = TorchEncoder(model, "in training")
    return lambda: agreement(cosines(encoder, KEPT), people(KEPT))[0]


def trained(
    model: Any,  # noqa: ANN401
    work: Path,
    validate: Callable[[], float] | None = None,
    progress: Progress = quiet,
    recipe: Recipe = RECIPE,
    texts: train.Texts = TEXTS,
) -> Trained:
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    return fit(model, CoSENTLoss(model), texts, recipe, work, validate or judge(model), progress, what="learning")


def scripted(*scores: float) -> Callable[[], float]:
    found = iter(scores)
    return lambda: next(found)


@pytest.fixture(scope="module")
def straight(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, str]:
    """What training comes to when nobody interrupts it."""
    model = opened(base)
    done = trained(model, tmp_path_factory.mktemp("straight") / "w")
    return done, digest(model)


def interrupting(at: int, times: int = 1) -> Progress:
    """Ctrl-C at a step."""
    left = count(times, -1)

    def progress(what: str, done: int, total: int) -> None:
        if done == at and next(left) > 0:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    return progress


def same(found: Trained, expected: Trained) -> None:
    assert (found.steps, found.best_step, found.scores) == (expected.steps, expected.best_step, expected.scores)


# --- learning


def test_it_learns(straight: tuple[Trained, str], base: Path) -> None:
    done, weights = straight
    assert done.curve[-1][1] < done.curve[0][1], "the loss falls"
    assert done.best > done.before + 0.05 and done.before == done.scores[0][1]
    assert done.steps == STEPS and [step for step, _ in done.scores] == [0, 7, 14, 21]
    assert weights != digest(opened(base)) and done.seconds > 0


def test_progress_is_told_steps_and_total(base: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    trained(opened(base), tmp_path / "w", scripted(0, 1, 2), lambda *one: told.append(one), Recipe(1, 16, checks=2))
    assert told == [("learning", step, 7) for step in range(8)]


def test_it_ends_with_the_weights_of_the_best_validation(base: Path, tmp_path: Path) -> None:
    model, seen = opened(base), []
    scores = scripted(0.1, 0.3, 0.5, 0.2)

    def validate() -> float:
        seen.append(digest(model))
        return scores()

    done = trained(model, tmp_path / "w", validate)
    assert len(set(seen)) == 4 and digest(model) == seen[2]
    assert (done.best_step, done.best, done.before) == (14, 0.5, 0.1) and not model.training


def test_a_score_that_is_no_number_is_not_the_best(base: Path, tmp_path: Path) -> None:
    done = trained(opened(base), tmp_path / "w", scripted(0.1, 0.3, float("nan"), 0.2))
    assert done.best == 0.3


def test_nothing_gained_leaves_the_weights_as_they_came(base: Path, tmp_path: Path) -> None:
    model = opened(base)
    before = digest(model)
    done = trained(model, tmp_path / "w", scripted(0.5, 0.5, 0.4, 0.5))
    assert digest(model) == before and done.best_step == 0


def test_it_stops_when_nothing_is_gained_any_more(base: Path, tmp_path: Path) -> None:
    recipe = Recipe(epochs=9, batch=16, checks=1, patience=2)
    done = trained(opened(base), tmp_path / "w", scripted(0.1, 0.3, 0.2, 0.3), recipe=recipe)
    assert (done.steps, done.best_step) == (21, 7)


def test_a_part_of_an_epoch(base: Path, tmp_path: Path) -> None:
    done = trained(opened(base), tmp_path / "w", scripted(0, 1, 2, 3, 4, 5), recipe=Recipe(epochs=0.5, batch=16))
    assert done.steps == 4


def test_epochs_of_fewer_batches_end_with_a_validation_too(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no text may stand twice in a batch, each epoch leaves out other rows."""
    whole = train._batched
    monkeypatch.setattr(train, "_batched", lambda *a, epoch, **k: whole(*a, epoch=epoch, **k)[: 7 - epoch])
    done = trained(opened(base), tmp_path / "w", scripted(0, 1, 2, 3, 4))
    assert done.steps == done.best_step == 18


def test_too_little_data(base: Path, tmp_path: Path) -> None:
    model, few = opened(base), {name: column[:20] for name, column in TEXTS.items()}
    with pytest.raises(ConfigError, match="20 examples are too few for batches of 16, 32 are needed"):
        trained(model, tmp_path / "w", texts=few)
    with pytest.raises(ConfigError, match="too few"):
        estimate(model, None, few, RECIPE, distinct=False)
    one = {"anchor": [f"a{n}" for n in range(40)], "positive": ["the same"] * 40}
    for attempt in (
        lambda: estimate(model, None, one, RECIPE, distinct=True),
        lambda: fit(model, None, one, RECIPE, tmp_path / "w", lambda: 0.0, quiet, what="learning", distinct=True),
    ):
        with pytest.raises(ConfigError, match="all examples share a text"):
            attempt()
    assert not (tmp_path / "w").exists()


def test_a_place_that_can_not_be_written(base: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="can't be written"):
        trained(opened(base), tmp_path / "file" / "w")


def test_an_estimate_changes_nothing(base: Path, straight: tuple[Trained, str]) -> None:
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    model = opened(base)
    before, state, drawn = digest(model), torch.get_rng_state(), random.getstate()
    found = estimate(model, CoSENTLoss(model), TEXTS, RECIPE, distinct=False)
    assert digest(model) == before and torch.equal(torch.get_rng_state(), state) and random.getstate() == drawn
    assert all(parameter.grad is None for parameter in model.parameters()) and not model.training
    assert found.steps == straight[0].steps and 0 < found.seconds < 600 and found.memory > 10**7
    half = estimate(model, CoSENTLoss(model), TEXTS, Recipe(epochs=0.5, batch=16), distinct=False)
    assert half.steps == 4


def test_what_does_not_fit_is_said_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "memory", lambda: 4 * 10**9)
    Estimate(1, 1.0, 3 * 10**9).check()
    with pytest.raises(ConfigError, match=r"takes 5\.0 GB of memory, and this machine has 4\.0"):
        Estimate(1, 1.0, 5 * 10**9).check()
    monkeypatch.setattr(runtime, "memory", lambda: None)
    Estimate(1, 1.0, 5 * 10**9).check()


# --- interrupted


@pytest.mark.parametrize("at", [3, 17, STEPS])
def test_after_ctrl_c_it_goes_on_as_if_nothing_had_been(
    base: Path, tmp_path: Path, straight: tuple[Trained, str], at: int
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trained(opened(base), tmp_path / "w", progress=interrupting(at))
    assert signal.getsignal(signal.SIGINT) is handler
    told: list[int] = []
    model = opened(base)
    done = trained(model, tmp_path / "w", progress=lambda what, step, total: told.append(step))
    assert told[0] == at, "from the step at which it was interrupted"
    same(done, straight[0])
    assert digest(model) == straight[1], "bit by bit"
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["best", "done.json", "run.json", "watch.json"]


def test_a_second_ctrl_c_ends_at_once(base: Path, tmp_path: Path, straight: tuple[Trained, str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(opened(base), tmp_path / "w", progress=interrupting(3, times=2))
    assert list((tmp_path / "w").glob("checkpoint-*")) == []
    model = opened(base)
    same(trained(model, tmp_path / "w"), straight[0])
    assert digest(model) == straight[1]


def test_whoever_ignores_ctrl_c_is_not_stopped(base: Path, tmp_path: Path) -> None:
    """A shell's background job: Ctrl-C is for the others."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = trained(opened(base), tmp_path / "w", scripted(0, 1, 2, 3), interrupting(3))
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.steps == STEPS


def test_a_handler_that_does_nothing_does_not_make_half_a_training_whole(base: Path, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with pytest.raises(KeyboardInterrupt):
            trained(opened(base), tmp_path / "w", progress=interrupting(3))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (tmp_path / "w" / "done.json").exists()


def killed(base: Path, work: Path, at: int) -> None:
    """Train in a child that saves at every step, and is killed at one."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(
        [sys.executable, str(CHILD), str(base), str(work), str(at)], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout and child.stdout.readline() == "there\n"
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.communicate()


def test_after_a_kill_it_goes_on_and_skips_half_a_checkpoint(
    base: Path, tmp_path: Path, straight: tuple[Trained, str]
) -> None:
    work = tmp_path / "w"
    killed(base, work, 17)
    newest = next(complete(work))
    assert newest.name == "checkpoint-16"
    state = newest / "trainer_state.json"
    state.write_text(state.read_text(encoding="utf-8")[:50], encoding="utf-8")
    told: list[int] = []
    model = opened(base)
    done = trained(model, work, progress=lambda what, step, total: told.append(step))
    assert told[0] == 15
    same(done, straight[0])
    assert digest(model) == straight[1]
    again = trained(opened(base), work, lambda: pytest.fail("validated"), lambda *_: pytest.fail("trained again"))
    assert again == done, "what is finished is not repeated"


def test_other_data_or_another_recipe_begins_anew(base: Path, tmp_path: Path) -> None:
    def interrupted(texts: train.Texts, recipe: Recipe) -> None:
        with pytest.raises(KeyboardInterrupt):
            trained(opened(base), tmp_path / "w", lambda: 0.0, interrupting(2), recipe, texts)

    def first_step(texts: train.Texts, recipe: Recipe) -> int:
        class Enough(Exception): ...

        def progress(what: str, done: int, total: int) -> None:
            found.append(done)
            raise Enough

        found: list[int] = []
        with pytest.raises(Enough):
            trained(opened(base), tmp_path / "w", lambda: 0.0, progress, recipe, texts)
        return found[0]

    interrupted(TEXTS, RECIPE)
    assert first_step(TEXTS, RECIPE) == 2
    assert first_step({**TEXTS, "label": [1 - label for label in TEXTS["label"]]}, RECIPE) == 0
    interrupted(TEXTS, RECIPE)
    assert first_step(TEXTS, Recipe(epochs=3, batch=16, rate=1e-3, checks=1, patience=9)) == 0


def test_the_seconds_of_all_runs_count(base: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(opened(base), tmp_path / "w", lambda: 0.0, interrupting(2))
    watch = tmp_path / "w" / "watch.json"
    known = json.loads(watch.read_text(encoding="utf-8"))
    assert known["spent"] > 0
    watch.write_text(json.dumps({**known, "spent": 1000.0}), encoding="utf-8")
    assert trained(opened(base), tmp_path / "w", lambda: 0.0).seconds > 1000
