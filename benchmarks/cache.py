"""The semantic cache: what it gives again, what it must not, and how long that takes.

python benchmarks/cache.py DATA

DATA: the folder with ko_sts/parakqc.jsonl (groups of paraphrases; other groups of the same topic are traps), ko_qa,
en_xquad and ko_sts/klue_sts_dev.jsonl. Halves by a hash of the group, or of the pair: the guards were written by "dev",
"held out" was not looked at. Each look-up is of the nearest five remembered questions, as in damda.answer.memory.cache.
"bare": by likeness alone; "guarded": by damda.answer.agreement.agree too.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import machine
import numpy as np
from numpy.typing import NDArray

from damda.answer.agreement.agree import Agreement
from damda.answer.memory.cache import THRESHOLD, AnswerCache, unrelated
from damda.answer.memory.remembered import Memory
from damda.assemble import models
from damda.settings import Settings
from damda.types import Answer, Encoder

HERE = Path(__file__).parent
THRESHOLDS = [round(0.4 + 0.05 * n, 2) for n in range(12)]
NEAREST, NEVER = 5, 9.0
ACTS = ("choice", "question", "prohibition", "requirement")


class Asked(NamedTuple):
    text: str
    group: str
    act: int


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("data", type=Path)
    data = arguments.parse_args().data
    settings = Settings()
    encoder, analyser = models.make_encoder(settings.encoder, offline=True), models.make_analyser(settings)
    bench = Bench(encoder, Agreement(analyser))
    rows = lines(data / "ko_sts" / "parakqc.jsonl")
    result: dict[str, Any] = {"encoder": encoder.id, "unrelated": round(bench.base, 3), "threshold": THRESHOLD}
    for half in ("dev", "held out"):
        asked = [Asked(row["text"], str(row["group"]), row["act"]) for row in rows if of(str(row["group"])) == half]
        result[half] = {f"{k} remembered of each group": bench.paraphrases(asked, k) for k in (1, 3, 5)}
        pairs = [row for row in lines(HERE / "cache_pairs.jsonl") if of(row["a"] + "|" + row["b"]) == half]
        result[half]["pairs"] = bench.pairs(pairs)
        for name in ("ko_qa", "en_xquad"):
            texts = dict.fromkeys(row["text"].strip() for row in lines(data / name / "queries.jsonl"))
            result[half][f"{name}: other questions"] = bench.strangers([text for text in texts if of(text) == half])
        scored = [row for row in lines(data / "ko_sts" / "klue_sts_dev.jsonl") if of(row["id"]) == half]
        result[half]["klue_sts"] = bench.scored(scored)
        show(half, result[half])
        sys.stdout.flush()
    result["milliseconds"] = latencies(encoder, bench, list(dict.fromkeys(row["text"] for row in rows)))
    print(json.dumps(result["milliseconds"], indent=1))
    machine.save("cache", result)
    (HERE / "results" / "cache.svg").write_text(plot(result["held out"]), encoding="utf-8")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def of(key: str) -> str:
    """Which half."""
    return "dev" if hashlib.sha256(key.encode()).digest()[0] % 2 == 0 else "held out"


class Bench:
    """Look-ups without a file: the same decisions, on vectors that are made once."""

    def __init__(self, encoder: Encoder, judge: Agreement) -> None:
        self.encoder, self.judge = encoder, judge
        self.base = unrelated(encoder)
        self.vectors: dict[str, NDArray[np.float32]] = {}
        self._penalties: dict[tuple[str, str], float] = {}

    def alike(self, texts: Sequence[str], others: Sequence[str]) -> NDArray[np.float32]:
        """Likeness of each with each, shape (texts, others)."""
        new = [text for text in dict.fromkeys((*texts, *others)) if text not in self.vectors]
        self.vectors.update(zip(new, self.encoder.encode(new, kind="query"), strict=True))
        one, other = (np.array([self.vectors[text] for text in side]) for side in (texts, others))
        found: NDArray[np.float32] = one @ other.T
        return (found - self.base) / (1 - self.base)

    def penalty(self, one: str, other: str) -> float:
        key = (one, other)
        if key not in self._penalties:
            self._penalties[key] = NEVER if self.judge.agree(one, other) else self.judge.penalty(one, other)
        return self._penalties[key]

    def paraphrases(self, asked: Sequence[Asked], k: int) -> dict[str, Any]:
        """Some of each group remembered, the others asked for; and again as if their group had never been asked."""
        draw = np.random.default_rng(k)
        groups: dict[str, list[int]] = {}
        for n, one in enumerate(asked):
            groups.setdefault(one.group, []).append(n)
        kept = sorted(int(n) for members in groups.values() for n in draw.permutation(members)[:k])
        others = sorted(set(range(len(asked))) - set(kept))
        alike = self.alike([asked[n].text for n in others], [asked[n].text for n in kept])
        same = np.array([[asked[n].group == asked[m].group for m in kept] for n in others])
        acts = [asked[n].act for n in others]
        found: dict[str, Any] = {"look-ups": len(others)}
        for name, likes in (("asked before", alike), ("never asked before", np.where(same, -1, alike))):
            nearest = [[int(m) for m in np.argsort(-row)[:NEAREST] if row[m] >= THRESHOLDS[0]] for row in likes]
            weighed = [
                [(float(likes[n][m]), bool(same[n][m]), self.penalty(asked[others[n]].text, asked[kept[m]].text))
                 for m in near]
                for n, near in enumerate(nearest)
            ]  # fmt: skip
            found[name] = {
                "bare": curve(weighed, guarded=False),
                "guarded": curve(weighed, guarded=True),
                "by act": {act: curve([w for w, a in zip(weighed, acts, strict=True) if a == n], guarded=True,
                           thresholds=[THRESHOLD])[0] for n, act in enumerate(ACTS)},
            }  # fmt: skip
        return found

    def pairs(self, pairs: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Of own pairs how many get the other's answer, by kind."""
        alike = np.diag(self.alike([row["a"] for row in pairs], [row["b"] for row in pairs]))
        found: dict[str, Any] = {}
        for row, like in zip(pairs, alike, strict=True):
            bare = bool(like >= THRESHOLD)
            guarded = bool(like >= THRESHOLD + self.penalty(row["a"], row["b"]))
            name = f"{row['lang']} {'paraphrases' if row['same'] else 'traps'}"
            for key in (name, f"{name}: {row['kind']}"):
                counted = found.setdefault(key, {"pairs": 0, "bare": 0, "guarded": 0})
                counted["pairs"] += 1
                counted["bare"] += bare
                counted["guarded"] += guarded
        return dict(sorted(found.items()))

    def strangers(self, texts: Sequence[str]) -> dict[str, Any]:
        """Questions of people who did not mean to repeat one another: how many would get another one's answer."""
        alike = self.alike(texts, texts)
        np.fill_diagonal(alike, -1)
        bare, given = 0, []
        for n, row in enumerate(alike):
            near = [int(m) for m in np.argsort(-row)[:NEAREST] if row[m] >= THRESHOLD]
            bare += bool(near)
            hit = next((m for m in near if row[m] >= THRESHOLD + self.penalty(texts[n], texts[m])), None)
            if hit is not None:
                given.append(n)
        return {"questions": len(texts), "bare": bare, "guarded": len(given)}

    def scored(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Pairs of sentences that people gave 0 to 5 points for meaning the same."""
        alike = np.diag(self.alike([row["s1"] for row in rows], [row["s2"] for row in rows]))
        found = {}
        for name, low, high in (("4.5 and more", 4.5, 5.1), ("3 to 4.5", 3, 4.5), ("below 3", -1, 3)):
            at = [n for n, row in enumerate(rows) if low <= row["score"] < high]
            bare = sum(bool(alike[n] >= THRESHOLD) for n in at)
            guarded = sum(alike[n] >= THRESHOLD + self.penalty(rows[n]["s1"], rows[n]["s2"]) for n in at)
            found[name] = {"pairs": len(at), "bare": int(bare), "guarded": int(guarded)}
        return found


def curve(
    weighed: Sequence[Sequence[tuple[float, bool, float]]], *, guarded: bool, thresholds: Sequence[float] = THRESHOLDS
) -> list[dict[str, float]]:
    """Hits and false hits at each threshold, given (likeness, right, penalty) of the nearest, best first."""
    found = []
    for threshold in thresholds:
        hits = [
            next((right for like, right, penalty in near if like >= threshold + (penalty if guarded else 0)), None)
            for near in weighed
        ]
        right, false = hits.count(True), hits.count(False)
        found.append(
            {
                "threshold": threshold,
                "hits": round(right / len(weighed), 4),
                "false hits": round(false / len(weighed), 4),
                "false of hits": round(false / (right + false), 4) if right + false else 0.0,
            }
        )
    return found


def latencies(encoder: Encoder, bench: Bench, texts: Sequence[str]) -> dict[str, Any]:
    """Of single calls, p50 and p95."""
    found: dict[str, Any] = {}
    answer = Answer("답" * 600)
    judge, by_text = bench.judge, bench.vectors
    with tempfile.TemporaryDirectory() as folder:
        for count in (100, len(texts)):
            memory = Memory(Path(folder) / f"{count}.sqlite", days=30, megabytes=200)
            cache, quick = AnswerCache(memory, encoder, judge), AnswerCache(memory, Known(encoder, by_text), judge)
            found[f"{count} remembered"] = timings(memory, cache, quick, texts, by_text, count, answer, encoder.id)
            memory.close()
    found["encode"] = timed(partial(encode, encoder), texts[:300])
    pairs = list(zip(texts[:300], texts[1:301], strict=True))
    found["agree and penalty, both unread"] = timed(partial(judged, judge), pairs)
    return found


def timings(
    memory: Memory,
    cache: AnswerCache,
    quick: AnswerCache,
    texts: Sequence[str],
    by_text: dict[str, NDArray[np.float32]],
    count: int,
    answer: Answer,
    space: str,
) -> dict[str, Any]:
    def put(text: str) -> None:
        quick.put(text, "scope", answer)

    def exact(text: str) -> object:
        return cache.get(text, "scope")

    def semantic(text: str) -> object:
        return cache.get(f"{text} 궁금", "scope")

    def near(text: str) -> object:
        return memory.near(by_text[text], "answer:scope", 0.9, space)

    some = texts[: min(count, 400)]
    puts = timed(put, texts[:count])
    semantic("처음 하는 질문")
    return {
        "put": puts,
        "get, exact": timed(exact, some),
        "get, semantic or miss": timed(semantic, some),
        "the search in it": timed(near, some),
    }


def encode(encoder: Encoder, text: str) -> object:
    return encoder.encode([text], kind="query")


def judged(judge: Agreement, pair: tuple[str, str]) -> object:
    one, other = f"{pair[0]} ", f"{pair[1]} "  # texts that the judge has not read
    return judge.agree(one, other), judge.penalty(one, other)


class Known:
    """An encoder whose vectors are made already."""

    def __init__(self, encoder: Encoder, vectors: dict[str, NDArray[np.float32]]) -> None:
        self.id, self.dim, self._vectors = encoder.id, encoder.dim, vectors
        self.count_tokens = encoder.count_tokens

    def encode(self, texts: Sequence[str], *, kind: str) -> NDArray[np.float32]:
        return np.array([self._vectors[text] for text in texts])


def timed(call: Callable[[Any], object], items: Sequence[Any]) -> dict[str, float]:
    """Milliseconds."""
    took = []
    for item in items:
        began = time.perf_counter()
        call(item)
        took.append((time.perf_counter() - began) * 1000)
    return {"p50": round(float(np.percentile(took, 50)), 3), "p95": round(float(np.percentile(took, 95)), 3)}


def show(half: str, result: dict[str, Any]) -> None:
    for name, figures in result.items():
        if name.endswith("of each group"):
            for known in ("asked before", "never asked before"):
                for how in ("bare", "guarded"):
                    print(half, name, known, how)
                    for row in figures[known][how]:
                        print("   ", *row.values())
            print(figures["asked before"]["by act"])
        else:
            print(half, name, json.dumps(figures, ensure_ascii=False))


def plot(result: dict[str, Any]) -> str:
    """Hits (up) against false hits (right, square root) along the thresholds, as SVG."""
    width, height, edge = 640, 400, 48
    colours = {"bare": "#b45309", "guarded": "#1d4ed8"}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="{width}" height="{height}" fill="white"/>'
    ]

    def at(row: dict[str, float]) -> tuple[float, float]:
        x = edge + (width - 2 * edge) * min(1.0, (row["false hits"] / 0.16) ** 0.5)
        return round(x, 1), round(height - edge - (height - 2 * edge) * row["hits"], 1)

    for share in (0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.15):
        x, _ = at({"false hits": share, "hits": 0})
        parts.append(f'<line x1="{x}" x2="{x}" y1="{edge}" y2="{height - edge}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{height - edge + 16}" text-anchor="middle">{share * 100:g}</text>')
    for share in (0, 0.2, 0.4, 0.6, 0.8, 1.0):
        _, y = at({"false hits": 0, "hits": share})
        parts.append(f'<line x1="{edge}" x2="{width - edge}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{edge - 6}" y="{y + 4}" text-anchor="end">{share * 100:g}</text>')
    for known, dashes in (("1 remembered of each group", ""), ("5 remembered of each group", "5 4")):
        for how, colour in colours.items():
            points = " ".join(f"{x},{y}" for x, y in map(at, result[known]["asked before"][how]))
            parts.append(
                f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" '
                f'stroke-dasharray="{dashes}"/>'
            )
            for row in result[known]["asked before"][how]:
                x, y = at(row)
                chosen = abs(row["threshold"] - THRESHOLD) < 1e-6
                parts.append(f'<circle cx="{x}" cy="{y}" r="{5 if chosen else 2}" fill="{colour}"/>')
    parts.append(
        f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">false hits, % of look-ups (square-root scale)'
        '</text><text x="12" y="24">hits, % of look-ups; solid: 1 of each group remembered, dashed: 5; '
        '<tspan fill="#b45309">likeness alone</tspan>, <tspan fill="#1d4ed8">with guards</tspan>; '
        "large: the default threshold</text></svg>\n"
    )
    return "\n".join(parts)


if __name__ == "__main__":
    main()
