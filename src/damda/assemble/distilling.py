"""Names -> a student, a teacher, lessons; a student's folder -> a GGUF, and figures beside what there was before."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from damda import pretrained, weights
from damda.assemble import models
from damda.assemble.compressing import documents_of, model_files, rows_of
from damda.compress import bits, convert, quantise
from damda.compress.measured import reading
from damda.errors import ConfigError
from damda.generate import fewshot
from damda.generate.extract import Extract
from damda.generate.llama import Llama
from damda.generate.reader import Reader
from damda.manifest import Data
from damda.measure.dataset import fetch, placed, write_lines
from damda.settings import LlamaSettings, Settings
from damda.tune.lessons import Lesson, Mixture, lessons, nearest
from damda.tune.split import Parts, by_document, leaks
from damda.types import NOT_FOUND, Delta, Document, Generator, Hit, Message, Progress

CONTEXT = 2048
"""Tokens that a model has when it is judged."""

_HELD_OUT, _VALIDATION = 0.15, 0.05
"""Shares of the documents."""


@dataclass(frozen=True, slots=True)
class Material:
    """A data set, dealt out.

    Attributes:
        documents: by id.
        train, validation: lessons; no document of one is seen in the other, nor one that is held out.
        data: what the manifest says of it.
    """

    documents: Mapping[str, Document]
    parts: Parts
    train: Sequence[Lesson]
    validation: Sequence[Lesson]
    data: Data


def material(
    dataset: Path, documents: Path | None, mixture: Mixture, licence: str, settings: Settings, progress: Progress
) -> tuple[Material, set[str]]:
    """Lessons of a data set, and the names of documents that its questions name and that are not there.

    Args:
        documents: that the questions are about, where the data set doesn't bring them.

    Raises:
        ConfigError: there are no documents, or no questions about them.
        ReadError: a file can't be read.
    """
    asked = fetch(dataset, offline=settings.offline)
    place = documents or asked.documents
    if place is None:
        raise ConfigError(f"{dataset} names no documents: say by --documents where they are")
    held = documents_of(place, settings, progress)
    questions, lost = placed(asked.questions, held.keys())
    about = [question for question in questions if question.relevant]
    if not about:
        raise ConfigError(f"no question of {dataset} names a document of {place}")
    texts = {name: document.text for name, document in held.items()}
    parts = by_document(about, texts, validation=_VALIDATION, held_out=_HELD_OUT, seed=mixture.seed)
    if found := leaks(parts, texts):
        raise ConfigError(f"the questions can't be judged by others of the same documents: {found[0]}")
    near = nearest([*parts.train, *parts.validation], held, progress)
    kept, unseen = (
        {name for question in part for name in question.relevant} for part in (parts.validation, parts.held_out)
    )
    train = list(lessons(parts.train, held, near, mixture, aside=kept | unseen))
    validation = list(lessons(parts.validation, held, near, mixture, aside=unseen))
    data = Data(dataset.name, weights.sha256(dataset) if dataset.is_file() else "", len(about), licence)
    return Material(held, parts, train, validation, data), lost


def student_folder(name: str, *, offline: bool, progress: Progress) -> tuple[Path, Path | None]:
    """A folder of transformers that can be trained, and the GGUF that it was unpacked from, if it was.

    Raises:
        ConfigError, WeightsError: as `model_files`; or it is quantised.
    """
    found = model_files(name, offline=offline, whole=True)
    if found.is_dir():
        if how := pretrained.check(found).get("quantization_config"):
            raise ConfigError(f"{found} is quantised ({how.get('quant_method')}): give the model that it was made of")
        return found, None
    key = f"students/{found.stem}-{weights.sha256(found)[:12]}"
    return weights.cached(key, lambda draft: bits.write_f16(None, found, draft, progress)), found


def write_held_out(folder: Path, made: Material) -> None:
    """The questions that nothing was learnt from, and all documents that were not: a data set in BEIR layout.

    Raises:
        ReadError: the folder can't be written.
    """
    learnt = {name for question in (*made.parts.train, *made.parts.validation) for name in question.relevant}
    rows = [
        {"_id": name, "title": document.title, "text": document.text}
        for name, document in made.documents.items()
        if name not in learnt
    ]
    write_lines(folder / "corpus.jsonl", rows)
    asked = [{"_id": q.id, "text": q.text, "answers": list(q.answers), "source": q.source} for q in made.parts.held_out]
    write_lines(folder / "queries.jsonl", asked)
    pairs = [f"{q.id}\t{name}\t1\n" for q in made.parts.held_out for name in sorted(q.relevant)]
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(pairs), encoding="utf-8")


class Judging:
    """What is done with a student that has learnt: a GGUF is made of it, and it is asked what it has never seen.

    Args:
        before: the student as it was, as a GGUF; None: it is made of ``base``.
        mix: of the GGUF, as `damda compress` names it.
        count: held-out questions, each asked twice; 0: none.
    """

    def __init__(
        self, made: Material, base: Path, before: Path | None, out: Path, mix: str, count: int, settings: Settings
    ) -> None:
        self._made, self._base, self._before, self._out, self._mix = made, base, before, out, mix
        self._settings = settings
        self._rows = rows_of(made.parts.held_out, made.documents, count, 42) if count else []

    def __call__(self, draft: Path, progress: Progress) -> Mapping[str, Any]:
        """Fill the folder; figures by name."""
        gguf = draft / f"{self._out.name}.gguf"
        _gguf(draft, gguf, self._mix, progress)
        if not self._rows:
            return {}
        figures: dict[str, Any] = {"questions": len(self._rows)}
        with_shots = draft / "before.gguf"
        if self._before is None:
            _gguf(self._base, with_shots, self._mix, progress)
        try:
            before = Llama(LlamaSettings(context=2 * CONTEXT), path=self._before or with_shots)
            writers: dict[str, Generator] = {
                "reader": Llama(LlamaSettings(context=CONTEXT), path=gguf),
                "three_shots": Shots(before, examples(self._made.train)),
                "extract": extractor(self._made.documents, self._settings, progress),
            }
            for name, writer in writers.items():
                figures[name] = reading(writer, self._rows, 48, partial(_named, progress, name))
                if isinstance(writer, Llama):
                    writer.close()
            before.close()
        finally:
            with_shots.unlink(missing_ok=True)
        return {"held_out": figures}


def _named(progress: Progress, name: str, what: str, done: int, total: int) -> None:
    progress(f"{name}: {what}", done, total)


def _gguf(folder: Path, out: Path, mix: str, progress: Progress) -> None:
    size = 1.0 * sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if mix in quantise.FLOATS:
        convert.convert(folder, out, size, progress)
        return
    floats = out.with_suffix(".floats")
    try:
        convert.convert(folder, floats, size, progress)
        quantise.quantise(floats, out, mix, progress)
    finally:
        floats.unlink(missing_ok=True)


def examples(train: Sequence[Lesson]) -> list[fewshot.Example]:
    """Three for a model that has learnt nothing: two answers and a refusal, of the shortest lessons."""
    alone = sorted((lesson for lesson in train if lesson.answer), key=lambda lesson: len(str(lesson.passages)))
    right = [lesson for lesson in alone if lesson.answer != NOT_FOUND][:2]
    wrong = [lesson for lesson in alone if lesson.answer == NOT_FOUND][:1]
    return [
        fewshot.Example(
            tuple(passage.text for passage in lesson.passages),
            lesson.question,
            fewshot.ABSENT if lesson.answer == NOT_FOUND else lesson.answer,
        )
        for lesson in (*right[:1], *wrong, *right[1:])
    ]


class Shots:
    """A model that goes on from worked examples of the very task: what a student is held against."""

    def __init__(self, model: Llama, shown: Sequence[fewshot.Example]) -> None:
        self._model, self._shown = model, shown

    @property
    def id(self) -> str:
        return f"{len(self._shown)} shots of {self._model.id}"

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> Iterator[Delta]:
        """See ``Generator``."""
        asked = fewshot.prompt(messages[-1].content, [hit.chunk.text for hit in passages], self._shown)
        ends = [*stop, fewshot.STOP]
        *_, end = deltas = list(self._model.complete(asked, max_tokens=max_tokens, temperature=temperature, stop=ends))
        said = "".join(delta.text for delta in deltas).strip()
        yield Delta(NOT_FOUND if not said or said.rstrip(".") == fewshot.ABSENT else said)
        yield Delta(finish=end.finish, usage=end.usage)


def extractor(documents: Mapping[str, Document], settings: Settings, progress: Progress) -> Extract:
    """Answers without a language model, over documents that are not indexed: how rare a word is, a sample says."""
    encoder = models.make_encoder(settings.encoder, offline=settings.offline, progress=progress)
    analyser = models.make_analyser(settings)
    sample = [document.text for document in documents.values()][:: max(1, len(documents) // 500)]
    having = Counter(word for words in analyser.content(sample) for word in set(words))

    def rarity(words: Sequence[str]) -> list[float]:
        return [math.log((len(sample) + 1) / (having[word] + 0.5)) for word in words]

    known = getattr(encoder, "cosines", None)
    if known is None:
        raise ConfigError(f"{settings.encoder.name} does not say how near texts are that have nothing in common")
    return Extract(Reader(encoder, analyser, lambda: known, rarity, getattr(encoder, "encode_parts", None)))
