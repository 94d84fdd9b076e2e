"""The process that parsers run in: it may hang, crash or run out of memory, and costs one file.

Knows: which library reads which format. Does not know: who asks, or what a Document is.

Run by ``process.py`` as ``python -m damda.ingest.worker``. A request is a line of JSON, {"format", "size", "seconds",
"chars"}, and ``size`` bytes; the answer is one line of JSON, either {"text", "title", "pages", "meta"} or {"error"}.
JSON, since an answer must not be able to run code in the process that asked. It ends when its input ends, and kills
itself when a file takes too long, so it never outlives the process that asked.
"""

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from damda.child import serve
from damda.errors import ReadError
from damda.ingest import containers
from damda.ingest.structure import Cell, Parsed, heading, table

if TYPE_CHECKING:
    from kreuzberg import ExtractionResult

_MEMORY = 4 << 30
# Hancom's private character for the old spelling of its word processor's name, and that spelling: nobody types them.
_HAN = re.compile("\uf53a|\u1112\u119e\u11ab")
_DAMAGED = "damaged or cut off; open it in its program and save it again"


def main() -> None:
    """Answer requests until the input ends."""
    serve(lambda request, data: _answer(request["format"], data, request["chars"]), memory=_MEMORY)


def _answer(name: str, data: bytes, chars: int) -> dict[str, object]:
    try:
        parsed = PARSERS[name](data)
    except ReadError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": f"needs more than {_MEMORY >> 30} GB of memory to read; split it"}
    except RecursionError:
        return {"error": f"nested too deep; {_DAMAGED}"}
    except Exception as error:  # what a parser raises on a damaged file is anyone's guess
        return {"error": f"{_DAMAGED} ({type(error).__name__}: {_short(error)})"}
    pages = [_HAN.sub("한", page) for page in parsed.pages]
    text = _HAN.sub("한", parsed.text)
    length = len(parsed.text) + sum(map(len, parsed.pages))
    if length > 2 * chars:  # far more than could shrink to the limit; not worth the pipe
        return {"error": f"{length:,} characters of text; split it, or raise read.max_chars"}
    return {"text": text, "title": _HAN.sub("한", parsed.title), "pages": pages, "meta": dict(parsed.meta)}


def _short(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(error))[:120]


def _pdf(data: bytes) -> Parsed:
    from damda.ingest.pdf import paragraphs

    result = _kreuzberg(data, "application/pdf")
    pages = [page["content"] for page in result.pages or ()] or [result.content]
    return Parsed(title=result.metadata.get("title") or "", pages=paragraphs(pages))


def _xlsx(data: bytes) -> Parsed:
    result = _kreuzberg(containers.repack(data), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
    names = result.metadata.get("sheet_names") or []
    blocks = []
    for found in result.tables:
        rows = [[Cell(value.removesuffix(" 00:00:00")) for value in row] for row in found.cells]
        text = table(rows)
        if text:
            name = names[found.page_number - 1] if found.page_number <= len(names) else ""
            blocks += [heading(2, name), text] if name else [text]
    return Parsed("\n\n".join(blocks))


def _kreuzberg(data: bytes, mime: str) -> "ExtractionResult":
    import kreuzberg

    config = kreuzberg.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        output_format="plain",
        pages=kreuzberg.PageConfig(extract_pages=True),
    )
    try:
        return kreuzberg.extract_bytes_sync(data, mime, config)
    except kreuzberg.KreuzbergError as error:
        if "password" in str(error).lower():
            raise ReadError("needs a password; save a copy without one") from error
        raise ReadError(f"{_DAMAGED} ({_short(error)})") from error


def _hwp(data: bytes) -> Parsed:
    from damda.ingest import hwp

    try:
        import unhwp
    except OSError as error:  # it has no library for this machine, e.g. 64-bit ARM Linux
        raise ReadError("HWP can't be read on this kind of machine; save it as .docx or .pdf") from error
    try:
        with unhwp.parse_bytes(data) as result:
            document = json.loads(result.json)
    except unhwp.UnhwpError as error:
        if error.kind == unhwp.ErrorKind.ENCRYPTED:
            raise ReadError("needs a password; save a copy without one") from error
        raise ReadError(f"{_DAMAGED} ({_short(error)})") from error
    if document["metadata"].get("is_distribution"):
        raise ReadError("locked for distribution (배포용 문서); save an unlocked copy in Hancom Office")
    return hwp.parse(document)


def _hwpx(data: bytes) -> Parsed:
    return _hwp(containers.repack(data))


def _docx(data: bytes) -> Parsed:
    from damda.ingest import docx

    return docx.parse(data)


def _pptx(data: bytes) -> Parsed:
    from damda.ingest import pptx

    return pptx.parse(data)


PARSERS: dict[str, Callable[[bytes], Parsed]] = {
    "pdf": _pdf,
    "docx": _docx,
    "pptx": _pptx,
    "xlsx": _xlsx,
    "hwp": _hwp,
    "hwpx": _hwpx,
}

if __name__ == "__main__":
    main()
