"""Saved KV caches under a real model: SmolLM2-135M, once `damda models pull` has fetched it."""

import logging
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from fakes import FakeAnalyser, FakeEncoder, Opener, until
from test_llama import MISSING, ask, hits, running, smollm, text, together

from damda.assemble import make_generator, models
from damda.generate import engine as llama_cpp
from damda.generate import gguf, prefix, wire
from damda.generate.extract import Gated
from damda.generate.fitting import fit
from damda.generate.kv import Kept
from damda.generate.llama import Llama, _twin, begun
from damda.generate.worker import pieces
from damda.settings import LlamaSettings, Settings
from damda.types import Message

ROOMS = [
    f"Room {n} opens at {n + 6} and has {n * 7} seats. Bring a bottle with a lid; food is not allowed there."
    for n in range(1, 5)
]
SEATS, FOOD = ask("How many seats has room 3?", ROOMS), ask("Is food allowed?", ROOMS)
SETTINGS = LlamaSettings(context=512, threads=1, kv=True)


@pytest.fixture(scope="module")
def path() -> Path:
    found = smollm()
    if found is None:
        pytest.skip(MISSING)
    return found


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter prompts than in life are saved, as the machines that run tests are slow."""
    monkeypatch.setattr(prefix, "LEAST", 64)


@pytest.fixture(scope="module")
def cold(path: Path) -> Iterator[Llama]:
    llama = Llama(SETTINGS.model_copy(update={"kv": False}), path=path)
    yield llama
    llama.close()


@pytest.fixture
def llama(path: Path, tmp_path: Path) -> Iterator[Llama]:
    llama = Llama(SETTINGS, path=path, kv_folder=tmp_path / "kv")
    yield llama
    llama.close()


def say(llama: Llama, messages: Sequence[Message], tokens: int = 8) -> str:
    return text(list(llama.stream(messages, max_tokens=tokens)))


def kept(llama: Llama) -> Kept:
    prefixes = llama._weights.get().prefixes
    assert prefixes
    return prefixes._states.stats()


class Watched:
    """Tokens that llama.cpp read, and took from a slot, for each request that it got."""

    def __init__(self, llama: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
        engine = llama._weights.get().engine
        self.requests: list[tuple[int, int]] = []
        send = engine.send

        def told(request: Mapping[str, object], heard: Callable[[object], bool], slot: int) -> None:
            def counted(chunk: object) -> bool:
                if total := wire.number(chunk, "usage", "prompt_tokens"):
                    used = wire.number(chunk, "usage", "prompt_tokens_details", "cached_tokens")
                    self.requests.append((total - used, used))
                return heard(chunk)

            send(request, counted, slot)

        monkeypatch.setattr(engine, "send", told)

    def new(self) -> list[tuple[int, int]]:
        since, self.requests = self.requests, []
        return since


def test_the_beginning_is_read_once(llama: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(llama, monkeypatch)
    say(llama, SEATS)
    (beginning, none), (rest, used) = watched.new()
    assert none == 0 and used == beginning > 100 and rest < 20
    files = kept(llama)
    assert files.files == 1 and 20_000 < files.bytes / beginning < 26_000
    say(llama, FOOD)
    ((rest, used),) = watched.new()
    assert used == beginning and rest < 20 and kept(llama) == files


def test_the_conversation_comes_after_it(llama: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    say(llama, SEATS)
    watched = Watched(llama, monkeypatch)
    say(llama, [SEATS[0], Message("user", "Hello"), Message("assistant", "Hello."), Message("user", "And room 2?")])
    assert watched.new()[0][1] > 100 and kept(llama).files == 1


def test_other_passages_are_another_beginning(llama: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    """One letter is enough, and nothing is taken from what stands before it."""
    say(llama, SEATS)
    watched = Watched(llama, monkeypatch)
    say(llama, ask("How many seats has room 3?", [*ROOMS[:3], ROOMS[3].replace("28", "29")]))
    assert watched.new()[0][1] == 0 and kept(llama).files == 2


def test_what_was_asked_before_changes_nothing(llama: Llama, path: Path, tmp_path: Path) -> None:
    """First and saved, restored, after others, and by another model object over the same or an empty folder."""
    first = say(llama, SEATS, 16)
    for other in (FOOD, ask("How many seats has room 4?", ROOMS), ask("Hello", ["x"])):
        say(llama, other)
        assert say(llama, SEATS, 16) == first
    llama.close()
    for folder in (tmp_path / "kv", tmp_path / "empty"):
        again = Llama(SETTINGS, path=path, kv_folder=folder)
        if folder.name == "empty":
            say(again, FOOD)
        assert say(again, SEATS, 16) == first
        again.close()


def test_only_the_cut_between_batches_is_another(llama: Llama, cold: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without saved states, and a batch that ends where the beginning does, each number is the same."""
    chances: dict[str, list[object]] = {}

    def listen(to: Llama, name: str) -> None:
        engine = to._weights.get().engine
        send = engine.send

        def told(request: Mapping[str, object], heard: Callable[[object], bool], slot: int) -> None:
            def noted(chunk: object) -> bool:
                if found := wire.at(chunk, "choices", 0, "logprobs"):
                    chances.setdefault(name, []).append(found)
                return heard(chunk)

            asked = {"logprobs": True, "top_logprobs": 3} if "messages" in request else {}
            send({**request, **asked}, noted, slot)

        monkeypatch.setattr(engine, "send", told)

    listen(llama, "saved")
    watched = Watched(llama, monkeypatch)
    said = say(llama, SEATS)
    cold.close()
    monkeypatch.setattr(llama_cpp, "BATCH", watched.new()[0][0])
    listen(cold, "cold")
    assert say(cold, SEATS) == said
    cold.close()
    assert chances["saved"] == chances["cold"] and len(chances["cold"]) == 8


def test_a_new_process_goes_on_from_it(llama: Llama, path: Path, tmp_path: Path) -> None:
    first = say(llama, SEATS, 16)
    before = {file.name: file.stat().st_ino for file in (tmp_path / "kv").iterdir()}
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from damda.generate import prefix
from damda.generate.engine import Engine
import test_llama_kv as kv
prefix.LEAST = 64
Engine.save = None  # there is nothing to be saved
llama = kv.Llama(kv.SETTINGS, path=Path({str(path)!r}), kv_folder=Path({str(tmp_path / "kv")!r}))
sys.stdout.buffer.write(kv.say(llama, kv.SEATS, 16).encode())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert done.stdout.decode() == first, done.stderr.decode()
    assert {file.name: file.stat().st_ino for file in (tmp_path / "kv").iterdir()} == before


def test_other_weights_under_the_same_name_miss(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same size, same first and last megabyte: llama.cpp would take the state, and nobody would notice."""
    model = tmp_path / "model.gguf"
    body = bytearray(path.read_bytes())
    seen = []
    for change in (0, 1):
        body[len(body) // 2] ^= change
        model.write_bytes(body)
        llama = Llama(SETTINGS, path=model, kv_folder=tmp_path / "kv")
        watched = Watched(llama, monkeypatch)
        say(llama, SEATS, 2)
        seen.append((gguf.fingerprint(model), watched.new()[0][1], kept(llama).files))
        llama.close()
    assert seen == [(seen[0][0], 0, 1), (seen[0][0], 0, 2)]


def test_other_conditions_miss(llama: Llama, path: Path, tmp_path: Path) -> None:
    """Threads decide who adds up what; another context may scale positions otherwise."""
    conditions = {llama._weights.get()[0].conditions}
    for changed in ({"threads": 2}, {"context": 1024}):
        other = Llama(SETTINGS.model_copy(update=changed), path=path, kv_folder=tmp_path / "kv")
        conditions.add(other._weights.get()[0].conditions)
        other.close()
    assert len(conditions) == 3


def test_short_beginnings_are_not_worth_it(
    llama: Llama, cold: Llama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefix, "LEAST", 256)
    assert say(llama, SEATS) == say(cold, SEATS)
    assert kept(llama).files == 0


def test_off_unless_asked_for(path: Path, tmp_path: Path) -> None:
    for settings, folder in ((SETTINGS, None), (SETTINGS.model_copy(update={"kv": False}), tmp_path / "kv")):
        llama = Llama(settings, path=path, kv_folder=folder)
        say(llama, SEATS, 1)
        assert llama._weights.get().prefixes is None
        llama.close()
    assert not (tmp_path / "kv").exists()


def test_a_damaged_file_is_never_given_to_llama_cpp(
    llama: Llama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end this process, and with it all tests."""
    first = say(llama, SEATS)
    (file,) = (tmp_path / "kv").iterdir()
    whole = file.read_bytes()
    watched = Watched(llama, monkeypatch)
    for harmed in (whole[: len(whole) // 2], whole[:1000] + bytes(64) + whole[1064:], b""):
        file.write_bytes(harmed)
        assert say(llama, SEATS) == first
        assert [used for _, used in watched.new()][0] == 0
        assert file.read_bytes() == whole, "the same is made again, to the last bit"


def test_a_full_disk(llama: Llama, cold: Llama, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What can't be saved is read from an empty slot, as if nothing were kept; and the next does not try again."""
    llama._weights.get()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        assert [say(llama, SEATS), say(llama, FOOD)] == [say(cold, SEATS), say(cold, FOOD)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "kv").iterdir()) == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_cap_that_is_too_small(path: Path, cold: Llama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found out once; after that nothing is read twice."""
    llama = Llama(SETTINGS.model_copy(update={"kv_megabytes": 1}), path=path, kv_folder=tmp_path / "kv")
    watched = Watched(llama, monkeypatch)
    assert say(llama, SEATS) == say(cold, SEATS) and len(watched.new()) == 2
    assert say(llama, FOOD) == say(cold, FOOD) and len(watched.new()) == 1
    assert list((tmp_path / "kv").iterdir()) == []
    llama.close()


def test_giving_up_while_the_beginning_is_read(llama: Llama, tmp_path: Path) -> None:
    engine, _, prefixes = llama._weights.get()
    request, _ = fit(engine, SEATS, (), chats=True, quote=False, max_tokens=8)
    reading = begun(prefixes, SEATS, (), request)
    assert reading
    answer = pieces(reading, {**request, "max_tokens": 8})
    next(answer)
    assert running() == 1
    answer.close()  # type: ignore[attr-defined]
    until(lambda: running() == 0)
    assert list((tmp_path / "kv").iterdir()) == []
    say(llama, FOOD)
    assert kept(llama).files == 1


def test_a_model_that_can_not_go_on_is_left_alone(
    llama: Llama, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose state has no places to go back to: llama.cpp then reads all of it again, without a word."""
    engine = llama._weights.get().engine
    send = engine.send
    monkeypatch.setattr(engine, "send", lambda request, *rest: send({**request, "cache_prompt": False}, *rest))
    assert say(llama, SEATS)
    assert "llama.kv is of no use with this model" in caplog.text
    watched = Watched(llama, monkeypatch)
    say(llama, FOOD)
    assert len(watched.new()) == 1


def test_slots_share_the_folder(path: Path, tmp_path: Path) -> None:
    llama = Llama(SETTINGS.model_copy(update={"slots": 2}), path=path, kv_folder=tmp_path / "kv")
    said: list[str] = []
    together([lambda: said.append(say(llama, SEATS)), lambda: said.append(say(llama, FOOD))] * 2)
    assert len(said) == 4 and all(said) and kept(llama).files == 1
    llama.close()


def test_a_quote_goes_on_from_it_too(path: Path, llama: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both modes share the weights, and the beginning."""
    quoter = Llama(SETTINGS.model_copy(update={"mode": "quote"}), path=path, kv_folder=llama._kv_folder)
    say(llama, SEATS, 1)
    watched = Watched(llama, monkeypatch)
    said = text(list(quoter.stream(SEATS, passages=hits(ROOMS), max_tokens=12)))
    ((_, used),) = watched.new()
    assert used > 100 and any(said in room for room in ROOMS)


def test_a_model_without_chat_template(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples and the passages are its beginning."""
    bare = gguf.Header({"general.architecture": "llama", "llama.context_length": 8192}, ())
    monkeypatch.setattr(gguf, "header", lambda _: bare)
    llama = Llama(SETTINGS.model_copy(update={"context": 1025}), path=path, kv_folder=tmp_path / "kv")
    watched = Watched(llama, monkeypatch)
    for question, sent in (("좌석은 몇 개인가요?", 2), ("음식은?", 1)):
        list(llama.stream(ask(question, ROOMS[:1]), passages=hits(ROOMS[:1]), max_tokens=2))
        requests = watched.new()
        assert len(requests) == sent and requests[-1][1] > 200 and requests[-1][0] < 60
    llama.close()


def test_answers_are_kept_in_the_home(path: Path, tmp_path: Path, open_fake: Opener) -> None:
    (tmp_path / "rooms.md").write_text("\n\n".join(ROOMS), encoding="utf-8")
    settings = {"llama.model": str(path), "llama.kv": True, "llama.context": 1024, "llama.threads": 1}
    answering = {"answer.generator": "llama", "answer.threshold": 0.0, "answer.max_tokens": 4}
    kb = open_fake(tmp_path, settings=settings | answering)
    kb.refresh()
    kb.ask("How many seats has room 3?")
    assert [file.suffix for file in (tmp_path / ".damda" / "kv").iterdir()] == [".kv"]


def test_the_bare_model_uses_the_same_weights(path: Path, tmp_path: Path) -> None:
    """It would be loaded twice if only one of the two had the folder."""
    given = {"answer": {"generator": "llama"}, "llama": {"model": str(path), "kv": True, "mode": "quote"}}
    settings = models.housed(Settings.model_validate(given), tmp_path)
    bare = models.make_writer(settings)
    answering = make_generator(settings, FakeEncoder(), FakeAnalyser(), None)  # type: ignore[arg-type]
    assert isinstance(bare, Llama) and isinstance(answering, Gated) and isinstance(answering.generator, Llama)
    assert bare._weights is answering.generator._weights and bare._kv_folder == tmp_path / ".damda" / "kv"


@pytest.mark.parametrize("question", ["A or B?", "B", "가", ""])
def test_a_twin_asks_for_something_else(question: str) -> None:
    said = [Message("system", "s"), Message("user", question), Message("assistant", "x"), Message("user", "y")]
    request = {"messages": [{"role": m.role, "content": m.content} for m in said], "chat_template_kwargs": {"a": 1}}
    twin = _twin(said, (), request)
    assert wire.at(twin, "messages", 0) == {"role": "system", "content": "s"}
    assert wire.at(twin, "messages", 1, "role") == "user" and wire.at(twin, "messages", 2) is None
    assert wire.at(twin, "messages", 1, "content") != question[:1] and twin["chat_template_kwargs"] == {"a": 1}
