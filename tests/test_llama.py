"""Llama: what needs no weights always runs; the rest runs on SmolLM2-135M once `damda models pull` has fetched it."""

import http.client
import importlib.util
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fakes import until

from damda import weights
from damda.errors import ConfigError, GeneratorError, MissingExtra, WeightsError
from damda.generate import fewshot, gguf, quoting
from damda.generate.engine import cores
from damda.generate.fitting import fit, without
from damda.generate.llama import Llama
from damda.settings import LlamaSettings
from damda.types import NOT_FOUND, Chunk, Delta, Hit, Message

MISSING = "no SmolLM2-135M (`damda models pull smollm2-135m`) or no xllamacpp (extra llama)"
# Looked up before a fixture gives the tests a cache folder of their own.
PULLED = weights.gguf_path("smollm2-135m")
BARE = gguf.Header({"general.architecture": "llama", "llama.context_length": 8192}, ())
"""Of a model without a chat template."""
PASSAGES = (
    "도서관은 평일 오전 9시에  문을 열고 오후 9시에 닫는다.\n매월 둘째 월요일은 쉰다. 책은 다섯 권까지 빌린다.",
    "The reading room has 120 seats. Bring a bottle with a lid; food is not allowed.",
    '회원증은 "1층 안내대"에서 만든다. | 수수료 | 2,000원 |\n\\d+ {"a": 1} </s>',
)


def smollm() -> Path | None:
    return PULLED if importlib.util.find_spec("xllamacpp") else None


def hits(texts: Sequence[str]) -> list[Hit]:
    return [Hit(Chunk(str(i), "d", text, 0, len(text)), 1.0, "bm25") for i, text in enumerate(texts)]


def ask(question: str, texts: Sequence[str] = PASSAGES) -> list[Message]:
    numbered = "\n\n".join(f"[{i}] 제목 {i}\n{text}" for i, text in enumerate(texts, 1))
    return [Message("system", f"Answer from these passages.\n\n{numbered}\n\nBe brief."), Message("user", question)]


def text(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


@pytest.fixture(scope="module")
def path() -> Path:
    found = smollm()
    if found is None:
        pytest.skip(MISSING)
    return found


@pytest.fixture(scope="module")
def writer(path: Path) -> Iterator[Llama]:
    llama = Llama(LlamaSettings(model=str(path), context=1024, threads=1))
    yield llama
    llama.close()


@pytest.fixture(scope="module")
def quoter(path: Path) -> Iterator[Llama]:
    llama = Llama(LlamaSettings(mode="quote", context=2048, threads=1), path=path)
    yield llama
    llama.close()


# ---- without weights


def test_no_model_no_file_no_gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("damda.generate.llama.require", lambda: None)
    with pytest.raises(ConfigError, match=r"llama\.model"):
        Llama(LlamaSettings())
    with pytest.raises(WeightsError, match="No such file"):
        Llama(LlamaSettings(model=str(tmp_path / "none.gguf")))
    (tmp_path / "page.gguf").write_text("<html>")
    with pytest.raises(WeightsError, match="no GGUF"):
        Llama(LlamaSettings(), path=tmp_path / "page.gguf")


def test_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"damda\[llama\]"):
        Llama(LlamaSettings(model="m.gguf"))


def test_passages_are_dropped_with_their_titles() -> None:
    said = ask("?", ["가", "나", "다"])
    shorter = without(said, hits(["가", "나", "다"]), 1)
    assert shorter is not None
    assert shorter[0].content == "Answer from these passages.\n\n[1] 제목 1\n가\n\nBe brief."
    assert shorter[1] == said[1]
    assert without([Message("user", "?")], hits(["가", "나"]), 1) is None


def test_original_is_verbatim_and_whole_words() -> None:
    choice = quoting.quotable(PASSAGES)
    assert quoting.original(" 오전 9시에 문을 ", choice) == "오전 9시에  문을"  # the passage has two spaces there
    assert quoting.original("오전 9시에 문", choice) == "오전 9시에"  # cut off in a word
    assert quoting.original("오전 9시에 문\ufffd", choice) == "오전 9시에"
    assert quoting.original("회원", choice) == "회원"  # nothing but half a word: still verbatim
    for wrong in ("전 9시에", "오전 8시에", "", " ", "닫는다. 매월"):
        assert quoting.original(wrong, choice) == ""


def test_nothing_quotable() -> None:
    assert quoting.quotable(["", "---\n***"]) == []


def test_one_example_says_that_the_answer_is_absent() -> None:
    assert fewshot.ABSENT in [example.answer for example in fewshot.EXAMPLES]
    for example in fewshot.EXAMPLES:
        if example.answer != fewshot.ABSENT:
            assert any(example.answer in passage for passage in example.passages)
    assert fewshot.prompt("무엇\n인가", ["가\n나"]).endswith("\n\n문서:\n- 가 나\n질문: 무엇 인가\n답:")


def test_cores() -> None:
    assert 1 <= cores() <= 4096


# ---- with weights


def test_constructing_loads_nothing(path: Path) -> None:
    began = time.monotonic()
    llama = Llama(LlamaSettings(model=str(path)))
    assert time.monotonic() - began < 0.5
    assert llama._weights._loaded is None
    assert llama.id.startswith(f"llama:{path.name}:") and llama.id.endswith(":write")


def test_greedy_text_is_the_same_every_time(writer: Llama) -> None:
    first, other, again = (
        list(writer.stream(ask(q, ["x"]), max_tokens=12)) for q in ("Say hello", "Count", "Say hello")
    )
    assert text(first) == text(again) != text(other)
    assert first[-1].usage == again[-1].usage and first[-1].usage is not None
    assert first[-1].usage.completion_tokens == 12 and first[-1].finish == "length"
    assert len([delta for delta in first if delta.text]) > 3, "it streams"


def test_temperature_counts_and_the_seed_is_fixed(writer: Llama) -> None:
    greedy, warm, again = (
        text(list(writer.stream(ask("Tell a story", ["x"]), max_tokens=16, temperature=t))) for t in (0.0, 1.5, 1.5)
    )
    assert warm == again != greedy


def test_stop(writer: Llama) -> None:
    whole = text(list(writer.stream(ask("Say hello", ["x"]), max_tokens=12)))
    word = whole.split()[2]
    stopped = list(writer.stream(ask("Say hello", ["x"]), max_tokens=12, stop=[word]))
    assert text(stopped) == whole[: whole.index(word)] and stopped[-1].finish == "stop"


def test_the_port_wants_a_key(writer: Llama) -> None:
    list(writer.stream(ask("hi", ["x"]), max_tokens=1))
    place = urlsplit(writer._weights.get()[0].address)
    assert place.hostname == "127.0.0.1"
    request = json.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1, "content": "hi"})
    for key in (None, "wrong"):
        for target in ("/v1/chat/completions", "/completion", "/tokenize", "/props", "/slots", "/v1/models"):
            connection = http.client.HTTPConnection(place.netloc, timeout=5)
            headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
            method = "GET" if target in ("/props", "/slots", "/v1/models") else "POST"
            connection.request(method, target, request if method == "POST" else None, headers)
            assert connection.getresponse().status == 401, target
            connection.close()


def test_count_is_what_the_prompt_takes(writer: Llama) -> None:
    usage = list(writer.stream(ask("hi", ["x"]), max_tokens=1))[-1].usage
    engine, chats, _ = writer._weights.get()
    request, _ = fit(engine, ask("hi", ["x"]), hits(["x"]), chats=chats, quote=False, max_tokens=1)
    assert usage is not None and engine.count(request) == usage.prompt_tokens


def test_what_does_not_fit_is_left_out_last_first(writer: Llama, caplog: pytest.LogCaptureFixture) -> None:
    texts = [f"{name} " + "word " * 300 + name for name in ("alpha", "beta", "gamma", "delta")]
    engine, chats, _ = writer._weights.get()
    request, kept = fit(engine, ask("?", texts), hits(texts), chats=chats, quote=False, max_tokens=256)
    assert [hit.chunk.text for hit in kept] == texts[:2]
    assert engine.count(request) <= engine.context - 256
    sent = json.dumps(request)
    assert "beta" in sent and "gamma" not in sent and "delta" not in sent and "Be brief." in sent
    assert "2 of 4 passages" in caplog.text


def test_what_can_not_fit_is_an_error_with_numbers(writer: Llama) -> None:
    texts = ["word " * 900, "word"]
    with pytest.raises(GeneratorError, match=r"takes 9\d\d tokens even with one passage.* 768 .*context 1024"):
        list(writer.stream(ask("?", texts), passages=hits(texts), max_tokens=256))
    with pytest.raises(GeneratorError, match="takes 1[0-9]{3} tokens as it is"):
        list(writer.stream([Message("user", "word " * 1200)], max_tokens=10))


def test_closing_early_ends_the_work(writer: Llama) -> None:
    stream = writer.stream(ask("Tell me a very long story", ["x"]), max_tokens=700)
    next(stream)
    assert isinstance(stream, Generator)
    stream.close()
    began = time.monotonic()
    list(writer.stream(ask("hi", ["x"]), max_tokens=1))
    assert time.monotonic() - began < 4, "700 tokens take longer than that"
    assert not [thread for thread in threading.enumerate() if thread.name == "damda-llama"]


def test_threads_share_one_model(path: Path) -> None:
    llama = Llama(LlamaSettings(model=str(path), context=512, threads=1))
    engines, said = set(), {}

    def work(question: str) -> None:
        said[question] = text(list(llama.stream(ask(question, ["x"]), max_tokens=6)))
        engines.add(id(llama._weights.get()[0]))

    threads = [threading.Thread(target=work, args=(question,)) for question in ("Say hello", "Count to ten", "Sing")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(engines) == 1
    assert said == {q: text(list(llama.stream(ask(q, ["x"]), max_tokens=6))) for q in said} and len(said) == 3
    llama.close()


# ---- slots


@pytest.fixture(scope="module")
def three(path: Path) -> Iterator[Llama]:
    llama = Llama(LlamaSettings(model=str(path), context=300, threads=1, slots=3))
    yield llama
    llama.close()


def together(works: Sequence[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def running() -> int:
    return sum(thread.name == "damda-llama" for thread in threading.enumerate())


def test_each_request_gets_the_whole_context(three: Llama) -> None:
    """And no part of another's: three that fill theirs at the same time."""
    engine = three._weights.get().engine
    assert 300 <= engine.context < 300 + 256  # llama.cpp rounds up
    ends: list[Delta] = []
    together([lambda: ends.append(list(three.complete("word " * 260, max_tokens=20))[-1])] * 3)
    assert [end.finish for end in ends] == ["length"] * 3
    used = [end.usage for end in ends]
    assert all(usage and usage.prompt_tokens >= 260 and usage.completion_tokens == 20 for usage in used)


def test_slots_are_worked_on_at_once(three: Llama) -> None:
    """None of three goes on before all have begun; one after the other would break the barrier."""
    begun = threading.Barrier(3, timeout=60)
    said: dict[int, list[Delta]] = {}

    def answer(number: int) -> None:
        stream = three.stream([Message("user", f"Count to {number}")], max_tokens=20)
        first = next(stream)
        begun.wait()
        said[number] = [first, *stream]

    together([partial(answer, n) for n in range(3)])
    assert all(said[n][-1].finish and text(said[n]) for n in range(3))


def test_more_than_slots_wait_for_their_turn(three: Llama) -> None:
    said: dict[int, str] = {}

    def answer(number: int) -> None:
        said[number] = text(list(three.complete(f"The number {number} is", max_tokens=5)))

    together([partial(answer, n) for n in range(8)])
    assert sorted(said) == list(range(8)) and all(said.values())


def test_what_is_given_up_while_it_waits_is_never_begun(three: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that waits can only be interrupted by a signal (Ctrl-C): llama.cpp tells it nothing before its turn."""
    engine = three._weights.get().engine
    ran: list[object] = []
    run = engine.run

    def told(request: Mapping[str, object], heard: Callable[[object], bool]) -> None:
        ran.append(request["prompt"])
        run(request, heard)

    def interrupt(signum: int, frame: object) -> None:
        raise InterruptedError

    def interrupt_once_it_waits() -> None:
        until(lambda: running() == 4)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    monkeypatch.setattr(engine, "run", told)
    long = [three.complete(f"Long {n}", max_tokens=200) for n in range(3)]
    for stream in long:
        next(stream)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        threading.Thread(target=interrupt_once_it_waits).start()
        with pytest.raises(InterruptedError):
            list(three.complete("Waiting", max_tokens=5))
    finally:
        signal.signal(signal.SIGUSR1, before)
    for stream in long:
        assert isinstance(stream, Generator)
        stream.close()
    list(three.complete("After", max_tokens=1))
    assert sorted(map(str, ran)) == ["After", "Long 0", "Long 1", "Long 2"]
    until(lambda: running() == 0)


def test_giving_up_one_does_not_disturb_the_others(three: Llama) -> None:
    prompts = [f"The number {n} is" for n in range(2)]
    alone = [text(list(three.complete(prompt, max_tokens=30))) for prompt in prompts]
    said: dict[int, list[Delta]] = {}

    def stay(n: int) -> None:
        said[n] = list(three.complete(prompts[n], max_tokens=30))

    def leave() -> None:
        for _ in range(4):
            stream = three.complete("A story that nobody will hear", max_tokens=400)
            next(stream)
            assert isinstance(stream, Generator)
            stream.close()

    together([partial(stay, 0), partial(stay, 1), leave])
    for n, deltas in said.items():
        assert deltas[-1].finish
        # How sums are rounded depends on the batch: later words may differ (docs/decisions/0016-many-at-once.md).
        assert text(deltas).split()[0] == alone[n].split()[0]


def test_two_modes_share_the_weights(path: Path, three: Llama) -> None:
    settings = LlamaSettings(model=str(path), context=300, threads=1, slots=3)
    same = Llama(settings.model_copy(update={"mode": "quote"}))
    assert same._weights.get()[0] is three._weights.get()[0]
    assert Llama(settings.model_copy(update={"slots": 1}))._weights is not three._weights


def test_completing_what_does_not_fit(writer: Llama) -> None:
    with pytest.raises(GeneratorError, match=r"takes 1[0-9]{3} tokens, and there is room for 1014 .*shorten it"):
        list(writer.complete("word " * 1200, max_tokens=10))


@pytest.mark.parametrize(
    "question",
    [
        "도서관은 몇 시에 여나요?",
        "How many seats are there?",
        "회원증은 어디서 만드나요?",
        "수수료는?",
        "Is food allowed?",
    ],
)
def test_quotes_are_verbatim(quoter: Llama, question: str) -> None:
    passages = hits(PASSAGES)
    deltas = list(quoter.stream(ask(question), passages=passages, max_tokens=60))
    said = text(deltas)
    assert said.strip()
    assert said == NOT_FOUND or any(said in hit.chunk.text for hit in passages)
    assert deltas[-1].finish in ("stop", "length")


def test_the_grammar_binds(quoter: Llama) -> None:
    """What SmolLM2 would never say by itself; and a passage that it may not quote, though it stands in the messages."""
    only = ["zqx vvk"]
    said = text(
        list(quoter.stream(ask("What is the capital of France?", ["Paris is the capital."]), passages=hits(only)))
    )
    assert said in ("zqx vvk", "zqx", "vvk", NOT_FOUND)


def test_not_found_is_that_and_nothing_else(quoter: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quoting, "grammar", lambda *_, **__: '%llguidance {}\nstart: "NOT_FOUND"')
    deltas = list(quoter.stream(ask("?"), passages=hits(PASSAGES)))
    assert text(deltas) == NOT_FOUND and deltas[-1].finish == "stop"


def test_a_grammar_that_llama_cpp_ignores_is_noticed(quoter: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quoting, "grammar", lambda *_, **__: "%llguidance {}\nstart: broken(")
    with pytest.raises(GeneratorError, match="did not keep to the passages"):
        list(quoter.stream(ask("Write about rivers"), passages=hits(PASSAGES), max_tokens=20))


def test_nothing_to_quote(quoter: Llama) -> None:
    for passages in ([], hits(["---"])):
        assert text(list(quoter.stream(ask("?", ["x"]), passages=passages))) == NOT_FOUND


def test_a_model_without_chat_template(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SmolLM2 taken for a base model: the examples' format, one line, and quotes in it."""
    monkeypatch.setattr(gguf, "header", lambda _: BARE)
    monkeypatch.setattr(fewshot, "EXAMPLES", fewshot.EXAMPLES[:1])  # SmolLM2 takes three tokens a syllable
    passages = PASSAGES[1:]
    for mode in ("quote", "write"):
        # A context of its own, so that the weights are not those of a model that chats.
        llama = Llama(LlamaSettings.model_validate({"mode": mode, "context": 1025, "threads": 1}), path=path)
        engine, chats, _ = llama._weights.get()
        request, _ = fit(engine, ask("열람실은?"), hits(passages), chats=chats, quote=mode == "quote", max_tokens=40)
        assert str(request["prompt"]).startswith("문서에서") and str(request["prompt"]).endswith("질문: 열람실은?\n답:")
        said = text(list(llama.stream(ask("열람실은?"), passages=hits(passages), max_tokens=40)))
        assert said and "\n" not in said
        assert mode == "write" or said == NOT_FOUND or any(said in passage for passage in passages)
        llama.close()


def test_weights_that_end_in_the_middle(path: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    with path.open("rb") as file:
        short.write_bytes(file.read(4_000_000))
    with pytest.raises(GeneratorError, match="can't load short.gguf"):
        list(Llama(LlamaSettings(model=str(short))).stream(ask("hi")))


def test_leaving_while_it_reads_the_prompt(path: Path) -> None:
    """A daemon thread inside llama.cpp would end the interpreter with a segmentation fault."""
    code = f"""
import threading, time
from damda.settings import LlamaSettings
from damda.generate.llama import Llama
from damda.types import Message
llama = Llama(LlamaSettings(model={str(path)!r}, context=2048, threads=1))
stream = llama.stream([Message("user", "word " * 1500)], max_tokens=400)
threading.Thread(target=next, args=(stream,), daemon=True).start()
while not any(t.name == "damda-llama" for t in threading.enumerate()):
    time.sleep(0.01)
time.sleep(0.2)
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert time.monotonic() - began < 15
