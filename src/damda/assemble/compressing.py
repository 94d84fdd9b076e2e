"""Names -> a model's files, for planning and for making it lighter; paths -> texts and questions to measure with."""

import random
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from damda import pretrained, weights
from damda.errors import ConfigError, ReadError
from damda.ingest.read import read
from damda.ingest.walk import walk
from damda.manifest import Data, Parent
from damda.measure.dataset import Question, fetch
from damda.settings import Settings
from damda.tune import checks
from damda.types import Document, Progress

_FILES = ("*.json", "*.safetensors", "tokenizer.model", "*.txt", "*.jinja")


def model_files(name: str, *, offline: bool, whole: bool = False) -> Path:
    """A file or folder that says what a model is: of one on the hub, its config alone is fetched.

    Args:
        name: one that ``damda models`` knows, a .gguf, a folder or config.json, or hub:OWNER/NAME.
        whole: with its weights.

    Raises:
        ConfigError: there is no such file.
        WeightsError: the known model was not pulled yet, or the hub can't be reached.
    """
    if name.startswith("hub:"):
        files = _FILES if whole else ("config.json",)
        return weights.hub_folder(name.removeprefix("hub:"), offline=offline, files=files)
    folder = Path(name).expanduser()
    if whole and (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
        return folder  # a GGUF beside them, as `damda distill` leaves one, was made of them
    path = Path(weights.gguf(name)).expanduser()
    if not path.exists() or (whole and path.is_file() and path.suffix != ".gguf"):
        known = ", ".join(weights.GGUFS)
        config = "" if whole else "a config.json "
        raise ConfigError(f"{name!r} is no model: give {known}, a .gguf, a folder, {config}or hub:OWNER/NAME")
    return path


def parent_of(name: str, path: Path) -> Parent:
    """How a manifest names the model that another was made of."""
    packaged = weights.GGUFS.get(name)
    known = packaged or name.startswith("hub:")
    if path.is_file():
        licence = packaged.licence if packaged else ""
        return Parent(name if known else path.name, sha256=weights.sha256(path), licence=licence)
    files = list(path.glob("*.safetensors"))
    sha256 = weights.sha256(files[0]) if len(files) == 1 else ""
    return Parent(name if known else path.resolve().name, pretrained.fingerprint(path), sha256)


def texts_of(paths: Sequence[Path], settings: Settings, progress: Progress) -> tuple[list[str], list[Data], int]:
    """The texts of documents, how a manifest names them (each path with a hash of all that was read below it), and how
    many files could not be read.

    Raises:
        ConfigError: a path has no document that can be read.
    """
    texts: list[str] = []
    described: list[Data] = []
    unread = 0
    for path in paths:
        found, _ = walk(path.expanduser(), settings.read)
        of_path: list[str] = []
        for n, one in enumerate(found):
            progress("reading texts", n, len(found))
            try:
                of_path += [document.text for document in read(one, settings.read)]
            except ReadError:
                unread += 1  # what is read here is a sample; `damda index` tells which and why
        progress("reading texts", len(found), len(found))
        if not of_path:
            raise ConfigError(f"{path} has no document that can be read")
        texts += of_path
        described.append(Data(path.resolve().name, _digest(of_path), len(of_path)))
    return texts, described, unread


def built_in_texts() -> dict[str, str]:
    """Korean and English that damda brings: sentences, and short passages, written for it."""
    passages, pairs = (task for _, task in checks.built_in())
    sentences = [text for scored in pairs.similar.values() for pair in scored for text in (pair.first, pair.second)]
    return {"ko": " ".join(dict.fromkeys(sentences)), "en": "\n\n".join(passages.passages.values())}


def sampled(texts: Sequence[str], characters: int = 200_000) -> str:
    """Texts put one behind the other, drawn from all, the same ones every time: no more than are needed."""
    drawn, found, length = random.Random(42).sample(texts, len(texts)), [], 0
    for text in drawn:
        found.append(text)
        length += len(text)
        if length > characters:
            break
    return "\n\n".join(found)


def reading_rows(
    dataset: Path, count: int, seed: int, settings: Settings, progress: Progress
) -> list[Mapping[str, object]]:
    """Questions with a passage that answers them and one that does not, as `compress.measured` takes them.

    Args:
        dataset: in any shape of ``damda eval``, with answers; of long documents what is around the answer is taken.

    Raises:
        ConfigError: no question has an answer that stands in its document.
        ReadError: a document can't be read.
    """
    asked = fetch(dataset, offline=settings.offline)
    if asked.documents is None:
        raise ConfigError(f"{dataset} names no documents: give a folder in BEIR layout, or SQuAD's JSON")
    rows = rows_of(asked.questions, documents_of(asked.documents, settings, progress), count, seed)
    if not rows:
        raise ConfigError(f"{dataset} has no question whose answer stands in its document")
    return rows


def documents_of(path: Path, settings: Settings, progress: Progress) -> dict[str, Document]:
    """Documents by id.

    Raises:
        ReadError: one can't be read.
    """
    held: dict[str, Document] = {}
    found, _ = walk(path, settings.read)
    for n, one in enumerate(found):
        progress("reading documents", n, len(found))
        held |= {document.id: document for document in read(one, settings.read)}
    progress("reading documents", len(found), len(found))
    return held


def rows_of(
    asked: Sequence[Question], held: Mapping[str, Document], count: int, seed: int
) -> list[Mapping[str, object]]:
    """As `reading_rows`, of documents at hand; fewer, or none, where questions have no answer in theirs."""
    drawn = random.Random(seed)
    rows: list[Mapping[str, object]] = []
    for question in drawn.sample(asked, len(asked)):
        if len(rows) < count and (row := _row(question, held, drawn)):
            rows.append(row)
    return rows


def _row(question: Question, held: Mapping[str, Document], drawn: random.Random) -> Mapping[str, object] | None:
    """None: no right wording stands in a document of it, or thirty draws found no passage without one."""
    for name in sorted(question.relevant & held.keys()):
        text = held[name].text
        at = min((text.find(right) for right in question.answers if right in text), default=None)
        other = _elsewhere(question, held, held[name], drawn) if at is not None else None
        if at is not None and other:
            begin = max(0, min(at - _PASSAGE // 2, len(text) - _PASSAGE))
            return {
                "question": question.text,
                "passage": text[begin : begin + _PASSAGE],
                "title": held[name].title,
                "answers": list(question.answers),
                "other": other.text[:_PASSAGE],
                "other_title": other.title,
            }
    return None


_PASSAGE = 1200
"""Characters."""


def _elsewhere(
    question: Question, held: Mapping[str, Document], like: Document, drawn: random.Random
) -> Document | None:
    """One that does not answer; with a title if ``like`` has one, or the title would give it away."""
    names = list(held)
    for left in reversed(range(30)):
        document = held[drawn.choice(names)]
        right = any(right in document.text[:_PASSAGE] for right in question.answers)
        alike = bool(document.title) == bool(like.title) or left < 5
        if document.text.strip() and document.id not in question.relevant and not right and alike:
            return document
    return None


def _digest(texts: Sequence[str]) -> str:
    whole = sha256()
    for text in texts:
        whole.update(text.encode())
    return whole.hexdigest()
