"""Questions -> fusion weight and refusal threshold, a verdict on each, and what is adopted."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from damda import adopted
from damda.assemble import candidates
from damda.assemble.tuning import versions
from damda.errors import ConfigError
from damda.generate.extract import THRESHOLD
from damda.knowledge import KnowledgeBase
from damda.measure.dataset import Question
from damda.measure.evaluate import sample
from damda.settings import Settings
from damda.tune import fusion
from damda.tune.make_encoder import judge
from damda.tune.split import by_document
from damda.tune.verdict import LEAST, Change, Verdict, change, decide
from damda.types import Progress

_READ = 250
"""Questions of each source in each half, at most, that the threshold is learnt from, and judged by: the passages of
each are read twice."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """One number: what it was, what was learnt, the mean of each that was tried, and whether it is better."""

    setting: str
    before: float
    after: float
    tried: Mapping[float, float]
    verdict: Verdict
    adopted: bool = False


def tune_fusion(
    kb: KnowledgeBase, settings: Settings, asked: Sequence[Question], progress: Progress, *, adopt: bool = True
) -> list[Learnt]:
    """Learn both numbers from most documents' questions, judge each on the others', adopt what is better.

    The threshold is learnt where answers are extractive or gated by it, with the weight that is in force.

    Raises:
        BusyError: another process tunes these documents.
        ConfigError: too few questions.
    """
    parts = by_document(asked, versions(kb), validation=0.0, held_out=0.5)
    if min(len(parts.train), len(parts.held_out)) < LEAST:
        raise ConfigError(
            f"{len(asked)} questions are too few: {LEAST} are needed to learn from and {LEAST} of other documents to "
            "judge by"
        )
    with adopted.tuning(kb.home):
        learnt = [_weight(kb, settings, parts.train, parts.held_out, progress)]
        if settings.answer.generator != "remote":
            learnt.append(_threshold(kb, settings, parts.train, parts.held_out, progress))
        better = {one.setting: one.after for one in learnt if one.verdict.adopt}
        if not (adopt and better):
            return learnt
        why: dict[str, Any] = {"verdicts": [asdict(one.verdict) for one in learnt if one.verdict.adopt]}
        candidates.make(kb, settings, better, progress).adopt("fusion", why)
    return [Learnt(o.setting, o.before, o.after, o.tried, o.verdict, adopted=o.verdict.adopt) for o in learnt]


def _weight(
    kb: KnowledgeBase, settings: Settings, train: Sequence[Question], held: Sequence[Question], progress: Progress
) -> Learnt:
    before = settings.search.vectors
    best, means = fusion.worth(fusion.listed(kb, train, progress), kb.cosines())
    if best == before or means[best] <= means.get(before, 0.0):
        best = before
    if best == before:
        verdict = decide(Change("fusion weight", len(held), 0.0, 0.0, 1.0), ())
        verdict = Verdict(False, ("the weight in force is the best of those tried",), verdict.aim)
    else:
        other = candidates.make(kb, settings, {"search.vectors": best}, progress)
        verdict = judge(kb, other.kb, held, "hybrid", (), progress)
    return Learnt("search.vectors", before, best, means, verdict)


def _threshold(
    kb: KnowledgeBase, settings: Settings, train: Sequence[Question], held: Sequence[Question], progress: Progress
) -> Learnt:
    before = THRESHOLD if settings.answer.threshold is None else settings.answer.threshold
    passages = settings.answer.passages
    best, means = fusion.threshold(fusion.sureness(kb, kb.confidence, sample(train, _READ), passages, progress))
    seen = fusion.sureness(kb, kb.confidence, sample(held, _READ), passages, progress)
    aim = change("answered when it is there, refused when not", fusion.right(seen, before), fusion.right(seen, best))
    return Learnt("answer.threshold", before, best, means, decide(aim, ()))
