"""An Answer as text, and back.

Knows: the types that an Answer is made of. Does not know: where the text is kept.

Numbers that are none (NaN, infinity) all come back as NaN. The trace is not kept: it tells of another question.
"""

import json
import re
from typing import Any

from damda.plain import plain
from damda.types import Answer, Chunk, Found, Hit, Quote, Usage, Verdict

_HALF = re.compile("[\ud800-\udfff]")


def to_text(value: Any) -> str:  # noqa: ANN401  whatever `plain` takes
    """JSON that any file takes: half characters (what Python makes of bytes that are no text) are escaped."""
    text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))
    return json.dumps(plain(value)) if _HALF.search(text) else text


def answer_to_text(answer: Answer) -> str:
    """All of an Answer but its trace and where it came from."""
    found = plain(answer)
    for name in ("trace_id", "cached", "cached_for"):
        del found[name]
    return to_text(found)


def answer_from_text(text: str) -> Answer:
    """The Answer that `answer_to_text` wrote.

    Raises:
        ValueError, TypeError, KeyError: it is another version's, or none.
    """
    return answer_of(json.loads(text))


def answer_of(row: dict[str, Any]) -> Answer:
    """The Answer that `plain` made JSON of.

    Raises:
        ValueError, TypeError, KeyError: as in `answer_from_text`.
    """
    return Answer(
        **row
        | {
            "quotes": tuple(_quote(quote) for quote in row["quotes"]),
            "hits": tuple(hit_of(hit) for hit in row["hits"]),
            "unsupported": tuple(row["unsupported"]),
            "usage": Usage(**row["usage"]),
            "verdicts": tuple(_verdict(verdict) for verdict in row["verdicts"]),
        }
    )


def _quote(row: dict[str, Any]) -> Quote:
    return Quote(**row | {"answer": None if row["answer"] is None else (row["answer"][0], row["answer"][1])})


def hit_of(row: dict[str, Any]) -> Hit:
    """The Hit that `plain` made JSON of.

    Raises:
        ValueError, TypeError, KeyError: as in `answer_from_text`.
    """
    numbers = {name: _number(row[name]) for name in ("score", "cosine", "bm25")}
    return Hit(**row | numbers | {"chunk": Chunk(**row["chunk"])})


def _verdict(row: dict[str, Any]) -> Verdict:
    found = tuple(Found(*one) for one in row["found"])
    return Verdict(**row | {"found": found, "score": _number(row["score"])})


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
