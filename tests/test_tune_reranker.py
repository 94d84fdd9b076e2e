"""`damda tune reranker` from documents to a verdict, on a model of two layers; its pairs, lists and loss."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import damda
from damda import adopted, manifest
from damda.assemble import reranked, three
from damda.cli import commands
from damda.errors import EncoderError
from damda.measure.evaluate import Found
from damda.runtime import open_tokenizer
from damda.search.rerank import OnnxReranker
from damda.tune import make_reranker
from damda.tune.mine import Example
from damda.tune.verdict import Change, Verdict
from damda.types import quiet

torch = pytest.importorskip("torch", reason="needs the extra tune")
import tiny_models  # noqa: E402

from damda.tune import cross  # noqa: E402
from damda.tune.listwise import Listwise  # noqa: E402
from damda.tune.train import Recipe, fit  # noqa: E402

one_thread = pytest.fixture(scope="module", autouse=True)(tiny_models.one_thread)
encoder = pytest.fixture(scope="module")(tiny_models.encoder)
documents = pytest.fixture(tiny_models.documents)
app = commands()
BETTER = Verdict(True, ("better",), Change("ndcg@10", 30, 0.5, 0.6, 0.001))


class Teacher:
    """Fits ``Scorer``: sure of the second passage."""

    id = "teacher"

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [0.9 if n == 1 else 0.1 for n in range(len(pairs))]


def examples(count: int, seed: int = 0) -> list[Example]:
    """Three wrong passages each."""
    drawn = random.Random(seed)
    found = []
    for n in range(count):
        question, right, *wrong = (tiny_models.sentence(topic, drawn) for topic in (n % 5 + 1, 0, 7, 8, 9))
        found.append(Example(question, right, tuple(wrong), str(n)))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.bert(tmp_path_factory.mktemp("bert") / "raw")


@pytest.fixture(scope="module")
def learnt(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401  a model
    """A cross-encoder that has learnt that right passages are of the first topic."""
    model = cross.open_cross(folder, 64)
    lists = [make_reranker.pairs_of(example) for example in examples(160)]
    texts = cross.columns(model, lists, make_reranker.labels(lists, None, quiet))
    kept = examples(40, seed=1)
    scorer = cross.TorchScorer(model)
    done = fit(
        model,
        Listwise(model),
        texts,
        Recipe(epochs=4, batch=16, rate=2e-3, checks=1),
        tmp_path_factory.mktemp("work"),
        lambda: make_reranker.reciprocal(scorer, kept),
        quiet,
        what="learning",
    )
    assert done.best > 0.8 > done.before, done
    return model


def test_a_pair_is_the_text_that_it_is_trained_as(folder: Path) -> None:
    model = cross.open_cross(folder, 64)
    pair = ("t1w1 t2w2", "t3w3 t1w1 t4w4")
    ids = open_tokenizer(folder / "tokenizer.json").encode(*pair).ids
    assert model.tokenizer(cross.joiner(model)(pair))["input_ids"] == ids and len(ids) == 2 + 3 + 4


def test_an_untrained_head_says_nothing(folder: Path) -> None:
    scorer = cross.TorchScorer(cross.open_cross(folder, 64))
    assert scorer.score([("t1w1", "t1w2"), ("t1w1", "t5w2")]) == [0, 0]
    assert make_reranker.reciprocal(scorer, examples(5)) == 0.25, "ties are lost"


def test_the_export_scores_as_the_original(learnt: Any, tmp_path: Path) -> None:  # noqa: ANN401  a model
    pairs = [pair for e in examples(20, seed=2) for pair in make_reranker.pairs_of(e)]
    figures = cross.export(learnt, tmp_path, "tiny", pairs)
    said = np.array(cross.TorchScorer(learnt).score(pairs))
    got = np.array(OnnxReranker(tmp_path).score(pairs))
    assert np.abs(got - 1 / (1 + np.exp(-said))).max() < 0.1, "int8 costs something, and no more"
    assert 0.97 < figures["correlation"] < 1


def test_an_export_that_computes_something_else_is_refused(
    learnt: Any,  # noqa: ANN401  a model
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = random.Random(1)
    monkeypatch.setattr(OnnxReranker, "score", lambda self, pairs: [drawn.random() for _ in pairs])
    with pytest.raises(EncoderError, match="the export of tiny differs from it"):
        cross.export(learnt, tmp_path, "tiny", [("t1w1", f"t{n % 9}w2 t0w{n % 3}") for n in range(30)])


def test_layers_learn_the_slower_the_deeper_they_are(folder: Path) -> None:
    model = cross.open_cross(folder, 64)
    found = cross.rates(model, 1e-4)
    lowest, highest, words, head = found.values()
    assert words < lowest < highest == 1e-4 < head == cross.HEAD_RATE


def test_what_each_passage_deserves() -> None:
    pairs = [("q", text) for text in "abc"]
    assert make_reranker.labels([pairs], None, quiet) == [[1.0, 0.0, 0.0]]
    ((first, second, third),) = make_reranker.labels([pairs], Teacher(), quiet)
    # 0.9 against 0.1 twice is odds of 81 : 1 : 1.
    assert first == pytest.approx(0.5 + 0.5 / 83) and second == pytest.approx(40.5 / 83) and third < first


def test_only_of_models_that_damda_computes(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="gemma3_text: a reranker can be made of bert"):
        cross.open_cross(tiny_models.gemma(tmp_path / "gemma"), 64)


# --- the command


def tune(encoder: Path, *more: str) -> dict[str, Any]:
    words = ["tune", "reranker", "docs", "--questions", "asked.csv", "--batch", "8", "--epochs", "1", "--wrong", "3"]
    done = CliRunner().invoke(app, [*words, "--json", "--set", f"encoder.name={encoder}", *more])
    assert done.exit_code == 0, (done.output, done.exception)
    return dict(json.loads(done.stdout)) if done.stdout.strip() else {}


def test_documents_to_a_verdict(documents: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = tune(encoder)
    aim = done["verdict"]["aim"]
    assert aim["count"] >= 20 and 0 < aim["before"] <= 1
    assert any("English" in one["name"] for one in done["verdict"]["guarded"])
    assert done["adopted"] == done["verdict"]["adopt"] == bool(adopted.read(documents / ".damda").stack)
    about = manifest.read(Path(done["folder"]))
    assert about.kind == "reranker" and about.metrics["verdict"]["aim"] == aim
    monkeypatch.setattr(make_reranker.Making, "__init__", lambda *_: pytest.fail("it was made already"))
    assert tune(encoder, "--no-adopt")["folder"] == done["folder"]


def test_adopted_used_and_rolled_back(documents: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reranked, "decide", lambda *_: BETTER)
    assert tune(encoder)["adopted"]
    (adoption,) = adopted.read(documents / ".damda").stack
    assert adoption.kind == "reranker" and adoption.settings["search.mode"] == "rerank" and not adoption.tables
    kb = damda.open("docs", settings={"encoder.name": str(encoder)})
    hits = kb.search("number7", 5)
    assert len(hits) == 5 and hits[0].by == "rerank", "it reads until the first is settled"
    weighed = (adoption.settings["rerank.weight"], adoption.settings["rerank.ceiling"])
    learnt = manifest.read(Path(str(adoption.settings["rerank.model"]))).settings
    assert weighed == (learnt["weight"], learnt["ceiling"]) and weighed[1] is not None
    done = CliRunner().invoke(app, ["tune", "rollback", "docs", "--json"])
    assert done.exit_code == 0 and not adopted.read(documents / ".damda").stack


def test_a_dry_run_trains_nothing(documents: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_reranker.Making, "run", lambda *_: pytest.fail("a dry run"))
    assert tune(encoder, "--dry-run") == {}


@pytest.mark.parametrize(("seconds", "taken"), [(0.2, True), (0.5, False)])
def test_who_waits_too_long_has_no_better_order(seconds: float, taken: bool) -> None:
    before, after = (Found({}, {}, p50_ms=ms) for ms in (20.0, 20 + 1000 * seconds))
    verdict = reranked._in_time(BETTER, before, after)
    assert verdict.adopt == taken and f"{seconds:.2f} s a question" in " ".join(verdict.reasons)


def test_three_ways_side_by_side(documents: Path, encoder: Path) -> None:
    refused = CliRunner().invoke(app, ["tune", "compare", "docs", "--set", f"encoder.name={encoder}"])
    assert "nothing tuned yet" in str(refused.exception)
    tune(encoder, "--no-adopt")
    words = ["tune", "compare", "docs", "--questions", "asked.csv", "--base", str(encoder), "--encoder", str(encoder)]
    words += ["--report", "page.html", "--set", f"encoder.name={encoder}"]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    result = json.loads(done.stdout)
    ways = [f"{name}, {mode}" for name in (three.BASE, three.TUNED, three.CROSS) for mode in ("dense", "hybrid")]
    assert list(result["retrieval"]) == ways and 20 <= result["questions"] < 60, "held-out questions alone"
    figures = {way: one["sources"]["all"] for way, one in result["retrieval"].items()}
    assert figures[ways[0]] == figures[ways[2]], "the same encoder under two names"
    assert all({"hit@1", "hit@10", "mrr@10", "ndcg@10"} <= one.keys() for one in figures.values())
    random_pairs = result["costs"]["random_negatives"]
    assert random_pairs["pairs"] > 0 and all(x <= random_pairs["ceiling"] for x in random_pairs["spearman"].values())
    assert all(mb > 0 for mb in result["costs"]["index_mb"].values())
    assert result["costs"]["seconds_per_1000_questions"].keys() == set(ways)
    assert "<svg" in Path("page.html").read_text(encoding="utf-8")
    shown = CliRunner().invoke(app, words)
    assert "no model gets above 0.866" in " ".join(shown.output.split())
    assert not adopted.read(documents / ".damda").kept
