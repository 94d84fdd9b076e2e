"""Ask a folder a question; show each quote, its page or heading, and the text around it."""

from pathlib import Path

import damda

DOCUMENTS = Path(__file__).parent / "documents"


def main() -> None:
    kb = damda.open(DOCUMENTS)  # the index goes to examples/documents/.damda; DAMDA_HOME names another place
    kb.refresh()  # reads what changed since the last time
    answer = kb.ask("나루게이트 한 대에 센서를 몇 대까지 연결할 수 있나요?")
    print(answer.text)
    for number, quote in enumerate(answer.quotes, 1):
        place = f"p. {quote.page}" if quote.page else quote.heading
        print(f"\n[{number}] {quote.source}, {place}, {quote.start}-{quote.end}")
        version = next(hit.chunk.version for hit in answer.hits if hit.chunk.doc_id == quote.doc_id)
        document = kb.document(quote.doc_id, version)
        if document is not None:
            assert document.text[quote.start : quote.end] == quote.text  # what "verbatim" means here
            around = document.text[max(0, quote.start - 40) : quote.end + 40]
            print("    ..." + " ".join(around.split()) + "...")


if __name__ == "__main__":
    main()
