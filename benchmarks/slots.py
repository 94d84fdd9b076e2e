"""llama.cpp's slots: throughput of 1, 2, 4, 8 answers at once, and how often greedy text differs from one at a time.

python benchmarks/slots.py [--slots 1,2,4,8] [--rounds 3] [--questions 16] [--tokens 40] [--threads 0] [--long]

SmolLM2-135M (`damda models pull smollm2-135m`), temperature 0, as many threads as cores unless told. Each round asks
all questions once with each number of slots, every second round in the opposite order; there are as many readers as
slots. The prompts are short, or with ``--long`` 400 to 700 tokens each, as of a question with its passages. `differ`
counts the answers of a round that are not, character by character, those of one request at a time.
"""

import argparse
import json
import statistics
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import machine

from damda import weights
from damda.generate.engine import cores
from damda.generate.llama import Llama
from damda.settings import LlamaSettings
from damda.types import Message

CONTEXT = 1024
THINGS = ("a river", "the sea", "a clock", "winter", "bread", "a library", "the moon", "a bridge", "music", "salt")
TASKS = ("Tell me about {}.", "Write a short story about {}.", "Why do people like {}?", "List facts about {}.")
FILLER = "Passage {n}: the archive of the town says much about this and that, and about {thing} in the year {year}. "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--slots", default="1,2,4,8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--threads", type=int, default=0, help="of llama.cpp; 0: one a core")
    parser.add_argument("--long", action="store_true")
    given = parser.parse_args()
    path = weights.gguf_path("smollm2-135m")
    if path is None:
        raise SystemExit("damda models pull smollm2-135m")
    counts = [int(n) for n in given.slots.split(",")]
    questions = [_prompt(n, long=given.long) for n in range(given.questions)]
    models, memory = {}, {}
    for n in counts:
        before = _memory()
        models[n] = Llama(LlamaSettings(context=CONTEXT, slots=n, threads=given.threads), path=path)
        _answers(models[n], questions[:1], 1, 1)  # loads
        memory[n] = _memory() - before
    reference, _, _ = _answers(models[counts[0]], questions, given.tokens, 1)
    runs: dict[int, list[dict[str, float]]] = {n: [] for n in counts}
    for turn in range(given.rounds):
        for n in counts if turn % 2 == 0 else reversed(counts):
            begun = time.perf_counter()
            answers, waits, tokens = _answers(models[n], questions, given.tokens, n)
            wall = time.perf_counter() - begun
            runs[n].append(
                {
                    "tokens_per_s": tokens / wall,
                    "answers_per_s": len(answers) / wall,
                    "first_token_s": statistics.median(waits),
                    "differ": sum(a != b for a, b in zip(answers, reference, strict=True)),
                }
            )
            print(n, {key: round(value, 2) for key, value in runs[n][-1].items()}, flush=True)
    table = {
        str(n): {
            **{key: round(statistics.median(run[key] for run in runs[n]), 3) for key in runs[n][0] if key != "differ"},
            "differ": [int(run["differ"]) for run in runs[n]],
            "memory_mb": round(memory[n] / 2**20),
        }
        for n in counts
    }
    result: dict[str, Any] = {
        "model": path.name,
        "threads": given.threads or cores(),
        "context": CONTEXT,
        "questions": len(questions),
        "tokens": given.tokens,
        "rounds": given.rounds,
        "slots": table,
    }
    print(json.dumps(result, indent=1))
    machine.save("slots-long" if given.long else "slots", result)


def _prompt(n: int, *, long: bool) -> str:
    thing = THINGS[n % len(THINGS)]
    task = TASKS[n // len(THINGS) % len(TASKS)].format(thing)
    passages = "".join(FILLER.format(n=i, thing=thing, year=1700 + n + i) for i in range(12 + n % 7)) if long else ""
    return passages + task


def _answers(llama: Llama, questions: list[str], tokens: int, readers: int) -> tuple[list[str], list[float], int]:
    """Texts in the order of the questions, seconds to each first token, and tokens altogether."""
    left: SimpleQueue[int] = SimpleQueue()
    for n in range(len(questions)):
        left.put(n)
    texts, waits, counted = [""] * len(questions), [0.0] * len(questions), [0] * len(questions)

    def read() -> None:
        while True:
            try:
                n = left.get_nowait()
            except Empty:
                return
            begun = time.perf_counter()
            for delta in llama.stream([Message("user", questions[n])], max_tokens=tokens):
                waits[n] = waits[n] or time.perf_counter() - begun
                texts[n] += delta.text
                counted[n] = delta.usage.completion_tokens if delta.usage else counted[n]

    threads = [threading.Thread(target=read) for _ in range(readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return texts, waits, sum(counted)


def _memory() -> int:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


if __name__ == "__main__":
    main()
