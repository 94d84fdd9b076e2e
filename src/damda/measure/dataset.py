"""Questions with known answers, from disk.

Knows: the BEIR layout (corpus.jsonl, queries.jsonl, qrels.tsv). Does not know: how anything is searched.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from damda.errors import ReadError


@dataclass(frozen=True, slots=True)
class Question:
    """A question; ``relevant`` are the ids of the documents that answer it, ``answers`` the wordings that count."""

    id: str
    text: str
    relevant: frozenset[str]
    answers: tuple[str, ...] = ()
    source: str = ""


def questions(folder: Path) -> list[Question]:
    """Questions of a BEIR-layout folder that have at least one relevant document.

    Raises:
        ReadError: a file is missing or malformed; names the file and the line.
    """
    relevant: dict[str, set[str]] = {}
    for number, line in enumerate(_lines(folder / "qrels.tsv")[1:], 2):
        fields = line.split("\t")
        if len(fields) != 3:
            raise ReadError(f"{folder / 'qrels.tsv'}, line {number}: not query-id TAB corpus-id TAB score")
        if float(fields[2]) > 0:
            relevant.setdefault(fields[0], set()).add(fields[1])
    found = []
    for number, line in enumerate(_lines(folder / "queries.jsonl"), 1):
        try:
            row = json.loads(line)
            query_id, text = str(row.get("id", row.get("_id"))), str(row["text"])
        except (ValueError, KeyError, AttributeError) as error:
            raise ReadError(f"{folder / 'queries.jsonl'}, line {number}: not a JSON object with id and text") from error
        if query_id in relevant:
            source = str(row.get("source", folder.name))
            found.append(Question(query_id, text, frozenset(relevant[query_id]), tuple(row.get("answers", ())), source))
    return found


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from error
