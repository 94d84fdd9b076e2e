"""Threads that wait for one another let go of their cores; what the user says of it stands."""

import importlib.util
import os
import subprocess
import sys

import pytest

from damda import spinning

GNU = sys.platform == "linux" and importlib.util.find_spec("xllamacpp") is not None


@pytest.fixture(autouse=True)
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)


def test_a_program_keeps_its_environment() -> None:
    with spinning.shortly():
        assert os.environ["GOMP_SPINCOUNT"] == spinning.TURNS
    assert "GOMP_SPINCOUNT" not in os.environ
    spinning.short()
    assert os.environ["GOMP_SPINCOUNT"] == spinning.TURNS


@pytest.mark.parametrize(("name", "said"), [("GOMP_SPINCOUNT", "7"), ("OMP_WAIT_POLICY", "active")])
def test_what_the_user_says_stands(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, said)
    before = dict(os.environ)
    with spinning.shortly():
        assert dict(os.environ) == before
    spinning.short()
    assert dict(os.environ) == before


@pytest.mark.skipif(not GNU, reason="needs the extra llama, on Linux")
@pytest.mark.parametrize(
    "load",
    ["from damda.generate import native; native.opened()", "from damda.generate.engine import imported; imported()"],
)
@pytest.mark.parametrize(("said", "turns"), [({}, spinning.TURNS), ({"GOMP_SPINCOUNT": "77"}, "77")])
def test_the_library_is_told(load: str, said: dict[str, str], turns: str) -> None:
    """GNU OpenMP itself says what it goes by."""
    child = {**os.environ, "OMP_DISPLAY_ENV": "verbose", **said}
    done = subprocess.run([sys.executable, "-c", load], env=child, capture_output=True, text=True, check=True)
    assert f"GOMP_SPINCOUNT = '{turns}'" in done.stderr
