"""Models side by side: what is measured of a folder, which one is taken, what is shown."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from damda import manifest
from damda.assemble.compressing import reading_rows, sampled
from damda.cli import commands
from damda.compress import apart, measured
from damda.compress import report as reporting
from damda.compress.measured import OfFolder, perplexity, reading
from damda.compress.report import Asked, Row, choose, pareto
from damda.compress.report_page import page, shared_start
from damda.errors import ConfigError, GeneratorError
from damda.manifest import Manifest
from damda.settings import Settings
from damda.types import NOT_FOUND, Delta, quiet

LIBRARY = "The library opens at nine."


def row(name: str, size: int, loss: float, decode: float = 10) -> Row:
    return Row(name, name, "", size, None, 10**8, 1.0, 100.0, decode, {"en": 20.0}, {"en": 1.0}, loss)


def test_which_one_is_taken() -> None:
    rows = [row("first", 400_000_000, 0), row("eight", 200_000_000, 0.5), row("four", 100_000_000, 6)]
    assert choose(rows, 250e6, None)[0] == "eight"
    assert choose(rows, None, 1)[0] == "eight"
    assert choose(rows, None, 10) == ("four", "is the smallest (100 MB) of the 3 with at most 10 % more bits a byte")
    assert choose(rows, 150e6, 1) == ("", "none has at most 150 MB and at most 1 % more bits a byte")
    name, why = choose(rows, 150e6, None)
    assert name == "four" and why == "loses least (+6.0 %) of the 1 with at most 150 MB"


def test_what_nothing_else_beats() -> None:
    assert pareto([(1, 3), (2, 2), (3, 2), (3, 1), (1, 3)]) == [True, True, False, True, True]


def found(bits: float) -> dict[str, Any]:
    return {
        "texts": {"en": {"perplexity": 20.0, "bits_a_byte": bits, "tokens": 255, "windows": 1}},
        "memory": 10**8,
        "load_seconds": 1.0,
        "prefill": 100.0,
        "decode": 10.0,
        "reading": {"exact": 0.1, "f1": 0.2, "holds": 0.3, "verbatim": 0.4, "refusal": 0.5, "questions": 2},
    }


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """A folder, and one that damda made; as if they had been measured."""
    made = []
    for name, size in (("parent", 800), ("<lighter>", 200)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}", encoding="utf-8")
        (folder / "model.safetensors").write_bytes(bytes(size))
        made.append(folder)
    manifest.write(made[1], Manifest("language model", "lighter", settings={"method": "nf4"}, seconds=7.0))
    asked: list[dict[str, Any]] = []

    def run(command: list[str], request: dict[str, Any], progress: Any) -> Any:  # noqa: ANN401
        asked.append(request)
        progress("loading", 0, 1)
        return found(1.0 if request["model"].endswith("parent") else 1.1)

    monkeypatch.setattr(apart, "run", run)
    yield made
    assert all(request["texts"] and request["model"].startswith("/") for request in asked)


def test_the_others_are_held_against_the_first(models: list[Path]) -> None:
    told: list[str] = []
    made = reporting.report(models, Asked({"en": "text"}), lambda what, *_: told.append(what))
    first, lighter = made.rows
    assert (first.loss, first.method, first.made, first.size) == (0, "", None, 800)
    assert lighter.loss == pytest.approx(10) and (lighter.method, lighter.made, lighter.size) == ("nf4", 7.0, 200)
    assert made.windows == {"en": 1} and made.tokens == {"en": 255}
    assert told == ["parent: loading", "<lighter>: loading"]
    html = page(made)
    assert html.count("<svg") == 2 and "&lt;lighter&gt;" in html and "<lighter>" not in html


def test_a_report_that_was_stopped_goes_on(models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAMDA_CACHE", str(tmp_path / "cache"))
    measures, stopped, asked = apart.run, [True], list[str]()

    def stops(command: Any, request: Any, progress: Any) -> Any:  # noqa: ANN401
        asked.append(Path(request["model"]).name)
        if stopped[0] and request["model"].endswith("lighter>"):
            raise KeyboardInterrupt
        return measures(command, request, progress)

    monkeypatch.setattr(apart, "run", stops)
    with pytest.raises(KeyboardInterrupt):
        reporting.report(models, Asked({"en": "text"}), quiet)
    (models[1] / "model.safetensors").write_bytes(bytes(300))
    stopped[0] = False
    assert [made.size for made in reporting.report(models, Asked({"en": "text"}), quiet).rows] == [800, 300]
    assert asked == ["parent", "<lighter>", "<lighter>"]
    # Done: the next one measures all, and so does one with other texts, or over other weights.
    reporting.report(models, Asked({"en": "text"}), quiet)
    assert asked[3:] == ["parent", "<lighter>"] and not list((tmp_path / "cache" / "reports").iterdir())
    stopped[0] = True
    with pytest.raises(KeyboardInterrupt):
        reporting.report(models, Asked({"en": "text"}), quiet)
    (models[0] / "model.safetensors").write_bytes(bytes(900))
    with pytest.raises(KeyboardInterrupt):
        reporting.report(models, Asked({"en": "text"}), quiet)
    with pytest.raises(KeyboardInterrupt):
        reporting.report(models, Asked({"en": "other"}), quiet)
    assert asked[5:] == ["parent", "<lighter>"] * 3


def test_what_names_share_is_said_once() -> None:
    assert shared_start(["tiny-135m-f16", "tiny-135m-Q8_0"]) == "tiny-135m-" and shared_start(["a-b"]) == ""
    assert shared_start(["tiny", "tiny-q4"]) == "" and shared_start(["one", "two"]) == ""
    assert shared_start(["tiny-q", "tiny-q-4"]) == "tiny-"


def test_the_command(models: list[Path], tmp_path: Path) -> None:
    words = ["compress", "report", *map(str, models), "--max-loss", "20", "--report", str(tmp_path / "r.html")]
    done = CliRunner().invoke(commands(), words)
    assert done.exit_code == 0, done.output
    assert "<lighter> is the smallest" in done.stdout and "refusal" in done.stdout
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    (tmp_path / "text.txt").write_text("안녕하세요. " * 10, encoding="utf-8")
    words = ["compress", "report", str(models[0]), "--text", f"ours={tmp_path / 'text.txt'}", "--json"]
    assert json.loads(CliRunner().invoke(commands(), words).stdout)["rows"][0]["size"] == 800


def test_what_is_no_model(tmp_path: Path, models: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="empty is no model"):
        reporting.report([models[0], tmp_path / "empty"], Asked({"en": "x"}), quiet)

    def fails(*_: object) -> None:
        raise apart.Failed("out of memory")

    monkeypatch.setattr(apart, "run", fails)
    with pytest.raises(GeneratorError, match="parent can't be measured: out of memory"):
        reporting.report(models, Asked({"en": "x"}), quiet)


def test_questions_with_a_passage_and_another(tmp_path: Path) -> None:
    documents = {"a": "x " * 900 + LIBRARY, "b": "Tea is made of leaves.", "c": "Nothing is here."}
    rows = [{"_id": name, "title": name, "text": text} for name, text in documents.items()]
    asked = [
        {"_id": "1", "text": "When does it open?", "answers": ["nine"]},
        {"_id": "2", "text": "Who?", "answers": ["nobody there"]},
    ]
    for name, lines in (("corpus", rows), ("queries", asked)):
        text = "\n".join(json.dumps(line) for line in lines)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta\t1\n2\tb\t1\n", encoding="utf-8")
    (only,) = reading_rows(tmp_path, 5, 1, Settings(), quiet)
    assert only["question"] == "When does it open?" and only["answers"] == ["nine"]
    assert LIBRARY in str(only["passage"]) and len(str(only["passage"])) <= 1200
    assert (only["other"], only["other_title"]) in ((documents["b"], "b"), (documents["c"], "c"))


def test_a_text_is_no_longer_than_is_needed() -> None:
    texts = [f"{n} " * 50 for n in range(100)]
    assert sampled(texts, 1000) == sampled(texts, 1000) and 1000 < len(sampled(texts, 1000)) < 1400


class Reader:
    """Copies the passage, or says nothing where it has no "library"."""

    id = "reader"

    def stream(self, messages: Any, *, passages: Any = (), **_: Any) -> Iterator[Delta]:  # noqa: ANN401
        text = passages[0].chunk.text
        yield Delta(text if "library" in text else NOT_FOUND)
        yield Delta(finish="stop")


def test_what_is_read_is_judged() -> None:
    asked = {"question": "When?", "title": "", "answers": [LIBRARY], "passage": LIBRARY}
    rows = [asked | {"other": "Tea.", "other_title": ""}, asked | {"other": "A library is a house.", "other_title": ""}]
    assert reading(Reader(), rows, 8, quiet) == {
        "exact": 1.0,
        "f1": 1.0,
        "holds": 1.0,
        "verbatim": 1.0,
        "refusal": pytest.approx(2 / 3),
        "questions": 2,
    }


def test_perplexity_of_a_folder_is_torchs(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra compress")
    pytest.importorskip("accelerate", reason="needs the extra compress")
    import tiny_models

    folder = tiny_models.llama(tmp_path / "tiny", max_position_embeddings=600)
    model = OfFolder(folder)
    text = " ".join(f"t{n % 12}w{n % 7}" for n in range(1200))
    read = perplexity(model, text, 8, lambda *_: None)
    ids = torch.tensor([[2, *model.tokens(text)]])
    windows = [torch.cat([torch.tensor([[2]]), ids[:, start + 1 : start + 512]], 1) for start in (0, 512)]
    losses = [
        torch.nn.functional.cross_entropy(model._loaded.model(window).logits[0, 256:-1], window[0, 257:])
        for window in windows
    ]
    mean = float(sum(losses).detach() / 2)
    assert read["tokens"] == 510 and math.log(read["perplexity"]) == pytest.approx(mean, rel=1e-5)
    assert read["bits_a_byte"] == pytest.approx(mean / math.log(2) * ids.shape[1] / len(text))
    speeds = measured.speed(model, quiet)
    assert speeds["prefill"] > 0 < speeds["decode"]
