"""Lighter models of a tiny one: each method's folder, what is refused, what a killed run leaves."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("bitsandbytes", reason="needs the extra compress")

import tiny_models
from typer.testing import CliRunner

from damda import manifest, pretrained, runtime, weights
from damda.assemble.compressing import built_in_texts
from damda.cli import commands
from damda.compress import apart, bits, calibrated, convert, environment, exported, make, methods, quantise
from damda.compress.make import Calibration, Making, Order
from damda.compress.measured import OfFolder, OfOpenvino
from damda.compress.methods import Estimate
from damda.compress.shape import shape, widths
from damda.errors import ConfigError, DamdaError, MissingExtra, WeightsError
from damda.generate import gguf
from damda.generate.llama import Llama
from damda.generate.native import Native
from damda.generate.openvino import Openvino
from damda.generate.transformer import Loaded, Transformer
from damda.manifest import Data, Parent
from damda.settings import LlamaSettings, OpenvinoSettings, TransformersSettings
from damda.types import Message, quiet

SAID = [Message("user", "t1w1 t2w2 t3w3")]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    yield from tiny_models.one_thread()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.llama(tmp_path_factory.mktemp("parent") / "tiny", chats=True, eos_token_id=None)


def order(source: Path, method: str, out: Path, **more: Any) -> Order:  # noqa: ANN401  of Order
    return Order(source, Parent("tiny"), method, out, **more)


def logits(folder: Path) -> Any:  # noqa: ANN401  torch's tensor
    loaded = Loaded(folder, context=128, threads=1)
    return loaded.read(loaded.tokens({"prompt": "t1w1 t2w2 t3w3 t4w4"}), loaded.cache(), 4)


@pytest.mark.parametrize(("method", "most"), [("f16", 0.001), ("int8", 0.05), ("nf4", 0.5)])
def test_a_folder_of_each_method_answers(method: str, most: float, folder: Path, tmp_path: Path) -> None:
    import torch

    made = Making(order(folder, method, tmp_path / "out")).run(quiet)
    assert manifest.verify(tmp_path / "out") == made
    assert made.kind == "language model" and made.settings["method"] == method and made.parents[0].name == "tiny"
    assert made.metrics["bytes"] < made.metrics["bytes_before"]
    was, now = (torch.log_softmax(logits(of), -1) for of in (folder, tmp_path / "out"))
    divergence = float((was.exp() * (was - now)).sum(-1).mean())
    assert 0 <= divergence < most
    writer = Transformer(TransformersSettings(model=str(tmp_path / "out"), threads=1))
    assert "".join(delta.text for delta in writer.stream(SAID, max_tokens=5))


def test_nf4_says_how_it_was_packed(folder: Path, tmp_path: Path) -> None:
    made = Making(order(folder, "nf4", tmp_path / "out", compute="f32")).run(quiet)
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))["quantization_config"]
    assert config["bnb_4bit_use_double_quant"] and config["bnb_4bit_compute_dtype"] == "float32"
    assert made.settings["compute"] == "f32" and made.settings["double_quantisation"]


@pytest.mark.parametrize(
    ("config", "form"),
    [
        ({"model_type": "llama"}, "float16"),
        ({"model_type": "llama", "dtype": "bfloat16"}, "bfloat16"),
        ({"model_type": "llama", "torch_dtype": "float32"}, "float16"),
        ({"model_type": "gemma3_text", "dtype": "float32"}, "bfloat16"),
    ],
)
def test_gemma_is_kept_in_a_form_that_it_can_be_run_in(config: dict[str, str], form: str) -> None:
    assert pretrained.stored(config) == form


def test_a_gguf_is_unpacked_for_what_wants_a_folder(tmp_path: Path) -> None:
    """Weights of a packed GGUF, as transformers sees them, in 16 bits and in 4."""
    path = weights.gguf_path("smollm2-135m")
    if path is None:
        pytest.skip("needs `damda models pull smollm2-135m`")
    made = Making(order(path, "f16", tmp_path / "f16")).run(quiet)
    assert made.metrics["weights"] == shape(path).counts.all == 134_515_008
    assert 2 * 134_515_008 <= made.metrics["bytes"] < 2.01 * 134_515_008
    from transformers import AutoTokenizer

    tokenizer, native = AutoTokenizer.from_pretrained(tmp_path / "f16"), Native(path, context=256)
    for text in (*built_in_texts().values(), "In the box\n\n1. NaruSense S2  12,345원\n\n\n2026년 11월"):
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == native.tokens(text)
    native.close()
    packed = Making(order(tmp_path / "f16", "gguf:Q4_K_M", tmp_path / "packed")).run(quiet)
    assert packed.metrics["bits_a_weight"] < 6.4
    file = tmp_path / "packed" / "packed.gguf"
    assert weights.gguf(str(tmp_path / "packed")) == str(file)
    asked = [Message("user", "What is the capital of France? Answer in one sentence.")]
    llama = Llama(LlamaSettings(context=512, model=str(file)))
    assert "Paris" in "".join(delta.text for delta in llama.stream(asked, max_tokens=20))
    llama.close()
    again = Making(order(file, "gguf:Q8_0", tmp_path / "again")).run(quiet)
    assert quantise.packed_already(tmp_path / "again" / "again.gguf") == "Q8_0" and again.metrics["bytes_before"]


def test_a_gguf_that_transformers_does_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    def fails(*_: object, **__: object) -> None:
        raise Exception("Token `\n` out of vocabulary")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", fails)
    with pytest.raises(WeightsError, match=r"m\.gguf: transformers can't read it: Token"):
        pretrained.unpacked(tmp_path / "m.gguf", "")


def test_what_is_too_much_is_said_before(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    making = Making(order(folder, "int8", tmp_path / "out"))
    with monkeypatch.context() as patched:
        patched.setattr(runtime, "memory", lambda: 10**8)
        with pytest.raises(ConfigError, match=r"takes 0\.. GB of memory, and this machine has 0\.1"):
            making.run(quiet)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(ConfigError, match=r"GB of disk, and .* has 0\.0 left"):
        making.run(quiet)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["f16", "int8", "nf4", "gptq", "gguf:Q4_K_M", "gguf:F16"])
def test_estimates_grow_with_the_model(kind: str, folder: Path) -> None:
    found = methods.estimate(shape(folder), folder, kind)
    assert isinstance(found, Estimate) and 0 < found.size <= found.disk
    assert found.memory > 4 * shape(folder).counts.all


def test_nothing_stays_of_what_went_wrong(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        (tmp_path / ".out.draft" / "half").write_text("half", encoding="utf-8")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bits, "write", full)
    (tmp_path / ".out.between").mkdir()
    (tmp_path / ".out.between" / "left by a killed run").touch()
    with pytest.raises(ConfigError, match="No space left on device"):
        Making(order(folder, "nf4", tmp_path / "out")).run(quiet)
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(kind: type[DamdaError], match: str, source: Path, method: str, **more: Any) -> None:  # noqa: ANN401
        with pytest.raises(kind, match=match):
            Making(order(source, method, tmp_path / "out", **more))

    refused(ConfigError, "'nf5' is no method: give one of f16, int8", folder, "nf5")
    refused(ConfigError, "'f64' is no precision", folder, "nf4", compute="f64")
    pickled = tmp_path / "pickled"
    shutil.copytree(folder, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    refused(WeightsError, r"no \.safetensors: other weights are not opened, as loading them runs code", pickled, "nf4")
    short = tmp_path / "short"
    shutil.copytree(folder, short)
    (short / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-8])
    refused(WeightsError, "model.safetensors is not whole", short, "nf4")
    (tmp_path / "out").mkdir()
    refused(ConfigError, "exists already", folder, "nf4")
    (tmp_path / "out").rmdir()
    monkeypatch.setattr(methods, "find_spec", lambda name: None)
    refused(MissingExtra, r"damda\[compress\]", folder, "nf4")


def test_an_architecture_that_the_converter_does_not_know(folder: Path, tmp_path: Path) -> None:
    strange = tmp_path / "strange"
    shutil.copytree(folder, strange)
    config = json.loads((strange / "config.json").read_text(encoding="utf-8"))
    (strange / "config.json").write_text(
        json.dumps(config | {"architectures": ["NobodyForCausalLM"]}), encoding="utf-8"
    )
    with pytest.raises(WeightsError, match="can't be converted: .*NobodyForCausalLM"):
        convert.convert(strange, tmp_path / "x.gguf", 1e6, quiet)


def test_a_group_divides_every_width(folder: Path) -> None:
    assert widths(folder) == [32, 64]
    assert methods.group_size([576, 1536]) == 64 and methods.group_size([640, 2048]) == 128
    assert methods.group_size([32, 64]) == 32
    with pytest.raises(ConfigError, match=r"no group of 128 weights divides the model's widths \(48, 64\)"):
        methods.group_size([48, 64])
    with pytest.raises(ConfigError, match="no group of 64"):
        methods.group_size([96], 64)


def test_rows_to_learn_from_are_the_same_every_time() -> None:
    given = Calibration(["ab" * 50, "cd" * 50], (), count=3, length=16, seed=1)
    found = make.rows(lambda text: [ord(letter) for letter in text], given)
    assert found == make.rows(lambda text: [ord(letter) for letter in text], given)
    assert len(found) == 3 and {len(row) for row in found} == {16}
    with pytest.raises(ConfigError, match="have 4 tokens, and one row has 16"):
        make.rows(lambda text: [ord(letter) for letter in text], Calibration(["abcd"], (), length=16))


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """An environment whose program is the one given, run by this Python."""

    def make_one(program: str, of: ModuleType = calibrated) -> Path:
        script = tmp_path / "calibrated.py"
        script.write_text(program, encoding="utf-8")
        monkeypatch.setattr(environment.Environment, "place", lambda _: tmp_path)
        monkeypatch.setattr(environment, "_python", lambda _: Path(sys.executable))
        monkeypatch.setattr(of, "__file__", str(script))
        return script

    return make_one


def test_what_is_asked_of_llmcompressor(
    folder: Path, tmp_path: Path, pretended: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    texts = Calibration(["t1w1 t2w2 " * 100], [Data("notes", "abc", 1)], count=4, length=16)
    monkeypatch.setattr(environment.Environment, "place", lambda _: None)
    with pytest.raises(
        ConfigError, match="gptq runs in an environment of its own: make it with `damda compress setup gptq`"
    ):
        Making(order(folder, "gptq", out, calibration=texts))
    pretended(
        "import json, pathlib, sys\n"
        "asked = json.loads(sys.stdin.read())\n"
        "print(json.dumps({'what': 'learning', 'done': 1, 'total': 2}), flush=True)\n"
        "pathlib.Path(asked['out'], 'asked.json').write_text(json.dumps(asked))\n"
    )
    with pytest.raises(ConfigError, match="gptq learns from texts: give your documents by --calibrate"):
        Making(order(folder, "gptq", out))
    told: list[tuple[str, int, int]] = []
    made = Making(order(folder, "gptq", out, calibration=texts)).run(lambda *step: told.append(step))
    asked = json.loads((out / "asked.json").read_text(encoding="utf-8"))
    assert (asked["method"], asked["group"], asked["stored"], len(asked["rows"])) == ("gptq", 32, "float16", 4)
    assert told == [("learning", 1, 2)]
    assert made.data == (Data("notes", "abc", 1),)
    assert dict(made.settings) == {"method": "gptq", "seed": 42, "rows": 4, "tokens": 16, "group": 32}


def test_llmcompressors_last_word(folder: Path, tmp_path: Path, pretended: Callable[..., Path]) -> None:
    texts = Calibration(["t1w1 t2w2 " * 100], (), count=4, length=16)
    pretended("import sys\nsys.stdin.read()\nraise ValueError('no such layer')")
    with pytest.raises(WeightsError, match="llmcompressor failed: ValueError: no such layer"):
        Making(order(folder, "awq", tmp_path / "out", calibration=texts)).run(quiet)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_learning_and_packing(method: str, folder: Path, tmp_path: Path) -> None:
    if environment.LEARNING.place() is None:
        pytest.skip("needs `damda compress setup gptq`: 1.5 GB, minutes")
    texts = Calibration(["t1w1 t2w2 t3w3 t4w4 " * 100], (), count=4, length=32)
    Making(order(folder, method, tmp_path / "out", calibration=texts)).run(quiet)
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))["quantization_config"]
    assert config["quant_method"] == "compressed-tensors"
    writer = Transformer(TransformersSettings(model=str(tmp_path / "out"), threads=1))
    assert "".join(delta.text for delta in writer.stream(SAID, max_tokens=5))


def test_a_folder_of_transformers_5_as_4_reads_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.safetensors").write_bytes(b"weights")

    def told(config: dict[str, Any], name: str = "config.json") -> dict[str, Any]:
        (source / name).write_text(json.dumps(config), encoding="utf-8")
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        exported.retold(source, out)
        assert (out / "model.safetensors").read_bytes() == b"weights"
        return dict(json.loads((out / name).read_text(encoding="utf-8")))

    plain = {"rope_parameters": {"rope_theta": 1e5, "rope_type": "default"}, "dtype": "bfloat16", "use_cache": False}
    assert told(plain) == {"rope_theta": 1e5, "torch_dtype": "bfloat16", "use_cache": True}
    scaled = told({"rope_parameters": {"rope_theta": 1e4, "rope_type": "yarn", "factor": 4.0}})
    assert scaled == {"rope_theta": 1e4, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}, "use_cache": True}
    both = {"full_attention": {"rope_theta": 1e6, "rope_type": "default"}, "sliding_attention": {"rope_theta": 1e4}}
    assert told({"rope_parameters": both}) == {"rope_theta": 1e6, "rope_local_base_freq": 1e4, "use_cache": True}
    assert told({"rope_theta": 7.0}) == {"rope_theta": 7.0, "use_cache": True}, "of transformers 4 already"
    assert told({"tokenizer_class": "TokenizersBackend"}, "tokenizer_config.json") == {
        "tokenizer_class": "PreTrainedTokenizerFast"
    }


def test_what_is_asked_of_optimum(
    folder: Path, tmp_path: Path, pretended: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment.Environment, "place", lambda _: None)
    with pytest.raises(ConfigError, match="openvino runs in an .*`damda compress setup openvino`"):
        Making(order(folder, "openvino:int4", tmp_path / "out"))
    pretended(
        "import json, pathlib, sys\n"
        "asked = json.loads(sys.stdin.read())\n"
        "pathlib.Path(asked['out'], 'asked.json').write_text(json.dumps(asked))\n"
        "assert pathlib.Path(asked['work']).is_dir()\n",
        exported,
    )
    made = Making(order(folder, "openvino:int4", tmp_path / "out")).run(quiet)
    asked = json.loads((tmp_path / "out" / "asked.json").read_text(encoding="utf-8"))
    assert (asked["form"], asked["group"], asked["model"]) == ("int4", 32, str(folder.absolute()))
    assert dict(made.settings) == {"method": "openvino:int4", "group": 32} and not made.data
    assert not Path(asked["work"]).exists(), "what is between is gone"


@pytest.mark.parametrize(("method", "most"), [("openvino:f16", 0.01), ("openvino:int8", 0.1), ("openvino:int4", 1.0)])
def test_openvinos_folder_of_each_form(method: str, most: float, folder: Path, tmp_path: Path) -> None:
    if environment.EXPORTING.place() is None:
        pytest.skip("needs `damda compress setup openvino`: 1.5 GB, minutes")
    pytest.importorskip("openvino_genai", reason="needs the extra openvino")
    if method != "openvino:f16":
        folder = tiny_models.llama(tmp_path / "ends", chats=True)
    Making(order(folder, method, tmp_path / "out")).run(quiet)
    assert manifest.verify(tmp_path / "out").metrics["bytes"] > 0
    model = OfOpenvino(tmp_path / "out")
    usual = OfFolder(folder)
    window = usual.tokens("t1w1 t2w2 t3w3 t4w4 t5w5 t6w6")
    assert model.tokens("t1w1 t2w2 t3w3 t4w4 t5w5 t6w6") == window and model.first == usual.first
    assert model.losses(window, 0) == pytest.approx(usual.losses(window, 0), abs=most)
    model.begin(window[:3])
    model.go_on(window[3])
    assert model.losses(window, 0) == pytest.approx(usual.losses(window, 0), abs=most), "each text begins anew"
    settings = OpenvinoSettings(model=str(tmp_path / "out"), threads=1, context=256)
    if method == "openvino:f16":
        with pytest.raises(WeightsError, match="out names no token that ends a text"):
            list(Openvino(settings).stream(SAID, max_tokens=5))
        return
    guesses = OpenvinoSettings(**{**settings.model_dump(), "speculation": "draft", "draft": settings.model})
    texts = []
    for given in (settings, guesses):  # a model that guesses what it would say itself is always right
        writer = Openvino(given)
        texts.append("".join(delta.text for delta in writer.stream(SAID, max_tokens=5)))
        writer.close()
    assert texts[0] and texts[0] == texts[1]


def test_an_environment_is_made_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAMDA_CACHE", str(tmp_path / "cache"))
    asked: list[list[str]] = []

    def install(command: list[str], **_: object) -> Any:  # noqa: ANN401
        asked.append(command[4:])
        failed = "nncf==3.4.0" in command and len(asked) < 3
        return SimpleNamespace(returncode=int(failed), stderr="ERROR: no such version\n", stdout="")

    monkeypatch.setattr(environment, "subprocess", SimpleNamespace(run=install))
    monkeypatch.setattr(environment, "venv", SimpleNamespace(create=lambda *_, **__: None))
    made = environment.EXPORTING
    with pytest.raises(WeightsError, match="pip could not install transformers==4.57.6: ERROR: no such version"):
        made.setup("torch==1", quiet)
    assert made.place() is None, "what was begun is no environment"
    assert made.setup("torch==1", quiet) == made.place()
    assert [words[0] for words in asked[2:]] == ["--quiet"] * 3
    assert [words[1] for words in asked[2:]] == ["torch==1", "transformers==4.57.6", "--no-deps"]
    made.setup("torch==1", quiet)
    assert len(asked) == 5, "once"


def test_a_program_that_dies_without_a_word(tmp_path: Path) -> None:
    script = tmp_path / "dies.py"
    script.write_text("import os\nos._exit(3)", encoding="utf-8")
    with pytest.raises(apart.Failed, match="ended with 3 and said nothing"):
        apart.run([sys.executable, str(script)], {"x": "y" * 10**6}, quiet)


def test_the_command(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    shutil.copytree(folder, tmp_path / "tiny")
    (tmp_path / "tiny" / "tiny.gguf").write_bytes(b"GGUF that was made of the folder, as damda distill does")
    done = runner.invoke(commands(), ["compress", "tiny", "--method", "nf4"])
    assert done.exit_code == 0, done.output
    assert "tiny-nf4: " in done.stdout and "bits a weight" in done.stdout
    assert "--generator transformers --set transformers.model=tiny-nf4" in done.stderr
    about = manifest.read(tmp_path / "tiny-nf4")
    assert about.parents[0].name == "tiny" and len(about.parents[0].sha256) == 64
    dry = runner.invoke(commands(), ["compress", "make", "tiny", "--method", "int8", "--dry-run", "--json"])
    assert dry.exit_code == 0 and json.loads(dry.stdout).keys() == {"memory", "disk", "size"}
    assert not (tmp_path / "tiny-int8").exists()
    for wrong, match in ((["nowhere"], "'nowhere' is no model"), (["tiny-nf4"], "is quantised")):
        failed = runner.invoke(commands(), ["compress", *wrong, "--method", "int8"])
        assert isinstance(failed.exception, DamdaError) and match in str(failed.exception)


def test_a_gguf_header_is_copied_as_it_is(tmp_path: Path) -> None:
    path = weights.gguf_path("smollm2-135m")
    if path is None:
        pytest.skip("needs `damda models pull smollm2-135m`")
    about = gguf.header(path)
    assert about.data % about.alignment == 0 and about.tensors[0].offset == 0
    end = max(of.offset for of in about.tensors)
    assert about.data + end < path.stat().st_size
    spans = sorted(about.spans.values())
    assert all(one[1] == other[0] for one, other in zip(spans, spans[1:], strict=False))
