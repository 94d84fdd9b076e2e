"""The same documents, questions and encoder weights through damda and other retrieval software, on one machine.

python benchmarks/peers.py PEER DATASET [--documents N] [--questions N] [--envs FOLDER]

PEER: damda, llamaindex, haystack, txtai or chromadb; what each was told stands in peers/with_PEER.py. DATASET: a folder
in BEIR layout. Its environment is made in FOLDER once: peers/PEER.txt and peers/encoder.txt pin what is installed,
requirements.lock for damda. Then three processes of that environment take turns: one loads everything (to fill the file
cache), one takes the documents in, one opens what was stored and answers; that last one begins three times, twice for
one question only. Rankings are judged here, for all by the same code. Run it when nothing else runs: threads of torch
that wait for each other are slow out of all proportion where other processes want the cores too.
"""

import argparse
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import machine
import numpy as np
import watch

from damda.korean import nfc
from damda.measure import evaluate
from damda.measure.corpus import drawn
from damda.measure.dataset import Question, questions, write_lines
from damda.measure.retrieval import per_query, ready
from damda.tune.backbone import write_e5

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = Path(__file__).resolve().parent / "peers"
PEERS = ("damda", "llamaindex", "haystack", "txtai", "chromadb")
METRICS = ("ndcg@10", "mrr@10", "hit@10")
QUIET = {
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}
"""Nothing is told to anybody, nothing fetched."""

STARTS = 3
NO_DEPENDENCY = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("peer", choices=PEERS)
    arguments.add_argument("dataset", type=Path)
    arguments.add_argument("--documents", type=int, default=0, help="at most so many where possible; 0: all")
    arguments.add_argument("--questions", type=int, default=500, help="at most so many of each source")
    arguments.add_argument("--envs", type=Path, default=Path("peer-environments"), help="where environments are kept")
    given = arguments.parse_args()
    ready()
    python = environment(given.peer, given.envs.absolute())
    asked = evaluate.sample(questions(given.dataset), given.questions)
    corpus = drawn(_corpus(given.dataset), {doc for q in asked for doc in q.relevant}, given.documents)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        _hand_over(work, corpus, with_model=given.peer != "damda")
        result = _measure([str(python), str(SCRIPTS / f"with_{given.peer}.py")], work, asked)
    site = next(python.parents[1].glob("lib/python*/site-packages"))
    found = {
        d.name.lower().replace("_", "-"): d.version
        for d in distributions(path=[str(site)])
        if d.name not in NO_DEPENDENCY
    }
    about = {
        "peer": given.peer,
        "versions": {name: found[name] for name in _named(given.peer)},
        "documents": len(corpus),
        "questions": len(asked),
        "asked": _fingerprint(asked, corpus),
        "installed": {"mb": round(_size(site, NO_DEPENDENCY) / 1e6), "distributions": len(found)},
    }
    part = f"-{given.documents}" if given.documents else ""
    _print(about | result)
    machine.save(f"peers-{given.dataset.name}{part}-{given.peer}", about | result)


def environment(peer: str, folder: Path) -> Path:
    """The interpreter of a peer's environment, which is made when there is none or it was made from something else."""
    home = folder / peer
    python, made_of = home / "bin" / "python", home / "made-of.txt"
    pins = folder / f"{peer}.txt"
    folder.mkdir(parents=True, exist_ok=True)
    if peer == "damda":
        # The lock without its hashes: a checkout has none.
        locked = re.findall(r"^\S+==[^\\\n]+", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.M)
        source = hashlib.sha256(b"".join(path.read_bytes() for path in sorted((ROOT / "src").rglob("*.py"))))
        wanted = "\n".join([*map(str.strip, locked), f"# {source.hexdigest()}", ""])
        install = ["-c", str(pins), str(ROOT)]
    else:
        wanted = "".join((SCRIPTS / name).read_text(encoding="utf-8") for name in (f"{peer}.txt", "encoder.txt"))
        install = ["-r", str(pins)]
    pins.write_text(wanted, encoding="utf-8")
    if not made_of.is_file() or made_of.read_text(encoding="utf-8") != wanted:
        print(f"making the environment of {peer}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *install], check=True)
        made_of.write_text(wanted, encoding="utf-8")
    return python


def _named(peer: str) -> Sequence[str]:
    """Distributions whose versions go into the result: those that the peer's list pins."""
    if peer == "damda":
        return machine.PACKAGES
    texts = [(SCRIPTS / name).read_text(encoding="utf-8") for name in (f"{peer}.txt", "encoder.txt")]
    return re.findall(r"^([\w-]+)==", "\n".join(texts), re.M)


def _corpus(dataset: Path) -> dict[str, dict[str, str]]:
    """Document id -> id, title and text, normalised as the questions are."""
    lines = (dataset / "corpus.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(nfc(line)) for line in lines if line.strip()]
    return {row["id"]: {"id": row["id"], "title": row.get("title", ""), "text": row["text"]} for row in rows}


def _hand_over(work: Path, corpus: Mapping[str, Mapping[str, str]], *, with_model: bool) -> None:
    write_lines(work / "corpus.jsonl", corpus.values())
    # One text for those that know no titles.
    rows = [{"id": row["id"], "text": "\n".join(filter(None, (row["title"], row["text"])))} for row in corpus.values()]
    (work / "documents.json").write_text(json.dumps(rows), encoding="utf-8")
    if with_model:
        write_e5(work / "model")


def _measure(command: Sequence[str], work: Path, asked: Sequence[Question]) -> dict[str, Any]:
    texts = [question.text for question in asked]
    _child(command, "load", work)
    peak_of_ingest = _child(command, "ingest", work)
    starts = []
    for wanted in [*[texts[:1]] * (STARTS - 1), texts]:
        (work / "questions.json").write_text(json.dumps(wanted), encoding="utf-8")
        peak_of_asking = _child(command, "ask", work)
        answered = json.loads((work / "asked.json").read_text(encoding="utf-8"))
        starts.append(answered["start_s"])
    p50, p95 = np.percentile(answered["milliseconds"], (50, 95))
    ingested = json.loads((work / "ingested.json").read_text(encoding="utf-8"))
    values = {way: judged(asked, found) for way, found in answered["rankings"].items()}
    return {
        "load_s": round(ingested["load_s"], 2),
        "ingest": {
            "s": round(ingested["ingest_s"], 2),
            "peak_memory_mb": round(peak_of_ingest / 1e6),
            "index_mb": round(_size(work / "index") / 1e6, 1),
        },
        "first_answer_of_a_process_s": round(statistics.median(starts), 2),
        "question": {
            "way": [*values][-1],
            "timed": len(answered["milliseconds"]),
            "p50_ms": round(float(p50), 1),
            "p95_ms": round(float(p95), 1),
            "peak_memory_mb": round(peak_of_asking / 1e6),
        },
        "sources": sources(asked, values),
    }


def _child(command: Sequence[str], action: str, work: Path) -> int:
    """Bytes at the peak. PYTHONPATH would lead out of the environment."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return watch.run([*command, action, str(work), repr(time.time())], inherited | QUIET).peak


def judged(asked: Sequence[Question], rankings: Sequence[Sequence[str]]) -> dict[str, list[float]]:
    """Metric -> value of each question. Documents are ranked as they came."""
    run = {
        question.id: {doc: float(len(found) - rank) for rank, doc in enumerate(found)}
        for question, found in zip(asked, rankings, strict=True)
    }
    values = per_query({question.id: question.relevant for question in asked}, run, METRICS)
    return {metric: [values[metric][question.id] for question in asked] for metric in METRICS}


def sources(asked: Sequence[Question], values: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """Source -> means of every way, with nDCG@10 of each question as one string; "all" are all sources together."""
    named = {name: [n for n, q in enumerate(asked) if q.source == name] for name in sorted({q.source for q in asked})}
    if len(named) > 1:
        named["all"] = [n for places in named.values() for n in places]
    return {
        name: {
            "questions": len(places),
            "ways": {way: _row([found[metric] for metric in METRICS], places) for way, found in values.items()},
        }
        for name, places in named.items()
    }


def _row(values: Sequence[Sequence[float]], places: Sequence[int]) -> dict[str, Any]:
    means = {
        metric: round(float(np.mean([of[n] for n in places])), 4) for metric, of in zip(METRICS, values, strict=True)
    }
    return means | {"ndcg@10_of_each": " ".join(f"{values[0][n]:.3g}" for n in places)}


def _print(result: Mapping[str, Any]) -> None:
    print(json.dumps({name: value for name, value in result.items() if name != "sources"}, indent=1))
    for source, row in result["sources"].items():
        for way, means in row["ways"].items():
            print(f"{source} ({row['questions']}), {way}: " + ", ".join(f"{m} {means[m]:.3f}" for m in METRICS))


def _fingerprint(asked: Sequence[Question], corpus: Mapping[str, object]) -> str:
    """Two results compare question by question only when these are the same."""
    return hashlib.sha256(json.dumps([[q.id for q in asked], [*corpus]]).encode()).hexdigest()[:12]


def _size(folder: Path, without: Sequence[str] = ()) -> int:
    """Bytes of all files, without bytecode and without entries that begin with these names."""
    kept = [top for top in folder.iterdir() if not top.name.startswith(tuple(without))] if without else [folder]
    files = [path for top in kept for path in ([top] if top.is_file() else top.rglob("*"))]
    return sum(path.stat().st_size for path in files if path.is_file() and "__pycache__" not in path.parts)


if __name__ == "__main__":
    main()
