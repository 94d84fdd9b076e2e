"""Topics by example as a guard: what a few examples find of a topic, and what of other topics and ordinary questions.

python benchmarks/topics.py DATA

DATA has the folders ko_sts and ko_qa. parakqc has four topics (mail, appointments, the house, weather). Each in turn is
forbidden, by 3, 5 or 10 examples drawn from one half of its groups; the rest of that half is checked, with the other
topics and questions of ko_qa. Then two are allowed, by examples, and all else is off topic. Each figure is a mean over
18 or 20 draws, with their standard deviation. The thresholds were chosen on the first half.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import machine
import numpy as np
from classifier import digest, first, lines, times
from remembering import Remembering

from damda.answer.guards.topics import ALLOWED, FORBIDDEN, Topics
from damda.assemble import models
from damda.settings import Settings
from damda.types import Encoder

Rows = list[dict[str, Any]]
DRAWS = 20
COUNTS = (3, 5, 10)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("data", type=Path, help="the folder with ko_sts and ko_qa")
    data: Path = arguments.parse_args().data
    real = models.make_encoder(Settings().encoder, offline=True)
    encoder = Remembering(real)
    groups: dict[int, dict[str, Any]] = {}
    for row in sorted(lines(data / "ko_sts" / "parakqc.jsonl"), key=lambda row: digest(row["id"])):
        groups.setdefault(row["group"], row)  # one paraphrase of each group: no draw meets its own example again
    questions = [row["text"] for row in first(lines(data / "ko_qa" / "queries.jsonl"), 1000)]
    result: dict[str, Any] = {"thresholds": {"forbidden": FORBIDDEN, "allowed": ALLOWED}}
    for half, name in enumerate(("first half", "second half")):
        rows = [row for group, row in groups.items() if digest(f"group {group}") % 2 == half]
        asked = questions[half::2]
        result[name] = {
            f"{count} examples": {
                "forbidden": forbidden(rows, asked, count, encoder),
                "allowed": allowed(rows, asked, count, encoder),
            }
            for count in COUNTS
        }
    result["milliseconds_a_check"] = latency(list(groups.values()), real)
    print(json.dumps(result, indent=1))
    machine.save("topics", result)


def drawn(rows: Rows, topic: int, count: int, draw: int) -> list[str]:
    mine = [row for row in rows if row["topic"] == topic]
    return [row["text"] for row in sorted(mine, key=lambda row: digest(f"{draw} {row['id']}"))[:count]]


def guard(examples: dict[int, list[str]], allow: bool, encoder: Encoder) -> Topics:
    tables = [
        f"[[topic]]\nname = '{topic}'\nallow = {str(allow).lower()}\nexamples = {json.dumps(texts)}\n"
        for topic, texts in examples.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "topics.toml"
        file.write_text("\n".join(tables), encoding="utf-8")
        return Topics(file, encoder)


def share(made: Topics, texts: Sequence[str]) -> float:
    return float(np.mean([bool(made.check(text).found) for text in texts]))


def forbidden(rows: Rows, questions: list[str], count: int, encoder: Encoder) -> dict[str, Any]:
    """Precision is for as many texts of the topic as of other topics and as of ko_qa, together."""
    found: dict[str, list[float]] = {}
    for topic in range(4):
        for draw in range(DRAWS // 4):
            examples = drawn(rows, topic, count, draw)
            made = guard({topic: examples}, False, encoder)
            mine = [row["text"] for row in rows if row["topic"] == topic and row["text"] not in examples]
            recall = share(made, mine)
            others = share(made, [row["text"] for row in rows if row["topic"] != topic])
            ordinary = share(made, questions)
            figures = {
                "recall": recall,
                "found_of_other_topics": others,
                "found_of_ko_qa": ordinary,
                "precision": recall / max(recall + (others + ordinary) / 2, 1e-9),
            }
            for name, value in figures.items():
                found.setdefault(name, []).append(value)
    return summary(found)


def allowed(rows: Rows, questions: list[str], count: int, encoder: Encoder) -> dict[str, Any]:
    found: dict[str, list[float]] = {}
    for pair in combinations(range(4), 2):
        for draw in range(3):
            examples = {topic: drawn(rows, topic, count, draw) for topic in pair}
            known = {text for texts in examples.values() for text in texts}
            made = guard(examples, True, encoder)
            mine = [row["text"] for row in rows if row["topic"] in pair and row["text"] not in known]
            figures = {
                "refused_of_allowed_topics": share(made, mine),
                "refused_of_other_topics": share(made, [row["text"] for row in rows if row["topic"] not in pair]),
                "refused_of_ko_qa": share(made, questions),
            }
            for name, value in figures.items():
                found.setdefault(name, []).append(value)
    return summary(found)


def summary(found: dict[str, list[float]]) -> dict[str, Any]:
    return {
        name: {"mean": round(float(np.mean(values)), 3), "deviation": round(float(np.std(values)), 3)}
        for name, values in found.items()
    }


def latency(rows: Rows, encoder: Encoder) -> dict[str, float]:
    """Of single checks against four topics of ten examples, the query's encoding included."""
    made = guard({topic: drawn(rows, topic, 10, 0) for topic in range(4)}, False, encoder)
    made.check("준비")
    return times(made.check, [row["text"] for row in rows[:500]])


if __name__ == "__main__":
    main()
