"""What `import damda` gives, and what it costs."""

import subprocess
import sys

import pytest

import damda

NAMES = [
    "Answer",
    "Chunk",
    "DamdaError",
    "Delta",
    "Document",
    "Hit",
    "KnowledgeBase",
    "Message",
    "Quote",
    "Report",
    "Status",
    "Where",
    "__version__",
    "llm",
    "open",
]


def test_the_names() -> None:
    assert damda.__all__ == NAMES == dir(damda) and len(NAMES) <= 15
    for name in NAMES:
        assert getattr(damda, name) is not None


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="'damda' has no attribute 'Vessel'"):
        _ = damda.Vessel


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


HEAVY = "numpy lancedb pyarrow onnxruntime onnx tokenizers kiwipiepy pydantic httpx kreuzberg unhwp typer rich"


@pytest.mark.parametrize("names", ["damda", "damda.types, damda.errors, damda.korean, damda.home, damda.weights"])
def test_importing_is_light(names: str) -> None:
    assert run(f"import sys, {names}; print(*(n for n in {HEAVY.split()} if n in sys.modules))") == ""


def test_names_load_when_they_are_used() -> None:
    assert run("import sys, damda; damda.Document; print('numpy' in sys.modules, 'pydantic' in sys.modules)") == (
        "False False"
    )


def test_opening_loads_no_model() -> None:
    """A wrong path is told at once, not after seconds of loading."""
    code = (
        "import sys, damda\n"
        "try: damda.open('/no/such/folder')\n"
        "except damda.DamdaError as error: print(error)\n"
        "print('onnxruntime' in sys.modules, 'kiwipiepy' in sys.modules)"
    )
    said = run(code).splitlines()
    assert said[0].startswith("/no/such/folder does not exist") and said[1] == "False False"
