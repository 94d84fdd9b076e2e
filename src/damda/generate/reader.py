"""Which sentences of the passages answer a question, and how sure that is; without a language model.

Knows: what speaks for a sentence, and with what weight. Does not know: how passages were found, what is made of it.

The weights are fits on questions of KLUE-MRC, TyDi QA (Korean) and XQuAD (English), made by ``benchmarks/reader.py``,
which also says what each piece of evidence is worth; docs/decisions/0004-extract.md has the figures. Cosines enter in
units of what is usual for the encoder, so that they mean about the same for another one.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from damda import asked
from damda.korean import sentences
from damda.types import Analyser, Encoder, Hit, Kind


class Evidence(NamedTuple):
    """What speaks for one sentence.

    Attributes:
        cosine: between question and sentence, in standard deviations from the mean of unrelated texts.
        in_context: the same, the sentence being read in its passage.
        own: share of the question's words in it, 0 to 1.
        near: share of them in it and its two neighbours; rare words count for more, here and in the next.
        passage: share of them in its passage with title and headings.
        number: has a date or quantity as the question asks for one (1), lacks it (-1), none is asked for (0).
    """

    cosine: float
    in_context: float
    own: float
    near: float
    passage: float
    number: float


class Support(NamedTuple):
    """What speaks for the passages having an answer at all.

    Attributes:
        cosine: the greatest of all sentences', as in ``Evidence``.
        margin: by how much the best sentence's score stands out over the median one.
        covered: share of the question's words in all passages, rare words counting for more.
    """

    cosine: float
    margin: float
    covered: float


SENTENCE = Evidence(cosine=0.53, in_context=1.54, own=1.67, near=2.25, passage=2.91, number=1.11)
ANSWERED, BIAS = Support(cosine=0.89, margin=0.39, covered=1.52), -5.98


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of the passage at ``rank``, from 0. ``words``: what it says, without particles and endings."""

    text: str
    rank: int
    words: frozenset[str]
    evidence: Evidence

    @property
    def score(self) -> float:
        """How well it answers; comparable for one question only."""
        return sum(weight * value for weight, value in zip(SENTENCE, self.evidence, strict=True))


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: sentences, the one that answers best first; None of ``support`` when there are none."""

    candidates: tuple[Candidate, ...]
    support: Support | None = None

    @property
    def confidence(self) -> float:
        """Probability, 0 to 1, that the passages answer the question."""
        if self.support is None:
            return 0.0
        logit = BIAS + sum(weight * value for weight, value in zip(ANSWERED, self.support, strict=True))
        return 1 / (1 + math.exp(-logit))

    def distinct(self, count: int) -> list[Candidate]:
        """The best ones; none whose words another one before it has said."""
        chosen: list[Candidate] = []
        for candidate in self.candidates:
            said = " ".join(candidate.text.split())
            if not any(
                said == " ".join(other.text.split()) or (candidate.words and candidate.words <= other.words)
                for other in chosen
            ):
                chosen.append(candidate)
            if len(chosen) == count:
                break
        return chosen


class EncodeParts(Protocol):
    """As ``OnnxEncoder.encode_parts``: vectors of parts of texts, each read in its text."""

    def __call__(
        self, texts: Sequence[str], parts: Sequence[Sequence[tuple[int, int]]], *, kind: Kind
    ) -> list[NDArray[np.float32]]: ...


class Reader:
    """Reads passages for an answer.

    Args:
        encoder, analyser: compare sentences with the question.
        cosines: (mean, standard deviation) of the cosine between two texts that have nothing to do with each other.
        rarity: how rare words are, above 0.
        in_context: encodes sentences in their passage; None: a sentence is compared by itself only.
    """

    def __init__(
        self,
        encoder: Encoder,
        analyser: Analyser,
        cosines: Callable[[], tuple[float, float]],
        rarity: Callable[[Sequence[str]], Sequence[float]],
        in_context: EncodeParts | None = None,
    ) -> None:
        self._encoder, self._analyser = encoder, analyser
        self._cosines, self._rarity, self._in_context = cosines, rarity, in_context

    def read(self, question: str, passages: Sequence[Hit]) -> Reading:
        """Weigh every sentence of the passages, which come best first."""
        spans = [sentences(hit.chunk.text, wrapped=True) for hit in passages]
        texts = [[hit.chunk.text[a:b] for a, b in found] for hit, found in zip(passages, spans, strict=True)]
        if not any(texts):
            return Reading(())
        above = [f"{hit.chunk.title}\n{hit.chunk.heading}" for hit in passages]
        flat = [text for found in texts for text in found]
        wanted, *words = map(frozenset, self._analyser.content([question, *flat, *above]))
        asking = _Asking(question, dict(zip(wanted, self._rarity(list(wanted)), strict=True)))
        cosines = self._compared(question, passages, spans, flat)
        candidates: list[Candidate] = []
        at = 0
        for rank, found in enumerate(texts):
            end = at + len(found)
            own, heading = words[at:end], words[len(flat) + rank]
            candidates += asking.weigh(rank, found, own, heading, cosines[at:end])
            at = end
        candidates.sort(key=lambda candidate: -candidate.score)
        return Reading(tuple(candidates), asking.supported(candidates, frozenset().union(*words)))

    def _compared(
        self, question: str, passages: Sequence[Hit], spans: Sequence[Sequence[tuple[int, int]]], flat: Sequence[str]
    ) -> NDArray[np.float32]:
        """For each sentence its cosine with the question, by itself and in its passage; shape (sentences, 2)."""
        mean, deviation = self._cosines()
        wanted = self._encoder.encode([question], kind="query")[0]
        alone = self._encoder.encode(flat, kind="passage") @ wanted
        whole = alone
        if self._in_context is not None:
            starts = [len(hit.chunk.in_context()) - len(hit.chunk.text) for hit in passages]
            parts = [[(start + a, start + b) for a, b in found] for start, found in zip(starts, spans, strict=True)]
            texts = [hit.chunk.in_context() for hit in passages]
            whole = np.concatenate(self._in_context(texts, parts, kind="passage")) @ wanted
        return np.asarray((np.stack([alone, whole], axis=1) - mean) / deviation, np.float32)


class _Asking:
    """One question, as far as sentences are weighed by it.

    Args:
        rarity: of each of its content words.
    """

    def __init__(self, question: str, rarity: Mapping[str, float]) -> None:
        self._words, self._rarity = frozenset(rarity), rarity
        self._number = asked.number(question)

    def weigh(
        self,
        rank: int,
        texts: Sequence[str],
        words: Sequence[frozenset[str]],
        heading: frozenset[str],
        cosines: NDArray[np.float32],
    ) -> Iterator[Candidate]:
        """The sentences of one passage that can answer at all."""
        own = list(words)
        passage = self._rare(heading.union(*own))
        for n, text in enumerate(texts):
            cosine, in_context = cosines[n].tolist()
            near = frozenset().union(*own[max(n - 1, 0) : n + 2])
            if n and _is_question(texts[n - 1]):
                # What follows a question answers it, whatever its own words are.
                before, before_in_context = cosines[n - 1].tolist()
                cosine, in_context = max(cosine, before), max(in_context, before_in_context)
                own[n] = own[n] | own[n - 1]
            if (_is_question(text) and n + 1 < len(texts)) or (words[n] and words[n] <= self._words):
                continue  # a question answers nothing, nor does what only repeats the asked words, as titles do
            share = len(self._words & own[n]) / max(len(self._words), 1)
            number = (1 if self._number.find(text) else -1) if self._number else 0
            evidence = Evidence(cosine, in_context, share, self._rare(near), passage, number)
            yield Candidate(text, rank, words[n], evidence)

    def supported(self, ranked: Sequence[Candidate], words: frozenset[str]) -> Support | None:
        """What the sentences, best first, and all words of the passages with their headings say together."""
        if not ranked:
            return None
        best, median = ranked[0], ranked[len(ranked) // 2]
        return Support(
            max(candidate.evidence.cosine for candidate in ranked),
            best.score - median.score,
            self._rare(words),
        )

    def _rare(self, words: frozenset[str]) -> float:
        """Share of the question's words that are among these, each counted by its rarity."""
        total = sum(self._rarity.values())
        return sum(self._rarity[word] for word in self._words & words) / total if total else 0.0


def _is_question(sentence: str) -> bool:
    return sentence.rstrip("\"'”’ )*").endswith(("?", "？"))
