"""A language model that grades answers: one that does, one that rambles, one that breaks off; how far they agree."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from fakes import FakeEncoder, use_fakes
from typer.testing import CliRunner

from damda.assemble import models
from damda.cli import commands
from damda.config import load
from damda.errors import ConfigError, GeneratorError
from damda.measure import report
from damda.measure.answers import Judged
from damda.measure.dataset import Question
from damda.measure.evaluate import Measured, cases
from damda.measure.html import page
from damda.measure.judge import Case, Judgement, Verdict, disagree, grade, kappa, prompt, summary, verdicts
from damda.types import Delta, Generator, Hit, Message, quiet

app = commands()


class Judge:
    """Says what ``reply`` makes of the case, in two pieces; breaks off where it makes None of it."""

    id = "judge-1"

    def __init__(self, reply: Callable[[str], str | None]) -> None:
        self._reply = reply
        self.asked: list[tuple[Sequence[Message], float]] = []

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> Iterator[Delta]:
        self.asked.append((messages, temperature))
        said = self._reply(messages[-1].content)
        if said is None:
            raise GeneratorError("the server broke off")
        yield from (Delta(said[:3]), Delta(said[3:], "stop"))


def fair(case: str) -> str:
    """Looks whether the first right answer stands in the answer."""
    _, right, answer = (line.partition(": ")[2] for line in case.splitlines())
    return f"점수: {2 if right.split(' / ')[0] in answer else 0}"


CASES = [
    Case("1", "가", "연차는 며칠인가요?", ("15일", "십오 일"), "연차는 15일이다. [1]", by_rules=True),
    Case("2", "가", "병가는 며칠인가요?", ("10일",), "연차는 15일이다. [1]", by_rules=False),
    Case("3", "나", "숙박비는 <얼마>?", ("80,000원",), "하루 8만 원이다. [1]", by_rules=True),
]


@pytest.mark.parametrize(
    "said, expected",
    [
        ("점수: 2", 2),
        ("  1\n", 1),
        ("0점.", 0),
        ("**점수:** 2점", 2),
        ("점수： 0 (틀림)", 0),
        ("이유: 15일이라고 했다.\n점수: 2", 2),
        ("Grade: 1 - a part of it", 1),
        ('{"score": 2}', 2),
        ("점수:\n1", 1),
        ("점수: 2\n점수: 2", 2),
        ("", None),
        ("맞습니다.", None),
        ("연차는 15일이다.", None),
        ("점수: 3", None),
        ("점수: 10", None),
        ("점수: -1", None),
        ("점수: 1.5", None),
        ("점수: 2/2", None),
        ("점수: 0 or 1", None),
        ("점수: (0, 1 or 2)", None),
        ("점수: 2\n질문: 다음\n점수: 0", None),
        ("점수: 2\n점수: 0, 1, 2", None),
        ("점수: 1971년에 처음 공연되었다.", None),
        ("점수는 2", None),
    ],
)
def test_a_grade_is_read_or_it_is_none(said: str, expected: int | None) -> None:
    assert grade(said) == expected


def test_the_prompt_shows_the_case_last_and_worked_examples_before() -> None:
    system, *examples, last = prompt(CASES[0])
    assert system.role == "system" and "0 = wrong" in system.content
    assert last.content == "질문: 연차는 며칠인가요?\n정답: 15일 / 십오 일\n답변: 연차는 15일이다. [1]"
    assert [m.role for m in examples] == ["user", "assistant"] * 4
    assert {grade(m.content) for m in examples[1::2]} == {0, 1, 2}, "the examples keep to the form that they teach"
    assert grade(system.content) is None, "an echo of the rubric is no verdict"
    broken = Case("x", "", "두\n줄", ("답\n답",), "\n답변: " * 2000, by_rules=False)
    assert prompt(broken)[-1].content.count("\n") == 2 and len(prompt(broken)[-1].content) < 2100


def test_kappa_by_hand() -> None:
    """Of 50: both yes 20, only the first 5, only the second 10, both no 15: (.7 - .5) / (1 - .5)."""
    a = [True] * 25 + [False] * 25
    b = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    assert kappa(a, b) == pytest.approx(0.4) == kappa(b, a)
    assert kappa([True, False], [False, True]) == -1 and kappa([True, False], [True, False]) == 1
    assert kappa([True, True], [True, False]) == 0, "who always says yes knows nothing"
    assert kappa([True, True], [True, True]) is None and kappa([], []) is None


def test_a_judge_that_keeps_to_the_form() -> None:
    judge = Judge(fair)
    got = verdicts(judge, CASES, quiet)
    assert [v.grade for v in got.verdicts] == [2, 0, 0] and got.judge == "judge-1" and not got.failure
    assert {temperature for _, temperature in judge.asked} == {0.0}
    figures = summary(got.verdicts)
    assert (figures["judged"], figures["no_verdict"], figures["partly"]) == (3, 0, 0)
    assert figures["right"] == pytest.approx(1 / 3) and figures["right_by_rules"] == pytest.approx(2 / 3)
    assert figures["agreement"] == pytest.approx(2 / 3) and figures["kappa"] == pytest.approx(0.4)
    assert [disagree(v) for v in got.verdicts] == [False, False, True]


def test_a_judge_that_rambles_has_given_no_verdict() -> None:
    got = verdicts(Judge(lambda case: "연차는 15일이다. " * 9 if "병가" in case else fair(case)), CASES, quiet)
    assert [v.grade for v in got.verdicts] == [2, None, 0]
    figures = summary(got.verdicts)
    assert (figures["judged"], figures["no_verdict"]) == (3, 1)
    assert figures["right"] == figures["agreement"] == 0.5, "of the two with a verdict"
    none = summary(verdicts(Judge(lambda case: "?"), CASES, quiet).verdicts)
    assert none["no_verdict"] == 3 and none["right"] is none["kappa"] is None


def test_a_judge_that_breaks_off_leaves_what_it_said() -> None:
    got = verdicts(Judge(lambda case: None if "병가" in case else fair(case)), CASES, quiet)
    assert [v.grade for v in got.verdicts] == [2] and got.failure == "the server broke off"


def test_refusals_and_questions_without_answers_are_not_graded() -> None:
    asked = [Question(str(n), "질문", answers=answers) for n, answers in enumerate([("답",), ("답",), ()])]
    judged = [
        Judged("0", "", True, refused=False, any=True, text="답이다."),
        Judged("1", "", True, refused=True),
        Judged("2", "", False, refused=False, text="지어낸 답."),
    ]
    (case,) = cases(asked, judged)
    assert (case.id, case.answer, case.by_rules) == ("0", "답이다.", True)


def measured(judge: Generator) -> report.Result:
    judged = [Judged(c.id, c.source, True, refused=False, any=c.by_rules, text=c.answer) for c in CASES]
    judged.append(Judged("4", "나", True, refused=True))
    asked = [Question(c.id, c.question, answers=tuple(c.gold), source=c.source) for c in CASES]
    return report.compose("x", Measured(asked, {}, judged, 0.1, verdicts(judge, CASES, quiet)), "hybrid", {})


def test_the_opinion_in_a_report() -> None:
    got = measured(Judge(fair))
    assert json.loads(json.dumps(got)) == got
    assert list(got["judge"]["sources"]) == ["가", "나", "all"]
    assert got["judge"]["sources"]["나"] == {
        "refused": 1,
        "judged": 1,
        "no_verdict": 0,
        "right": 0,
        "partly": 0,
        "wrong": 1,
        "right_by_rules": 1,
        "agreement": 0,
        "kappa": 0,
    }
    (row,) = got["judge"]["disagreements"]
    assert (row["id"], row["grade"], row["by_rules"], got["judge"]["disagreeing"]) == ("3", 0, True, 1)
    html = page(got)
    assert "숙박비는 &lt;얼마&gt;?" in html and "judge-1" in html and "no verdict" in html
    assert report.figure(got, "judge:right") == pytest.approx(1 / 3, abs=1e-4)
    assert report.figure(got, "gold_in_quotes") == 0.5, "without a prefix it is the rules' figure"
    with pytest.raises(ConfigError, match="judge:kappa"):
        report.figure(got, "judge:ndcg@10")
    mute = measured(Judge(lambda case: "글쎄요 <b>"))
    assert "글쎄요 &lt;b&gt;" in page(mute) and len(mute["judge"]["unread"]) == 3
    with pytest.raises(ConfigError, match="was not measured"):
        report.figure(mute, "judge:right")


def test_two_opinions_are_compared() -> None:
    before, after = measured(Judge(lambda case: "점수: 1")), measured(Judge(fair))
    rows = {(row["of"], row["metric"]): row for row in report.compare(before, after)}
    right = rows["judge", "right"]
    assert (right["before"], right["after"], right["questions"]) == (0, pytest.approx(1 / 3, abs=1e-4), 3)
    after["judge"]["judge"] = "judge-2"
    assert ("judge (another)", "right") in {(row["of"], row["metric"]) for row in report.compare(before, after)}
    without = measured(Judge(lambda case: None))
    assert not any(row["of"].startswith("judge") for row in report.compare(before, without))


def test_no_more_than_twenty_disagreements_are_kept() -> None:
    many = [Verdict(Case(str(n), "", "?", ("답",), "답", by_rules=True), 0, "점수: 0") for n in range(30)]
    got = report.compose("x", Measured((), {}, judgement=Judgement("j", many)), "hybrid", {})["judge"]
    assert got["disagreeing"] == 30 and len(got["disagreements"]) == 20


# --- the command


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    use_fakes(monkeypatch.setattr, FakeEncoder())
    (tmp_path / "corpus.jsonl").write_text('{"id": "d", "text": "연차 유급휴가는 해마다 15일이다."}\n')
    (tmp_path / "queries.jsonl").write_text('{"id": "q", "text": "연차 유급휴가는 해마다", "answers": ["15일"]}\n')
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    return ["eval", str(tmp_path), "--modes", "bm25", "--set", "answer.threshold=0"]


def test_a_judged_evaluation(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "make_judge", lambda given, settings: Judge(fair))
    done = CliRunner().invoke(app, [*words, "--judge", "llama", "--fail-under", "judge:right=1"])
    assert done.exit_code == 0, done.output
    assert "judge-1" in done.stdout and "kappa" in done.stdout and "no verdict" in done.stdout
    got = json.loads(CliRunner().invoke(app, [*words, "--judge", "llama", "--json"]).stdout)
    assert got["judge"]["sources"]["all"]["right"] == 1 and got["judge"]["sources"]["all"]["kappa"] is None
    assert CliRunner().invoke(app, [*words, "--judge", "llama", "--fail-under", "judge:right=1.1"]).exit_code == 5


def test_a_judge_that_fails_loses_nothing(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "make_judge", lambda given, settings: Judge(lambda case: None))
    out, html = tmp_path / "out.json", tmp_path / "out.html"
    done = CliRunner().invoke(app, [*words, "--judge", "llama", "--out", str(out), "--report", str(html)])
    assert isinstance(done.exception, GeneratorError) and "the judge failed: the server broke off" in str(
        done.exception
    )
    assert "all questions" in done.stdout and report.read(out)["answers"]["sources"]["all"]["questions"] == 1
    assert "the server broke off" in html.read_text(encoding="utf-8")


def test_which_model_judges(words: list[str], tmp_path: Path) -> None:
    settings = load(None, {"remote.url": "http://127.0.0.1:9/v1", "remote.model": "one"}, env={})
    assert models.make_judge("remote", settings).id == "remote:one@127.0.0.1:9"
    assert models.make_judge("remote:two", settings).id == "remote:two@127.0.0.1:9"
    done = CliRunner().invoke(app, [*words, "--judge", "extract"])
    assert isinstance(done.exception, ConfigError) and "openvino, transformers or remote" in str(done.exception)
    assert not (tmp_path / ".damda").exists(), "a judge that can't be had is named before anything is indexed"
