"""The file that traces are kept in: several writers, damage, full disks, age, feedback; and reading it."""

import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracing_fixtures import Start, latest, outline, steps

from damda import trace
from damda.errors import StoreError
from damda.trace import local
from damda.trace.schema import MIGRATIONS, NAME, open_for_writing
from damda.traces import Traces

WRITER = """
import sys
from pathlib import Path
from damda import config, trace
tracing = trace.start(config.load(env={}), Path(sys.argv[1]))
for n in range(200):
    with trace.span(f"{sys.argv[2]}", {"n": n}):
        with trace.span("below"): pass
    if n % 20 == 0:
        tracing.flush()
"""


def write(*names: str) -> None:
    for name in names:
        with trace.span(name):
            pass
    tracing = trace.active()
    assert tracing is not None
    tracing.flush()


def names(home: Path) -> list[str]:
    return [one.name for one in Traces(home).recent()]


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    traces = Traces(tmp_path)
    found = traces.recent(1000)
    assert sorted(one.name for one in found) == ["a"] * 200 + ["b"] * 200
    assert {outline(kept)[1] for one in found[:20] if (kept := traces.get(one.id))} == {"  below"}
    assert [one.started for one in found] == sorted((one.started for one in found), reverse=True)


def test_there_are_none(tmp_path: Path) -> None:
    traces = Traces(tmp_path)
    assert (traces.recent(), traces.get("0" * 32), traces.matching("a"), traces.feedback("0" * 32, 1)) == (
        [],
        None,
        [],
        False,
    )
    assert not (tmp_path / NAME).exists()


def test_pages_and_filters(tmp_path: Path, start: Start) -> None:
    start(tmp_path)
    write(*"abcde")
    traces = Traces(tmp_path)
    first = traces.recent(2)
    assert [one.name for one in first] == ["e", "d"]
    assert [one.name for one in traces.recent(2, before=first[-1].started)] == ["c", "b"]
    assert traces.recent(slow_ms=60_000) == [] and len(traces.recent(slow_ms=0)) == 5
    assert traces.matching(first[0].id[:20]) == [first[0].id]
    assert traces.matching(first[0].id[:20].upper()) == [first[0].id]
    assert len(traces.matching("")) == 5


def test_feedback_joins_its_trace_and_goes_with_it(tmp_path: Path, start: Start) -> None:
    start(tmp_path, keep=2)
    with trace.span("answer") as step:
        pass
    traces = Traces(tmp_path)
    assert traces.feedback(step.trace_id, 1, "exact"), "however soon it comes"
    assert traces.feedback(step.trace_id, -1, "not so exact")
    (one,) = traces.recent(bad=True)
    assert (one.id, one.feedback, one.comment) == (step.trace_id, -1, "not so exact")
    assert traces.feedback(step.trace_id, 0) and traces.recent()[0].feedback is None
    assert traces.feedback(step.trace_id, -1)
    assert not traces.feedback("f" * 32, 1), "nobody can speak of what is not kept"
    trace.active().close()  # type: ignore[union-attr]
    start(tmp_path, keep=1)
    write("newer")
    assert names(tmp_path) == ["newer"]
    with sqlite3.connect(tmp_path / NAME) as connection:
        assert connection.execute("SELECT count(*) FROM feedback").fetchone() == (0,)
    connection.close()


def test_old_and_too_many_traces_go(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_PRUNE_AFTER", 10)
    start(tmp_path, keep=25, keep_days=1)
    write("first")
    with sqlite3.connect(tmp_path / NAME) as connection:
        connection.execute("UPDATE traces SET began = began - ?", (2 * 86400 * 10**9,))
    connection.close()
    write(*("later" for _ in range(10)))
    assert set(names(tmp_path)) == {"later"}
    write(*("last" for _ in range(100)))
    assert Traces(tmp_path).recent(1000)[0].name == "last"
    assert len(Traces(tmp_path).recent(1000)) == 25


def test_a_trace_that_never_ends_is_cut(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller may send one traceparent with all his requests."""
    monkeypatch.setattr(local, "_PUT", local._PUT.replace(str(local._MOST), "2000"))
    tracing = start(tmp_path)
    for n in range(100):
        with trace.span("request", {"n": n}, traceparent=f"00-{'a' * 32}-{'b' * 16}-01"):
            pass
        tracing.flush()
    kept = Traces(tmp_path).get("a" * 32)
    assert 5 < len(steps(kept)) < 30
    assert (tmp_path / NAME).stat().st_size < 100_000


def test_what_is_running_is_listed(tmp_path: Path, start: Start) -> None:
    tracing = start(tmp_path)
    with trace.span("whole"):
        with trace.span("done"):
            pass
        tracing.flush()
        (one,) = Traces(tmp_path).recent()
        assert (one.name, one.status, one.ms) == ("done", "unfinished", None)
        with trace.span("more"):
            pass
    tracing.flush()
    (one,) = Traces(tmp_path).recent()
    assert (one.name, one.status) == ("whole", "ok") and one.ms is not None
    assert outline(latest(tmp_path)) == ["whole", "  done", "  more"]


# --- when the disk does not want to


def test_a_damaged_file_is_moved_aside(tmp_path: Path, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"this is no database, and long enough to look like one" * 100)
    with pytest.raises(StoreError, match="can't be read"):
        Traces(tmp_path).recent()
    with caplog.at_level(logging.WARNING):
        start(tmp_path)
        write("after")
        write("and after that")
    assert names(tmp_path) == ["and after that", "after"]
    assert (tmp_path / f"{NAME}.broken-1").read_bytes().startswith(b"this is no database")
    assert [r.message for r in caplog.records if "broken-1" in r.message and "anew" in r.message] != []
    assert len(caplog.records) == 1


def test_a_file_that_is_damaged_while_it_is_used(tmp_path: Path, start: Start) -> None:
    path = tmp_path / NAME
    path.with_name(f"{NAME}.broken-1").write_bytes(b"an earlier one")
    start(tmp_path)
    write(*("before" for _ in range(300)))
    content = bytearray(path.read_bytes())
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(path.read_bytes())
    content[0:4096] = b"\xff" * 4096
    path.write_bytes(content)
    write("lost or kept")
    write("after")
    assert names(tmp_path)[0] == "after"
    assert path.with_name(f"{NAME}.broken-2").exists()


def test_a_file_that_was_deleted_while_it_was_used(tmp_path: Path, start: Start) -> None:
    start(tmp_path)
    write("before")
    for path in tmp_path.glob(f"{NAME}*"):
        path.unlink()
    write("after")
    assert names(tmp_path) == ["after"]


def test_a_home_that_is_no_folder(tmp_path: Path, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    home = tmp_path / "home"
    home.write_text("a file")
    with caplog.at_level(logging.WARNING):
        start(home)
        for _ in range(3):
            write("lost")
    (record,) = caplog.records
    assert "traces can't be kept" in record.message and "trace.on" in record.message and "\n" not in record.message
    home.unlink()
    write("kept")
    assert names(home) == ["kept"], "it goes on as soon as it can"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no small disk to fill: mounting a tmpfs is not permitted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk(small_disk: Path, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    start(small_disk)
    write("before")
    full = small_disk / "full"
    with pytest.raises(OSError), full.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with caplog.at_level(logging.WARNING):
        for _ in range(60):
            write(*("lost" for _ in range(20)))
    (record,) = caplog.records
    assert "free some space" in record.message
    full.unlink()
    write("after")
    assert names(small_disk)[0] == "after" and "before" in {one.name for one in Traces(small_disk).recent(2000)}


def test_a_read_only_disk_can_be_read(small_disk: Path, start: Start) -> None:
    start(small_disk)
    write("kept")
    trace.active().close()  # type: ignore[union-attr]
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert names(small_disk) == ["kept"]
    with pytest.raises(StoreError, match="can't be written"):
        Traces(small_disk).feedback(Traces(small_disk).recent()[0].id, 1)


# --- migrations


def test_a_file_of_a_newer_damda(tmp_path: Path, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    open_for_writing(tmp_path / NAME).close()
    with sqlite3.connect(tmp_path / NAME) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(StoreError, match="newer damda"):
        Traces(tmp_path).recent()


def test_processes_migrate_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from damda.trace.schema import *\n"
        "open_for_writing(Path(sys.argv[1])).close()"
    )
    begun = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / NAME)]) for _ in range(4)]
    assert [process.wait(60) for process in begun] == [0] * 4
    with sqlite3.connect(tmp_path / NAME) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    connection.close()


def test_times_are_those_of_the_clock(tmp_path: Path, start: Start) -> None:
    begun = time.time()
    start(tmp_path)
    write("now")
    (one,) = Traces(tmp_path).recent()
    assert begun - 1 <= one.started <= time.time() + 1
    assert one.ms is not None and 0 <= one.ms < 60_000
