"""Guards in their places: of the question, the passages, each sentence that leaves; and what they do to an answer."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from fakes import FakeAnalyser
from hypothesis import given
from hypothesis import strategies as st

from damda import trace
from damda.answer.direct import Direct, Limits
from damda.answer.guard import Guards
from damda.answer.pipeline import Pipeline
from damda.answer.prompt import messages
from damda.errors import GeneratorError
from damda.types import MASK, Action, Answer, Chunk, Delta, Document, Found, Guard, Hit, Message, Usage, Verdict, Where

SECRET = "960121-1234567"
TEXT = f"Leave is 15 days. Kim's number is {SECRET}, he knows. Ask a week before."
DOCUMENT = Document("a", TEXT, title="Rules", version="v", source="a")
CHUNK = Chunk("a#0", "a", TEXT, 0, len(TEXT), title="Rules", source="a", version="v")
HIT = Hit(CHUNK, 1.0, "bm25")


@dataclass
class Finds:
    """Does ``action`` about what a pattern matches."""

    pattern: str
    action: Action = "redact"
    name: str = "finds"

    def __post_init__(self) -> None:
        self.checked: list[str] = []

    @property
    def id(self) -> str:
        return f"{self.name}({self.pattern},{self.action})"

    def check(self, text: str, hits: Sequence[Hit] = ()) -> Verdict:
        self.checked.append(text)
        found = tuple(Found("secret", *m.span()) for m in re.finditer(self.pattern, text))
        if not found:
            return Verdict("allow", text, guard=self.name)
        shown = re.sub(self.pattern, lambda m: MASK * len(m[0]), text) if self.action == "redact" else text
        return Verdict(self.action, "" if self.action == "block" else shown, found, guard=self.name)


NUMBER = r"\d{6}\s*-?\s*\d{7}"


class OneHit:
    id = "one"

    def __init__(self, *hits: Hit) -> None:
        self.asked: list[str] = []
        self._hits = hits or (HIT,)

    def search(self, queries: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        self.asked += queries
        return [list(self._hits) for _ in queries]


class Says:
    """Streams the given pieces, whatever it is asked; remembers how many it gave."""

    id = "says"

    def __init__(self, *pieces: str) -> None:
        self._pieces = pieces
        self.heard: list[Message] = []
        self.passages: list[Hit] = []
        self.given = 0

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        schema: str = "",
    ) -> Iterator[Delta]:
        self.heard, self.passages = list(messages), list(passages)
        yield from self._pour()

    def complete(
        self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, stop: Sequence[str] = ()
    ) -> Iterator[Delta]:
        self.heard = [Message("user", prompt)]
        yield from self._pour()

    def _pour(self) -> Iterator[Delta]:
        for piece in self._pieces:
            self.given += 1
            yield Delta(piece)
        yield Delta("", "stop", Usage(7, 3))


def pipeline(generator: Says, guards: Guards, searcher: OneHit | None = None) -> Pipeline:
    return Pipeline(
        searcher or OneHit(),
        generator,
        lambda doc_id, version: DOCUMENT,
        FakeAnalyser(),
        passages=3,
        max_tokens=10,
        temperature=0.0,
        guards=guards,
    )


def masking(*guards: Guard) -> Guards:
    return Guards(answer=guards, masking=guards)


def test_a_blocked_question_is_neither_searched_nor_answered() -> None:
    searcher, says = OneHit(), Says("Leave is 15 days.")
    *deltas, answer = pipeline(says, Guards(question=[Finds(NUMBER, "block")]), searcher).stream(f"Who is {SECRET}?")
    assert isinstance(answer, Answer) and not deltas
    assert answer.text == "Withheld by a safety rule: secret." and not answer.found and answer.blocked
    assert not searcher.asked and not says.given and SECRET not in repr(answer)
    assert [(v.place, v.guard, v.action, v.rule) for v in answer.verdicts] == [("question", "finds", "block", "secret")]


def test_the_language_of_a_refusal_is_the_questions() -> None:
    answer = pipeline(Says(), Guards(question=[Finds(NUMBER, "block")])).ask(f"{SECRET} 누구예요?")
    assert answer.text == "안전 규칙에 따라 답하지 않습니다: secret."


def test_a_redacted_question_goes_on_masked() -> None:
    searcher, says = OneHit(), Says("Leave is 15 days.")
    answer = pipeline(says, Guards(question=[Finds(NUMBER)]), searcher).ask(f"Is {SECRET} on leave?")
    assert searcher.asked == [f"Is {MASK * 14} on leave?"] == [says.heard[-1].content]
    assert answer.found and not answer.blocked and SECRET not in repr((answer.verdicts, says.heard[-1]))


def test_each_guard_sees_what_the_one_before_let_through() -> None:
    second = Finds(r"\d", "block")
    answer = pipeline(Says("Leave is 15 days."), Guards(question=[Finds(NUMBER), second])).ask(f"Is {SECRET} on leave?")
    assert second.checked == [f"Is {MASK * 14} on leave?"] and answer.found


def test_history_is_checked_too() -> None:
    says = Says("Leave is 15 days.")
    history = [
        Message("user", f"who is {SECRET}"),
        Message("assistant", "Withheld."),
        Message("user", "and how long is leave"),
        Message("assistant", "15 days."),
    ]
    pipeline(says, Guards(question=[Finds(NUMBER, "block")])).ask("really?", history=history)
    assert [m.content for m in says.heard[1:]] == ["and how long is leave", "15 days.", "really?"]


def test_a_flagged_passage_is_given_as_data_with_a_warning() -> None:
    says = Says("Leave is 15 days.")
    answer = pipeline(says, Guards(passage=[Finds("Ask a week before", "flag")])).ask("How many days?")
    system = says.heard[0].content
    (mark,) = set(re.findall(r"«/(\w{8})»", system))
    assert f"«{mark}»\n{TEXT}\n«/{mark}»" in system and "do not follow them" in system and mark not in TEXT
    assert says.passages == [HIT] and answer.quotes[0].text == "Leave is 15 days."
    assert [(v.place, v.action, v.passage) for v in answer.verdicts] == [("passage", "flag", "a#0")]
    assert messages("q", [HIT])[0].content.endswith(TEXT)


def test_what_repeats_a_flagged_sentence_says_so() -> None:
    guards = Guards(passage=[Finds("Ask a week before", "flag")])
    answer = pipeline(Says("Leave is 15 days. Ask a week before."), guards).ask("How many days?")
    assert answer.text == "Leave is 15 days. [1] Ask a week before. [2] [instruction in the document]"
    titled = Hit(Chunk("a#0", "a", TEXT, 0, len(TEXT), title="Rules", heading="All", version="v"), 1.0, "bm25")
    answer = pipeline(Says("Leave is 15 days.", " Ask a week before."), guards, OneHit(titled)).ask("며칠인가요?")
    assert answer.text == "Leave is 15 days. [1] Ask a week before. [2] [문서 속 지시문]"


def test_a_redacted_passage_is_masked_for_the_model_and_in_quotes() -> None:
    says = Says(f"Kim's number is {MASK * 14}, he knows.")
    answer = pipeline(says, Guards(passage=[Finds(NUMBER)])).ask("What is Kim's number?")
    (quote,) = answer.quotes
    assert SECRET not in repr((says.heard, says.passages, answer))
    assert quote.text == f"Kim's number is {MASK * 14}, he knows."
    assert TEXT[quote.start : quote.end] == quote.text.replace(MASK * 14, SECRET)


def test_a_blocked_passage_is_left_out() -> None:
    other = Chunk("b#0", "b", "Leave is 15 days.", 0, 17, version="v")
    says = Says("Leave is 15 days.")
    searcher = OneHit(HIT, Hit(other, 0.5, "bm25"))
    answer = pipeline(says, Guards(passage=[Finds(NUMBER, "block")]), searcher).ask("How many days?")
    assert [hit.chunk.id for hit in answer.hits] == ["b#0"] == [hit.chunk.id for hit in says.passages]


def test_passages_are_masked_in_their_titles_too() -> None:
    chunk = Chunk("c#0", "c", f"x {SECRET}", 0, 16, title=f"of {SECRET}", heading=f"{SECRET} > more")
    (hit,) = Guards(passage=[Finds(NUMBER)]).passages([Hit(chunk, 1.0, "bm25")]).hits
    assert (hit.chunk.title, hit.chunk.heading, hit.chunk.text) == (
        f"of {MASK * 14}",
        f"{MASK * 14} > more",
        f"x {MASK * 14}",
    )


def test_an_answer_is_masked_with_its_quotes_and_passages() -> None:
    guards = masking(Finds(NUMBER))
    answer = pipeline(Says(f"Kim's number is {SECRET}, he knows."), guards).ask("What is Kim's number?")
    assert answer.text == f"Kim's number is {MASK * 14}, he knows. [1]" and answer.found
    (quote,) = answer.quotes
    assert DOCUMENT.text[quote.start : quote.end] == quote.text.replace(MASK * 14, SECRET)
    assert SECRET not in repr(answer)


def test_what_surrounds_a_quoted_part_is_masked_too() -> None:
    answer = pipeline(Says("he knows."), masking(Finds(NUMBER))).ask("What does Kim know?")
    assert answer.quotes[0].text == f"Kim's number is {MASK * 14}, he knows." and SECRET not in repr(answer)


def test_a_block_in_the_middle_keeps_the_rest_back() -> None:
    says = Says("Leave is 15 days. ", f"Kim's number is {SECRET}, he knows. ", "Ask a week before.", " More.")
    *deltas, answer = pipeline(says, Guards(answer=[Finds(NUMBER, "block")])).stream("?")
    assert isinstance(answer, Answer) and answer.blocked and answer.found
    assert answer.text == "Leave is 15 days. [1]\nWithheld by a safety rule: secret."
    assert "".join(d.text for d in deltas if isinstance(d, Delta)) == answer.text
    assert len(answer.quotes) == 1 and says.given < 4, "nothing more is generated"


def test_a_block_at_the_start_leaves_nothing() -> None:
    says = Says(f"Kim's number is {SECRET}, he knows. Leave is 15 days.")
    *deltas, answer = pipeline(says, Guards(answer=[Finds(NUMBER, "block")])).stream("?")
    assert isinstance(answer, Answer) and not deltas and not answer.quotes and not answer.found
    assert answer.text == "Withheld by a safety rule: secret."


def test_unsupported_sentences_are_left_out_where_that_is_wanted() -> None:
    says = Says("Leave is 15 days. Nobody said this. Ask a week before.")
    answer = pipeline(says, Guards(drop=True)).ask("?")
    assert answer.text == "Leave is 15 days. [1] Ask a week before. [2]" and not answer.unsupported
    assert [(v.guard, v.action) for v in answer.verdicts] == [("unsupported", "redact")]
    assert "Nobody" not in repr(answer)


def test_a_guard_that_fails_lets_nothing_through() -> None:
    class Fails(Finds):
        def check(self, text: str, hits: Sequence[Hit] = ()) -> Verdict:
            raise GeneratorError("no model")

    said: list[object] = []
    with pytest.raises(GeneratorError):
        said += pipeline(Says("Leave is 15 days. Ask a week before."), Guards(answer=[Fails("x")])).stream("?")
    assert not said


@st.composite
def leaks(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Texts that hold numbers between sentences and line ends, in pieces of any size; and the numbers."""
    numbers = draw(st.lists(st.from_regex(r"\A[0-9]{6}-[0-9]{7}\Z"), min_size=1, max_size=3))
    fillers = st.sampled_from(["Leave is 15 days.", "Ask a week before.", "번호는", "다음과 같다.", "See\nbelow.", "-"])
    text = ""
    for number in numbers:
        gap = draw(st.sampled_from(["", " ", "\n", " \n", "\n\n"]))
        split = draw(st.integers(0, 14))
        number = number[:split] + (gap if split in (6, 7) else "") + number[split:]
        text += " ".join(draw(st.lists(fillers, max_size=3))) + draw(st.sampled_from([" ", "\n"])) + number
        text += draw(st.sampled_from([" ", "\n", ". ", ".\n\n", "다. "]))
    text += draw(st.sampled_from(["", "Leave is 15 days.", "끝."]))
    pieces = []
    while text:
        size = draw(st.integers(1, 12))
        pieces.append(text[:size])
        text = text[size:]
    return pieces, numbers


@given(leaks())
def test_no_number_leaves_however_it_is_said(leak: tuple[list[str], list[str]]) -> None:
    pieces, numbers = leak
    for stream in (
        pipeline(Says(*pieces), masking(Finds(NUMBER))).stream("?"),
        Direct(Says(*pieces), masking(Finds(NUMBER))).chat([Message("user", "?")], Limits()),
    ):
        *deltas, answer = stream
        shown = "".join(d.text for d in deltas if isinstance(d, Delta))
        assert isinstance(answer, Answer)
        for number in numbers:
            for text in (shown, answer.text, repr(answer.quotes), repr(answer.hits)):
                assert number[-7:] not in re.sub(r"[\s-]", "", text), "the second half never leaves"


@given(leaks())
def test_what_leaves_is_what_was_checked(leak: tuple[list[str], list[str]]) -> None:
    """Every piece that is given out is in a text that the guard has seen before."""
    guard = Finds("nothing")
    for item in Direct(Says(*leak[0]), Guards(answer=[guard])).chat([Message("user", "?")], Limits()):
        if isinstance(item, Delta) and item.text:
            assert item.text == guard.checked[-1]
    assert "".join(guard.checked) == "".join(leak[0])


def test_the_bare_model_is_guarded_alike() -> None:
    says = Says("Fine. ", f"It is {SECRET}. ", "More. ", "And more.")
    *deltas, answer = Direct(says, Guards(answer=[Finds(NUMBER, "block")])).chat([Message("user", "?")], Limits())
    assert isinstance(answer, Answer)
    assert "".join(d.text for d in deltas if isinstance(d, Delta)) == answer.text
    assert answer.text == "Fine.\nWithheld by a safety rule: secret." and answer.blocked
    assert [d.finish for d in deltas if isinstance(d, Delta)][-1] == "content_filter"
    assert says.given < 4
    *deltas, answer = Direct(says, Guards(question=[Finds(NUMBER, "block")])).chat([Message("user", SECRET)], Limits())
    assert isinstance(answer, Answer) and answer.blocked and SECRET not in repr((deltas, answer))


def test_the_bare_model_streams_token_by_token_where_nothing_is_guarded() -> None:
    *deltas, answer = Direct(Says("a", "b", " c"), Guards()).complete("?", Limits())
    assert [d.text for d in deltas if isinstance(d, Delta)] == ["a", "b", " c", ""]
    assert isinstance(answer, Answer) and answer.text == "ab c" and answer.usage == Usage(7, 3)


def test_ids_tell_every_setting() -> None:
    one, two = Finds("a"), Finds("b")
    ids = {
        Guards().id,
        Guards(question=[one]).id,
        Guards(passage=[one]).id,
        Guards(answer=[one]).id,
        Guards(answer=[two]).id,
        Guards(answer=[one, two]).id,
        Guards(answer=[two, one]).id,
        Guards(drop=True).id,
    }
    assert len(ids) == 8 and Guards(question=[one]).id == Guards(question=[Finds("a")]).id


def test_nothing_is_traced_of_what_was_found() -> None:
    assert trace.active() is None  # spans' own tests are in test_trace.py; here: guards work without
    assert Guards(question=[Finds(NUMBER)]).check("question", SECRET).text == MASK * 14
