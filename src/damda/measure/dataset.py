"""Questions with known answers, and the documents that they are asked of, from files of the usual shapes.

Knows: the BEIR layout, SQuAD's JSON (KorQuAD and KLUE-MRC have the same), tables and JSON lines of questions, and that
the model hub has data sets too. Does not know: how anything is searched or answered.
"""

import csv
import hashlib
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from damda import weights
from damda.errors import ConfigError, ReadError
from damda.korean import nfc
from damda.measure.similarity import holds_pairs


@dataclass(frozen=True, slots=True)
class Question:
    """A question.

    Attributes:
        relevant: ids of the documents that answer it; empty: none does, or it is not known which.
        answers: the wordings that count as right.
        answerable: False when the documents are known not to answer it.
    """

    id: str
    text: str
    relevant: frozenset[str] = frozenset()
    answers: tuple[str, ...] = ()
    source: str = ""
    answerable: bool = True


@dataclass(frozen=True, slots=True)
class Dataset:
    """Questions, and where their documents lie; ``documents`` is None when the file names questions only."""

    name: str
    questions: tuple[Question, ...]
    documents: Path | None = None


def fetch(given: Path, home: str = "", *, offline: bool = False) -> Dataset:
    """A data set by its path, or by its name on the model hub as ``hub:OWNER/NAME``.

    Args:
        home: for the passages of a JSON file; empty: ``.damda`` beside it.
        offline: only look into the hub's cache on this machine.

    Raises:
        ConfigError: nothing is there.
        ReadError: as in `load`.
        MissingExtra, WeightsError: the hub's data set can't be had.
    """
    name = given.as_posix()
    if name.startswith("hub:"):
        name = name.removeprefix("hub:")
        folder = weights.hub_folder(name, offline=offline, data=True)
        return load(folder, weights.cache_folder() / "datasets" / name.replace("/", "--"))
    if not given.exists():
        raise ConfigError(f"{given} does not exist")
    if holds_pairs(given):
        raise ConfigError(f"{given} has scored pairs, no questions: `damda lab encoders DATASET --sts {given.name}`")
    work = Path(home).expanduser() if home else given.parent / ".damda"
    return load(given, work / f"eval-{given.stem}")


def load(path: Path, work: Path) -> Dataset:
    """A data set from disk.

    Args:
        path: a folder in BEIR layout; SQuAD's, KorQuAD's or KLUE-MRC's JSON; a CSV or TSV with the columns question,
            answer and document; JSON lines of {id, text, answers, document}.
        work: a folder of its own, where the passages of a JSON file are written as a corpus.jsonl.

    Raises:
        ReadError: a file is missing, malformed or of another shape; names the file and the line.
    """
    if path.is_dir() and not (path / "queries.jsonl").is_file() and len(alone := list(path.glob("*.json"))) == 1:
        path = alone[0]  # a repository with one file of SQuAD's shape
    if path.is_dir():
        return Dataset(path.name, tuple(questions(path)), path / "corpus.jsonl")
    ending = path.suffix.lower()
    if ending == ".json":
        return _squad(path, work)
    if ending in (".csv", ".tsv"):
        return Dataset(path.stem, tuple(_from_table(path)))
    if ending == ".jsonl":
        return Dataset(path.stem, tuple(_from_lines(path)))
    raise ReadError(f"{path}: no data set; give a folder in BEIR layout, a .json, .jsonl, .csv or .tsv file")


def questions(folder: Path) -> list[Question]:
    """Questions of a BEIR-layout folder that have at least one relevant document.

    Raises:
        ReadError: a file is missing or malformed; names the file and the line.
    """
    judged = next((p for p in (folder / "qrels.tsv", folder / "qrels" / "test.tsv") if p.is_file()), None)
    if judged is None:
        raise ReadError(f"{folder} has neither qrels.tsv nor qrels/test.tsv: it is no folder in BEIR layout")
    relevant: dict[str, set[str]] = {}
    for number, line in enumerate(_lines(judged)[1:], 2):
        fields = line.split("\t")
        if len(fields) != 3:
            raise ReadError(f"{judged}, line {number}: not query-id TAB corpus-id TAB score")
        if float(fields[2]) > 0:
            relevant.setdefault(fields[0], set()).add(fields[1])
    return [
        Question(row.id, row.text, frozenset(relevant[row.id]), row.answers, row.source or folder.name)
        for row in _from_lines(folder / "queries.jsonl")
        if row.id in relevant
    ]


def _from_lines(path: Path) -> Iterator[Question]:
    """Of JSON lines; ``document`` may be one id or several. One without documents and answers has none."""
    for number, line in enumerate(_lines(path), 1):
        try:
            row = json.loads(line)
            query_id, text = row.get("id", row.get("_id", number)), row["text"] if "text" in row else row["question"]
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ReadError(f"{path}, line {number}: not a JSON object with id and text") from error
        documents = _several(row.get("document", row.get("documents")))
        answers = _several(row.get("answers", row.get("answer")))
        yield Question(
            str(query_id),
            nfc(str(text)),
            frozenset(map(nfc, documents)),
            tuple(map(nfc, answers)),
            str(row.get("source", "")),
            answerable=bool(documents or answers) or "answers" not in row,
        )


# What the columns of a table may be called.
_COLUMNS = {
    "question": ("question", "query", "text", "질문", "질의"),
    "answer": ("answer", "answers", "답", "답변", "정답"),
    "document": ("document", "doc", "file", "source", "문서", "파일"),
}


def _from_table(path: Path) -> Iterator[Question]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:  # as Korean Excel saves it
        text = path.read_text(encoding="cp949", errors="replace")
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from error
    rows = list(csv.reader(io.StringIO(text), delimiter="\t" if path.suffix.lower() == ".tsv" else ","))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    at = {name: next((header.index(n) for n in names if n in header), -1) for name, names in _COLUMNS.items()}
    if at["question"] < 0:
        raise ReadError(f"{path}: its first row has no column called question (or 질문)")
    for number, cells in enumerate(rows[1:], 1):

        def cell(name: str, cells: list[str] = cells) -> list[str]:
            value = nfc(cells[at[name]].strip()) if 0 <= at[name] < len(cells) else ""
            return [value] if value else []

        if asked := cell("question"):
            documents, answers = cell("document"), cell("answer")
            yield Question(
                f"q{number}",
                asked[0],
                frozenset(documents),
                tuple(answers),
                path.stem,
                answerable=bool(documents or answers),
            )


def _squad(path: Path, work: Path) -> Dataset:
    """SQuAD 1 and 2, KorQuAD 1, KLUE-MRC: {data: [{title, paragraphs: [{context, qas: [...]}]}]}."""
    try:
        whole = json.loads(path.read_text(encoding="utf-8-sig"))
        articles = whole["data"]
        passages: dict[str, Mapping[str, str]] = {}
        asked = list(_squad_questions(articles, path.stem, passages))
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReadError(f"{path}: not the JSON of SQuAD, KorQuAD or KLUE-MRC ({error!r})") from error
    corpus = work / "corpus.jsonl"
    write_lines(corpus, passages.values())
    return Dataset(path.stem, tuple(asked), corpus)


def _squad_questions(
    articles: list[dict[str, Any]], name: str, passages: dict[str, Mapping[str, str]]
) -> Iterator[Question]:
    for article in articles:
        for paragraph in article["paragraphs"]:
            context = nfc(paragraph["context"])
            doc_id = hashlib.sha256(context.encode()).hexdigest()[:16]
            passages[doc_id] = {"id": doc_id, "title": nfc(article.get("title") or ""), "text": context}
            for qa in paragraph["qas"]:
                possible = not qa.get("is_impossible", False)
                yield Question(
                    str(qa.get("guid", qa.get("id"))),
                    nfc(qa["question"]),
                    frozenset((doc_id,)) if possible else frozenset(),
                    tuple(dict.fromkeys(nfc(a["text"]) for a in qa.get("answers", ()))) if possible else (),
                    name,
                    answerable=possible,
                )


def placed(asked: Sequence[Question], stored: Collection[str]) -> tuple[list[Question], set[str]]:
    """Questions whose documents are stored documents' ids, and the names of documents that are not stored.

    A file may be named without its folders as long as only one has that name.
    """
    by_name: dict[str, list[str]] = {}
    for doc_id in stored:
        by_name.setdefault(doc_id.rpartition("/")[2], []).append(doc_id)
    lost: set[str] = set()

    def place(name: str) -> str:
        if name in stored:
            return name
        found = by_name.get(name.rpartition("/")[2], [])
        if len(found) != 1:
            lost.add(name)
            return name
        return found[0]

    return [replace(q, relevant=frozenset(map(place, q.relevant))) for q in asked], lost


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """JSON lines, in one step: a file that is there is whole.

    Raises:
        ReadError: the folder can't be written.
    """
    draft = path.with_name(f".{path.name}.draft")
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return  # its time stays, so that it is not read again
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise ReadError(f"{path} can't be written ({error.strerror}): give another place with --home") from error


def _several(value: object) -> list[str]:
    if value is None or value == "":
        return []
    return [str(v) for v in value] if isinstance(value, list | tuple) else [str(value)]


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    except UnicodeDecodeError as error:
        raise ReadError(f"{path}: not UTF-8") from error
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from error
