"""Questions and documents -> what a small model learns reading from: a question, its passages, the right answer.

Knows: how a passage is cut around an answer, which passages do not answer, when a teacher's answer is believed. Does
not know: models, tokens.

A lesson's answer is a span of one of its passages as it stands there, or NOT_FOUND. Both are learnt from the same
questions: with the passage that answers, and with ones that do not: half of them from the documents that are nearest to
the question by their letters (TF-IDF of character bigrams and trigrams), half drawn from all.
"""

import hashlib
import json
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from damda.answer.prompt import messages
from damda.errors import ConfigError
from damda.measure.dataset import Question
from damda.types import NOT_FOUND, Chunk, Document, Generator, Hit, Message, Progress

LONGEST = 1200
"""Characters of all passages of a lesson together."""

_SHORTEST, _USUAL = 150, 500
"""Characters of one passage: most are of the lengths that documents are cut into, and cost a third of the longest."""

_LONG = 0.25
"""Share of the passages that may have any length up to LONGEST."""

_NEAREST = 10

Nearest = Mapping[str, Sequence[str]]
"""Question's id -> ids of documents, nearest first."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Lesson:
    """One thing to learn.

    Attributes:
        answer: as it stands in a passage, or NOT_FOUND; "": only a teacher knows.
        answered: whether a passage is known to answer the question; None: it is not known.
    """

    question: str
    passages: tuple[Passage, ...]
    answer: str
    answered: bool | None

    def hits(self) -> list[Hit]:
        """The passages as a generator is given them."""
        chunks = [Chunk(f"{n}", f"{n}", p.text, 0, len(p.text), title=p.title) for n, p in enumerate(self.passages)]
        return [Hit(chunk, 1.0, "given") for chunk in chunks]

    def messages(self) -> list[Message]:
        """What a model reads."""
        return messages(self.question, self.hits())


@dataclass(frozen=True, slots=True)
class Mixture:
    """What lessons are made of.

    Attributes:
        refusals: lessons that nothing answers, a question with an answer.
        several: share of the lessons that have more than one passage.
    """

    refusals: float = 0.4
    several: float = 0.15
    seed: int = 42


def nearest(asked: Sequence[Question], documents: Mapping[str, Document], progress: Progress) -> Nearest:
    """For each question, the documents that are nearest to it by their letters, those that answer it left out.

    Raises:
        ConfigError: there are no documents.
    """
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not documents:
        raise ConfigError("there are no documents to read")
    names = list(documents)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3), sublinear_tf=True, dtype=np.float32)
    held = letters.fit_transform(documents[name].text for name in names).T.tocsc()
    found: dict[str, list[str]] = {}
    for start in range(0, len(asked), _AT_ONCE):
        progress("looking for passages that do not answer", start, len(asked))
        some = asked[start : start + _AT_ONCE]
        scores = (letters.transform(question.text for question in some) @ held).toarray()
        for question, row in zip(some, scores, strict=True):
            order = (-row).argsort(kind="stable")[: _NEAREST + len(question.relevant)]
            found[question.id] = [names[at] for at in order if names[at] not in question.relevant][:_NEAREST]
    progress("looking for passages that do not answer", len(asked), len(asked))
    return found


_AT_ONCE = 256


def lessons(
    asked: Sequence[Question],
    documents: Mapping[str, Document],
    near: Nearest,
    mixture: Mixture,
    *,
    aside: Collection[str] = (),
) -> Iterator[Lesson]:
    """The lessons that questions give. What a question gives depends on itself, the documents and the seed alone.

    Args:
        documents: id -> document.
        near: as `nearest` finds them.
        aside: documents that must not be seen, not even as ones that do not answer.
    """
    allowed = [name for name in documents if name not in aside]
    titled = {has: [name for name in allowed if bool(documents[name].title) == has] for has in (True, False)}

    def like(name: str, held: Sequence[Document]) -> bool:
        return not held or bool(documents[name].title) == bool(held[0].title)

    for question in asked:
        drawn = random.Random(f"{mixture.seed} {question.id}")
        held = [documents[name] for name in sorted(question.relevant & documents.keys())]

        # Of documents that have a title as this one has, or have none as it has none, if there are such: else a model
        # would learn to refuse whatever has no title.
        alike = (titled[bool(held[0].title)] if held else allowed) or allowed
        near_by = [name for name in near.get(question.id, ()) if name not in aside and like(name, held)]

        def apart(
            question: Question = question,
            pools: Sequence[Sequence[str]] = (near_by, alike),
            drawn: random.Random = drawn,
        ) -> Passage | None:
            return _apart(question, pools, documents, drawn)

        right = next(filter(None, (_around(question, document, drawn) for document in held)), None)
        if right:
            passage, answer = right
            yield Lesson(question.text, _among(passage, apart, drawn, mixture.several, answer), answer, True)
        elif held and not question.answers and question.answerable:
            yield Lesson(question.text, (_likeliest(question.text, held[0]),), "", None)
        elif held and not question.answerable:
            yield Lesson(question.text, (_likeliest(question.text, held[0]),), NOT_FOUND, False)
        if (right or not held) and drawn.random() < mixture.refusals and (wrong := apart()):
            yield Lesson(question.text, _among(wrong, apart, drawn, mixture.several), NOT_FOUND, False)


def _around(question: Question, document: Document, drawn: random.Random) -> tuple[Passage, str] | None:
    """A piece of the document, of a drawn length, with the answer somewhere in it; and the wording that stands there.

    Of several wordings that stand there the shortest counts: the others have quotation marks or particles around it.
    """
    found = [(len(right), right) for right in question.answers if right and right in document.text]
    if not found:
        return None
    answer = min(found)[1]
    at = document.text.find(answer)
    length = max(_length(drawn), len(answer) + 2 * _MARGIN)
    begin = max(0, at - drawn.randint(0, length - len(answer)))
    end = max(at + len(answer), min(len(document.text), begin + length))
    text = document.text
    first, last = _words(text, at, at + len(answer))
    begin, end = _word(text, min(begin, first), first), _word(text, max(end, last), last)
    return Passage(document.title, text[begin:end].strip()), answer


_MARGIN = 20


def _words(text: str, begin: int, end: int) -> tuple[int, int]:
    """The same place with what else belongs to its first and last word; writing without spaces stays as it is."""
    first = next((at for at in range(begin, max(-1, begin - _MARGIN), -1) if at == 0 or text[at - 1].isspace()), begin)
    last = next((at for at in range(end, end + _MARGIN) if at >= len(text) or text[at].isspace()), end)
    return first, last


def _length(drawn: random.Random) -> int:
    return drawn.randint(_SHORTEST, LONGEST if drawn.random() < _LONG else _USUAL)


def _word(text: str, at: int, towards: int) -> int:
    """The nearest place between two words, going from ``at`` towards a place that must not be passed."""
    step = 1 if towards > at else -1
    while at != towards and 0 < at < len(text) and not text[at - 1].isspace():
        at += step
    return at


def _apart(
    question: Question, pools: Sequence[Sequence[str]], documents: Mapping[str, Document], drawn: random.Random
) -> Passage | None:
    """A piece of a document that does not answer; None: twenty draws found none."""
    for _ in range(20):
        pool = drawn.choice(pools)
        name = drawn.choice(pool) if pool else ""
        if not name or name in question.relevant:
            continue
        document = documents[name]
        length = _length(drawn)
        begin = drawn.randint(0, max(0, len(document.text) - length))
        begin, end = _word(document.text, begin, len(document.text)), begin + length
        text = document.text[begin : _word(document.text, min(end, len(document.text)), begin)].strip()
        if text and not any(right in text for right in question.answers):
            return Passage(document.title, text)
    return None


def _among(
    passage: Passage, apart: Callable[[], Passage | None], drawn: random.Random, several: float, answer: str = ""
) -> tuple[Passage, ...]:
    """The passage, alone or among ones that do not answer, together not longer than `LONGEST`."""
    if drawn.random() >= several:
        return (passage,)
    shown, left = [passage], LONGEST - len(passage.text)
    for _ in range(drawn.randint(1, 2)):
        other = apart()
        if other and left > _SHORTEST:
            text = other.text[:left]
            shown.append(Passage(other.title, text[: _word(text, len(text), 0)].strip() or text))
            left -= len(text)
    drawn.shuffle(shown)
    return tuple(shown)


def _likeliest(question: str, document: Document) -> Passage:
    """Of a long document the piece with most of the question's letters, two by two."""
    text = document.text
    if len(text) <= LONGEST:
        return Passage(document.title, text)
    asked = _pairs(question)
    starts = range(0, len(text) - LONGEST // 2, LONGEST // 2)
    best = max(starts, key=lambda start: (len(asked & _pairs(text[start : start + LONGEST])), -start))
    begin = _word(text, best, len(text))
    return Passage(document.title, text[begin : begin + LONGEST].strip())


def _pairs(text: str) -> set[str]:
    flat = "".join(text.split())
    return {flat[n : n + 2] for n in range(len(flat) - 1)}


@dataclass(frozen=True, slots=True)
class Believed:
    """What came of a teacher's answers, in lessons.

    Attributes:
        changed: the answer does not stand in a passage as it is.
        refused: it says that nothing answers, where something does.
        invented: it answers, where nothing does.
    """

    asked: int
    kept: int
    changed: int
    refused: int
    invented: int


def taught(
    given: Sequence[Lesson], teacher: Generator, file: Path, progress: Progress, *, most: int = 64
) -> tuple[list[Lesson], Believed]:
    """Lessons with the teacher's answers in place of their own, where these can be believed.

    Args:
        file: keeps each answer as it comes, a JSON line each: who was asked already is not asked again.
        most: tokens of an answer.

    Raises:
        GeneratorError: the teacher fails; what it said before is kept.
        ConfigError: the file can't be written.
    """
    said = _said_before(file)
    kept: list[Lesson] = []
    counts = {"changed": 0, "refused": 0, "invented": 0}
    for n, lesson in enumerate(given):
        progress("asking the teacher", n, len(given))
        key = _key(lesson, teacher.id, most)
        if key not in said:
            said[key] = _answer(lesson, teacher, most)
            _note(file, key, said[key])
        answer, why = believed(lesson, said[key])
        if why:
            counts[why] += 1
        else:
            kept.append(Lesson(lesson.question, lesson.passages, answer, lesson.answered))
    progress("asking the teacher", len(given), len(given))
    return kept, Believed(len(given), len(kept), **counts)


def believed(lesson: Lesson, said: str) -> tuple[str, str]:
    """The answer as it stands in a passage, or NOT_FOUND; and why it is not believed: "changed", "refused",
    "invented", or ""."""
    if not said.strip() or NOT_FOUND in said:
        return NOT_FOUND, "refused" if lesson.answered else ""
    if lesson.answered is False:
        return "", "invented"
    wanted = said.strip()
    for text in (wanted, wanted.rstrip(".").strip(), wanted.strip("\"'“”‘’").strip()):
        if text and any(text in passage.text for passage in lesson.passages):
            return text, ""
    return "", "changed"


def _answer(lesson: Lesson, teacher: Generator, most: int) -> str:
    deltas = teacher.stream(lesson.messages(), passages=lesson.hits(), max_tokens=most)
    return "".join(delta.text for delta in deltas).strip()


def _key(lesson: Lesson, teacher: str, most: int) -> str:
    about = [teacher, most, *(message.content for message in lesson.messages())]
    return hashlib.sha256(json.dumps(about, ensure_ascii=False).encode()).hexdigest()[:24]


def _said_before(file: Path) -> dict[str, str]:
    """What the file keeps; a last line that a kill cut off is left out."""
    said: dict[str, str] = {}
    try:
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
                said[row["key"]] = row["said"]
            except (ValueError, KeyError, TypeError):
                continue
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ConfigError(f"{file} can't be read ({error.strerror}): delete it, or give another place") from error
    return said


def _note(file: Path, key: str, said: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as opened:
            opened.write("\n" * _cut_off(file) + json.dumps({"key": key, "said": said}, ensure_ascii=False) + "\n")
    except OSError as error:
        raise ConfigError(f"{file} can't be written ({error.strerror}): make room and run again") from error


def _cut_off(file: Path) -> bool:
    """Whether its last line has no end."""
    with file.open("rb") as opened:
        size = opened.seek(0, 2)
        if not size:
            return False
        opened.seek(size - 1)
        return opened.read(1) != b"\n"
