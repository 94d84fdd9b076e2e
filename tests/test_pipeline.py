"""A question to an Answer: order of the steps, streaming, "not found"."""

from collections.abc import Iterator, Sequence

from fakes import FakeAnalyser

from damda.answer.pipeline import Pipeline
from damda.answer.prompt import messages
from damda.types import NOT_FOUND, Answer, Chunk, Delta, Document, Hit, Message, Usage, Where

DOCUMENT = Document("a", "Leave is 15 days. Ask a week before. 연차는 15일이다.", version="v", source="a")
CHUNK = Chunk("a#0", "a", DOCUMENT.text, 0, len(DOCUMENT.text), source="a", version="v")


class OneHit:
    id = "one"

    def __init__(self, hits: int = 1) -> None:
        self.asked: list[tuple[str, int, Where | None]] = []
        self._hits = [Hit(CHUNK, 1.0, "bm25")] * hits

    def search(self, queries: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        self.asked += [(query, k, where) for query in queries]
        return [list(self._hits) for _ in queries]


class Says:
    """Streams the given pieces."""

    id = "says"

    def __init__(self, *pieces: str) -> None:
        self._pieces = pieces
        self.heard: list[Message] = []

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> Iterator[Delta]:
        self.heard = list(messages)
        for piece in self._pieces:
            yield Delta(piece)
        yield Delta("", "stop", Usage(7, 3))


def pipeline(generator: Says, searcher: OneHit | None = None) -> Pipeline:
    return Pipeline(
        searcher or OneHit(),
        generator,
        lambda doc_id, version: DOCUMENT,
        FakeAnalyser(),
        passages=3,
        max_tokens=10,
        temperature=0.0,
    )


def test_sentences_are_numbered_and_located() -> None:
    answer = pipeline(Says("Leave is 15 days. Ask a", " week before.")).ask("How many?")
    assert answer.text == "Leave is 15 days. [1] Ask a week before. [2]"
    assert [DOCUMENT.text[q.start : q.end] for q in answer.quotes] == ["Leave is 15 days.", "Ask a week before."]
    assert answer.found and not answer.unsupported
    assert answer.usage == Usage(7, 3)


def test_a_quote_says_where_the_number_stands_that_was_asked_for() -> None:
    answer = pipeline(Says("Leave is 15 days. Ask a week before. 연차는 15일이다.")).ask("연차는 며칠인가요?")
    assert [quote.short for quote in answer.quotes] == ["", "", "15일"]
    (start, end) = answer.quotes[2].answer or (0, 0)
    assert DOCUMENT.text[start:end] == "15일" and answer.quotes[0].answer is None
    assert pipeline(Says("연차는 15일이다.")).ask("연차는 누가 주나요?").quotes[0].answer is None


def test_one_quote_has_one_number() -> None:
    answer = pipeline(Says("Leave is 15 days.\nLeave is 15 days.")).ask("?")
    assert answer.text == "Leave is 15 days. [1]\nLeave is 15 days. [1]"
    assert len(answer.quotes) == 1


def test_the_stream_adds_up_to_the_answer_and_each_sentence_comes_when_it_is_complete() -> None:
    items = list(pipeline(Says("Leave is 15", " days. Ask", " a week before.")).stream("?"))
    *deltas, answer = items
    assert isinstance(answer, Answer)
    texts = [delta.text for delta in deltas if isinstance(delta, Delta)]
    assert texts == ["Leave is 15 days. [1]", " Ask a week before. [2]"]
    assert "".join(texts) == answer.text


def test_an_unsupported_sentence_is_marked() -> None:
    answer = pipeline(Says("Leave is 15 days. The moon is made of cheese.")).ask("?")
    assert answer.unsupported == ("The moon is made of cheese.",)
    assert answer.text.endswith("cheese. [unsupported]")
    korean = pipeline(Says("연차는 15일이다. 달은 치즈다.")).ask("연차는?")
    assert korean.text.endswith("달은 치즈다. [근거 없음]")


def test_nothing_is_given_out_before_a_sentence_has_a_quote() -> None:
    pieces = ("The moon is cheese. ", "Leave is 15 days. ", "It is far away.")
    *deltas, answer = pipeline(Says(*pieces)).stream("?")
    assert [delta.text for delta in deltas if isinstance(delta, Delta)] == [
        "The moon is cheese. [unsupported] Leave is 15 days. [1]",
        " It is far away. [unsupported]",
    ]
    (only,) = pipeline(Says("The moon is cheese. It is far away.")).stream("?")
    assert isinstance(only, Answer) and not only.found


def test_nothing_supported_is_not_found() -> None:
    answer = pipeline(Says("The moon is made of cheese.")).ask("What?")
    assert (answer.found, answer.quotes) == (False, ())
    assert answer.text == "The documents do not answer this question."
    assert answer.unsupported == ("The moon is made of cheese.",)


def test_not_found_is_said_in_the_question_s_language_and_nothing_is_streamed() -> None:
    for pieces in ((NOT_FOUND,), ("NOT", "_FOUND"), (" NOT_FOUND\n",), ("NOT_FOUND.",)):
        items = list(pipeline(Says(*pieces)).stream("없는 것은?"))
        assert [type(item) for item in items] == [Answer], pieces
        answer = items[0]
        assert isinstance(answer, Answer)
        assert (answer.text, answer.found) == ("문서에서 답을 찾지 못했습니다.", False)


def test_no_hits_and_no_question_do_not_ask_the_generator() -> None:
    generator = Says("Leave is 15 days.")
    assert not pipeline(generator, OneHit(0)).ask("?").found
    searcher = OneHit()
    assert not pipeline(generator, searcher).ask("   ").found
    assert (generator.heard, searcher.asked) == ([], [])


def test_the_filter_and_the_number_of_passages_reach_the_search_and_the_question_is_nfc() -> None:
    searcher = OneHit()
    pipeline(Says("x"), searcher).ask("\u1112\u1161\u11ab", where=Where(source="a"))
    assert searcher.asked == [("한", 3, Where(source="a"))]


def test_messages_hold_passages_then_history_then_the_question_alone() -> None:
    history = [Message("user", "before"), Message("assistant", "yes")]
    built = messages("How many days?", [Hit(CHUNK, 1.0, "bm25")], history)
    assert [m.role for m in built] == ["system", "user", "assistant", "user"]
    assert CHUNK.text in built[0].content and NOT_FOUND in built[0].content
    assert built[-1].content == "How many days?"
