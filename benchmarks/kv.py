"""Saved KV caches: the first token without them, when a prompt is saved, from memory's own disk, and after a restart.

python benchmarks/kv.py [--models smollm2-135m,gemma3-270m] [--tokens 250,500,1000,2000] [--rounds 3] [--answers 12]
                        [--threads 1]

Documents of examples/documents as passages, one token asked for, so that the time of an answer is that to its first
token. Each round asks, for each length and with an empty folder: without `llama.kv` ("cold"); with it ("saving");
another question ("warm"); and a third in a new process that has loaded the model already ("restarted"). Seconds are
of the clock and of the processor; ratios are to "cold" of the same round. `differ` counts greedy answers of 24 tokens
that are not, character by character, those without `llama.kv`: as they were saved, as they were restored, and, to
compare with, without it but read in batches of 256 tokens.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import machine

from damda import weights
from damda.generate import engine, fitting
from damda.generate.llama import Llama, begun
from damda.settings import LlamaSettings
from damda.types import Chunk, Hit, Message

DOCUMENTS = Path(__file__).parent.parent / "examples" / "documents"
QUESTIONS = (
    "Who approves a business trip?",
    "How many days of leave are there?",
    "When is the office closed?",
    "재택근무는 일주일에 며칠까지 할 수 있나요?",
    "사직서는 언제까지 내야 하나요?",
    "What is written about the weather?",
    "비밀번호는 얼마나 자주 바꾸나요?",
    "보안 사고는 어디에 알리나요?",
)
KINDS = ("cold", "saving", "warm", "restarted")
Ask = tuple[list[Message], list[Hit]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", default="smollm2-135m,gemma3-270m")
    parser.add_argument("--tokens", default="250,500,1000,2000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--answers", type=int, default=len(QUESTIONS))
    parser.add_argument("--threads", type=int, default=1, help="of llama.cpp; 0: one a core")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS, metavar=("MODEL", "FOLDER", "CHARACTERS"))
    given = parser.parse_args()
    if given.child:
        name, folder, sizes = given.child
        print(json.dumps(restarted(name, folder, sizes, given.threads)))
        return
    lengths = [int(n) for n in given.tokens.split(",")]
    result = dict[str, Any]()
    for name in given.models.split(","):
        result[name] = measure(name, lengths, given)
        machine.save("kv", {"threads": given.threads, "rounds": given.rounds, "models": result})


def measure(name: str, lengths: Sequence[int], given: argparse.Namespace) -> dict[str, Any]:
    """One model: a row a length, and how many answers differ."""
    off = make(name, None, given.threads)
    with tempfile.TemporaryDirectory() as folder:
        probe = make(name, Path(folder), given.threads)
        sizes = [(length, *cut(probe, length)) for length in lengths]
        probe.close()
    rounds = [
        one_round(name, off, [characters for _, characters, _ in sizes], given.threads) for _ in range(given.rounds)
    ]
    rows = [
        {"asked_for": length, "tokens": tokens, **summary([seen["rows"][at] for seen in rounds])}
        for at, (length, _, tokens) in enumerate(sizes)
    ]
    for row in rows:
        print(name, row)
    megabytes = sum(row["megabytes"] for row in rows) / sum(row["tokens"] for row in rows) * 1000
    loading = statistics.median(seen["loading"] for seen in rounds)
    return {
        "prefixes": rows,
        "megabytes_per_1000_tokens": round(megabytes, 1),
        "seconds_to_load_and_hash_the_model": round(loading, 2),
        "differ": differ(name, off, sizes[min(1, len(sizes) - 1)][1], given),
    }


def one_round(name: str, off: Llama, sizes: Sequence[int], threads: int) -> dict[str, Any]:
    """Seconds to the first token, each length in its turn, from an empty folder on."""
    with tempfile.TemporaryDirectory() as folder:
        on = make(name, Path(folder), threads)
        say(on, ask(QUESTIONS[0], 0), 1)  # loads; too short to be saved, or its passages are nobody else's
        rows, before = [], sum(file.stat().st_size for file in Path(folder).iterdir())
        for characters in sizes:
            row: dict[str, Any] = {"cold": clock(off, ask(QUESTIONS[0], characters))}
            row["saving"] = clock(on, ask(QUESTIONS[0], characters))
            row["warm"] = clock(on, ask(QUESTIONS[1], characters))
            after = sum(file.stat().st_size for file in Path(folder).iterdir())
            rows.append(row | {"megabytes": (after - before) / 1e6})
            before = after
        on.close()
        words = [name, folder, ",".join(map(str, sizes))]
        command = [sys.executable, __file__, "--threads", str(threads), "--child", *words]
        child = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for row, seconds in zip(rows, child["seconds"], strict=True):
        row["restarted"] = seconds
    return {"rows": rows, "loading": child["loading"]}


def restarted(name: str, folder: str, sizes: str, threads: int) -> dict[str, Any]:
    """What the new process measures."""
    begun = time.perf_counter()
    on = make(name, Path(folder), threads)
    on._weights.get()
    loading = time.perf_counter() - begun
    say(on, ask(QUESTIONS[0], 0), 1)
    return {"loading": loading, "seconds": [clock(on, ask(QUESTIONS[2], int(size))) for size in sizes.split(",")]}


def summary(seen: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians of seconds and of ratios within a round."""
    told: dict[str, Any] = {"megabytes": round(seen[0]["megabytes"], 2)}
    for at, unit in enumerate(("clock", "processor")):
        seconds = {kind: [row[kind][at] for row in seen] for kind in KINDS}
        told[f"{unit}_seconds"] = {kind: round(statistics.median(values), 3) for kind, values in seconds.items()}
        ratios = {kind: [a / b for a, b in zip(seconds[kind], seconds["cold"], strict=True)] for kind in KINDS[1:]}
        told[f"{unit}_ratio_to_cold"] = {kind: round(statistics.median(values), 3) for kind, values in ratios.items()}
    return told


def differ(name: str, off: Llama, characters: int, given: argparse.Namespace) -> dict[str, int]:
    """Answers that are others than without saved states."""
    asked = [ask(question, characters) for question in QUESTIONS[: given.answers]]
    plain = [say(off, it, 24) for it in asked]
    with tempfile.TemporaryDirectory() as folder:
        on = make(name, Path(folder), given.threads)
        saved = [say(on, asked[0], 24)]
        saved += [_with_empty_folder(on, Path(folder), it) for it in asked[1:]]
        found = [say(on, it, 24) for it in asked]
        on.close()
    off.close()
    engine.BATCH = 256
    cut_otherwise = [say(off, it, 24) for it in asked]
    off.close()
    engine.BATCH = 512
    pairs = {"saved": saved, "restored": found, "batches_of_256_without_kv": cut_otherwise}
    counted = {kind: sum(a != b for a, b in zip(plain, texts, strict=True)) for kind, texts in pairs.items()}
    counted["restored_from_saved"] = sum(a != b for a, b in zip(saved, found, strict=True))
    print(name, "of", len(asked), counted)
    return {"answers": len(asked), **counted}


def _with_empty_folder(on: Llama, folder: Path, it: Ask) -> str:
    for file in folder.iterdir():
        file.unlink()
    return say(on, it, 24)


def make(name: str, folder: Path | None, threads: int) -> Llama:
    """A model; with a folder, one that saves there."""
    path = weights.gguf_path(name)
    if path is None:
        raise SystemExit(f"damda models pull {name}")
    settings = LlamaSettings(context=3072, threads=threads, kv=folder is not None)
    return Llama(settings, path=path, kv_folder=folder)


def ask(question: str, characters: int) -> Ask:
    """A question over the first characters of all documents, in passages of 400."""
    whole = "\n\n".join(path.read_text(encoding="utf-8") for path in sorted(DOCUMENTS.rglob("*.md")))
    texts = [whole[at : min(at + 400, characters)] for at in range(0, characters, 400)]
    numbered = "\n\n".join(f"[{n}]\n{text}" for n, text in enumerate(texts, 1))
    said = [Message("system", f"Answer from these passages.\n\n{numbered}"), Message("user", question)]
    return said, [Hit(Chunk(str(n), "d", text, 0, len(text)), 1.0, "bm25") for n, text in enumerate(texts)]


def cut(llama: Llama, tokens: int) -> tuple[int, int]:
    """Characters of documents whose prompt begins with at most so many tokens, and how many those are.

    A base model's examples may be more than that already: then 40 characters.
    """

    def begins(characters: int) -> int:
        said, hits = ask(QUESTIONS[0], characters)
        _, chats, prefixes = llama._weights.get()
        request = fitting.as_request(said, hits, len(hits), chats=chats, quote=False)
        reading = begun(prefixes, said, hits, request) if request else None
        return len(reading._tokens) if reading else 0

    low, high = 40, tokens * 6
    while high - low > 8:
        middle = (low + high) // 2
        low, high = (middle, high) if begins(middle) <= tokens else (low, middle)
    while not begins(low):  # just too few to be saved
        low += 8
    return low, begins(low)


def clock(llama: Llama, it: Ask) -> tuple[float, float]:
    """Seconds to the first token: of the clock, of the processor."""
    begun, worked = time.perf_counter(), time.process_time()
    say(llama, it, 1)
    return time.perf_counter() - begun, time.process_time() - worked


def say(llama: Llama, it: Ask, tokens: int) -> str:
    """A greedy answer."""
    said, hits = it
    return "".join(delta.text for delta in llama.stream(said, passages=hits, max_tokens=tokens))


if __name__ == "__main__":
    main()
