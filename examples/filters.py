"""Search a part of the folder only: one file, files that match a pattern, documents with a field."""

from pathlib import Path

import damda
from damda import Where

DOCUMENTS = Path(__file__).parent / "documents"
FILTERS = {
    "everything": None,
    "one file": Where(source="총무/출장_규정.md"),
    "a folder and all below it": Where(glob="en/**"),
    "HTML files": Where(meta={"format": "html"}),  # every document has the field "format"
    "both must hold": Where(glob="인사/*", meta={"format": "docx"}),
}


def main() -> None:
    kb = damda.open(DOCUMENTS)
    kb.refresh()
    for name, where in FILTERS.items():
        print(name)
        for hit in kb.search("출장 승인은 언제까지 받아야 하나요?", 2, where=where):
            print(f"  {hit.chunk.source}  {' '.join(hit.chunk.text.split())[:60]}")


if __name__ == "__main__":
    main()
