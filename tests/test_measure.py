"""Metrics against hand-made cases, and reports of an evaluation that is known."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damda.errors import ConfigError, ReadError
from damda.measure import report
from damda.measure.answers import Judged, exact_match, f1, holds, judge, normalise, summary
from damda.measure.dataset import Question
from damda.measure.evaluate import Asked, Measured, Plan, answered, measure, sample, searched
from damda.measure.html import page
from damda.measure.retrieval import paired_p, per_query, read_run, trec_name
from damda.types import Answer, Chunk, Hit, Mode, Quote, quiet


def hit(doc: str, score: float, text: str = "본문") -> Hit:
    return Hit(Chunk(f"{doc}#0", doc, text, 0, len(text)), score, "bm25")


# --- answers


@pytest.mark.parametrize(
    "said, gold, exact, overlap",
    [
        ("15일", ["15일"], 1, 1.0),
        ("《당의 참된 딸》", ["당의 참된 딸"], 1, 1.0),
        ("'강연옥'.", ["강연옥"], 1, 1.0),
        ("Seoul", ["seoul", "서울"], 1, 1.0),
        ("연차는 15일", ["15일"], 0, 2 * 3 / (3 + 6)),
        ("열닷새", ["15일"], 0, 0.0),
        ("", ["15일"], 0, 0.0),
        ("15일", [], 0, 0.0),
    ],
)
def test_korquads_measures(said: str, gold: Sequence[str], exact: float, overlap: float) -> None:
    assert exact_match(said, gold) == exact
    assert f1(said, gold) == pytest.approx(overlap)


@given(st.text(), st.text())
def test_f1_has_its_bounds(said: str, right: str) -> None:
    assert 0 <= f1(said, [right]) <= 1 and f1(said, [right]) == f1(right, [said])
    assert normalise(normalise(said)) == normalise(said)


def answer(*quotes: str, unsupported: Sequence[str] = ()) -> Answer:
    return Answer(
        " ".join(quotes),
        found=bool(quotes),
        quotes=tuple(Quote(q, "d", 0, len(q)) for q in quotes),
        unsupported=tuple(unsupported),
    )


def test_an_answer_is_judged() -> None:
    got = judge("q", "s", ["15일"], answer("연차는 쓴다.", "연차는\n15일이다.", unsupported=["x"]), answerable=True)
    assert (got.first, got.any, got.quote_precision, got.refused) == (False, True, 0.5, False)
    assert got.unsupported == pytest.approx(1 / 3) and got.refused_without is None
    refused = judge("q", "s", ["15일"], answer(), answerable=True, without=answer("x"))
    assert refused == Judged("q", "s", True, refused=True, refused_without=False)
    assert holds("연차는\n  15 일", ["15 일"]) and not holds("연차", [])


def test_refusals_are_counted_over_both_kinds() -> None:
    judged = [
        Judged("1", "s", True, refused=False, refused_without=True, first=True, any=True),  # both right
        Judged("2", "s", True, refused=True, refused_without=True),  # refused wrongly, then rightly
        Judged("3", "s", False, refused=True),  # rightly
        Judged("4", "s", False, refused=False),  # should have been
    ]
    got = summary(judged)
    assert got["refusal_precision"] == pytest.approx(3 / 4) and got["refusal_recall"] == pytest.approx(3 / 4)
    assert got["answered"] == 0.5 and got["gold_in_quotes"] == 0.5
    assert set(summary([]).values()) <= {0.0, 1.0}, "no questions, no division by zero"


# --- retrieval


def test_metrics_by_hand() -> None:
    qrels = {"a": frozenset({"x"}), "b": frozenset({"x", "y"}), "c": frozenset({"z"})}
    run = {"a": {"w": 2.0, "x": 1.0}, "b": {"x": 3.0, "w": 2.0, "y": 1.0}}
    got = per_query(qrels, run, ("hit@1", "recall@2", "mrr@10", "map"))
    assert got["hit@1"] == {"a": 0, "b": 1, "c": 0}
    assert got["recall@2"] == {"a": 1, "b": 0.5, "c": 0}
    assert got["mrr@10"] == {"a": 0.5, "b": 1, "c": 0}
    assert got["map"]["b"] == pytest.approx((1 + 2 / 3) / 2)


def test_names_of_metrics() -> None:
    assert [trec_name(n) for n in ("ndcg@5", "map", "hit@1")] == ["nDCG@5", "AP", "Success@1"]
    for wrong in ("ndcg", "ndcg@0", "f1", "NDCG@10"):
        with pytest.raises(ConfigError, match="no metric"):
            trec_name(wrong)


def test_run_files(tmp_path: Path) -> None:
    path = tmp_path / "x.run"
    path.write_text("q Q0 b 2 1.5 t\nq Q0 a%20b 1 1.5 t\n\nq Q0 c 3 7 t\nother Q0 c 1 1 t\n")
    assert {q: list(docs.items()) for q, docs in read_run(path).items()} == {
        "q": [("c", 7.0), ("a b", 1.5), ("b", 1.5)],
        "other": [("c", 1.0)],
    }
    for text in ("q Q0 b\n", "q Q0 b one 1 t\n"):
        path.write_text(text)
        with pytest.raises(ReadError, match="line 1"):
            read_run(path)
    with pytest.raises(ReadError, match="No such file"):
        read_run(tmp_path / "none")


def test_chance_is_told_from_difference() -> None:
    assert paired_p([1.0] * 20, [0.0] * 20) < 0.001
    assert paired_p([0.0, 1.0] * 10, [1.0, 0.0] * 10) > 0.9
    assert paired_p([0.5] * 5, [0.5] * 5) == 1.0


# --- an evaluation


class Library:
    """Finds d1 first for every question in mode bm25, last in others; answers with what it finds first."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    def search_batch(self, queries: Sequence[str], k: int = 10, *, mode: Mode | None = None) -> list[list[Hit]]:
        docs = ["d1", "d1", "d2", "d3"] if mode == "bm25" else ["d3", "d2", "d1"]
        return [[hit(doc, 1.0, f"{doc}의 <답>") for doc in docs[:k]] for _ in queries]

    def ask(self, question: str, *, passages: Sequence[Hit] | None = None) -> Answer:
        assert passages is not None
        self.seen.append([h.chunk.doc_id for h in passages])
        return answer(*(h.chunk.text for h in passages[:1] if h.chunk.doc_id == "d1"))


QUESTIONS = tuple(
    [Question(f"q{n}", f"질문 {n}?", frozenset({"d1"}), ("답",), "가" if n % 2 else "나") for n in range(10)]
    + [Question("u", "답이 없는 질문?", answerable=False, source="나")]
)


def evaluated() -> report.Result:
    library: Asked = Library()
    measured = measure(library, QUESTIONS, Plan(("bm25", "dense"), "bm25"), quiet)
    return report.compose("이름 <b>", measured, "bm25", {"encoder": "e"})


def test_the_figures_of_an_evaluation() -> None:
    got = evaluated()
    assert list(got["retrieval"]["bm25"]["sources"]) == ["가", "나", "all"]
    assert got["retrieval"]["bm25"]["sources"]["all"]["hit@1"] == 1
    dense = got["retrieval"]["dense"]["sources"]["all"]
    assert dense["hit@1"] == 0 and dense["recall@3"] == 1 and dense["mrr@10"] == pytest.approx(1 / 3, abs=1e-4)
    (test,) = (r for r in got["differences"]["all"] if r["metric"] == "ndcg@10")
    assert test["mode"] == "dense" and test["difference"] == -0.5 and test["p"] < 0.01
    answers = got["answers"]["sources"]["all"]
    assert answers["questions"] == 11 and answers["gold_in_quotes"] == 1
    assert answers["refusal_recall"] == pytest.approx(10 / 11, abs=1e-3), "hidden passages count, and u is answered"
    assert report.figure(got, "ndcg@10") == 1 and report.figure(got, "dense:ndcg@10") == 0.5
    assert report.figure(got, "gold_in_quotes") == 1
    with pytest.raises(ConfigError, match="was not measured"):
        report.figure(got, "ndcg@7")
    assert json.loads(json.dumps(got)) == got


def test_loading_models_is_no_part_of_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cold(Library):
        now = 0.0

        def search_batch(self, queries: Sequence[str], k: int = 10, *, mode: Mode | None = None) -> list[list[Hit]]:
            self.now += len(queries) if self.now else 1000.0
            return super().search_batch(queries, k, mode=mode)

    library = Cold()
    monkeypatch.setattr("time.perf_counter", lambda: library.now)
    found = searched(library, QUESTIONS, "bm25", quiet)
    assert (found.per_second, found.p50_ms, found.p95_ms) == (1, 1000, 1000), "a second each, and a thousand to load"


def test_hidden_passages_leave_as_many() -> None:
    library = Library()
    answered(library, QUESTIONS[:1], "bm25", quiet, passages=2)
    assert library.seen == [["d1", "d1"], ["d2", "d3"]]


def test_the_worst_questions_say_what_was_found() -> None:
    measured = Measured(QUESTIONS, {"dense": searched(Library(), QUESTIONS, "dense", quiet)})
    got = report.compose("x", measured, "dense", {})
    assert len(got["worst"]) == 10 and got["worst"][0]["rank"] == 3
    assert got["worst"][0]["found"][0] == ["d3", "d3의 <답>"] and got["answers"] == {}


def test_comparing(tmp_path: Path) -> None:
    before = evaluated()
    after = json.loads(json.dumps(before))
    after["per_question"]["retrieval"]["bm25"]["ndcg@10"] = dict.fromkeys(after["per_question"]["answers"], 0.0)
    rows = {(r["of"], r["metric"]): r for r in report.compare(before, after)}
    changed = rows["bm25", "ndcg@10"]
    assert (changed["before"], changed["after"], changed["questions"]) == (1, 0, 10) and changed["p"] < 0.01
    assert rows["dense", "ndcg@10"]["p"] == 1 and ("answers", "any") in rows
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ReadError, match="not what"):
        report.read(tmp_path / "x.json")


def test_the_page_is_whole_and_escaped() -> None:
    html = page(evaluated())
    assert "이름 &lt;b&gt;" in html and "<b>이름" not in html and "이름 <b>" not in html
    assert html.count("<svg") == 3 and not re.search(r"src=|@import|url\(h|(?<!xmlns)(?<!xlink)=\"http", html)
    assert "<script" not in html and "d3의" not in html, "bm25 found all at once: no question is the worst"


def test_a_sample_is_fixed_and_a_share_of_each_source() -> None:
    picked = sample(QUESTIONS, 3)
    assert picked == sample(QUESTIONS, 3) and len(picked) == 6
    assert [q.source for q in picked].count("가") == 3 and sample(QUESTIONS, 100) == list(QUESTIONS)
