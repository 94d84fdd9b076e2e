"""A trained model as damda runs it: the same vectors, from a folder that sentence-transformers opens too."""

import json
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from damda.embed.encoder import OnnxEncoder, read_card
from damda.errors import ConfigError, EncoderError, MissingExtra, WeightsError
from damda.tune import backbone
from damda.tune import export as exporting
from damda.tune.encoding import TorchEncoder
from damda.tune.export import export
from damda.types import Kind

torch = pytest.importorskip("torch", reason="needs the extra tune")
import tiny_models  # noqa: E402

one_thread = pytest.fixture(scope="module", autouse=True)(tiny_models.one_thread)
DRAWN = random.Random(3)
SAMPLE = [tiny_models.sentence(n % tiny_models.TOPICS, DRAWN, 2 + n) for n in range(24)]
LONG = [tiny_models.sentence(n, DRAWN, 100) for n in range(4)]
PROMPTS = {"query": "query: ", "passage": "passage: "}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Architecture -> a folder with a random model of it, made once."""
    folder = tmp_path_factory.mktemp("models")

    def base(kind: str) -> Path:
        return folder / kind if (folder / kind).exists() else getattr(tiny_models, kind)(folder / kind)

    return base


def agreement(model: Any, encoder: OnnxEncoder, texts: list[str], kind: Kind = "passage") -> float:  # noqa: ANN401
    """The least cosine between what both make of a text."""
    ours, theirs = encoder.encode(texts, kind=kind), TorchEncoder(model, "original").encode(texts, kind=kind)
    return float((ours * theirs).sum(axis=1).min())


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [("bert", "mean"), ("bert", "cls"), ("bert", "max"), ("roberta", "mean")],
)
def test_the_export_computes_what_the_original_does(
    bases: Callable[[str], Path],
    tmp_path: Path,
    kind: str,
    pooling: Any,  # noqa: ANN401  a Literal
) -> None:
    from sentence_transformers import SentenceTransformer

    model = backbone.open_model(bases(kind), pooling)
    model.prompts = PROMPTS
    figures = export(model, tmp_path, "tiny", SAMPLE)
    encoder = OnnxEncoder(tmp_path)
    assert agreement(model, encoder, SAMPLE) > 0.99 and agreement(model, encoder, SAMPLE, "query") > 0.99
    assert agreement(model, encoder, LONG) > 0.99, "beyond the window"
    assert figures["cosine_mean"] >= figures["cosine_least"] > 0.97 and figures["bits"] == 8
    card = encoder.card
    assert (encoder.dim, card.max_tokens, card.pooling) == (32, 64, pooling)
    assert (card.query_prefix, card.passage_prefix) == ("query: ", "passage: ")
    assert encoder.id.startswith("tiny@") and encoder.cosines is None
    # sentence-transformers reads its own layout, and so does damda where its description is missing.
    again = SentenceTransformer(str(tmp_path))
    assert again.encode(SAMPLE, prompt="passage: ") == pytest.approx(
        TorchEncoder(model, "original").encode(SAMPLE, kind="passage"), abs=1e-5
    )
    (tmp_path / "damda.json").unlink()
    bare = read_card(tmp_path)
    assert (bare.query_prefix, bare.passage_prefix, bare.max_tokens, bare.pooling) == (
        "query: ",
        "passage: ",
        64,
        pooling,
    )


def test_any_other_model_is_exported_and_where_int8_harms_its_weights_stay_whole(
    bases: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = backbone.open_model(bases("gemma")), []
    whole = exporting._compared

    def compared(*given: Any) -> dict[str, float]:  # noqa: ANN401
        seen.append(whole(*given))
        return {"cosine_mean": 0.9, "cosine_least": 0.5} if len(seen) == 1 else seen[-1]

    monkeypatch.setattr(exporting, "_compared", compared)
    monkeypatch.setattr(logging.getLogger("torch.__trace"), "disabled", True)  # pytest would keep all it says
    level = logging.getLogger().level
    figures = export(model, tmp_path, "tiny", SAMPLE)
    assert 0.9 < seen[0]["cosine_mean"] < 0.9999 and figures["bits"] == 32 and figures["cosine_least"] > 0.9999
    encoder = OnnxEncoder(tmp_path)
    assert agreement(model, encoder, [*SAMPLE, *LONG]) > 0.9999, "within and beyond the sliding window, and cut"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert logging.getLogger().level == level and not model.training


def test_int8_is_enough_where_it_harms_little(
    bases: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not quite BERT goes the general way too: damda's own graph knows one activation."""
    from damda.tune import general

    def write(model: Any, path: Path) -> None:  # noqa: ANN401  the exporter takes long
        path.write_text("whole")

    model = backbone.open_model(tiny_models.bert(tmp_path / "base", hidden_act="relu"))
    stand_in = tmp_path / "bert"
    stand_in.mkdir()
    exporting._write_own(model, stand_in, "x", "mean")
    monkeypatch.setattr(general, "write", write)
    monkeypatch.setattr(
        general, "quantise", lambda whole, path: path.write_bytes((stand_in / "model.onnx").read_bytes())
    )
    monkeypatch.setattr(exporting, "_compared", lambda *_: {"cosine_mean": 0.99, "cosine_least": 0.98})
    out = tmp_path / "out"
    out.mkdir()
    assert export(model, out, "tiny", SAMPLE)["bits"] == 8
    assert (out / "model.onnx").read_bytes() == (stand_in / "model.onnx").read_bytes()
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_an_architecture_that_can_not_be_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = backbone.open_model(tiny_models.bert(tmp_path / "base", hidden_act="relu"))

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no such operator\nand more")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    (tmp_path / "out").mkdir()
    with pytest.raises(EncoderError, match="torch can't export bert to ONNX: no such operator$"):
        export(model, tmp_path / "out", "tiny", SAMPLE)


def test_an_id_covers_weights_beside_the_graph(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").touch()
    (tmp_path / "model.onnx").write_text("graph")
    (tmp_path / "model.onnx.data").write_text("weights")
    first = exporting._digest(tmp_path, {})
    (tmp_path / "model.onnx.data").write_text("others")
    assert exporting._digest(tmp_path, {}) != first


def test_an_export_that_computes_something_else_is_refused(
    bases: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_compared", lambda *_: {"cosine_mean": 0.9, "cosine_least": 0.5})
    with pytest.raises(EncoderError, match=r"the export of tiny differs from it: mean cosine 0\.900"):
        export(backbone.open_model(bases("bert")), tmp_path, "tiny", SAMPLE)


def test_an_id_changes_with_the_weights_and_the_prompts(bases: Callable[[str], Path], tmp_path: Path) -> None:
    def exported(change: Callable[[Any], object]) -> str:
        model = backbone.open_model(bases("bert"))
        change(model)
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        export(model, folder, "tiny", SAMPLE)
        return OnnxEncoder(folder).id

    def heavier(model: Any) -> None:  # noqa: ANN401
        with torch.no_grad():
            model[0].auto_model.encoder.layer[1].output.dense.bias.add_(0.5)

    same = exported(lambda _: None)
    assert same == exported(lambda _: None)
    others = {exported(heavier), exported(lambda model: model.prompts.update(PROMPTS))}
    assert len(others | {same}) == 3


def test_the_spread_of_cosines_is_written_down(bases: Callable[[str], Path], tmp_path: Path) -> None:
    model, drawn = backbone.open_model(bases("bert")), random.Random(0)
    passages = [tiny_models.sentence(n % tiny_models.TOPICS, drawn) for n in range(200)]
    export(model, tmp_path, "tiny", SAMPLE, passages)
    encoder = OnnxEncoder(tmp_path)
    vectors = encoder.encode(passages, kind="passage")
    apart = (vectors @ vectors.T)[np.triu_indices(200, 1)]
    assert encoder.cosines == pytest.approx((apart.mean(), apart.std()), abs=1e-5)


def test_sentence_transformers_own_name_of_passages(bases: Callable[[str], Path], tmp_path: Path) -> None:
    model = backbone.open_model(bases("bert"))
    model.prompts, model.default_prompt_name = {"query": "query: ", "document": "passage: "}, "query"
    export(model, tmp_path, "tiny", SAMPLE)
    encoder = OnnxEncoder(tmp_path)
    assert (encoder.card.query_prefix, encoder.card.passage_prefix) == ("query: ", "passage: ")
    for kind in ("query", "passage"):
        assert agreement(model, encoder, SAMPLE, kind) > 0.99


# --- what is opened


def st_folder(base: Path, folder: Path, pooling: str, *more: Any) -> Path:  # noqa: ANN401  modules
    """A folder as sentence-transformers writes it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    SentenceTransformer(modules=[Transformer(str(base)), Pooling(32, pooling), *more], prompts=PROMPTS).save(
        str(folder)
    )
    return folder


def test_most_folders_say_nothing_of_unit_length(bases: Callable[[str], Path], tmp_path: Path) -> None:
    model = backbone.open_model(st_folder(bases("bert"), tmp_path / "st", "cls"))
    assert np.linalg.norm(model.encode(SAMPLE), axis=1) == pytest.approx(1, abs=1e-5)
    assert exporting.pooling_of(model) == "cls"


@pytest.mark.parametrize("had", ["mean", "lasttoken"])
def test_another_pooling_keeps_the_prompts(bases: Callable[[str], Path], tmp_path: Path, had: str) -> None:
    model = backbone.open_model(st_folder(bases("bert"), tmp_path / "st", had), "max")
    assert exporting.pooling_of(model) == "max" and model.prompts["query"] == "query: "


def test_further_layers_and_other_poolings_are_refused_before_training(
    bases: Callable[[str], Path], tmp_path: Path
) -> None:
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    dense = st_folder(bases("bert"), tmp_path / "dense", "mean", Dense(32, 16), Normalize())
    for folder in (dense, st_folder(bases("bert"), tmp_path / "last", "lasttoken")):
        with pytest.raises(EncoderError, match="a pooling layer"):
            backbone.open_model(folder)


def test_it_is_trained_in_whole_precision_without_dropout(bases: Callable[[str], Path], tmp_path: Path) -> None:
    from transformers import AutoModel

    AutoModel.from_pretrained(str(bases("bert"))).to(torch.bfloat16).save_pretrained(tmp_path / "half")
    tiny_models.tokenizer(tmp_path / "half")
    for folder in (tmp_path / "half", st_folder(tmp_path / "half", tmp_path / "st", "mean")):
        model = backbone.open_model(folder)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.0}
        model.train()
        features = model.preprocess(SAMPLE[:4])
        assert torch.equal(
            model(features)["sentence_embedding"], model(model.preprocess(SAMPLE[:4]))["sentence_embedding"]
        )


def test_frozen_words_stay_as_they_are(bases: Callable[[str], Path]) -> None:
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    from damda.tune.trainer import backward

    model = backbone.open_model(bases("bert"))
    backbone.freeze_words(model)
    backward(model, CoSENTLoss(model), tiny_models.columns(tiny_models.scored_pairs(8)), range(8))
    embeddings = model[0].auto_model.embeddings
    assert embeddings.word_embeddings.weight.grad is None and embeddings.position_embeddings.weight.grad is not None


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_tokenizer_without_a_limit(tmp_path: Path, kind: str) -> None:
    base = getattr(tiny_models, kind)(tmp_path / "base")
    about = json.loads((base / "tokenizer_config.json").read_text(encoding="utf-8"))
    del about["model_max_length"]
    (base / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    model = backbone.open_model(base)
    assert model.max_seq_length == 64
    assert read_card(base).max_tokens == 64
    assert TorchEncoder(model, "x").encode(LONG, kind="passage").shape == (4, 32)


def test_folders_that_can_not_be_trained(bases: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no config.json"):
        backbone.open_model(tmp_path)
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (pickled / name).write_bytes((bases("bert") / name).read_bytes())
    (pickled / "pytorch_model.bin").touch()
    with pytest.raises(WeightsError, match="loading them runs code"):
        backbone.open_model(pickled)
    (pickled / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="ends in the middle or is damaged") as caught:
        backbone.open_model(pickled)
    assert "\n" not in str(caught.value)
    (pickled / "model.safetensors").write_bytes((bases("bert") / "model.safetensors").read_bytes())
    about = json.loads((pickled / "tokenizer_config.json").read_text(encoding="utf-8"))
    del about["pad_token"]
    (pickled / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(ConfigError, match="no padding token"):
        backbone.open_model(pickled)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone, "find_spec", lambda name: None if name == "peft" else object())
    with pytest.raises(MissingExtra, match=r"damda\[tune\]"):
        backbone.open_model(tmp_path)


def test_the_built_in_encoder_can_be_trained(tmp_path: Path, encoder: OnnxEncoder) -> None:
    """What is trained is what the encoder was made from: the same vectors, but for int8."""
    backbone.write_e5(tmp_path / "e5")
    model = backbone.open_model(tmp_path / "e5")
    texts = [
        "대한민국의 주권은 국민에게 있다.",
        "재택근무는 이틀까지 할 수 있습니다.",
        "The warranty is two years.",
        "휴가",
    ]
    for kind in ("query", "passage"):
        assert agreement(model, encoder, texts, kind) > 0.99
    assert model.max_seq_length == encoder.card.max_tokens


# --- a model in training as an encoder


def test_a_model_in_training_fits_encoder(bases: Callable[[str], Path]) -> None:
    model = backbone.open_model(bases("bert"))
    model.prompts = PROMPTS
    model.train()
    encoder = TorchEncoder(model, "in training", batch=3)
    query, passage = (encoder.encode(SAMPLE, kind=kind) for kind in ("query", "passage"))
    assert model.training, "as it was"
    assert query.shape == (24, 32) and query.dtype == np.float32 and encoder.dim == 32 and encoder.id == "in training"
    assert (query * passage).sum(axis=1).max() < 0.9999
    assert encoder.encode([], kind="query").shape == (0, 32)
    assert encoder.count_tokens(["t1w1 t2w2", ""]) == [2, 0]


def gguf_of(folder: Path, file: Path) -> None:
    """A tiny Gemma 3 as llama.cpp would have it: norms are stored with the 1 that transformers adds to them."""
    from gguf import MODEL_ARCH, GGUFWriter, get_tensor_name_map
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    writer = GGUFWriter(str(file), "gemma3")
    for name in ("context_length", "embedding_length", "block_count", "feed_forward_length", "head_count"):
        getattr(writer, f"add_{name}")(config[_THEIRS[name]])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(1_000_000)
    writer.add_sliding_window(config["sliding_window"])
    words = tiny_models.VOCABULARY
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * len(words))
    writer.add_token_types([3 if word in tiny_models.SPECIAL else 1 for word in words])
    for number, name in enumerate(("pad", "unk", "bos", "eos")):
        getattr(writer, f"add_{name}_token_id")(number)
    names = get_tensor_name_map(MODEL_ARCH.GEMMA3, config["num_hidden_layers"])
    for name, tensor in load_file(str(folder / "model.safetensors")).items():
        stored = tensor + 1 if "norm" in name else tensor
        writer.add_tensor(str(names.get_name(f"model.{name}", (".weight",))), stored.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


_THEIRS = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "head_count": "num_attention_heads",
}


def test_a_gguf_file_becomes_a_model_to_train(
    bases: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file

    gguf_of(bases("gemma"), tmp_path / "tiny.gguf")
    (tmp_path / "model").mkdir()
    backbone.write_gguf(tmp_path / "tiny.gguf", tmp_path / "model")
    before, after = (load_file(str(folder / "model.safetensors")) for folder in (bases("gemma"), tmp_path / "model"))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    model = backbone.open_model(tmp_path / "model", "mean")
    assert model.tokenizer.convert_ids_to_tokens(model.tokenizer("t1w1")["input_ids"])[0] == "<s>"
    assert np.isfinite(model.encode(["t1w1 t2w2", "t1w1"])).all(), "texts are padded to one length"
    assert not capsys.readouterr().err, "damda has a bar of its own"


def test_a_gguf_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(40))
    (tmp_path / "model").mkdir()
    with pytest.raises(WeightsError, match=r"broken\.gguf is GGUF version 0"):
        backbone.write_gguf(tmp_path / "broken.gguf", tmp_path / "model")
