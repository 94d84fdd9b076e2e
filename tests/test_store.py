"""The tables: what goes in comes out, documents are replaced whole, processes see one another, damage is reported."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeAnalyser, FakeEncoder

from damda.errors import StoreError
from damda.library import FileState, Prepared
from damda.search import store as store_module
from damda.search import view as view_module
from damda.search.rows import chunk_schema
from damda.search.store import Store
from damda.search.view import View
from damda.types import Chunk, Document, Where, quiet

ENCODER = FakeEncoder()


def prepared(name: str, lines: Sequence[str], version: str = "1", **fields: object) -> Prepared:
    """A document with a passage a line."""
    text = "\n".join(lines)
    document = Document(name, text, title=f"title of {name}", source=name, version=version, **fields)  # type: ignore[arg-type]
    chunks, at = [], 0
    for number, line in enumerate(lines):
        chunks.append(Chunk(f"{name}#{number}", name, line, at, at + len(line), document.title, "a > b", name, version))
        at += len(line) + 1
    return Prepared(document, chunks, FakeAnalyser().content(lines), ENCODER.encode(lines, kind="passage"))


def opened(folder: Path, fingerprint: str = "f") -> Store:
    """As another process would see it."""
    return Store(folder, fingerprint, ENCODER.dim)


def ids(store: Store, word: str, where: Where | None = None) -> list[str]:
    store._refreshed = 0.0  # a search at once, without waiting for the next look at the disk
    return sorted(matched(store, [word], 10_000, where))


def matched(store: Store, words: Sequence[str], n: int, where: Where | None = None) -> dict[str, float]:
    """Chunk id -> BM25."""
    view = store.view()
    return named(view, view.match(words, n, where))


def named(view: View, scored: Sequence[tuple[int, float]]) -> dict[str, float]:
    """By the chunks' ids instead of rows, in the same order."""
    chunks = view.chunks([row for row, _ in scored])
    return {chunks[row].id: score for row, score in scored}


def test_nothing_stored(tmp_path: Path) -> None:
    store = opened(tmp_path / "lance")
    view = store.view()
    assert store.files() == {} and store.stored() == {} and store.count() == 0
    assert not store.exists() and not store.unfinished()
    assert view.match(["a"], 5) == [] and view.near(np.ones(16, np.float32), 5) == [] and view.chunks([0]) == {}
    assert view.sample(5) == [] and view.cosines() == view_module._COSINES_USUAL
    assert store.document("a", "1") is None
    store.forget(["a"])
    store.finish(quiet)
    assert not (tmp_path / "lance").exists(), "looking must not write"


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    given = prepared(
        "규정/휴가 '24.md",
        ["연차는 15일", 'quote " and \\', "nul-free \U0001f600"],
        meta={"부서": "인사", "a=b%3D": "c=d", "empty": ""},
        pages=(0, 8),
    )
    opened(tmp_path).put([given])
    store = opened(tmp_path)
    assert store.document("규정/휴가 '24.md", "1") == given.document
    assert store.document("규정/휴가 '24.md", "2") is None
    view = store.view()
    assert view.sample(10) == list(given.chunks) and len(view.sample(2)) == 2
    assert store.stored() == {"규정/휴가 '24.md": ("규정/휴가 '24.md", "1")}
    ((best, cosine), *_) = named(view, view.near(given.vectors[1], 3)).items()
    assert best == given.chunks[1].id and cosine == pytest.approx(1, abs=1e-5)


def test_a_document_without_meta_or_pages(tmp_path: Path) -> None:
    given = prepared("a", ["x"])
    store = opened(tmp_path)
    store.put([given])
    assert store.document("a", "1") == given.document


@pytest.mark.parametrize("indexed", [False, True])
def test_a_document_is_replaced_whole(tmp_path: Path, indexed: bool) -> None:
    store = opened(tmp_path)
    store.put([prepared("a", [f"old common {i}" for i in range(5)]), prepared("b", ["other common"])])
    if indexed:
        store.finish(quiet)
    store.put([prepared("a", ["new common", "new too common"], "2"), prepared("c", ["third common"])])
    assert ids(store, "common") == ["a#0", "a#1", "b#0", "c#0"]
    assert ids(store, "old") == []
    assert {c.version for c in store.view().sample(10) if c.doc_id == "a"} == {"2"}
    assert store.count() == 4


def test_forget(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put([prepared("a'b", ["x one"]), prepared("c", ["x two"])])
    store.forget(["a'b", "never stored"])
    assert ids(store, "x") == ["c#0"]
    store.forget(["c"])
    store.finish(quiet)
    assert ids(store, "x") == [] and store.count() == 0
    store.put([prepared("d", ["x three"])])  # an emptied table takes documents again
    assert ids(store, "x") == ["d#0"]


def test_many_ids_at_once(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put([prepared(f"d{i}", ["x"]) for i in range(2000)])
    store.put([prepared(f"d{i}", ["y"], "2") for i in range(2000)])
    store.finish(quiet)  # drops 2000 old texts
    store.forget([f"d{i}" for i in range(20_000)])
    assert store.count() == 0


def test_states_of_files(tmp_path: Path) -> None:
    first = [FileState("a'.md", "1:2:3:4", 1, 5), FileState("나.pdf", "", error="no text layer")]
    store = opened(tmp_path)
    store.record(first)
    store.record([FileState("a'.md", "9", 2, 6)], gone=["나.pdf", "unknown"])
    assert opened(tmp_path).files() == {"a'.md": FileState("a'.md", "9", 2, 6)}


def test_processes_that_stay_open_see_each_other(tmp_path: Path) -> None:
    """Handles are pinned to the version they were opened at; a writer that trusted an old one would double rows."""
    stores = opened(tmp_path), opened(tmp_path)
    for turn in range(4):
        writer = stores[turn % 2]
        stamps = {source: state.stamp for source, state in writer.files().items()}
        assert stamps == ({"a": str(turn - 1)} if turn else {})
        assert writer.stored() == ({"a": ("a", str(turn - 1))} if turn else {})
        writer.put([prepared("a", [f"turn {turn}", "more turn"], str(turn))])
        writer.record([FileState("a", str(turn), 1, 2)])
        writer.finish(quiet)
    for store in stores:
        assert ids(store, "turn") == ["a#0", "a#1"] and ids(store, "3") == ["a#0"]


def test_a_hit_keeps_its_text_while_a_writer_replaces_it(tmp_path: Path) -> None:
    writer, reader = opened(tmp_path), opened(tmp_path)
    writer.put([prepared("a", ["old word"])])
    assert ids(reader, "word") == ["a#0"]
    writer.put([prepared("a", ["new word"], "2")])
    writer.finish(quiet)
    old = reader.document("a", "1")
    assert old is not None and old.text == "old word"
    # A reader that starts now sees the new text only: the old one does not pile up.
    assert opened(tmp_path).document("a", "1") is None


def test_other_settings_have_other_tables(tmp_path: Path) -> None:
    before, after = opened(tmp_path, "one-before"), opened(tmp_path, "one-after")
    before.put([prepared("a", ["word"])])
    before.finish(quiet)
    assert after.count() == 0 and after.stored() == {} and not after.exists()
    after.put([prepared("a", ["word"])])
    assert ids(before, "word") == ["a#0"], "the old index serves until the new one is whole"
    after.finish(quiet)
    assert {path.name for path in tmp_path.iterdir()} == {"chunks-one-after.lance", "documents-one-after.lance"}
    with pytest.raises(StoreError, match="made again with other settings"):
        ids(before, "word")


def test_old_tables_are_unfinished_work(tmp_path: Path) -> None:
    """Killed between the last index and the removal of what was before."""
    opened(tmp_path, "before").put([prepared("a", ["word"])])
    after = opened(tmp_path, "after")
    after.put([prepared("a", ["word"])])
    after._index(after._make(after._chunks, chunk_schema(ENCODER.dim)))
    assert after.unfinished()
    after.finish(quiet)
    assert not after.unfinished()


def test_unindexed_passages_are_unfinished_work_and_found(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put([prepared("a", ["word"])])
    assert store.unfinished() and ids(store, "word") == ["a#0"]
    store.finish(quiet)
    assert not store.unfinished() and ids(store, "word") == ["a#0"]
    store.put([prepared("b", ["word"])])
    assert store.unfinished() and ids(store, "word") == ["a#0", "b#0"]


def test_a_table_whose_making_was_cut_off(tmp_path: Path) -> None:
    """kill -9 between the table's folder and its first version."""
    for name in ("chunks-f", "documents-f", "files-f"):
        (tmp_path / f"{name}.lance" / "_transactions").mkdir(parents=True)
        (tmp_path / f"{name}.lance" / "data").mkdir()
    store = opened(tmp_path)
    assert not store.exists() and store.count() == 0 and store.files() == {} and matched(store, ["word"], 5) == {}
    store.put([prepared("a", ["word"])])
    store.record([FileState("a", "1")])
    assert ids(opened(tmp_path), "word") == ["a#0"] and opened(tmp_path).files().keys() == {"a"}


def test_damage_is_one_line(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put([prepared("a", ["word"])])
    store.record([FileState("a", "1")])
    store.finish(quiet)
    for data in tmp_path.glob("*/data/*.lance"):
        data.write_bytes(data.read_bytes()[:40])
    damaged = opened(tmp_path)
    for look in (
        damaged.files,
        damaged.stored,
        lambda: damaged.view().near(ENCODER.encode(["a"], kind="query")[0], 5),
        lambda: damaged.view().sample(5),
        lambda: damaged.document("a", "1"),
        lambda: damaged.put([prepared("a", ["word"], "2")]),
    ):
        with pytest.raises(StoreError) as caught:
            look()
        assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_vectors_of_another_length_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path, "f", ENCODER.dim + 1)
    with pytest.raises(StoreError):
        store.put([prepared("a", ["word"])])
    assert store.count() == 0


def bm25(corpus: Sequence[Sequence[str]], query: Sequence[str]) -> list[float]:
    """Robertson's formula as it stands in books, k1 = 1.2, b = 0.75, idf = ln(1 + (N - n + 0.5) / (n + 0.5))."""
    average = sum(map(len, corpus)) / len(corpus)
    scores = []
    for words in corpus:
        counts, score = Counter(words), 0.0
        for word in query:
            n = sum(word in other for other in corpus)
            idf = math.log(1 + (len(corpus) - n + 0.5) / (n + 0.5))
            tf = counts[word]
            score += idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * len(words) / average))
        scores.append(score)
    return scores


def test_bm25_is_bm25(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    vocabulary = [f"w{i}" for i in range(40)]
    lines = [" ".join(random.choice(vocabulary, random.integers(1, 30))) for _ in range(200)]
    store = opened(tmp_path)
    store.put([prepared(f"d{i}", [line]) for i, line in enumerate(lines)])
    store.finish(quiet)
    for query in (["w1"], ["w2", "w3", "w4"], ["w5", "unknown"]):
        expected = bm25([line.split() for line in lines], query)
        found = matched(store, query, 200)
        assert found.keys() == {f"d{i}#0" for i, score in enumerate(expected) if score > 0}
        for i, score in enumerate(expected):
            # Lance keeps the length of a passage in a byte, as Lucene does: exact up to 40 words.
            assert found.get(f"d{i}#0", 0.0) == pytest.approx(score, rel=1e-3), (query, lines[i])


@pytest.mark.parametrize("approximate", [False, True])
def test_near_is_the_cosine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, approximate: bool) -> None:
    if approximate:
        monkeypatch.setattr(store_module, "_APPROXIMATE_FROM", 1000)
    # Vectors of few real dimensions, as sentences have; neighbours among hashes are nobody's.
    random = np.random.default_rng(2)
    plane = random.normal(size=(6, 64))
    vectors = np.float32(random.normal(size=(1220, 6)) @ plane)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    given = replace(prepared("a", [f"line {i}" for i in range(1200)]), vectors=vectors[:1200])
    store = Store(tmp_path, "f", 64)
    store.put([given, replace(prepared("b", ["line b"]), vectors=vectors[:1])])
    store.finish(quiet)
    hits = 0
    for query in vectors[1200:]:
        exact = given.vectors @ query
        view = store.view()
        found = named(view, view.near(query, 10, Where(source="a")))
        assert len(found) == 10
        for chunk_id, cosine in found.items():
            assert cosine == pytest.approx(float(exact[int(chunk_id.split("#")[1])]), abs=2e-3)
        hits += len({int(chunk_id.split("#")[1]) for chunk_id in found} & set(np.argsort(-exact)[:10].tolist()))
    assert hits >= (190 if approximate else 200)


def test_the_spread_of_cosines(tmp_path: Path) -> None:
    store = opened(tmp_path)
    few = prepared("a", [f"line {i}" for i in range(29)])
    store.put([few])
    assert store.view().cosines() == view_module._COSINES_USUAL
    more = prepared("b", [f"other {i}" for i in range(100)])
    store.put([more])
    vectors = np.concatenate([few.vectors, more.vectors])
    expected = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    assert store.view().cosines() == pytest.approx((expected.mean(), expected.std()), abs=1e-4)


def test_equal_vectors_have_a_spread_too(tmp_path: Path) -> None:
    """A corpus of one sentence: nobody may divide by zero."""
    store = opened(tmp_path)
    store.put([prepared("a", ["same"] * 40)])
    assert store.view().cosines()[1] > 0


def test_looking_at_the_disk_is_throttled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = opened(tmp_path), opened(tmp_path)
    writer.put([prepared("a", ["word"])])
    assert ids(reader, "word") == ["a#0"]
    writer.put([prepared("b", ["word"])])
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    reader._refreshed = now - 0.1
    assert list(matched(reader, ["word"], 5)) == ["a#0"]
    reader._refreshed = now - 1
    assert sorted(matched(reader, ["word"], 5)) == ["a#0", "b#0"]


def test_a_view_stays_as_it_was(tmp_path: Path) -> None:
    """Rows found in it are fetched from it, whatever is stored, moved or removed meanwhile."""
    writer, reader = opened(tmp_path), opened(tmp_path)
    for name in "abcd":
        writer.put([prepared(name, ["word one", "word two"])])
    view = reader.view()
    scored = view.match(["word"], 100)
    before = named(view, scored)
    writer.put([prepared("b", ["word three"], "2")])
    writer.forget(["a"])
    writer.finish(quiet)
    assert ids(reader, "word") == ["b#0", "c#0", "c#1", "d#0", "d#1"], "a new view sees it"
    assert named(view, scored) == before and view.match(["word"], 100) == scored
    own = writer.view()
    writer.put([prepared("e", ["word"])])
    assert "e#0" in matched(writer, ["word"], 100) and "e#0" not in named(own, own.match(["word"], 100))


def test_rarity_of_words(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert len(set(store.view().rarity(["a", "b"]))) == 1, "nothing is known of an empty index"
    store.put([prepared("a", ["common rare", "common", "common common"])])
    common, rare, unknown = store.view().rarity(["common", "rare", "unknown"])
    assert (common, rare, unknown) == pytest.approx((math.log(4 / 3.5), math.log(4 / 1.5), math.log(4 / 0.5)))
    assert store.view().rarity([]) == []
