"""The same question in five modes: which passage each finds first, and the parts of the default's score."""

from pathlib import Path

import damda
from damda.types import Mode

DOCUMENTS = Path(__file__).parent / "documents"
MODES: tuple[Mode, ...] = ("bm25", "dense", "rrf", "convex", "hybrid")
QUESTIONS = ("법카를 실수로 개인 물건 사는 데 긁었어요", "나루센스 무상 보증 기간")


def main() -> None:
    kb = damda.open(DOCUMENTS)
    kb.refresh()
    for question in QUESTIONS:
        print(question)
        for mode in MODES:
            best = kb.search(question, 1, mode=mode)[0]
            print(f"  {mode:<7}{best.score:9.3f}  {best.chunk.source}  {best.chunk.heading}")
        best = kb.search(question, 1)[0]
        print(f"  hybrid is made of BM25 {best.bm25:.2f} and cosine {best.cosine:.3f}")  # NaN: not in that list


if __name__ == "__main__":
    main()
