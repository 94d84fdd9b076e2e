"""A generator of your own: any object with an ``id`` and this ``stream`` fits damda.types.Generator."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import damda
from damda import Delta, Hit, Message
from damda.types import NOT_FOUND


class FirstLine:
    """Says the first line of the best passage, whatever was asked. The pipeline checks and locates it."""

    id = "first-line-1"

    def stream(
        self,
        messages: Sequence[Message],  # rules and passages, the conversation, last the question
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> Iterator[Delta]:
        text = passages[0].chunk.text.split("\n")[0] if passages else NOT_FOUND
        yield Delta(text, finish="stop")


if __name__ == "__main__":
    kb = damda.open(Path(__file__).parent / "documents", generator=FirstLine())
    kb.refresh()
    answer = kb.ask("직원은 언제 퇴직하나요?", where=damda.Where(glob="인사/**"))
    print(answer.text, *(f"{q.source} {q.start}-{q.end}" for q in answer.quotes), sep="\n")
