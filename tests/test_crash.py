"""kill -9 and a full disk: nothing that was reported as stored is lost, nobody sees half a document, the next run
completes the rest."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import FakeEncoder, Opener, found, until

from damda.errors import StoreError
from damda.ingest import sync as sync_module
from damda.ingest.chunk import chunk
from damda.knowledge import KnowledgeBase
from damda.search.rows import COLUMNS
from damda.search.store import Store
from damda.types import Chunk

TOKENS = 16
CHILD = Path(__file__).with_name("index_child.py")


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_module, "_TRUST_AFTER", 0.0)


def write(root: Path, name: str, turn: int) -> None:
    """A document of one to five passages that all say of which turn they are."""
    lines = 1 + (hash_of(name) + turn) % 5
    (root / name).write_text("\n\n".join(f"word turn{turn} line{line} " + "filler " * 250 for line in range(lines)))


def hash_of(name: str) -> int:
    return sum(map(ord, name))


def rows(kb: KnowledgeBase) -> dict[str, list[Chunk]]:
    store = kb._store
    assert isinstance(store, Store)
    table = store._open(store._chunks)
    if table is None:
        return {}
    found: dict[str, list[Chunk]] = {}
    for row in table.search().select(COLUMNS).to_arrow().to_pylist():
        found.setdefault(row["doc_id"], []).append(Chunk(**row))
    return {doc_id: sorted(chunks, key=lambda c: c.start) for doc_id, chunks in found.items()}


def check_whole(kb: KnowledgeBase) -> dict[str, list[Chunk]]:
    """Every document that can be found is there with its text and all passages of one version."""
    documents = rows(kb)
    for doc_id, chunks in documents.items():
        document = kb.document(doc_id, chunks[0].version)
        assert document is not None, f"{doc_id} has passages but no text"
        assert chunks == chunk(document, FakeEncoder().count_tokens, 256), f"{doc_id} is not whole"
    return documents


def equals(kb: KnowledgeBase, fresh: KnowledgeBase) -> None:
    fresh.sync()
    assert check_whole(kb) == check_whole(fresh)
    assert found(kb, "word") == found(fresh, "word")
    assert kb.status().documents == fresh.status().documents and kb.status().pending == 0


class Indexing:
    """A child process that indexes ``root``; what it says goes to a file."""

    def __init__(self, root: Path, home: Path, *args: str, encoder: str = "fake", pause: float = 0.0) -> None:
        self.log = home.parent / f"said-{time.monotonic_ns()}"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(CHILD), str(root), str(home), encoder, str(pause), *args], stdout=out
            )

    def said(self) -> list[str]:
        return self.log.read_text().splitlines()

    def ready(self) -> None:
        until(lambda: "ready" in self.said() or self.process.poll() is not None)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    root.mkdir()
    for number in range(30):
        write(root, f"d{number:02}.md", 0)
    return root


def test_killed_again_and_again(root: Path, tmp_path: Path, open_fake: Opener) -> None:
    """Eight kills at random moments; between them documents are changed, removed and added."""
    home = tmp_path / "home"
    chance = random.Random(7)
    finished = 0
    turns = dict.fromkeys((path.name for path in root.iterdir()), 0)
    for turn in range(1, 9):
        child = Indexing(root, home, pause=0.04)
        child.ready()
        time.sleep(chance.uniform(0.0, 0.8))
        child.kill()
        said = child.said()
        finished += "done" in said

        reader = open_fake(root, settings={"home": str(home)})
        documents = check_whole(reader)
        for line in said:
            what, _, source = line.partition(" ")
            if what == "stored":
                assert source in documents, f"turn {turn}: {source} was reported and is lost"
                assert f"turn{turns[source]} " in documents[source][0].text
            elif what == "removed":
                assert source not in documents
        for name in chance.sample(sorted(turns), 8):
            write(root, name, turn)
            turns[name] = turn
        gone, new = chance.choice(sorted(turns)), f"new{turn}.md"
        (root / gone).unlink()
        del turns[gone]
        write(root, new, turn)
        turns[new] = turn
    assert finished < 6, "most of the runs must have been cut off, or this tests nothing"

    kb = open_fake(root, settings={"home": str(home)})
    kb.sync()
    equals(kb, open_fake(root, settings={"home": str(tmp_path / "fresh")}))


@pytest.mark.parametrize(
    "step, when, count",
    [
        ("put", "after", 2),  # documents stored, files not yet
        ("forget", "before", 1),
        ("record", "after", 1),
        ("finish", "before", 1),  # everything stored, nothing indexed
        ("finish", "after", 1),  # only the home's description is missing
    ],
)
def test_killed_at_a_step(root: Path, tmp_path: Path, open_fake: Opener, step: str, when: str, count: int) -> None:
    home = tmp_path / "home"
    settings = {"home": str(home)}
    first = open_fake(root, settings=settings)
    first.sync()
    before = check_whole(first)
    for number in range(10):
        write(root, f"d{number:02}.md", 1)
    (root / "d29.md").unlink()
    child = Indexing(root, home, step, when, str(count))
    assert child.process.wait(30) == -signal.SIGKILL
    reader = open_fake(root, settings=settings)
    for doc_id, chunks in check_whole(reader).items():
        assert chunks == before[doc_id] or "turn1 " in chunks[0].text
    report = reader.refresh()
    assert report is not None and report.rebuilt == ""
    equals(reader, open_fake(root, settings={"home": str(tmp_path / "fresh")}))
    store = reader._store
    assert isinstance(store, Store) and not store.unfinished()


def test_killed_between_a_text_and_its_passages(root: Path, tmp_path: Path, open_fake: Opener) -> None:
    """The text of a version that nothing refers to: not found, and tidied away by the next run."""
    home = tmp_path / "home"
    child = Indexing(root, home, "_make", "after", "2")  # of the first put: texts, then passages
    assert child.process.wait(30) == -signal.SIGKILL
    reader = open_fake(root, settings={"home": str(home)})
    assert rows(reader) == {}
    (root / "d00.md").unlink()
    reader.sync()
    store = reader._store
    assert isinstance(store, Store)
    texts = store._open(store._documents)
    assert texts is not None and texts.count_rows() == 29
    equals(reader, open_fake(root, settings={"home": str(tmp_path / "fresh")}))


def test_killed_before_a_file_is_done_that_is_deleted_then(root: Path, tmp_path: Path, open_fake: Opener) -> None:
    """Its documents are stored, its state is not; the next run must not take them for a file's that is there."""
    home = tmp_path / "home"
    child = Indexing(root, home, "put", "after", "1")
    assert child.process.wait(30) == -signal.SIGKILL
    reader = open_fake(root, settings={"home": str(home)})
    gone = min(rows(reader))
    (root / gone).unlink()
    reader.sync()
    assert gone not in rows(reader)
    equals(reader, open_fake(root, settings={"home": str(tmp_path / "fresh")}))


def test_killed_while_the_encoder_changes(root: Path, tmp_path: Path, open_fake: Opener) -> None:
    home = tmp_path / "home"
    settings = {"home": str(home)}
    before = open_fake(root, FakeEncoder("first"), settings=settings)
    before.sync()
    expected = check_whole(before)
    for step in ("put", "record"):
        child = Indexing(root, home, step, "after", "2", encoder="second")
        assert child.process.wait(30) == -signal.SIGKILL
        reader = open_fake(root, FakeEncoder("first"), settings=settings)
        assert check_whole(reader) == expected, "the old index serves until the new one is whole"
    kb = open_fake(root, second := FakeEncoder("second"), settings=settings)
    assert kb.changes() == "encoder first -> second"
    report = kb.sync()
    assert report.rebuilt == "encoder first -> second"
    assert 0 < report.documents < 30 and len(second.encoded) == report.chunks, "what the killed runs stored is kept"
    (hit, *_) = kb.search(second.encoded[0], mode="dense")
    assert hit.cosine == pytest.approx(1, abs=1e-5)
    equals(kb, open_fake(root, FakeEncoder("second"), settings={"home": str(tmp_path / "fresh")}))


# --- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("no small disk to fill: mounting a tmpfs is not permitted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk(root: Path, small_disk: Path, tmp_path: Path, open_fake: Opener) -> None:
    settings = {"home": str(small_disk / "home")}
    few = tmp_path / "aside"
    few.mkdir()
    for path in sorted(root.iterdir())[3:]:
        path.rename(few / path.name)
    kb = open_fake(root, settings=settings)
    kb.sync()
    before = check_whole(kb)
    assert len(before) == 3

    for path in few.iterdir():
        path.rename(root / path.name)
    for number in range(200):
        write(root, f"more{number:03}.md", 0)
    write(root, "d00.md", 1)
    monkey = pytest.MonkeyPatch()
    monkey.setattr(sync_module, "_BATCH_CHUNKS", 20)
    with monkey.context(), pytest.raises(StoreError) as caught:
        open_fake(root, settings=settings).sync()
    monkey.undo()
    assert "\n" not in str(caught.value) and "free some space" in str(caught.value)

    reader = open_fake(root, settings=settings)
    after = check_whole(reader)
    assert {doc_id for doc_id, chunks in before.items() if after.get(doc_id) == chunks} >= {"d01.md", "d02.md"}
    assert found(reader, "turn0")["d01.md"] == [c.text for c in before["d01.md"]]

    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    kb = open_fake(root, settings=settings)
    kb.sync()
    equals(kb, open_fake(root, settings={"home": str(tmp_path / "fresh")}))
