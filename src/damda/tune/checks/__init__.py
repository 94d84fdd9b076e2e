"""What a tuned encoder must not get worse at, when nothing else is given: English, and Korean sentences alike.

Knows: damda's own small sets, written for it: neighbouring English passages with a question each, and Korean sentence
pairs with scores from 0 to 5. Does not know: encoders, or how much worse is too much.

No text is taken from anywhere, so nobody has trained on it, and no benchmark is spent on it.
"""

import json
from importlib.resources import files
from typing import Any

from damda.measure.dataset import Question
from damda.measure.lab import Task
from damda.measure.similarity import Pair

ENGLISH = "built-in English"
PAIRS = "built-in Korean pairs"


def built_in() -> list[tuple[str, Task]]:
    """(Name, what to measure): questions of English passages, and scored pairs of Korean sentences."""
    rows = _rows("english.jsonl")
    passages = {row["id"]: f"{row['title']}\n{row['text']}" for row in rows}
    asked = [Question(row["id"], row["question"], frozenset({row["id"]})) for row in rows]
    scored = [Pair(row["s1"], row["s2"], row["score"]) for row in _rows("korean_pairs.jsonl")]
    return [(ENGLISH, Task(passages, asked, {})), (PAIRS, Task({}, [], {PAIRS: scored}))]


def _rows(name: str) -> list[dict[str, Any]]:
    text = files("damda.tune.checks").joinpath(name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
