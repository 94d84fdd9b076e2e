"""Each passage is read alone: what the model sees, which one is taken, what is given up."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from test_llama import MISSING, smollm

from damda.answer.each import Each, Weighing
from damda.answer.prompt import alone, messages
from damda.errors import GeneratorError
from damda.generate.attempt import LEAST, Attempt
from damda.generate.llama import Llama
from damda.generate.quoting import quotable
from damda.generate.wire import Piece, Token, piece
from damda.settings import LlamaSettings
from damda.types import NOT_FOUND, Chunk, Delta, Hit, Message

TEXTS = ("The library opens at nine. See [2] and [1].", "Parking is free\n\n[3] x\nfor two hours.", "Tea and bread.")
HITS = [Hit(Chunk(str(n), f"d{n}", text, 0, len(text), title=f"T{n}"), 1.0, "bm25") for n, text in enumerate(TEXTS)]


@pytest.mark.parametrize("warned", [(), ("1",), ("0", "2")])
@pytest.mark.parametrize("n", range(3))
def test_a_passage_alone_is_what_it_would_be_alone(n: int, warned: Sequence[str]) -> None:
    history = [Message("user", "before"), Message("assistant", "so")]
    said = messages("When?", HITS, history, more="Be kind.", warned=warned)
    assert alone(said, HITS, n) == messages("When?", [HITS[n]], history, more="Be kind.", warned=warned)


class Fake:
    """Reads a passage: how likely a refusal is, and what it would quote."""

    def __init__(self, refusals: Sequence[float]) -> None:
        self.refusals, self.asked, self.ends = refusals, list[Sequence[Message]](), list[str]()
        self.id = "fake"

    def attempt(self, messages: Sequence[Message], hit: Hit, *, max_tokens: int = 512) -> "FakeAttempt | None":
        self.asked.append(messages)
        return FakeAttempt(self, int(hit.chunk.id)) if hit.chunk.text else None


class FakeAttempt:
    def __init__(self, by: Fake, n: int) -> None:
        self._by, self._n = by, n

    def absent(self) -> float:
        return self._by.refusals[self._n]

    def quote(self) -> str:
        self._by.ends.append(f"quoted {self._n}")
        return HITS[self._n].chunk.text.split(".")[0]

    def end(self) -> Delta:
        return Delta(finish="stop")

    def close(self) -> None:
        self._by.ends.append(f"closed {self._n}")


def said(fake: Fake, most: int = 3, weighing: Weighing | None = None) -> str:
    deltas = list(Each(fake, most, weighing).stream(messages("When?", HITS), passages=HITS))
    assert deltas[-1].finish == "stop"
    return "".join(delta.text for delta in deltas)


def test_the_surest_is_quoted_and_the_others_are_given_up_before_it_is_written() -> None:
    fake = Fake([-0.1, -3.0, -2.0])
    assert said(fake) == "Parking is free\n\n[3] x\nfor two hours"
    assert fake.ends[:3] == ["closed 0", "closed 2", "quoted 1"]
    assert fake.asked == [messages("When?", [hit]) for hit in HITS]


def test_the_search_counts() -> None:
    assert said(Fake([-1.0, -1.1, -1.0]), weighing=Weighing(place=0.5)).startswith("The library")
    assert said(Fake([-1.0, -3.0, -1.0]), weighing=Weighing(place=0.5)).startswith("Parking")


def test_nothing_answers() -> None:
    fake = Fake([-0.1, -0.2, -0.0])
    assert said(fake) == NOT_FOUND and not any(end.startswith("quoted") for end in fake.ends)
    assert said(Fake([-0.1, -0.2, -0.0]), weighing=Weighing(least=-9)) != NOT_FOUND
    assert [*Each(fake, 3).stream([Message("user", "?")])][0].text == NOT_FOUND


def test_no_more_are_read_than_wanted() -> None:
    fake = Fake([-1.0, -2.0, -9.0])
    assert said(fake, most=2).startswith("Parking") and len(fake.asked) == 2


def test_another_way_to_choose_has_another_name() -> None:
    fake = Fake([])
    names = {Each(fake, 3).id, Each(fake, 2).id, Each(fake, 3, Weighing(least=1)).id, Each(fake, 3, Weighing(0)).id}
    assert len(names) == 4 and all(name.startswith("fake(each=") for name in names)


class Chunks:
    """What llama.cpp sends."""

    def __init__(self, chunks: Sequence[Piece]) -> None:
        self._chunks, self.closed = iter(chunks), False

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        return next(self._chunks)

    def close(self) -> None:
        self.closed = True


def token(text: str, likely: float, *places: tuple[str, float]) -> Piece:
    return Piece(text, tokens=(Token(text, likely, places),))


def test_what_an_attempt_says() -> None:
    chunks = Chunks(
        [Piece(), token(" Parking", -1.0, (" Parking", -1.0), ("NOT", -1.5), (" N", -3.0)), token(" is", -3.0)]
    )
    attempt = Attempt(chunks, quotable(["Parking  is\nfree."]), NOT_FOUND)
    assert attempt.absent() == pytest.approx(-1.2986, abs=1e-3), "both ways to begin a refusal"
    assert attempt.quote() == "Parking is" and attempt.likely() == -2.0
    attempt.close()
    assert chunks.closed
    sure = Attempt(Chunks([token(" Parking", -0.1, (" Parking", -0.1))]), quotable(["Parking is free."]), NOT_FOUND)
    assert sure.absent() == LEAST
    nothing = Attempt(Chunks([]), quotable(["Parking is free."]), NOT_FOUND)
    assert (nothing.absent(), nothing.likely(), nothing.quote()) == (0.0, LEAST, "")
    with pytest.raises(GeneratorError, match="did not keep to the passage"):
        Attempt(Chunks([token("Tea", -1.0)]), quotable(["Parking is free."]), NOT_FOUND).quote()
    with pytest.raises(GeneratorError, match="no memory"):
        Attempt(Chunks([Piece(error="no memory")]), quotable(["Parking."]), NOT_FOUND).absent()


def test_log_probabilities_are_read() -> None:
    row = {"token": " a", "logprob": -0.5, "top_logprobs": [{"token": " a", "logprob": -0.5}, {"token": "b"}]}
    found = piece({"choices": [{"delta": {"content": " a"}, "logprobs": {"content": [row]}}]})
    assert found and found.tokens == (Token(" a", -0.5, ((" a", -0.5), ("b", float("-inf")))),)
    assert piece({"choices": [{"delta": {"content": "a"}, "logprobs": None}]}) == Piece("a")


@pytest.fixture(scope="module")
def path() -> Path:
    found = smollm()
    if found is None:
        pytest.skip(MISSING)
    return found


def test_a_model_quotes_from_one_of_several(path: Path) -> None:
    """More passages than slots: they take turns."""
    llama = Llama(LlamaSettings(mode="quote", context=512, threads=1, slots=2), path=path)
    each = Each(llama, 3, Weighing(least=-99))
    asked = messages("How long is parking free?", HITS)
    texts = [delta.text for delta in each.stream(asked, passages=HITS, max_tokens=12)]
    assert any(texts[0] in " ".join(text.split()) for text in TEXTS) and texts[0]
    assert texts == [delta.text for delta in each.stream(asked, passages=HITS, max_tokens=12)]
    attempt = llama.attempt(alone(asked, HITS, 1), HITS[1], max_tokens=12)
    assert attempt and LEAST <= attempt.absent() < 0 and " ".join(TEXTS[1].split()).find(attempt.quote()) >= 0
    assert LEAST < attempt.likely() < 0
    assert llama.attempt(asked, Hit(Chunk("9", "9", "...", 0, 3), 1.0, "bm25")) is None
    llama.close()
