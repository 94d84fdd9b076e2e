"""Search for many questions at once, write a TREC run file, and count how often the right document comes first.

python examples/run_file.py [RUN]
"""

import json
import sys
from pathlib import Path

import damda
from damda.measure.retrieval import best_of_documents

HERE = Path(__file__).parent


def main() -> None:
    lines = (HERE / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [row for row in map(json.loads, lines) if row["document"]]
    kb = damda.open(HERE / "documents")
    kb.refresh()
    found = kb.search_batch([question["text"] for question in questions], 30)
    run, first = [], 0
    for question, hits in zip(questions, found, strict=True):
        documents = best_of_documents(hits)  # a document ranks where its best passage does
        first += documents[0][0] == question["document"]
        for rank, (doc_id, hit) in enumerate(documents, 1):
            run.append(f"{question['id']} Q0 {'%20'.join(doc_id.split())} {rank} {hit.score:.6f} {hit.by}\n")
    print(f"{first} of {len(questions)} questions find their document first")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text("".join(run), encoding="utf-8")


if __name__ == "__main__":
    main()
