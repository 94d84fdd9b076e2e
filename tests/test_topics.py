"""Topics by example: what is near, on whatever scale an encoder has, and what a file of topics may say."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from labelled_fixtures import WordEncoder
from numpy.typing import NDArray

from damda.answer.guards.topics import FORBIDDEN, OFF_TOPIC, Topics, read
from damda.embed.encoder import OnnxEncoder
from damda.errors import ConfigError
from damda.types import Guard, Kind

MONEY = ["주식 투자 수익", "주식 매수 시점", "투자 종목 추천", "주식 종목 전망", "수익 높은 투자 종목"]
LEAVE = ["연차 휴가 신청", "휴가 일수 문의", "연차 신청 기한", "병가 휴가 일수", "연차 휴가 이월"]


class Squeezed:
    """The same texts in a corner of the space, as e5 has them: every cosine lies above 0.9."""

    def __init__(self) -> None:
        self._words = WordEncoder()
        self.id, self.dim = "squeezed", self._words.dim

    def encode(self, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
        vectors = self._words.encode(texts, kind=kind) + 4 * np.ones(self.dim, np.float32) / np.sqrt(self.dim)
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit.astype(np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._words.count_tokens(texts)


def topic(name: str, examples: Sequence[str], more: str = "") -> str:
    return f'[[topic]]\nname = "{name}"\nexamples = {list(examples)}\n{more}\n'


def write(folder: Path, *topics: str) -> Path:
    file = folder / "topics.toml"
    file.write_text("\n".join(topics), encoding="utf-8")
    return file


def check(guard: Guard, text: str) -> tuple[str, str]:
    verdict = guard.check(text)
    return verdict.action, verdict.rule


def test_a_forbidden_topic_is_blocked_and_others_are_not(tmp_path: Path) -> None:
    guard = Topics(write(tmp_path, topic("투자 권유", MONEY)), WordEncoder())
    assert check(guard, "주식 투자 시점 추천") == ("block", "투자 권유")
    assert check(guard, "연차 휴가 일수") == ("allow", "")
    blocked, allowed = guard.check("주식 투자 시점 추천"), guard.check("연차 휴가 일수")
    assert blocked.text == "" and blocked.found[0][1:] == (0, 11) and blocked.guard == "topics"
    assert blocked.score >= FORBIDDEN > allowed.score and allowed.text == "연차 휴가 일수"
    assert check(guard, " ") == ("allow", "")


def test_with_allowed_topics_the_rest_is_off_topic(tmp_path: Path) -> None:
    guard = Topics(write(tmp_path, topic("휴가", LEAVE, "allow = true")), WordEncoder(), "flag")
    assert check(guard, "연차 신청 기한 문의") == ("allow", "")
    strange = guard.check("주식 매수 추천")
    assert (strange.action, strange.rule, strange.text) == ("flag", OFF_TOPIC, "주식 매수 추천")


def test_the_nearer_topic_wins(tmp_path: Path) -> None:
    alike = ["주식 제도 안내", "사내 주식 제도", "주식 제도 신청", "주식 제도 문의"]
    alone = Topics(write(tmp_path, topic("투자", MONEY)), WordEncoder(), threshold=1.0)
    assert check(alone, "주식 제도 문의 안내")[0] == "block"
    both = Topics(
        write(tmp_path, topic("투자", MONEY), topic("제도", alike, "allow = true")), WordEncoder(), threshold=1.0
    )
    assert check(both, "주식 제도 문의 안내") == ("allow", "")
    assert check(both, "주식 투자 종목 추천") == ("block", "투자")


def test_one_piece_of_a_long_text_is_enough(tmp_path: Path) -> None:
    guard = Topics(write(tmp_path, topic("투자", MONEY)), WordEncoder(), "flag")
    long = "연차 휴가 일수 문의 안내. " * 40 + "주식 투자 종목 추천. " * 30
    verdict = guard.check(long)
    assert verdict.rule == "투자" and min(found.start for found in verdict.found) > 300
    assert all(long[f.start : f.end].strip() for f in verdict.found)


def test_the_scale_does_not_depend_on_the_encoder(tmp_path: Path) -> None:
    """Cosines between 0.9 and 1 are as good as those between 0 and 1."""
    file = write(tmp_path, topic("투자", MONEY))
    texts = ["주식 투자 시점 추천", "주식 종목 수익", "연차 휴가 일수", "점심 회의 장소"]
    plain, squeezed = Topics(file, WordEncoder()).nearness(texts), Topics(file, Squeezed()).nearness(texts)
    raw = Squeezed().encode(texts, kind="query")
    assert (raw @ raw.T).min() > 0.9
    assert np.allclose(plain, squeezed, atol=0.3 * np.abs(plain).max())
    assert (plain >= FORBIDDEN).tolist() == (squeezed >= FORBIDDEN).tolist() == [[True], [True], [False], [False]]


def test_examples_are_encoded_once_and_not_before_the_first_check(tmp_path: Path) -> None:
    encoder = WordEncoder()
    guard = Topics(write(tmp_path, topic("투자", MONEY)), encoder)
    assert encoder.texts == 0
    guard.check("주식")
    before = encoder.texts
    guard.check("투자")
    assert encoder.texts == before + 1


def test_thresholds_of_the_caller_and_of_a_topic(tmp_path: Path) -> None:
    text = "주식 투자 시점 추천"
    never = write(tmp_path, topic("투자", MONEY, "threshold = 99"))
    assert check(Topics(never, WordEncoder(), threshold=0.0), text) == ("allow", "")
    usual = write(tmp_path, topic("투자", MONEY))
    assert check(Topics(usual, WordEncoder(), threshold=99), text) == ("allow", "")


def test_the_id_changes_with_whatever_changes_verdicts(tmp_path: Path) -> None:
    def made(*topics: str, encoder: str = "words", threshold: float | None = None) -> str:
        return Topics(write(tmp_path, *topics), WordEncoder(encoder), threshold=threshold).id

    usual = topic("투자", MONEY)
    ids = {
        made(usual),
        made(topic("투자", MONEY[:-1])),
        made(topic("권유", MONEY)),
        made(topic("투자", MONEY, "allow = true")),
        made(topic("투자", MONEY, "threshold = 3")),
        made(usual, encoder="other"),
        made(usual, threshold=1.5),
        Topics(write(tmp_path, usual), WordEncoder(), "flag").id,
    }
    assert len(ids) == 8 and made(usual) in ids


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has to hold"),
        ("topic = 3", "has to hold"),
        ("topic = [3]", "topic 1: no table"),
        (topic("a", MONEY) + "[other]\nx = 1", "nothing else"),
        ("[[topic]\n", "is not TOML"),
        ("[[topic]]\nexamples = ['a', 'b', 'c']", "topic 1: it has no name"),
        (topic("a", MONEY[:2]), "2 different examples are too few"),
        (topic("a", [MONEY[0]] * 5), "1 different examples are too few"),
        ("[[topic]]\nname = 'a'\nexamples = 'b'", "list of sentences"),
        ("[[topic]]\nname = 'a'", "list of sentences"),
        (topic("a", MONEY, "alow = true"), "alow is unknown"),
        (topic("a", MONEY, "allow = 'no'"), "allow has to be true or false"),
        (topic("a", MONEY, "threshold = true"), "threshold has to be a number"),
        (topic("a", MONEY) + topic("a", LEAVE), "two topics are called 'a'"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read(write(tmp_path, content))
    assert "topics.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read(tmp_path / "none.toml")


def test_with_the_real_encoder(encoder: OnnxEncoder, tmp_path: Path) -> None:
    examples = [
        "어떤 주식을 사야 돈을 벌까요?",
        "지금 삼성전자를 사도 될까요?",
        "수익률이 높은 펀드를 추천해 주세요.",
        "비트코인 가격이 더 오를까요?",
        "노후 자금은 어디에 투자하는 게 좋나요?",
    ]
    guard = Topics(write(tmp_path, topic("투자 상담", examples)), encoder)
    assert check(guard, "요즘 어느 종목에 투자하면 좋을까요?") == ("block", "투자 상담")
    for fine in ("연차는 며칠까지 이월되나요?", "회의실은 어떻게 예약하나요?", "How do I reset my password?"):
        assert check(guard, fine) == ("allow", "")
