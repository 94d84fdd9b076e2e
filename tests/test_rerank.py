"""A second look at hits: a cross-encoder that the tests build, a server that they play, a budget that runs out."""

import json
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from fakes import Opener
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

from damda.errors import ConfigError, RerankerError, WeightsError
from damda.search.rerank import OnnxReranker, RemoteReranker, Reranked
from damda.search.window import best_window, shortened
from damda.types import Chunk, Hit, Reranker, Where

WORDS = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "good": 4}


def cross_encoder(folder: Path, outputs: int = 1, extra: str = "", *, masked: bool = True) -> Path:
    """Its score is how often the passage says "good", less one; padding and the question count for nothing."""
    folder.mkdir(parents=True)
    tokenizer = Tokenizer(WordLevel(WORDS, "[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = ["input_ids", *["attention_mask"] * masked, "token_type_ids", *([extra] if extra else [])]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in names]
    nodes = [
        helper.make_node("Equal", ["input_ids", "good"], ["is"]),
        helper.make_node("Cast", ["is"], ["are"], to=TensorProto.INT64),
        helper.make_node("Mul", ["are", "token_type_ids"], ["said"]),
        helper.make_node("Mul", ["said", "attention_mask" if masked else "token_type_ids"], ["real"]),
        helper.make_node("ReduceSum", ["real", "axis"], ["count"], keepdims=1),
        helper.make_node("Cast", ["count"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["float", "one"], ["score"]),
        helper.make_node("Mul", ["score", "signs"], ["logits"]),
    ]
    signs = np.array([1.0] if outputs == 1 else [-0.5, 0.5, 0.0][:outputs], np.float32)
    constants = {"good": np.array(4), "axis": np.array([1]), "one": np.array(1.0, np.float32), "signs": signs}
    graph = helper.make_graph(
        nodes,
        "cross-encoder",
        inputs,
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", outputs])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    return folder


def hit(text: str, score: float = 1.0, title: str = "") -> Hit:
    return Hit(Chunk(text, "d", text, 0, len(text), title), score, "hybrid", cosine=0.5, bm25=2.0)


HITS = [hit("bad"), hit("good and good"), hit("so so so so so so"), hit("is good"), hit("x", title="good good good")]
BEST = ["x", "good and good", "is good"]


def server(answer: Any, status: int = 200) -> httpx.MockTransport:  # noqa: ANN401  JSON
    """Answers /v1/rerank; ``answer`` may be a function of the request's body."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json={"data": [{"id": "served"}]})
        assert request.url.path == "/v1/rerank"
        body = json.loads(request.content)
        return httpx.Response(status, json=answer(body) if callable(answer) else answer)

    return httpx.MockTransport(respond)


def counted(body: dict[str, Any]) -> dict[str, Any]:
    assert body["model"] == "served" and body["top_n"] == len(body["documents"])
    scores = [text.split().count("good") for text in body["documents"]]
    rows = [{"index": i, "relevance_score": score} for i, score in enumerate(scores)]
    return {"results": sorted(rows, key=lambda row: -row["relevance_score"])}


def remote(answer: Any = counted, status: int = 200) -> RemoteReranker:  # noqa: ANN401  as above
    return RemoteReranker("http://x/v1", transport=server(answer, status), sleep=lambda seconds: None)


# --- what every reranker does


@pytest.fixture(params=["one output", "two outputs", "remote"])
def reranker(request: pytest.FixtureRequest, tmp_path: Path) -> Reranker:
    if request.param == "remote":
        return remote()
    return OnnxReranker(cross_encoder(tmp_path / "model", 1 if request.param == "one output" else 2))


def texts(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk.text for hit in hits]


def test_hits_come_in_the_order_of_their_scores(reranker: Reranker) -> None:
    got = reranker.rerank("good?", HITS)
    assert texts(got)[:3] == BEST, "titles count, and so does nothing of a shorter passage's padding"
    assert texts(got)[3:] == ["bad", "so so so so so so"], "of equal ones the one found first"
    assert {hit.by for hit in got} == {"rerank"} and sorted(texts(got)) == sorted(texts(HITS))
    assert [hit.score for hit in got] == sorted((hit.score for hit in got), reverse=True)
    assert all((hit.cosine, hit.bm25) == (0.5, 2.0) for hit in got), "what search knew stays known"


def test_no_hits(reranker: Reranker) -> None:
    assert reranker.rerank("good", []) == []


def test_an_order_does_not_depend_on_neighbours(reranker: Reranker) -> None:
    many = [hit(" ".join(["good"] * (n % 7) + ["pad"] * (n % 5))) for n in range(1, 40)]
    alone = {texts(reranker.rerank("q", [one]))[0]: reranker.rerank("q", [one])[0].score for one in many}
    for one in reranker.rerank("q", many):
        assert one.score == pytest.approx(alone[one.chunk.text])


def test_an_id_names_the_model(reranker: Reranker) -> None:
    assert reranker.id.startswith(("onnx:", "remote:served@x"))


# --- ONNX


def test_what_the_time_does_not_suffice_for_keeps_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [hit(f"{n} bad") for n in range(8)] + [hit(f"{n} good") for n in range(8)]
    slow = OnnxReranker(cross_encoder(tmp_path / "model"), budget=1e-9)
    got = slow.rerank("q", many)
    assert [one.by for one in got] == ["rerank"] * 8 + ["hybrid"] * 8, "one batch is always scored"
    assert texts(got)[8:] == [f"{n} good" for n in range(8)]
    assert texts(OnnxReranker(tmp_path / "model").rerank("q", many))[0] == "0 good"


def test_long_passages_are_cut(tmp_path: Path) -> None:
    reranker = OnnxReranker(cross_encoder(tmp_path / "model"), max_tokens=16)
    (got,) = reranker.rerank("q", [hit("good " * 1000)])
    assert got.score < 1


def test_models_that_are_no_cross_encoders(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"model\.onnx"):
        OnnxReranker(tmp_path)
    with pytest.raises(RerankerError, match="3 numbers a pair"):
        OnnxReranker(cross_encoder(tmp_path / "three", 3)).rerank("q", HITS)
    with pytest.raises(RerankerError, match="position_ids"):
        OnnxReranker(cross_encoder(tmp_path / "more", extra="position_ids")).rerank("q", HITS)


# --- remote


def test_a_server_that_leaves_hits_out() -> None:
    got = remote({"results": [{"index": 3, "relevance_score": 0.9}]}).rerank("q", HITS)
    assert [one.by for one in got] == ["rerank"] + ["hybrid"] * 4
    assert texts(got) == ["is good", "bad", "good and good", "so so so so so so", "x"]


@pytest.mark.parametrize(
    "answer, status, reason",
    [
        ({"data": []}, 200, "did not answer with scores"),
        ({"results": [{"index": 99, "relevance_score": 1}]}, 200, "not given"),
        ({}, 401, "DAMDA_RERANK__API_KEY"),
        ({}, 404, "answers 404"),
        ({}, 503, "answers 503"),
    ],
)
def test_servers_that_are_none(answer: object, status: int, reason: str) -> None:
    with pytest.raises(RerankerError, match=reason):
        remote(answer, status).rerank("q", HITS)


# --- in a search


class Found:
    id = "found"

    def search(self, queries: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        return [HITS[:k] for _ in queries]


def test_only_the_top_is_looked_at(tmp_path: Path) -> None:
    searcher = Reranked(Found(), OnnxReranker(cross_encoder(tmp_path / "model")), top=3)
    ((*got,),) = searcher.search(["q"], 5)
    assert texts(got) == ["good and good", "bad", "so so so so so so", "is good", "x"]
    assert [one.by for one in got] == ["rerank"] * 3 + ["hybrid"] * 2
    assert texts(searcher.search(["q"], 1)[0]) == ["good and good"], "more is found than is shown"


def test_it_is_a_mode(tmp_path: Path, open_fake: Opener) -> None:
    documents = tmp_path / "docs"
    documents.mkdir()
    for name, text in (("a", "word bad"), ("b", "word good good"), ("c", "word good")):
        (documents / f"{name}.txt").write_text(text)
    settings = {"rerank.model": str(cross_encoder(tmp_path / "model")), "home": str(tmp_path / "home")}
    kb = open_fake(documents, settings=settings)
    kb.sync()
    assert texts(kb.search("word", 3, mode="rerank"))[:2] == ["word good good", "word good"]
    assert {one.by for one in kb.search("word", 3)} == {"hybrid"}, "off unless it is asked for"
    always = open_fake(documents, settings=settings | {"search.mode": "rerank"})
    assert {one.by for one in always.search("word", 3)} == {"rerank"}
    with pytest.raises(ConfigError, match=r"rerank\.model"):
        open_fake(documents, settings={"home": str(tmp_path / "home")}).search("word", 3, mode="rerank")


def test_opening_a_reranker_is_cheap(tmp_path: Path) -> None:
    folder = cross_encoder(tmp_path / "model")
    begun = time.perf_counter()
    assert OnnxReranker(folder)._loaded is None
    assert time.perf_counter() - begun < 1


# --- windows


def test_the_part_that_has_the_question_in_it() -> None:
    words = "연차는 1년에 15일이다. 병가는 별도로 쓴다. 휴가 신청은 3일 전까지 한다. 급여일은 25일이다.".split()
    text = " ".join(words)
    spans, at = [], 0
    for word in words:
        spans.append((at, at + len(word)))
        at += len(word) + 1
    start, end = best_window("급여일은 언제인가요?", text, spans, 2)
    assert text[start:end] == "급여일은 25일이다."
    assert best_window("급여일은", text, spans, 100) == (0, len(text)), "short enough as it is"
    assert best_window("zzz", text, spans, 3) == (0, spans[2][1]), "nothing in common: the beginning"


def test_a_window_keeps_title_and_heading(tmp_path: Path) -> None:
    model = cross_encoder(tmp_path / "model")
    long = hit("so " * 20 + "is it good and good " + "so " * 20, title="about")
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    shown = shortened("good", long.chunk, tokenizer, 6)
    assert shown.startswith("about\n") and "good and good" in shown and len(shown.split()) == 7
    whole, part = (OnnxReranker(model, window=width) for width in (0, 6))
    assert whole.id != part.id
    assert part.rerank("good", [long])[0].score == whole.rerank("good", [long])[0].score


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(tmp_path: Path, threads: int) -> None:
    many = [hit("good " * (n % 5)) for n in range(40)]
    got = OnnxReranker(cross_encoder(tmp_path / "model"), threads=threads, budget=60).rerank("q", many)
    assert [round(h.score, 3) for h in got] == sorted((round(h.score, 3) for h in got), reverse=True)
    assert len(got) == 40 and {h.by for h in got} == {"rerank"}


# --- beside what search said


def found_with(*scores: float) -> list[Hit]:
    """Hits as a search leaves them: "0 good", "1 good", ..., with falling scores."""
    return [replace(hit(f"{n} good"), score=score) for n, score in enumerate(scores)]


def test_what_search_said_counts_beside_what_is_read(tmp_path: Path) -> None:
    model = cross_encoder(tmp_path / "model")
    hits = [replace(hit("bad"), score=9.0), replace(hit("good good"), score=5.0)]
    alone, a_little, a_lot = (OnnxReranker(model, weight=weight) for weight in (0, 0.1, 10))
    assert texts(alone.rerank("q", hits)) == texts(a_little.rerank("q", hits)) == ["good good", "bad"]
    got = a_lot.rerank("q", hits)
    assert texts(got) == ["bad", "good good"] and 1 > got[0].score > got[1].score > 0
    assert got[0].score == alone.rerank("q", hits[:1])[0].score, "search's first hit is the measure of the others"
    assert len({one.id for one in (alone, a_little, a_lot)}) == 3, "another order has another id"


@pytest.mark.parametrize(
    ("scores", "read"),
    [
        ([100, 50, 40, 30, 20], 1),  # nothing could overtake the first
        ([100, 99, 98, 10, 5], 3),
        ([100, 99, 98, 97, 96], 5),
    ],
)
def test_hits_that_could_not_become_the_first_are_not_read(tmp_path: Path, scores: list[float], read: int) -> None:
    model = cross_encoder(tmp_path / "model", masked=False)
    got = OnnxReranker(model, weight=1, ceiling=5, threads=1).rerank("q", found_with(*scores))
    assert [one.by for one in got] == ["rerank"] * read + ["hybrid"] * (5 - read)
    assert texts(got)[read:] == [f"{n} good" for n in range(read, 5)], "they keep their place"


def test_a_cascade_finds_the_first_that_reading_everything_does(tmp_path: Path) -> None:
    model, drawn = cross_encoder(tmp_path / "model", masked=False), random.Random(5)
    whole = OnnxReranker(model, weight=0.5)
    quick = OnnxReranker(model, weight=0.5, ceiling=6, threads=2)
    for _ in range(20):
        scores = sorted((drawn.uniform(0, 30) for _ in range(12)), reverse=True)
        hits = [replace(hit("good " * drawn.randrange(5) + f"{n}"), score=s) for n, s in enumerate(scores)]
        assert texts(quick.rerank("q", hits))[0] == texts(whole.rerank("q", hits))[0]
