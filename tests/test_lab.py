"""Every representation: against formulas written here, through one contract, and in the command's table."""

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeAnalyser, FakeEncoder, use_fakes
from test_rerank import cross_encoder
from typer.testing import CliRunner

from damda.assemble import models
from damda.cli import commands
from damda.embed.encoder import OnnxEncoder
from damda.embed.lexical import WEIGHTINGS, Lexical, Remembered, Weighting
from damda.embed.static import InputLayer, Word2Vec
from damda.errors import ReadError, RerankerError
from damda.measure import lab
from damda.measure.dataset import Question
from damda.measure.similarity import (
    Pair,
    agreement,
    cosines,
    holds_pairs,
    paired_bootstrap,
    pairs,
    people,
    read_together,
)
from damda.search.rerank import OnnxReranker
from damda.types import Encoder, Hit, quiet

CORPUS = ["apple pear apple", "pear plum", "fig fig fig plum", "kiwi"]
SHARED = Path(__file__).parents[2] / "shared" / "data"
app = commands()


def lexical(weighting: Weighting, corpus: Sequence[str] = CORPUS) -> Lexical:
    return Lexical(weighting, FakeAnalyser(), corpus)


def words() -> Encoder:
    pytest.importorskip("gensim", reason="the extra lab is not installed")
    return Word2Vec(FakeAnalyser(), CORPUS * 20, dim=8)


# --- one contract


@pytest.fixture(params=[*WEIGHTINGS, "word2vec", "static", "cls", "max", "mean"])
def any_encoder(request: pytest.FixtureRequest, model_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Encoder:
    monkeypatch.setenv("DAMDA_CACHE", str(model_cache))
    if request.param in WEIGHTINGS:
        return lexical(WEIGHTINGS[request.param])
    if request.param == "word2vec":
        return words()
    if request.param == "static":
        return InputLayer(models.built_in_encoder("e5-small-koen"))
    if request.param == "mean":
        return OnnxEncoder(models.built_in_encoder("e5-small-koen"))
    pooling: Callable[[], OnnxEncoder] = {
        "cls": lambda: OnnxEncoder(models.built_in_encoder("e5-small-koen"), pooling="cls"),
        "max": lambda: OnnxEncoder(models.built_in_encoder("e5-small-koen"), pooling="max"),
    }[request.param]
    return pooling()


def test_every_representation_is_an_encoder(any_encoder: Encoder) -> None:
    texts = ["apple pear", "fig", "", "unknown-word"]
    for kind in ("query", "passage"):
        vectors = any_encoder.encode(texts, kind=kind)
        assert vectors.shape == (4, any_encoder.dim) and vectors.dtype == np.float32
        assert np.isfinite(vectors).all()
        norms = np.linalg.norm(vectors, axis=1)
        if not any_encoder.id.startswith("bm25"):
            assert all(norm == pytest.approx(1, abs=1e-4) or norm == 0 for norm in norms)
        one = any_encoder.encode(texts[:1], kind=kind)
        assert np.allclose(one, vectors[:1], atol=1e-6), "a text's vector does not depend on its neighbours"
    assert any_encoder.encode([], kind="query").shape == (0, any_encoder.dim)
    assert len(any_encoder.count_tokens(texts)) == 4 and any_encoder.id


def test_ids_differ(model_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAMDA_CACHE", str(model_cache))
    folder = models.built_in_encoder("e5-small-koen")
    made = [OnnxEncoder(folder, pooling=how) for how in ("cls", "max", "mean")]
    assert len({one.id for one in made}) == 3


# --- formulas


def test_one_hot_vectors_of_different_words_have_nothing_in_common() -> None:
    vectors = lexical("one-hot", ["학교 공부 운동"]).encode(["학교", "공부", "운동"], kind="query")
    assert np.array_equal(vectors @ vectors.T, np.eye(3))


def test_counts_and_rarity() -> None:
    (bow,) = lexical("bow").encode(["apple pear apple"], kind="query")
    assert sorted(bow[bow > 0].tolist()) == pytest.approx([1 / math.sqrt(5), 2 / math.sqrt(5)])
    (tf_idf,) = lexical("tf-idf").encode(["apple pear apple"], kind="passage")
    apple, pear = (1 + math.log(2)) * math.log(4 / 1), math.log(4 / 2)
    assert sorted(tf_idf[tf_idf > 0].tolist()) == pytest.approx(
        sorted([pear / math.hypot(apple, pear), apple / math.hypot(apple, pear)])
    )


def test_bm25_is_a_product() -> None:
    encoder = lexical("bm25")
    scores = encoder.encode(["fig plum plum"], kind="query") @ encoder.encode(CORPUS, kind="passage").T
    average = sum(len(text.split()) for text in CORPUS) / 4
    for text, score in zip(CORPUS, scores[0], strict=True):
        expected, counts = 0.0, Counter(text.split())
        for word in ("fig", "plum", "plum"):
            df = sum(word in other.split() for other in CORPUS)
            idf = math.log(1 + (4 - df + 0.5) / (df + 0.5))
            expected += idf * counts[word] * 2.2 / (counts[word] + 1.2 * (0.25 + 0.75 * len(text.split()) / average))
        assert score == pytest.approx(expected, rel=1e-5)


def test_rare_words_are_left_out_of_a_small_vocabulary() -> None:
    encoder = Lexical("bow", FakeAnalyser(), CORPUS, words=2)
    assert encoder.dim == 2 and not encoder.encode(["kiwi apple"], kind="query").any()


def test_words_are_looked_up_once() -> None:
    asked: list[str] = []

    class Counting(FakeAnalyser):
        def content(self, texts: Sequence[str]) -> list[list[str]]:
            asked.extend(texts)
            return super().content(texts)

    analyser = Remembered(Counting())
    assert (
        analyser.content(["a b", "c", "a b"])
        == [["a", "b"], ["c"], ["a", "b"]]
        == analyser.content(["a b", "c", "a b"])
    )
    assert asked == ["a b", "c"] and analyser.id == "split"


def test_word2vec_is_the_same_every_time() -> None:
    assert np.array_equal(words().encode(CORPUS, kind="query"), words().encode(CORPUS, kind="query"))


# --- similarity


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.json", json.dumps([{"sentence1": "가", "sentence2": "나", "labels": {"label": 3.7, "real-label": 3.5}}])),
        ("a.tsv", "genre\tfile\tyear\tid\tscore\tsentence1\tsentence2\nmain\tMSRvid\t2012\t1\t3.5\t가\t나\n"),
        ("a.jsonl", '{"s1": "가", "s2": "나", "score": 3.5}\n'),
    ],
)
def test_scored_pairs(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert pairs(tmp_path / name) == [Pair("가", "나", 3.5)] and holds_pairs(tmp_path / name)
    words = ["lab", "encoders", str(tmp_path / name)]
    assert "--sts" in str(CliRunner().invoke(app, words).exception), "pairs are no questions"


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.json", '{"data": [{"s1": 1}]}'),
        ("a.tsv", "question\tanswer\ns1\tscore\n"),
        ("a.jsonl", '{"text": "s1"}\n'),
        ("a.jsonl", ""),
        ("a.csv", "s1,sentence1,score\n"),
    ],
)
def test_questions_are_not_taken_for_pairs(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert not holds_pairs(tmp_path / name) and not holds_pairs(tmp_path) and not holds_pairs(tmp_path / "none.json")


@pytest.mark.parametrize(
    "name, text", [("a.json", "[]"), ("a.json", '{"a": 1}'), ("a.tsv", "x\n1\t2\n"), ("a.jsonl", "{}")]
)
def test_pairs_that_are_none(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ReadError):
        pairs(tmp_path / name)


def test_agreement() -> None:
    encoder = lexical("bow")
    scored = [Pair("apple", "apple", 5), Pair("apple pear", "apple", 3), Pair("apple", "fig", 0)]
    spearman, pearson = agreement(cosines(encoder, scored), people(scored))
    assert spearman == pytest.approx(1) and pearson > 0.95
    same = [Pair("apple", "apple", 5)] * 3
    assert agreement(cosines(encoder, same), people(same)) == (0, 0), "no spread, no correlation"


def test_a_difference_of_correlations_is_told_from_chance() -> None:
    generator = np.random.default_rng(1)
    scores = generator.normal(size=200)
    good, other = (scores + generator.normal(size=200) * 0.5 for _ in range(2))
    bad = scores + generator.normal(size=200) * 3
    for ranked in (True, False):
        assert (
            paired_bootstrap(good, bad, scores, ranked=ranked)
            < 0.01
            > paired_bootstrap(bad, good, scores, ranked=ranked)
        )
        assert paired_bootstrap(good, other, scores, ranked=ranked) > 0.1
        assert paired_bootstrap(good, good, scores, ranked=ranked) == 1


def test_chance_looks_like_chance() -> None:
    """Where two models are equally good, p is below 0.1 about one time in ten: 2 to 18 of 80 is what luck allows."""
    generator = np.random.default_rng(2)
    low = 0
    for _ in range(80):
        scores = generator.normal(size=40)
        a, b = (scores + generator.normal(size=40) for _ in range(2))
        low += paired_bootstrap(a, b, scores, rounds=200) < 0.1
    assert 2 <= low <= 18


# --- the table


def test_a_row_of_the_table() -> None:
    passages = {f"d{n}": text for n, text in enumerate(CORPUS)}
    asked = [Question("q1", "kiwi", frozenset({"d3"})), Question("q2", "durian", frozenset({"d0"}))]
    task = lab.Task(passages, asked, {"x": [Pair("fig", "fig", 1)]})
    row = lab.measure("bow", lambda: lexical("bow"), task, quiet, price=2.0)
    assert row.values["hit@10"] == {"q1": 1, "q2": 0}, "a question that shares no word finds nothing"
    assert row.metrics["mrr@10"] == 0.5 and row.dim == 5 and row.similarity == {"x": (0, 0)}
    assert row.index_mb == pytest.approx(7 * 8 / 1e6), "seven words in four passages"
    assert row.cost == pytest.approx(2.0 * 2.5), "two and a half words a passage"


def test_a_row_of_a_cross_encoder(tmp_path: Path) -> None:
    """Its score is how often a text says "good": it lifts what bm25 found below the top, and nothing else."""
    passages = {"d1": "kiwi kiwi", "d2": "kiwi good fig", "d3": "good good", "d4": "kiwi plum plum plum"}
    asked = [Question("q1", "kiwi", frozenset({"d2"})), Question("q2", "kiwi", frozenset({"d3"}))]
    pairs = [Pair("a", "good good", 5), Pair("a", "good", 3), Pair("good", "a", 0)]
    task = lab.Task(passages, asked, {"x": pairs})
    bm25 = lambda: lexical("bm25", list(passages.values()))  # noqa: E731
    make = lambda: OnnxReranker(cross_encoder(tmp_path / "model"))  # noqa: E731
    row = lab.measure_reranker("rerank:x", make, bm25, 3, task, quiet)
    assert row.values["mrr@10"] == {"q1": 1, "q2": 0}, "d3 was not found, so it can't be put first"
    assert row.similarity["x"][0] == pytest.approx(1), "the second sentence counts: both as given"
    assert (row.dim, row.index_mb, row.passages_per_second, row.words) == (None, None, None, None)
    assert row.query_ms > 0 and "3 best documents of bm25" in row.note
    (tmp_path / "model").rename(tmp_path / "again")
    alone = lab.measure_reranker("x", lambda: OnnxReranker(tmp_path / "again"), bm25, 1, task, quiet)
    assert alone.values["mrr@10"]["q1"] == 0.5, "only the first was looked at; the others follow as they were found"


def test_a_pair_without_a_score_is_no_zero() -> None:
    class Silent:
        id = "silent"

        def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
            return list(hits)

    with pytest.raises(RerankerError, match="no score"):
        read_together(Silent(), [Pair("a", "b", 1)], quiet)


def test_what_is_timed_was_not_seen_before() -> None:
    timed: list[str] = []

    class Recording(FakeAnalyser):
        def content(self, texts: Sequence[str]) -> list[list[str]]:
            timed.extend(texts)
            return super().content(texts)

    analyser = Remembered(Recording())
    passages = {f"d{n}": text for n, text in enumerate(CORPUS)}
    for name, weighting in WEIGHTINGS.items():
        timed.clear()
        asked = [Question("q", "one kiwi", frozenset({"d3"}))]
        task = lab.Task(passages, asked, {})
        lab.measure(name, lambda w=weighting: Lexical(w, analyser, CORPUS), task, quiet)  # type: ignore[misc]
        assert {*(f"{text} {name}" for text in CORPUS), f"one kiwi {name}"} <= set(timed)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_fakes(monkeypatch.setattr, FakeEncoder())
    rows = [{"id": f"d{n}", "text": text} for n, text in enumerate(CORPUS)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "queries.jsonl").write_text('{"id": "q", "text": "kiwi"}\n')
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\td3\t1\n")
    (tmp_path / "sts.jsonl").write_text('{"s1": "fig", "s2": "fig", "score": 1}\n{"s1": "a", "s2": "b", "score": 0}\n')
    page, out = tmp_path / "lab.html", tmp_path / "lab.json"
    chosen = f"one-hot,bm25,other,rerank:{cross_encoder(tmp_path / 'model')}"
    words = ["lab", "encoders", str(tmp_path), "--encoders", chosen, "--sts", str(tmp_path / "sts.jsonl")]
    done = CliRunner().invoke(app, [*words, "--report", str(page), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "one-hot" in done.stdout and "Spearman" in done.stdout and "학교" in done.stdout
    result = json.loads(out.read_text(encoding="utf-8"))
    assert [row["metrics"]["hit@10"] for row in result["rows"][:2]] == [1, 1] and result["pairs"] == {"sts": 2}
    html = page.read_text(encoding="utf-8")
    assert "<svg" in html and "<script" not in html
    for shown in (done.stdout, html):
        assert "–" in shown and "30 best documents of bm25" in shown


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Words of the command over a folder of two documents and one question."""
    use_fakes(monkeypatch.setattr, FakeEncoder())
    documents = tmp_path / "docs"
    documents.mkdir()
    for name in ("a", "secret"):
        (documents / f"{name}.md").write_text(f"# {name}\n\nword {name}\n")
    (tmp_path / "q.csv").write_text("question,answer,document\nword,word,a.md\n")
    return ["lab", "encoders", str(tmp_path / "q.csv"), "--documents", str(documents), "--encoders", "bow"]


def test_files_that_the_owner_leaves_out_stay_out(folder: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAMDA_READ__IGNORE", "secret*")
    done = CliRunner().invoke(app, [*folder, "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["passages"] == 1, done.output


def test_files_that_cannot_be_read_are_named(folder: list[str], tmp_path: Path) -> None:
    (tmp_path / "docs" / "empty.md").write_text("")
    done = CliRunner().invoke(app, folder)
    assert done.exit_code == 0 and "1 files could not be read" in done.stderr and "empty.md: empty" in done.stderr
    assert list(json.loads(CliRunner().invoke(app, [*folder, "--json"]).stdout)["failed"]) == ["empty.md"]


def test_questions_that_name_no_document(folder: list[str], tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("question,answer,document\nword,word,\n")
    assert "names a document" in str(CliRunner().invoke(app, folder).exception)


def test_a_data_set_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_fakes(monkeypatch.setattr, FakeEncoder())
    (tmp_path / "corpus.jsonl").write_text('{"id": "d", "text": "kiwi"}\n')
    (tmp_path / "queries.jsonl").write_text('{"id": "q", "text": "kiwi"}\n')
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    asked: list[object] = []

    def hub_folder(name: str, *, offline: bool, data: bool) -> Path:
        asked.extend((name, offline, data))
        return tmp_path

    monkeypatch.setattr("damda.weights.hub_folder", hub_folder)
    words = ["lab", "encoders", "hub:owner/set", "--encoders", "bow", "--json", "--set", "offline=true"]
    done = CliRunner().invoke(app, words)
    assert json.loads(done.stdout)["rows"][0]["metrics"]["hit@10"] == 1, done.output
    assert asked == ["owner/set", True, True]


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared data sets are not here")
def test_the_shared_pairs() -> None:
    assert len(pairs(SHARED / "ko_sts" / "klue_sts_dev.jsonl")) == 519
    assert len(pairs(SHARED / "ko_sts" / "korsts_test.jsonl")) == 1379
