"""The folder of an index: whose it is, what it was made with, who may write."""

import json
from pathlib import Path

import pytest

from damda.errors import BusyError, ConfigError, StoreError
from damda.home import Home, home_of

PARTS = {"encoder": "a", "chunks": "1"}


def test_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "휴가.md").touch()
    assert home_of(tmp_path) == tmp_path / ".damda"
    assert home_of(tmp_path / "휴가.md") == tmp_path / ".damda" / "휴가.md"
    assert home_of(tmp_path, "/var/x") == Path("/var/x")
    assert home_of(tmp_path, "~/x") == Path.home() / "x"


def test_changes_name_the_part(tmp_path: Path) -> None:
    home = Home(tmp_path / "h", tmp_path, PARTS)
    assert home.changes() == "", "nothing is there yet, so nothing changes"
    with home.writing():
        home.describe()
    assert Home(tmp_path / "h", tmp_path, PARTS).changes() == ""
    other = Home(tmp_path / "h", tmp_path, {"encoder": "b", "chunks": "1", "new": "x"})
    assert other.changes() == "encoder a -> b, new None -> x"
    assert other.fingerprint != home.fingerprint
    assert Home(tmp_path, tmp_path, dict(reversed(PARTS.items()))).fingerprint == home.fingerprint


def test_it_belongs_to_one_root(tmp_path: Path) -> None:
    home = Home(tmp_path / "h", tmp_path / "a", PARTS)
    with home.writing():
        home.describe()
    with pytest.raises(ConfigError, match="give another --home"):
        Home(tmp_path / "h", tmp_path / "b", PARTS)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"3", b"\xff\xfe"])
def test_a_description_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "home.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"home\.json can't be read.*index again"):
        Home(tmp_path, tmp_path, PARTS)


def test_describing_is_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path, tmp_path, PARTS)
    home.describe()
    before = (tmp_path / "home.json").read_bytes()

    def full(self: Path, text: str, encoding: str) -> None:
        self.write_bytes(text.encode(encoding)[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(StoreError, match="No space left"):
            Home(tmp_path, tmp_path, {"encoder": "b"}).describe()
    assert (tmp_path / "home.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["home.json"], "no draft stays behind"
    assert json.loads(before) == {"root": str(tmp_path), "parts": PARTS}


def test_one_writer(tmp_path: Path) -> None:
    one, two = Home(tmp_path / "h", tmp_path, PARTS), Home(tmp_path / "h", tmp_path, PARTS)
    with one.writing(), pytest.raises(BusyError, match="another process"), two.writing():
        pass
    with two.writing():
        pass


def test_a_home_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="--home"), Home(tmp_path / "file" / "h", tmp_path, PARTS).writing():
        pass
