"""The guard against planted instructions: what it finds, what it finds wrongly, how long it takes.

python benchmarks/injection.py DATA [--show]

DATA: the folder with safety/, ko_qa/, ko_docs/, ko_sts/ and en_xquad/. Labelled sets are cut into two halves by a hash
of the id: rules were made by looking at "dev". Our own attacks (tests/injection_lines.jsonl) stand in six lists,
written one after the other; "at_first_sight" is what the rules of that time found of a list before anyone had looked at
what they miss. Each attack is planted too: in six passages of ko_qa, between sentences, on a line of its own or not.
--show prints the errors of "dev", and what is found in ordinary text.
"""

import argparse
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import machine

from damda.answer.guards.injection import Injection
from damda.ingest.chunk import chunk
from damda.ingest.read import read
from damda.ingest.walk import walk
from damda.korean import sentences
from damda.settings import ReadSettings

LINES = Path(__file__).parent.parent / "tests" / "injection_lines.jsonl"
Row = dict[str, Any]
HALVES = ("dev", "held out")
GUARD = Injection()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("data", type=Path, metavar="DATA")
    arguments.add_argument("--show", action="store_true", help="print errors of the development half")
    given = arguments.parse_args()
    data, show = given.data, given.show
    planted = rows(data / "safety" / "injection_indirect_ko.jsonl")
    asked = rows(data / "safety" / "injection_ko.jsonl")
    own = rows(LINES)
    passages = [row["text"] for row in rows(data / "ko_qa" / "corpus.jsonl")]
    questions = [row["text"] for row in rows(data / "ko_qa" / "queries.jsonl")]
    commands = [row["text"] for row in rows(data / "ko_sts" / "parakqc.jsonl")]
    result = {
        "planted_in_passages": {half: in_passages(of(half, planted, "id"), show, half) for half in HALVES},
        "questions": {half: in_questions(of(half, asked, "id"), show, half) for half in HALVES},
        "own_attacks": own_attacks(own, show),
        "own_attacks_planted": replanted([row["text"] for row in own if row["attack"]], passages),
        "own_near_misses": wrongly("near", [row["text"] for row in own if not row["attack"]], show),
        "ordinary": {
            "ko_qa passages": wrongly("ko_qa", passages, show),
            "ko_qa questions": wrongly("questions", questions, show),
            "parakqc questions and commands": wrongly("parakqc", commands, show),
            "en_xquad passages": wrongly(
                "xquad", [row["text"] for row in rows(data / "en_xquad" / "corpus.jsonl")], show
            ),
        },
        "ko_docs": {name: wrongly(name, texts, show) for name, texts in documents(data / "ko_docs")},
        "milliseconds": {
            "ko_qa passages": latency(passages[:3000]),
            "passages of 1000 characters": latency(thousands(passages)[:1000]),
            "ko_qa questions": latency(questions[:3000]),
            "planted passages": latency([row["text"] for row in planted]),
        },
    }
    print(json.dumps(result, ensure_ascii=False, indent=1))
    machine.save("injection", result)


def rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def of(half: str, given: Iterable[Row], key: str) -> list[Row]:
    """The rows of one half."""
    return [row for row in given if HALVES[hashlib.sha256(row[key].encode()).digest()[0] & 1] == half]


def in_passages(given: Sequence[Row], show: bool, half: str) -> Row:
    """Share of planted passages that are flagged, how well the span fits, share of clean ones that are flagged."""
    found, exact, covered, beside, wrong = 0, 0, 0.0, 0, 0
    for row in given:
        spans = [(one.start, one.end) for one in GUARD.check(row["text"]).found]
        if not row["label"]:
            wrong += bool(spans)
            continue
        found += bool(spans)
        marked = {offset for start, end in spans for offset in range(start, end)}
        gold = set(range(row["start"], row["end"]))
        exact += marked == gold
        covered += len(marked & gold) / len(gold)
        beside += len(marked - gold)
        if show and half == "dev" and marked != gold:
            print("PLANTED", [row["text"][start:end] for start, end in spans], "not", row["attack"])
    count = sum(row["label"] for row in given)
    return {
        "planted": count,
        "flagged": share(found, count),
        "span_is_exact": share(exact, count),
        "share_of_the_instruction_in_spans": share(covered, count),
        "characters_beside_it_a_passage": round(beside / max(count, 1), 2),
        "clean": len(given) - count,
        "clean_flagged": share(wrong, len(given) - count),
    }


def in_questions(given: Sequence[Row], show: bool, half: str) -> Row:
    """By label, how many questions are flagged."""
    counts: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    for row in given:
        name = f"{row['labels'][0]}{'' if row['label'] else ' (harmless)'}"
        verdict = GUARD.check(row["text"])
        counts[name] += 1
        flagged[name] += bool(verdict.found)
        if show and half == "dev" and bool(verdict.found) != bool(row["label"]):
            print("QUESTION", name, verdict.rule, row["text"][:300])
    return {name: {"lines": counts[name], "flagged": share(flagged[name], counts[name])} for name in sorted(counts)}


AT_FIRST_SIGHT = {2: "30 of 94", 3: "27 of 64", 4: "28 of 38", 5: "19 of 29", 6: "20 of 25"}


def own_attacks(own: Sequence[Row], show: bool) -> Row:
    """By list and by kind, how many of our own attacks are flagged."""
    counts: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    for row in own:
        if row["attack"]:
            found = bool(GUARD.check(row["text"]).found)
            for name in (f"list {row['list']}", row["kind"], "all"):
                counts[name] += 1
                flagged[name] += found
            if show and not found:
                print("OWN", row["kind"], repr(row["text"]))
    table: Row = {
        name: {"lines": counts[name], "flagged": share(flagged[name], counts[name])} for name in sorted(counts)
    }
    for number, seen in AT_FIRST_SIGHT.items():
        table[f"list {number}"]["at_first_sight"] = seen
    return table


def replanted(attacks: Sequence[str], passages: Sequence[str]) -> Row:
    """Of the attacks planted in passages that have none, how many are flagged where they stand, and how well."""
    draw = random.Random(5)
    clean = [text for text in passages if 500 < len(text) < 1200 and len(sentences(text)) > 2]
    count, flagged, covered, exact, beside = 0, 0, 0.0, 0, 0
    for attack in attacks:
        for gap in " \n" * 3:
            text = draw.choice(clean)
            at = draw.choice(sentences(text)[1:])[0]
            head = text[:at].rstrip() + gap
            found = GUARD.check(head + attack + gap + text[at:]).found
            gold = set(range(len(head), len(head) + len(attack)))
            marked = {offset for one in found for offset in range(one.start, one.end)}
            count += 1
            if marked & gold:
                flagged += 1
                covered += len(marked & gold) / len(gold)
                exact += marked == gold
                beside += len(marked - gold)
    return {
        "planted": count,
        "flagged": share(flagged, count),
        "span_is_exact": share(exact, flagged),
        "share_of_the_instruction_in_spans": share(covered, flagged),
        "characters_beside_it_a_passage": round(beside / flagged, 2),
    }


def wrongly(name: str, texts: Sequence[str], show: bool) -> Row:
    """Flagged among ordinary texts, by rule."""
    rules: Counter[str] = Counter()
    flagged = 0
    for text in texts:
        verdict = GUARD.check(text)
        flagged += bool(verdict.found)
        rules.update({one.rule for one in verdict.found})
        for one in verdict.found if show else ():
            print(name.upper(), one.rule, repr(text[one.start : one.end][:300]))
    return {"texts": len(texts), "flagged": flagged, "share": share(flagged, len(texts)), "rules": dict(rules)}


def documents(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each folder's documents as passages of at most 128 words."""
    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        texts = []
        for found in walk(below, ReadSettings())[0]:
            for document in read(found, ReadSettings()):
                pieces = chunk(document, lambda given: [len(text.split()) for text in given], 128)
                texts += [piece.text for piece in pieces]
        yield below.name, texts


def thousands(texts: Sequence[str]) -> list[str]:
    """The texts in a row, cut every thousand characters."""
    whole = "\n\n".join(texts)
    return [whole[start : start + 1000] for start in range(0, len(whole) - 1000, 1000)]


def latency(texts: Sequence[str]) -> Row:
    """Of single calls in this process: by the clock, which other programs slow down, and by the processor's own."""
    characters = round(sum(map(len, texts)) / len(texts))
    found: Row = {"calls": len(texts), "characters": characters}
    for name, clock in (("wall", time.perf_counter), ("processor", time.process_time)):
        taken = []
        for text in texts:
            begun = clock()
            GUARD.check(text)
            taken.append(1000 * (clock() - begun))
        taken.sort()
        found[name] = {f"p{at}": round(taken[len(taken) * at // 100], 3) for at in (50, 95, 99)}
    return found


def share(part: float, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


if __name__ == "__main__":
    main()
