"""The page's files by themselves: nothing from elsewhere, nothing inline, the same words in both languages."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "src" / "damda" / "serve" / "page"
SCRIPTS = sorted(path for path in PAGE.glob("*.js") if path.name != "docs.js")
INDEX = (PAGE / "index.html").read_text(encoding="utf-8")
MESSAGE = re.compile(r'^  "([^"]+)": \["((?:[^"\\]|\\.)*)", "((?:[^"\\]|\\.)*)"\],$', re.MULTILINE)
MESSAGES = {
    key: (korean, english) for key, korean, english in MESSAGE.findall((PAGE / "i18n.js").read_text(encoding="utf-8"))
}
COMPUTED = ("kind.", "view.", "mode.", "work.", "error.", "ask.up", "ask.down", "document.moved", "document.gone")


def test_index_refers_to_files_that_exist() -> None:
    named = re.findall(r'(?:src|href)="([^"#]+)"', INDEX)
    assert "page/main.js" in named and "page/style.css" in named
    for name in named:
        assert name.startswith("page/") and (PAGE.parent / name).is_file(), name


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_modules_import_what_exists(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    for names, module in re.findall(r'^import \{?([^}"]+?)\}? from "([^"]+)";', source, re.MULTILINE):
        assert module.startswith("./"), module
        other = (PAGE / module).read_text(encoding="utf-8")
        for name in [] if names.startswith("*") else names.split(","):
            assert re.search(rf"^export (?:async )?(?:const|function\*?|class) {name.strip()}\b", other, re.MULTILINE)


def test_nothing_is_inline() -> None:
    # The service's Content-Security-Policy would refuse it, silently for whoever looks at the page.
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", INDEX) == []
    assert re.findall(r"<script(?![^>]*\ssrc=)[^>]*>", INDEX) == []


@pytest.mark.parametrize("path", sorted(PAGE.iterdir()), ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*|@import|@font-face", path.read_text(encoding="utf-8"))
    assert [url for url in found if url != "http://www.w3.org/2000/svg"] == []  # a name, not an address


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_text_is_ever_parsed_as_html(path: Path) -> None:
    banned = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc"
    assert re.findall(rf"{banned}|setHTML|\beval\(|new Function", path.read_text(encoding="utf-8")) == []


def test_both_languages_say_everything() -> None:
    assert len(MESSAGES) > 100
    rows = [line for line in (PAGE / "i18n.js").read_text(encoding="utf-8").splitlines() if line.startswith('  "')]
    assert len(rows) == len(MESSAGES), "a line of MESSAGES is not a pair, or a key stands there twice"
    for key, (korean, english) in MESSAGES.items():
        assert korean.strip() and english.strip(), key
        filled = [set(re.findall(r"\{(\w+)\}", text)) for text in (korean, english)]
        chosen = set(re.findall(r"\{(\w+)\|", english))
        assert filled[0] <= filled[1] | chosen and filled[1] <= filled[0], key


def test_what_is_said_has_words_and_all_words_are_used() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS if path.name != "i18n.js")
    said = set(re.findall(r'data-t(?:-label|-placeholder)?="([^"]+)"', INDEX))
    said |= set(re.findall(r'"((?:\w+\.)+[\w ]+|\w+)"', source)) & MESSAGES.keys()
    called = set(re.findall(r'\b(?:say|name|t)\((?:[^()]|\([^()]*\))*?"(\w+(?:\.\w+)+)"', source))
    assert called - MESSAGES.keys() == set() and said <= MESSAGES.keys()
    assert {key for key in MESSAGES.keys() - said if not key.startswith(COMPUTED)} == set()
