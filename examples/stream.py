"""An answer sentence by sentence, as it is made and checked; the last item of the stream is the whole Answer."""

import sys
from pathlib import Path

import damda

DOCUMENTS = Path(__file__).parent / "documents"


def main() -> None:
    question = sys.argv[1] if len(sys.argv) > 1 else "연차를 남기면 몇 일까지 이월되나요?"
    kb = damda.open(DOCUMENTS, settings={"answer.quotes": 2})
    kb.refresh()
    for item in kb.stream(question):
        if isinstance(item, damda.Answer):
            print(f"\nfound: {item.found}, quotes: {len(item.quotes)}, passages: {len(item.hits)}")
        else:
            print(item.text, end="", flush=True)


if __name__ == "__main__":
    main()
