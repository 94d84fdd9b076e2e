"""`damda generate`: OpenAI's batch files in and out, killed, interrupted, short of room, twice at once, fed garbage."""

import base64
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeEncoder, Opener, until, use_fakes
from generate_child import Echo, llms, models
from typer.testing import CliRunner, Result

from damda.assemble import models as made
from damda.cli import commands
from damda.errors import BusyError, ConfigError, ReadError, StoreError, UnreachableError
from damda.serve import batchfile, offline
from damda.types import Delta

CHILD = Path(__file__).with_name("generate_child.py")
app = commands()


def chat(text: str, model: str = "llm", **more: object) -> dict[str, object]:
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    return {"method": "POST", "url": "/v1/chat/completions", "body": body}


def completion(prompt: str, model: str = "llm", **more: object) -> dict[str, object]:
    return {"method": "POST", "url": "/v1/completions", "body": {"model": model, "prompt": prompt, **more}}


def embeddings(texts: Sequence[str], model: str = "fake", **more: object) -> dict[str, object]:
    return {"method": "POST", "url": "/v1/embeddings", "body": {"model": model, "input": texts, **more}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def put(folder: Path, *requests: dict[str, object], **named: dict[str, object]) -> Path:
    """A file of requests; those without a name are called r0, r1, ..."""
    rows = [{"custom_id": f"r{n}", **request} for n, request in enumerate(requests)]
    rows += [{"custom_id": name, **request} for name, request in named.items()]
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def run(path: Path, answering: offline.Models | None = None, **more: Any) -> offline.Summary:  # noqa: ANN401
    return offline.run(batchfile.read(path), answering or models(), path.with_name("out.jsonl"), **more)


def lines(path: Path) -> dict[str, dict[str, Any]]:
    """Answers by custom_id; every line must be whole, and every id there once."""
    text = path.read_bytes()
    assert text == b"" or text.endswith(b"\n")
    rows = [json.loads(line) for line in text.split(b"\n")[:-1]]
    by_id = {row["custom_id"]: row for row in rows}
    assert len(by_id) == len(rows)
    return by_id


def out(folder: Path) -> dict[str, dict[str, Any]]:
    return lines(folder / "out.jsonl")


def body(folder: Path, custom_id: str = "r0") -> dict[str, Any]:
    answer: dict[str, Any] = out(folder)[custom_id]["response"]["body"]
    return answer


# --- the format


def test_a_line_has_openais_fields(folder: Path) -> None:
    summary = run(put(folder, chat("안녕?")))
    row = out(folder)["r0"]
    assert list(row) == ["id", "custom_id", "response", "error"] and row["error"] is None
    assert row["id"].startswith("batch_req_") and row["response"]["request_id"].startswith("req_")
    assert row["response"]["status_code"] == 200
    answer = row["response"]["body"]
    assert answer["object"] == "chat.completion" and answer["model"] == "llm"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "안녕?", "refusal": None}
    assert answer["usage"] == {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
    assert (summary.requests, summary.answered, summary.failed, summary.left) == (1, 1, 0, 0)
    assert (summary.usage.prompt_tokens, summary.usage.completion_tokens) == (1, 3)


def test_completions_and_their_limits(folder: Path) -> None:
    run(put(folder, completion("abcdef", max_tokens=3), chat("abcdef", max_completion_tokens=2)))
    assert body(folder)["object"] == "text_completion"
    assert (body(folder)["choices"][0]["text"], body(folder)["choices"][0]["finish_reason"]) == ("abc", "length")
    assert body(folder, "r1")["choices"][0]["message"]["content"] == "ab"


def test_embeddings(folder: Path) -> None:
    run(put(folder, embeddings(["가", "나"]), embeddings(["가", "나"], encoding_format="base64")))
    expected = FakeEncoder().encode(["가", "나"], kind="passage")
    plain = [row["embedding"] for row in body(folder)["data"]]
    assert np.allclose(plain, expected)
    packed = [np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in body(folder, "r1")["data"]]
    assert np.array_equal(packed, expected)


class Kinds(FakeEncoder):
    def encode(self, texts: Sequence[str], *, kind: Any) -> Any:  # noqa: ANN401
        return super().encode([f"{kind} {text}" for text in texts], kind=kind)


@pytest.mark.parametrize(
    ("model", "more", "kind"),
    [
        ("fake", {}, "passage"),
        ("fake:query", {}, "query"),
        ("fake:passage", {}, "passage"),
        ("fake", {"input_type": "query"}, "query"),
        ("fake", {"input_type": "document"}, "passage"),
    ],
)
def test_embeddings_of_questions_and_of_passages(folder: Path, model: str, more: dict[str, object], kind: Any) -> None:  # noqa: ANN401
    run(put(folder, embeddings(["x"], model, **more)), replace(models(), encoder=Kinds()))
    assert np.allclose(body(folder)["data"][0]["embedding"], FakeEncoder().encode([f"{kind} x"], kind="passage")[0])


def test_answers_from_documents(folder: Path, open_fake: Opener) -> None:
    documents = folder / "docs"
    documents.mkdir()
    (documents / "leave.md").write_text("# Leave\n\nLeave is 15 days a year.\n\nLaptops are lent.\n", encoding="utf-8")
    kb = open_fake(documents, settings={"answer.threshold": 0.0})
    kb.sync()
    question = "Leave is how many days"
    asked = put(
        folder,
        chat(question, "damda"),
        chat(question, "damda", damda={"footnotes": False}),
        completion(question, "damda"),
        chat(question, "damda", damda={"where": {"source": "none.md"}}),
    )
    run(asked, replace(models(), kb=kb, encoder=kb.encoder))
    given, plain, text, nothing = (body(folder, f"r{n}") for n in range(4))
    (quote, *_) = given["damda"]["quotes"]
    document = kb.document(quote["doc_id"], kb.search(question)[0].chunk.version)
    assert document is not None and document.text[quote["start"] : quote["end"]] == quote["text"]
    assert quote["n"] == 1 and given["damda"]["found"] is True
    assert "[^1]: “" in given["choices"][0]["message"]["content"]
    assert (
        "[^1]" not in plain["choices"][0]["message"]["content"] and plain["damda"]["quotes"] == given["damda"]["quotes"]
    )
    assert (
        text["choices"][0]["text"] == given["choices"][0]["message"]["content"]
        and {**text["damda"], "cached": ""} == given["damda"]
    )
    assert nothing["damda"]["found"] is False


# --- requests that fail


def test_failed_requests_say_what_a_server_would(folder: Path) -> None:
    asked = put(folder, chat("hi", "gpt-4o-mini"), chat("hi", n=2), chat(" "), embeddings(["x"], "other"), chat("ok"))
    summary = run(asked)
    rows = out(folder)
    assert [rows[f"r{n}"]["response"]["status_code"] for n in range(5)] == [404, 400, 400, 404, 200]
    for n in range(4):
        said = rows[f"r{n}"]["response"]["body"]["error"]
        assert rows[f"r{n}"]["error"] == {"code": said["code"], "message": said["message"]}
    assert rows["r0"]["error"] == {"code": "model_not_found", "message": "no model 'gpt-4o-mini'; there are: llm"}
    assert summary.failed == 4 and len(summary.failures) == 4
    assert any(failure.startswith("line 1 (r0): 404 no model") for failure in summary.failures)


def test_always_one_model(folder: Path) -> None:
    run(put(folder, chat("hi", "gpt-4o-mini"), embeddings(["x"])), replace(models(), always="llm"))
    assert body(folder)["model"] == "llm" and body(folder, "r1")["object"] == "list"


class Broken(Echo):
    """Fails in the middle of a prompt with FAIL in it."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error, self.asked = error, 0

    def complete(
        self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, stop: Sequence[str] = ()
    ) -> Iterator[Delta]:
        self.asked += 1
        yield Delta("half")
        if "FAIL" in prompt:
            raise self.error
        yield Delta(finish="stop")


def test_what_failed_is_tried_again_and_what_was_answered_is_not(folder: Path) -> None:
    asked = put(folder, *(chat(f"{n} {'FAIL' if n % 3 == 0 else ''}") for n in range(9)))
    broken = Broken(UnreachableError("no connection to http://llm.test"))
    assert run(asked, replace(models(), llms=llms(broken))).failed == 3
    assert out(folder)["r0"]["response"]["status_code"] == 504 and len(out(folder)) == 9
    summary = run(asked)
    assert (summary.before, summary.answered, summary.failed) == (6, 3, 0)
    assert {row["response"]["status_code"] for row in out(folder).values()} == {200} and len(out(folder)) == 9
    assert run(asked, replace(models(), llms=llms(broken))).before == 9 and broken.asked == 9


def test_errors_in_a_file_of_their_own(folder: Path) -> None:
    asked, failed = put(folder, chat("ok"), chat("hi", "gpt")), folder / "failed.jsonl"
    for _ in range(2):
        run(asked, errors=failed)
        assert set(out(folder)) == {"r0"} and set(lines(failed)) == {"r1"}
    run(asked, replace(models(), always="llm"), errors=failed)
    assert set(out(folder)) == {"r0", "r1"} and lines(failed) == {}


def test_a_file_of_answers_is_no_file_for_errors(folder: Path) -> None:
    asked = put(folder, chat("ok"))
    run(asked)
    before = (folder / "out.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="line 1 is an answer.*--errors"):
        offline.run(batchfile.read(asked), models(), folder / "other.jsonl", folder / "out.jsonl")
    assert (folder / "out.jsonl").read_bytes() == before


def test_a_model_that_is_gone_ends_the_run(folder: Path) -> None:
    asked = put(folder, chat("fine"), *(chat(f"FAIL {n}") for n in range(200)))
    broken = Broken(UnreachableError("no connection to http://llm.test"))
    with pytest.raises(UnreachableError, match="10 requests in a row failed.*no connection.*run again"):
        run(asked, replace(models(), llms=llms(broken)))
    assert broken.asked < 30 and out(folder)["r0"]["response"]["status_code"] == 200


def test_requests_that_are_wrong_themselves_do_not_end_it(folder: Path) -> None:
    asked = put(folder, *(chat("hi", "gpt") for _ in range(30)), last=chat("fine"))
    assert (run(asked).failed, out(folder)["last"]["response"]["status_code"]) == (30, 200)


def test_a_defect_costs_one_request(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(put(folder, chat("FAIL"), chat("fine")), replace(models(), llms=llms(Broken(ZeroDivisionError()))))
    assert out(folder)["r0"]["response"]["status_code"] == 500 and out(folder)["r1"]["response"]["status_code"] == 200
    assert "ZeroDivisionError" in caplog.text


# --- garbage


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{not json", "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"method": "POST", "url": "/v1/completions", "body": {}}', "no custom_id"),
        ('{"custom_id": 7, "method": "POST", "url": "/v1/completions", "body": {}}', "no custom_id"),
        ('{"custom_id": "\\ud83d", "method": "POST", "url": "/v1/completions", "body": {}}', "half a character"),
        ('{"custom_id": "a", "method": "GET", "url": "/v1/completions", "body": {}}', "method must be"),
        ('{"custom_id": "a", "method": "POST", "url": "/v1/images", "body": {}}', "url must be one of /v1/chat"),
        ('{"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": "x"}', "body must be an object"),
        ('{"custom_id": "r0", "method": "POST", "url": "/v1/completions", "body": {}}', "is that of line 1 too"),
        ("\x00\x00", "not JSON"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_line_stops_everything_before_it_starts(folder: Path, line: str, said: str) -> None:
    asked = put(folder, chat("hi"))
    with asked.open("a") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(ReadError) as caught:
        batchfile.read(asked)
    message = str(caught.value)
    assert message.startswith(f"{asked}, line 3: ") and said in message and "\n" not in message
    with asked.open("a") as file:
        file.write("{}\n{}\n")
    with pytest.raises(ReadError, match=r"line 3: .* \(and 2 more lines that can't be used\)"):
        batchfile.read(asked)


def test_no_requests_and_no_file(folder: Path) -> None:
    (folder / "empty.jsonl").write_text("\n\n")
    with pytest.raises(ReadError, match="has no requests"):
        batchfile.read(folder / "empty.jsonl")
    with pytest.raises(ReadError, match=r"none.jsonl: No such file"):
        batchfile.read(folder / "none.jsonl")


def test_any_text_survives(folder: Path) -> None:
    texts = ['한글과 漢字 🙂 \u2028 \u0085 \x00 \\ "', "e\u0301", "\ufeffx", "a\r\nb", "끝"]
    asked = put(folder, *(completion(text) for text in texts))
    asked.write_bytes(b"\xef\xbb\xbf" + asked.read_bytes().replace(b"\n", b"\r\n"))
    run(asked)
    assert [body(folder, f"r{n}")["choices"][0]["text"] for n in range(len(texts))] == texts


def test_half_a_character_that_a_model_made(folder: Path) -> None:
    class Half(Echo):
        def complete(
            self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, stop: Sequence[str] = ()
        ) -> Iterator[Delta]:
            yield Delta("\ud83d", finish="stop")

    run(put(folder, chat("hi")), replace(models(), llms=llms(Half())))
    assert body(folder)["choices"][0]["message"]["content"] == "\ud83d"


# --- the file of answers


def test_a_torn_line_is_dropped_and_done_again(folder: Path) -> None:
    asked = put(folder, chat("one"), chat("two"))
    run(asked)
    whole = (folder / "out.jsonl").read_bytes()
    first, second = whole.splitlines(keepends=True)
    for keep in (1, 10, 30, len(second) - 1):
        (folder / "out.jsonl").write_bytes(first + second[:keep])
        assert (run(asked).answered, set(out(folder))) == (1, {"r0", "r1"})
        assert (folder / "out.jsonl").read_bytes().startswith(first)


@pytest.mark.parametrize("text", ["my notes\n", "my notes", '{"id": 1}\n', '{"custom_id": "r0", "response": null}\n'])
def test_a_file_of_something_else_is_left_alone(folder: Path, text: str) -> None:
    asked = put(folder, chat("one"))
    (folder / "out.jsonl").write_text(text)
    with pytest.raises(ConfigError, match="out.jsonl, line 1: no answer.*--out"):
        run(asked)
    assert (folder / "out.jsonl").read_text() == text


def test_answers_to_other_requests(folder: Path) -> None:
    run(put(folder, chat("one"), chat("two")))
    before = (folder / "out.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="line 1 answers another request that was called 'r0' too"):
        run(put(folder, chat("something else")))
    with pytest.raises(ConfigError, match="has answers to other requests, none to these"):
        run(put(folder, x=chat("one")))
    assert (folder / "out.jsonl").read_bytes() == before
    more = run(put(folder, chat("one"), x=chat("new")))  # r1 was taken out of the requests, x is new
    assert (more.foreign, more.before, more.answered) == (1, 1, 1) and set(out(folder)) == {"r0", "r1", "x"}


def test_two_runs_at_once(folder: Path) -> None:
    asked = put(folder, chat("one"))
    with batchfile.answers(folder / "out.jsonl", batchfile.read(asked)):
        with pytest.raises(BusyError, match="another run is writing to"):
            run(asked)
    assert run(asked).answered == 1


def test_limit(folder: Path) -> None:
    asked = put(folder, *(chat(str(n)) for n in range(5)))
    assert [(s.answered, s.before, s.left) for s in (run(asked, limit=2) for _ in range(3))] == [
        (2, 0, 3),
        (2, 2, 1),
        (1, 4, 0),
    ]


def test_so_many_at_once_as_there_are_slots(folder: Path) -> None:
    """Each waits until three have begun: fewer threads would never meet, and more would be seen inside at once."""
    meeting, most, inside = threading.Barrier(3, timeout=20), [0], [0]
    lock = threading.Lock()

    class Meeting(Echo):
        def complete(
            self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, stop: Sequence[str] = ()
        ) -> Iterator[Delta]:
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            meeting.wait()
            with lock:
                inside[0] -= 1
            yield Delta("met", finish="stop")

    run(put(folder, *(chat(str(n)) for n in range(9))), replace(models(), llms=llms(Meeting())), at_once=3)
    assert most[0] == 3 and len(out(folder)) == 9


def test_a_thousand(folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    asked = put(folder, *(chat(f"질문 {n}") for n in range(1000)))
    summary = run(asked, at_once=4, progress=lambda what, done, total: told.append((what, done, total)))
    assert summary.answered == 1000 and told == [("answering", n, 1000) for n in range(1001)]
    assert {key: content(row) for key, row in out(folder).items()} == {f"r{n}": f"질문 {n}" for n in range(1000)}


# --- killed, interrupted, no room


def said_enough(child: "subprocess.Popen[bytes]", log: Path, wanted: int) -> bool:
    return log.read_bytes().count(b"\n") >= wanted or child.poll() is not None


def content(row: dict[str, Any]) -> str:
    return str(row["response"]["body"]["choices"][0]["message"]["content"])


def test_killed_again_and_again(folder: Path) -> None:
    asked = put(folder, *(chat(f"{n} " + "글" * 3000, max_tokens=9999) for n in range(120)))
    chance, promised, killed = random.Random(3), set[str](), 0
    for turn in range(40):
        log = folder / f"said{turn}"
        with log.open("wb") as said:
            child = subprocess.Popen(
                [sys.executable, str(CHILD), str(asked), str(folder / "out.jsonl"), "0.01", "3"], stdout=said
            )
        until(partial(said_enough, child, log, chance.randint(1, 30)))
        child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
        new = set(log.read_text().split("\n")[:-1])
        assert not new & promised, "what was answered is not asked again"
        promised |= new
        text = (folder / "out.jsonl").read_bytes()
        stored = {json.loads(line)["custom_id"] for line in text.split(b"\n")[:-1]}
        assert promised <= stored, "what was reported as answered is there"
        promised = stored
        if len(stored) == 120:
            break
    assert killed > 3
    assert run(asked).before + run(asked).answered == 120
    assert {key: content(row).split()[0] for key, row in out(folder).items()} == {f"r{n}": str(n) for n in range(120)}


def test_interrupted(folder: Path) -> None:
    asked = put(folder, *(chat(str(n)) for n in range(400)))
    command = [sys.executable, str(CHILD), "command", "--in", str(asked), "--out", str(folder / "out.jsonl")]
    child = subprocess.Popen([*command, "-g", "remote"], stderr=subprocess.PIPE, cwd=folder)
    until(lambda: (folder / "out.jsonl").is_file() and (folder / "out.jsonl").stat().st_size > 1000)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130 and "interrupted; what was stored stays" in said.decode()
    stored = len(out(folder))
    assert 0 < stored < 400
    assert (run(asked).before, len(out(folder))) == (stored, 400)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no small disk to fill: mounting a tmpfs is not permitted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk(folder: Path, small_disk: Path) -> None:
    asked = put(folder, *(chat(f"{n} " + "word " * 800, max_tokens=9999) for n in range(40)))
    target = small_disk / "out.jsonl"
    with pytest.raises(StoreError) as caught:
        offline.run(batchfile.read(asked), models(), target, at_once=2)
    assert "make room and run again" in str(caught.value) and "\n" not in str(caught.value)
    stored = lines(target)
    assert 3 < len(stored) < 40
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    assert offline.run(batchfile.read(asked), models(), target).before == len(stored)
    assert len(lines(target)) == 40


def test_a_write_that_fails_half_way_leaves_no_half_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = put(folder, chat("one"), chat("two"))
    real, calls = os.write, [0]

    def half(fd: int, text: bytes) -> int:
        calls[0] += 1
        if calls[0] == 3:
            raise OSError(28, "No space left on device")
        return real(fd, text[: len(text) // 2] if calls[0] == 2 else text)

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(StoreError, match="No space left"):
        run(asked)
    assert len(out(folder)) == 1


# --- the command


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fakes(monkeypatch.setattr, FakeEncoder())
    monkeypatch.setattr(made, "make_writer", lambda settings: Echo())


def damda(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["generate", *map(str, words)])


def test_the_command(folder: Path, fakes: None) -> None:
    asked, target = put(folder, chat("one"), embeddings(["x"], "e5-small-koen")), folder / "out.jsonl"
    first = damda("--in", asked, "--out", target, "-g", "llama")
    assert first.exit_code == 0 and "2 answered; " in first.stderr and first.stdout == ""
    again = damda("--in", asked, "--out", target, "-g", "llama", "--json")
    told = json.loads(again.stdout)
    assert (told["requests"], told["before"], told["answered"], told["failed"], told["left"]) == (2, 2, 0, 0, 0)
    silent = damda("--in", asked, "--out", target, "--quiet")
    assert (silent.exit_code, silent.stdout, silent.stderr) == (0, "", "")


def test_failed_requests_have_an_exit_code_of_their_own(folder: Path, fakes: None) -> None:
    asked = put(folder, chat("one"), chat("two", "gpt"))
    result = damda("--in", asked, "--out", folder / "out.jsonl", "-g", "llama")
    assert result.exit_code == 6
    assert "1 answered, 1 failed" in result.stderr and "line 2 (r1): 404 no model 'gpt'" in result.stderr
    assert damda("--in", asked, "--out", folder / "out.jsonl", "-g", "llama", "--model", "llm").exit_code == 0


def test_the_command_with_a_folder(folder: Path, fakes: None) -> None:
    documents = folder / "docs"
    documents.mkdir()
    (documents / "leave.md").write_text("Leave is 15 days a year.\n", encoding="utf-8")
    asked = put(folder, chat("Leave is how many days", "damda"))
    result = damda(documents, "--in", asked, "--out", folder / "out.jsonl", "--set", "answer.threshold=0")
    assert result.exit_code == 0, result.output
    assert body(folder)["damda"]["quotes"][0]["source"] == "leave.md"


def test_wrong_usage(folder: Path, fakes: None) -> None:
    asked = put(folder, chat("one"))
    before = asked.read_bytes()
    (folder / "link.jsonl").symlink_to(asked)
    for target in (asked, folder / "link.jsonl", folder / "." / "in.jsonl"):
        assert damda("--in", asked, "--out", target).exit_code == 2
        assert damda("--in", asked, "--out", folder / "out.jsonl", "--errors", target).exit_code == 2
    assert damda("--in", asked, "--out", folder / "o", "--errors", folder / "o").exit_code == 2
    assert isinstance(damda("--in", asked, "--out", folder).exception, ConfigError)
    assert asked.read_bytes() == before
    nobody = damda("--in", asked, "--out", folder / "out.jsonl")  # extract writes no text of its own
    assert nobody.exit_code == 6 and "give a folder, or --generator llama or remote" in nobody.stderr
