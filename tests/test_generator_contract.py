"""What every Generator and Completer keeps to: a fake one, Remote over a fake transport, Llama where weights are."""

import json
from collections.abc import Generator as Closeable
from collections.abc import Iterator, Sequence

import httpx
import pytest
from test_llama import MISSING, smollm

from damda import weights
from damda.answer.direct import Writer
from damda.errors import GeneratorError
from damda.generate import prefix
from damda.generate.llama import Llama
from damda.generate.openvino import Openvino
from damda.generate.remote import Remote
from damda.settings import LlamaSettings, OpenvinoSettings, RemoteSettings
from damda.types import Chunk, Completer, Delta, Hit, Message, Usage

PASSAGE = "The library opens at nine. It closes at six."
HITS = [Hit(Chunk("c", "d", PASSAGE, 0, len(PASSAGE)), 1.0, "bm25")]
PROMPT = "The library opens at nine. It closes at"
ASK = [Message("system", f"Answer from the passages.\n\n[1] {PASSAGE}"), Message("user", "When does it open?")]


class Fake:
    """Says words of the passages, one a token."""

    id = "fake"

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        schema: str = "",
    ) -> Iterator[Delta]:
        words = [f"{word} " for hit in passages for word in hit.chunk.text.split()]
        for word in words[:max_tokens]:
            if any(end in word for end in stop):
                yield Delta(finish="stop", usage=Usage(1, 1))
                return
            yield Delta(word)
        yield Delta(finish="length" if max_tokens < len(words) else "stop", usage=Usage(1, len(words)))

    def complete(
        self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, stop: Sequence[str] = ()
    ) -> Iterator[Delta]:
        return self.stream(ASK, passages=HITS, max_tokens=max_tokens, temperature=temperature, stop=stop)


def remote() -> Remote:
    def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        plain = request.url.path.endswith("/v1/completions")
        assert asked["prompt"] == PROMPT if plain else asked["messages"]
        if "response_format" in asked:
            assert asked["response_format"]["json_schema"]["schema"] == json.loads(SCHEMA)
            chunk = {"choices": [{"delta": {"content": '{"opens": "nine", "days": 5}'}, "finish_reason": "stop"}]}
            return httpx.Response(200, json=chunk)
        words = [f"{word} " for word in PASSAGE.split()][: asked["max_tokens"]]
        finish = "length" if len(words) < len(PASSAGE.split()) else "stop"
        chunks: list[object] = [
            {"choices": [{"text": word, "finish_reason": None} if plain else {"delta": {"content": word}}]}
            for word in words
        ]
        chunks.append({"choices": [{"delta": {}, "finish_reason": finish}]})
        chunks.append({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": len(words)}})
        body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        return httpx.Response(200, text=body, headers={"content-type": "text/event-stream"})

    return Remote(RemoteSettings(url="http://llm.test/v1", model="m"), transport=httpx.MockTransport(answer))


@pytest.fixture(scope="module", params=["fake", "remote", "llama-write", "llama-quote", "llama-kv", "openvino"])
def generator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writer]:
    if request.param == "fake":
        yield Fake()
    elif request.param == "remote":
        yield remote()
    elif request.param == "openvino":
        pytest.importorskip("openvino_genai", reason="needs the extra openvino")
        pulled = weights.gguf_path("smollm2-135m") or pytest.skip("needs `damda models pull smollm2-135m`")
        openvino = Openvino(OpenvinoSettings(context=1024, threads=1, slots=2), path=pulled)
        yield openvino
        openvino.close()
    else:
        path = smollm()
        if path is None:
            pytest.skip(MISSING)
        kv = request.param == "llama-kv"
        mode = "write" if kv else request.param.removeprefix("llama-")
        settings = LlamaSettings.model_validate({"mode": mode, "context": 1024, "threads": 1, "kv": kv})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(prefix, "LEAST", 16)
            llama = Llama(settings, path=path, kv_folder=tmp_path_factory.mktemp("kv"))
            yield llama
            llama.close()


def whole(generator: Writer, max_tokens: int = 24) -> list[Delta]:
    return list(generator.stream(ASK, passages=HITS, max_tokens=max_tokens))


def test_the_last_delta_and_only_that_has_a_finish(generator: Writer) -> None:
    deltas = whole(generator)
    assert [delta.finish is not None for delta in deltas] == [False] * (len(deltas) - 1) + [True]


def test_there_is_text_and_usage(generator: Writer) -> None:
    deltas = whole(generator)
    assert "".join(delta.text for delta in deltas).strip()
    assert isinstance(deltas[-1].usage, Usage) and deltas[-1].usage.completion_tokens > 0


def test_nothing_after_the_end(generator: Writer) -> None:
    stream = generator.stream(ASK, passages=HITS, max_tokens=4)
    list(stream)
    with pytest.raises(StopIteration):
        next(stream)


def test_one_after_the_other_says_the_same(generator: Writer) -> None:
    first, second = whole(generator), whole(generator)
    assert first == second


def test_two_at_once(generator: Writer) -> None:
    one, two = (generator.stream(ASK, passages=HITS, max_tokens=8) for _ in range(2))
    mixed = [(next(one), next(two))]
    assert mixed[0][0] == mixed[0][1]
    assert list(one) == list(two)


def test_closing_early(generator: Writer) -> None:
    stream = generator.stream(ASK, passages=HITS, max_tokens=200)
    first = next(stream)
    assert isinstance(stream, Closeable)
    stream.close()
    assert next(stream, None) is None
    assert next(generator.stream(ASK, passages=HITS, max_tokens=200)) == first


def test_closing_what_was_never_started(generator: Writer) -> None:
    stream = generator.stream(ASK, passages=HITS)
    assert isinstance(stream, Closeable)
    stream.close()
    assert whole(generator, 4)[-1].finish


def test_too_few_tokens_is_a_length(generator: Writer) -> None:
    assert whole(generator, 1)[-1].finish == "length"


def test_id_is_a_name_that_stays(generator: Writer) -> None:
    before = generator.id
    whole(generator, 1)
    assert generator.id == before != ""


# --- complete


def completed(generator: Completer, max_tokens: int = 12) -> list[Delta]:
    return list(generator.complete(PROMPT, max_tokens=max_tokens))


def test_a_completion_is_a_stream_like_any_other(generator: Writer) -> None:
    deltas = completed(generator)
    assert [delta.finish is not None for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    assert "".join(delta.text for delta in deltas).strip()
    assert isinstance(deltas[-1].usage, Usage) and deltas[-1].usage.completion_tokens > 0
    assert deltas == completed(generator)


def test_a_completion_of_too_few_tokens(generator: Writer) -> None:
    assert completed(generator, 1)[-1].finish == "length"


def test_closing_a_completion_early(generator: Writer) -> None:
    stream = generator.complete(PROMPT, max_tokens=200)
    first = next(stream)
    assert isinstance(stream, Closeable)
    stream.close()
    assert next(stream, None) is None
    never = generator.complete(PROMPT)
    assert isinstance(never, Closeable)
    never.close()
    assert next(generator.complete(PROMPT, max_tokens=200)) == first


def test_answers_and_completions_in_turn(generator: Writer) -> None:
    before = completed(generator, 8)
    whole(generator, 8)
    assert completed(generator, 8) == before


SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"opens": {"type": "string", "maxLength": 12}, "days": {"type": "integer", "maximum": 9}},
        "required": ["opens", "days"],
        "additionalProperties": False,
    }
)


def test_a_schema_is_kept_to(generator: Writer) -> None:
    if isinstance(generator, Fake):
        pytest.skip("it has only its words")
    deltas: Iterator[Delta] = generator.stream(ASK, passages=HITS, max_tokens=64, schema=SCHEMA)
    if getattr(generator, "id", "").endswith(":quote"):
        with pytest.raises(GeneratorError, match="set mode to write"):
            list(deltas)
        return
    *texts, last = deltas
    assert last.finish == "stop"
    found = json.loads("".join(delta.text for delta in texts))
    assert set(found) == {"opens", "days"} and isinstance(found["days"], int)
    # and the next question is free again
    assert not "".join(delta.text for delta in whole(generator)).startswith("{")
