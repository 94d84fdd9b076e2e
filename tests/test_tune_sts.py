"""`damda tune sts` from files to an encoder's folder, on a model small enough to be trained in a second."""

import importlib.util
import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from damda.cli import commands
from damda.embed.encoder import OnnxEncoder
from damda.errors import ConfigError, EncoderError, MissingExtra, ReadError, WeightsError
from damda.manifest import read
from damda.measure.similarity import Pair
from damda.tune import backbone, sts
from damda.tune.pairs import Triplet, split
from damda.tune.train import Recipe, Watch

torch = pytest.importorskip("torch", reason="needs the extra tune")
import tiny_models  # noqa: E402

one_thread = pytest.fixture(scope="module", autouse=True)(tiny_models.one_thread)
app = commands()
TRAIN, DEV = tiny_models.scored_pairs(120), tiny_models.scored_pairs(60, seed=1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.bert(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pairs to learn from, two of them with a sentence of the test; the test; inferences."""
    monkeypatch.chdir(tmp_path)
    shared = [Pair(DEV[0].first.upper() + "!", "t1w1", 0.5), Pair("t2w2", DEV[1].second, 0.5)]
    for name, pairs in (("train", [*TRAIN, *shared]), ("dev", DEV)):
        rows = [f"{pair.first},{pair.second},{pair.score * 5}" for pair in pairs]
        (tmp_path / f"{name}.csv").write_text("\n".join(["s1,s2,score", *rows]), encoding="utf-8")
    inferences = [
        {"premise": example.question, "hypothesis": text, "label": label}
        for example in tiny_models.examples(48, seed=2)
        for text, label in ((example.passage, "entailment"), (example.wrong[0], "contradiction"))
    ]
    (tmp_path / "nli.jsonl").write_text("\n".join(map(json.dumps, inferences)), encoding="utf-8")
    return tmp_path


def words(base: Path, *more: str) -> list[str]:
    always = ["--model", str(base), "--out", "made/sts", "--batch", "16", "--rate", "0.005"]
    return ["tune", "sts", "train.csv", *always, *more]


def refused(given: Sequence[str]) -> BaseException | None:
    done = CliRunner().invoke(app, given)
    assert done.exit_code
    return done.exception


def test_from_files_to_an_encoder(base: Path, files: Path) -> None:
    # Frozen words and twelve batches: what is learnt here is little, but the figures are real.
    more = ["--nli", "nli.jsonl", "--test", "dev.csv", "--epochs", "2", "--licence", "CC-BY-SA-4.0", "--json"]
    done = CliRunner().invoke(app, words(base, *more))
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    out = files / "made" / "sts"
    assert [path.name for path in out.parent.iterdir()] == ["sts"], "no checkpoints, no drafts"
    assert (made["kind"], made["name"], made["parents"][0]["name"]) == ("encoder", "sts", "tiny-bert")
    assert made["parents"][0]["id"], "of the weights that it came with"
    uses = [(data["name"], data["use"], data["licence"]) for data in made["data"]]
    assert uses == [
        ("train.csv", "training", "CC-BY-SA-4.0"),
        ("nli.jsonl", "training", "CC-BY-SA-4.0"),
        ("dev.csv", "evaluation", ""),
    ]
    assert all(len(data["sha256"]) == 64 and data["count"] for data in made["data"])
    settings = made["settings"]
    assert (settings["pairs"], settings["pairs_left_out"], settings["triplets"]) == (120, 2, 48)
    assert settings["scored"]["batch"] == 16 and settings["inferences"]["rate"] == 2e-5 and settings["loss"] == "cosent"
    figures = made["metrics"]["dev"]
    assert figures["pairs"] == 60 and figures["spearman_after"] != figures["spearman_before"] and 0 <= figures["p"] <= 1
    assert made["metrics"]["export"]["cosine_mean"] > 0.97
    trainings = made["metrics"]["training"]
    assert trainings.keys() == {"learning from inferences", "learning from scored pairs"}
    assert trainings["learning from scored pairs"]["steps"] == 14 and made["seconds"] > 0
    assert read(out).metrics == made["metrics"]
    # What is measured is what is run.
    from damda.measure.similarity import agreement, cosines, people

    found = agreement(cosines(OnnxEncoder(out), DEV), people(DEV))
    assert found == pytest.approx((figures["spearman_after"], figures["pearson_after"]))
    assert isinstance(refused(words(base)), ConfigError), "there is something there now"


def test_what_is_shown(base: Path, files: Path) -> None:
    done = CliRunner().invoke(app, words(base, "--test", "dev.csv", "--epochs", "1"))
    assert done.exit_code == 0, done.output
    assert "left out, since a test has a sentence of theirs: 2 pairs, 0 inferences" in done.stderr
    assert "7 steps, about" in done.stderr and 'encoder.name = "made/sts"' in done.stderr
    assert "dev Spearman" in done.stdout and "dev Pearson" in done.stdout and "int8 export" in done.stdout


def test_only_what_it_would_take(base: Path, files: Path) -> None:
    done = CliRunner().invoke(app, words(base, "--dry-run", "--json", "--epochs", "0.5"))
    foreseen = json.loads(done.stdout)
    assert foreseen["steps"] == 4 and foreseen["seconds"] > 0 and foreseen["memory"] > 0
    assert list((files / "made").iterdir()) == []
    assert "4 steps" in CliRunner().invoke(app, words(base, "--dry-run", "--epochs", "0.5")).stdout


def test_ctrl_c_and_again(base: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, seen = Watch.step, []

    def watched(self: Watch, at: int) -> tuple[bool, bool]:
        seen.append(at)
        if len(seen) == 5:
            signal.raise_signal(signal.SIGINT)
        return step(self, at)

    monkeypatch.setattr(Watch, "step", watched)
    given = words(base, "--epochs", "1", "--json")
    assert CliRunner().invoke(app, given).exit_code == 130
    assert [path.name for path in (files / "made").iterdir()] == [".sts.training"] and seen == [1, 2, 3, 4, 5]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0 and seen == [1, 2, 3, 4, 5, 6, 7], "it went on"
    assert [path.name for path in (files / "made").iterdir()] == ["sts"]


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        (["--test", "none.csv"], ReadError, "No such file"),
        (["--nli", "train.csv"], ReadError, "train.csv"),
        (["--model", "none"], ConfigError, "'none' is no model to train"),
        (["--model", "."], WeightsError, "no config.json"),
        (["--batch", "64"], ConfigError, "too few for batches of 64"),
        (["--out", "train.csv"], ConfigError, "exists already"),
    ],
)
def test_what_can_not_be_done(base: Path, files: Path, more: list[str], error: type[Exception], said: str) -> None:
    found = refused(words(base, *more))
    assert isinstance(found, error) and said in str(found) and "\n" not in str(found)
    assert not (files / "made").exists() or not list((files / "made").iterdir())


@pytest.mark.parametrize("more", [["--loss", "hinge"], ["--pooling", "last"]])
def test_words_that_are_none(base: Path, files: Path, more: list[str]) -> None:
    done = CliRunner().invoke(app, words(base, *more))
    assert done.exit_code == 2 and "is none of" in done.output


def test_without_the_extra(base: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(backbone, "find_spec", lambda name: None if name == "torch" else real(name))
    found = refused(words(base))
    assert isinstance(found, MissingExtra) and "damda[tune]" in str(found)


def test_a_model_that_could_not_be_exported_is_not_trained(base: Path, files: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer

    SentenceTransformer(modules=[Transformer(str(base)), Pooling(32, "mean"), Dense(32, 16)]).save("dense")
    assert isinstance(refused(words(Path("dense"))), EncoderError)


# --- the stages


@pytest.mark.parametrize("loss", ["cosent", "angle", "cosine"])
def test_every_loss_learns(base: Path, tmp_path: Path, loss: Any) -> None:  # noqa: ANN401  a Literal
    model = backbone.open_model(base)
    recipe = Recipe(epochs=4, batch=16, rate=5e-3, patience=9)
    plan = sts.Plan(TRAIN, loss=loss, recipe=recipe)
    done = sts.train(model, plan, tmp_path, lambda *_: None)["learning from scored pairs"]
    assert done.best > done.before and done.curve[-1][1] < done.curve[0][1]


def test_stages_have_prefixes_and_no_pair_of_the_validation(base: Path) -> None:
    triplets = [Triplet("a", "b", "c"), Triplet("d", "e", "f")]
    first, second = sts.stages(backbone.open_model(base), sts.Plan(TRAIN, triplets, prefix="query: "))
    assert first[2] == {
        "anchor": ["query: a", "query: d"],
        "positive": ["query: b", "query: e"],
        "negative": ["query: c", "query: f"],
    }
    assert (first[0], first[4], second[0], second[4]) == (
        "learning from inferences",
        True,
        "learning from scored pairs",
        False,
    )
    learnt = [
        Pair(a.removeprefix("query: "), b.removeprefix("query: "), s)
        for a, b, s in zip(*second[2].values(), strict=True)
    ]
    train, kept = split(TRAIN)
    assert learnt == train and not set(learnt) & set(kept) and len(kept) == 12
