"""The reader without a language model: picks sentences, or says NOT_FOUND."""

import pytest
from test_pipeline import Says

from damda.embed.e5 import COSINES
from damda.embed.encoder import OnnxEncoder
from damda.generate.extract import Extract, Gated
from damda.korean import Morphemes
from damda.types import NOT_FOUND, Chunk, Delta, Hit, Message

PASSAGES = (
    "도서관은 평일 오전 9시에 문을 엽니다. 토요일에는 오전 10시에 엽니다. 책은 한 사람이 다섯 권까지 빌릴 수 있습니다.",
    "구내식당의 점심은 11시 30분부터입니다. 저녁은 하지 않습니다.",
    "주차장은 몇 시까지 쓰나요? 밤 11시까지 씁니다. 그 뒤에는 차를 뺄 수 없습니다.",
)


@pytest.fixture(scope="module")
def reader(encoder: OnnxEncoder, morphemes: Morphemes) -> Extract:
    return Extract(encoder, morphemes, lambda: COSINES)


def hits(*texts: str) -> list[Hit]:
    return [Hit(Chunk(f"{n}", "d", text, 0, len(text)), 1.0, "hybrid") for n, text in enumerate(texts)]


def said(generator: Extract | Gated, question: str, *texts: str) -> str:
    deltas: list[Delta] = list(generator.stream([Message("user", question)], passages=hits(*texts)))
    assert deltas[-1].finish == "stop" and all(delta.finish is None for delta in deltas[:-1])
    return "".join(delta.text for delta in deltas)


def test_the_answering_sentence_comes_first_and_every_line_is_verbatim(reader: Extract) -> None:
    lines = said(reader, "책은 몇 권까지 빌릴 수 있나요?", *PASSAGES).split("\n")
    assert lines[0] == "책은 한 사람이 다섯 권까지 빌릴 수 있습니다."
    assert 1 <= len(lines) <= 3
    assert all(any(line in passage for passage in PASSAGES) for line in lines)


def test_what_follows_a_question_answers_it(reader: Extract) -> None:
    lines = said(reader, "주차장은 몇 시까지 쓸 수 있어요?", PASSAGES[2], PASSAGES[0]).split("\n")
    assert lines[0] == "밤 11시까지 씁니다."
    assert "주차장은 몇 시까지 쓰나요?" not in lines


def test_what_the_passages_do_not_say_is_not_found(reader: Extract) -> None:
    assert said(reader, "서울시장의 임기는 몇 년인가요?", *PASSAGES) == NOT_FOUND
    assert said(reader, "아무거나?") == NOT_FOUND


def test_the_same_sentence_is_given_once(reader: Extract) -> None:
    lines = said(reader, "책은 몇 권까지 빌릴 수 있나요?", PASSAGES[0], PASSAGES[0]).split("\n")
    assert len(set(lines)) == len(lines)


def test_quotes_and_threshold_are_settings(encoder: OnnxEncoder, morphemes: Morphemes) -> None:
    one = Extract(encoder, morphemes, lambda: COSINES, quotes=1, threshold=0.0)
    assert "\n" not in said(one, "서울시장의 임기는 몇 년인가요?", *PASSAGES)
    never = Extract(encoder, morphemes, lambda: COSINES, threshold=1.0)
    assert said(never, "책은 몇 권까지 빌릴 수 있나요?", *PASSAGES) == NOT_FOUND
    assert one.id != never.id


def test_the_gate_asks_the_model_only_when_the_passages_answer(reader: Extract) -> None:
    model = Says("다섯 권.")
    gated = Gated(model, reader)
    assert said(gated, "서울시장의 임기는 몇 년인가요?", *PASSAGES) == NOT_FOUND
    assert model.heard == []
    assert said(gated, "책은 몇 권까지 빌릴 수 있나요?", *PASSAGES) == "다섯 권."
    assert model.id in gated.id
