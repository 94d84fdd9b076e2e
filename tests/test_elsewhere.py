"""A model in a process of its own: answers side by side, errors, deaths, and who ends whom."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes import until

from damda.errors import GeneratorError, WeightsError
from damda.generate.elsewhere import Elsewhere
from damda.types import Usage


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process finds its module as this one would."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture
def given_up(tmp_path: Path) -> Path:
    return tmp_path / "given-up"


@pytest.fixture
def model(given_up: Path) -> Iterator[Elsewhere]:
    yield Elsewhere("it", "elsewhere_child", "", str(given_up))


def said(model: Elsewhere, prompt: str, most: int = 3) -> str:
    return "".join(delta.text for delta in model.run({"prompt": prompt}, most=most, temperature=0, stop=()))


def test_it_is_as_if_it_were_here(model: Elsewhere) -> None:
    assert (model.context, model.chats) == (64, True) and model.count({"prompt": "하나 둘"}) == 2
    deltas = list(model.run({"prompt": "하나 둘"}, most=2, temperature=0, stop=()))
    assert [delta.text for delta in deltas] == ["말0 ", "말1 ", ""]
    assert (deltas[-1].finish, deltas[-1].usage) == ("length", Usage(2, 2))


def test_many_at_once(model: Elsewhere) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: said(model, "go", n), range(1, 9)))
        counts = list(pool.map(lambda n: model.count({"prompt": "x " * n}), range(8)))
    assert [len(answer.split()) for answer in answers] == list(range(1, 9)) and counts == list(range(8))


def test_a_request_is_given_up(model: Elsewhere, given_up: Path) -> None:
    stream = model.run({"prompt": "long"}, most=1000, temperature=0, stop=())
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # a generator
    until(given_up.exists)
    assert given_up.read_text() == "long\n" and said(model, "go", 1) == "말0 "
    said(model, "go", 2)
    assert given_up.read_text() == "long\n", "those that ended are not given up"


def test_what_fails_is_told_and_the_next_is_answered(model: Elsewhere) -> None:
    with pytest.raises(GeneratorError, match="the library's own words"):
        said(model, "fail")
    assert said(model, "go", 1) == "말0 "


def test_after_its_death_there_is_another(model: Elsewhere) -> None:
    before = model.pid
    other = model.run({"prompt": "long"}, most=1000, temperature=0, stop=())
    next(other)
    for words in ("die", "go"):
        if words == "die":
            with pytest.raises(GeneratorError, match="in which it runs has ended"):
                said(model, words)
        else:
            assert said(model, words, 1) == "말0 "
    with pytest.raises(GeneratorError, match="has ended"):
        list(other)
    assert model.pid != before


@pytest.mark.parametrize(
    ("how", "kind", "why"),
    [("unreadable", WeightsError, r"m\.gguf can't be read"), ("die", GeneratorError, "died loading: is there enough")],
)
def test_what_does_not_load(how: str, kind: type[Exception], why: str) -> None:
    with pytest.raises(kind, match=why):
        Elsewhere("it", "elsewhere_child", how)


def test_it_ends_when_nobody_holds_it(given_up: Path) -> None:
    model = Elsewhere("it", "elsewhere_child", "", str(given_up))
    pid = model.pid
    said(model, "go", 1)
    del model
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_whoever_asked(number: signal.Signals) -> None:
    code = (
        "import time\nfrom damda.generate.elsewhere import Elsewhere\n"
        "model = Elsewhere('it', 'elsewhere_child', '')\nprint(model.pid, flush=True)\ntime.sleep(60)"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.send_signal(number)
        parent.wait(10)

    def gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]

    until(gone)
