"""The reader without a language model: picks sentences, or says NOT_FOUND."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from test_pipeline import Says

from damda.embed.e5 import COSINES
from damda.embed.encoder import OnnxEncoder
from damda.generate.extract import Extract, Gated
from damda.generate.reader import Candidate, Evidence, Reader, Reading
from damda.korean import Morphemes
from damda.types import NOT_FOUND, Chunk, Delta, Hit, Kind, Message

PASSAGES = (
    "도서관은 평일 오전 9시에 문을 엽니다. 토요일에는 오전 10시에 엽니다. 책은 한 사람이 다섯 권까지 빌릴 수 있습니다.",
    "구내식당의 점심은 11시 30분부터입니다. 저녁은 하지 않습니다.",
    "주차장은 몇 시까지 쓰나요? 밤 11시까지 씁니다. 그 뒤에는 차를 뺄 수 없습니다.",
)


@pytest.fixture(scope="module")
def reader(encoder: OnnxEncoder, morphemes: Morphemes) -> Reader:
    return Reader(encoder, morphemes, lambda: COSINES, lambda words: [1.0] * len(words), encoder.encode_parts)


@pytest.fixture(scope="module")
def extract(reader: Reader) -> Extract:
    return Extract(reader)


def hits(*texts: str) -> list[Hit]:
    return [Hit(Chunk(f"{n}", "d", text, 0, len(text)), 1.0, "hybrid") for n, text in enumerate(texts)]


def said(generator: Extract | Gated, question: str, *texts: str) -> str:
    deltas: list[Delta] = list(generator.stream([Message("user", question)], passages=hits(*texts)))
    assert deltas[-1].finish == "stop" and all(delta.finish is None for delta in deltas[:-1])
    return "".join(delta.text for delta in deltas)


def test_the_answering_sentence_comes_first_and_every_line_is_verbatim(extract: Extract) -> None:
    lines = said(extract, "책은 몇 권까지 빌릴 수 있나요?", *PASSAGES).split("\n")
    assert lines[0] == "책은 한 사람이 다섯 권까지 빌릴 수 있습니다."
    assert 1 <= len(lines) <= 3
    assert all(any(line in passage for passage in PASSAGES) for line in lines)


def test_what_follows_a_question_answers_it(extract: Extract) -> None:
    lines = said(extract, "주차장은 몇 시까지 쓸 수 있어요?", PASSAGES[2], PASSAGES[0]).split("\n")
    assert lines[0] == "밤 11시까지 씁니다."
    assert "주차장은 몇 시까지 쓰나요?" not in lines


def test_what_the_passages_do_not_say_is_not_found(extract: Extract) -> None:
    assert said(extract, "서울시장의 임기는 몇 년인가요?", *PASSAGES) == NOT_FOUND
    assert said(extract, "아무거나?") == NOT_FOUND


def test_the_same_sentence_is_given_once(extract: Extract) -> None:
    lines = said(extract, "책은 몇 권까지 빌릴 수 있나요?", PASSAGES[0], PASSAGES[0]).split("\n")
    assert len(set(lines)) == len(lines)


def test_quotes_and_threshold_are_settings(reader: Reader) -> None:
    one = Extract(reader, quotes=1, threshold=0.0)
    assert "\n" not in said(one, "서울시장의 임기는 몇 년인가요?", *PASSAGES)
    never = Extract(reader, threshold=1.0)
    assert said(never, "책은 몇 권까지 빌릴 수 있나요?", *PASSAGES) == NOT_FOUND
    assert one.id != never.id


def test_the_gate_asks_the_model_only_when_the_passages_answer(reader: Reader) -> None:
    model = Says("다섯 권.")
    gated = Gated(model, reader)
    assert said(gated, "서울시장의 임기는 몇 년인가요?", *PASSAGES) == NOT_FOUND
    assert model.heard == []
    assert said(gated, "책은 몇 권까지 빌릴 수 있나요?", *PASSAGES) == "다섯 권."
    assert model.id in gated.id


# --- what speaks for a sentence


def test_evidence_of_a_sentence(reader: Reader) -> None:
    question = "구내식당의 점심은 몇 시부터인가요?"
    first = next(c for c in reader.read(question, hits(*PASSAGES)).candidates if "11시 30분" in c.text)
    assert first.rank == 1 and first.evidence.number == 1
    assert first.evidence.own > 0.5 and first.evidence.passage >= first.evidence.near >= 0.5
    others = reader.read("구내식당의 점심은 맛있나요?", hits(*PASSAGES)).candidates
    assert {c.evidence.number for c in others} == {0}


def test_rare_words_count_for_more(encoder: OnnxEncoder, morphemes: Morphemes) -> None:
    def shares(rarities: dict[str, float]) -> dict[str, float]:
        reader = Reader(encoder, morphemes, lambda: COSINES, lambda words: [rarities.get(w, 1.0) for w in words])
        return {
            c.text: c.evidence.near
            for c in reader.read("점심 저녁", hits("점심은 무료다.", "저녁은 유료다.")).candidates
        }

    assert shares({"점심": 9.0}) == {"점심은 무료다.": pytest.approx(0.9), "저녁은 유료다.": pytest.approx(0.1)}


def test_a_sentence_is_read_in_its_passage(encoder: OnnxEncoder, morphemes: Morphemes) -> None:
    seen: list[list[str]] = []

    def in_context(
        texts: Sequence[str], parts: Sequence[Sequence[tuple[int, int]]], *, kind: Kind
    ) -> list[NDArray[np.float32]]:
        seen.append([text[a:b] for text, spans in zip(texts, parts, strict=True) for a, b in spans])
        return encoder.encode_parts(texts, parts, kind=kind)

    reader = Reader(encoder, morphemes, lambda: COSINES, lambda words: [1.0] * len(words), in_context)
    chunk = Chunk("1", "d", PASSAGES[0], 0, len(PASSAGES[0]), "안내", "도서관 > 시간")
    read = reader.read("토요일에는 언제 여나요?", [Hit(chunk, 1.0, "hybrid")])
    assert seen == [
        [
            "도서관은 평일 오전 9시에 문을 엽니다.",
            "토요일에는 오전 10시에 엽니다.",
            "책은 한 사람이 다섯 권까지 빌릴 수 있습니다.",
        ]
    ]
    assert any(c.evidence.in_context != c.evidence.cosine for c in read.candidates)


def test_nothing_to_read(reader: Reader) -> None:
    for nothing in ([], hits(""), hits("  \n ")):
        read = reader.read("무엇인가요?", nothing)
        assert read.candidates == () and read.confidence == 0.0 and read.distinct(3) == []


def test_what_a_quote_has_said_is_not_said_again() -> None:
    def candidate(text: str, *words: str) -> Candidate:
        return Candidate(text, 0, frozenset(words), Evidence(0, 0, 0, 0, 0, 0))

    first, same = candidate("연차는 15일이다.", "연차", "15", "일"), candidate("연차는  15일이다.", "연차", "15", "일")
    less, wordless = candidate("15일.", "15", "일"), candidate("그렇다.")
    more = candidate("연차는 15일, 병가는 10일이다.", "연차", "15", "일", "병가", "10")
    assert Reading((first, same, less, wordless, more)).distinct(3) == [first, wordless, more]
    assert Reading((first, more)).distinct(1) == [first]


def test_a_passage_is_read_once(encoder: OnnxEncoder, morphemes: Morphemes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fresh() -> Reader:
        return Reader(encoder, morphemes, lambda: COSINES, lambda words: [1.0] * len(words), encoder.encode_parts)

    encoded: list[str] = []
    real = encoder.encode

    def encode(texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        encoded.extend(texts if kind == "passage" else [])
        return real(texts, kind=kind)

    monkeypatch.setattr(encoder, "encode", encode)
    warm, question = fresh(), "점심은 몇 시부터인가요?"
    warm.read("책은 몇 권까지 빌릴 수 있나요?", hits(*PASSAGES[:2]))
    encoded.clear()
    known = warm.read(question, hits(*PASSAGES))
    assert encoded == ["주차장은 몇 시까지 쓰나요?", "밤 11시까지 씁니다.", "그 뒤에는 차를 뺄 수 없습니다."]
    assert known == fresh().read(question, hits(*PASSAGES))
    # Another text under the same id is another passage: a document may change while the service runs.
    assert warm.read(question, hits("점심은 12시부터입니다.")) == fresh().read(question, hits("점심은 12시부터입니다."))


def test_of_passages_that_were_read_only_the_latest_are_kept(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, encoder: OnnxEncoder, morphemes: Morphemes
) -> None:
    monkeypatch.setattr("damda.generate.reader._KEPT", 2)
    small = Reader(encoder, morphemes, lambda: COSINES, lambda words: [1.0] * len(words), encoder.encode_parts)
    question = "책은 몇 권까지 빌릴 수 있나요?"
    assert small.read(question, hits(*PASSAGES)) == reader.read(question, hits(*PASSAGES))
    assert [chunk.text for chunk in small._kept] == list(PASSAGES[1:])
