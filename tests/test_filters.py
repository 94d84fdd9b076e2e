"""Filters by source, glob and meta, in every mode of search."""

import json
import re
import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from fakes import Opener
from hypothesis import given
from hypothesis import strategies as st

from damda.knowledge import KnowledgeBase
from damda.search.where import glob_pattern, paired, unpaired
from damda.types import Mode, Where

NAMES = [
    "a.md",
    "b.txt",
    "sub/a.md",
    "sub/deep/a.md",
    "sub/deep/er/c.md",
    "sub2/a.md",
    "it's.md",
    "it''s.md",
    'say "hi".md',
    "50%_off.md",
    "[x](y){z}+^$.md",
    "back\\slash.md",
    "new\nline.md",
    "한글/휴가 규정.md",
    "한글/하위/휴가.md",
    "' OR 1=1 --.md",
]


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    from fakes import opener

    root = tmp_path_factory.mktemp("docs")
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("common text")
    rows = [
        {"id": "m1", "text": "common row", "부서": "인사", "year": "2024"},
        {"id": "m2", "text": "common row", "부서": "재무", "year": "2024"},
        {"id": "m3", "text": "common row", "부서": "it's", "a=b": "c"},
        {"id": "m4", "text": "common row", "a": "b=c"},
    ]
    (root / "corpus.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        kb = opener(patch.setattr)(root)
    kb.sync()
    return kb


MODES: tuple[Mode, ...] = ("bm25", "dense", "rrf", "convex", "hybrid")


def found(kb: KnowledgeBase, where: Where, mode: Mode = "bm25") -> set[str]:
    return {hit.chunk.doc_id for hit in kb.search("common", 100, where=where, mode=mode)}


@pytest.mark.parametrize("name", NAMES)
def test_exact_source(kb: KnowledgeBase, name: str) -> None:
    assert found(kb, Where(source=name)) == {name}
    assert found(kb, Where(glob=name.replace("*", "?"))) == {name}, "a name without wildcards is a glob for itself"


@pytest.mark.parametrize(
    "glob, expected",
    [
        ("*.md", {n for n in NAMES if "/" not in n and n.endswith(".md")}),
        ("**/*.md", {n for n in NAMES if n.endswith(".md")}),
        ("**", {*NAMES, "m1", "m2", "m3", "m4"}),
        ("sub/*", {"sub/a.md"}),
        ("sub/**", {"sub/a.md", "sub/deep/a.md", "sub/deep/er/c.md"}),
        ("sub*/a.md", {"sub/a.md", "sub2/a.md"}),
        ("sub?/*", {"sub2/a.md"}),
        ("sub/**/a.md", {"sub/a.md", "sub/deep/a.md"}),
        ("**/deep/**", {"sub/deep/a.md", "sub/deep/er/c.md"}),
        ("한글/*", {"한글/휴가 규정.md"}),
        ("**/휴가*.md", {"한글/휴가 규정.md", "한글/하위/휴가.md"}),
        ("it*s.md", {"it's.md", "it''s.md"}),
        ("?.md", {"a.md"}),
        ("[ab].md", set()),
        ("A.md", set()),
        ("a", set()),
        ("*.jsonl", {"m1", "m2", "m3", "m4"}),
    ],
)
def test_globs(kb: KnowledgeBase, glob: str, expected: set[str]) -> None:
    assert found(kb, Where(glob=glob)) == expected


def test_decomposed_hangul_in_a_filter(kb: KnowledgeBase) -> None:
    """A shell on a Mac completes names in NFD."""
    nfd = unicodedata.normalize("NFD", "한글/휴가 규정.md")
    assert found(kb, Where(source=nfd)) == found(kb, Where(glob=nfd)) == {"한글/휴가 규정.md"}
    assert found(kb, Where(meta={unicodedata.normalize("NFD", "부서"): unicodedata.normalize("NFD", "인사")})) == {"m1"}


def test_meta(kb: KnowledgeBase) -> None:
    assert found(kb, Where(meta={"부서": "인사"})) == {"m1"}
    assert found(kb, Where(meta={"year": "2024"})) == {"m1", "m2"}
    assert found(kb, Where(meta={"year": "2024", "부서": "재무"})) == {"m2"}
    assert found(kb, Where(meta={"year": "202"})) == set() and found(kb, Where(meta={"none": ""})) == set()
    assert found(kb, Where(meta={"부서": "it's"})) == {"m3"}
    assert found(kb, Where(meta={"a=b": "c"})) == {"m3"} and found(kb, Where(meta={"a": "b=c"})) == {"m4"}
    assert found(kb, Where(meta={"format": "md"})) == {n for n in NAMES if n.endswith(".md")}


def test_all_conditions_must_hold(kb: KnowledgeBase) -> None:
    where = Where(source="corpus.jsonl", glob="*.jsonl", meta={"year": "2024"})
    assert found(kb, where) == {"m1", "m2"}
    assert found(kb, Where(source="a.md", glob="sub/*")) == set()


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_filters_before_it_counts(kb: KnowledgeBase, mode: Mode) -> None:
    """k is a number of hits that pass the filter, not of hits before it."""
    where = Where(glob="한글/**")
    assert found(kb, where, mode) == {"한글/휴가 규정.md", "한글/하위/휴가.md"}
    assert len(kb.search("common", 1, where=where, mode=mode)) == 1
    assert found(kb, Where(source="none"), mode) == set()


@given(st.lists(st.sampled_from(["a", "b", "가", "*", "**", "?", "/", ".", "+", "["]), min_size=1, max_size=8))
def test_a_glob_is_what_its_parts_say(parts: list[str]) -> None:
    """Against a matcher that tries everything."""
    glob = "".join(parts)

    def matches(glob: str, name: str) -> bool:
        if not glob:
            return not name
        if glob.startswith("**/"):
            rest = glob[3:]
            return matches(rest, name) or any(c == "/" and matches(rest, name[i + 1 :]) for i, c in enumerate(name))
        if glob.startswith("**"):
            return any(matches(glob[2:], name[i:]) for i in range(len(name) + 1))
        if glob[0] == "*":
            end = name.find("/") if "/" in name else len(name)
            return any(matches(glob[1:], name[i:]) for i in range(end + 1))
        return bool(name) and (name[0] != "/" if glob[0] == "?" else name[0] == glob[0]) and matches(glob[1:], name[1:])

    pattern = re.compile(glob_pattern(glob))
    for name in ("a", "b", "가", "a/b", "a/b/가", "a.b", "a+", "[", "/", "ab", "a/가.b", "가/가/가/가", "a\nb"):
        assert bool(pattern.search(name)) == matches(glob, name), (glob, name, pattern.pattern)


def test_plain_globs_agree_with_pathlib() -> None:
    for glob in ("*.md", "sub/*.md", "s?b/*", "*/*"):
        for name in NAMES:
            same_depth = glob.count("/") == name.count("/")
            assert bool(re.search(glob_pattern(glob), name)) == (same_depth and PurePosixPath(name).match(glob))


@given(st.text(), st.text())
def test_a_pair_comes_back(key: str, value: str) -> None:
    assert unpaired(paired(key, value)) == (key, value)


@given(st.text(), st.text(), st.text(), st.text())
def test_no_two_pairs_look_alike(a: str, b: str, c: str, d: str) -> None:
    assert (paired(a, b) == paired(c, d)) == ((a, b) == (c, d))


def test_filters_through_an_approximate_index(
    tmp_path: Path, open_fake: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from damda.search import store

    monkeypatch.setattr(store, "_APPROXIMATE_FROM", 300)
    rows = [{"id": f"r{i}", "text": f"common {i}", "odd": str(i % 2)} for i in range(600)]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)))
    kb = open_fake(tmp_path)
    kb.sync()
    for mode in MODES:
        hits = kb.search("common", 50, where=Where(meta={"odd": "1"}), mode=mode)
        assert len(hits) == 50 and all(int(hit.chunk.doc_id[1:]) % 2 for hit in hits)
