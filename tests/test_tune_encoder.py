"""`damda tune encoder` and `damda tune fusion` from documents to a verdict, on a model of two layers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import damda
from damda import adopted, manifest
from damda.assemble import tuned
from damda.cli import commands
from damda.errors import ConfigError
from damda.tune import make_encoder
from damda.tune.verdict import LEAST, Change, Verdict

torch = pytest.importorskip("torch", reason="needs the extra tune")
import tiny_models  # noqa: E402

one_thread = pytest.fixture(scope="module", autouse=True)(tiny_models.one_thread)
encoder = pytest.fixture(scope="module")(tiny_models.encoder)
documents = pytest.fixture(tiny_models.documents)
app = commands()
BETTER = Verdict(True, ("better",), Change("ndcg@10", 30, 0.5, 0.6, 0.001))


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever two layers have learnt in a second, the validation liked it, and so did the held-out questions."""
    monkeypatch.setattr(tuned, "judge", lambda *_: BETTER)
    monkeypatch.setattr(tuned, "_guarded", lambda *_: [])
    scores = iter(range(1, 100))
    monkeypatch.setattr(make_encoder, "ranked", lambda *_: next(scores) / 100)


def run(*words: str, encoder: Path) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["tune", *words, "--json", "--set", f"encoder.name={encoder}"])
    assert done.exit_code == 0, (done.output, done.exception)
    return dict(json.loads(done.stdout)) if done.stdout.strip() else {}


def tune(encoder: Path, *more: str) -> dict[str, Any]:
    small = ["--questions", "asked.csv", "--batch", "16", "--epochs", "1", "--rate", "0.001"]
    return run("encoder", "docs", *small, *more, encoder=encoder)


def test_documents_to_a_verdict(documents: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the judges as they are; only the validation is made to like what was learnt, so that they are asked."""
    scores = iter((0.1, 0.2))
    monkeypatch.setattr(make_encoder, "ranked", lambda *_: next(scores))
    judged = tune(encoder)
    aim = judged["verdict"]["aim"]
    assert aim["count"] >= LEAST and 0 < aim["before"] <= 1 and 0 < aim["after"] <= 1
    assert judged["adopted"] == judged["verdict"]["adopt"], "what is better is adopted, what is not is not"
    names = [one["name"] for one in judged["verdict"]["guarded"]]
    assert any("English" in name for name in names) and any("Korean" in name for name in names)
    about = manifest.read(Path(judged["folder"]))
    assert about.kind == "encoder" and about.metrics["verdict"]["aim"] == aim
    asked = about.settings["questions"]
    assert asked["train"] + asked["validation"] + asked["held_out"] == 120
    if not judged["adopted"]:
        assert not adopted.read(documents / ".damda").kept, "tables of what was refused are dropped"
        assert not adopted.read(documents / ".damda").stack


def test_what_has_learnt_nothing_is_not_even_encoded(
    documents: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make_encoder, "ranked", lambda *_: 0.5)
    monkeypatch.setattr(tuned, "judge", lambda *_: pytest.fail("there is nothing to judge"))
    judged = tune(encoder)
    assert not judged["adopted"] and "gained nothing" in judged["verdict"]["reasons"][0]
    assert not adopted.read(documents / ".damda").kept


def test_adopted_used_and_rolled_back(documents: Path, encoder: Path, learnt: None) -> None:
    judged = tune(encoder)
    assert judged["adopted"]
    home = documents / ".damda"
    (adoption,) = adopted.read(home).stack
    assert adoption.kind == "encoder" and Path(adoption.settings["encoder.name"]) == Path(judged["folder"])
    # Whoever names no encoder gets the tuned one, whole: nothing is left to encode.
    kb = damda.open("docs")
    assert kb.encoder.id.startswith("full-") and kb.count() == 60
    report = kb.refresh()  # looks at files again whose stamp was too fresh to be trusted; encodes none
    assert report and not report.changed and not report.rebuilt and not report.chunks
    assert len(kb.search("number7", 5)) == 5
    assert json.loads(CliRunner().invoke(app, ["tune", "status", "docs", "--json"]).stdout)["adopted"]
    done = CliRunner().invoke(app, ["tune", "rollback", "docs", "--json"])
    assert done.exit_code == 0 and not adopted.read(home).stack


def test_a_second_time_nothing_is_trained(
    documents: Path, encoder: Path, learnt: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tune(encoder, "--no-adopt")
    monkeypatch.setattr(make_encoder.Making, "run", lambda *_: pytest.fail("it was made already"))
    assert tune(encoder, "--no-adopt")["folder"] == first["folder"]


def test_an_adapter_turns_questions_alone(documents: Path, encoder: Path, learnt: None) -> None:
    judged = tune(encoder, "--method", "adapter")
    (adoption,) = adopted.read(documents / ".damda").stack
    assert adoption.settings == {"search.adapter": str(Path(judged["folder"]) / "adapter.npy")}
    assert not adoption.tables, "the tables stay"
    kb = damda.open("docs", settings={"encoder.name": str(encoder)})
    assert not kb.changes() and kb.search("number7", 1, mode="dense")


def test_of_several_methods_one_is_judged(
    documents: Path, encoder: Path, learnt: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def judge(*given: object) -> Verdict:
        seen.append(given)
        return BETTER

    monkeypatch.setattr(tuned, "judge", judge)
    judged = tune(encoder, "--method", "adapter,lora", "--no-adopt")
    assert judged["tried"].keys() == {"adapter", "lora"} and len(seen) == 1 and not judged["adopted"]


@pytest.mark.parametrize("count", [0, 30])
def test_too_few_questions(documents: Path, encoder: Path, count: int) -> None:
    lines = Path("asked.csv").read_text(encoding="utf-8").splitlines()[: count + 1]
    Path("asked.csv").write_text("\n".join(lines), encoding="utf-8")
    words = ["tune", "encoder", "docs", "--questions", "asked.csv", "--no-feedback", "--set", f"encoder.name={encoder}"]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, ConfigError) and "questions" in str(done.exception)


def test_a_dry_run_trains_nothing(documents: Path, encoder: Path) -> None:
    tune(encoder, "--dry-run")
    assert not (documents / ".damda" / adopted.ARTIFACTS).exists()


def test_classifiers_of_the_old_encoder_are_told_of_first(documents: Path, encoder: Path) -> None:
    words: Sequence[str] = ["tune", "encoder", "docs", "--questions", "asked.csv", "--set", f"encoder.name={encoder}"]
    done = CliRunner().invoke(app, [*words, "--set", "guard.classifiers=somewhere"])
    assert isinstance(done.exception, ConfigError) and "guard.classifiers" in str(done.exception)


def test_fusion_learns_what_vectors_are_worth(documents: Path, encoder: Path) -> None:
    """Vectors of a random model know nothing: words alone are better, and no learnt number makes it worse."""
    done = CliRunner().invoke(
        app, ["tune", "fusion", "docs", "--questions", "asked.csv", "--json", "--set", f"encoder.name={encoder}"]
    )
    assert done.exit_code == 0, (done.output, done.exception)
    weight, threshold = json.loads(done.stdout)
    assert weight["setting"] == "search.vectors" and weight["after"] <= weight["before"]
    assert threshold["setting"] == "answer.threshold" and 0 < threshold["after"] < 1
    taken = {one["setting"]: one["after"] for one in (weight, threshold) if one["adopted"]}
    assert adopted.read(documents / ".damda").settings == taken
    for one in (weight, threshold):
        assert one["adopted"] == one["verdict"]["adopt"]
        assert not one["adopted"] or one["verdict"]["aim"]["after"] > one["verdict"]["aim"]["before"]
