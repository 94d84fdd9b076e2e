"""Kiwi's process: the same words, whatever happens to it."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes import until

from damda import child
from damda.errors import ConfigError, DamdaError
from damda.korean import Morphemes
from damda.morphemes import MorphemeProcess

TEXTS = ["재택근무규정에 대해", "", "줄\n바꿈 \t ", "GPT-4와 3.2%", "漢字 😀", "\udc80 휴가"]


@pytest.fixture(scope="module")
def process() -> MorphemeProcess:
    return MorphemeProcess()


def pid(process: MorphemeProcess) -> int:
    assert process._child.pid is not None
    return process._child.pid


def test_it_gives_the_words_of_kiwi_in_this_process(process: MorphemeProcess, morphemes: Morphemes) -> None:
    assert process.content(TEXTS) == morphemes.content(TEXTS)
    assert process.content([]) == []
    assert process.id == morphemes.id, "stored words of the one are words of the other"


def test_analysers_share_a_process_and_threads_too(process: MorphemeProcess) -> None:
    expected = process.content(TEXTS)
    other = MorphemeProcess()
    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(other.content, [TEXTS] * 20))
    assert pid(other) == pid(process)


def test_ctrl_c_leaves_it_and_a_kill_costs_one_start(process: MorphemeProcess) -> None:
    before = process.content(["휴가 규정"])
    first = pid(process)
    os.kill(first, signal.SIGINT)
    assert process.content(["휴가 규정"]) == before and pid(process) == first
    os.kill(first, signal.SIGKILL)
    assert process.content(["휴가 규정"]) == before and pid(process) != first


def test_killed_twice_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: str) -> "subprocess.Popen[bytes]":
        code = "import os; os.abort()"
        return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    own = MorphemeProcess()
    monkeypatch.setattr(own, "_child", child.Child("a.module"))
    monkeypatch.setattr(child, "started", start)
    with pytest.raises(DamdaError, match="memory"):
        own.content(["휴가"])


def test_a_user_dictionary(tmp_path: Path, process: MorphemeProcess) -> None:
    file = tmp_path / "words.tsv"
    file.write_text("담다봇\tNNP\n", encoding="utf-8")
    own = MorphemeProcess(str(file))
    assert own.content(["담다봇과 쓴다"])[0][0] == "담다봇" != process.content(["담다봇과 쓴다"])[0][0]
    file.write_text("no tab", encoding="utf-8")
    broken = MorphemeProcess(str(file))
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"words\.tsv"):
            broken.content(["담다봇"])
    for process in (own, broken):
        process._child.close()
    with pytest.raises(ConfigError, match="No such file"):
        MorphemeProcess(str(tmp_path / "none.tsv"))


def test_loading_does_not_wait_and_ends_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('planted')")
    code = (
        "import time; from damda.morphemes import MorphemeProcess as M; m = M();"
        "since = time.perf_counter(); m.load(); took = time.perf_counter() - since;"
        "print(m._child.pid, took, m.content(['휴가를'])[0][0] == '휴가', flush=True); time.sleep(60)"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    parent = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        number, took, right = parent.stdout.readline().split()
        assert float(took) < 0.5 and right == "True"
        parent.kill()
    stat = Path(f"/proc/{number}/stat")
    until(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_time_outs_are_told_from_deaths() -> None:
    slow = child.Child("damda.morphemes")
    since = time.monotonic()
    with pytest.raises(TimeoutError):
        slow.ask(b'["x"]\n', seconds=0.05)
    assert time.monotonic() - since < 5 and slow.pid is None
