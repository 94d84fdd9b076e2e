"""Answers without a language model: the sentences of the passages that answer, or NOT_FOUND.

Knows: how to score a sentence against a question, and how sure to be before answering at all. Does not know: how
passages were found.

The weights below are fits on 1,500 questions of KLUE-MRC, TyDi QA (Korean) and XQuAD (English), half of them held out
for the figures in docs/decisions/0004-extract.md. Cosines enter in units of what is usual for the encoder, so that
they mean about the same for another one.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from damda.korean import sentences
from damda.types import NOT_FOUND, Analyser, Delta, Encoder, Generator, Hit, Message, Usage

# Sentence score: cosine in standard deviations; shares of the question's words in the sentence, in it and its
# neighbours, and in its passage with the headings; the passage's rank from 0; log of its length; whether it has the
# number that the question asks for (+1, -1, 0 when it asks for none).
_COSINE, _OWN, _NEAR, _PASSAGE, _RANK, _LENGTH, _NUMBER = 0.77, 0.9, 2.1, 2.0, -0.72, 0.52, 1.08
# Confidence that the passages answer at all: a logistic function of the best sentence's cosine, the first passage's
# share of the question's words, and how far the best sentence's score stands out over the median one.
_SURE_COSINE, _SURE_PASSAGE, _SURE_MARGIN, _SURE_BIAS = 0.99, 1.41, 0.37, -5.41
THRESHOLD = 0.25
"""Below this confidence the answer is NOT_FOUND; docs/decisions/0004-extract.md has the curve."""

_ASKS_NUMBER = re.compile(
    r"몇|얼마|언제|년도|연도|날짜|며칠|나이|인구"
    r"|how (?:many|much|long|old|far|often)|when\b|what (?:year|date|percent)",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of a passage, with what is known of it. ``own``, ``near`` and ``passage`` are shares, 0 to 1."""

    text: str
    rank: int
    cosine: float
    own: float
    near: float
    passage: float
    number: int

    @property
    def score(self) -> float:
        """How well it answers; comparable for one question only."""
        return (
            _COSINE * self.cosine
            + _OWN * self.own
            + _NEAR * self.near
            + _PASSAGE * self.passage
            + _RANK * self.rank
            + _LENGTH * math.log(max(len(self.text), 5))
            + _NUMBER * self.number
        )


class Extract:
    """Fits ``Generator``: streams sentences of the passages, best first, a line each; NOT_FOUND when none answers.

    Args:
        encoder, analyser: compare sentences with the question.
        cosines: (mean, standard deviation) of the cosine between two texts that have nothing to do with each other.
        quotes: most sentences of an answer.
        threshold: least confidence; None: `THRESHOLD`.
    """

    def __init__(
        self,
        encoder: Encoder,
        analyser: Analyser,
        cosines: Callable[[], tuple[float, float]],
        *,
        quotes: int = 3,
        threshold: float | None = None,
    ) -> None:
        self._encoder, self._analyser, self._cosines = encoder, analyser, cosines
        self._quotes = quotes
        self._threshold = THRESHOLD if threshold is None else threshold
        self.id = f"extract-1(quotes={quotes},threshold={self._threshold:g})"

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> Iterator[Delta]:
        """One delta a sentence. ``max_tokens``, ``temperature`` and ``stop`` are for models that write."""
        ranked = self.rank(messages[-1].content, passages)
        if not self.answers(ranked):
            yield Delta(NOT_FOUND, "stop", Usage())
            return
        chosen = list(dict.fromkeys(" ".join(candidate.text.split()) for candidate in ranked))[: self._quotes]
        for text in chosen[:-1]:
            yield Delta(text + "\n")
        yield Delta(chosen[-1], "stop", Usage())

    def rank(self, question: str, passages: Sequence[Hit]) -> list[Candidate]:
        """The sentences of the passages, the one that answers best first."""
        return sorted(self._candidates(question, passages), key=lambda c: -c.score) if passages else []

    def answers(self, ranked: Sequence[Candidate]) -> bool:
        """Whether ranked sentences are likely enough to answer."""
        return bool(ranked) and confidence(ranked) >= self._threshold

    def _candidates(self, question: str, passages: Sequence[Hit]) -> list[Candidate]:
        spans = [sentences(hit.chunk.text, wrapped=True) for hit in passages]
        texts = [hit.chunk.text[a:b] for hit, found in zip(passages, spans, strict=True) for a, b in found]
        contexts = [f"{hit.chunk.title}\n{hit.chunk.heading}" for hit in passages]
        wanted, *words = map(frozenset, self._analyser.content([question, *texts, *contexts]))
        mean, deviation = self._cosines()
        vectors = self._encoder.encode(texts, kind="passage") @ self._encoder.encode([question], kind="query")[0]
        cosines = ((vectors - mean) / deviation).tolist()
        asks_number = bool(_ASKS_NUMBER.search(question))

        def share(*of: frozenset[str]) -> float:
            return len(wanted.intersection(frozenset().union(*of))) / len(wanted) if wanted else 0.0

        candidates, at = [], 0
        for rank, found in enumerate(spans):
            own = list(words[at : at + len(found)])
            passage = share(*own, words[len(texts) + rank])
            for n in range(len(found)):
                text, cosine, near = texts[at + n], cosines[at + n], own[max(n - 1, 0) : n + 2]
                if n and _is_question(texts[at + n - 1]):
                    # What follows a question answers it, whatever its own words are.
                    cosine, own[n] = max(cosine, cosines[at + n - 1]), own[n] | own[n - 1]
                if (_is_question(text) and n + 1 < len(found)) or (words[at + n] and words[at + n] <= wanted):
                    continue  # a question answers nothing, nor does what only repeats the asked words, as titles do
                number = (1 if _DIGIT.search(text) else -1) if asks_number else 0
                candidates.append(Candidate(text, rank, cosine, share(own[n]), share(*near), passage, number))
            at += len(found)
        return candidates


class Gated:
    """A generator that is asked only when the passages seem to answer the question. Fits ``Generator``.

    For language models too small to say "not found" by themselves: below the threshold they are not asked.
    """

    def __init__(self, generator: Generator, reader: Extract) -> None:
        self._generator, self._reader = generator, reader

    @property
    def id(self) -> str:
        """The generator's, with the gate's threshold: another threshold refuses other questions."""
        return f"{self._generator.id}({self._reader.id})"

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> Iterator[Delta]:
        """NOT_FOUND when the passages don't seem to answer, else the generator's own stream."""
        if not self._reader.answers(self._reader.rank(messages[-1].content, passages)):
            yield Delta(NOT_FOUND, "stop", Usage())
            return
        yield from self._generator.stream(
            messages, passages=passages, max_tokens=max_tokens, temperature=temperature, stop=stop
        )


def confidence(ranked: Sequence[Candidate]) -> float:
    """Probability, 0 to 1, that the passages answer the question.

    Args:
        ranked: their sentences, best first; at least one.
    """
    best, median = ranked[0], ranked[len(ranked) // 2]
    first = next((c.passage for c in ranked if c.rank == 0), best.passage)
    margin = best.score - median.score
    logit = _SURE_COSINE * best.cosine + _SURE_PASSAGE * first + _SURE_MARGIN * margin + _SURE_BIAS
    return 1 / (1 + math.exp(-logit))


def _is_question(sentence: str) -> bool:
    return sentence.rstrip("\"'”’ )*").endswith(("?", "？"))
