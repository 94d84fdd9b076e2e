"""damda before a real `vllm serve`, where vLLM is installed: `pytest -m vllm`.

The model is VLLM_MODEL, else a tiny one with random weights. vLLM wants an environment of its own, so it is looked for
among the programs, not among the modules.
"""

import json
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fakes import until
from tracing_fixtures import Start, latest, steps

from damda import trace
from damda.cli import commands
from damda.generate.remote import Remote
from damda.settings import RemoteSettings
from damda.types import Delta, Message

PROGRAM = shutil.which("vllm")
pytestmark = [pytest.mark.vllm, pytest.mark.skipif(PROGRAM is None, reason="vllm is not installed")]

CONTEXT, BLOCK = 512, 128
"""Tokens of a request; tokens that vLLM keeps or reads together on a CPU."""

ASKED = [Message("user", " ".join(f"t{n % 12}w{n % 8}" for n in range(3 * BLOCK)))]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if given := os.environ.get("VLLM_MODEL"):
        return Path(given)
    pytest.importorskip("torch", reason="a tiny model needs the extra tune; or give VLLM_MODEL")
    from tiny_models import llama

    return llama(
        tmp_path_factory.mktemp("vllm") / "tiny",
        chats=True,
        hidden_size=128,
        intermediate_size=256,
        max_position_embeddings=CONTEXT,
    )


@pytest.fixture(scope="module")
def url(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert PROGRAM
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [PROGRAM, "serve", str(model), "--host", "127.0.0.1", "--port", str(port), "--max-model-len", f"{CONTEXT}"]
    words += ["--enable-prefix-caching", "--enable-prompt-tokens-details", "--served-model-name", "m", "--seed", "0"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    log = tmp_path_factory.mktemp("log") / "vllm"
    with log.open("wb") as said:
        process = subprocess.Popen(words, stdout=said, stderr=subprocess.STDOUT, env=environment)
    try:
        until(lambda: process.poll() is not None or _answers(port), 600)
        assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")[-3000:]
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def remote(url: str) -> Iterator[Remote]:
    made = Remote(RemoteSettings(url=url))
    yield made
    made.close()


def text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def test_it_is_asked_as_any_server(remote: Remote) -> None:
    assert remote.id.startswith("remote:m@"), "its only model is found by itself"
    deltas = list(remote.stream(ASKED, max_tokens=12))
    assert text(deltas) == text(list(remote.stream(ASKED, max_tokens=12))), "greedy"
    usage = deltas[-1].usage
    assert usage and usage.prompt_tokens > 3 * BLOCK and 0 < usage.completion_tokens <= 12
    assert deltas[-1].finish in ("stop", "length")
    assert text(list(remote.complete("t1w1 t2w2 t3w3", max_tokens=4)))


def test_a_stream_that_is_given_up_leaves_it_working(remote: Remote) -> None:
    stream = remote.stream(ASKED, max_tokens=40)
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # a generator
    assert text(list(remote.stream(ASKED, max_tokens=4)))


def test_what_it_had_read_before_stands_in_the_trace(remote: Remote, tmp_path: Path, start: Start) -> None:
    start(tmp_path)
    for _ in range(2):
        with trace.generation(ASKED, 4, 0.0, model=lambda: remote.id) as step:
            for delta in step.steps(remote.stream(ASKED, max_tokens=4)):
                step.took(delta)
    (made,) = steps(latest(tmp_path))
    assert made.attributes["gen_ai.usage.cache_read.input_tokens"] >= BLOCK, (
        "blocks of a known prompt are not read again"
    )


def test_it_knows_every_option_that_damda_plan_gives_it(model: Path) -> None:
    from typer.testing import CliRunner

    assert PROGRAM
    known = subprocess.run([PROGRAM, "serve", "--help=all"], capture_output=True, text=True, timeout=300).stdout
    commanded = set[str]()
    for device, *more in (["H100"], ["L4"], ["T4", "--kv", "fp8"], ["A10", "--method", "nf4"]):
        done = CliRunner().invoke(
            commands(), ["plan", str(model), "--context", "128", "--json", "--device", device, *more]
        )
        assert done.exit_code == 0, done.output
        commanded |= {word for word in shlex.split(json.loads(done.stdout)["fits"][0]["vllm"]) if word.startswith("--")}
    assert {"--max-num-seqs", "--speculative-config", "--kv-cache-dtype", "--quantization"} <= commanded
    assert not {option for option in commanded if option not in known}
