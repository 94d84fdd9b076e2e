"""A language model as the judge of answers, and how far it agrees with the rules of ``answers.py``.

Knows: the rubric, examples, how a verdict is read, agreement beyond chance. Does not know: which model it is, or how
the answers were made.

A model's grade is an opinion: it is shown beside the rules' and their agreement, never in their place. What can't be
read as a grade is counted as no verdict. No reasons are asked for: a small model loses itself in them, and one that
thinks does so before it answers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from damda.errors import GeneratorError
from damda.types import Generator, Message, Progress

WRONG, PARTLY, RIGHT = 0, 1, 2
GRADES = {RIGHT: "right", PARTLY: "partly", WRONG: "wrong"}

_RUBRIC = """\
You grade answers to questions. You are given a question (질문), the right answers (정답; any one of them suffices) \
and the answer to be graded (답변). Judge only whether the answer says what a right answer says.

2 = right: it says what a right answer says, in whatever words; more beside it does no harm.
1 = partly: it says only a part of it, or says it together with something that contradicts it.
0 = wrong: it does not say it, or says something else.

Reply with one line and nothing else, the grade as one digit:
점수: (0, 1 or 2)"""

_EXAMPLES = (
    (
        "도서관은 토요일에 몇 시까지 여나요?",
        ("오후 5시",),
        "도서관은 평일 오전 9시부터 오후 6시까지, 토요일은 오후 5시까지 문을 연다. [1]",
        RIGHT,
    ),
    (
        "훈민정음을 만든 왕은 누구인가?",
        ("세종", "세종대왕"),
        "훈민정음은 1443년에 만들어져 1446년에 반포되었다. [1]",
        WRONG,
    ),
    (
        "신청할 때 내야 하는 서류는?",
        ("신분증과 통장 사본",),
        "신청하는 사람은 신분증을 가지고 와야 한다. [1]",
        PARTLY,
    ),
    (
        "Which river flows through the city?",
        ("the Danube",),
        "The city lies on the Rhine. [1]",
        WRONG,
    ),
)

_NAMED = re.compile(r"(?:점수|score|grade)[\s*_`\"]*[:：=]\s*(.*)", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_ALONE = re.compile(r"[\s*_`\"]*([012])\s*점?[\s*_`\".]*")
_NEXT = ("\n질문:", "\nQuestion:")
"""Where a model goes on to a next case of its own."""

_LONGEST = 2000
"""Characters of an answer that are judged."""


@dataclass(frozen=True, slots=True)
class Case:
    """An answer to be judged: not refused, and the right answers known. ``by_rules``: one of them stands in a quote."""

    id: str
    source: str
    question: str
    gold: Sequence[str]
    answer: str
    by_rules: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge said of a case; ``grade`` is None where that is no grade."""

    case: Case
    grade: int | None
    said: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """Verdicts of one judge, and why they are not all there if it failed."""

    judge: str
    verdicts: Sequence[Verdict] = ()
    failure: str = ""


def verdicts(judge: Generator, cases: Sequence[Case], progress: Progress, *, max_tokens: int = 512) -> Judgement:
    """Every case judged by itself, at temperature 0. A judge that fails ends it; its verdicts until then are kept."""
    said: list[Verdict] = []
    name = ""
    try:
        name = judge.id
        for case in cases:
            progress("judging", len(said), len(cases))
            deltas = judge.stream(prompt(case), max_tokens=max_tokens, temperature=0.0, stop=_NEXT)
            reply = "".join(delta.text for delta in deltas).strip()
            said.append(Verdict(case, grade(reply), reply))
    except GeneratorError as error:
        return Judgement(name, said, str(error))
    progress("judging", len(cases), len(cases))
    return Judgement(name, said)


def prompt(case: Case) -> list[Message]:
    """Rubric, worked examples as turns of a conversation, the case: all but the case can stay in a server's cache."""
    turns = [Message("system", _RUBRIC)]
    for question, gold, answer, given in _EXAMPLES:
        turns += [Message("user", _shown(question, gold, answer)), Message("assistant", f"점수: {given}")]
    return [*turns, Message("user", _shown(case.question, case.gold, case.answer))]


def _shown(question: str, gold: Sequence[str], answer: str) -> str:
    lines = (" ".join(text.split()) for text in (question, " / ".join(gold), answer[:_LONGEST]))
    return "\n".join(f"{name}: {line}" for name, line in zip(("질문", "정답", "답변"), lines, strict=True))


def grade(said: str) -> int | None:
    """The grade that a reply names: 0, 1 or 2. None where it names none, several that differ, or anything else.

    "2/2", "1.5" and "0 or 1" name none: what they mean would be a guess.
    """
    if alone := _ALONE.fullmatch(said):
        return int(alone[1])
    named = {tuple(_NUMBER.findall(line)) for line in _NAMED.findall(said)}
    return next((at for at in GRADES if named == {(str(at),)}), None)


def kappa(a: Sequence[bool], b: Sequence[bool]) -> float | None:
    """Cohen's kappa of two judges' yes and no: (observed - chance) / (1 - chance) agreement; None where chance is 1.

    Source: Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20, 1960.
    """
    if not a:
        return None
    n = len(a)
    observed = sum(x == y for x, y in zip(a, b, strict=True)) / n
    yes = sum(a) * sum(b) / n**2
    chance = yes + (n - sum(a)) * (n - sum(b)) / n**2
    return (observed - chance) / (1 - chance) if chance < 1 else None


def summary(verdicts: Sequence[Verdict]) -> dict[str, float | None]:
    """Shares over the cases with a verdict, and the agreement of "right" with the rules; None where there is none."""
    clear = [v for v in verdicts if v.grade is not None]
    n = len(clear)
    ours, rules = [v.grade == RIGHT for v in clear], [v.case.by_rules for v in clear]
    same = sum(x == y for x, y in zip(ours, rules, strict=True))
    shares = {name: sum(v.grade == at for v in clear) / n if n else None for at, name in GRADES.items()}
    return {
        "judged": len(verdicts),
        "no_verdict": len(verdicts) - n,
        **shares,
        "right_by_rules": sum(rules) / n if n else None,
        "agreement": same / n if n else None,
        "kappa": kappa(ours, rules),
    }


def disagree(verdict: Verdict) -> bool:
    """Whether judge and rules differ on "right"."""
    return verdict.grade is not None and (verdict.grade == RIGHT) != verdict.case.by_rules
