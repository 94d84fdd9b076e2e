"""What a home has adopted: the file, which source of settings wins, what the command line says of it."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeAnalyser, use_named_fakes
from test_encoder import folder as encoder_folder
from typer.testing import CliRunner

import damda
from damda import adopted, config
from damda.adopted import Adopted, Adoption
from damda.assemble import models
from damda.cli import commands
from damda.config import find
from damda.errors import BusyError, ConfigError, DamdaError, StoreError
from damda.overrides import Overridden, overridden
from damda.serve.process import Order

WHY = {"ndcg@10": [0.71, 0.78], "p": 0.003}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "docs"
    root.mkdir()
    (root / "leave.md").write_text("휴가 규정", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return root


@pytest.fixture
def home(root: Path) -> Path:
    return root / ".damda"


def fusion(weight: float) -> Adoption:
    return Adoption("fusion", {"search.mode": "convex", "search.weight": weight}, WHY)


def run(*args: object) -> str:
    result = CliRunner().invoke(commands(), [str(arg) for arg in args])
    if isinstance(result.exception, DamdaError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def said(*args: object) -> Any:  # noqa: ANN401  JSON
    return json.loads(run(*args, "--json"))


# --- the file


def test_a_stack(home: Path) -> None:
    assert adopted.read(home) == Adopted() and adopted.pop(home) is None and not home.exists()
    first, second = Adoption("encoder", {"encoder.name": "a"}, WHY, "F1"), fusion(0.3)
    adopted.push(home, first, before="F0")
    adopted.push(home, second, before="F1")
    now = adopted.read(home)
    assert now.stack == (first, second) and now.tables == "F1" and now.kept == {"F0": "before"}
    assert now.settings == {"encoder.name": "a", "search.mode": "convex", "search.weight": 0.3}
    assert adopted.settings([fusion(0.3), fusion(0.4)])["search.weight"] == 0.4
    assert adopted.pop(home) == second and adopted.pop(home) == first
    assert adopted.read(home) == Adopted((), {"F0": "before", "F1": "undone"})


def test_what_is_kept(home: Path) -> None:
    adopted.keep(home, "C")
    adopted.keep(home, "F1")
    adopted.push(home, Adoption("encoder", {}, {}, "F1"), before="F0")
    assert adopted.read(home).kept == {"C": "candidate", "F0": "before"}, "F1 is a candidate no longer"
    adopted.keep(home, "F1")
    adopted.keep(home, "F0")
    assert adopted.read(home).kept == {"C": "candidate", "F0": "before"}, "they are spared already"
    adopted.push(home, Adoption("encoder", {}, {}, "F2"), before="F1")
    assert adopted.read(home).kept == {"C": "candidate", "F1": "before"} and "F2" in adopted.read(home).spared
    adopted.release(home, "C")
    assert adopted.read(home).spared == {"F1", "F2"}
    adopted.pop(home)
    adopted.push(home, Adoption("encoder", {}, {}, "F3"), before="F1")
    assert adopted.read(home).spared == {"F1", "F3"}, "what was undone is wanted until the next adoption only"


def test_paths_in_a_home_move_with_it(home: Path, tmp_path: Path) -> None:
    inside, outside = home / "artifacts" / "e", tmp_path / "elsewhere"
    settings = {"encoder.name": str(inside), "rerank.model": str(outside), "guard.classifiers": [str(inside), "x"]}
    adopted.push(home, Adoption("encoder", settings), before="")
    assert adopted.read(home).settings == settings
    assert str(home) not in (home / "adopted.json").read_text()
    home.rename(tmp_path / "moved")
    moved = str(tmp_path / "moved" / "artifacts" / "e")
    found = adopted.read(tmp_path / "moved").settings
    assert found == {"encoder.name": moved, "rerank.model": str(outside), "guard.classifiers": [moved, "x"]}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"adoptions": [3], "kept": {}}',
        '{"adoptions": [], "kept": []}',
        '{"adoptions": [], "kept": {"F": "why not"}}',
        '{"adoptions": [{"kind": "llm", "settings": {}, "at": "", "why": {}, "tables": ""}], "kept": {}}',
        '{"adoptions": [{"kind": "fusion", "settings": {"home": "x"}, "at": "", "why": {}, "tables": ""}], "kept": {}}',
        '{"adoptions": [{"kind": "fusion", "settings": {"a.b": {}}, "at": "", "why": {}, "tables": ""}], "kept": {}}',
    ],
)
def test_a_damaged_file_is_one_clear_line(root: Path, home: Path, content: str) -> None:
    home.mkdir()
    (home / "adopted.json").write_text(content)
    for use in (
        lambda: find(root=root),
        lambda: damda.open(root),
        lambda: run("tune", "status", root),
        lambda: run("tune", "rollback", root),
        lambda: adopted.push(home, fusion(0.1), before=""),
    ):
        with pytest.raises(StoreError, match=r"adopted\.json can't be read.*delete it to go on") as caught:
            use()
        assert "\n" not in str(caught.value)
    assert (home / "adopted.json").read_text() == content, "nobody has written over it"


def test_writing_is_one_step(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adopted.push(home, fusion(0.3), before="")

    def full(self: Path, text: str, encoding: str) -> None:
        self.write_bytes(text.encode(encoding)[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(StoreError, match="No space left"):
            adopted.push(home, fusion(0.4), before="")
    assert adopted.read(home).settings["search.weight"] == 0.3
    assert not list(home.glob(".adopted.json*")), "no draft stays behind"


def test_several_at_once_lose_nothing(home: Path) -> None:
    threads = [threading.Thread(target=adopted.keep, args=(home, f"F{n}")) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(adopted.read(home).kept) == 12


def test_one_tuning_at_a_time(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_named_fakes(monkeypatch.setattr)
    with adopted.tuning(home), pytest.raises(BusyError, match="tuning or cleaning"):
        run("tune", "clean", root)
    run("tune", "clean", root)


# --- settings


def test_whoever_sets_a_key_wins(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adopted.push(home, fusion(0.3), before="")
    assert find(root=root).search.weight == 0.3 and find(root=root).search.mode == "convex"
    assert find(root=root.parent).search.weight == 0.5, "another folder's home"
    assert find(root=root / "leave.md").search.weight == 0.5, "a file has a home of its own"
    (root / "damda.toml").write_text("[search]\nweight = 0.4\n")
    assert find(root=root).search.weight == 0.4 and find(root=root).search.mode == "convex"
    monkeypatch.setenv("DAMDA_SEARCH__WEIGHT", "0.6")
    assert find(root=root).search.weight == 0.6
    assert find(None, {"search.weight": 0.7}, root).search.weight == 0.7
    assert find(None, {"search.mode": "bm25"}, root).search.mode == "bm25"


def test_it_is_the_home_that_has_adopted(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    adopted.push(elsewhere, fusion(0.3), before="")
    assert find(root=root).search.weight == 0.5
    assert find(None, {"home": str(elsewhere)}, root).search.weight == 0.3
    (root / "damda.toml").write_text(f"home = {json.dumps(str(elsewhere))}\n")
    assert find(root=root).search.weight == 0.3
    assert find(root / "damda.toml").search.weight == 0.3, "a home is named, though no documents are"


def test_a_link_to_the_documents_has_their_home(root: Path, home: Path, tmp_path: Path) -> None:
    adopted.push(home, fusion(0.3), before="")
    adopted.push(home / "leave.md", fusion(0.2), before="")
    (tmp_path / "link").symlink_to(root)
    (tmp_path / "note.md").symlink_to(root / "leave.md")
    assert find(root=Path("link")).search.weight == 0.3 and find(root=Path("note.md")).search.weight == 0.2


def test_every_door_has_it(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = use_named_fakes(monkeypatch.setattr)
    adopted.push(home, Adoption("encoder", {"encoder.name": "tuned", "search.mode": "bm25"}), before="")
    kb = damda.open(root)
    assert kb.encoder.id == "tuned" and kb.mode == "bm25"
    run("index", root)
    assert "tuned" in run("status", root)
    order = Order(str(root), None, {}, insecure=False)
    assert order.settings().encoder.name == "tuned" and order.service().encoder.id == "tuned"
    questions = root.parent / "questions.jsonl"
    questions.write_text('{"id": "1", "text": "휴가 규정", "document": "leave.md"}\n', encoding="utf-8")
    report = said("eval", questions, "--documents", root, "--modes", "hybrid")
    assert report["settings"]["encoder"] == "tuned"
    assert set(made) == {"tuned"}


def test_a_data_set_s_own_documents_have_a_home_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = use_named_fakes(monkeypatch.setattr)
    rows = {"corpus.jsonl": {"_id": "d", "text": "휴가 규정"}, "queries.jsonl": {"_id": "q", "text": "휴가"}}
    for name, row in rows.items():
        (root / name).write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    (root / "qrels").mkdir()
    (root / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    adopted.push(root / ".damda" / "corpus.jsonl", Adoption("encoder", {"encoder.name": "tuned"}), before="")
    assert said("eval", root, "--modes", "hybrid")["settings"]["encoder"] == "tuned" and "tuned" in made


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"search.weight": 7}, "search.weight in .*less than or equal to 1"),
        ({"search.wieght": 0.1}, "search.wieght in .*unknown setting"),
        ({"nonsense": 1}, "nonsense in .*unknown setting"),
    ],
)
def test_what_can_not_be_is_named_with_its_file(root: Path, home: Path, settings: dict[str, Any], says: str) -> None:
    adopted.push(home, Adoption("fusion", settings), before="")
    with pytest.raises(ConfigError, match=says) as caught:
        find(root=root)
    assert str(home / "adopted.json") in str(caught.value) and "tune rollback" in str(caught.value)
    run("tune", "rollback", root) if "search.weight" in settings else adopted.pop(home)
    assert find(root=root) == config.load(env={})


def test_a_home_can_not_say_where_it_is(home: Path) -> None:
    with pytest.raises(ValueError, match="home"):
        adopted.push(home, Adoption("fusion", {"home": "/x"}), before="")


def test_what_has_no_effect_is_known(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adopted.push(home, fusion(0.3), before="")
    assert overridden(None, {}, root) == []
    (root / "damda.toml").write_text('[search]\nweight = 0.3\nmode = "bm25"\n')
    toml = str(root / "damda.toml")
    assert overridden(None, {}, root) == [Overridden("search.mode", "convex", "bm25", toml)], "the weight is the same"
    monkeypatch.setenv("DAMDA_SEARCH__WEIGHT", "0.30")
    assert [it.key for it in overridden(None, {}, root)] == ["search.mode"], "so is text that means it"
    monkeypatch.setenv("DAMDA_SEARCH__WEIGHT", "0.9")
    weight, mode = sorted(overridden(None, {"search.mode": "rrf"}, root), key=lambda it: it.value == "rrf")
    assert (weight.source, mode.source, mode.value) == ("the environment", "the command line", "rrf")
    would = overridden(None, {}, root, {"search.weight": 0.8, "chunk.tokens": 128})
    assert [(it.key, it.adopted, it.value) for it in would] == [("search.weight", 0.8, 0.9)]


def test_changing_settings() -> None:
    before = config.load(None, {"read.ignore": "*.log", "remote.api_key": "k"}, {})
    after = config.changed(before, {"search.weight": 0.2, "home": "/x"})
    assert (after.search.weight, after.home, after.read, after.remote) == (0.2, "/x", before.read, before.remote)
    assert before.search.weight == 0.5
    with pytest.raises(ConfigError, match=r"search\.wieght.*search\.weight"):
        config.changed(before, {"search.wieght": 0.2})


# --- a folder that holds a model


@pytest.fixture
def artifact(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(models, "make_analyser", lambda settings: FakeAnalyser())
    return encoder_folder(home / "artifacts" / "encoder-1")


def test_an_artifact(root: Path, home: Path, artifact: Path, tmp_path: Path) -> None:
    adopted.push(home, Adoption("encoder", {"encoder.name": str(artifact)}), before="")
    kb = damda.open(root)
    kb.sync()
    assert kb.search("휴가", mode="dense")[0].chunk.text == "휴가 규정" and kb.encoder.id.startswith("onnx:")
    home.rename(tmp_path / "moved")
    moved = damda.open(root, settings={"home": str(tmp_path / "moved")})
    assert moved.encoder.id == kb.encoder.id and moved.refresh() is not None and moved.count() == 1


def test_a_vanished_artifact(root: Path, home: Path, artifact: Path, fake_encoder: Any) -> None:  # noqa: ANN401
    adopted.push(home, Adoption("encoder", {"encoder.name": str(artifact)}), before="")
    artifact.rename(root / "saved")
    for use in (lambda: damda.open(root), lambda: run("index", root), lambda: run("ask", root, "휴가?")):
        with pytest.raises(ConfigError) as caught:
            use()
        message = str(caught.value)
        assert str(artifact) in message and f"`damda tune rollback {root}`" in message and "\n" not in message
    assert damda.open(root, settings={"encoder.name": str(root / "saved")}).encoder.id, "it is not used"
    assert damda.open(root, encoder=fake_encoder).encoder is fake_encoder
    assert str(artifact) in run("tune", "status", root)
    assert said("tune", "status", root)["vanished"] == {"encoder.name": str(artifact)}
    (root / "saved").rename(artifact)
    assert damda.open(root).encoder.id.startswith("onnx:")
    artifact.rename(root / "saved")
    run("tune", "rollback", root)
    assert find(root=root).encoder.name == "e5-small-koen"


# --- the command line


def test_status_and_rollback(root: Path, home: Path) -> None:
    assert "nothing is adopted" in run("tune", "status", root)
    assert not home.exists(), "looking leaves no trace"
    adopted.push(home, fusion(0.3), before="")
    adopted.push(home, Adoption("encoder", {"encoder.name": "tuned"}, WHY, "F1"), before="F0")
    output = run("tune", "status", root, "--set", "search.weight=0.9")
    for part in ("fusion", "encoder.name = tuned", "p = 0.003", "without effect: search.weight = 0.3", "tables F0"):
        assert part in output
    state = said("tune", "status", root)
    assert [entry["kind"] for entry in state["adopted"]] == ["fusion", "encoder"] and state["overridden"] == []
    assert state["kept"] == [{"tables": "F0", "why": "before", "bytes": 0}]
    assert "encoder.name = e5-small-koen" in run("tune", "rollback", root)
    answer = said("tune", "rollback", root)
    assert answer["undone"]["kind"] == "fusion" and answer["now"] == {"search.mode": "hybrid", "search.weight": 0.5}
    with pytest.raises(ConfigError, match="nothing is adopted in .*nothing to undo"):
        run("tune", "rollback", root)


def test_status_of_the_folder_that_one_is_in(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adopted.push(home, fusion(0.3), before="")
    monkeypatch.chdir(root)
    assert "fusion" in run("tune", "status")


def test_rollback_says_what_has_no_effect(root: Path, home: Path) -> None:
    adopted.push(home, fusion(0.3), before="")
    adopted.push(home, fusion(0.4), before="")
    output = run("tune", "rollback", root, "--set", "search.weight=0.9")
    assert "search.weight = 0.9" in output and "without effect: search.weight = 0.3" in output


def test_clean_deletes_what_nothing_refers_to(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_named_fakes(monkeypatch.setattr)
    for name in ("adopted", "set", "listed", "before", "unused"):
        (home / "artifacts" / name).mkdir(parents=True)
        (home / "artifacts" / name / "model.onnx").write_bytes(b"x" * 100)
    (home / "artifacts" / "draft").write_bytes(b"x" * 11)
    adopted.push(home, Adoption("encoder", {"encoder.name": str(home / "artifacts" / "before")}), before="")
    adopted.push(home, Adoption("encoder", {"encoder.name": str(home / "artifacts" / "adopted")}), before="")
    monkeypatch.chdir(root)
    (root / "damda.toml").write_text(
        '[rerank]\nmodel = ".damda/artifacts/set/model.onnx"\n[guard]\nclassifiers = [".damda/artifacts/listed"]\n'
    )
    listed = run("tune", "clean", root, "--dry-run")
    assert "unused: 100 bytes" in listed and "111 bytes would be freed" in listed
    assert len(list((home / "artifacts").iterdir())) == 6
    assert "111 bytes freed" in run("tune", "clean", root)
    assert {path.name for path in (home / "artifacts").iterdir()} == {"adopted", "set", "listed", "before"}
    assert said("tune", "clean", root) == {"deleted": [], "found": [], "bytes": 0}
