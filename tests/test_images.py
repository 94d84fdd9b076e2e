"""Images among the documents: indexed, found by text and by image, replaced, removed, and off by default."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny_clip
from fakes import FakeAnalyser, FakeEncoder, Opener, use_fakes
from tiny_clip import picture

import damda
from damda import cli, weights
from damda.assemble import models
from damda.embed.clip import ClipEncoder
from damda.errors import ConfigError, MissingExtra, ReadError, WeightsError
from damda.ingest import sync as sync_module
from damda.knowledge import KnowledgeBase
from damda.search.store import Store
from damda.types import NO_META, Mode, Where

CHILD = Path(__file__).with_name("index_child.py")


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_module, "_TRUST_AFTER", 0.0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_clip.siglip(tmp_path / "model")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two texts and three images."""
    root = tmp_path / "docs"
    (root / "그림").mkdir(parents=True)
    (root / "소방차.md").write_text("# 소방차\n\n빨간 소방차", encoding="utf-8")
    (root / "바다.md").write_text("파란 바다", encoding="utf-8")
    (root / "red.png").write_bytes(picture("red"))
    (root / "그림" / "막대.jpg").write_bytes(picture("blue", kind="JPEG"))
    (root / "그림" / "나무.gif").write_bytes(picture("green", kind="GIF"))
    return root


def opened(
    open_fake: Opener,
    root: Path,
    model: Path,
    settings: Mapping[str, Any] = NO_META,
    encoder: FakeEncoder | None = None,
) -> KnowledgeBase:
    return open_fake(root, encoder, settings={"image.name": str(model), **settings})


def sources(hits: list[damda.Hit]) -> list[str]:
    return [hit.chunk.source for hit in hits]


def test_from_text_to_image_and_back(root: Path, model: Path, open_fake: Opener) -> None:
    kb = opened(open_fake, root, model)
    report = kb.sync()
    assert (report.read, report.documents, report.images, report.chunks, report.failed) == (5, 2, 3, 2, [])
    status = kb.status()
    assert (status.documents, status.images, status.chunks, status.pending) == (2, 3, 2, 0)

    best, *others = kb.search_images("파란 막대 그래프")
    assert best.chunk.source == "그림/막대.jpg" and len(others) == 2
    assert (best.chunk.text, best.chunk.start, best.chunk.end, best.chunk.title) == ("", 0, 0, "막대")
    assert best.by == "image" and best.score == best.cosine > 0.98
    document = kb.document(best.chunk.doc_id, best.chunk.version)
    assert document is not None and document.text == "" and document.meta == {"format": "jpeg"}

    (found, _) = kb.search_by_image(picture("red"))
    assert found.chunk.text == "빨간 소방차" and found.chunk.source == "소방차.md" and found.by == "image"
    assert sources(kb.search_by_image(root / "그림" / "막대.jpg")) == ["바다.md", "소방차.md"]
    assert sources(kb.search_by_image(str(root / "red.png"), 1, images=True)) == ["red.png"]


def test_ordinary_search_sees_no_images(root: Path, model: Path, open_fake: Opener) -> None:
    kb = opened(open_fake, root, model)
    kb.sync()
    modes: tuple[Mode, ...] = ("hybrid", "bm25", "dense")
    for mode in modes:
        assert set(sources(kb.search("빨간", mode=mode))) <= {"소방차.md", "바다.md"}
    assert all(hit.chunk.text for hit in kb.ask("red 막대").hits)


def test_filters(root: Path, model: Path, open_fake: Opener) -> None:
    kb = opened(open_fake, root, model)
    kb.sync()
    assert set(sources(kb.search_images("red", where=Where(glob="그림/**")))) == {"그림/나무.gif", "그림/막대.jpg"}
    assert sources(kb.search_images("red", where=Where(meta={"format": "gif"}))) == ["그림/나무.gif"]
    assert sources(kb.search_by_image(picture("red"), where=Where(source="바다.md"))) == ["바다.md"]
    assert kb.search_images("red", where=Where(source="바다.md")) == [], "a text is no image"


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each call encodes."""
    real, calls = ClipEncoder.encode_images, list[int]()

    def encode_images(self: ClipEncoder, images: Any) -> Any:  # noqa: ANN401  as in ClipEncoder
        calls.append(len(images))
        return real(self, images)

    monkeypatch.setattr(ClipEncoder, "encode_images", encode_images)
    return calls


def test_only_what_changed_is_encoded(
    root: Path, model: Path, open_fake: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counted(monkeypatch)
    opened(open_fake, root, model).sync()
    assert calls == [1, 1, 1]
    kb = opened(open_fake, root, model)
    assert kb.sync().unchanged == 5 and calls == [1, 1, 1]
    (root / "red.png").write_bytes((root / "red.png").read_bytes())  # another stamp, the same bytes
    assert kb.sync().images == 0 and calls == [1, 1, 1]
    (root / "red.png").write_bytes(picture("yellow"))
    (root / "그림" / "막대.jpg").unlink()
    (root / "바다.md").unlink()
    report = kb.sync()
    assert (report.images, report.removed, len(calls)) == (1, 2, 4)
    assert set(sources(kb.search_images("blue"))) == {"red.png", "그림/나무.gif"}
    assert sources(kb.search_images("yellow", 1)) == ["red.png"] and kb.search_images("yellow", 1)[0].cosine > 0.98
    assert sources(kb.search_by_image(picture("blue"))) == ["소방차.md"]
    assert kb.status().images == 2


def test_images_that_can_not_be_read(root: Path, model: Path, open_fake: Opener) -> None:
    (root / "cut.png").write_bytes(picture("red", "blue")[:60])
    (root / "empty.jpg").touch()
    (root / "text.webp").write_text("no image")
    kb = opened(open_fake, root, model)
    failed = {state.source: state.error for state in kb.sync().failed}
    assert failed.keys() == {"cut.png", "empty.jpg", "text.webp"}
    assert "damaged or cut off" in failed["cut.png"] and "0 bytes" in failed["empty.jpg"]
    assert "no PNG" in failed["text.webp"]
    assert kb.status().images == 3 and [state.source for state in kb.status().failed] == sorted(failed)
    (root / "red.png").write_bytes(b"broken now")
    assert "red.png" in [state.source for state in kb.sync().failed]
    assert sources(kb.search_images("red", 1)) == ["red.png"], "what was stored of it stays, as for other files"
    (root / "cut.png").write_bytes(picture("yellow"))
    assert kb.sync().images == 1


def test_a_folder_of_images_alone(root: Path, model: Path, open_fake: Opener) -> None:
    for path in root.glob("*.md"):
        path.unlink()
    kb = opened(open_fake, root, model)
    assert kb.sync().images == 3 and kb.refresh() is not None and kb.status().pending == 0
    assert sources(kb.search_images("초록", 1)) == ["그림/나무.gif"] and kb.search_by_image(picture("red")) == []
    assert kb.search("red") == [] and not kb.ask("red?").found
    assert not store(kb).unfinished()


def test_one_image_as_the_root(root: Path, model: Path, open_fake: Opener, tmp_path: Path) -> None:
    kb = opened(open_fake, root / "red.png", model, {"home": str(tmp_path / "home")})
    kb.sync()
    assert sources(kb.search_images("red")) == ["red.png"]


def test_without_passages(root: Path, model: Path, open_fake: Opener) -> None:
    kb = opened(open_fake, root, model, {"image.passages": "false"})
    kb.sync()
    assert sources(kb.search_images("red", 1)) == ["red.png"]
    with pytest.raises(ConfigError, match=r"image\.passages = true"):
        kb.search_by_image(picture("red"))
    assert sources(kb.search_by_image(picture("red"), 1, images=True)) == ["red.png"]
    again = opened(open_fake, root, model)
    assert again.changes().startswith("images clip:")


# --- off, which is how it begins


def test_off_is_as_before(root: Path, model: Path, open_fake: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "make_image_encoder", lambda settings: pytest.fail("images are off"))
    off = open_fake(root)
    report = off.sync()
    assert (report.documents, report.images, off.status().images) == (2, 0, 0)
    assert {s.source: s.reason for s in report.skipped}["red.png"] == "unknown format .png"
    with pytest.raises(ConfigError, match=r"set image\.name"):
        off.search_images("red")
    with pytest.raises(ConfigError, match=r"set image\.name"):
        off.search_by_image(root / "red.png")
    assert not any(name.startswith("pictures") for name in store(off)._all_names())


def test_switching_on_and_off_again(root: Path, model: Path, open_fake: Opener) -> None:
    open_fake(root).sync()
    on = opened(open_fake, root, model)
    assert on.changes().startswith("images None -> clip:") and on.sync().images == 3
    off = open_fake(root)
    assert off.changes().endswith(" -> None") and off.sync().images == 0
    assert not any(name.startswith("pictures") for name in store(off)._all_names())
    assert sources(off.search("빨간", mode="bm25")) == ["소방차.md"]


def test_another_model_encodes_again(root: Path, model: Path, open_fake: Opener, tmp_path: Path) -> None:
    opened(open_fake, root, model).sync()
    kb = opened(open_fake, root, tiny_clip.clip(tmp_path / "other"))
    assert "images clip:" in kb.changes() and kb.sync().images == 3
    assert sources(kb.search_images("파란", 1)) == ["그림/막대.jpg"]


def test_names_that_name_nothing(root: Path, open_fake: Opener, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"image\.name '/no/such' is no folder"):
        opened(open_fake, root, Path("/no/such"))
    with pytest.raises(WeightsError, match=r"no tokenizer\.json"):
        opened(open_fake, root, tmp_path)


def test_without_pillow(root: Path, model: Path, open_fake: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'damda\[image\]'"):
        opened(open_fake, root, model)
    open_fake(root).sync()


def test_of_a_hub_repository_only_two_models_are_fetched(
    root: Path, model: Path, open_fake: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def hub_folder(name: str, **given: Any) -> Path:  # noqa: ANN401  as in weights
        asked.update(given, name=name)
        return model

    monkeypatch.setattr(weights, "hub_folder", hub_folder)
    assert open_fake(root, settings={"image.name": "hub:onnx-community/siglip2"}).status().images == 0
    assert asked["name"] == "onnx-community/siglip2" and "onnx/text_model.onnx" in asked["files"]
    assert not any("*" in pattern and pattern != "*.json" for pattern in asked["files"])
    assert "onnx/vision_model_int8.onnx" in weights.image_files("int8")


# --- killed


@pytest.mark.parametrize(
    "step, when, count",
    [
        ("_make", "before", "3"),  # pictures stored, passages not
        ("put", "after", "1"),  # all stored, no file's state
        ("record", "after", "1"),
        ("finish", "before", "1"),
    ],
)
def test_killed_at_a_step(
    root: Path, model: Path, open_fake: Opener, tmp_path: Path, step: str, when: str, count: str
) -> None:
    home = tmp_path / "home"
    child = [sys.executable, str(CHILD), str(root), str(home), "fake", "0", step, when, count]
    environment = {**os.environ, "DAMDA_IMAGE__NAME": str(model)}
    assert subprocess.run(child, env=environment, stdout=subprocess.DEVNULL).returncode == -signal.SIGKILL
    (root / "red.png").unlink()  # stored, but not yet a file that is known
    (root / "바다.md").unlink()
    kb = opened(open_fake, root, model, {"home": str(home)})
    kb.refresh()
    assert set(sources(kb.search_images("red"))) == {"그림/막대.jpg", "그림/나무.gif"}
    assert sources(kb.search_by_image(picture("red"))) == ["소방차.md"]
    assert (kb.status().images, kb.status().documents, kb.status().pending) == (2, 1, 0)
    assert not store(kb).unfinished()


def store(kb: KnowledgeBase) -> Store:
    found = kb._store
    assert isinstance(found, Store)
    return found


# --- the command line


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    use_fakes(monkeypatch.setattr, FakeEncoder(), FakeAnalyser())
    monkeypatch.setattr(sys, "argv", ["damda", *arguments])
    try:
        cli.main()
    except SystemExit as done:
        return int(done.code or 0)
    return 0


def test_the_command_line(
    root: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("DAMDA_IMAGE__NAME", str(model))
    monkeypatch.setenv("DAMDA_HOME", str(tmp_path / "home"))
    (tmp_path / "photo.png").write_bytes(picture("red"))
    photo = str(tmp_path / "photo.png")

    assert run(monkeypatch, "index", str(root)) == 0
    assert "2 documents stored (2 passages), 3 images" in capfd.readouterr().err
    assert run(monkeypatch, "status", str(root)) == 0
    assert "images     3" in capfd.readouterr().out
    assert run(monkeypatch, "search", str(root), "파란 막대 그래프", "--images", "-k", "1") == 0
    assert capfd.readouterr().out.startswith("1  그림/막대.jpg  image 0.9")
    assert run(monkeypatch, "search", str(root), "--image", photo, "-k", "1") == 0
    assert "소방차.md" in capfd.readouterr().out
    assert run(monkeypatch, "search", str(root), "--image", photo, "--images", "--glob", "그림/*", "--json") == 0
    hits = json.loads(capfd.readouterr().out)
    assert {hit["chunk"]["source"] for hit in hits} == {"그림/막대.jpg", "그림/나무.gif"}
    assert {hit["by"] for hit in hits} == {"image"}

    assert run(monkeypatch, "search", str(root), "--image", str(tmp_path / "no.png")) == 1
    assert capfd.readouterr().err.rstrip().endswith("no.png: No such file or directory")
    assert run(monkeypatch, "search", str(root), "--image", str(root / "바다.md")) == 1
    assert "바다.md: no PNG" in capfd.readouterr().err
    for wrong in (["both", "--image", photo], ["--images"], ["--queries", photo, "--run", photo, "--images"]):
        assert run(monkeypatch, "search", str(root), *wrong) == 2
    capfd.readouterr()
    monkeypatch.delenv("DAMDA_IMAGE__NAME")
    assert run(monkeypatch, "search", str(root), "red", "--images") == 1
    assert capfd.readouterr().err.startswith("damda: images are switched off: set image.name"), "before it indexes"
    assert run(monkeypatch, "status", str(root), "--set", f"image.name={model}") == 0
    assert "images     3" in capfd.readouterr().out


def test_nothing_stored_is_said(
    model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("red")
    monkeypatch.setenv("DAMDA_IMAGE__NAME", str(model))
    assert run(monkeypatch, "search", str(tmp_path / "docs"), "red", "--images") == 0
    assert "no readable images" in capfd.readouterr().err


def test_a_read_error_names_the_file(root: Path, model: Path, open_fake: Opener) -> None:
    kb = opened(open_fake, root, model)
    with pytest.raises(ReadError, match=r"바다\.md: no PNG"):
        kb.search_by_image(root / "바다.md")
