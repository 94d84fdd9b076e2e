"""The command line: what is printed where, exit codes, and one run of the real thing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import FakeEncoder, Opener, use_fakes
from typer.testing import CliRunner, Result

from damda.cli import commands, main
from damda.errors import ConfigError, DamdaError
from damda.ingest import sync

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "documents"
app = commands()
runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three small files, and fakes in place of the models."""
    use_fakes(monkeypatch.setattr, FakeEncoder())
    monkeypatch.setattr(sync, "_TRUST_AFTER", 0.0)  # the files are new; waiting for them to age would take seconds
    documents = tmp_path / "docs"
    (documents / "hr").mkdir(parents=True)
    (documents / "hr" / "leave.md").write_text("# Leave\n\nLeave is 15 days a year.\n", encoding="utf-8")
    (documents / "it.txt").write_text("Laptops are lent for three years.\n", encoding="utf-8")
    (documents / "broken.docx").write_bytes(b"PK\x03\x04 not a zip")
    return documents


def run(*words: str | Path) -> Result:
    return runner.invoke(app, [str(word) for word in words])


def test_index_reports_what_was_read_and_what_failed(folder: Path) -> None:
    first = run("index", folder)
    assert first.exit_code == 0, first.output
    assert "2 documents stored" in first.stderr
    assert "broken.docx: " in first.stderr
    again = json.loads(run("index", folder, "--json").stdout)
    assert (again["read"], again["chunks"]) == (0, 0)
    assert [file["source"] for file in again["failed"]] == ["broken.docx"]


def test_strict_tells_unreadable_files_by_the_exit_code(folder: Path) -> None:
    assert run("index", folder, "--strict", "--quiet").exit_code == 4
    (folder / "broken.docx").unlink()
    assert run("index", folder, "--strict", "--quiet").exit_code == 0


def test_quiet_prints_nothing(folder: Path) -> None:
    result = run("index", folder, "--quiet")
    assert (result.stdout, result.stderr) == ("", "")


def test_search_prints_places_and_json(folder: Path) -> None:
    text = run("search", folder, "leave days", "--mode", "bm25", "-q")
    assert "hr/leave.md" in text.stdout and "Leave is 15 days" in text.stdout
    hits = json.loads(run("search", folder, "leave days", "--mode", "bm25", "--json").stdout)
    assert hits[0]["chunk"]["doc_id"] == "hr/leave.md"
    assert hits[0]["cosine"] is None, "a number that is none must not break JSON"


def test_filters(folder: Path) -> None:
    everywhere = json.loads(run("search", folder, "years leave", "--json").stdout)
    assert {hit["chunk"]["source"] for hit in everywhere} == {"hr/leave.md", "it.txt"}
    only = json.loads(run("search", folder, "years leave", "--glob", "hr/**", "--json").stdout)
    assert {hit["chunk"]["source"] for hit in only} == {"hr/leave.md"}


def test_a_run_file_has_trec_s_six_columns(folder: Path, tmp_path: Path) -> None:
    (folder / "with space.txt").write_text("Leave of absence.", encoding="utf-8")
    queries, target = tmp_path / "queries.jsonl", tmp_path / "out.run"
    queries.write_text('{"id": "q1", "text": "leave"}\n{"_id": "q2", "text": "laptops"}\n', encoding="utf-8")
    result = run("search", folder, "--queries", queries, "--run", target, "--mode", "bm25", "--tag", "mine", "-q")
    assert result.exit_code == 0, result.output
    rows = [line.split(" ") for line in target.read_text(encoding="utf-8").splitlines()]
    assert all(len(row) == 6 and row[1] == "Q0" and row[5] == "mine" for row in rows)
    assert {row[2] for row in rows if row[0] == "q1"} == {"hr/leave.md", "with%20space.txt"}
    assert [row[3] for row in rows if row[0] == "q1"] == ["1", "2"]
    assert [row[2] for row in rows if row[0] == "q2"] == ["it.txt"]
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.parametrize(
    "words",
    [
        ("search", "."),
        ("search", ".", "q", "--queries", "f", "--run", "r"),
        ("search", ".", "--queries", "f"),
        ("search", ".", "q", "--meta", "no-equals-sign"),
        ("index", ".", "--set", "nothing"),
        ("nonsense",),
        ("models", "push"),
    ],
)
def test_wrong_usage_exits_with_2(words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words).exit_code == 2


def test_malformed_queries_name_the_line(folder: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"id": "q1", "text": "leave"}\nnot json\n', encoding="utf-8")
    result = run("search", folder, "--queries", queries, "--run", tmp_path / "r")
    assert isinstance(result.exception, DamdaError)
    assert "queries.jsonl, line 2" in str(result.exception)


def test_status_counts(folder: Path) -> None:
    assert json.loads(run("status", folder, "--json").stdout)["pending"] == 3
    run("index", folder, "-q")
    state = json.loads(run("status", folder, "--json").stdout)
    assert (state["documents"], state["pending"], len(state["failed"])) == (2, 0, 1)
    (folder / "it.txt").unlink()
    assert json.loads(run("status", folder, "--json").stdout)["pending"] == 1


def test_settings_come_from_file_and_flags(folder: Path, tmp_path: Path) -> None:
    (folder / "damda.toml").write_text('home = "' + str(tmp_path / "elsewhere") + '"\n', encoding="utf-8")
    assert json.loads(run("status", folder, "--json").stdout)["home"] == str(tmp_path / "elsewhere")
    there = tmp_path / "there"
    assert json.loads(run("status", folder, "--json", "--home", there).stdout)["home"] == str(there)
    assert isinstance(run("status", folder, "--set", "search.moode=bm25").exception, ConfigError)


def test_models_and_doctor_list(monkeypatch: pytest.MonkeyPatch, model_cache: Path) -> None:
    monkeypatch.setenv("DAMDA_CACHE", str(model_cache))
    known = json.loads(run("models", "--json").stdout)
    assert {m["name"]: m["ready"] for m in known["models"]}["e5-small-koen"] is True
    checks = {check["what"]: check for check in json.loads(run("doctor", "--json").stdout)}
    assert checks["encoder"]["ok"] and "384 dimensions" in checks["encoder"]["found"]
    assert "search.mode" in run("doctor", "--settings").stdout


def real(*words: str, cache: Path, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from damda.cli import main; main()", *words]
    environment = os.environ | {"DAMDA_CACHE": str(cache), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, check=False, timeout=180)


def test_the_main_job_on_the_example_documents(model_cache: Path, tmp_path: Path) -> None:
    home = ["--home", str(tmp_path / "home")]
    done = real("ask", str(EXAMPLES), "재택근무는 일주일에 며칠까지 할 수 있나요?", "--json", *home, cache=model_cache)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    first = answer["quotes"][0]
    assert "3일" in first["text"] and first["doc_id"] == "인사/재택근무_지침.md"
    text = (EXAMPLES / first["doc_id"]).read_text(encoding="utf-8")
    assert first["text"] in text
    assert answer["text"].splitlines()[0] == f"{first['text']} [1]"
    refused = real("ask", str(EXAMPLES), "화성 탐사선의 발사 비용은 얼마인가요?", *home, cache=model_cache)
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "문서에서 답을 찾지 못했습니다." in refused.stdout


def test_an_error_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    done = real("ask", str(tmp_path / "nowhere"), "?", cache=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("damda: ") and "does not exist" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    script = f"{sys.executable} -c 'from damda.cli import main; main()' --help | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_questions_from_a_pipe(open_fake: Opener, folder: Path) -> None:
    result = runner.invoke(
        app, ["chat", str(folder), "-q", "--set", "answer.threshold=0"], input="Leave days?\n\nLaptops?\n"
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.count("[1] ") >= 2


def test_chat_shows_a_follow_up_as_it_was_searched_for(open_fake: Opener, folder: Path) -> None:
    talk = ["chat", str(folder), "-q", "--set", "answer.threshold=0"]
    result = runner.invoke(app, talk, input="How many days of leave are there a year?\nAnd for interns?\n")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("searched for:") == 1
    assert "searched for: for interns? How many days of leave are there a year?" in result.stdout
    off = runner.invoke(app, [*talk, "--set", "answer.followup=off"], input="Leave days?\nAnd for interns?\n")
    assert off.exit_code == 0 and "searched for" not in off.stdout


def test_a_model_for_follow_ups_has_to_be_one(folder: Path) -> None:
    result = run("chat", folder, "--set", "answer.followup=model")
    assert isinstance(result.exception, ConfigError) and "answer.generator" in str(result.exception)


def test_every_command_has_help_with_an_example() -> None:
    assert main.__doc__
    for command in ("index", "ask", "chat", "search", "status", "models", "doctor"):
        text = run(command, "--help").stdout
        assert f"damda {command}" in text, f"{command} --help has no example"


def test_ctrl_c_says_what_stays_and_exits_with_130(model_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for n in range(300):
        (tmp_path / "docs" / f"{n}.txt").write_text(f"문서 {n}. " + "긴 문장이 이어집니다. " * 60, encoding="utf-8")
    command = [sys.executable, "-c", "from damda.cli import main; main()", "index", str(tmp_path / "docs")]
    environment = os.environ | {"DAMDA_CACHE": str(model_cache)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert "reading and encoding" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert "damda: interrupted" in said and "Traceback" not in said
