"""What is adopted, and each way of not being."""

from damda.measure.dataset import Question
from damda.tune.verdict import Change, by_source, change, decide

BETTER = Change("nDCG@10, held-out", 200, 0.80, 0.85, 0.001)
SAME = Change("English", 100, 0.60, 0.59, 0.4)
WORSE = Change("STS", 519, 0.85, 0.80, 0.002)


def test_better_and_nothing_worse_is_adopted() -> None:
    found = decide(BETTER, [SAME, Change("STS", 519, 0.8, 0.84, 0.01)])
    assert found.adopt and len(found.reasons) == 3 and found.aim is BETTER
    assert found.reasons[0] == "nDCG@10, held-out 0.8000 -> 0.8500 (of 200; p = 0.0010): better"
    assert decide(BETTER, []).adopt


def test_what_is_not_better_is_not() -> None:
    for after, p in ((0.80, 1.0), (0.70, 0.001)):
        found = decide(Change("aim", 200, 0.80, after, p), [])
        assert not found.adopt and found.reasons[0].endswith("not better")


def test_what_may_be_chance_is_not() -> None:
    for p in (0.05, 0.3):
        found = decide(Change("aim", 200, 0.80, 0.81, p), [SAME])
        assert not found.adopt and "may be chance" in found.reasons[0] and len(found.reasons) == 1


def test_what_makes_something_worse_is_not() -> None:
    found = decide(BETTER, [SAME, WORSE])
    assert not found.adopt and found.reasons == ("STS 0.8500 -> 0.8000 (of 519; p = 0.0020): worse",)
    assert found.guarded == (SAME, WORSE)


def test_without_questions_nothing_is_known() -> None:
    found = decide(change("aim", {}, {}), [])
    assert not found.adopt and "no held-out question" in found.reasons[0]


def test_every_reason_is_given() -> None:
    assert len(decide(Change("aim", 9, 0.5, 0.5, 1.0), [WORSE, WORSE]).reasons) == 3


def test_a_change_pairs_the_same_questions() -> None:
    before = {f"q{n}": float(n % 3 == 0) for n in range(60)}
    after = {question: 1.0 for question in reversed(before)}
    found = change("aim", before, after)
    assert found.count == 60 and found.better and not found.worse and found.p < 0.001
    assert (found.before, found.after) == (20 / 60, 1.0)
    assert change("aim", after, before).worse
    small = change("aim", {"a": 0.0, "b": 0.0}, {"a": 1.0, "b": 1.0})
    assert not small.better and decide(small, []).adopt is False, "of two questions nobody can tell"


def test_what_helps_the_many_may_harm_the_few() -> None:
    sizes = {"many": 300, "few": 40, "hardly any": 5}
    asked = [Question(f"{of} {n}", "?", frozenset("d"), source=of) for of, count in sizes.items() for n in range(count)]
    before = {one.id: 0.5 for one in asked}
    after = {one.id: 0.2 if one.source == "few" else 0.6 for one in asked}
    few, many = by_source("nDCG", asked, before, after)
    assert (few.name, few.count, many.name, many.count) == ("nDCG of few", 40, "nDCG of many", 300)
    assert few.worse and many.better
    found = decide(change("nDCG", before, after), [few, many])
    assert found.aim.better and not found.adopt and "of few" in found.reasons[0]
    alone = [{one.id: of[one.id] for one in asked[:300]} for of in (before, after)]
    assert by_source("nDCG", asked[:300], *alone) == [], "one source is all there is"
