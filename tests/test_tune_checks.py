"""The sets that an encoder is checked on when none is given: whole, distinct, spread over the scale, and shipped."""

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from damda.korean import nfc
from damda.measure.similarity import holds_pairs, pairs
from damda.tune import checks

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "src" / "damda" / "tune" / "checks"
ENGLISH, PAIRS = FOLDER / "english.jsonl", FOLDER / "korean_pairs.jsonl"


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_they_load_as_what_the_laboratory_measures() -> None:
    (english, questions), (korean, scored) = checks.built_in()
    assert (english, korean) == (checks.ENGLISH, checks.PAIRS) == ("built-in English", "built-in Korean pairs")
    assert len(questions.passages) == len(questions.asked) == len(rows(ENGLISH)) == 120
    assert not questions.similar and not scored.passages and not scored.asked
    assert list(scored.similar) == [korean] and len(scored.similar[korean]) == len(rows(PAIRS)) == 150


def test_every_question_has_a_passage_of_its_own() -> None:
    (_, task), _ = checks.built_in()
    assert [q.relevant for q in task.asked] == [frozenset({q.id}) for q in task.asked]
    assert {q.id for q in task.asked} == task.passages.keys()
    assert all(q.text.endswith("?") for q in task.asked)
    assert task.passages["leave-1"].startswith("Annual leave\nFull-time staff")


def test_nothing_stands_there_twice() -> None:
    english = rows(ENGLISH)
    for key in ("id", "title", "text", "question"):
        assert Counter(row[key].casefold() for row in english).most_common(1)[0][1] == 1, key
    of = Counter(frozenset((row["s1"], row["s2"])) for row in rows(PAIRS))
    assert of.most_common(1)[0][1] == 1
    assert all(len(pair) == 2 for pair in of), "a sentence paired with itself says nothing of an encoder"


def test_passages_have_neighbours_and_one_length() -> None:
    english = rows(ENGLISH)
    assert set(Counter(row["id"].rpartition("-")[0] for row in english).values()) == {6}
    assert all(40 <= len(row["text"].split()) <= 80 for row in english)


def test_scores_are_spread_over_the_scale() -> None:
    scores = Counter(pair.score for pair in pairs(PAIRS))
    assert sorted(scores) == [0, 1, 2, 3, 4, 5]
    assert min(scores.values()) >= 20


def test_texts_are_composed_and_english_has_no_hangul() -> None:
    for path in (ENGLISH, PAIRS):
        text = path.read_text(encoding="utf-8")
        assert nfc(text) == text
    assert not any("\uac00" <= c <= "\ud7a3" for c in ENGLISH.read_text(encoding="utf-8"))


def test_the_pairs_can_be_given_to_a_command_too() -> None:
    assert holds_pairs(PAIRS)
    assert not holds_pairs(ENGLISH)


def test_both_are_shipped() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert build["wheel"]["packages"] == ["src/damda"]
    assert "src" in build["sdist"]["include"]
    assert not build["wheel"].get("exclude") and not build["sdist"].get("exclude")
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()  # hatch leaves out what git ignores
    assert not {"*.jsonl", "checks", "checks/", "src"} & set(ignored)
