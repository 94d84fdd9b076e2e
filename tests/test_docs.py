"""The documentation agrees with the code: generated pages, links, commands, snippets."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from damda import config
from damda.cli import commands

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
READMES = (ROOT / "README.md", ROOT / "README.ko.md")
GENERATED = ("docs/settings.md", "docs/cli.md")

_BLOCK = re.compile(r"(?:<!-- ([^>\n]*) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path) -> list[tuple[str, str, str]]:
    """(the comment above it, language, content) of each fenced block."""
    return _BLOCK.findall(path.read_text(encoding="utf-8"))


def set_up(path: Path) -> dict[str, str]:
    """The set-up commands that a README marks, by name."""
    marked = [(mark.partition("command: ")[2], text.strip()) for mark, _, text in blocks(path) if "command: " in mark]
    assert len(marked) == len(dict(marked)), "a set-up command stands twice"
    return dict(marked)


def commands_in(text: str) -> list[list[str]]:
    """Arguments of each ``damda`` command in a block: after prompts and variables, between pipes and ``&&``."""
    found = []
    for line in text.splitlines():
        words: list[str] = []
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for word in [*lexer, "&&"]:
            if set(word) <= set("|&;<>"):
                if words and words[0].rpartition("/")[2] == "damda":
                    found.append(words[1:])
                words = []
            elif words or not re.fullmatch(r"[A-Z_]+=.*", word):
                words.append(word)
    return found


def parse(arguments: list[str]) -> None:
    """Fails like the command line would on an unknown command or option, or a missing argument."""
    root: Any = get_command(commands())
    if arguments[0].startswith("-"):
        assert arguments[0] in {option for param in root.params for option in param.opts}
        return
    command = root.commands[arguments[0]]
    given = command.make_context(arguments[0], arguments[1:]).params
    pairs = dict(pair.split("=", 1) for pair in given.get("set_") or ())
    assert pairs.keys() <= config.describe().keys()


def test_generated_pages_are_current() -> None:
    done = subprocess.run([sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_numbers_leave_out_what_was_not_measured(tmp_path: Path) -> None:
    program = "import sys; sys.path.insert(0, 'tools'); import docs; from pathlib import Path; "
    program += f"docs.RESULTS = Path({str(tmp_path)!r}); print(docs.numbers('en'))"
    run = [sys.executable, "-c", program]
    assert "No results yet" in subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    machine = {"processor": "one", "memory_gib": 8.0, "python": "3.11"}
    shares = {"gold_in_quotes": 0.5, "gold_in_first_quote": 0.4, "refused_when_removed": 0.3, "refused_wrongly": 0.2}
    shares["refusal_f1"] = 0.1
    answers = {"machine": machine, "date": "2026-01-01", "default_threshold": 0.3, "sources": {"all": {"0.3": shares}}}
    (tmp_path / "answers-x.json").write_text(json.dumps(answers), encoding="utf-8")
    (tmp_path / "start.json").write_text(json.dumps({"machine": machine, "date": "2026-01-01"}), encoding="utf-8")
    said = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "| all | 0.500 | 0.400 | 0.300 | 0.200 | 0.100 |" in said
    assert "start" not in said


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in _LINK.findall(path.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), f"{link} leads nowhere"
        assert there.is_relative_to(ROOT)
        if anchor:
            headings = _HEADING.findall(there.read_text(encoding="utf-8"))
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{link} has no such heading"


def test_the_readme_has_both_set_up_commands_and_no_other_page_repeats_them() -> None:
    found = set_up(READMES[0])
    assert found.keys() == {"install and ask", "install and test"}
    for command in found.values():
        assert "\n" not in command
        assert "pip install" in command
        others = [page for page in PAGES if page not in READMES and command in page.read_text(encoding="utf-8")]
        assert others == []
    assert (ROOT / shlex.split(found["install and ask"])[-2]).is_dir()


def test_both_readmes_have_the_same_commands_snippets_and_transcripts() -> None:
    english, korean = (blocks(path) for path in READMES)
    assert english == korean
    assert set_up(READMES[0]) == set_up(READMES[1])


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_commands_in_the_documentation_exist(path: Path) -> None:
    for _, language, text in blocks(path):
        if language in ("console", "sh"):
            lines = [line for line in text.splitlines() if language == "sh" or line.startswith("$ ")]
            for arguments in commands_in("\n".join(lines)):
                parse(arguments)


def test_the_check_of_commands_sees_mistakes() -> None:
    assert commands_in("$ A=1 damda ask a 'b | c' && x/damda status d | less") == [
        ["ask", "a", "b | c"],
        ["status", "d"],
    ]
    for wrong in (["ask", "folder"], ["ask", "a", "b", "--bogus"], ["bogus"], ["ask", "a", "b", "--set", "bogus=1"]):
        with pytest.raises(Exception):  # noqa: B017  typer has no public class for usage errors
            parse(wrong)


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_python_and_toml_snippets_are_valid(path: Path, tmp_path: Path) -> None:
    for _, language, text in blocks(path):
        if language == "python":
            compile(text, name(path), "exec")
        if language == "toml":
            file = tmp_path / "damda.toml"
            file.write_text(text, encoding="utf-8")
            config.load(file, env={})


def test_every_setting_and_command_is_in_the_reference() -> None:
    settings, cli = ((ROOT / page).read_text(encoding="utf-8") for page in GENERATED)
    for key in config.describe():
        assert f"`{key.rpartition('.')[2]}`" in settings
        assert "DAMDA_" + key.upper().replace(".", "__") in settings
    root: Any = get_command(commands())
    for command in root.commands:
        assert f"## damda {command}" in cli


def test_notice_and_decision_name_every_dependency() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.findall(r'"([a-z0-9-]+)[>=<\[]', project.partition("\ndependencies = [")[2].partition("]")[0])
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    decision = (ROOT / "docs/decisions/0002-dependencies.md").read_text(encoding="utf-8")
    assert len(listed) > 10
    for package in listed:
        assert re.search(rf"^{package} ", notice, re.MULTILINE), package
        assert f"| {package} " in decision, package


def test_decisions_are_numbered_without_gaps() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        assert page.read_text(encoding="utf-8").startswith(f"# {page.name[:4]}: ")


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_lines_of_text_are_wrapped(path: Path) -> None:
    if name(path) in GENERATED:
        return
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fenced ^= line.startswith("```")
        if not fenced and not line.startswith(("|", "```")):
            assert len(line) <= 120, f"line {number}"
