"""One writer and many readers at once, in processes and in threads."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeAnalyser, FakeEncoder, Opener, found, until

from damda.errors import BusyError
from damda.home import Home
from damda.ingest import sync as sync_module
from damda.search import store as store_module
from damda.search.view import View
from damda.types import Hit

HERE = Path(__file__).parent
DOCUMENTS = 6


def write(root: Path, number: int, turn: int) -> None:
    count = 1 + (number + turn) % 5
    passage = f"word |turn{turn} of {count}| " + "filler " * 250
    (root / f"d{number}.md").write_text("\n\n".join(f"{passage} {line}" for line in range(count)))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sync_module, "_TRUST_AFTER", 0.0)
    root = tmp_path / "docs"
    root.mkdir()
    for number in range(DOCUMENTS):
        write(root, number, 0)
    return root


def child(name: str, *args: object) -> "subprocess.Popen[str]":
    command = [sys.executable, str(HERE / name), *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_readers_never_see_half_a_document(root: Path, tmp_path: Path, open_fake: Opener) -> None:
    home, stop = tmp_path / "home", tmp_path / "stop"
    kb = open_fake(root, settings={"home": str(home)})
    kb.sync()
    readers = [child("search_child.py", root, home, stop) for _ in range(2)]
    until(lambda: len(list(tmp_path.glob("stop.*"))) == len(readers), 60)  # each has searched once
    end, turn = time.monotonic() + 6, 0
    while time.monotonic() < end and all(reader.poll() is None for reader in readers):
        turn += 1
        for number in range(DOCUMENTS):
            if (number + turn) % 2:
                write(root, number, turn)
        kb.sync()
    stop.touch()
    said = [reader.communicate(timeout=30) for reader in readers]
    for reader, (out, err) in zip(readers, said, strict=True):
        assert reader.returncode == 0, err
        turns, versions = map(int, out.split())
        assert turns > 50 and versions > 2 * DOCUMENTS, f"too few to matter: {versions} in {turns} searches"


def test_a_second_writer_is_told(root: Path, tmp_path: Path, open_fake: Opener) -> None:
    home = tmp_path / "home"
    kb = open_fake(root, settings={"home": str(home)})
    with kb._home.writing():
        other = child("index_child.py", root, home, "fake", 0)
        _, err = other.communicate(timeout=30)
        assert other.returncode == 1 and "BusyError: another process is indexing into" in err
        with pytest.raises(BusyError):  # in one process too, and where there is nothing yet that could be searched
            open_fake(root, settings={"home": str(home)}).refresh()
    kb.sync()
    write(root, 0, 1)
    with kb._home.writing():
        assert open_fake(root, settings={"home": str(home)}).refresh() is None, "what is stored so far is used"
        assert len(found(kb, "word")) == DOCUMENTS
    assert (report := kb.refresh()) is not None and report.documents == 1


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path, {})
    with pytest.raises(ZeroDivisionError), home.writing():
        raise ZeroDivisionError
    with home.writing():
        pass


def test_threads_of_one_process_search_while_one_writes(
    root: Path, tmp_path: Path, open_fake: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_REFRESH_SECONDS", 0.0)
    kb = open_fake(root, settings={"home": str(tmp_path / "home")})
    kb.sync()
    stop = threading.Event()

    def read() -> int:
        turns = 0
        while not stop.is_set():
            turns += 1
            for hits in kb.search_batch(["word", "filler |turn1"], 100):
                by_document: dict[str, list[Hit]] = {}
                for hit in hits:
                    by_document.setdefault(hit.chunk.doc_id, []).append(hit)
                assert len(by_document) == DOCUMENTS
        return turns

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        try:
            for turn in range(1, 6):
                write(root, turn % DOCUMENTS, turn)
                kb.sync()
        finally:
            stop.set()
        assert all(reader.result() > 0 for reader in readers)


def test_the_fakes_are_what_they_stand_for() -> None:
    """Equal texts and kinds of Hangul give equal vectors; other encoders give others."""
    encoder = FakeEncoder()
    one, two, three = encoder.encode(["한글", "한글".encode().decode(), "한국"], kind="passage")
    assert (one == two).all() and (one != three).any()
    assert (FakeEncoder("b").encode(["한글"], kind="passage")[0] != one).any()
    assert FakeAnalyser().content(["A b"]) == [["a", "b"]]


def test_a_view_opened_during_a_commit_does_not_outlive_it(
    root: Path, open_fake: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a service, threads search while another stores: what was stored is found by the next search."""
    kb = open_fake(root)
    kb.sync()
    store = kb._store
    assert isinstance(store, store_module.Store)
    forget = store.forget
    threads: list[threading.Thread] = []

    class Slow(View):
        def __init__(self, *args: Any) -> None:  # noqa: ANN401  as the real one
            super().__init__(*args)
            if not threads:
                threads.append(threading.Thread(target=forget, args=[["d0.md"]]))
                threads[0].start()
                threads[0].join(1)

    monkeypatch.setattr(store_module, "View", Slow)
    monkeypatch.setattr(store_module, "_REFRESH_SECONDS", 1e9)
    store._view = None
    store.view()
    threads[0].join()
    assert {hit.chunk.doc_id for hit in kb.search("word", 100)} == {f"d{n}.md" for n in range(1, DOCUMENTS)}


def test_tables_that_are_dropped_while_threads_read(root: Path, open_fake: Opener) -> None:
    kb = open_fake(root)
    kb.sync()
    store = kb._store
    assert isinstance(store, store_module.Store)
    open_fake(root, FakeEncoder("other")).sync()
    together = threading.Barrier(2)
    real = store._outdated

    def both() -> list[str]:
        dropped = real()
        together.wait(10)
        return dropped

    store._outdated = both  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: store.files(), range(2))) == [{}, {}]
