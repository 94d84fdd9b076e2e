"""Candidates beside what is in use: nobody is disturbed, nothing is encoded twice, and the way back is short."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeEncoder, use_fakes, use_named_fakes
from test_concurrency import DOCUMENTS, child, write
from test_encoder import TABLE
from test_encoder import folder as encoder_folder
from typer.testing import CliRunner

import damda
from damda import adopted, config
from damda.adopted import Adoption
from damda.assemble import assemble, candidates
from damda.assemble.candidates import Candidate
from damda.cli import commands
from damda.errors import BusyError, ConfigError, StoreError
from damda.ingest import sync as sync_module
from damda.knowledge import KnowledgeBase
from damda.search import store as store_module
from damda.search.tables import sizes
from damda.types import Progress, quiet

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, FakeEncoder]:
    monkeypatch.setattr(sync_module, "_TRUST_AFTER", 0.0)
    monkeypatch.setattr(store_module, "_REFRESH_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    return use_named_fakes(monkeypatch.setattr)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    root.mkdir()
    for number in range(DOCUMENTS):
        write(root, number, 0)
    return root


@pytest.fixture
def live(root: Path) -> KnowledgeBase:
    kb = damda.open(root)
    kb.sync()
    return kb


def candidate(live: KnowledgeBase, name: str = "tuned", changes: Mapping[str, Any] | None = None) -> Candidate:
    settings = config.find(None, {}, live.root)
    return candidates.make(live, settings, changes or {"encoder.name": name})


def names(kb: KnowledgeBase) -> set[str]:
    return set(sizes(kb.home / "lance"))


def dense(kb: KnowledgeBase) -> float:
    """Cosine of a passage to itself: 1 where question and passages have the same encoder."""
    text = kb.sample(1)[0].in_context()
    return kb.search(text, 1, mode="dense")[0].cosine or 0.0


# --- made, adopted, undone


def test_it_is_made_beside_adopted_and_undone(root: Path, live: KnowledgeBase, made: dict[str, FakeEncoder]) -> None:
    described = (live.home / "home.json").read_bytes()
    it = candidate(live)
    assert it.kb.sync().documents == DOCUMENTS and it.kb.changes() == ""
    assert (live.home / "home.json").read_bytes() == described and damda.open(root).encoder.id == "fake"
    assert names(live) == {live.fingerprint, it.kb.fingerprint} and live.changes() == ""
    assert dense(live) == pytest.approx(1, abs=1e-5) and dense(it.kb) == pytest.approx(1, abs=1e-5)

    adoption = it.adopt("encoder", {"p": 0.01})
    assert adoption.tables == it.kb.fingerprint
    after = damda.open(root)
    assert after.changes() == "" and after.fingerprint == it.kb.fingerprint and after.status().pending == 0
    report = after.refresh()
    assert report is not None and not report.changed and made["tuned"].encoded == []
    assert dense(after) == pytest.approx(1, abs=1e-5)
    assert after.sync().rebuilt == "" and after.changes() == ""
    assert names(after) == {live.fingerprint, it.kb.fingerprint}, "what was before stays"

    write(root, 1, 1)  # documents change before the way back
    (root / "d2.md").unlink()
    after.refresh()
    adopted.pop(after.home)
    back = damda.open(root)
    assert back.encoder.id == "fake" and back.changes() == "" and back.status().pending == 2
    report = back.sync()
    assert report.documents == 1 and report.removed == 1 and report.rebuilt == ""
    fresh = damda.open(root, settings={"home": str(root.parent / "fresh")})
    fresh.sync()
    assert back.documents() == fresh.documents() and dense(back) == pytest.approx(1, abs=1e-5)


def test_those_in_use_go_on(root: Path, live: KnowledgeBase) -> None:
    it = candidate(live)
    it.kb.sync()
    it.adopt("encoder", {})
    after = damda.open(root)
    after.sync()
    for turn in (1, 2):  # both write in turns, as a service with the old settings would
        write(root, 0, turn)
        for kb in (live, after):
            assert kb.refresh() is not None and kb.status().pending == 0 and dense(kb) == pytest.approx(1, abs=1e-5)
            assert kb.changes() == ""
    assert after.documents() == live.documents()


def test_the_next_adoption_lets_older_tables_go(root: Path, live: KnowledgeBase) -> None:
    first = candidate(live, "first")
    first.kb.sync()
    first.adopt("encoder", {})
    second = candidate(damda.open(root), "second")
    second.kb.sync()
    assert len(names(live)) == 3
    second.adopt("encoder", {})
    after = damda.open(root)
    after.refresh()
    assert after.encoder.id == "second" and names(after) == {first.kb.fingerprint, second.kb.fingerprint}
    adopted.pop(after.home)
    assert damda.open(root).encoder.id == "first" and damda.open(root).status().pending == 0
    adopted.pop(after.home)
    oldest = damda.open(root)
    assert oldest.changes() == "encoder second -> fake", "those tables are gone, and that is said"
    assert oldest.sync().documents == DOCUMENTS


def test_two_candidates(root: Path, live: KnowledgeBase) -> None:
    one, two = candidate(live, "one"), candidate(live, "two")
    one.kb.sync()
    two.kb.sync()
    live.sync()
    assert names(live) == {live.fingerprint, one.kb.fingerprint, two.kb.fingerprint}
    assert one.drop() and not one.drop()
    assert (
        names(live) == {live.fingerprint, two.kb.fingerprint} and one.kb.fingerprint not in adopted.read(live.home).kept
    )
    two.adopt("encoder", {})
    assert not two.drop(), "it is in use"
    assert damda.open(root).status().pending == 0 and dense(live) == pytest.approx(1, abs=1e-5)


def test_a_candidate_that_was_never_filled(live: KnowledgeBase) -> None:
    it = candidate(live)
    assert not it.drop() and not (live.home / "adopted.json").exists()


def test_a_candidate_of_the_same_tables(root: Path, live: KnowledgeBase) -> None:
    it = candidate(live, changes={"search.mode": "convex", "search.weight": 0.3})
    assert it.tables == "" and it.kb.status().pending == 0 and it.kb.mode == "convex"
    write(root, 0, 1)
    it.kb.refresh()
    assert live.status().pending == 0 and adopted.read(live.home).kept == {}
    assert not it.drop() and live.count()
    adoption = it.adopt("fusion", {})
    assert adoption.tables == "" and damda.open(root).mode == "convex" and damda.open(root).status().pending == 0


def test_an_encoder_that_is_what_is_in_use(live: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tuning may have changed nothing: its tables are those in use, and stay."""
    use_fakes(monkeypatch.setattr, FakeEncoder())
    it = candidate(live)
    it.kb.sync()
    assert it.tables == "" and not it.drop() and live.count() > 0


def test_before_anything_is_indexed(root: Path) -> None:
    live = damda.open(root)
    it = candidate(live)
    it.kb.sync()
    assert not live.exists() and not (live.home / "home.json").exists()
    live.sync()
    assert dense(live) == pytest.approx(1, abs=1e-5) and it.kb.status().pending == 0


def test_what_does_not_go_with_it_is_said_before_it_is_filled(live: KnowledgeBase) -> None:
    with pytest.raises(ConfigError, match="search.wieght"):
        candidate(live, changes={"search.wieght": 0.3})


# --- killed, and at the same time


def filling(root: Path, home: Path, *args: str, pause: float = 0.0) -> "subprocess.Popen[str]":
    return child("candidate_child.py", root, home, "tuned", pause, *args)


@pytest.mark.parametrize("step, when", [("put", "after"), ("record", "before"), ("finish", "before")])
def test_killed_while_it_is_filled(
    root: Path, live: KnowledgeBase, made: dict[str, FakeEncoder], step: str, when: str
) -> None:
    process = filling(root, live.home, step, when, "1")
    assert process.wait(60) == -signal.SIGKILL
    process.communicate()
    write(root, 5, 1)
    live.sync()  # drops what nobody needs
    it = candidate(live)
    assert it.kb.fingerprint in names(live)
    report = it.kb.sync()
    assert 0 < len(made["tuned"].encoded) < it.kb.count() or step == "finish", "what was stored is kept"
    assert report.documents < DOCUMENTS and it.kb.documents() == live.documents()
    assert it.kb.status().pending == 0 and dense(it.kb) == pytest.approx(1, abs=1e-5)


def test_an_error_in_the_middle(live: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    it = candidate(live)
    with monkeypatch.context() as patch:
        patch.setattr(sync_module, "_BATCH_CHUNKS", 4)

        def stop(what: str, done: int, total: int) -> None:
            if done > total // 2 > 0:
                raise RuntimeError("stopped")

        with pytest.raises(RuntimeError, match="stopped"):
            it.kb.sync(stop)
    live.sync()
    again = candidate(live)
    assert 0 < again.kb.sync().documents < DOCUMENTS


def test_readers_and_a_writer_in_other_processes(root: Path, live: KnowledgeBase, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    reader = child("search_child.py", root, live.home, stop)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("stop.*")):
        assert time.monotonic() < deadline and reader.poll() is None, reader.communicate()
        time.sleep(0.05)
    process = filling(root, live.home, pause=0.3)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    assert process.stdout.readline().startswith("stored"), "it has begun"
    write(root, 0, 1)
    live.sync()  # not refused, although the candidate is being filled
    with pytest.raises(BusyError):
        candidate(live).kb.sync()
    assert process.poll() is None, "it was too fast for this test"
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and out.endswith("done\n"), err
    it = candidate(live)
    it.kb.sync()
    it.adopt("encoder", {})
    after = damda.open(root)
    after.refresh()
    write(root, 3, 1)
    live.sync()
    after.sync()
    stop.touch()
    out, err = reader.communicate(timeout=30)
    assert reader.returncode == 0, err
    assert int(out.split()[0]) > 20


def test_another_process_adopts(root: Path, live: KnowledgeBase) -> None:
    """A service that was started before goes on; whoever opens the folder then has the new settings."""
    script = (
        "from pathlib import Path; from fakes import use_named_fakes; use_named_fakes(setattr);"
        "import damda, sys; kb = damda.open(sys.argv[1]); print(kb.encoder.id, kb.refresh().changed, kb.changes())"
    )
    it = candidate(live)
    it.kb.sync()
    it.adopt("encoder", {})
    command = [sys.executable, "-c", script, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE, check=False)
    assert done.stdout.split() == ["tuned", "False"], done.stderr
    assert dense(live) == pytest.approx(1, abs=1e-5)


def test_threads_search_while_it_is_filled(live: KnowledgeBase) -> None:
    failed: list[BaseException] = []
    done = threading.Event()

    def search() -> None:
        try:
            while not done.is_set():
                assert live.search("word", mode="hybrid")
        except BaseException as error:  # noqa: BLE001  a thread's
            failed.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    it = candidate(live)
    it.kb.sync()
    it.adopt("encoder", {})
    damda.open(live.root).sync()
    done.set()
    thread.join()
    assert not failed


# --- cleaning


def clean(*args: object) -> str:
    result = CliRunner().invoke(commands(), ["tune", "clean", *map(str, args)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_clean_drops_what_is_kept(root: Path, live: KnowledgeBase) -> None:
    it = candidate(live)
    it.kb.sync()
    assert it.kb.fingerprint in clean(root, "--dry-run")
    it.adopt("encoder", {})
    assert len(names(live)) == 2 and "from before an adoption" in clean(root)
    assert names(live) == {it.kb.fingerprint} and adopted.read(live.home).kept == {}
    adopted.pop(live.home)
    back = damda.open(root)
    assert back.sync().documents == DOCUMENTS
    clean(root)
    assert names(live) == {back.fingerprint}
    with pytest.raises(StoreError, match="start damda again"):
        it.kb.search("word")


def test_clean_leaves_what_is_being_filled(root: Path, live: KnowledgeBase) -> None:
    it = candidate(live)
    it.kb.sync()
    with it.kb._home.writing():
        assert "it stays" in clean(root) and it.kb.fingerprint in names(live)
        with pytest.raises(BusyError):
            it.drop()
    clean(root)
    assert it.kb.fingerprint not in names(live)


# --- answers that are remembered


@pytest.mark.parametrize(
    "settings, changes",
    [
        ({}, {"encoder.name": "tuned"}),
        ({}, {"search.mode": "convex"}),
        ({"search.mode": "convex"}, {"search.weight": 0.3}),
        ({"search.mode": "rrf"}, {"search.rrf_k": 10}),
        ({}, {"answer.threshold": 0.01}),
    ],
)
def test_answers_of_other_settings_are_not_remembered(
    root: Path, settings: dict[str, Any], changes: dict[str, Any]
) -> None:
    adopted.push(root / ".damda", Adoption("fusion", {"answer.threshold": 0.0, **settings}), before="")

    def asked() -> str:
        kb = damda.open(root)
        kb.refresh()
        return kb.ask("word turn0").cached

    assert (asked(), asked()) == ("", "exact")
    adopted.push(root / ".damda", Adoption("fusion", changes), before="")
    assert (asked(), asked()) == ("", "exact")
    adopted.pop(root / ".damda")
    assert asked() == "exact", "undone: those from before are right again"


# --- with a model on disk


def test_from_an_artifact(root: Path, live: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    from damda.assemble import models
    from damda.embed.encoder import OnnxEncoder
    from damda.settings import EncoderSettings

    def make_encoder(settings: EncoderSettings, *, offline: bool, progress: Progress = quiet) -> Any:  # noqa: ANN401
        return OnnxEncoder(Path(settings.name)) if "/" in settings.name else FakeEncoder()

    monkeypatch.setattr(models, "make_encoder", make_encoder)
    artifact = encoder_folder(live.home / "artifacts" / "encoder-1", table=TABLE + 1)
    it = candidate(live, str(artifact))
    it.kb.sync()
    it.adopt("encoder", {})
    assert assemble(root, config.find(None, {}, root)).status().pending == 0
    assert "artifact" not in clean(root) and artifact.is_dir()
    adopted.pop(live.home)
    assert "artifact encoder-1" in clean(root) and not artifact.exists()
