"""Which sentences of the passages answer a question, and how sure that is; without a language model.

Knows: what speaks for a sentence, and with what weight. Does not know: how passages were found, what is made of it.

The weights are fits on questions of KLUE-MRC, TyDi QA (Korean) and XQuAD (English), made by ``benchmarks/reader.py``,
which also says what each piece of evidence is worth; docs/decisions/0004-extract.md has the figures. Cosines enter in
units of what is usual for the encoder, so that they mean about the same for another one.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from damda import asked
from damda.korean import sentences
from damda.types import Analyser, Chunk, Encoder, Hit, Kind


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
        self._lock = threading.Lock()
        self._kept: OrderedDict[Chunk, _Passage] = OrderedDict()

    def read(self, question: str, passages: Sequence[Hit]) -> Reading:
        """Weigh every sentence of the passages, which come best first."""
        read, wanted = self._passages([hit.chunk for hit in passages], question)
        if not any(passage.texts for passage in read):
            return Reading(())
        asking = _Asking(question, dict(zip(wanted, self._rarity(list(wanted)), strict=True)))
        mean, deviation = self._cosines()
        vector = self._encoder.encode([question], kind="query")[0]
        candidates: list[Candidate] = []
        for rank, passage in enumerate(read):
            cosines = np.asarray((passage.vectors @ vector - mean) / deviation, np.float32)
            candidates += asking.weigh(rank, passage.texts, passage.words, passage.heading, cosines)
        candidates.sort(key=lambda candidate: -candidate.score)
        said = frozenset[str]().union(*(words for passage in read for words in (*passage.words, passage.heading)))
        return Reading(tuple(candidates), asking.supported(candidates, said))

    def _passages(self, chunks: Sequence[Chunk], question: str) -> tuple[list["_Passage"], frozenset[str]]:
        """The passages, read; and the question's words, which are asked for together with theirs."""
        with self._lock:
            found = {chunk: self._kept[chunk] for chunk in chunks if chunk in self._kept}
        new = [chunk for chunk in dict.fromkeys(chunks) if chunk not in found]
        spans = [sentences(chunk.text, wrapped=True) for chunk in new]
        texts = [[chunk.text[a:b] for a, b in of_one] for chunk, of_one in zip(new, spans, strict=True)]
        above = [f"{chunk.title}\n{chunk.heading}" for chunk in new]
        flat = [text for of_one in texts for text in of_one]
        wanted, *words = map(frozenset, self._analyser.content([question, *flat, *above]))
        vectors, at = self._vectors(new, spans, flat), 0
        for n, (chunk, of_one) in enumerate(zip(new, texts, strict=True)):
            end = at + len(of_one)
            found[chunk] = _Passage(of_one, words[at:end], words[len(flat) + n], vectors[at:end].copy())
            at = end
        with self._lock:
            for chunk in dict.fromkeys(chunks):
                self._kept[chunk] = found[chunk]
                self._kept.move_to_end(chunk)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return [found[chunk] for chunk in chunks], wanted

    def _vectors(
        self, chunks: Sequence[Chunk], spans: Sequence[Sequence[tuple[int, int]]], flat: Sequence[str]
    ) -> NDArray[np.float32]:
        """Of each sentence by itself and in its passage; shape (sentences, 2, dim)."""
        if not flat:
            return np.empty((0, 2, self._encoder.dim), np.float32)
        alone = self._encoder.encode(flat, kind="passage")
        whole = alone
        if self._in_context is not None:
            starts = [len(chunk.in_context()) - len(chunk.text) for chunk in chunks]
            parts = [[(start + a, start + b) for a, b in found] for start, found in zip(starts, spans, strict=True)]
            whole = np.concatenate(self._in_context([c.in_context() for c in chunks], parts, kind="passage"))
        return np.stack([alone, whole], axis=1)


@dataclass(frozen=True, slots=True)
class _Passage:
    """What reading a passage takes, whatever the question: its sentences, their words and those of its title and
    headings, the sentences' vectors by themselves and in the passage, shape (sentences, 2, dim)."""

    texts: list[str]
    words: list[frozenset[str]]
    heading: frozenset[str]
    vectors: NDArray[np.float32]


_KEPT = 1000
"""Passages that stay read, the latest: reading takes thirty times as long as weighing. About 30 kB each."""


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
