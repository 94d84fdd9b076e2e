"""`damda eval` from the outside: what goes in, what is written, exit codes."""

import csv
import json
from pathlib import Path

import pytest
from fakes import FakeEncoder, use_fakes
from typer.testing import CliRunner, Result

from damda.cli import commands
from damda.ingest import sync
from damda.korean import sentences
from damda.measure import synthesise
from damda.measure.report import read
from damda.types import Chunk, Delta, quiet

app = commands()
TEXTS = {
    "인사/연차.md": "# 연차\n\n연차 유급휴가는 해마다 15일이다.\n\n병가는 한 해에 10일까지 쓸 수 있습니다.\n",
    "총무/출장.md": "# 출장\n\n국내 출장의 숙박비는 하루 80,000원까지 지급한다.\n",
}


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_fakes(monkeypatch.setattr, FakeEncoder())
    monkeypatch.setattr(sync, "_TRUST_AFTER", 0.0)
    for name, text in TEXTS.items():
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "docs"


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["eval", *(str(word) for word in words)])


def asked(path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [
                ("질문", "답", "문서"),
                ("연차 유급휴가는 며칠인가요", "15일", "연차.md"),  # named without its folder
                ("출장의 숙박비는", "80,000원", "총무/출장.md"),
                ("구내식당은 몇 층인가요", "", ""),
            ]
        )
    return path


def test_a_table_of_questions(tmp_path: Path, documents: Path) -> None:
    out, report, runs = tmp_path / "a.json", tmp_path / "deep" / "a.html", tmp_path / "runs"
    table = asked(tmp_path / "q.csv")
    done = run(table, "--documents", documents, "--out", out, "--report", report, "--runs", runs, "--modes", "bm25,rrf")
    assert done.exit_code == 0, done.output
    assert "all questions" in done.stdout and "3 questions" in done.stdout
    result = read(out)
    assert result["retrieval"]["bm25"]["sources"]["all"]["hit@1"] == 1 and set(result["retrieval"]) == {"bm25", "rrf"}
    assert result["default"] == "bm25", "hybrid was not asked for, so the first is what others are compared with"
    assert result["answers"]["sources"]["all"]["questions"] == 3
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")
    query, q0, document, rank, score, tag = (runs / "bm25.run").read_text().splitlines()[0].split()
    assert (query, q0, document, rank, tag) == ("q1", "Q0", "인사/연차.md", "1", "bm25") and float(score) > 0
    peer = tmp_path / "peer.txt"
    peer.write_text("q1 Q0 총무/출장.md 1 9 x\nq1 Q0 인사/연차.md 2 8 x\n", encoding="utf-8")
    beside = json.loads(run(table, "--documents", documents, "--modes", "bm25", "--run", peer, "--json").stdout)
    assert beside["retrieval"]["peer"]["sources"]["all"]["mrr@10"] == 0.25, "second for one question, none for another"
    assert "peer" in run(table, "--documents", documents, "--modes", "bm25", "--run", peer).stdout
    compared = run("--compare", out, out)
    assert compared.exit_code == 0 and "bm25" in compared.stdout and "+0.000" in compared.stdout


def test_a_beir_folder_and_bounds(tmp_path: Path, documents: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    rows = [{"id": f"d{n}", "text": text} for n, text in enumerate(TEXTS.values())]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "queries.jsonl").write_text(json.dumps({"id": "q", "text": "해마다 15일이다.", "answers": ["15일"]}))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\td0\t1\n")
    words = (folder, "--home", tmp_path / "home", "--json", "--modes", "bm25,hybrid")
    done = run(*words, "--fail-under", "hit@1=1", "--fail-under", "bm25:ndcg@10=0.5")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["answers"]["sources"]["all"]["questions"] == 1
    missed = run(*words, "--fail-under", "refusal_recall=1.01", "--answers", "1")
    assert missed.exit_code == 5 and "refusal_recall is" in missed.stderr
    assert isinstance(run(*words, "--fail-under", "ndcg@3=0.5").exception, Exception)
    assert run(*words, "--fail-under", "ndcg").exit_code == 2


def test_questions_are_made_of_the_documents_once(tmp_path: Path, documents: Path) -> None:
    home = tmp_path / "home"
    done = run(documents, "--synthesise", "5", "--home", home, "--modes", "bm25")
    assert done.exit_code == 0, done.output
    path = home / "questions.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    made = {row["text"]: row for row in rows}
    assert made["연차 유급휴가는 해마다 며칠인가요?"]["answers"] == ["15일"]
    assert made["국내 출장의 숙박비는 하루 얼마까지 지급하나요?"]["document"] == "총무/출장.md"
    assert {row["made"] for row in rows} <= {"rule: number", "rule: heading"}
    path.write_text(json.dumps(rows[0] | {"text": "고친 질문"}, ensure_ascii=False) + "\n", encoding="utf-8")
    again = run(documents, "--synthesise", "5", "--home", home, "--json")
    assert json.loads(again.stdout)["questions"] == 1, "a file that its owner corrected is kept"


def test_scored_pairs_need_no_index(tmp_path: Path, documents: Path) -> None:
    """The fake encoder finds equal texts alike and nothing else."""
    path, good, bad = (tmp_path / name for name in ("klue-sts.json", "good.json", "bad.json"))
    rows = [
        ("가", "가", 5.0),
        ("나", "나", 4.5),
        ("다", "라", 1.0),
        ("마", "바", 0.5),
        ("사", "사", 4.0),
        ("아", "자", 0.0),
    ]
    keys = ("sentence1", "sentence2")
    scored = [{**dict(zip(keys, row, strict=False)), "labels": {"real-label": row[2]}} for row in rows]
    path.write_text(json.dumps(scored), encoding="utf-8")
    report = tmp_path / "pairs.html"
    done = run(path, "--out", good, "--report", report, "--fail-under", "spearman=0.7", "--fail-under", "pearson=0.7")
    assert done.exit_code == 0, done.output
    assert "Spearman" in done.stdout and "6 pairs" in done.stdout
    assert read(good)["similarity"]["pairs"] == 6 and "<svg" in report.read_text(encoding="utf-8")
    assert not (tmp_path / ".damda").exists(), "nothing was indexed"
    worse = read(good)
    worse["per_question"]["similarity"] = {i: [s, -c] for i, (s, c) in worse["per_question"]["similarity"].items()}
    bad.write_text(json.dumps(worse))
    compared = {row["metric"]: row for row in json.loads(run("--compare", bad, good, "--json").stdout)}
    assert compared["spearman"]["after"] == -compared["spearman"]["before"] == worse["similarity"]["spearman"]
    assert compared["spearman"]["p"] < 0.1 and compared["pearson"]["questions"] == 6
    assert run(path, "--sample", "4", "--fail-under", "spearman=1.1").exit_code == 5
    assert json.loads(run(path, "--sample", "4", "--json").stdout)["similarity"]["pairs"] == 4
    wrong = run(path, "--documents", documents)
    assert wrong.exit_code == 2 and "scored pairs" in wrong.stderr


@pytest.mark.parametrize("shape", ["beir", "squad"])
def test_a_data_set_of_the_hub(tmp_path: Path, documents: Path, monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    """The hub is played; what is asked of it and what becomes of its files is real."""
    hub = pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
    folder = tmp_path / "snapshot"
    (folder / "qrels").mkdir(parents=True)
    if shape == "beir":
        (folder / "corpus.jsonl").write_text('{"_id": "d", "title": "", "text": "연차는 15일이다."}\n')
        (folder / "queries.jsonl").write_text('{"_id": "q", "text": "연차는"}\n')
        (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    else:
        qas = [{"id": "q", "question": "연차는", "answers": [{"text": "15일", "answer_start": 4}]}]
        data = [{"title": "", "paragraphs": [{"context": "연차는 15일이다.", "qas": qas}]}]
        (folder / "dev.json").write_text(json.dumps({"data": data}))
    asked: list[object] = []

    def snapshot_download(name: str, *, repo_type: str, allow_patterns: list[str], local_files_only: bool) -> str:
        asked.extend((name, repo_type, "*.jsonl" in allow_patterns))
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    monkeypatch.setenv("DAMDA_CACHE", str(tmp_path / "cache"))
    done = run("hub:owner/set", "--home", tmp_path / "home", "--modes", "bm25", "--json")
    assert done.exit_code == 0, done.output
    assert asked == ["owner/set", "dataset", True]
    assert json.loads(done.stdout)["retrieval"]["bm25"]["sources"]["all"]["hit@1"] == 1


@pytest.mark.parametrize(
    "words, reason",
    [
        ((), "give a data set"),
        (("--modes", "bm25,best"), "best"),
    ],
)
def test_wrong_usage(tmp_path: Path, documents: Path, words: tuple[str, ...], reason: str) -> None:
    given = (asked(tmp_path / "q.csv"), "--documents", documents) if words else ()
    done = run(*given, *words)
    assert done.exit_code == 2 and reason in done.stderr


def test_a_missing_extra_is_named_before_anything_is_indexed(
    tmp_path: Path, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("damda.measure.retrieval.find_spec", lambda name: None)
    done = run(asked(tmp_path / "q.csv"), "--documents", documents)
    assert done.exit_code == 1 and "damda[measure]" in str(done.exception)
    assert not (documents / ".damda").exists()


def test_questions_without_documents(tmp_path: Path, documents: Path) -> None:
    for given, reason in (((asked(tmp_path / "q.csv"),), "--documents"), ((tmp_path / "none.csv",), "does not exist")):
        done = run(*given)
        assert done.exit_code == 1 and reason in str(done.exception)
    done = run(documents)
    assert done.exit_code == 1 and "BEIR" in str(done.exception)


# --- making questions


def chunk(text: str, heading: str = "", number: int = 0) -> Chunk:
    return Chunk(f"d{number}#0", f"d{number}", text, 0, len(text), "", heading)


@pytest.mark.parametrize(
    "text, question, answer",
    [
        ("비밀번호는 90일마다 바꿔야 합니다.", "비밀번호는 며칠마다 바꿔야 하나요?", "90일"),
        ("① 직원은 30분 전까지 도착한다.", "직원은 몇 분 전까지 도착하나요?", "30분"),
        ("- 위약금은 요금의 10%로 정한다.", "위약금은 요금의 몇 퍼센트로 정하나요?", "10%"),
        ("회의에는 12명까지 들어올 수 있다.", "회의에는 몇 명까지 들어올 수 있나요?", "12명"),
        ("식대로 한 달에 200만 원이 지급됩니다.", "식대로 한 달에 얼마가 지급되나요?", "200만 원"),
    ],
)
def test_a_number_is_asked_for(text: str, question: str, answer: str) -> None:
    (row,) = synthesise.by_rules([chunk(text)], 5)
    assert (row["text"], row["answers"], row["made"]) == (question, [answer], "rule: number")


@pytest.mark.parametrize(
    "text", ["3층과 4층에 있다고 한다, 정말 그렇다.", "값은 많다.", "2025년 3월 1일에 시행한다는 말이 있다."]
)
def test_sentences_that_make_no_question(text: str) -> None:
    assert sentences(text) and synthesise.by_rules([chunk(text)], 5) == []


def test_equal_questions_are_dropped_and_documents_take_turns() -> None:
    assert synthesise.by_rules([chunk("본문", "휴가 규정", n) for n in range(3)], 9) == []
    many = [
        chunk(f"{name}는 하루에 {n}명까지 쓸 수 있다.", "", 0) for n, name in enumerate(("회의실", "차량", "창고실"), 5)
    ]
    picked = synthesise.by_rules([*many, chunk("출장비는 하루에 3만 원이 지급된다.", "", 1)], 2)
    assert {row["document"] for row in picked} == {"d0", "d1"}


class Writer:
    id = "writer"

    def stream(self, messages, *, passages=(), max_tokens=512, temperature=0.0, stop=()):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        said = "15일" if "15일" in messages[-1].content else "." if "점" in messages[-1].content else "지어낸 답"
        yield Delta(f"질문: 얼마나 쉬나요?\n답: {said}.", "stop")


def test_a_model_makes_questions_and_inventions_are_dropped() -> None:
    passages = [chunk("연차는 15일이다.", "", 0), chunk("병가는 없다.", "", 1), chunk("점만 있다.", "", 2)]
    (row,) = synthesise.by_model(passages, 5, Writer(), quiet)
    assert row["document"] == "d0" and row["made"] == "writer" and row["text"] == "얼마나 쉬나요?"
