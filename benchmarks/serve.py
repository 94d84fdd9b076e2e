"""`damda serve` under load, and beside a plain server over the same encoder weights in the same run.

python benchmarks/serve.py DATASET [--documents N] [--seconds S] [--peer PYTHON] [--infinity PYTHON] [--minutes M]

DATASET: a folder in BEIR layout. Requests come from threads of this process over loopback, each over a connection of
its own, one after another; every level of load is bounded in time. PYTHON: an interpreter of an environment with torch,
sentence-transformers, fastapi and uvicorn (peers/encoder.txt pins the first two); the two servers then take turns, and
the figures to quote are the ratios. The same for embeddings with infinity-emb[server,torch]. M: minutes of mixed load
during which memory is watched.
"""

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import machine
import numpy as np
import watch

from damda.measure.corpus import drawn
from damda.measure.dataset import questions, write_lines
from damda.tune.backbone import write_e5

LEVELS = (1, 8, 32, 128)
CHARACTERS = 200
EXAMPLES = Path(__file__).parents[1] / "examples"
REPEATS = 3
Request = tuple[str, Mapping[str, object]]


@dataclass
class Load:
    """What became of the requests of one level."""

    concurrent: int
    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def row(self) -> dict[str, Any]:
        """Figures; 429 is no error: it says "later", and the client does as it says."""
        good, later = self.statuses[200], self.statuses[429]
        quantiles = [round(1000 * float(t), 1) for t in np.percentile(self.times or [0.0], (50, 95, 99))]
        return {
            "concurrent": self.concurrent,
            "a_second": round(good / self.seconds, 1),
            **dict(zip(("p50_ms", "p95_ms", "p99_ms"), quantiles, strict=True)),
            "answered": good,
            "told_to_come_later": later,
            "errors": self.statuses.total() - good - later,
        }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("dataset", type=Path)
    arguments.add_argument("--documents", type=int, default=2000)
    arguments.add_argument("--seconds", type=float, default=15)
    arguments.add_argument("--peer", help="an interpreter with sentence-transformers and fastapi")
    arguments.add_argument("--infinity", help="an interpreter with infinity-emb")
    arguments.add_argument("--minutes", type=float, default=0)
    given = arguments.parse_args()
    asked = [question.text for question in questions(given.dataset)][:500]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        texts = _corpus(given.dataset, given.documents, work)
        with damda(work, work / "documents") as server:
            result: dict[str, Any] = {"documents": len(texts), "seconds_a_level": given.seconds}
            for what, make in {"searches": search, "answers": answer}.items():
                loads = [load(server.port, n, given.seconds, make, asked) for n in LEVELS]
                result[what] = [one.row() for one in loads]
                _print(what, result[what])
            if given.peer:
                with peer(given.peer, work) as other:
                    result["beside_sentence_transformers"] = beside(server.port, other, given.seconds, asked, texts)
            if given.infinity:
                with infinity(given.infinity, work) as other:
                    result["beside_infinity"] = beside(server.port, other, given.seconds, [], texts)
            if given.minutes:
                result["memory"] = memory(server, 60 * given.minutes, asked)
                print(json.dumps(result["memory"]))
        with damda(work, EXAMPLES / "documents") as server:
            asked = [json.loads(line)["text"] for line in (EXAMPLES / "questions.jsonl").open(encoding="utf-8")]
            load(server.port, 1, given.seconds, answer, asked)
            rows = [load(server.port, n, given.seconds, answer, asked).row() for n in LEVELS]
            result["few_documents"] = {"documents": 26, "answers": rows}
            _print("answers from few documents", rows)
    machine.save("serve", result | {"at_8": at_8(result)})


def at_8(result: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a summary: with eight clients."""
    row = next(row for row in result["searches"] if row["concurrent"] == 8)
    shown = {"searches_a_second": row["a_second"], "search_p95_ms": row["p95_ms"]}
    if beside := result.get("beside_sentence_transformers"):
        shown["embeddings_over_plain_server"] = beside[0]["ratio"]
    return shown


def _corpus(dataset: Path, most: int, work: Path) -> list[str]:
    lines = (dataset / "corpus.jsonl").read_text(encoding="utf-8").split("\n")
    rows = {row["id"]: row for row in (json.loads(line) for line in lines if line.strip())}
    kept = drawn(rows, set(), most)
    (work / "documents").mkdir()
    write_lines(work / "documents" / "corpus.jsonl", kept.values())
    texts = [row["text"] for row in kept.values()]
    (work / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    return texts


# --- requests --------------------------------------------------------------------------------------------------------


def search(text: str) -> Request:
    return "/api/search", {"query": text, "k": 10}


def dense(text: str) -> Request:
    return "/api/search", {"query": text, "k": 10, "modes": ["dense"]}


def answer(text: str) -> Request:
    return "/v1/chat/completions", {"model": "damda", "messages": [{"role": "user", "content": text}]}


def load(port: int, concurrent: int, seconds: float, make: Callable[[str], Request], texts: Sequence[str]) -> Load:
    """So many clients for so long; each sends its next request when it has the answer to the last."""
    done, lock, numbers = Load(concurrent), threading.Lock(), count()
    begun = time.perf_counter()
    until = begun + seconds

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.perf_counter() < until:
            path, body = make(texts[next(numbers) % len(texts)])
            since = time.perf_counter()
            try:
                connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                with lock:
                    done.statuses[0] += 1
                continue
            with lock:
                done.statuses[response.status] += 1
                if response.status == 200:
                    done.times.append(time.perf_counter() - since)
            if response.status == 429:
                time.sleep(float(response.headers["Retry-After"]))
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(concurrent)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.seconds = time.perf_counter() - begun
    return done


def beside(ours: int, theirs: int, seconds: float, asked: Sequence[str], texts: Sequence[str]) -> list[dict[str, Any]]:
    """The same load on both servers, in turn; without questions, embeddings alone."""
    passages = [text[:CHARACTERS] for text in texts]

    def one(text: str) -> Request:
        return "/v1/embeddings", {"model": "e5-small-koen", "input": text}

    numbers = count()

    def sixteen(text: str) -> Request:
        at = 16 * next(numbers) % (len(passages) - 16)
        return "/v1/embeddings", {"model": "e5-small-koen", "input": passages[at : at + 16]}

    cases = (
        ("embeddings, a passage a request, 8 clients", 8, one, one, passages),
        ("embeddings, 16 passages a request, 4 clients", 4, sixteen, sixteen, passages),
        ("search by vectors, 1 client", 1, dense, dense, asked),
        ("search by vectors, 8 clients", 8, dense, dense, asked),
        ("hybrid search here, by vectors there, 8 clients", 8, search, dense, asked),
    )
    rows = []
    for what, clients, make, make_theirs, given in cases if asked else cases[:2]:
        pairs = []
        for _ in range(REPEATS):
            a = load(ours, clients, seconds, make, given).row()
            b = load(theirs, clients, seconds, make_theirs, given).row()
            pairs.append((a, b))
        rows.append(
            {
                "what": what,
                "damda_a_second": statistics.median(a["a_second"] for a, _ in pairs),
                "peer_a_second": statistics.median(b["a_second"] for _, b in pairs),
                "ratio": round(statistics.median(a["a_second"] / b["a_second"] for a, b in pairs), 2),
                "damda_p50_ms": statistics.median(a["p50_ms"] for a, _ in pairs),
                "peer_p50_ms": statistics.median(b["p50_ms"] for _, b in pairs),
                "errors": sum(a["errors"] + b["errors"] for a, b in pairs),
            }
        )
        print(json.dumps(rows[-1]))
    return rows


def memory(server: "Server", seconds: float, asked: Sequence[str]) -> dict[str, Any]:
    """Resident megabytes, with all processes, while searches and answers come in."""
    taken: list[tuple[float, float]] = []
    over, begun = threading.Event(), time.perf_counter()

    def look() -> None:
        while not over.is_set():
            taken.append((time.perf_counter() - begun, watch.memory(server.pid) / 1e6))
            over.wait(5)

    looking = threading.Thread(target=look)
    looking.start()
    answers = threading.Thread(target=load, args=(server.port, 4, seconds, answer, asked))
    answers.start()
    searches = load(server.port, 8, seconds, search, asked)
    answers.join()
    over.set()
    looking.join()
    at = [t for t, _ in taken]
    megabytes = [m for _, m in taken]
    half = len(taken) // 2
    return {
        "minutes": round(seconds / 60, 1),
        "searches": searches.row(),
        "mb_at_the_start": round(megabytes[0]),
        "mb_after_a_minute": round(float(np.interp(60, at, megabytes))),
        "mb_at_half_time": round(megabytes[half]),
        "mb_at_the_end": round(megabytes[-1]),
        "mb_an_hour_in_the_second_half": round(float(np.polyfit(at[half:], megabytes[half:], 1)[0]) * 3600, 1),
    }


# --- servers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    port: int
    pid: int


@contextmanager
def damda(work: Path, documents: Path) -> Iterator[Server]:
    program = "from damda.cli import main; main()"
    port, home = _free(), work / f"home of {documents.name} in {documents.parent.name}"
    command = [sys.executable, "-c", program, "serve", str(documents), "--port", str(port), "--home", str(home)]
    command += ["--set", "cache.mode=off"]  # answers are to be made
    with _running(command, port, "/ready") as process:
        yield Server(port, process.pid)


@contextmanager
def infinity(python: str, work: Path) -> Iterator[int]:
    port, model = _free(), work / "e5-small-koen"
    write_e5(model)
    options = ["--engine", "torch", "--device", "cpu", "--dtype", "float32", "--no-bettertransformer"]
    names = ["--model-id", str(model), "--served-model-name", model.name, "--url-prefix", "/v1"]
    program = str(Path(python).with_name("infinity_emb"))
    with _running([program, "v2", *names, *options, "--port", str(port)], port, "/health"):
        yield port


@contextmanager
def peer(python: str, work: Path) -> Iterator[int]:
    write_e5(work / "model")
    port = _free()
    script = Path(__file__).parent / "peers" / "server.py"
    command = [python, str(script), str(work / "model"), str(work / "texts.json"), str(port)]
    with _running(command, port, "/docs"):
        yield port


@contextmanager
def _running(command: Sequence[str], port: int, path: str) -> "Iterator[subprocess.Popen[bytes]]":
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with subprocess.Popen(command, env=environment) as process:
        try:
            while _status(port, path) != 200:
                if process.poll() is not None:
                    raise SystemExit(f"{command[0]} ended with {process.returncode}")
                time.sleep(0.5)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def _status(port: int, path: str) -> int:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0


def _free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _print(what: str, rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        print(what, json.dumps(row))


if __name__ == "__main__":
    main()
