"""Better or not: what decides whether something tuned takes the place of what there was.

Knows: figures by question before and after, which difference is more than chance. Does not know: what was tuned.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from damda.measure.dataset import Question
from damda.measure.retrieval import best_of_documents, paired_p, per_query
from damda.types import Hit

METRIC = "ndcg@10"
"""What has to get better."""

LEAST = 20
"""Questions below which no test could tell a gain from chance."""

LEVEL = 0.05
"""p below which a difference is taken to be more than chance."""


@dataclass(frozen=True, slots=True)
class Change:
    """One figure on one set of questions or pairs, before and after; ``p`` of the paired test between them."""

    name: str
    count: int
    before: float
    after: float
    p: float

    @property
    def worse(self) -> bool:
        """Worse by more than chance."""
        return self.after < self.before and self.p < LEVEL

    @property
    def better(self) -> bool:
        """Better by more than chance."""
        return self.after > self.before and self.p < LEVEL


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to adopt, and why or why not, in sentences.

    Attributes:
        aim: what had to get better.
        guarded: what must not have got worse.
    """

    adopt: bool
    reasons: tuple[str, ...]
    aim: Change
    guarded: tuple[Change, ...] = field(default=())


def change(name: str, before: Mapping[str, float], after: Mapping[str, float]) -> Change:
    """Of values by question, the same questions in both."""
    old, new = ([values[question] for question in before] for values in (before, after))
    if not old:
        return Change(name, 0, 0.0, 0.0, 1.0)
    return Change(name, len(old), sum(old) / len(old), sum(new) / len(new), paired_p(new, old))


def by_question(found: Iterable[tuple[Question, Sequence[Hit]]]) -> dict[str, float]:
    """`METRIC` of each question whose hits, best first, are given: a document ranks where its best passage does."""
    relevant: dict[str, frozenset[str]] = {}
    run: dict[str, dict[str, float]] = {}
    for question, hits in found:
        relevant[question.id] = question.relevant
        best = best_of_documents(hits)[:10]
        run[question.id] = {document: float(-rank) for rank, (document, _) in enumerate(best)}
    return per_query(relevant, run, (METRIC,))[METRIC]


def by_source(
    name: str, asked: Sequence[Question], before: Mapping[str, float], after: Mapping[str, float]
) -> list[Change]:
    """The same for each source that has enough questions, where there are several: what helps the many may harm the
    few."""
    found = []
    for source in sorted({question.source for question in asked}):
        ids = [question.id for question in asked if question.source == source and question.id in before]
        if LEAST <= len(ids) < len(before):
            old, new = ({one: values[one] for one in ids} for values in (before, after))
            found.append(change(f"{name} of {source}", old, new))
    return found


def decide(aim: Change, guarded: Sequence[Change]) -> Verdict:
    """Adopt what is better where it counts and worse nowhere."""
    reasons = []
    if not aim.count:
        reasons.append("there is no held-out question to judge it by")
    elif aim.after <= aim.before:
        reasons.append(f"{_said(aim)}: not better")
    elif not aim.better:
        reasons.append(f"{_said(aim)}: better, but that may be chance (it has to be p < {LEVEL:g})")
    reasons += [f"{_said(one)}: worse" for one in guarded if one.worse]
    adopt = not reasons
    if adopt:
        reasons.append(f"{_said(aim)}: better")
        reasons += [f"{_said(one)}: not worse by more than chance" for one in guarded]
    return Verdict(adopt, tuple(reasons), aim, tuple(guarded))


def unlearnt(before: float, after: float, count: int) -> Verdict:
    """Of a training that gained nothing: the held-out questions need not be asked."""
    aim = Change("mean reciprocal rank, validation questions", count, before, after, 1.0)
    return Verdict(False, (f"{aim.name} {before:.4f} -> {after:.4f}: the training gained nothing",), aim)


def _said(one: Change) -> str:
    return f"{one.name} {one.before:.4f} -> {one.after:.4f} (of {one.count:,}; p = {one.p:.4f})"
