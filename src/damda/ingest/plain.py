"""Markdown, text, CSV and JSON lines: formats that are text already.

Knows: front matter, tables of delimited values, the lines of a corpus.jsonl. Does not know: encodings, files.
"""

import csv
import io
import json
import re
import tomllib
from collections.abc import Iterator

from damda.errors import ReadError
from damda.ingest.structure import Cell, Parsed, plain_title, table

_YAML = re.compile(r"---[ \t]*\n(.*?)(?:\A|\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TOML = re.compile(r"\+\+\+[ \t]*\n(.*?)(?:\A|\n)\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL)
_SCALAR = re.compile(r"([^\s:#\-'\"\[{][^:\n]{0,80}):(?:[ \t]+(.*))?$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}#[ \t]+(\S.*)")
_SAMPLE = 64 * 1024


def markdown(text: str) -> Parsed:
    """The author's own text, front matter taken off; its scalars become meta."""
    meta, body = front_matter(text)
    return Parsed(body, title=meta.get("title") or meta.get("제목") or first_heading(body), meta=meta)


def front_matter(text: str) -> tuple[dict[str, str], str]:
    """(scalars as strings, the text after them). Lists and nested values are left out; so is what isn't YAML."""
    text = text.lstrip("\ufeff")
    toml = _TOML.match(text)
    if toml:
        try:
            values = tomllib.loads(toml[1])
        except tomllib.TOMLDecodeError:
            return {}, text  # a line of pluses in an ordinary text
        return {k: str(v) for k, v in values.items() if not isinstance(v, dict | list)}, text[toml.end() :]
    yaml = _YAML.match(text)
    if not yaml:
        return {}, text
    lines = yaml[1].split("\n")
    meta = {match[1].strip(): _unquote(match[2] or "") for line in lines if (match := _SCALAR.match(line))}
    if not meta and yaml[1].strip():
        return {}, text  # a rule (---), a paragraph, and another rule
    return {key: value for key, value in meta.items() if value}, text[yaml.end() :]


def _unquote(value: str) -> str:
    value = value.strip()
    if value[:1] in ("'", '"'):
        end = value.rfind(value[0])
        inner = value[1:end] if end > 0 else value[1:]
        return inner.replace("''", "'") if value[0] == "'" else inner.replace('\\"', '"').replace("\\\\", "\\")
    value = re.split(r"(?:^|\s)#", value, maxsplit=1)[0].strip()
    return "" if value[:1] in ("[", "{", "|", ">", "&", "*", "!") else value


def first_heading(text: str) -> str:
    """The first top-level heading (``# Title`` or ``Title`` over ``====``) outside code, without markup; else ""."""
    fence = above = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence or mark:
            if mark and not fence:
                fence = mark[1]
            elif mark and mark[1].startswith(fence) and not line.strip(" `~"):
                fence = ""
            continue
        found = _ATX.match(line)
        if found:
            return plain_title(found[1])
        if above.strip() and re.fullmatch(r" {0,3}={2,}[ \t]*", line):
            return plain_title(above)
        above = line
    return ""


def delimited(text: str, ending: str) -> Parsed:
    """CSV or TSV as one Markdown table, its first row the header."""
    try:
        rows = [[Cell(value) for value in row] for row in csv.reader(io.StringIO(text), _dialect(text, ending))]
    except csv.Error as error:
        raise ReadError(f"not a table of delimited values ({error}); check its quotation marks") from error
    return Parsed(table(row for row in rows if row))


def _dialect(text: str, ending: str) -> type[csv.Dialect]:
    if ending == "tsv":
        return csv.excel_tab
    sample = text[:_SAMPLE]
    first = sample.partition("\n")[0]
    delimiter = max(",;\t|", key=first.count)  # csv.Sniffer takes letters for delimiters

    class Found(csv.excel):
        pass

    Found.delimiter = delimiter
    return Found


def corpus(text: str) -> Iterator[tuple[str, Parsed, str]]:
    """(id, content, canonical line) of each line of a corpus.jsonl; lines without text are left out.

    Raises:
        ReadError: not a corpus, or a line of it is broken; names the line.
    """
    seen: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        fields = _fields(line, number)
        key = fields.get("id", fields.get("_id"))
        if not isinstance(key, str | int) or not isinstance(fields.get("text"), str) or key == "":
            raise ReadError(f'line {number} has no "id" and "text"; a corpus.jsonl needs both on every line')
        key = str(key)
        if key in seen:
            raise ReadError(f'line {number} repeats the id "{key}" of line {seen[key]}; make ids unique')
        seen[key] = number
        title = fields.get("title")
        meta = {name: _scalar(value) for name, value in fields.items() if name not in ("id", "_id", "text", "title")}
        parsed = Parsed(
            str(fields["text"]),
            title=title if isinstance(title, str) else "",
            meta={name: value for name, value in meta.items() if value},
        )
        if parsed.text.strip():
            yield key, parsed, json.dumps(fields, ensure_ascii=False, sort_keys=True)


def _fields(line: str, number: int) -> dict[str, object]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ReadError(f"line {number} is not JSON; a corpus.jsonl has one object a line") from error
    if not isinstance(fields, dict):
        raise ReadError(f"line {number} is not a JSON object; a corpus.jsonl has one object a line")
    return fields


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""
