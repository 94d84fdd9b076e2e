"""Guards that are plain rules: length, language, an owner's patterns."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damda.answer.guards.rules import Language, Length, Patterns, dominant
from damda.errors import ConfigError
from damda.types import MASK, Found, Guard


def patterns(tmp_path: Path, *entries: tuple[str, str, str]) -> Patterns:
    file = tmp_path / "patterns.toml"
    tables = [f"[[pattern]]\nname = '{n}'\nregex = '''{r}'''\naction = '{a}'\n" for n, r, a in entries]
    file.write_text("\n".join(tables), encoding="utf-8")
    return Patterns(file)


def test_rules_are_guards(tmp_path: Path) -> None:
    guards: list[Guard] = [Length(5), Language(["ko"]), patterns(tmp_path, ("x", "abc", "flag"))]
    assert len({guard.id for guard in guards}) == 3


def test_a_text_that_is_too_long_is_blocked() -> None:
    assert Length(5).check("다섯 글자").action == "allow"
    verdict = Length(5).check("여섯 글자다")
    assert (verdict.action, verdict.text, verdict.found) == ("block", "", (Found("length", 5, 6),))


def test_ids_change_with_what_is_decided(tmp_path: Path) -> None:
    assert Length(5).id != Length(6).id
    assert Language(["ko"]).id != Language(["ko", "en"]).id
    assert Language(["ko", "en"]).id == Language(["en", "ko"]).id
    one, other = patterns(tmp_path, ("x", "abc", "flag")), patterns(tmp_path, ("x", "abc", "block"))
    assert one.id != other.id


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("연차는 며칠까지 쓸 수 있나요?", "ko"),
        ("「전자서명법」에 따른 電子署名을 하여야 한다", "ko"),
        ("How many days of leave do I have?", "en"),
        ("年次有給休暇は何日ありますか", "ja"),
        ("リモートワークの申請方法を教えてください", "ja"),
        ("年假一年有几天可以使用", "zh"),
        ("Сколько дней отпуска у меня есть?", "ru"),
        ("كم عدد أيام الإجازة السنوية؟", "ar"),
        ("วันลาพักร้อนมีกี่วัน", "th"),
        ("GPT-4와 Claude의 context window 차이는 무엇인가요?", "ko"),
        # too little to judge by, or no language
        ("日本人", ""),
        ("ok thanks", ""),
        ("民法 第750條", ""),
        ("", ""),
        ("2024-11-25 14:30 1,234,567.89", ""),
        ("kubectl get pods --all-namespaces -o=json | jq '.items[]'", ""),
        ("for i in range(10): print(i)\nimport os\nreturn None", ""),
        ("```python\nvalue = compute the answer to everything\n```", ""),
    ],
)
def test_the_language_that_most_letters_belong_to(text: str, language: str) -> None:
    assert dominant(text) == language


def test_a_language_that_is_not_allowed_is_blocked_where_it_stands() -> None:
    text = "질문: 年次有給休暇は何日ありますか。教えてください!"
    verdict = Language(["ko", "en"]).check(text)
    assert verdict.action == "block" and verdict.text == ""
    (found,) = verdict.found
    assert found.rule == "language:ja" and text[found.start : found.end].endswith("さい")
    assert Language(["ko", "ja"]).check(text).action == "allow"


def test_a_quoted_sentence_of_another_language_is_no_reason_to_refuse() -> None:
    text = "계약서의 'This agreement shall be governed' 조항은 무슨 뜻이고 어느 나라 법이 적용되는지 알려 주세요"
    assert Language(["ko"]).check(text).action == "allow"


@given(st.text(alphabet="0123456789.,:-/ \n"), st.sampled_from(["ko", "ja", "ar"]))
def test_numbers_are_never_refused(text: str, language: str) -> None:
    assert Language([language]).check(text).action == "allow"


def test_an_unknown_language_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"guard\.languages: no language kr; there are ko, en"):
        Language(["kr"])


def test_the_gravest_action_of_the_owners_patterns_counts(tmp_path: Path) -> None:
    guard = patterns(
        tmp_path, ("사번", "E-[0-9]{6}", "redact"), ("암호", "(?i)top secret", "block"), ("욕", "젠장", "flag")
    )
    assert guard.check("아무 일도 없다").action == "allow"
    flagged = guard.check("젠장, 늦었다")
    assert (flagged.action, flagged.text, flagged.rule) == ("flag", "젠장, 늦었다", "욕")
    redacted = guard.check("젠장 E-123456과 E-654321")
    assert redacted.text == f"젠장 {MASK * 8}과 {MASK * 8}" and redacted.rule == "사번"
    assert [(found.start, found.end) for found in redacted.found] == [(3, 11), (13, 21)]
    blocked = guard.check("E-123456 Top Secret")
    assert (blocked.action, blocked.text, blocked.rule) == ("block", "", "암호")


def test_patterns_see_line_starts_and_what_stands_around_them(tmp_path: Path) -> None:
    guard = patterns(tmp_path, ("head", "(?m)^비밀", "redact"), ("word", r"\bAB\b", "redact"))
    assert guard.check("비밀 비밀\n비밀 AB ABC").text == f"{MASK * 2} 비밀\n{MASK * 2} {MASK * 2} ABC"


def test_a_pattern_that_would_hang_a_backtracking_engine_does_not(tmp_path: Path) -> None:
    # 2**40 ways to split forty letters: this test would not end.
    assert patterns(tmp_path, ("evil", "^(a+)+$", "block")).check("a" * 40 + "!").action == "allow"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[pattern]]\nname='사번'\nregex='(a'\naction='flag'", r"pattern 1 \(사번\): missing \)"),
        ("[[pattern]]\nname='x'\nregex='(?<!a)b'\naction='flag'", r"pattern 1 \(x\): .*lookaround"),
        ("[[pattern]]\nname='x'\nregex='a*'\naction='flag'", "matches the empty text"),
        ("[[pattern]]\nname='x'\nregex='a'\naction='drop'", "action is one of block, redact, flag, not drop"),
        ("[[pattern]]\nname='x'\nregex='a'", "needs name, regex and action"),
        ("[[pattern]]\nname='x'\nregex='a'\naction='flag'\nflags='i'", "and nothing else"),
        ("[[patterns]]\nname='x'", r"has to hold \[\[pattern\]\] tables"),
        ("", r"has to hold \[\[pattern\]\] tables"),
        ("[[pattern", "is not TOML"),
    ],
)
def test_a_wrong_file_of_patterns_is_an_error_that_says_where(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as raised:
        Patterns(file)
    assert str(file) in str(raised.value) and "\n" not in str(raised.value)


def test_a_missing_file_of_patterns_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        Patterns(tmp_path / "none.toml")


def test_names_of_groups_in_two_patterns_do_not_clash(tmp_path: Path) -> None:
    guard = patterns(tmp_path, ("a", "(?P<n>x1)", "flag"), ("b", "(?P<n>x2)", "flag"))
    assert guard.check("x1 x2").rule == "a, b"


@given(st.text())
def test_redacting_keeps_length_and_whatever_is_outside(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    guard = patterns(tmp_path_factory.mktemp("p"), ("digits", "[0-9]+", "redact"))
    verdict = guard.check(text)
    assert verdict.text == "".join(MASK if char in "0123456789" else char for char in text)
