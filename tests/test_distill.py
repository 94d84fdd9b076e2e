"""A small model that learns to read: its loss, its layers, going on after Ctrl-C, the folder, and the command."""

import json
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from damda.errors import ConfigError
from damda.tune.student import kept_layers

PATTERN = [*["sliding"] * 5, "full"] * 3


def test_layers_are_spread_and_keep_their_pattern() -> None:
    assert kept_layers(["same"] * 4, 2) == [0, 3] and kept_layers(["same"] * 9, 5) == [0, 2, 4, 6, 8]
    kept = kept_layers(PATTERN, 12)
    assert [PATTERN[n] for n in kept] == PATTERN[:12] and sorted(set(kept)) == kept
    assert kept[0] == 0 and kept[-1] == 17
    assert kept_layers(PATTERN, 18) == list(range(18)) and kept_layers(["a", "b"], 1) == [0]
    with pytest.raises(ConfigError, match="at most so many, not 19"):
        kept_layers(PATTERN, 19)


torch = pytest.importorskip("torch", reason="needs the extra compress")
pytest.importorskip("bitsandbytes", reason="needs the extra compress")

import tiny_models  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from damda import manifest, weights  # noqa: E402
from damda.cli import commands  # noqa: E402
from damda.generate.transformer import Loaded  # noqa: E402
from damda.manifest import Parent  # noqa: E402
from damda.tune import student as learning  # noqa: E402
from damda.tune.lessons import Lesson, Passage  # noqa: E402
from damda.tune.make_reader import Making, Order  # noqa: E402
from damda.tune.student import Row, Student, Way  # noqa: E402
from damda.tune.train import Recipe  # noqa: E402
from damda.types import NOT_FOUND, Progress, quiet  # noqa: E402

RECIPE = Recipe(epochs=6, batch=8, rate=1e-2, checks=1)

one_thread = pytest.fixture(scope="module", autouse=True)(tiny_models.one_thread)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_models.llama(tmp_path_factory.mktemp("student") / "tiny", num_hidden_layers=4)
    file = folder / "tokenizer_config.json"
    about = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**about, "eos_token": "</s>"}), encoding="utf-8")
    return folder


def lesson(n: int) -> Lesson:
    """Which word of the passage is of the question's topic?"""
    drawn = random.Random(n)
    topics = drawn.sample(range(tiny_models.TOPICS), 3)
    words = [tiny_models.sentence(topic, drawn, 1) for topic in topics]
    asked = tiny_models.sentence(topics[drawn.randrange(3)] if n % 4 else 99 % tiny_models.TOPICS, drawn, 1)
    right = next((word for word in words if word.split("w")[0] == asked.split("w")[0]), NOT_FOUND)
    return Lesson(asked, (Passage("", " ".join(words)),), right, right != NOT_FOUND)


LESSONS = [lesson(n) for n in range(1, 97)]
KEPT = [lesson(n) for n in range(1001, 1025)]


def test_only_answers_are_learnt_and_padding_changes_nothing(base: Path) -> None:
    student = Student(base, Way())
    long, short = Row((2, 9, 10, 11, 12, 13, 3), 5), Row((2, 20, 21, 3), 3)
    alone = []
    for row in (long, short):
        logits = student.model(torch.tensor([row.ids])).logits[0, row.begin - 1 : -1]
        wanted = torch.tensor(row.ids[row.begin :])
        alone.append(torch.nn.functional.cross_entropy(logits, wanted, reduction="sum"))
        assert student.loss([row]).item() == pytest.approx(alone[-1].item() / len(wanted), rel=1e-5)
    assert student.loss([long, short]).item() == pytest.approx(sum(alone).item() / 3, rel=1e-5)
    assert student.mean_loss([long, short]) == pytest.approx(sum(alone).item() / 3, rel=1e-5)


def test_a_step_in_pieces_is_the_same_step(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Row((2, *range(9, 9 + n), 3), n - n // 3) for n in (30, 12, 20, 11)]

    def gradients(most: int) -> tuple[float, Any]:
        monkeypatch.setattr(learning, "_TOGETHER", most)
        student = Student(base, Way())
        return student.gradients(rows).item(), student.model.model.layers[0].mlp.up_proj.weight.grad

    (whole, at_once), (sum_of_pieces, in_pieces) = gradients(1000), gradients(40)
    assert whole == pytest.approx(sum_of_pieces, rel=1e-5) and torch.allclose(at_once, in_pieces, atol=1e-5)
    assert [len(piece) for piece in learning.together(rows)] == [2, 1, 1]
    assert sorted(row.ids for piece in learning.together(rows) for row in piece) == sorted(row.ids for row in rows)


def test_a_teacher_that_knows_the_same_teaches_nothing(base: Path, tmp_path: Path) -> None:
    rows = [Row((2, 9, 10, 11, 3), 3)]
    labels = Student(base, Way()).loss(rows).item()
    twin = Student(base, Way(mix=0.75, temperature=2.0), base)
    assert twin.loss(rows).item() == pytest.approx(0.25 * labels, rel=1e-4)
    other = tiny_models.llama(tmp_path / "other", num_hidden_layers=1)
    assert Student(base, Way(mix=0.75), other).loss(rows).item() > 0.25 * labels + 0.01
    wider = tiny_models.llama(tmp_path / "wider", vocab_size=200)
    with pytest.raises(ConfigError, match="other vocabularies"):
        Student(base, Way(mix=0.5), wider)


def test_a_shorter_student_has_its_parents_weights(base: Path) -> None:
    whole, short = Student(base, Way()), Student(base, Way(layers=2))
    ours, theirs = short.model.state_dict(), whole.model.state_dict()
    assert short.model.config.num_hidden_layers == 2
    for mine, parents in ((0, 0), (1, 3)):
        name = "mlp.up_proj.weight"
        assert torch.equal(ours[f"model.layers.{mine}.{name}"], theirs[f"model.layers.{parents}.{name}"])
    assert torch.equal(ours["model.embed_tokens.weight"], theirs["model.embed_tokens.weight"])


def making(base: Path, out: Path, way: Way, **more: Any) -> Making:  # noqa: ANN401  of Order
    def finish(draft: Path, progress: Progress) -> dict[str, Any]:
        return {"files": sorted(path.name for path in draft.iterdir())}

    order = Order(base, [Parent("tiny")], LESSONS, KEPT, way, RECIPE, out, finish, **more)
    return Making(order)


@pytest.mark.parametrize("way", [Way(), Way(rank=4), Way(layers=2)], ids=["full", "lora", "layers"])
def test_it_learns_and_its_folder_answers(way: Way, base: Path, tmp_path: Path) -> None:
    made = making(base, tmp_path / "reader", way)
    before = made.estimate()
    assert before.steps == 72 and before.seconds > 0 and before.memory > 10**7
    done = made.run(quiet)
    trained = done.metrics["training"]
    assert trained["best"] > trained["before"] + 0.3, trained
    assert manifest.verify(tmp_path / "reader").files == done.files and "model.safetensors" in done.metrics["files"]
    assert done.settings["lessons"] == 96 and not (tmp_path / ".reader.training").exists()
    # Loaded as anybody's model: it is asked as it was taught, and knows what it has learnt.
    reader = Loaded(tmp_path / "reader", context=128, threads=1)
    student = Student(tmp_path / "reader", Way())
    rows = [row for one in KEPT if (row := student.row(one))]
    said = [{"role": message.role, "content": message.content} for message in KEPT[0].messages()]
    assert reader.chats and tuple(reader.tokens({"messages": said})) == rows[0].ids[: rows[0].begin]
    assert student.mean_loss(rows) == pytest.approx(-trained["best"], abs=0.02)


def test_after_ctrl_c_it_goes_on(base: Path, tmp_path: Path) -> None:
    straight = making(base, tmp_path / "straight", Way()).run(quiet)

    def interrupts(what: str, done: int, total: int) -> None:
        if what == "learning to read" and done == 30 and not interrupted:
            interrupted.append(done)
            signal.raise_signal(signal.SIGINT)

    interrupted: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        making(base, tmp_path / "reader", Way()).run(interrupts)
    assert not (tmp_path / "reader").exists()
    seen: list[int] = []
    again = making(base, tmp_path / "reader", Way()).run(lambda what, done, total: seen.append(done))
    assert seen[0] >= 30
    ours, theirs = (made.metrics["training"] for made in (again, straight))
    assert ours["scores"] == [pytest.approx(score, abs=1e-4) for score in theirs["scores"]]
    same = [manifest.read(tmp_path / name).files["model.safetensors"] for name in ("reader", "straight")]
    assert same[0] == same[1]


def test_too_little_is_said(base: Path, tmp_path: Path) -> None:
    order = Order(base, [], LESSONS[:9], KEPT, Way(), RECIPE, tmp_path / "reader", lambda *_: {})
    with pytest.raises(ConfigError, match="9 lessons to learn from and 24 to validate with are too few"):
        Making(order)


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Path]:
    """Sixty small documents with a question each, in BEIR layout."""
    rows, questions, pairs = [], [], ["query-id\tcorpus-id\tscore"]
    for n in range(60):
        rows.append({"_id": f"d{n}", "title": f"Room {n}", "text": f"Room {n} opens at {n + 100}. It has a window."})
        questions.append({"_id": f"q{n}", "text": f"When does room {n} open?", "answers": [str(n + 100)]})
        pairs.append(f"q{n}\td{n}\t1")
    folder = tmp_path / "rooms"
    folder.mkdir()
    for name, lines in (("corpus", rows), ("queries", questions)):
        text = "\n".join(json.dumps(line) for line in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (folder / "qrels.tsv").write_text("\n".join(pairs), encoding="utf-8")
    yield folder


def test_the_command(asked: Path, tmp_path: Path) -> None:
    """The whole of it, with a real model: a few steps, a GGUF, and what it says."""
    if weights.gguf_path("smollm2-135m") is None:
        pytest.skip("needs `damda models pull smollm2-135m`")
    out = tmp_path / "reader"
    words = ["distill", str(asked), "--student", "smollm2-135m", "--out", str(out), "--count", "2", "--epochs", "0.3"]
    words += ["--lora", "4", "--held-out", str(tmp_path / "unseen"), "--licence", "MIT"]
    done = CliRunner().invoke(commands(), words)
    assert done.exit_code == 0, done.output
    assert "extract" in done.stdout and "held-out questions" in done.stdout
    made = manifest.verify(out)
    assert {path.name for path in out.glob("*.gguf")} == {"reader.gguf"}
    assert made.parents[0].licence == "Apache-2.0" and made.data[0].licence == "MIT"
    assert made.metrics["held_out"]["reader"]["questions"] == 2
    unseen = (tmp_path / "unseen" / "queries.jsonl").read_text(encoding="utf-8")
    assert 0 < len(unseen.splitlines()) < 30
    again = CliRunner().invoke(commands(), words)
    assert isinstance(again.exception, ConfigError) and "exists already" in str(again.exception)
    assert "Q4_1" in made.settings["parent_in"]
    for mix, warned in (("Q4_1", True), ("Q4_0", False), ("Q8_0", False)):
        dry = CliRunner().invoke(commands(), ["compress", str(out), "--method", f"gguf:{mix}", "--dry-run"])
        assert dry.exit_code == 0 and ("was trained from weights in Q4_1" in dry.stderr) == warned


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--by", "sequences"], "come from a teacher"),
        (["--teacher", "remote", "--by", "labels"], "has nothing to say"),
        (["--by", "magic"], "none of labels, sequences, logits"),
        (["--gguf", "Q3"], "is no method"),
        (["--teacher", "nobody"], "no language model to learn from"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], why: str, asked: Path, tmp_path: Path) -> None:
    given = ["distill", str(asked), "--student", "smollm2-135m", "--out", str(tmp_path / "out"), *words]
    done = CliRunner().invoke(commands(), given)
    assert done.exit_code and why in f"{done.output} {done.exception}"
