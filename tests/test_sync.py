"""The index follows the folder: what changed is stored, nothing else is encoded again, nothing is lost on the way."""

import json
import os
import threading
import time
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeAnalyser, FakeEncoder, Opener, found, use_fakes

from damda import assemble
from damda.errors import ReadError, StoreError
from damda.ingest import sync as sync_module
from damda.knowledge import KnowledgeBase
from damda.search.store import Store


def write(root: Path, files: Mapping[str, str]) -> None:
    """Files that were changed an hour ago, so that their time stamps are trusted."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust time stamps at once: these tests don't write the same file twice within one tick of the clock."""
    monkeypatch.setattr(sync_module, "_TRUST_AFTER", 0.0)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settle(monkeypatch)
    root = tmp_path / "docs"
    root.mkdir()
    return root


def corpus(rows: Mapping[str, str], **fields: Any) -> str:  # noqa: ANN401  JSON
    return "".join(json.dumps({"id": k, "text": v, **fields}, ensure_ascii=False) + "\n" for k, v in rows.items())


def equals_fresh(kb: KnowledgeBase, open_fake: Opener, home: Path) -> None:
    """What is stored is what an index made from nothing would hold."""
    fresh = open_fake(kb.root, settings={"home": str(home)})
    fresh.sync()
    stores: list[Any] = [kb._store, fresh._store]
    stored = [store.stored() for store in stores]
    assert stored[0] == stored[1]
    assert kb.status().chunks == fresh.status().chunks
    assert kb.status().documents == fresh.status().documents == len(stored[0])
    for doc_id, (_, version) in list(stored[0].items())[:: max(1, len(stored[0]) // 20)]:
        assert kb.document(doc_id, version) == fresh.document(doc_id, version)


# --- add, update, delete, nothing


def test_add_update_delete(root: Path, tmp_path: Path, open_fake: Opener) -> None:
    write(root, {"a.md": "alpha word", "하위/b.txt": "beta word", "c.md": "gamma word"})
    encoder = FakeEncoder()
    kb = open_fake(root, encoder)
    report = kb.sync()
    assert (report.read, report.documents, report.chunks, report.removed) == (3, 3, 3, 0)
    assert found(kb, "word") == {"a.md": ["alpha word"], "c.md": ["gamma word"], "하위/b.txt": ["beta word"]}

    encoder.encoded.clear()
    write(root, {"a.md": "alpha two word", "d.md": "delta word"})
    (root / "c.md").unlink()
    report = kb.sync()
    assert (report.read, report.documents, report.removed, report.unchanged) == (2, 2, 1, 1)
    assert sorted(encoder.encoded) == ["a\nalpha two word", "d\ndelta word"]
    kb = open_fake(root)
    assert found(kb, "word") == {"a.md": ["alpha two word"], "d.md": ["delta word"], "하위/b.txt": ["beta word"]}
    equals_fresh(kb, open_fake, tmp_path / "fresh")


def test_nothing_to_do(root: Path, open_fake: Opener) -> None:
    write(root, {"a.md": "alpha", "b.md": "beta"})
    open_fake(root).sync()
    encoder = FakeEncoder()
    kb = open_fake(root, encoder)
    report = kb.sync()
    assert (report.read, report.removed, report.unchanged, report.changed) == (0, 0, 2, False)
    assert encoder.encoded == [] and kb.status().pending == 0
    report = kb.refresh() or pytest.fail("nobody else is writing")
    assert not report.changed


def test_a_touched_file_is_not_encoded_again(root: Path, open_fake: Opener) -> None:
    write(root, {"a.md": "alpha", "b.md": "beta"})
    kb = open_fake(root, encoder := FakeEncoder())
    kb.sync()
    encoder.encoded.clear()
    os.utime(root / "a.md", (1, 1))
    assert kb.status().pending == 1
    report = kb.sync()
    assert (report.read, report.documents, report.unchanged) == (0, 0, 2), "its new stamp is no new content"
    assert encoder.encoded == [] and kb.status().pending == 0


def test_the_same_time_and_size_does_not_hide_a_change(root: Path, open_fake: Opener) -> None:
    write(root, {"a.md": "alpha one"})
    kb = open_fake(root)
    kb.sync()
    before = (root / "a.md").stat()
    write(root, {"a.md": "alpha two"})
    os.utime(root / "a.md", ns=(before.st_atime_ns, before.st_mtime_ns))
    kb.sync()
    assert found(kb, "alpha") == {"a.md": ["alpha two"]}


def test_a_fresh_file_is_looked_at_again(tmp_path: Path, open_fake: Opener) -> None:
    """Where the clock ticks slowly, a file may change twice under one time stamp: a young stamp proves nothing."""
    write(tmp_path, {"young.md": "alpha", "old.md": "alpha"})
    os.utime(tmp_path / "old.md", (1, 1))  # sets the time of modification only: the inode is as young as ever
    kb = open_fake(tmp_path, encoder := FakeEncoder(), settings={"home": str(tmp_path / ".damda")})
    kb.sync()
    assert kb.status().pending == 2
    encoder.encoded.clear()
    kb.sync()
    assert encoder.encoded == []


def test_a_file_from_the_future_is_not_read_forever(root: Path, open_fake: Opener) -> None:
    sync_module._TRUST_AFTER = 0.5  # undone by the root fixture's monkeypatch
    write(root, {"a.md": "alpha"})
    os.utime(root / "a.md", (time.time() + 10**6,) * 2)
    time.sleep(0.6)
    kb = open_fake(root)
    kb.sync()
    assert kb.status().pending == 0


def test_a_renamed_file(root: Path, tmp_path: Path, open_fake: Opener) -> None:
    write(root, {"a.md": "# title\n\nalpha"})
    kb = open_fake(root)
    kb.sync()
    (root / "a.md").rename(root / "b.md")
    report = kb.sync()
    assert (report.read, report.removed) == (1, 1)
    assert found(kb, "alpha") == {"b.md": ["alpha"]}
    equals_fresh(kb, open_fake, tmp_path / "fresh")


def test_an_empty_root_forgets_nothing(root: Path, open_fake: Opener) -> None:
    """A share that is not mounted looks like this."""
    write(root, {"a.md": "alpha"})
    kb = open_fake(root)
    kb.sync()
    (root / "a.md").unlink()
    with pytest.raises(ReadError, match="is empty, but 1 files of it are stored"):
        kb.sync()
    assert found(kb, "alpha") == {"a.md": ["alpha"]}


def test_everything_is_removed(root: Path, open_fake: Opener) -> None:
    write(root, {"a.md": "alpha", "b.md": "alpha"})
    kb = open_fake(root)
    kb.sync()
    for path in root.glob("*.md"):
        path.unlink()
    write(root, {"picture.png": "no text in here"})
    assert kb.sync().removed == 2
    assert found(kb, "alpha") == {} and kb.status().chunks == 0
    write(root, {"c.md": "alpha"})
    kb.sync()
    assert found(kb, "alpha") == {"c.md": ["alpha"]}


def test_a_folder_that_becomes_a_file_and_back(root: Path, tmp_path: Path, open_fake: Opener) -> None:
    write(root, {"x.md/inner.md": "alpha inner"})
    kb = open_fake(root)
    kb.sync()
    (root / "x.md/inner.md").unlink()
    (root / "x.md").rmdir()
    write(root, {"x.md": "alpha file"})
    kb.sync()
    assert found(kb, "alpha") == {"x.md": ["alpha file"]}
    equals_fresh(kb, open_fake, tmp_path / "fresh")


def test_names_in_both_normal_forms_are_one_name(root: Path, open_fake: Opener) -> None:
    """A folder copied from a Mac: names decomposed. It is still the same document."""
    name = "휴가 규정.md"
    write(root, {unicodedata.normalize("NFC", name): "alpha one"})
    kb = open_fake(root)
    kb.sync()
    (root / name).unlink()
    write(root, {unicodedata.normalize("NFD", name): "alpha two"})
    kb.sync()
    assert found(kb, "alpha") == {name: ["alpha two"]}


# --- files that can't be read


def test_one_bad_file_leaves_the_others(root: Path, open_fake: Opener) -> None:
    write(root, {"a.md": "alpha", "empty.md": "", "b.md": "beta alpha"})
    (root / "broken.pdf").write_bytes(b"%PDF-1.7\ngarbage")
    kb = open_fake(root)
    report = kb.sync()
    assert [state.source for state in report.failed] == ["broken.pdf", "empty.md"]
    assert all(state.error and "\n" not in state.error for state in report.failed)
    assert found(kb, "alpha").keys() == {"a.md", "b.md"}
    again = kb.sync()
    assert [state.source for state in again.failed] == ["broken.pdf", "empty.md"], "said every time, read once"
    assert again.read == 0 and kb.status().pending == 0
    write(root, {"empty.md": "alpha now"})
    assert kb.sync().failed == [state for state in report.failed if state.source == "broken.pdf"]
    (root / "broken.pdf").unlink()
    assert kb.sync().failed == [] and kb.status().failed == ()


def test_a_file_that_turns_bad_keeps_what_is_stored_of_it(root: Path, open_fake: Opener) -> None:
    write(root, {"a.md": "alpha one", "b.md": "alpha"})
    kb = open_fake(root)
    kb.sync()
    write(root, {"a.md": ""})
    report = kb.sync()
    assert [state.source for state in report.failed] == ["a.md"]
    assert found(kb, "alpha") == {"a.md": ["alpha one"], "b.md": ["alpha"]}
    assert kb.status().documents == 2, "status counts what searches find"
    (root / "a.md").unlink()
    kb.sync()
    assert found(kb, "alpha") == {"b.md": ["alpha"]}


def test_symlink_loops(root: Path, open_fake: Opener) -> None:
    write(root, {"a.md": "alpha", "sub/b.md": "alpha"})
    (root / "sub" / "loop").symlink_to(root, target_is_directory=True)
    (root / "self").symlink_to(root / "self")
    (root / "again.md").symlink_to(root / "a.md")
    kb = open_fake(root)
    report = kb.sync()
    assert found(kb, "alpha").keys() == {"a.md", "sub/b.md"}
    assert {skipped.source for skipped in report.skipped} == {"sub/loop", "self", "again.md"}


def test_files_that_change_while_they_are_read(root: Path, open_fake: Opener) -> None:
    """Three files are written over and over during ten runs: whatever is stored is one version, whole."""
    versions = 40
    stop = threading.Event()

    def keep_writing() -> None:
        turn = 0
        while not stop.is_set():
            turn = (turn + 1) % versions
            for name in "abc":
                with (root / f"{name}.md").open("r+") as file:  # in place: a reader can catch it half done
                    file.write(f"alpha v{turn}\n\n" * 50)
                    file.truncate()

    write(root, dict.fromkeys(("a.md", "b.md", "c.md"), "alpha start"))
    writer = threading.Thread(target=keep_writing)
    kb = open_fake(root, settings={"chunk.tokens": 16})
    writer.start()
    try:
        for _ in range(10):
            kb.sync()
    finally:
        stop.set()
        writer.join()
    kb.sync()
    texts = found(kb, "alpha")
    assert texts.keys() == {"a.md", "b.md", "c.md"}
    for name, chunks in texts.items():
        assert "\n\n".join(chunks) == (root / name).read_text().strip()


# --- corpora: many documents in a file


def test_a_changed_line_of_a_corpus(root: Path, tmp_path: Path, open_fake: Opener) -> None:
    write(root, {"corpus.jsonl": corpus({f"d{i}": f"word {i}" for i in range(50)})})
    kb = open_fake(root, encoder := FakeEncoder())
    kb.sync()
    encoder.encoded.clear()
    rows = {f"d{i}": f"word {i}" for i in range(1, 51)} | {"d7": "word seven"}
    write(root, {"corpus.jsonl": corpus(rows)})
    report = kb.sync()
    assert sorted(encoder.encoded) == ["word 50", "word seven"]
    assert (report.documents, report.read) == (2, 1)
    assert found(kb, "word").keys() == rows.keys()
    equals_fresh(kb, open_fake, tmp_path / "fresh")


def test_more_passages_than_a_batch(root: Path, tmp_path: Path, open_fake: Opener) -> None:
    rows = {f"d{i}": f"word {i}" for i in range(3 * sync_module._BATCH_CHUNKS + 7)}
    write(root, {"corpus.jsonl": corpus(rows), "a.md": "word a"})
    kb = open_fake(root)
    steps: list[tuple[int, int]] = []
    kb.sync(lambda what, done, total: steps.append((done, total)) if what.startswith("reading") else None)
    assert kb.status().documents == len(rows) + 1
    size = sum(path.stat().st_size for path in root.iterdir() if path.is_file())
    assert steps[-1] == (size, size) and steps == sorted(steps), "progress never goes back, and ends at the end"
    write(root, {"corpus.jsonl": corpus({k: f"new {v}" for k, v in rows.items()})})
    kb.sync()
    assert len(found(kb, "new", 10_000)) == len(rows)
    equals_fresh(kb, open_fake, tmp_path / "fresh")


def test_ids_are_unique_across_files(root: Path, open_fake: Opener) -> None:
    write(root, {"a.jsonl": corpus({"x": "alpha from a"}), "b.jsonl": corpus({"x": "alpha from b", "y": "beta"})})
    kb = open_fake(root)
    report = kb.sync()
    assert [state.source for state in report.failed] == ["b.jsonl"] and "'x'" in report.failed[0].error
    assert "a.jsonl" in report.failed[0].error
    assert found(kb, "alpha") == {"x": ["alpha from a"]}
    assert [state.source for state in kb.sync().failed] == ["b.jsonl"]
    (root / "a.jsonl").unlink()  # now the id is free, though b.jsonl itself has not changed
    assert kb.sync().failed == []
    assert found(kb, "alpha") == {"x": ["alpha from b"]} and found(kb, "beta").keys() == {"y"}


def test_a_corpus_and_a_file_that_claim_one_id(root: Path, open_fake: Opener) -> None:
    write(root, {"a.md": "alpha file", "b.jsonl": corpus({"a.md": "alpha row"})})
    kb = open_fake(root)
    assert [state.source for state in kb.sync().failed] == ["b.jsonl"]
    assert found(kb, "alpha") == {"a.md": ["alpha file"]}


@pytest.mark.parametrize("old, new", [("a.jsonl", "b.jsonl"), ("b.jsonl", "a.jsonl")])
def test_a_document_that_moves_to_another_file(
    root: Path, tmp_path: Path, open_fake: Opener, old: str, new: str
) -> None:
    write(root, {old: corpus({"x": "alpha", "y": "beta"}), new: corpus({"z": "gamma"})})
    kb = open_fake(root)
    kb.sync()
    write(root, {old: corpus({"y": "beta"}), new: corpus({"z": "gamma", "x": "alpha"})})
    assert kb.sync().failed == []
    assert found(kb, "alpha") == {"x": ["alpha"]}
    assert kb.search("alpha", mode="bm25")[0].chunk.source == new
    equals_fresh(kb, open_fake, tmp_path / "fresh")


def test_a_renamed_corpus(root: Path, open_fake: Opener) -> None:
    write(root, {"a.jsonl": corpus({"x": "alpha", "y": "alpha"})})
    kb = open_fake(root)
    kb.sync()
    (root / "a.jsonl").rename(root / "b.jsonl")
    assert kb.sync().failed == []
    assert found(kb, "alpha").keys() == {"x", "y"}


# --- other settings


def test_another_encoder_encodes_everything_again_and_says_so(root: Path, open_fake: Opener) -> None:
    write(root, {"a.md": "alpha one", "b.md": "alpha two"})
    kb = open_fake(root, FakeEncoder("first"))
    assert kb.sync().rebuilt == "" and kb.changes() == ""

    kb = open_fake(root, second := FakeEncoder("second", dim=24))
    assert kb.changes() == "encoder first -> second"
    assert kb.search("alpha") == [], "vectors of another encoder are never compared with"
    report = kb.sync()
    assert report.rebuilt == "encoder first -> second" and len(second.encoded) == 2
    (hit, *_) = kb.search("a\nalpha one", mode="dense")
    assert hit.chunk.doc_id == "a.md" and hit.cosine == pytest.approx(1, abs=1e-5)
    assert kb.sync().rebuilt == "" and kb.changes() == ""


@pytest.mark.parametrize("settings, says", [({"chunk.tokens": 16}, "chunks"), ({"search.user_dictionary": "x"}, "mor")])
def test_other_chunks_or_words(root: Path, open_fake: Opener, settings: Mapping[str, Any], says: str) -> None:
    write(root, {"a.md": "\n\n".join(f"alpha {i} " + "filler " * 8 for i in range(4))})
    open_fake(root).sync()
    kb = open_fake(root, settings=settings)
    report = kb.sync()
    assert report.rebuilt.startswith(says) and report.documents == 1
    assert set(found(kb, "alpha")) == {"a.md"}


def test_back_and_forth_between_encoders_that_are_cut_off(root: Path, open_fake: Opener) -> None:
    """The second encoder never gets to the end: the first one's index is still there, and still complete."""
    write(root, {"a.md": "alpha"})
    open_fake(root, FakeEncoder("first")).sync()

    class Failing(FakeEncoder):
        def encode(self, texts: Sequence[str], *, kind: Any) -> Any:  # noqa: ANN401
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_fake(root, Failing("second")).sync()
    kb = open_fake(root, first := FakeEncoder("first"))
    assert kb.changes() == "" and kb.sync().read == 0 and first.encoded == []
    assert found(kb, "alpha") == {"a.md": ["alpha"]}


# --- when storing fails


def test_a_failing_store_loses_nothing(root: Path, monkeypatch: pytest.MonkeyPatch, open_fake: Opener) -> None:
    write(root, {"a.md": "alpha one"})
    kb = open_fake(root)
    kb.sync()
    write(root, {"a.md": "alpha two", "b.md": "alpha b"})

    def refuse(self: Store, *_: object) -> None:
        raise StoreError("no")

    for step in ("put", "forget", "record", "finish"):
        with monkeypatch.context() as patch:
            use_fakes(patch.setattr, FakeEncoder(), FakeAnalyser())
            patch.setattr(Store, step, refuse)
            with pytest.raises(StoreError):
                assemble.open(root).sync()
        reader = open_fake(root)
        texts = found(reader, "alpha")
        assert texts["a.md"] in (["alpha one"], ["alpha two"])
        if step in ("record", "finish"):
            assert texts == {"a.md": ["alpha two"], "b.md": ["alpha b"]}
    kb = open_fake(root)
    kb.sync()
    assert found(kb, "alpha") == {"a.md": ["alpha two"], "b.md": ["alpha b"]}
    assert kb.status().pending == 0


def test_a_single_file_as_root(tmp_path: Path, open_fake: Opener) -> None:
    write(tmp_path, {"one.md": "alpha one", "two.md": "alpha two"})
    kb = open_fake(tmp_path / "one.md")
    kb.sync()
    assert found(kb, "alpha") == {"one.md": ["alpha one"]}
    whole = open_fake(tmp_path)
    whole.sync()
    assert found(whole, "alpha").keys() == {"one.md", "two.md"}
    assert found(open_fake(tmp_path / "one.md"), "alpha").keys() == {"one.md"}, "each root has a home of its own"
