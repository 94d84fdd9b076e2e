"""An evaluation as one JSON document: figures by mode and source, what is more than chance, the worst questions.

Knows: the document's shape, and how two of them are compared. Does not know: how it looks (``cli/``, ``html.py``).

    {"dataset", "date", "settings": {...}, "questions", "default": mode,
     "retrieval": {mode: {"sources": {source: {metric: mean}}, "p50_ms", "p95_ms", "per_second"}},
     "differences": {source: [{"mode", "metric", "difference", "p"}]},      each mode against the default one
     "answers": {"sources": {source: {figure: value}}, "seconds_an_answer"},
     "judge": {"judge": id, "sources": {source: {figure: value or null}}, "failure", "disagreeing",
               "disagreements": [{"id", "question", "source", "right", "answer", "grade", "by_rules", "said"}],
               "unread": [{"id", "said"}]},
     "similarity": {"pairs", "spearman", "pearson"},                        of scored pairs, given instead of questions
     "worst": [{"id", "question", "source", "relevant", "rank", "found": [[document, text]]}],
     "per_question": {"retrieval": {mode: {metric: {id: value}}}, "answers": {id: {figure: value}},
                      "judge": {id: {"grade": 0 to 2, "right": 0 or 1}},
                      "similarity": {id: [people's score, cosine]}}}

``sources`` has one entry a source and "all". What was not measured is empty.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damda.errors import ConfigError, ReadError
from damda.measure.answers import Judged, summary
from damda.measure.dataset import Question
from damda.measure.evaluate import Found, Measured
from damda.measure.judge import RIGHT, Judgement, disagree
from damda.measure.judge import summary as opinions
from damda.measure.retrieval import paired_p
from damda.measure.similarity import Pair, agreement, paired_bootstrap, people

ALL = "all"
TESTED = ("hit@10", "mrr@10", "ndcg@10")
"""Metrics whose differences are tested."""

_WORST = 20
_WIDE = 28
_FEW = 5
"""With fewer questions nothing can be told from chance."""

Result = dict[str, Any]


def compose(name: str, measured: Measured, default: str, settings: Mapping[str, str]) -> Result:
    """Put everything that was measured into one document.

    Args:
        default: the mode that others are compared with; where it was not measured, the first that was.
        settings: name -> value, for readers.
    """
    asked, found = measured.asked, measured.found
    if default not in found:
        default = next(iter(found), default)
    return _empty(name, settings) | {
        "questions": len(asked),
        "default": default,
        "retrieval": {mode: _retrieval(one, asked) for mode, one in found.items()},
        "differences": _differences(found, default, asked),
        "answers": _answers(measured.judged, measured.seconds_an_answer),
        "judge": _judgement(measured.judgement, measured.judged) if measured.judgement else {},
        "worst": _worst(found[default], asked) if default in found else [],
        "per_question": {
            "retrieval": {mode: one.values for mode, one in found.items()},
            "answers": {j.id: _numbers(j) for j in measured.judged},
            "judge": _grades(measured.judgement) if measured.judgement else {},
            "similarity": {},
        },
    }


def compose_pairs(
    name: str, scored: Sequence[Pair], cosines: NDArray[np.float64], settings: Mapping[str, str]
) -> Result:
    """The same document of an encoder's cosines for scored pairs."""
    spearman, pearson = agreement(cosines, people(scored))
    each = {_pair_id(pair): [pair.score, float(said)] for pair, said in zip(scored, cosines, strict=True)}
    result = _empty(name, settings)
    result["similarity"] = {"pairs": len(scored), "spearman": round(spearman, 4), "pearson": round(pearson, 4)}
    result["per_question"]["similarity"] = each
    return result


def _empty(name: str, settings: Mapping[str, str]) -> Result:
    return {
        "dataset": name,
        "date": time.strftime("%Y-%m-%d"),
        "settings": dict(settings),
        "questions": 0,
        "default": "",
        "retrieval": {},
        "differences": {},
        "answers": {},
        "judge": {},
        "similarity": {},
        "worst": [],
        "per_question": {"retrieval": {}, "answers": {}, "judge": {}, "similarity": {}},
    }


def _pair_id(pair: Pair) -> str:
    return hashlib.sha256(f"{pair.first}\0{pair.second}".encode()).hexdigest()[:16]


def _by_source(asked: Sequence[Question]) -> dict[str, list[str]]:
    """Source -> ids of the questions with known documents; "all" comes last, and alone where there is one source."""
    known = [q for q in asked if q.relevant]
    sources = sorted({q.source for q in known})
    groups = {s: [q.id for q in known if q.source == s] for s in sources} if len(sources) > 1 else {}
    return groups | {ALL: [q.id for q in known]}


def _retrieval(found: Found, asked: Sequence[Question]) -> Result:
    sources = {
        source: {metric: _mean([values[i] for i in ids]) for metric, values in found.values.items()}
        for source, ids in _by_source(asked).items()
        if ids
    }
    times = {"p50_ms": round(found.p50_ms, 2), "p95_ms": round(found.p95_ms, 2)}
    return {"sources": sources, **times, "per_second": round(found.per_second, 1)}


def _differences(found: Mapping[str, Found], default: str, asked: Sequence[Question]) -> Result:
    if default not in found:
        return {}
    table: Result = {}
    for source, ids in _by_source(asked).items():
        rows = []
        for mode in (mode for mode in found if mode != default and len(ids) >= _FEW):
            for metric in (m for m in TESTED if m in found[mode].values):
                theirs, ours = ([found[m].values[metric][i] for i in ids] for m in (mode, default))
                rows.append(
                    {
                        "mode": mode,
                        "metric": metric,
                        "difference": round(_mean(theirs) - _mean(ours), 4),
                        "p": round(paired_p(theirs, ours), 4),
                    }
                )
        table[source] = rows
    return table


def _answers(judged: Sequence[Judged], seconds: float) -> Result:
    if not judged:
        return {}
    sources = sorted({j.source for j in judged})
    groups = {s: [j for j in judged if j.source == s] for s in sources} if len(sources) > 1 else {}
    table = {
        source: {"questions": len(mine)} | {name: round(value, 4) for name, value in summary(mine).items()}
        for source, mine in (groups | {ALL: list(judged)}).items()
    }
    return {"sources": table, "seconds_an_answer": round(seconds, 3)}


def _judgement(judgement: Judgement, judged: Sequence[Judged]) -> Result:
    """What the language model said, beside what the rules say of the same answers."""
    verdicts = judgement.verdicts
    sources = sorted({j.source for j in judged})
    table = {}
    for source in [*(sources if len(sources) > 1 else ()), ALL]:
        mine = [v for v in verdicts if source in (ALL, v.case.source)]
        refused = sum(j.answerable and j.refused for j in judged if source in (ALL, j.source))
        figures = {name: None if value is None else round(value, 4) for name, value in opinions(mine).items()}
        table[source] = {"refused": refused, **figures}
    apart = [v for v in verdicts if disagree(v)]
    return {
        "judge": judgement.judge,
        "sources": table,
        "failure": judgement.failure,
        "disagreeing": len(apart),
        "disagreements": [
            {
                "id": v.case.id,
                "question": v.case.question,
                "source": v.case.source,
                "right": list(v.case.gold),
                "answer": v.case.answer,
                "grade": v.grade,
                "by_rules": v.case.by_rules,
                "said": v.said,
            }
            for v in apart[:_WORST]
        ],
        "unread": [{"id": v.case.id, "said": v.said} for v in verdicts if v.grade is None][:_WORST],
    }


def _grades(judgement: Judgement) -> dict[str, dict[str, float]]:
    clear = [v for v in judgement.verdicts if v.grade is not None]
    return {v.case.id: {"grade": float(v.grade or 0), "right": float(v.grade == RIGHT)} for v in clear}


def _worst(found: Found, asked: Sequence[Question]) -> list[Result]:
    scores = found.values.get("ndcg@10") or next(iter(found.values.values()), {})
    known = {q.id: q for q in asked}
    rows = []
    for query_id in sorted(scores, key=lambda i: (scores[i], i))[:_WORST]:
        question, ranking = known[query_id], list(found.run.get(query_id, ()))
        rank = next((n for n, doc in enumerate(ranking, 1) if doc in question.relevant), None)
        if rank == 1:
            continue
        rows.append(
            {
                "id": query_id,
                "question": question.text,
                "source": question.source,
                "relevant": sorted(question.relevant),
                "rank": rank,
                "found": [list(pair) for pair in found.previews.get(query_id, ())],
            }
        )
    return rows


def _numbers(judged: Judged) -> dict[str, float]:
    kept = {k: v for k, v in asdict(judged).items() if isinstance(v, bool | float)}
    return {name: float(value) for name, value in kept.items()}


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0


def chance(p: float | None) -> str:
    """A p for people; "" for none."""
    return "" if p is None else "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def cell(value: float | None, form: str = ".3f") -> str:
    """A figure for people; a dash where it does not apply."""
    return "–" if value is None else format(value, form)


def shortened(name: str) -> str:
    """A name without its middle where it is long: a path would leave no room for figures."""
    return name if len(name) <= _WIDE else f"{name[:8]}…{name[9 - _WIDE :]}"


def figure(result: Result, name: str) -> float:
    """One figure over all questions: a metric of the default mode ("ndcg@10", "bm25:ndcg@10"), one of the answers, of
    the language model's opinion of them ("judge:right"), or of the agreement on scored pairs.

    Raises:
        ConfigError: the evaluation has no such figure.
    """
    retrieval, opinion = result["retrieval"], {"judge": result.get("judge", {})}
    tables = {f"{of}:": _overall(one) for of, one in (retrieval | opinion).items()}
    tables[""] = _overall(retrieval.get(result["default"], {})) | _overall(result["answers"]) | result["similarity"]
    of, colon, metric = name.rpartition(":")
    known = tables.get(of + colon, {})
    if known.get(metric) is None:
        names = [f"{of}{metric}" for of in ("", "judge:") for metric in tables[of]]
        raise ConfigError(f"{name!r} was not measured; there are {', '.join(names) or 'no figures'}")
    return float(known[metric])


def _overall(part: Mapping[str, Any]) -> Result:
    return dict(part.get("sources", {}).get(ALL, {}))


def compare(before: Result, after: Result) -> list[Result]:
    """What changed between two evaluations, over the questions that both have, each with its significance."""
    rows = []
    pairs: dict[tuple[str, str], tuple[dict[str, float], dict[str, float]]] = {}
    for mode in before["per_question"]["retrieval"]:
        old, new = (r["per_question"]["retrieval"].get(mode, {}) for r in (before, after))
        pairs |= {(mode, metric): (old[metric], new[metric]) for metric in old if metric in new}
    same = before.get("judge", {}).get("judge") == after.get("judge", {}).get("judge")
    for part, of in (("answers", "answers"), ("judge", "judge" if same else "judge (another)")):
        old, new = (r["per_question"].get(part, {}) for r in (before, after))
        for name in dict.fromkeys(name for values in old.values() for name in values):
            was_, now_ = ({i: v[name] for i, v in side.items() if name in v} for side in (old, new))
            pairs[of, name] = was_, now_
    for (of, metric), (a, b) in pairs.items():
        ids = sorted(a.keys() & b.keys())
        if ids:
            was, now = [a[i] for i in ids], [b[i] for i in ids]
            rows.append(
                {
                    "of": of,
                    "metric": metric,
                    "questions": len(ids),
                    "before": _mean(was),
                    "after": _mean(now),
                    "p": round(paired_p(now, was), 4) if len(ids) >= _FEW else None,
                }
            )
    return rows + _compare_pairs(before, after)


def _compare_pairs(before: Result, after: Result) -> list[Result]:
    """Over the scored pairs that both have."""
    old, new = (r["per_question"].get("similarity", {}) for r in (before, after))
    ids = sorted(old.keys() & new.keys())
    if len(ids) < 2:
        return []
    scores, was, now = (np.array([side[i][n] for i in ids]) for side, n in ((old, 0), (old, 1), (new, 1)))
    rows = []
    for n, metric in enumerate(("spearman", "pearson")):
        rows.append(
            {
                "of": "similarity",
                "metric": metric,
                "questions": len(ids),
                "before": round(agreement(was, scores)[n], 4),
                "after": round(agreement(now, scores)[n], 4),
                "p": round(paired_bootstrap(now, was, scores, ranked=n == 0), 4) if len(ids) >= _FEW else None,
            }
        )
    return rows


def read(path: Path) -> Result:
    """An evaluation from its JSON file.

    Raises:
        ReadError: the file can't be read, or is none.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        if not {"retrieval", "answers", "per_question", "default"} <= result.keys():
            raise ValueError("its keys are others")
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from error
    except (ValueError, AttributeError) as error:
        raise ReadError(f"{path} is not what `damda eval --json` writes ({error})") from error
    return dict(result)
