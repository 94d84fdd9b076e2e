"""The process that parsers run in: hangs, crashes, interrupts, orphans."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from reading_fixtures import docx, para, read_bytes

from damda import child
from damda.errors import ReadError
from damda.ingest.process import WORKER, Worker


def test_text_formats_start_no_worker(tmp_path: Path) -> None:
    for name, content in (("a.md", "# a"), ("b.txt", "b"), ("c.csv", "a,b\n1,2"), ("d.html", "<p>d")):
        (tmp_path / name).write_text(content)
    (tmp_path / "e.jsonl").write_text('{"id": 1, "text": "x"}')
    code = (
        "import sys; from pathlib import Path; from damda.settings import ReadSettings as S;"
        "from damda.ingest.walk import walk;"
        "from damda.ingest.read import read; from damda.ingest.process import WORKER;"
        f"print(len([read(f, S()) for f in walk(Path({str(tmp_path)!r}), S())[0]]), WORKER.pid,"
        "[m for m in ('kreuzberg', 'unhwp', 'multiprocessing') if m in sys.modules])"
    )
    assert _python(code).split("\n")[0] == "5 None []"


def _python(code: str) -> str:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _worker_that_runs(code: str, monkeypatch: pytest.MonkeyPatch) -> Worker:
    def start(module: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    monkeypatch.setattr(child, "started", start)
    return Worker()


def test_a_parser_that_hangs_costs_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = _worker_that_runs("import time; time.sleep(60)", monkeypatch)
    start = time.perf_counter()
    with pytest.raises(ReadError, match=r"took more than 0.5 s to read"):
        worker.parse("docx", b"x" * 5_000_000, seconds=0.5, chars=100)
    assert time.perf_counter() - start < 5 and worker.pid is None
    monkeypatch.undo()
    assert worker.parse("docx", docx(para("다음")), seconds=20, chars=100).text == "다음"
    worker.close()


def test_a_parser_that_crashes_costs_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = _worker_that_runs("import os, sys; sys.stdin.buffer.readline(); os.abort()", monkeypatch)
    with pytest.raises(ReadError, match="crashed"):
        worker.parse("docx", b"x", seconds=20, chars=100)
    assert worker.pid is None


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    read_bytes(tmp_path, "a.docx", docx(para("하나")))
    first = WORKER.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    time.sleep(0.1)
    assert read_bytes(tmp_path, "b.docx", docx(para("둘")))[0].text == "둘"
    second = WORKER.pid
    assert second != first
    assert read_bytes(tmp_path, "c.docx", docx(para("셋")))[0].text == "셋"
    assert WORKER.pid == second


def test_the_worker_imports_nothing_from_the_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    worker = Worker()
    assert worker.parse("docx", docx(para("글")), seconds=20, chars=100).text == "글"
    worker.close()


def test_an_interrupted_answer_is_not_given_to_the_next_file(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker()
    assert worker.parse("docx", docx(para("하나")), seconds=20, chars=100).text == "하나"

    def interrupted(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(child, "_exchange", interrupted)
    with pytest.raises(KeyboardInterrupt):
        worker.parse("docx", b"", seconds=20, chars=100)
    assert worker.pid is None


def test_no_worker_outlives_its_parent(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(docx(para("글")))
    code = (
        "import time; from damda.ingest.process import WORKER;"
        f"WORKER.parse('docx', open({str(tmp_path / 'a.docx')!r}, 'rb').read(), seconds=20, chars=100);"
        "print(WORKER.pid, flush=True); time.sleep(60)"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    env = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert _alive(worker)
        parent.kill()
    deadline = time.monotonic() + 10
    while _alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(worker)


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_hanging_worker_ends_itself() -> None:
    code = (
        "import time, damda.ingest.worker as w; w._GRACE = 0.2;w.PARSERS['pdf'] = lambda data: time.sleep(60); w.main()"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    with subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.PIPE
    ) as hung:
        assert hung.stdin is not None
        hung.stdin.write(b'{"format": "pdf", "size": 0, "seconds": 0.2, "chars": 1}\n')
        hung.stdin.flush()
        assert hung.wait(timeout=20) == -signal.SIGALRM
