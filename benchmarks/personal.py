"""Personal data and rule guards: what is found, what is taken for it wrongly, and how long it takes.

python benchmarks/personal.py DATA

DATA: a folder with safety/, ko_qa/ and ko_docs/. The made-up lines (pii_synthetic_ko) are split by their template, so
that the held-out half is worded as nothing in the half that was developed on. A found span counts when it overlaps one
of its kind ("exact": when it is the same). "clean" is ordinary text, with what was found in it for each kind.
"""

import argparse
import hashlib
import json
import re
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import machine

from damda.answer.guards.personal import KINDS, Personal, find
from damda.answer.guards.rules import Language, Length, Patterns
from damda.settings import GuardSettings
from damda.types import Guard

Row = dict[str, Any]
NAMED = ("rrn", "frn", "brn", "driver", "passport", "card", "account", "phone", "email", "address")
"""Kinds that the issue names."""
RENAMED = {"carplate": "plate", "kr_rrn": "rrn", "kr_frn": "frn", "kr_brn": "brn", "kr_passport": "passport"}
RENAMED |= {"kr_driver_license": "driver"}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--show", action="store_true", help="print what is wrong in the half that is developed on")
    given = arguments.parse_args()
    made = rows(given.data / "safety" / "pii_synthetic_ko.jsonl")
    halves = {name: [row for row in made if half(template(row)) == n] for n, name in enumerate(("dev", "held out"))}
    if given.show:
        show(halves["dev"])
    result = {
        "synthetic": {name: scores(part) for name, part in (*halves.items(), ("both", made))},
        "presidio": presidio(given.data),
        "clean": clean(given.data),
        "klue_ner": klue(given.data),
        "latency": latency(given.data),
    }
    print(json.dumps(result, ensure_ascii=False, indent=1))
    machine.save("personal", result)


def rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def kind(entity: Row) -> str:
    name = str(entity["type"]).lower()
    return RENAMED.get(name, name)


def template(row: Row) -> str:
    """A row without what was put into its template: personal data and numbers."""
    text, at, parts = row["text"], 0, []
    for entity in sorted(row["entities"], key=lambda entity: int(entity["start"])):
        parts += [text[at : entity["start"]], f"<{entity['type']}>"]
        at = entity["end"]
    return re.sub(r"\d+", "0", "".join([*parts, text[at:]]))


def half(key: str) -> int:
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % 2


class Counts:
    """Found, missed and wrong spans of one kind."""

    def __init__(self) -> None:
        self.right = self.missed = self.wrong = self.exact = 0

    def add(self, other: "Counts") -> None:
        self.right, self.missed = self.right + other.right, self.missed + other.missed
        self.wrong, self.exact = self.wrong + other.wrong, self.exact + other.exact

    def figures(self) -> dict[str, float]:
        gold, found = self.right + self.missed, self.right + self.wrong
        return {
            "spans": gold,
            "precision": round(self.right / found, 4) if found else 1.0,
            "recall": round(self.right / gold, 4) if gold else 1.0,
            "f1": round(2 * self.right / (gold + found), 4) if gold + found else 1.0,
            "exact_f1": round(2 * self.exact / (gold + found), 4) if gold + found else 1.0,
        }


def scores(part: Sequence[Row]) -> dict[str, Any]:
    counts: dict[str, Counts] = defaultdict(Counts)
    for row in part:
        gold = [(kind(entity), int(entity["start"]), int(entity["end"])) for entity in row["entities"]]
        found = [(one.rule, one.start, one.end) for one in find(row["text"])]
        for one in gold:
            if any(overlap(one, other) for other in found):
                counts[one[0]].right += 1
                counts[one[0]].exact += one in found
            else:
                counts[one[0]].missed += 1
        for rule, start, end in found:
            counts[rule].wrong += not any(overlap((rule, start, end), other) for other in gold)
    return {
        "lines": len(part),
        "lines_without": sum(not row["entities"] for row in part),
        "templates": len({template(row) for row in part}),
        "all": together(counts.values()),
        "named_in_the_issue": together(counts[name] for name in NAMED),
        "kinds": {name: counts[name].figures() for name in KINDS if name in counts},
    }


def together(counts: Iterable[Counts]) -> dict[str, float]:
    total = Counts()
    for one in counts:
        total.add(one)
    return total.figures()


def overlap(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return bool(one[0] == other[0] and one[1] < other[2] and other[1] < one[2])


def show(part: Sequence[Row]) -> None:
    for row in part:
        gold = {(kind(entity), entity["start"], entity["end"]) for entity in row["entities"]}
        found = {tuple(one) for one in find(row["text"])}
        for name, start, end in sorted(gold ^ found):
            print("missed" if (name, start, end) in gold else "wrong ", name, row["text"][start:end], "|", row["text"])


def presidio(data: Path) -> dict[str, Any]:
    """Presidio's own cases: whether a valid one is found and an invalid one is not, for the kind that it tests."""
    right: Counter[str] = Counter()
    wrong = []
    for row in rows(data / "safety" / "pii_presidio_kr.jsonl"):
        name = RENAMED[row["id"].removeprefix("presidio-").rpartition("-")[0].lower()]
        if (name in {one.rule for one in find(row["text"])}) == bool(row["label"]):
            right["valid" if row["label"] else "invalid"] += 1
        else:
            wrong.append(row["text"])
    return {"right": dict(right), "wrong": wrong}


def clean(data: Path) -> dict[str, Any]:
    """Ordinary text: characters, and spans found of each kind."""
    documents = [path for path in sorted((data / "ko_docs").rglob("*")) if path.suffix in (".md", ".html", ".txt")]
    texts = {
        "ko_docs": [path.read_text(encoding="utf-8") for path in documents],
        "ko_docs_laws": [path.read_text(encoding="utf-8") for path in documents if path.parent.name == "law"],
        "ko_qa_passages": [row["text"] for row in rows(data / "ko_qa" / "corpus.jsonl")],
        "ko_qa_questions": [row["text"] for row in rows(data / "ko_qa" / "queries.jsonl")],
    }
    return {
        name: {
            "texts": len(part),
            "characters": sum(map(len, part)),
            "found": dict(Counter(one.rule for text in part for one in find(text))),
            "refused_languages": dict(Counter(Language(("ko", "en")).check(text).rule for text in part)),
        }
        for name, part in texts.items()
    }


def klue(data: Path) -> dict[str, Any]:
    """Lines of news and reviews: dates, times and quantities that are taken for numbers; names among the people."""
    found: Counter[str] = Counter()
    numbers = wrong = people = 0
    part = rows(data / "safety" / "pii_ner_klue_dev.jsonl")
    for row in part:
        spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for entity in row["entities"]:
            spans[entity["type"]].append((entity["start"], entity["end"]))
        numbers += sum(len(spans[name]) for name in ("DT", "TI", "QT"))
        for one in find(row["text"]):
            found[one.rule] += 1
            inside = [name for name, places in spans.items() if any(a < one.end and one.start < b for a, b in places)]
            wrong += one.rule not in ("name", "address") and bool({"DT", "TI", "QT"} & set(inside))
            people += one.rule == "name" and "PS" in inside
    return {
        "lines": len(part),
        "dates_times_quantities": numbers,
        "taken_for_numbers": wrong,
        "found": dict(found),
        "names_that_are_people": people,
    }


def latency(data: Path) -> dict[str, Any]:
    """Milliseconds of single calls; "cpu" is this thread's, "wall" has whatever else the machine did."""
    running = "\n".join(row["text"] for row in rows(data / "ko_qa" / "corpus.jsonl"))
    made = "\n".join(row["text"] for row in rows(data / "safety" / "pii_synthetic_ko.jsonl"))
    texts = {
        "questions": [row["text"] for row in rows(data / "ko_qa" / "queries.jsonl")][:1000],
        "sentences": [row["text"] for row in rows(data / "safety" / "pii_ner_klue_dev.jsonl")],
        "passages_of_1000": [running[at : at + 1000] for at in range(0, 1_000_000, 1000)],
        "passages_of_1000_full_of_personal_data": [made[at : at + 1000] for at in range(0, len(made) - 1000, 1000)]
        * 10,
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "patterns.toml"
        file.write_text(
            "".join(
                f"[[pattern]]\nname = '{n}'\nregex = '''{regex}'''\naction = 'redact'\n"
                for n, regex in enumerate((r"E-[0-9]{6}", r"(?i)top secret", r"프로젝트 (?:알파|베타)"))
            ),
            encoding="utf-8",
        )
        guards: dict[str, Guard] = {
            "personal, default kinds": Personal(GuardSettings().redact),
            "personal, all kinds": Personal(tuple(KINDS)),
            "length": Length(8000),
            "language": Language(("ko", "en")),
            "patterns, three": Patterns(file),
        }
        return {
            name: {
                "mean_characters": round(sum(map(len, part)) / len(part)),
                **{guard: timed(checker.check, part) for guard, checker in guards.items()},
            }
            for name, part in texts.items()
        }


def timed(check: Callable[[str], object], part: Sequence[str]) -> dict[str, dict[str, float]]:
    for text in part[:50]:
        check(text)
    clocks = {"cpu": time.thread_time, "wall": time.perf_counter}
    times: dict[str, list[float]] = {name: [] for name in clocks}
    for text in part:
        begun = {name: clock() for name, clock in clocks.items()}
        check(text)
        for name, clock in clocks.items():
            times[name].append(1000 * (clock() - begun[name]))
    return {
        name: {"p50": round(quantile(found, 0.5), 3), "p95": round(quantile(found, 0.95), 3)}
        for name, found in times.items()
    }


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


if __name__ == "__main__":
    main()
