"""The folder of saved states. No model: whatever bytes llama.cpp writes, these stand for them."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from damda.generate import kv
from damda.generate.kv import Kept, States

MB = 1_000_000


def put(states: States, name: str, body: bytes, used: float = 0.0) -> bool:
    """Saves ``body`` under a key, last used ``used`` seconds after some day long ago."""
    draft = states.draft()
    assert draft is not None
    draft.write_bytes(body)
    done = states.keep(name, draft, len(body))
    assert not draft.exists()
    found = list(states.folder.glob(f"{name}-*"))
    if used and found:
        os.utime(found[0], (used, used))
    return done


def get(states: States, name: str) -> bytes | None:
    path = states.find(name)
    return path.read_bytes() if path else None


def test_what_is_kept_is_found_by_others(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "kv"
    assert put(States(folder, 1), "a", b"one")
    other = States(folder, 1)
    assert get(other, "a") == b"one" and get(other, "b") is None
    assert other.stats() == Kept(1, 3)
    assert folder.stat().st_mode & 0o077 == 0, "passages are in there: nobody else reads them"


def test_no_folder_is_an_empty_one(tmp_path: Path) -> None:
    states = States(tmp_path / "none", 1)
    assert states.find("a") is None and states.stats() == Kept(0, 0) and states.clear() == 0
    assert not states.folder.exists()


def test_a_key_changes_with_any_part_and_any_token() -> None:
    keys = [
        kv.key(parts, tokens)
        for parts in (["ab", "c"], ["a", "bc"], ["ab", "c", ""], ["ab\0c"])
        for tokens in ([1, 2], [12], [1, 2, 3], [2, 1], [])
    ]
    assert len(set(keys)) == len(keys) and kv.key(["ab", "c"], [1, 2]) == keys[0]


@pytest.mark.parametrize("harmed", [b"", b"the whole bod", b"the whole bodY", b"the whole body and more"])
def test_a_damaged_file_is_a_miss_and_goes(tmp_path: Path, harmed: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """llama.cpp would end the process over it."""
    states = States(tmp_path, 1)
    put(states, "a", b"the whole body")
    (path,) = tmp_path.iterdir()
    path.write_bytes(harmed)
    assert states.find("a") is None and not path.exists() and "damaged" in caplog.text
    assert put(states, "a", b"the whole body") and get(states, "a") == b"the whole body"


def test_the_longest_unused_goes_first(tmp_path: Path) -> None:
    states = States(tmp_path, 3)
    for used, name in enumerate("abc", 1):
        put(states, name, name.encode() * MB, used)
    assert states.stats() == Kept(3, 3 * MB)
    assert states.find("a"), "used now, so b is the oldest"
    put(states, "d", b"d" * (MB + MB // 2))
    assert [name for name in "abcd" if states.find(name)] == ["a", "d"]


def test_what_is_larger_than_all_is_not_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    states = States(tmp_path, 1)
    put(states, "a", b"small")
    assert not put(states, "b", b"b" * (MB + 1)) and "llama.kv_megabytes" in caplog.text
    assert get(states, "a") == b"small" and get(states, "b") is None
    assert states.saving and states.fits(MB) and not states.fits(MB + 1)


def test_a_full_disk_ends_saving_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    states = States(tmp_path, 1)
    put(states, "a", b"before")
    for name in "bc":
        draft = tmp_path / f"{name}.part"
        draft.write_bytes(b"only a part")  # the last bytes are lost without an error when a file is closed
        assert not states.keep(name, draft, 1000) and not draft.exists()
    assert states.draft() is None and not states.saving
    assert len(caplog.records) == 1 and "took 11 of 1000 bytes" in caplog.text
    assert get(states, "a") == b"before", "what is there is used all the same"
    assert put(States(tmp_path, 1), "b", b"later"), "the next process tries again"


def test_a_folder_that_can_not_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    states = States(tmp_path / "file" / "kv", 1)
    assert not states.ready() and states.draft() is None and states.find("a") is None and states.stats() == Kept(0, 0)
    assert len(caplog.records) == 1 and "can't be made" in caplog.text


def test_a_folder_that_can_only_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(States(tmp_path, 1), "a", b"body")

    def refuse(path: Path) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(os, "utime", refuse)
    assert get(States(tmp_path, 1), "a") == b"body"


def test_a_folder_that_is_gone_before_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    states = States(tmp_path / "kv", 1)
    draft = states.draft()
    assert draft is not None
    shutil.rmtree(tmp_path / "kv")
    assert not states.keep("a", draft, 5) and not states.saving and len(caplog.records) == 1


def test_who_is_second_uses_what_the_first_has_saved(tmp_path: Path) -> None:
    one, two = States(tmp_path, 1), States(tmp_path, 1)
    drafts = [one.draft(), two.draft()]
    for number, draft in enumerate(drafts):
        assert draft is not None
        draft.write_bytes(b"body %d" % number)
    assert drafts[0] != drafts[1] and drafts[0] and drafts[1]
    assert one.keep("a", drafts[0], 6) and two.keep("a", drafts[1], 6)
    assert one.stats() == Kept(1, 6) and get(two, "a") == b"body 0" and not list(tmp_path.glob("*.part"))


def test_killed_while_it_saves(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from damda.generate.kv import States
draft = States(Path({str(tmp_path)!r}), 1).draft()
draft.write_bytes(b"half")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    (half,) = tmp_path.iterdir()
    states = States(tmp_path, 1)
    assert states.find("a") is None and states.stats() == Kept(0, 0)
    put(states, "a", b"whole")
    assert half.exists(), "somebody may still be at it"
    long_ago = time.time() - 2 * kv.STALE
    os.utime(half, (long_ago, long_ago))
    put(states, "b", b"whole")
    assert not half.exists() and states.stats() == Kept(2, 10)


def test_clear(tmp_path: Path) -> None:
    states = States(tmp_path, 1)
    for name in "ab":
        put(states, name, b"body")
    (tmp_path / "1-2.part").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("not ours")
    assert states.clear() == 3
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


WORK = """
import sys
from pathlib import Path
from damda.generate.kv import States
states = States(Path(sys.argv[1]), 0.003)  # room for three of eight
for turn in range(40):
    name = "k%d" % (turn * 5 % 8)
    path = states.find(name)
    try:
        body = path.read_bytes() if path else None
    except FileNotFoundError:  # the other made room meanwhile
        body = None
    assert body in (None, name.encode() * 500), (name, body[:20])
    if body is None:
        draft = states.draft()
        draft.write_bytes(name.encode() * 500)
        assert states.keep(name, draft, 1000)
assert states.saving
"""


def test_two_processes_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing half written is ever found, nobody trips over what the other deletes, and the cap holds."""
    both = [
        subprocess.Popen([sys.executable, "-c", WORK, str(tmp_path)], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    states = States(tmp_path, 0.003)
    put(states, "last", b"last")
    assert states.stats().bytes <= 3000 and not list(tmp_path.glob("*.part")) and get(states, "last") == b"last"


def test_quiet_where_nothing_is_wrong(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    states = States(tmp_path, 1)
    put(states, "a", b"body")
    assert get(states, "a") and states.clear() == 1 and not caplog.records


def test_what_two_threads_save_at_once_is_kept_once(tmp_path: Path) -> None:
    states = States(tmp_path / "kv", 10)
    both = threading.Barrier(8)

    def save(n: int) -> None:
        draft = states.draft()
        assert draft is not None
        draft.write_bytes(bytes([n]) * 100_000)
        both.wait()
        states.keep("a", draft, 100_000)

    threads = [threading.Thread(target=save, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states.stats().files == 1 and states.find("a") is not None
