"""Answers and texts given again: to the same question, or to one that means the same.

Knows: the order of the looks (exact, near, agreed), the scale of likeness. Does not know: how rows are kept
(`remembered`), when two questions agree (`agree`), what a scope is made of.

No failure here reaches an answer: what can't be looked up was never asked.
"""

import hashlib
import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from damda.answer.direct import Said
from damda.answer.memory.remembered import Entry, How, Memory
from damda.answer.memory.spelling import normalised
from damda.answer.memory.stored import answer_from_text, answer_to_text, to_text
from damda.errors import DamdaError
from damda.korean import nfc
from damda.types import Answer, Encoder, Finish, Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger("damda.cache")

THRESHOLD = 0.7
"""Least likeness of a question that means the same: with the guards, at most 1 % of what is given again is another
question's, on the half of ParaKQC that was held out; see benchmarks/results/cache.json for the curve."""

Payload = TypeVar("Payload")


class Judge(Protocol):
    """Whether two questions may share an answer."""

    def agree(self, asked: str, earlier: str) -> str:
        """ "" where they may, else what they differ in."""
        ...

    def penalty(self, asked: str, earlier: str) -> float:
        """How much more alike than the threshold the two must be, for the words that only one of them has."""
        ...


class Recalled(NamedTuple, Generic[Payload]):
    """What was remembered, and the question that it was made for."""

    value: Payload
    how: How
    earlier: str


class _Recall(Generic[Payload]):
    """Looks up and remembers payloads of one kind.

    Args:
        memory: where they are.
        encoder, judge: for questions that mean the same; None: only the same question counts.
        threshold: least likeness, on the scale of `likeness`.
        kind: of the payloads.
        read: text to payload; ValueError, TypeError or KeyError where it is none.
    """

    def __init__(
        self,
        memory: Memory,
        encoder: Encoder | None,
        judge: Judge | None,
        threshold: float,
        kind: str,
        read: Callable[[str], Payload],
    ) -> None:
        self._memory, self._encoder, self._judge = memory, encoder, judge
        self._threshold, self._kind, self._read = threshold, kind, read
        self._missed = _Missed()
        self._said: set[str] = set()

    def find(self, question: str, scope: str) -> Recalled[Payload] | None:
        question = nfc(question)
        if not normalised(question):
            return None
        scope = f"{self._kind}:{scope}"
        entry = self._memory.get_exact(question, scope)
        found = self._read_from(entry, "exact") if entry else None
        refused = False
        vector = None
        if found is None and self._encoder is not None and self._judge is not None:
            try:
                vector = self._vector(self._encoder, question)
                entry, found, refused = self._near(self._encoder, self._judge, vector, question, scope)
            except DamdaError as error:
                self._say(f"no similar questions are looked for: {error}")
        self._memory.looked(entry if found else None, found.how if found else None, refused=refused and found is None)
        if found is None:
            self._missed.begin(question, scope, vector)
        return found

    def keep(self, question: str, scope: str, payload: str) -> None:
        question = nfc(question)
        if not normalised(question):
            return
        scope = f"{self._kind}:{scope}"
        vector, took = self._missed.end(question, scope)
        try:
            if vector is None and self._encoder is not None and self._judge is not None:
                vector = self._vector(self._encoder, question)
        except DamdaError as error:
            self._say(f"answers are remembered for the same question only: {error}")
        space = self._encoder.id if self._encoder is not None and vector is not None else ""
        self._memory.put(question, scope, payload, kind=self._kind, vector=vector, space=space, took=took)

    def _near(
        self, encoder: Encoder, judge: Judge, vector: "NDArray[np.float32]", question: str, scope: str
    ) -> tuple[Entry | None, Recalled[Payload] | None, bool]:
        """The first entry whose question agrees, and whether one was refused that is as near."""
        base = self._unrelated
        least = base + self._threshold * (1 - base)
        refused = False
        for cosine, entry in self._memory.near(vector, scope, least, encoder.id):
            alike = likeness(cosine, base)
            differs = judge.agree(question, entry.question)
            if differs or alike < self._threshold + judge.penalty(question, entry.question):
                refused = True
            elif (found := self._read_from(entry, "semantic")) is not None:
                return entry, found, refused
        return None, None, refused

    def _read_from(self, entry: Entry, how: How) -> Recalled[Payload] | None:
        try:
            return Recalled(self._read(entry.payload), how, entry.question)
        except (ValueError, TypeError, KeyError):
            log.debug("a remembered %s is another version's", self._kind)
            return None

    @cached_property
    def _unrelated(self) -> float:
        assert self._encoder is not None
        return unrelated(self._encoder)

    @staticmethod
    def _vector(encoder: Encoder, question: str) -> "NDArray[np.float32]":
        vector: NDArray[np.float32] = encoder.encode([question], kind="query")[0]
        return vector

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            log.warning(what)


class AnswerCache:
    """Fits ``Cache``: whole answers.

    Args:
        memory: where they are.
        encoder, judge: for questions that mean the same; None: only the same question counts.
        threshold: least likeness of two questions, from 0, as unrelated ones have on average, to 1, the same; see
            `likeness`.
    """

    def __init__(
        self, memory: Memory, encoder: Encoder | None = None, judge: Judge | None = None, threshold: float = THRESHOLD
    ) -> None:
        self._recall = _Recall(memory, encoder, judge, threshold, "answer", answer_from_text)

    def get(self, question: str, scope: str) -> Answer | None:
        """The answer to this question, or to one that means the same, and says which; without a trace."""
        found = self._recall.find(question, scope)
        if found is None:
            return None
        return replace(found.value, cached=found.how, cached_for=found.earlier if found.how == "semantic" else "")

    def put(self, question: str, scope: str, answer: Answer) -> None:
        """Remember an answer, unless it was a remembered one already."""
        if not answer.cached:
            self._recall.keep(question, scope, answer_to_text(answer))


class TextCache:
    """Fits ``Texts``: what bare language models said; a question here is all that the last message says.

    Without an encoder it is found to the letter only: it may be no question but a prompt, in which capitals and white
    space can mean something. Arguments as for `AnswerCache`.
    """

    def __init__(
        self, memory: Memory, encoder: Encoder | None = None, judge: Judge | None = None, threshold: float = THRESHOLD
    ) -> None:
        self._recall = _Recall(memory, encoder, judge, threshold, "text", _written)
        self._to_the_letter = encoder is None

    def get(self, question: str, scope: str) -> Said | None:
        """The text that was written for this question, or for one that means the same."""
        found = self._recall.find(question, self._scope(question, scope))
        if found is None:
            return None
        text, finish, usage = found.value
        return Said(text, finish, usage, found.how, found.earlier if found.how == "semantic" else "")

    def put(self, question: str, scope: str, text: str, finish: Finish, usage: Usage) -> None:
        """Remember a text."""
        row = to_text({"text": text, "finish": finish, "usage": usage})
        self._recall.keep(question, self._scope(question, scope), row)

    def _scope(self, question: str, scope: str) -> str:
        letters = question.encode("utf-8", "replace")  # half characters are no text
        return f"{scope}:{hashlib.sha256(letters).hexdigest()}" if self._to_the_letter else scope


def _written(payload: str) -> tuple[str, Finish, Usage]:
    row = json.loads(payload)
    return row["text"], row["finish"], Usage(**row["usage"])


_STRANGERS = (
    "내일 서울 날씨 어때?",
    "퇴직금은 어떻게 계산해?",
    "이 함수가 왜 느리지?",
    "김치찌개에 뭐가 들어가?",
    "거실 불 좀 켜 줘",
    "조선의 두 번째 왕은 누구야?",
    "환불은 며칠 걸려요?",
    "가장 긴 강의 길이는?",
    "how do I reset my password?",
    "who painted the ceiling of the chapel?",
    "what causes high tides?",
    "set a timer for ten minutes",
)


def unrelated(encoder: Encoder) -> float:
    """The cosine between two questions that have nothing to do with each other, on average: the zero of likeness.

    What the encoder says of itself (``cosines``), else the mean over a dozen questions of the module's own.
    """
    said: tuple[float, float] | None = getattr(encoder, "cosines", None)
    if said is not None:
        return said[0]
    vectors = encoder.encode(_STRANGERS, kind="query")
    count = len(vectors)
    return float(((vectors @ vectors.T).sum() - count) / (count * (count - 1)))


def likeness(cosine: float, base: float) -> float:
    """A cosine on a scale that all encoders share: 0 for unrelated questions, 1 for the same.

    Encoders differ in what the cosine of unrelated texts is (e5: .79; others: about 0), so a threshold on the cosine
    would fit one of them only.
    """
    return (cosine - base) / (1 - base)


class _Missed:
    """Questions that were looked for and are being answered: their vectors, and since when."""

    _MOST = 256

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: OrderedDict[tuple[str, str], tuple[NDArray[np.float32] | None, float]] = OrderedDict()

    def begin(self, question: str, scope: str, vector: "NDArray[np.float32] | None") -> None:
        with self._lock:
            self._begun[question, scope] = (vector, time.monotonic())
            while len(self._begun) > self._MOST:
                self._begun.popitem(last=False)

    def end(self, question: str, scope: str) -> "tuple[NDArray[np.float32] | None, float]":
        """The vector, and seconds since then; (None, 0) where nobody looked."""
        with self._lock:
            begun = self._begun.pop((question, scope), None)
        return (begun[0], time.monotonic() - begun[1]) if begun else (None, 0.0)
