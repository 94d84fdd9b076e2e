"""Asks a data set's questions and writes down what came back.

Knows: in which order questions are searched, answered and graded, what is timed. Does not know: how metrics are defined
(``retrieval.py``, ``answers.py``, ``judge.py``) or shown (``report.py``).
"""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from damda.measure.answers import Judged, judge
from damda.measure.dataset import Question
from damda.measure.judge import Case, Judgement, verdicts
from damda.measure.retrieval import CURVE, METRICS, Run, best_of_documents, per_query
from damda.types import Answer, Generator, Hit, Mode, Progress

_BATCH = 32
_TIMED = 100
"""Questions that are searched for one at a time, for the latency."""

_SHOWN = 160


class Asked(Protocol):
    """What is measured: the asking half of a KnowledgeBase."""

    def search_batch(self, queries: Sequence[str], k: int = 10, *, mode: Mode | None = None) -> list[list[Hit]]: ...

    def ask(self, question: str, *, passages: Sequence[Hit] | None = None) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Found:
    """One mode's rankings of documents.

    Attributes:
        values: metric -> query id -> value; with ``recall@k`` for every k of ``CURVE``.
        run: query id -> document id -> score, best first.
        previews: query id -> the beginnings of the best passages found.
        p50_ms, p95_ms: of a search alone, one question at a time; 0: not known.
        per_second: searches a second in batches; 0: not known.
    """

    values: dict[str, dict[str, float]]
    run: Run
    previews: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        modes: of searching, side by side.
        mode: that answers are made with.
        passages: that the generator sees.
        sample: questions a source; None: all.
        answers: of them, those that are answered and judged too; 0: none.
        brought: name -> rankings that were made elsewhere, to be judged beside the modes.
        judge: a language model that grades the answers too; None: rules alone do.
        judge_tokens: most that it writes about an answer.
    """

    modes: Sequence[Mode]
    mode: Mode
    passages: int = 5
    sample: int | None = None
    answers: int = 100
    brought: Mapping[str, Run] = field(default_factory=dict)
    judge: Generator | None = None
    judge_tokens: int = 512


@dataclass(frozen=True, slots=True)
class Measured:
    """What was asked and what came back: rankings by mode or brought name, answers judged by rules, seconds an answer,
    and what a language model said of them."""

    asked: Sequence[Question]
    found: dict[str, Found]
    judged: list[Judged] = field(default_factory=list)
    seconds_an_answer: float = 0.0
    judgement: Judgement | None = None


def measure(kb: Asked, questions: Sequence[Question], plan: Plan, progress: Progress) -> Measured:
    """Search in every mode, then answer a sample, then have the answers graded: last, since a model may fail."""
    if plan.sample is not None:
        questions = sample(questions, plan.sample)
    modes = plan.modes if any(question.relevant for question in questions) else ()
    found: dict[str, Found] = {mode: searched(kb, questions, mode, progress) for mode in modes}
    found |= {name: brought(questions, run) for name, run in plan.brought.items()}
    asked = sample([q for q in questions if q.answers or not q.answerable], plan.answers)
    judged, seconds = answered(kb, asked, plan.mode, progress, passages=plan.passages)
    graded = None
    if plan.judge is not None:
        graded = verdicts(plan.judge, cases(asked, judged), progress, max_tokens=plan.judge_tokens)
    return Measured(questions, found, judged, seconds, graded)


def cases(asked: Sequence[Question], judged: Sequence[Judged]) -> list[Case]:
    """What a language model can grade: answers to questions whose right answers are known. Refusals need no opinion."""
    return [
        Case(question.id, question.source, question.text, question.answers, one.text, by_rules=one.any)
        for question, one in zip(asked, judged, strict=True)
        if question.answers and not one.refused
    ]


def searched(
    kb: Asked,
    questions: Sequence[Question],
    mode: Mode,
    progress: Progress,
    *,
    depth: int = max(CURVE),
    metrics: Sequence[str] = METRICS,
) -> Found:
    """Search for all questions that have relevant documents, in one mode.

    Args:
        depth: documents a question; metrics see no further.
    """
    asked = [question for question in questions if question.relevant]
    run, previews = {}, {}
    kb.search_batch([question.text for question in asked[:1]], 1, mode=mode)  # models load with the first search
    begun = time.perf_counter()
    for at in range(0, len(asked), _BATCH):
        progress(f"searching, {mode}", at, len(asked))
        batch = asked[at : at + _BATCH]
        # Several passages of a document may be found: more passages than documents have to be asked for.
        found = kb.search_batch([q.text for q in batch], 2 * depth, mode=mode)
        for question, hits in zip(batch, found, strict=True):
            best = best_of_documents(hits)[:depth]
            run[question.id] = {doc_id: hit.score for doc_id, hit in best}
            previews[question.id] = [(doc_id, hit.chunk.text[:_SHOWN]) for doc_id, hit in best[:3]]
    took = time.perf_counter() - begun
    progress(f"searching, {mode}", len(asked), len(asked))
    values = _values(asked, run, metrics)
    p50, p95 = _latency(kb, asked, mode)
    return Found(values, run, previews, p50, p95, len(asked) / took if took else 0.0)


def brought(questions: Sequence[Question], run: Run, *, metrics: Sequence[str] = METRICS) -> Found:
    """Judge rankings that were made elsewhere; nothing is known of their speed."""
    asked = [question for question in questions if question.relevant]
    previews = {q.id: [(doc, "") for doc in list(run.get(q.id, ()))[:3]] for q in asked}
    return Found(_values(asked, run, metrics), {q.id: run.get(q.id, {}) for q in asked}, previews)


def _values(asked: Sequence[Question], run: Run, metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    wanted = dict.fromkeys([*metrics, *(f"recall@{k}" for k in CURVE)])
    return per_query({q.id: q.relevant for q in asked}, _ranked(run), wanted)


def _ranked(run: Run) -> Run:
    """Scores that fall with the rank: trec_eval breaks ties by the document's id, a user sees them in our order."""
    return {
        query: {doc: float(len(documents) - rank) for rank, doc in enumerate(documents)}
        for query, documents in run.items()
    }


def _latency(kb: Asked, asked: Sequence[Question], mode: Mode) -> tuple[float, float]:
    timed = random.Random(0).sample(list(asked), min(_TIMED, len(asked)))
    seconds = []
    for question in timed:
        begun = time.perf_counter()
        kb.search_batch([question.text], 10, mode=mode)
        seconds.append(time.perf_counter() - begun)
    if not seconds:
        return 0.0, 0.0
    p50, p95 = np.percentile(seconds, (50, 95)) * 1000
    return float(p50), float(p95)


def answered(
    kb: Asked, questions: Sequence[Question], mode: Mode | None, progress: Progress, *, passages: int = 5
) -> tuple[list[Judged], float]:
    """Answer questions and judge the answers; those with known passages a second time with them hidden.

    Args:
        passages: that the generator sees.

    Returns:
        The judgements in the order of the questions, and seconds an answer.
    """
    judged = []
    spent, answers = 0.0, 0
    for done, question in enumerate(questions):
        progress("answering", done, len(questions))
        # Enough that hiding the right documents leaves as many as before.
        (hits,) = kb.search_batch([question.text], 4 * passages, mode=mode)
        begun = time.perf_counter()
        answer = kb.ask(question.text, passages=hits[:passages])
        without = None
        if question.relevant:
            others = [hit for hit in hits if hit.chunk.doc_id not in question.relevant]
            without = kb.ask(question.text, passages=others[:passages])
        spent, answers = spent + time.perf_counter() - begun, answers + 1 + (without is not None)
        judged.append(
            judge(
                question.id,
                question.source,
                question.answers,
                answer,
                answerable=question.answerable,
                without=without,
            )
        )
    progress("answering", len(questions), len(questions))
    return judged, spent / max(answers, 1)


def sample(questions: Sequence[Question], count: int, *, seed: int = 0) -> list[Question]:
    """At most ``count`` questions of each source, drawn with a fixed seed, in their own order."""
    picked: set[str] = set()
    for source in sorted({q.source for q in questions}):
        mine = [q.id for q in questions if q.source == source]
        picked.update(random.Random(seed).sample(mine, min(count, len(mine))))
    return [q for q in questions if q.id in picked]
