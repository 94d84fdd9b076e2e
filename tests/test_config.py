"""Settings: which source wins, and errors that name the key, the place and the remedy."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from damda.config import describe, load
from damda.errors import ConfigError
from damda.settings import Settings


def toml(folder: Path, text: str) -> Path:
    path = folder / "damda.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults() -> None:
    settings = load(env={})
    assert settings == Settings()
    assert (settings.search.mode, settings.search.rrf_k, settings.encoder.name) == ("hybrid", 60, "e5-small-koen")


def test_later_sources_win(tmp_path: Path) -> None:
    file = toml(tmp_path, 'home = "/a"\n[search]\nmode = "rrf"\nrrf_k = 5\ncandidates = 7\n')
    env = {"DAMDA_SEARCH__RRF_K": "6", "DAMDA_SEARCH__CANDIDATES": "8", "OTHER": "1", "DAMDA_CACHE": "/c"}
    settings = load(file, {"search.candidates": 9, "search.mode": None, "home": None}, env)
    assert settings.home == "/a"
    assert (settings.search.mode, settings.search.rrf_k, settings.search.candidates) == ("rrf", 6, 9)


def test_the_environment_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAMDA_REMOTE__API_KEY", "secret")
    assert load().remote.api_key == "secret"


def test_lists(tmp_path: Path) -> None:
    assert load(env={"DAMDA_READ__IGNORE": "*.log, 임시/"}).read.ignore == ("*.log", "임시/")
    assert load(toml(tmp_path, '[read]\nignore = ["a,b"]'), env={}).read.ignore == ("a,b",)


def test_keys_are_not_shown() -> None:
    settings = load(env={"DAMDA_REMOTE__API_KEY": "secret", "DAMDA_ENCODER__API_KEY": "secret"})
    assert "secret" not in repr(settings)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().search.mode = "bm25"


def test_a_file_from_notepad(tmp_path: Path) -> None:
    path = tmp_path / "damda.toml"
    path.write_text('[search]\r\nmode = "bm25"\r\n', encoding="utf-8-sig", newline="")
    assert load(path, env={}).search.mode == "bm25"


@pytest.mark.parametrize(
    "text, says",
    [
        ('[search]\nmdoe = "rrf"', ["search.mdoe", "unknown setting", "did you mean search.mode", "damda.toml"]),
        ("[serach]\nmode = 1", ["serach", "unknown setting", "damda.toml"]),
        ('[search]\nmode = "best"', ["search.mode", "'best'", "damda.toml"]),
        ("[search]\nrrf_k = 0", ["search.rrf_k", "greater than or equal to 1"]),
        ("[search]\nweight = 1.5", ["search.weight", "less than or equal to 1"]),
        ("[chunk]\ntokens = 3", ["chunk.tokens"]),
        ("search = 3", ["search", "damda.toml"]),
        ("[search.mode]\na = 1", ["search.mode"]),
        ("[[search]]\nmode = 1", ["search"]),
        ("[search", ["damda.toml", "is not TOML"]),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, says: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(toml(tmp_path, text), {"search.candidates": 5}, {})
    assert all(part in str(caught.value) for part in says), str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_source_of_a_wrong_value_is_named(tmp_path: Path) -> None:
    file = toml(tmp_path, "[search]\nrrf_k = 5")
    with pytest.raises(ConfigError, match=r"search\.rrf_k in the environment"):
        load(file, {}, {"DAMDA_SEARCH__RRF_K": "many"})
    with pytest.raises(ConfigError, match=r"search\.rrf_k in the command line"):
        load(file, {"search.rrf_k": -1}, {"DAMDA_SEARCH__RRF_K": "7"})
    with pytest.raises(ConfigError, match=r"search\.rrfk in the environment: unknown.*search\.rrf_k"):
        load(None, {}, {"DAMDA_SEARCH__RRFK": "7"})


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "cp949.toml").write_bytes("home = '휴가'".encode("cp949"))
    with pytest.raises(ConfigError, match="is not TOML"):
        load(tmp_path / "cp949.toml")


def test_every_setting_is_described() -> None:
    names = describe()
    assert {"home", "offline", "search.rrf_k", "chunk.tokens", "read.max_bytes"} <= names.keys()
    assert [name for name, text in names.items() if not text] == []
