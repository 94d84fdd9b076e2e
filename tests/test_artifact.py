"""The folder that a training leaves behind: whole, or not there."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from damda.artifact import command, data, drafted, forget, may_write, work_folder
from damda.errors import ConfigError


def test_what_is_done_is_there_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with drafted(out) as draft:
        (draft / "model").write_text("whole")
        assert not out.exists()
    assert (out / "model").read_text() == "whole" and [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), drafted(tmp_path / "out") as draft:
        (draft / "half").touch()
        raise error
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".out.draft").mkdir()
    (tmp_path / ".out.draft" / "half").touch()
    with drafted(tmp_path / "out") as draft:
        assert list(draft.iterdir()) == []


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No space left on device.*make room"), drafted(tmp_path / "out"):
        raise OSError(28, "No space left on device")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(ConfigError, match="taken can't be written"), drafted(tmp_path / "taken") as draft:
        (draft / "model").touch()
    assert (tmp_path / "taken" / "file").exists(), "what stands there is never replaced"


def test_it_is_known_before_whether_it_may_be_written(tmp_path: Path) -> None:
    may_write(tmp_path / "new" / "out")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "there").touch()
    with pytest.raises(ConfigError, match="there exists already: give another folder, or delete it"):
        may_write(tmp_path / "there")
    with pytest.raises(ConfigError, match="can't be written"):
        may_write(tmp_path / "there" / "out")


def test_checkpoints_have_a_place_beside_it(tmp_path: Path) -> None:
    work = work_folder(tmp_path / "out")
    assert work.parent == tmp_path and work.name.startswith(".") and work != work_folder(tmp_path / "out2")
    work.mkdir()
    (work / "checkpoint").touch()
    forget(work)
    forget(work)
    assert not work.exists()


def test_data_and_command_for_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pairs.csv").write_text("a")
    found = data(tmp_path / "pairs.csv", 7, "training", "MIT")
    assert (found.name, found.count, found.use, found.licence) == ("pairs.csv", 7, "training", "MIT")
    assert found.sha256 == hashlib.sha256(b"a").hexdigest()
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/damda", "tune", "sts", "pairs.csv"])
    assert command() == "damda tune sts pairs.csv"


def test_a_command_names_no_folder_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["/usr/bin/damda", "tune", "encoder", "/home/someone/docs", "--set", "home=/srv/x", "--epochs=2", "a/b.csv"]
    monkeypatch.setattr("sys.argv", words)
    assert command() == "damda tune encoder docs --set home=x --epochs=2 a/b.csv"


def test_two_at_once(tmp_path: Path) -> None:
    """The second is told, and the first one's draft is left alone."""
    out = str(tmp_path / "out")
    code = f"from pathlib import Path; from damda.artifact import drafted; drafted(Path({out!r})).__enter__()"
    with drafted(tmp_path / "out") as draft:
        (draft / "file").touch()
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert other.returncode and "another process is writing" in other.stderr
        assert (draft / "file").exists()
    assert (tmp_path / "out" / "file").exists()
