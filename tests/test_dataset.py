"""Data sets in all the shapes that people have them in, and files that are none."""

import json
from pathlib import Path

import pytest

from damda.errors import ReadError
from damda.measure.dataset import Question, load, placed

SHARED = Path(__file__).parents[2] / "shared" / "data"


def lines(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def beir(folder: Path, judged: str = "qrels.tsv", key: str = "id") -> Path:
    lines(folder / "corpus.jsonl", {key: "d1", "title": "휴가", "text": "연차는 15일이다."})
    lines(
        folder / "queries.jsonl",
        {key: "q1", "text": "연차는 며칠?", "answers": ["15일"], "source": "사규"},
        {key: "q2", "text": "아무도 판정하지 않은 질문"},
    )
    (folder / judged).parent.mkdir(exist_ok=True)
    (folder / judged).write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\n")
    return folder


@pytest.mark.parametrize("judged, key", [("qrels.tsv", "id"), ("qrels/test.tsv", "_id")])
def test_beir(tmp_path: Path, judged: str, key: str) -> None:
    found = load(beir(tmp_path / "set", judged, key), tmp_path / "work")
    assert found.questions == (Question("q1", "연차는 며칠?", frozenset({"d1"}), ("15일",), found.questions[0].source),)
    assert found.questions[0].source == "사규" and found.name == "set"
    assert found.documents == tmp_path / "set" / "corpus.jsonl"


def squad(path: Path) -> Path:
    answer = {"text": "15일", "answer_start": 4}
    asked = [
        {"question": "연차는 며칠?", "id": "a", "answers": [answer, answer]},
        {"question": "병가는 며칠?", "guid": "b", "answers": [], "is_impossible": True, "plausible_answers": [answer]},
    ]
    data = [{"title": "휴가", "paragraphs": [{"context": "연차는 15일이다.", "qas": asked}]}]
    path.write_text(json.dumps({"version": "v1", "data": data}), encoding="utf-8")
    return path


def test_squad_korquad_and_klue_mrc(tmp_path: Path) -> None:
    found = load(squad(tmp_path / "klue-mrc-v1.1_dev.json"), tmp_path / "work")
    possible, impossible = found.questions
    assert possible.answers == ("15일",) and len(possible.relevant) == 1 and possible.answerable
    assert impossible.id == "b" and not impossible.answerable and not impossible.relevant and not impossible.answers
    assert found.documents is not None
    (row,) = (json.loads(line) for line in found.documents.read_text().splitlines())
    assert row == {"id": next(iter(possible.relevant)), "title": "휴가", "text": "연차는 15일이다."}
    before = found.documents.stat().st_mtime_ns
    load(tmp_path / "klue-mrc-v1.1_dev.json", tmp_path / "work")
    assert found.documents.stat().st_mtime_ns == before, "an unchanged corpus is not indexed again"


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.csv", "question,answer,document\n연차는 며칠?,15일,인사/휴가.md\n없는 질문?,,\n".encode()),
        ("b.csv", "문서,질문,답\n인사/휴가.md,연차는 며칠?,15일\n,없는 질문?,\n".encode("cp949")),
        ("c.tsv", "\ufeffQuestion\tAnswer\tFile\n연차는 며칠?\t15일\t인사/휴가.md\n없는 질문?\n\n".encode()),
    ],
)
def test_tables(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    known, unknown = load(tmp_path / name, tmp_path).questions
    assert (known.text, known.answers, known.relevant) == ("연차는 며칠?", ("15일",), frozenset({"인사/휴가.md"}))
    assert known.answerable and not unknown.answerable


def test_json_lines(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "q.jsonl",
        {"id": 7, "question": "며칠?", "answer": "15일", "documents": ["a.md", "b.md"]},
        {"text": "판정하지 않음"},
        {"text": "답이 없음", "answers": [], "document": ""},
    )
    several, unknown, none = load(path, tmp_path).questions
    assert several.relevant == {"a.md", "b.md"} and several.answers == ("15일",) and several.id == "7"
    assert [q.answerable for q in (several, unknown, none)] == [True, True, False]


def test_decomposed_names_and_names_without_folders(tmp_path: Path) -> None:
    decomposed = "인사/휴가.md"
    asked = [Question(str(n), "?", frozenset({name})) for n, name in enumerate(("휴가.md", "둘.md", "없다.md"))]
    found, lost = placed(asked, [decomposed, "a/둘.md", "b/둘.md"])
    assert found[0].relevant == {decomposed} and lost == {"둘.md", "없다.md"}


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("x.json", '{"data": [{"paragraphs": [{}]}]}', "not the JSON of SQuAD"),
        ("x.json", "[1, 2]", "not the JSON of SQuAD"),
        ("x.json", "{", "not the JSON of SQuAD"),
        ("x.csv", "a,b\n1,2\n", "no column called question"),
        ("x.csv", "", "no column called question"),
        ("x.jsonl", '{"id": 1}\n', "line 1: not a JSON object with id and text"),
        ("x.jsonl", '{"text": "a"}\n[]\n', "line 2"),
        ("x.xml", "<a/>", "no data set"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, content: str, reason: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ReadError, match=reason):
        load(tmp_path / name, tmp_path / "work")


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="BEIR"):
        load(tmp_path, tmp_path / "work")
    beir(tmp_path)
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1 d1 1\n")
    with pytest.raises(ReadError, match="line 2"):
        load(tmp_path, tmp_path / "work")
    with pytest.raises(ReadError, match="No such file"):
        load(tmp_path / "none.json", tmp_path / "work")


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared data sets are not here")
def test_the_shared_sets(tmp_path: Path) -> None:
    found = load(SHARED / "ko_qa", tmp_path)
    assert len(found.questions) > 3000 and {q.source for q in found.questions} > {"klue-mrc-train"}
    assert all(q.relevant and q.answers for q in found.questions)
