"""Sentences to learn from: every format, every scale, and none of a test's sentences among them."""

import json
import time
from pathlib import Path

import pytest

from damda.errors import ReadError
from damda.measure.similarity import Pair
from damda.tune.pairs import Triplet, apart, bare, scored, split, triplets

KORSTS = "genre\tfilename\tyear\tid\tscore\tsentence1\tsentence2\n"
KORSTS += 'main\tx\t2012\t1\t{}\t한 남자가 "걷는다\tb\nm\tx\t2012\t2\t0\tc\td'
KLUE = [
    {"guid": "1", "sentence1": '한 남자가 "걷는다', "sentence2": "b", "labels": {"label": 3.7, "real-label": 5}},
    {"guid": "2", "sentence1": "c", "sentence2": "d", "labels": {"label": 0.0, "real-label": 0}},
]


def file(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    return path


def lines(rows: list[dict[str, object]]) -> str:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


# --- scored pairs


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("klue.json", KLUE),
        ("korsts.tsv", KORSTS.format(5.0)),
        ("a.jsonl", lines([{"s1": '한 남자가 "걷는다', "s2": "b", "score": 5}, {"s1": "c", "s2": "d", "score": 0}])),
        ("a.csv", '\ufeffs1,s2,score\n"한 남자가 ""걷는다",b,5\nc,d,0\n'),
        ("b.csv", 'score,sentence1,sentence2,note\n5,"한 남자가 ""걷는다",b,x\n0,c,d,y\n'),
    ],
)
def test_formats(tmp_path: Path, name: str, content: object) -> None:
    assert scored(file(tmp_path, name, content)) == [Pair('한 남자가 "걷는다', "b", 1.0), Pair("c", "d", 0.0)]


@pytest.mark.parametrize(
    ("highest", "top"), [(1, 1), (0.8, 1), (5, 5), (4.8, 5), (3, 5), (10, 10), (9, 10), (100, 100), (250, 250)]
)
def test_scales(tmp_path: Path, highest: float, top: float) -> None:
    found = scored(file(tmp_path, "a.csv", f"s1,s2,score\na,b,{highest}\nc,d,0.5\n"))
    assert [pair.score for pair in found] == pytest.approx([highest / top, 0.5 / top])


def test_decomposed_korean_is_composed(tmp_path: Path) -> None:
    (first, _) = scored(file(tmp_path, "a.csv", "s1,s2,score\n\u1112\u1161\u11ab,b,5\nc,d,0\n"))
    assert first.first == "한"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("s1,s2,score\n", "is empty"),
        ("s1,s2,score\na,b,3\nc,d,3\n", "all its scores are 3; nothing"),
        ("s1,s2,score\na,b,3\nc,d,-1\n", "scores below 0"),
        ("s1,s2,score\na,b,3\nc,d,nan\n", "no number"),
        ("s1,s2,score\na,b,inf\nc,d,1\n", "no number"),
        ("s1,s2,score\na,b,3\nc,d,high\n", "line 3: no columns s1, s2 and score"),
        ("s1,s2,score\na,b,3\nc\n", "line 3: no columns"),
        ("first,second,score\na,b,3\n", "line 2: no columns"),
        ("s1,s2,score\na," + "b" * 200_000 + ",1\n", "no CSV in UTF-8"),
    ],
)
def test_tables_that_can_not_be_used(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(ReadError, match=said) as caught:
        scored(file(tmp_path, "a.csv", content))
    assert "a.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("s1,s2,score\n가,나,1".encode("cp949"))
    for path, said in (
        (tmp_path / "a.csv", "no CSV in UTF-8"),
        (tmp_path / "none.csv", "No such file"),
        (tmp_path / "none.json", "No such file"),
        (file(tmp_path, "b.json", {"a": 1}), "no scored pairs"),
        (file(tmp_path, "c.tsv", "a\tb\n1\t2"), "no scored pairs"),
    ):
        with pytest.raises(ReadError, match=said):
            scored(path)


# --- inferences

NLI = [
    {"premise": "p", "hypothesis": "yes", "label": "entailment"},
    {"premise": "p", "hypothesis": "no", "label": "contradiction"},
    {"premise": "p", "hypothesis": "perhaps", "label": "neutral"},
    {"premise": "p", "hypothesis": "yes again", "label": "entailment"},
    {"premise": "half", "hypothesis": "yes", "label": "entailment"},
]


def xnli(premise: str, hypothesis: str, label: str) -> str:
    rows = [{"p": row["premise"], "h": row["hypothesis"], "l": row["label"]} for row in NLI]
    return "\n".join(["\t".join((premise, hypothesis, label)), *("\t".join(row.values()) for row in rows)])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("klue.json", [{"guid": "x", **row} for row in NLI]),
        ("xnli.tsv", xnli("sentence1", "sentence2", "gold_label")),
        ("korean.tsv", xnli("premise", "hypothesis", "label")),
        ("a.jsonl", lines([{**row} for row in NLI])),
    ],
)
def test_formats_of_inferences(tmp_path: Path, name: str, content: object) -> None:
    assert triplets([file(tmp_path, name, content)]) == [Triplet("p", "yes", "no")]


def test_quotes_in_a_table_are_quotes(tmp_path: Path) -> None:
    rows = 'premise\thypothesis\tlabel\n"p\ty"es\tentailment\n"p\tno\tcontradiction\n'
    assert triplets([file(tmp_path, "a.tsv", rows)]) == [Triplet('"p', 'y"es', "no")]


def test_a_premise_of_two_files_is_one(tmp_path: Path) -> None:
    parts = [file(tmp_path, f"{n}.jsonl", lines([{**row}])) for n, row in enumerate(NLI[:2])]
    assert triplets(parts) == [Triplet("p", "yes", "no")]
    with pytest.raises(ReadError, match="no premise with an entailment and a contradiction"):
        triplets(parts[:1])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"premise": "p"}'),
        ("b.jsonl", "{"),
        ("c.json", {"data": NLI}),
        ("d.tsv", "premise\thypothesis\tlabel\np\tyes\n"),
        ("e.tsv", "premise\thypothesis\tlabel\np\n"),
        ("f.tsv", "premise\thypothesis\tlabel\np\t" + "y" * 200_000 + "\tentailment\n"),
        ("g.jsonl", '{"premise": 1, "hypothesis": "a", "label": "entailment"}'),
    ],
)
def test_files_that_are_no_inferences(tmp_path: Path, name: str, content: object) -> None:
    with pytest.raises(ReadError, match=name) as caught:
        triplets([file(tmp_path, name, content)])
    assert "\n" not in str(caught.value)
    with pytest.raises(ReadError, match="No such file"):
        triplets([tmp_path / "none.jsonl"])


# --- what is kept apart


def test_a_tenth_is_drawn_and_always_the_same() -> None:
    items = list(range(50))
    rest, drawn = split(items)
    assert drawn == [1, 7, 17, 40, 47] and sorted(rest + drawn) == items == sorted(set(rest + drawn))
    assert split(items) == (rest, drawn) != split(items, seed=1)
    assert [len(part) for part in split(items, 0.3)] == [35, 15]
    assert split(["only"]) == ([], ["only"])


def test_bare_sentences() -> None:
    assert bare("  한 남자가, 걷는다! ") == bare("한 남자가 걷는다.") == "한남자가걷는다"
    assert bare("Ｔhe CAFÉ_1") == bare("the café 1") and bare("a") != bare("b")


def test_what_shares_a_sentence_is_left_out_and_nothing_else() -> None:
    tested = {bare("A b."), bare("c")}
    items = [Pair("a B", "x", 1), Pair("x", "C!", 1), Pair("x", "y", 1), Pair("abc", "cc", 0)]
    assert apart(items, tested) == ([items[2], items[3]], 2)
    threes = [Triplet("x", "y", "a b"), Triplet("c", "y", "z"), Triplet("x", "y", "z")]
    assert apart(threes, tested) == ([threes[2]], 2)
    assert apart(items, []) == (items, 0)


def test_many_are_kept_apart_in_no_time() -> None:
    items, tested = [Pair(f"a {n}", f"b {n}", 1) for n in range(20_000)], [f"c{n}" for n in range(5000)]
    begun = time.perf_counter()
    assert apart(items, tested)[1] == 0
    assert time.perf_counter() - begun < 10
