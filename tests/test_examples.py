"""The example programs run, and the README's transcript is what the command says. They use the real encoder."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from damda import config

ROOT = Path(__file__).parent.parent
PROGRAMS = sorted((ROOT / "examples").glob("*.py"))
ASK = "import sys; sys.argv[0] = 'damda'; from damda.cli import main; main()"
EXPECTED = {
    "ask.py": r"40대.*\[1\] 제품/나루센스_설치_설명서\.pdf, p\. 2",
    "filters.py": r"one file\n  총무/출장_규정\.md.*HTML files\n  \S+\.html",
    "own_encoder.py": r"인사/취업규칙\.md",
    "own_guard.py": r"●.*\[\d\].*answer: amounts redact amount",
    "own_generator.py": r"\[1\].*인사/\S+ \d+-\d+",
    "own_searcher.py": r"인사/\S+  ",
    "run_file.py": r"\d+ of 38 questions find their document first",
    "search_modes.py": r"hybrid is made of BM25 [\d.]+ and cosine 0\.\d+",
    "stream.py": r"\[1\].*found: True, quotes: [12], passages: 5",
}


@pytest.fixture(scope="module")
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One index for all programs, outside the examples; the developer's model cache where he names one."""
    cache = os.environ.get("DAMDA_CACHE") or str(request.getfixturevalue("model_cache"))
    mine = {key: value for key, value in os.environ.items() if not key.startswith("DAMDA_")}
    home = str(tmp_path_factory.mktemp("home"))
    return mine | {"DAMDA_CACHE": cache, "DAMDA_HOME": home, "PYTHONPATH": str(ROOT / "src"), "PYTHONUTF8": "1"}


def run(arguments: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_program_has_an_expectation_and_fits_a_screen() -> None:
    assert {path.name for path in PROGRAMS} == EXPECTED.keys()
    for path in PROGRAMS:
        assert len(path.read_text(encoding="utf-8").splitlines()) < 40, path.name


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_program_runs(path: Path, environment: dict[str, str], tmp_path: Path) -> None:
    written = tmp_path / "examples.run"
    said = run([str(path), *([str(written)] if path.name == "run_file.py" else [])], environment)
    assert re.search(EXPECTED[path.name], said, re.DOTALL), said
    if path.name == "run_file.py":
        rows = [line.split() for line in written.read_text(encoding="utf-8").splitlines()]
        assert len({row[0] for row in rows}) == 38
        assert all(len(row) == 6 and row[1] == "Q0" for row in rows)


def test_the_readme_s_transcript_is_what_the_command_says(environment: dict[str, str]) -> None:
    """After a change that is meant: python tools/docs.py --transcripts."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(
        r"<!-- transcript -->\n```console\n\$ damda ask (\S+) \"([^\"\n]+)\"\n(.*?)\n```", text, re.DOTALL
    )
    assert shown is not None
    folder, question, expected = shown.groups()
    assert run(["-c", ASK, "ask", folder, question], environment).rstrip("\n") == expected


def test_the_example_settings_are_valid() -> None:
    file = ROOT / "examples" / "damda.toml"
    loaded = config.load(file, env={})
    assert (loaded.answer.quotes, loaded.read.ignore) == (2, ("회의록/", "*.csv"))
    known = config.describe()
    commented = re.findall(r"^# (\w+ = .*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    for line in commented:  # they work once the mark is taken away
        (key,) = tomllib.loads(line)
        assert any(name.rpartition(".")[2] == key for name in known), line
