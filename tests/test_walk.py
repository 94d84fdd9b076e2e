"""Which files are found, which are passed over, and that nothing is found twice."""

import os
import unicodedata
from pathlib import Path

import pytest

from damda.errors import ReadError
from damda.ingest.read import read
from damda.ingest.walk import walk
from damda.settings import ReadSettings

NFD = unicodedata.normalize("NFD", "한글.md")
NFC = unicodedata.normalize("NFC", NFD)


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"글 {name}")
    return root


def sources(root: Path, **settings: object) -> list[str]:
    return [found.source for found in walk(root, ReadSettings.model_validate(settings))[0]]


def reasons(root: Path, **settings: object) -> dict[str, str]:
    return {skipped.source: skipped.reason for skipped in walk(root, ReadSettings.model_validate(settings))[1]}


def test_sources_are_sorted_paths_below_the_root(tmp_path: Path) -> None:
    make(tmp_path, "b.md", "a/가.TXT", "a/z.md", "a.md", "x.md/in.md")
    found, skipped = walk(tmp_path, ReadSettings())
    assert [f.source for f in found] == ["a.md", "a/z.md", "a/가.TXT", "b.md", "x.md/in.md"]
    assert not skipped
    assert all(f.path == tmp_path / f.source and f.size == f.path.stat().st_size for f in found)


def test_what_is_never_looked_at(tmp_path: Path) -> None:
    make(
        tmp_path, "a.md", ".hidden.md", ".git/x.md", ".damda/x.md", "node_modules/x.md", "s/__pycache__/x.md",
        "~$a.docx", "Thumbs.db", ".DS_Store",
    )  # fmt: skip
    found, skipped = walk(tmp_path, ReadSettings())
    assert [f.source for f in found] == ["a.md"]
    assert not skipped


def test_patterns(tmp_path: Path) -> None:
    make(
        tmp_path, "a.md", "초안/b.md", "초안/중요.md", "c.txt", "docs/c.txt", "old/a.md", ".github/d.md", ".damda/e.md"
    )
    (tmp_path / ".damdaignore").write_text(
        unicodedata.normalize("NFD", "# 주석\n초안/*\n!초안/중요.md\n/c.txt\n!.github/\n!.damda/\n")
    )
    assert sources(tmp_path, ignore=["old/"]) == [".github/d.md", "a.md", "docs/c.txt", "초안/중요.md"]


def test_a_malformed_pattern_is_named(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    with pytest.raises(ReadError, match="pattern"):
        walk(tmp_path, ReadSettings(ignore=("!",)))
    (tmp_path / ".damdaignore").write_bytes("초안".encode("cp949"))
    with pytest.raises(ReadError, match="UTF-8"):
        walk(tmp_path, ReadSettings())


def test_other_files_are_named(tmp_path: Path) -> None:
    make(tmp_path, "그림.png", "a.zip", "README", "a.doc", "big.md")
    os.mkfifo(tmp_path / "pipe.md")
    os.truncate(tmp_path / "big.md", 3_000_001)
    assert reasons(tmp_path, max_bytes=3_000_000) == {
        "그림.png": "unknown format .png",
        "a.zip": "unknown format .zip",
        "README": "no ending that tells its format",
        "big.md": "larger than 3 MB",
        "pipe.md": "not a regular file (a pipe, socket or device)",
    }
    assert sources(tmp_path, max_bytes=3_000_000) == ["a.doc"]


def test_a_beir_folder_s_questions_are_no_documents(tmp_path: Path) -> None:
    make(
        tmp_path, "corpus.jsonl", "queries.jsonl", "queries_bool.jsonl", "qrels.tsv", "s/qrels/test.tsv", "s/dqrels.tsv"
    )
    assert sources(tmp_path) == ["corpus.jsonl", "s/dqrels.tsv"]
    assert all("BEIR" in reason for reason in reasons(tmp_path).values()) and len(reasons(tmp_path)) == 4


def test_links_are_followed_once_and_inside(tmp_path: Path) -> None:
    outside = make(tmp_path / "outside", "secret.md")
    root = make(tmp_path / "root", "z.md", "real/b.md", ".data/c.md", ".data/sub/d.md")
    for name, target in {
        "a.md": "z.md", "loop": ".", "real/up": "..", "again": "real", "c.md": ".data/c.md", "c2.md": ".data/c.md",
        "sub": ".data/sub", "away": str(outside), "away.md": str(outside / "secret.md"), "dead.md": "nothing",
        "self.md": "self.md",
    }.items():  # fmt: skip
        (root / name).symlink_to(target)
    assert sources(root) == ["c.md", "real/b.md", "sub/d.md", "z.md"]
    assert reasons(root) == {
        "a.md": "symlink to z.md, which is read under that name",
        "again": "symlink to real, which is read under that name",
        "away": "symlink leaves the folder",
        "away.md": "symlink leaves the folder",
        "c2.md": "symlink to c.md, which is read under that name",
        "dead.md": "symlink to nothing, or to itself",
        "loop": "symlink to the folder itself, which is read under that name",
        "real/up": "symlink to the folder itself, which is read under that name",
        "self.md": "symlink to nothing, or to itself",
    }


def test_a_root_that_is_a_link_or_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "real", "a.md", "b/c.md")
    (tmp_path / "link").symlink_to("real")
    assert sources(tmp_path / "link") == ["a.md", "b/c.md"]
    (tmp_path / "real" / "d.md").symlink_to("b/c.md")
    monkeypatch.chdir(tmp_path / "real")
    assert sources(Path()) == ["a.md", "b/c.md"]
    assert reasons(Path()) == {"d.md": "symlink to b/c.md, which is read under that name"}


def test_a_single_file(tmp_path: Path) -> None:
    make(tmp_path, "sub/" + NFD, "sub/x.png")
    (found,), skipped = walk(tmp_path / "sub" / NFD, ReadSettings())
    assert (found.source, skipped) == (NFC, [])
    assert reasons(tmp_path / "sub" / "x.png") == {"x.png": "unknown format .png"}


def test_names_from_a_mac_open_and_have_one_identity(tmp_path: Path) -> None:
    make(tmp_path, NFD)
    (found,), _ = walk(tmp_path, ReadSettings())
    assert found.source == NFC and found.path.name == NFD
    assert read(found, ReadSettings())[0].title == NFC.removesuffix(".md")
    make(tmp_path, NFC)
    assert sources(tmp_path) == [NFC]
    assert "same name as another file" in reasons(tmp_path)[NFC]


def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    with open(os.path.join(os.fsencode(tmp_path), "한글.md".encode("cp949")), "wb") as file:
        file.write(b"x")
    assert sources(tmp_path) == ["a.md"]
    ((name, reason),) = reasons(tmp_path).items()
    assert name.encode() and "not valid Unicode" in reason


def test_stamps_change_with_the_file(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    before = walk(tmp_path, ReadSettings())[0]
    assert walk(tmp_path, ReadSettings())[0] == before
    status = (tmp_path / "a.md").stat()
    (tmp_path / "a.md").write_text("다른 것")
    os.utime(tmp_path / "a.md", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert walk(tmp_path, ReadSettings())[0] != before


def test_unreadable_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.md", "closed/b.md")
    real = os.scandir

    def scandir(path: "os.PathLike[str]") -> object:  # root may list everything, so permissions prove nothing
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert sources(tmp_path) == ["a.md"]
    assert reasons(tmp_path) == {"closed": "permission denied"}
    with pytest.raises(ReadError, match="make it readable"):
        walk(tmp_path / "closed", ReadSettings())


def test_a_root_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="name a folder or file that exists"):
        walk(tmp_path / "없음", ReadSettings())
