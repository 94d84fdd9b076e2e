"""The one-way house: an import goes down, never up, never across. Read from the source: lazy imports count too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "damda"
FLOORS = [  # top to bottom is ground to roof: a file may import what stands above it in this list
    ["errors", "types"],
    ["library"],
    ["korean", "asked", "child", "api", "runtime", "plain", "hub", "adopted", "sources", "spinning", "door", "sqlite"],
    ["morphemes", "pixels", "home"],
    ["settings"],
    ["config"],
    ["weights", "pretrained", "trace", "overrides"],
    ["traces", "manifest"],
    ["artifact", "unfinished"],
    ["ingest", "embed", "search", "generate"],
    ["answer"],
    ["knowledge"],
    ["measure"],
    ["tune", "compress"],
    ["bench"],
    ["assemble"],
    ["__init__"],  # the public names
    ["serve"],
    ["cli"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(SOURCE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(source: str) -> Iterator[str]:
    """Dotted names of damda's own modules that are imported anywhere in the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "damda")
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where they go"
            if node.module == "damda":
                yield from (f"damda.{alias.name}" for alias in node.names)
            elif node.module and node.module.startswith("damda."):
                yield node.module


def violations(room: str, source: str) -> list[str]:
    found = []
    for name in imports(source):
        other = name.split(".")[1] if "." in name else "__init__"
        if other != room and FLOOR.get(other, 99) >= FLOOR[room]:
            found.append(f"{room} imports {name}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_only_go_down(path: Path) -> None:
    room = room_of(path)
    assert room in FLOOR, f"{room} has no place in the house: give it one in FLOORS and in the design"
    assert violations(room, path.read_text(encoding="utf-8")) == []


def test_the_test_sees_violations() -> None:
    assert violations("embed", "from damda.ingest.chunk import chunk") == ["embed imports damda.ingest.chunk"]
    assert violations("search", "def f():\n    import damda.knowledge") == ["search imports damda.knowledge"]
    assert violations("home", "from damda import ingest") == ["home imports damda.ingest"]
    assert violations("types", "import damda.errors") == ["types imports damda.errors"]
    assert violations("answer", "from damda.search.store import Store\nfrom damda.answer import quote") == []


def test_every_floor_has_its_rooms() -> None:
    assert FLOOR.keys() >= {room_of(path) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_size_and_names(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert not {"utils", "util", "common", "helpers", "helper", "manager", "misc"} & set(path.stem.split("_"))


def test_most_files_are_small() -> None:
    sizes = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES)
    assert sizes[len(sizes) // 2] < 150


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.name != "__init__.py"], ids=lambda p: str(p.relative_to(SOURCE))
)
def test_every_module_says_what_it_knows(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
