"""What every peer does in its own environment: take in the documents, or answer questions; and how long it took.

    python with_NAME.py load|ingest|ask WORK SPAWNED

WORK is a folder made by ../peers.py: documents.json, corpus.jsonl (the same documents), questions.json (texts), model/
(the encoder's weights), index/ (the peer's own). SPAWNED is the time at which this process was asked for. "ingest" and
"ask" leave ingested.json and asked.json.

Knows: what is timed. Does not know: any peer, or how rankings are judged. Standard library only.
"""

import json
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

DEPTH = 10
"""Documents a question."""

WARM, TIMED = 20, 200
"""Questions that warm up, and questions that are timed, one at a time."""

Search = Callable[[str], Sequence[str]]
"""Question -> ids of documents, best first; a document may come more than once."""


@dataclass(frozen=True, slots=True)
class Document:
    """An entry of the corpus; ``text`` begins with the title, on a line of its own, where there is one."""

    id: str
    text: str


class Peer(Protocol):
    """Made with its encoder loaded. ``open`` reads back what ``ingest`` has stored, in another process."""

    def __init__(self, work: Path) -> None: ...

    def ingest(self, documents: Sequence[Document]) -> None: ...

    def open(self) -> Mapping[str, Search]:
        """Name -> way of searching; the last one is the one recommended."""
        ...


def run(make: type[Peer]) -> None:
    """Do what the command line says."""
    action, work, spawned = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    peer = make(work)
    loaded = time.time() - spawned
    if action == "ingest":
        documents = [Document(**row) for row in json.loads((work / "documents.json").read_text(encoding="utf-8"))]
        begun = time.perf_counter()
        peer.ingest(documents)
        done = {"load_s": loaded, "ingest_s": time.perf_counter() - begun}
        (work / "ingested.json").write_text(json.dumps(done), encoding="utf-8")
    elif action == "ask":
        questions = json.loads((work / "questions.json").read_text(encoding="utf-8"))
        (work / "asked.json").write_text(json.dumps(_ask(peer.open(), questions, spawned)), encoding="utf-8")


def _ask(ways: Mapping[str, Search], questions: Sequence[str], spawned: float) -> dict[str, object]:
    """The first answer of a fresh process, then single ones of the recommended way, then all of all ways."""
    *_, recommended = ways.values()
    recommended(questions[0])
    started = time.time() - spawned
    drawn = random.Random(0).sample(questions, min(WARM + TIMED, len(questions)))
    milliseconds = []
    for question in drawn:
        begun = time.perf_counter()
        recommended(question)
        milliseconds.append(1000 * (time.perf_counter() - begun))
    rankings = {
        way: [list(dict.fromkeys(search(question)))[:DEPTH] for question in questions] for way, search in ways.items()
    }
    return {"start_s": started, "milliseconds": milliseconds[WARM:], "rankings": rankings}
