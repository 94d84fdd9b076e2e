"""A model goes to a hub and comes back whole, or one line says why not. The hub is a server of this test."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import hub_server
import numpy as np
import pytest
from hub_server import READER, WRITER, Hub
from test_encoder import folder as model
from test_encoder import pooling
from typer.testing import CliRunner, Result

from damda import hub as hub_of
from damda import manifest
from damda.assemble.models import make_encoder
from damda.cli import commands
from damda.embed.encoder import OnnxEncoder
from damda.errors import DamdaError, WeightsError
from damda.manifest import Data, Manifest, Parent
from damda.settings import EncoderSettings
from damda.tune.card import card

pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
# How huggingface_hub calls the HTTP library beneath it is not ours to change.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

MADE = Manifest(
    kind="encoder",
    name="my-encoder",
    command="damda tune encoder ./docs --set remote.api_key=sk-4711 --epochs 3",
    parents=(Parent("e5-small-koen", id="e5-small-koen@1", licence="MIT"),),
    data=(
        Data("KLUE-STS train", "ab" * 32, 11668, "CC-BY-SA-4.0"),
        Data("KLUE-STS dev", "cd" * 32, 519, "CC-BY-SA-4.0", "evaluation"),
    ),
    settings={"epochs": 3, "rate": 2e-5},
    metrics={
        "klue_sts_dev": {"spearman_before": 0.78912, "spearman_after": 0.84001, "pairs": 519},
        "ndcg@10_before": 0.5,
        "ndcg@10_after": None,
    },
    machine="2 cores | 7.8 GiB",
    seconds=905.4,
)
LAYOUT: Mapping[str, object] = {
    **pooling("mean_tokens"),
    "config.json": {"model_type": "bert"},
    "modules.json": [{"idx": 0, "type": "sentence_transformers.models.Transformer", "path": ""}],
    "config_sentence_transformers.json": {"prompts": {"query": "query: ", "document": "doc: "}},
    "sentence_bert_config.json": {"max_seq_length": 16},
    "tokenizer_config.json": {},
    "2_Normalize/config.json": {},
}


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    made = model(tmp_path / "made", LAYOUT)
    (made / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (made / "README.md").write_text("# What a trainer left here\n")
    manifest.write(made, MADE)
    return made


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_server.running() as hub:
        yield hub


class Machine:
    """A user's machine: its own caches, its own variables, each command a process of its own."""

    def __init__(self, home: Path, hub: Hub) -> None:
        home.mkdir()
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT") if name in os.environ}
        self.env = {**kept, "HOME": str(home), "HF_HOME": str(home / "hf"), "HF_ENDPOINT": hub.url}
        self.env |= {"HF_HUB_DISABLE_XET": "1", "DAMDA_CACHE": str(home / "damda")}
        self.home = home

    def python(self, code: str, *words: str | Path, **env: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", code, *map(str, words)]
        merged = {name: value for name, value in {**self.env, **env}.items() if value}
        done = subprocess.run(
            command, env=merged, cwd=self.home, capture_output=True, text=True, timeout=120, check=False
        )
        assert WRITER not in done.stdout + done.stderr and "Traceback" not in done.stderr, done.stderr
        return done

    def damda(self, *words: str | Path, **env: str) -> "subprocess.CompletedProcess[str]":
        return self.python("from damda.cli import main; main()", *words, **env)

    def publish(self, artifact: Path, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
        return self.damda("tune", "publish", artifact, "--repo", "me/enc", *words, **{"HF_TOKEN": WRITER, **env})


@pytest.fixture
def machine(tmp_path: Path, hub: Hub) -> Machine:
    return Machine(tmp_path / "home", hub)


ENCODE = """
import sys, json
from damda import config
from damda.assemble.models import make_encoder
settings = config.load(None, {"encoder.name": "hub:me/enc"})
encoder = make_encoder(settings.encoder, offline=sys.argv[1] == "offline")
print(json.dumps([encoder.id, encoder.encode(["휴가 규정"], kind="query").tolist()]))
"""


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(commands(), [str(word) for word in words])


def publish(artifact: Path, *words: str, repo: str = "me/enc") -> Result:
    return run("tune", "publish", artifact, "--repo", repo, *words)


def refused(done: Result) -> str:
    """The one line that a command which failed would print."""
    assert done.exit_code == 1 and isinstance(done.exception, DamdaError), done.output
    line = str(done.exception)
    assert len(line.splitlines()) == 1 and WRITER not in line and done.stdout == ""
    return line


@pytest.fixture
def here(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The hub for commands that run in this process, where huggingface_hub may have read its variables already."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setenv("HF_TOKEN", WRITER)
    pages = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + pages)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    return hub


# --- there and back


def test_a_round_trip(artifact: Path, hub: Hub, machine: Machine) -> None:
    (artifact / "notes.txt").write_text("not in the manifest")
    sent = machine.publish(artifact, "--json")
    assert sent.returncode == 0 and not sent.stderr, sent.stderr
    told = json.loads(sent.stdout)
    repository = hub.repositories["me/enc"]
    assert told == {"repo": "me/enc", "url": f"{hub.url}/me/enc", "commit": repository.main, "private": True}
    assert repository.private
    expected = {name: (artifact / name).read_bytes() for name in [*manifest.read(artifact).files, "manifest.json"]}
    there = dict(repository.files)
    assert there.pop(".gitattributes") and there.pop("README.md").startswith(b"---\n")
    assert there == expected and "model.onnx" in there and "notes.txt" not in there

    other = Machine(machine.home.parent / "other", hub)
    pulled = other.damda("models", "pull", "hub:me/enc", HF_TOKEN=READER)
    assert pulled.returncode == 0, pulled.stderr
    folder = Path(pulled.stdout.strip())
    assert (
        pulled.stderr.endswith("files checked\n")
        and len(pulled.stderr.splitlines()) == 1
        and (folder / "model.safetensors").is_file()
    )
    assert manifest.verify(folder) == manifest.read(artifact)

    ours = OnnxEncoder(artifact)
    for where, env in (("online", {"HF_TOKEN": READER}), ("offline", {"HF_ENDPOINT": "http://127.0.0.1:9"})):
        done = other.python(ENCODE, where, **env)
        assert done.returncode == 0, done.stderr
        name, vectors = json.loads(done.stdout)
        assert name == ours.id and np.allclose(vectors, ours.encode(["휴가 규정"], kind="query"), atol=1e-6)
    again = other.damda("models", "pull", "hub:me/enc", DAMDA_OFFLINE="true", HF_ENDPOINT="http://127.0.0.1:9")
    assert again.returncode == 0 and again.stdout == pulled.stdout, again.stderr


def test_publishing_again_is_one_more_commit(artifact: Path, here: Hub) -> None:
    first = json.loads(publish(artifact, "--json").stdout)["commit"]
    assert json.loads(publish(artifact, "--json").stdout)["commit"] == first, "nothing changed: no commit"
    (artifact / "1_Pooling" / "config.json").unlink()
    manifest.write(artifact, replace(MADE, name="better"))
    here.repositories["me/enc"].files["by-hand.txt"] = b"somebody's"
    done = publish(artifact)
    assert done.exit_code == 0 and done.stdout == f"{here.url}/me/enc\n" and "private; commit" in done.stderr
    assert len(here.repositories["me/enc"].commits) == 3
    there = here.repositories["me/enc"].files
    assert b'"better"' in there["manifest.json"] and b"# better" in there["README.md"]
    assert "1_Pooling/config.json" not in there, "an older model's parts would be read with the new one"
    assert there["by-hand.txt"] == b"somebody's"


def test_public_only_when_asked(artifact: Path, here: Hub) -> None:
    assert publish(artifact, "--public").exit_code == 0
    repository = here.repositories["me/enc"]
    assert not repository.private
    assert "exists and is public: give --public" in refused(publish(artifact))
    assert len(repository.commits) == 2
    repository.private = True
    assert "private, as it was before" in publish(artifact, "--public").stderr


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors", "1_Pooling/config.json"])
def test_a_file_damaged_on_the_way_is_noticed(artifact: Path, here: Hub, name: str) -> None:
    publish(artifact)
    whole = (artifact / name).read_bytes()
    here.damaged[name] = bytes([whole[0] ^ 1]) + whole[1:]
    for _ in range(2):
        line = refused(run("models", "pull", "hub:me/enc"))
        assert line.startswith(f"hub:me/enc is not what its manifest.json describes: {name} differs;")
    if name != "model.safetensors":  # which damda does not need
        with pytest.raises(WeightsError, match="not in the cache"):
            make_encoder(EncoderSettings(name="hub:me/enc"), offline=True)
    here.damaged.clear()
    assert run("models", "pull", "hub:me/enc").exit_code == 0
    assert make_encoder(EncoderSettings(name="hub:me/enc"), offline=True).id == OnnxEncoder(artifact).id


def test_a_repository_without_manifest_is_not_checked(artifact: Path, here: Hub) -> None:
    files = {"model.onnx": (artifact / "model.onnx").read_bytes(), "manifest.json": b'{"name": "a web page"}'}
    here.repositories["team/plain"] = hub_server.Repository(False, {"1" * 40: {**files, "pytorch_model.bin": b"x"}})
    told = json.loads(run("models", "pull", "hub:team/plain", "--json").stdout)
    assert told["note"] == "no manifest: not checked" and not (Path(told["path"]) / "pytorch_model.bin").exists()
    assert "no manifest: not checked" in run("models", "pull", "hub:team/plain").stderr


def test_files_beside_the_manifest_s_are_named(artifact: Path, here: Hub) -> None:
    publish(artifact)
    here.repositories["me/enc"].files["extra.json"] = b"{}"
    assert "not checked: extra.json" in run("models", "pull", "hub:me/enc").stderr


def test_a_manifest_that_points_outside(artifact: Path, here: Hub, tmp_path: Path) -> None:
    publish(artifact)
    files = here.repositories["me/enc"].files
    content = json.loads(files["manifest.json"])
    files["manifest.json"] = json.dumps({**content, "files": {"../../../../precious": "0" * 64}}).encode()
    (tmp_path / "precious").touch()
    assert "is no file below the folder" in refused(run("models", "pull", "hub:me/enc"))
    assert (tmp_path / "precious").exists()


# --- what the hub refuses


@pytest.mark.parametrize("token, reason", [("", "set the variable HF_TOKEN"), ("hf_stranger", "not know this token")])
def test_without_a_token_or_with_a_wrong_one(
    artifact: Path, here: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, reason: str
) -> None:
    (tmp_path / "token").write_text(WRITER)  # of a log-in, which is not the environment
    monkeypatch.setenv("HF_TOKEN", token)
    assert reason in refused(publish(artifact)) and not here.repositories


@pytest.mark.parametrize("token", ["hf_비밀", "hf_a\nX-Evil: 1", "hf a"])
def test_a_token_that_no_header_can_carry_is_not_repeated(
    artifact: Path, here: Hub, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    line = refused(publish(artifact))
    assert "HF_TOKEN is no token" in line and token[:4] not in line


@pytest.mark.parametrize(
    "repo, token, reason",
    [
        ("me/enc", READER, "must be one that may write there"),
        ("others/enc", WRITER, "must be one that may write there"),
        ("enc", WRITER, "give OWNER/NAME"),
        ("me/../enc", WRITER, "give OWNER/NAME"),
    ],
)
def test_no_access(
    artifact: Path, here: Hub, monkeypatch: pytest.MonkeyPatch, repo: str, token: str, reason: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    assert reason in refused(publish(artifact, repo=repo)) and not here.repositories


@pytest.mark.parametrize(
    "status, reason",
    [
        (404, "no such repository"),
        (429, "too many requests"),
        (500, "a fault of its own (500)"),
        (418, "refused (418): told to refuse"),
    ],
)
def test_a_hub_that_refuses_everything(artifact: Path, here: Hub, status: int, reason: str) -> None:
    here.refusing = status, ""
    assert reason in refused(publish(artifact))


def test_pulling_what_is_not_there_or_not_for_us(artifact: Path, here: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert publish(artifact).exit_code == 0
    for repo, token in (("me/enc", ""), ("me/none", ""), ("me/none", READER)):
        monkeypatch.setenv("HF_TOKEN", token)
        assert "no such repository, or it is private" in refused(run("models", "pull", f"hub:{repo}"))
    here.refusing = 401, "GatedRepo"
    assert "ask for access" in refused(run("models", "pull", "hub:me/none"))
    assert "give OWNER/NAME" in refused(run("models", "pull", "hub:none"))


def test_no_network(artifact: Path, machine: Machine) -> None:
    nowhere = "http://127.0.0.1:9"
    for done in (
        machine.publish(artifact, HF_ENDPOINT=nowhere),
        machine.damda("models", "pull", "hub:me/enc", HF_ENDPOINT=nowhere),
    ):
        assert done.returncode == 1 and f"the hub at {nowhere} can't be reached" in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert "HF_HUB_OFFLINE is set" in machine.publish(artifact, HF_HUB_OFFLINE="1").stderr


def test_settings_that_stand_in_the_way(artifact: Path, here: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "offline = true" in refused(publish(artifact, "--set", "offline=true"))
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    assert "is no address" in refused(publish(artifact)) and not here.asked


def test_a_mirror_needs_no_xet(artifact: Path, hub: Hub, machine: Machine) -> None:
    """Where its package is installed, huggingface_hub would move large files in a way that this hub does not have."""
    done = machine.publish(artifact, HF_HUB_DISABLE_XET="")
    assert done.returncode == 0, done.stderr
    assert any(path.startswith("/blobs/") for _, path in hub.asked)


def test_without_the_extra(artifact: Path, machine: Machine) -> None:
    code = "import sys; sys.modules['huggingface_hub'] = None; from damda.cli import main; main()"
    words = ("tune", "publish", artifact, "--repo", "me/enc")
    done = machine.python(code, *words, HF_TOKEN=WRITER)
    assert done.returncode == 1 and "damda[hub]" in done.stderr, done.stderr
    assert machine.python(code, *words, "--dry-run").returncode == 0


# --- what is not sent


def test_a_dry_run_sends_nothing_and_needs_no_token(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (artifact / "questions.csv").write_text("a question")
    done = publish(artifact, "--dry-run")
    assert done.exit_code == 0 and done.stdout == card(manifest.read(artifact), "me/enc", ("query: ", "doc: "))
    assert "model.onnx" in done.stderr and "stays here    questions.csv" in done.stderr and "private" in done.stderr
    told = json.loads(publish(artifact, "--dry-run", "--json", "--public").stdout)
    assert told["files"]["model.safetensors"] == 256 * 40 and told["left"] == ["questions.csv"]
    assert told["private"] is False and told["card"] == done.stdout
    assert set(told["files"]) == {*manifest.read(artifact).files, "README.md", "manifest.json"}


@pytest.mark.parametrize(
    "name", ["questions.csv", "eval/results.json", "train.jsonl", "pickle.bin", "onnx/model2.onnx"]
)
def test_files_that_may_hold_texts_are_refused(artifact: Path, name: str) -> None:
    (artifact / name).parent.mkdir(exist_ok=True)
    (artifact / name).write_text("휴가 규정")
    manifest.write(artifact, MADE)
    assert f"texts of documents: {name};" in refused(publish(artifact, "--dry-run"))


def test_a_damaged_folder_is_refused(artifact: Path) -> None:
    with (artifact / "model.onnx").open("ab") as file:
        file.write(b"x")
    (artifact / "config.json").unlink()
    assert "config.json is missing, model.onnx differs" in refused(publish(artifact, "--dry-run"))


@pytest.mark.parametrize(
    "content, reason",
    [
        (None, "has no manifest.json"),
        ("{", "is damaged"),
        ("[]", "is not damda's"),
        ('{"name": "another program\'s"}', "is not damda's"),
        ('{"damda": "1", "version": 2}', "is of version 2, known is 1: update damda"),
        ('{"damda": "1", "version": 1}', "is damaged"),
        ('{"damda": "1", "version": 1, "kind": "encoder", "name": "n", "more": 1}', "is damaged"),
        ('{"damda": "1", "version": 1, "kind": "encoder", "name": 5}', "is damaged"),
        ('{"damda": "1", "version": 1, "kind": "encoder", "name": "n", "files": {"/etc/passwd": "0"}}', "is damaged"),
        ('{"damda": "1", "version": 1, "kind": "encoder", "name": "n", "data": ["x"]}', "is damaged"),
        ('{"damda": "1", "version": 1, "kind": "fusion", "name": "n"}', "of kind 'fusion'"),
    ],
)
def test_manifests_that_are_none(artifact: Path, content: str | None, reason: str) -> None:
    (artifact / "manifest.json").unlink()
    if content is not None:
        (artifact / "manifest.json").write_text(content)
    assert reason in refused(publish(artifact, "--dry-run"))


def test_a_manifest_says_what_is_there(artifact: Path) -> None:
    made = manifest.read(artifact)
    assert "model.onnx" in made.files and "1_Pooling/config.json" in made.files
    assert not {"manifest.json", "README.md"} & made.files.keys()
    assert made.made.endswith("+00:00") and made.damda and made.version == 1
    assert "sk-4711" not in (artifact / "manifest.json").read_text() and "api_key=*** --epochs 3" in made.command
    at_home = manifest.write(artifact, replace(MADE, command=f"damda tune encoder {Path.home() / 'docs'}"))
    assert at_home.command.replace("\\", "/") == "damda tune encoder ~/docs"
    assert (made.parents, made.data, made.seconds) == (MADE.parents, MADE.data, MADE.seconds)
    assert not [path for path in artifact.iterdir() if path.name.startswith(".")]
    (artifact / "config.json").write_text("{ }")
    with pytest.raises(WeightsError, match=r"config\.json differs"):
        manifest.verify(artifact)


def test_names_of_repositories() -> None:
    assert hub_of.repository("hub:me/a.b-c_1") == hub_of.repository("me/a.b-c_1") == "me/a.b-c_1"
