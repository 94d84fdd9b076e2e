"""How good an answer is, by rules: KorQuAD's exact match and F1, quotes, refusals.

Knows: texts and what they should have been. Does not know: who answered.

Normalisation (KorQuAD 1.0, https://korquad.github.io): the marks ' " ‘ ’ 《 》 〈 〉 < > ( ) become spaces, letters
lower case, ASCII punctuation is dropped, runs of white space become one space. F1 is over characters, white space
left out, since Korean words carry particles. Of several right wordings the best counts.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from damda.types import Answer

_MARKS = re.compile(r"['\"‘’《》〈〉<>()]")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """A text as KorQuAD compares it."""
    return " ".join(_MARKS.sub(" ", text).lower().translate(_PUNCTUATION).split())


def exact_match(said: str, gold: Sequence[str]) -> float:
    """1 when ``said`` is one of the right wordings, else 0."""
    return float(any(normalise(said) == normalise(right) for right in gold))


def f1(said: str, gold: Sequence[str]) -> float:
    """F1 over characters against the nearest of the right wordings, 0 to 1."""
    return max((_overlap(said, right) for right in gold), default=0.0)


def _overlap(said: str, right: str) -> float:
    a, b = (Counter(normalise(text).replace(" ", "")) for text in (said, right))
    same = sum((a & b).values())
    return 2 * same / (a.total() + b.total()) if same else 0.0


def holds(quote: str, gold: Sequence[str]) -> bool:
    """Whether a right wording stands in the quote; white space may differ."""
    flat = " ".join(quote.split())
    return any(" ".join(right.split()) in flat for right in gold)


@dataclass(frozen=True, slots=True)
class Judged:
    """One question's answer, judged. Shares and scores are 0 to 1; those of a refused question are 0.

    Attributes:
        refused: it was not answered.
        refused_without: it was not answered when the passages that answer it were hidden; None: not tried.
        first, any: a right wording stands in the first quote, in any quote.
        quote_precision: share of the quotes that hold a right wording.
        exact, f1: of the short answer where there is one, else of the first quote.
        unsupported: share of the sentences that no passage supports.
        text: the answer, "" for none.
    """

    id: str
    source: str
    answerable: bool
    refused: bool
    refused_without: bool | None = None
    first: bool = False
    any: bool = False
    quote_precision: float = 0.0
    exact: float = 0.0
    f1: float = 0.0
    unsupported: float = 0.0
    text: str = ""


def judge(
    query_id: str, source: str, gold: Sequence[str], answer: Answer, *, answerable: bool, without: Answer | None = None
) -> Judged:
    """Compare an answer with the right wordings; ``without`` is the answer with the right passages hidden."""
    hidden = None if without is None else not without.found
    if not answer.found or not gold:
        return Judged(query_id, source, answerable, not answer.found, hidden)
    held = [holds(quote.text, gold) for quote in answer.quotes]
    short = answer.quotes[0].short or answer.quotes[0].text
    sentences = len(answer.unsupported) + len(answer.quotes)
    return Judged(
        query_id,
        source,
        answerable,
        refused=False,
        refused_without=hidden,
        first=held[0],
        any=any(held),
        quote_precision=sum(held) / len(held),
        exact=exact_match(short, gold),
        f1=f1(short, gold),
        unsupported=len(answer.unsupported) / sentences,
        text=answer.text,
    )


def summary(judged: Sequence[Judged]) -> dict[str, float]:
    """Means over answerable questions, and how well refusing tells the others from them.

    Refusals count over both kinds of unanswerable questions: those known to be, and answerable ones with their
    passages hidden. Precision: of the refusals, how many were right; recall: of the unanswerable, how many were
    refused.
    """
    answerable = [j for j in judged if j.answerable]
    right = sum(j.refused for j in judged if not j.answerable) + sum(j.refused_without is True for j in answerable)
    hopeless = len(judged) - len(answerable) + sum(j.refused_without is not None for j in answerable)
    wrong = sum(j.refused for j in answerable)
    count = max(len(answerable), 1)
    precision, recall = right / max(right + wrong, 1), right / max(hopeless, 1)
    return {
        "answered": 1 - wrong / count,
        "gold_in_first_quote": sum(j.first for j in answerable) / count,
        "gold_in_quotes": sum(j.any for j in answerable) / count,
        "quote_precision": sum(j.quote_precision for j in answerable) / count,
        "exact_match": sum(j.exact for j in answerable) / count,
        "f1": sum(j.f1 for j in answerable) / count,
        "unsupported": sum(j.unsupported for j in answerable) / count,
        "refusal_precision": precision,
        "refusal_recall": recall,
        "refusal_f1": 2 * precision * recall / (precision + recall) if right else 0.0,
    }
