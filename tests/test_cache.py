"""Remembered answers: found again, only where they belong, and never in the way of an answer."""

import json
import logging
import math
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeEncoder
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from damda.answer.memory.cache import AnswerCache, TextCache, likeness, unrelated
from damda.answer.memory.remembered import Memory
from damda.answer.memory.shelf import MIGRATIONS
from damda.answer.memory.spelling import normalised
from damda.answer.memory.stored import answer_from_text, answer_to_text
from damda.errors import EncoderError
from damda.types import Answer, Cache, Chunk, Found, Hit, Kind, Quote, Usage, Verdict

CHILD = Path(__file__).parent / "cache_child.py"
DAY = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(tmp_path: Path, clock: Clock) -> Iterator[Memory]:
    memory = Memory(tmp_path / "home" / "answers.sqlite", days=30, megabytes=1, clock=clock)
    yield memory
    memory.close()


def put(memory: Memory, question: str, payload: str = "{}", scope: str = "scope", **vector: Any) -> bool:  # noqa: ANN401
    return memory.put(question, scope, payload, kind="answer", **vector)


def payload(memory: Memory, question: str, scope: str = "scope") -> str | None:
    entry = memory.get_exact(question, scope)
    return entry.payload if entry else None


# --- spelling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("환불 되나요?", "환불 되나요"),
        ("환불   되나요 ?", "환불 되나요"),
        ("What is BM25?", "what is BM25"),
        ('"환불 규정"', "환불 규정"),
        ("ＡＢＣ가 뭐야？", "ABC가 뭐야?"),
        ("화났어!", "화났어"),
        ("환불 되나요", "환불 되나요"),
        ("How can I pay?", "How can i pay?"),
    ],
)
def test_spellings_of_one_question(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2⁵은?", "25은?"),
        ("½은 얼마야?", "1/2은 얼마야?"),
        ("①은 뭐야?", "1은 뭐야?"),
        ("5!", "5"),
        ("5 mW", "5 MW"),
        ("US holidays", "us holidays"),
        ("C++", "C"),
        ("a > b", "a < b"),
        ("-5", "5"),
        ("안 돼?", "돼?"),
        ("if x:\n    f()\ng()", "if x:\n    f()\n    g()"),
        ('길이가 5"', "길이가 5"),
        ("$HOME", "$home"),
    ],
)
def test_spellings_that_may_differ_in_meaning(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text) or "\n" in text


# --- rows ------------------------------------------------------------------------------------------------------------


def test_a_look_up_makes_no_file(memory: Memory) -> None:
    assert memory.get_exact("질문", "scope") is None
    assert memory.near(np.ones(4, np.float32), "scope", 0.5) == []
    assert memory.stats().entries == 0
    assert memory.clear() == 0
    assert not memory.path.exists()


def test_the_same_question_in_other_spelling(memory: Memory) -> None:
    put(memory, "환불 되나요?", "first")
    assert payload(memory, "환불  되나요") == "first"
    put(memory, "환불 되나요", "second")
    assert payload(memory, "환불 되나요?") == "second"
    assert memory.stats().entries == 1


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), unique=True, max_size=8))
def test_nothing_is_answered_from_another_scope(pairs: list[tuple[str, str]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        memory = Memory(Path(folder) / "answers.sqlite", days=30, megabytes=1)
        vector = np.array([1, 0], np.float32)
        for number, (scope, question) in enumerate(pairs):
            scope = scope.encode("utf-8", "replace").decode()
            put(memory, f"{number} {question}", str(number), scope, vector=vector, space="e")
        for number, (scope, question) in enumerate(pairs):
            scope = scope.encode("utf-8", "replace").decode()
            assert payload(memory, f"{number} {question}", scope) == str(number)
            assert payload(memory, f"{number} {question}", scope + "x") is None
            found = {near.entry.payload for near in memory.near(vector, scope, 0.5, "e")}
            assert found <= {str(n) for n, (other, _) in enumerate(pairs) if other == pairs[number][0]}
            assert memory.near(vector, scope, 0.5, "other encoder") == []
        memory.close()


def test_an_old_answer_is_not_there(memory: Memory, clock: Clock) -> None:
    put(memory, "old")
    clock.now += 30 * DAY + 1
    assert payload(memory, "old") is None
    assert memory.stats().entries == 0
    put(memory, "older than the next")
    clock.now += 31 * DAY
    put(memory, "new")
    assert memory.stats().entries == 1


def test_a_clock_that_was_set_back(memory: Memory, clock: Clock) -> None:
    clock.now += 400 * DAY  # it was wrong
    put(memory, "from the future")
    clock.now -= 400 * DAY
    assert payload(memory, "from the future") is None
    put(memory, "an hour ahead")
    clock.now -= 3600
    assert payload(memory, "an hour ahead") == "{}"


def test_what_was_not_used_for_longest_goes_first(memory: Memory, clock: Clock) -> None:
    for number in range(9):
        clock.now += 1
        put(memory, f"q{number}", "x" * 100_000)
    used = memory.get_exact("q0", "scope")
    assert used
    clock.now += 1
    memory.looked(used, "exact")
    for number in range(9, 12):
        clock.now += 1
        put(memory, f"q{number}", "x" * 100_000)
        assert memory.stats().bytes <= 1_000_000
    assert payload(memory, "q0") is not None
    assert payload(memory, "q11") is not None
    assert payload(memory, "q1") is None


def test_what_is_too_large_for_the_whole_is_not_kept(memory: Memory) -> None:
    put(memory, "small")
    assert not put(memory, "large", "x" * 2_000_000)
    assert payload(memory, "small") is not None


def test_figures(memory: Memory) -> None:
    put(memory, "a", took=2.5)
    entry = memory.get_exact("a", "scope")
    memory.looked(entry, "exact")
    memory.looked(entry, "semantic")
    memory.looked(None, None, refused=True)
    stats = memory.stats()
    assert (stats.exact, stats.semantic, stats.misses, stats.refused) == (1, 1, 1, 1)
    assert stats.saved == 5.0
    assert stats.oldest == stats.newest == 1_800_000_000.0
    assert stats.bytes > 0
    entry = memory.get_exact("a", "scope")
    assert entry and entry.hits == 2


def test_clearing_gives_the_disk_back(memory: Memory) -> None:
    for number in range(8):
        put(memory, f"q{number}", "x" * 100_000, "a:1" if number % 2 else "b:1")
    assert memory.clear("a:") == 4
    assert memory.stats().entries == 4
    assert memory.clear() == 4
    assert memory.stats().bytes == 0
    assert sum(file.stat().st_size for file in memory.path.parent.iterdir()) < 100_000


def test_the_file_is_its_owners(memory: Memory) -> None:
    put(memory, "secret")
    assert memory.path.stat().st_mode & 0o077 == 0


def test_near_ones_best_first(memory: Memory) -> None:
    for degrees in (0, 10, 20, 60):
        angle = math.radians(degrees)
        vector = np.array([math.cos(angle), math.sin(angle)], np.float32)
        put(memory, f"q{degrees}", vector=vector, space="e")
    put(memory, "no vector")
    found = memory.near(np.array([1, 0], np.float32), "scope", 0.9, "e")
    assert [near.entry.question for near in found] == ["q0", "q10", "q20"]
    assert found[1].cosine == pytest.approx(math.cos(math.radians(10)), abs=1e-6)
    put(memory, "q10", vector=np.array([0, 1], np.float32), space="e")  # in place of the first one
    found = memory.near(np.array([1, 0], np.float32), "scope", 0.9, "e")
    assert [near.entry.question for near in found] == ["q0", "q20"]


def test_many_scopes_and_many_rows(memory: Memory) -> None:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(300, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for number, vector in enumerate(vectors):
        put(memory, f"q{number}", scope=f"s{number % 10}", vector=vector, space="e")
        if number % 50 == 49:
            for n in range(number):
                (first, *_) = memory.near(vectors[n], f"s{n % 10}", 0.99, "e")
                assert first.entry.question == f"q{n}"


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["question", "payload", "scope", "vector"])
def test_a_damaged_row_is_a_miss_and_goes(memory: Memory, column: str) -> None:
    vector = np.array([1, 0], np.float32)
    put(memory, "질문", "payload", vector=vector, space="e")
    put(memory, "other", "sound", vector=-vector, space="e")
    memory.close()
    value: object = b"\x00" * 8 if column == "vector" else "damaged"
    with sqlite3.connect(memory.path) as db:
        db.execute(f"UPDATE entries SET {column} = ? WHERE question = '질문'", (value,))
    db.close()
    assert payload(memory, "질문") is None
    assert memory.stats().entries == 1
    assert payload(memory, "other") == "sound"


def test_a_damaged_row_is_never_near(memory: Memory) -> None:
    vector = np.array([1, 0], np.float32)
    put(memory, "질문", "payload", vector=vector, space="e")
    memory.close()
    with sqlite3.connect(memory.path) as db:
        db.execute("UPDATE entries SET payload = CAST(x'ff80' AS TEXT)")
    db.close()
    assert memory.near(vector, "scope", 0.5, "e") == []
    assert memory.stats().entries == 0


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough to look at" * 100, b"SQLite format 3\0" * 300]
)
def test_a_damaged_file_is_set_aside(memory: Memory, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    put(memory, "before")
    memory.close()
    memory.path.write_bytes(content)
    for ending in ("-wal", "-shm"):
        Path(f"{memory.path}{ending}").unlink(missing_ok=True)
    assert payload(memory, "before") is None
    assert put(memory, "after")
    assert payload(memory, "after") == "{}"
    assert memory.path.with_name("answers.sqlite.broken-1").read_bytes() == content
    assert len(caplog.records) == 1
    assert "answers.sqlite.broken-1" in caplog.text


def test_damage_in_the_middle_of_the_file(memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(8):
        put(memory, f"q{number}", "x" * 50_000)
    memory.clear("nothing")  # writes the log into the file
    memory.close()
    size = memory.path.stat().st_size
    with memory.path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size // 2))
    for number in range(8):
        assert payload(memory, f"q{number}") in (None, "x" * 50_000)
    assert put(memory, "after")
    assert payload(memory, "after") == "{}"
    assert sum("begins anew" in record.message for record in caplog.records) <= 1


def test_a_file_that_was_taken_away(memory: Memory) -> None:
    vector = np.array([1, 0], np.float32)
    put(memory, "before", vector=vector, space="e")
    assert memory.near(vector, "scope", 0.5, "e")
    for file in memory.path.parent.iterdir():
        file.unlink()
    assert payload(memory, "before") is None
    assert put(memory, "after")
    assert memory.near(vector, "scope", 0.5, "e") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o500)
    try:
        unwilling(Memory(tmp_path / "answers.sqlite", days=30, megabytes=1), caplog)
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_that_can_not_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    unwilling(Memory(tmp_path / "file" / "home" / "answers.sqlite", days=30, megabytes=1), caplog)


def unwilling(memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        assert not put(memory, "질문")
        assert payload(memory, "질문") is None
    assert memory.stats().entries == 0
    assert len(caplog.records) == 1
    assert "cache.mode" in caplog.text


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no small disk to fill: mounting a tmpfs is not permitted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory(small_disk / "answers.sqlite", days=30, megabytes=100)
    assert put(memory, "before", "x" * 10_000)
    kept = [put(memory, f"q{number}", "x" * 50_000) for number in range(20)]
    assert not all(kept)
    assert payload(memory, "before") == "x" * 10_000
    assert len(caplog.records) == 1
    memory.clear()
    memory.close()


def test_a_disk_that_may_only_be_read(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory(small_disk / "answers.sqlite", days=30, megabytes=100)
    assert put(memory, "before")
    memory.close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    unwilling(memory, caplog)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert payload(memory, "before") == "{}"
    assert put(memory, "after")
    memory.close()


def test_another_process_writing_for_long(memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    put(memory, "before")
    other = sqlite3.connect(memory.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert not put(memory, "meanwhile")
    assert payload(memory, "before") == "{}"
    other.execute("ROLLBACK")
    other.close()
    assert put(memory, "after")
    assert not caplog.records


def test_two_processes_at_once(tmp_path: Path) -> None:
    file = tmp_path / "answers.sqlite"
    command = [sys.executable, str(CHILD), str(file)]
    children = [subprocess.Popen([*command, name, "40"], stdout=subprocess.PIPE, text=True) for name in ("a", "b")]
    kept = {
        f"{name} {line.split()[0]}"
        for name, child in zip(("a", "b"), children, strict=True)
        for line in child.communicate(timeout=60)[0].splitlines()
        if line.endswith("True")
    }
    assert all(child.returncode == 0 for child in children)
    memory = Memory(file, days=30, megabytes=200)
    assert memory.stats().entries == len(kept) > 40
    for question in kept:
        assert payload(memory, question) == f"{question} " * 2000
    memory.close()


def test_what_another_process_remembered_is_near(tmp_path: Path) -> None:
    here, there = (Memory(tmp_path / "answers.sqlite", days=30, megabytes=1) for _ in range(2))
    vector = np.array([1, 0], np.float32)
    put(here, "first", vector=-vector, space="e")
    assert here.near(vector, "scope", 0.5, "e") == []
    put(there, "second", vector=vector, space="e")
    assert [near.entry.question for near in here.near(vector, "scope", 0.5, "e")] == ["second"]
    there.clear()
    assert here.near(vector, "scope", 0.5, "e") == []
    here.close()
    there.close()


@pytest.mark.parametrize("after", [1, 7, 20])
def test_a_process_that_is_killed_while_it_writes(tmp_path: Path, after: int, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "answers.sqlite"
    child = subprocess.Popen([sys.executable, str(CHILD), str(file), "q"], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    for _ in range(after):
        child.stdout.readline()
    child.kill()
    told = after + len([line for line in child.stdout.read().splitlines() if line.endswith("True")])
    child.wait()
    child.stdout.close()
    memory = Memory(file, days=30, megabytes=200)
    assert memory.stats().entries in (told, told + 1)
    for number in range(memory.stats().entries):
        assert payload(memory, f"q {number}") == f"q {number} " * 2000
    assert put(memory, "after")
    memory.close()
    assert not caplog.records


def test_threads_at_once(memory: Memory) -> None:
    failed: list[BaseException] = []

    def work(name: int) -> None:
        try:
            vector = np.array([1, 0], np.float32)
            for number in range(30):
                put(memory, f"{name} {number}", f"{name} {number}", vector=vector, space="e")
                assert payload(memory, f"{name} {number}") == f"{name} {number}"
                assert memory.near(vector, "scope", 0.5, "e")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert memory.stats().entries == 120


def test_a_newer_damdas_file_is_left_alone(memory: Memory) -> None:
    put(memory, "question")
    memory.close()
    with sqlite3.connect(memory.path) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    assert payload(memory, "question") == "{}"


# --- answers ---------------------------------------------------------------------------------------------------------


texts = st.text(max_size=8)
numbers = st.floats(allow_infinity=False, width=32)
spans = st.tuples(st.integers(0, 99), st.integers(0, 99))
quotes = st.builds(
    Quote, texts, texts, st.integers(0), st.integers(0), texts, texts, texts, st.none() | st.integers(1),
    st.none() | spans, texts,
)  # fmt: skip
chunks = st.builds(Chunk, texts, texts, texts, st.integers(0), st.integers(0), texts, texts, texts, texts)
hits = st.builds(Hit, chunks, numbers, texts, numbers, numbers)
verdicts = st.builds(
    Verdict, st.sampled_from(["allow", "flag", "redact", "block"]), texts,
    st.lists(st.builds(Found, texts, st.integers(0), st.integers(0)), max_size=2).map(tuple), numbers, texts,
    st.sampled_from(["question", "passage", "answer"]),
)  # fmt: skip
answers = st.builds(
    Answer, texts, st.booleans(), st.lists(quotes, max_size=2).map(tuple), st.lists(hits, max_size=2).map(tuple),
    st.lists(texts, max_size=2).map(tuple), st.builds(Usage, st.integers(0), st.integers(0)), texts,
    st.lists(verdicts, max_size=2).map(tuple),
)  # fmt: skip


@given(answers)
def test_an_answer_comes_back_as_it_was(answer: Answer) -> None:
    text = answer_to_text(replace(answer, cached="exact", cached_for="other", trace_id="old"))
    text.encode()  # any file takes it
    assert repr(answer_from_text(text)) == repr(answer)  # by repr, for NaN is not equal to itself


class Judge:
    """Questions with different digits differ; each word that only one has weighs a hundredth."""

    def agree(self, asked: str, earlier: str) -> str:
        digits = [{c for c in text if c.isdigit()} for text in (asked, earlier)]
        return "" if digits[0] == digits[1] else "number"

    def penalty(self, asked: str, earlier: str) -> float:
        return 0.01 * len(set(asked.split()) ^ set(earlier.split()))


class Words:
    """An encoder of words: texts with the same words, in any order, have the same vector."""

    id = "words"
    dim = 64

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        assert kind == "query"
        self.calls += 1
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            for word in text.split():
                vectors[row, sum(word.encode()) % self.dim] += 1
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [1 for _ in texts]


def test_exact_only_without_an_encoder(memory: Memory) -> None:
    cache: Cache = AnswerCache(memory)
    assert cache.get("환불 되나요?", "s") is None
    cache.put("환불 되나요?", "s", Answer("네", trace_id="first"))
    found = cache.get("환불  되나요", "s")
    assert found == Answer("네", cached="exact")
    assert cache.get("환불 되나요?", "other scope") is None
    assert cache.get("환불 되나요? 안 되나요?", "s") is None


def test_a_question_that_means_the_same(memory: Memory) -> None:
    encoder = Words()
    cache = AnswerCache(memory, encoder, Judge(), 0.9)
    assert cache.get("a b c 1", "s") is None
    cache.put("a b c 1", "s", Answer("one"))
    found = cache.get("1 c b a", "s")
    assert found == Answer("one", cached="semantic", cached_for="a b c 1")
    assert cache.get("1 c b a", "other scope") is None
    assert cache.get("a b c 2", "s") is None, "the judge says no"
    stats = memory.stats()
    assert (stats.semantic, stats.misses) == (1, 2)


def test_the_judge_is_asked_about_the_next_one_too(memory: Memory) -> None:
    cache = AnswerCache(memory, Words(), Judge(), 0.5)
    for question in ("a b c 1", "a b c 2"):
        cache.put(question, "s", Answer(question))
    found = cache.get("c a b 2", "s")
    assert found is not None and found.text == "a b c 2"


def test_a_question_is_encoded_once(memory: Memory) -> None:
    encoder = Words()
    cache = AnswerCache(memory, encoder, Judge(), 0.9)
    cache.get("first", "s")
    before = encoder.calls
    cache.put("first", "s", Answer("one"))
    assert encoder.calls == before
    cache.get("first", "s")
    assert encoder.calls == before, "an exact hit needs no vector"


def test_what_was_remembered_is_not_remembered_again(memory: Memory) -> None:
    cache = AnswerCache(memory, Words(), Judge(), 0.9)
    cache.put("a b", "s", Answer("one"))
    found = cache.get("b a", "s")
    assert found
    cache.put("b a", "s", found)
    assert memory.stats().entries == 1


def test_an_empty_question_is_not_remembered(memory: Memory) -> None:
    cache = AnswerCache(memory)
    for question in ("", " ", "\n"):
        cache.put(question, "s", Answer("nothing"))
        assert cache.get(question, "s") is None


def test_another_versions_payload_is_a_miss(memory: Memory) -> None:
    cache = AnswerCache(memory)
    put(memory, "질문", json.dumps({"text": "no answer of ours"}), "answer:s")
    assert cache.get("질문", "s") is None
    cache.put("질문", "s", Answer("new"))
    assert cache.get("질문", "s") == Answer("new", cached="exact")


class Broken(FakeEncoder):
    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        raise EncoderError("the encoder's server is away")


def test_an_encoder_that_fails_stops_no_answer(memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    cache = AnswerCache(memory, Broken(), Judge(), 0.9)
    assert cache.get("질문", "s") is None
    cache.put("질문", "s", Answer("답"))
    assert cache.get("질문", "s") == Answer("답", cached="exact")
    assert cache.get("다른 질문", "s") is None
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert len(caplog.records) <= 2


def test_vectors_of_two_encoders_are_not_mixed(memory: Memory) -> None:
    first, second = FakeEncoder("one"), FakeEncoder("two")
    AnswerCache(memory, first, Judge(), 0.1).put("a 1", "s", Answer("one"))
    other = AnswerCache(memory, second, Judge(), 0.0)
    for n in range(20):
        assert other.get(f"{'b' * n} 1", "s") is None


def test_texts_of_a_language_model(memory: Memory) -> None:
    cache = TextCache(memory, Words(), Judge(), 0.9)
    assert cache.get("hello a", "s") is None
    cache.put("hello a", "s", "Hi.", "length", Usage(3, 4))
    assert cache.get("hello a", "s") == ("Hi.", "length", Usage(3, 4), "exact", "")
    assert cache.get("a hello", "s") == ("Hi.", "length", Usage(3, 4), "semantic", "hello a")
    assert AnswerCache(memory).get("hello a", "s") is None, "a text is no answer, even in one scope"


def test_half_characters_do_no_harm(memory: Memory) -> None:
    cache = AnswerCache(memory, FakeEncoder(), Judge())
    cache.put("무엇 \udcff?", "s", Answer("답 \udcff"))
    assert cache.get("무엇 \udcff?", "s") == Answer("답 \udcff", cached="exact")
    texts = TextCache(memory)
    texts.put("무엇 \udcff?", "s", "답 \udcff", "stop", Usage())
    assert texts.get("무엇 \udcff?", "s") == ("답 \udcff", "stop", Usage(), "exact", "")


def test_the_scale_of_likeness() -> None:
    assert likeness(0.785, 0.785) == 0
    assert likeness(1.0, 0.785) == 1
    assert abs(unrelated(FakeEncoder(dim=64))) < 0.2
