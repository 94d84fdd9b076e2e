"""A classifier of one's own: what it learns, what it says of itself, what it refuses; and `damda guard train`."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled_fixtures import WordEncoder, labelled, write
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from damda.answer.guards import logistic
from damda.answer.guards.classifier import Classifier, Weights, load, pieces
from damda.answer.guards.features import BITS, LONGEST, SHORTEST, Table, cells, letters, telling
from damda.answer.guards.labelled import Example, read, unique
from damda.answer.guards.train import Trained, train
from damda.assemble import models
from damda.cli import commands
from damda.embed.encoder import OnnxEncoder
from damda.errors import ConfigError, ReadError
from damda.settings import EncoderSettings
from damda.types import Guard, Progress, quiet

Float = NDArray[np.float64]


def rows(count: int, seed: int = 0, noise: float = 0.0) -> list[Example]:
    return [Example(*row) for row in labelled(count, seed, noise)]


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(rows(120), WordEncoder(), name="rude")


def check(guard: Guard, text: str) -> tuple[str, str]:
    verdict = guard.check(text)
    return verdict.action, verdict.rule


def test_it_finds_what_it_was_taught(trained: Trained) -> None:
    guard = Classifier(trained.weights, WordEncoder())
    assert check(guard, "어제 접수 직원 바보 같네") == ("block", "rude")
    assert check(guard, "어제 접수 직원 친절 했네") == ("allow", "")
    blocked = guard.check("직원 바보 접수")
    assert blocked.text == "" and blocked.found == (("rude", 0, 8),) and blocked.guard == "classifier"
    assert blocked.score >= trained.weights.threshold > guard.check("직원 친절 접수").score


def test_flagging_lets_the_text_go_on(trained: Trained) -> None:
    verdict = Classifier(trained.weights, WordEncoder(), "flag").check("직원 바보 접수")
    assert (verdict.action, verdict.text, verdict.allowed) == ("flag", "직원 바보 접수", True)


def test_nothing_is_found_in_nothing(trained: Trained) -> None:
    guard = Classifier(trained.weights, WordEncoder())
    assert check(guard, "") == check(guard, " \n ") == ("allow", "")


def test_a_long_text_is_found_by_one_of_its_pieces(trained: Trained) -> None:
    guard = Classifier(trained.weights, WordEncoder(), "flag")
    fine = "직원 친절 안내 감사. " * 60
    assert check(guard, fine) == ("allow", "")
    long = fine + "직원 바보 멍청이 꺼져. " * 20
    found = guard.check(long).found
    assert found and all(long[f.start : f.end].strip() for f in found)
    assert min(f.start for f in found) > len(fine) - trained.weights.window, "the friendly part is not marked"


@given(st.text(alphabet="가나다 .?\n", max_size=200), st.integers(5, 40))
def test_pieces_leave_out_nothing_but_white_space(text: str, window: int) -> None:
    spans = pieces(text, window)
    assert all(0 < b - a <= window for a, b in spans)
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())


def test_the_id_changes_with_whatever_changes_verdicts(trained: Trained) -> None:
    weights, encoder = trained.weights, WordEncoder()
    other = train(rows(120, seed=1), encoder, name="rude").weights
    stricter = train(rows(120, noise=0.1), encoder, name="rude", fpr=0.2).weights
    ids = {Classifier(w, encoder, action).id for w in (weights, other, stricter) for action in ("block", "flag")}
    assert len(ids) == 6


def test_training_is_the_same_every_time_in_whatever_order(trained: Trained) -> None:
    again = train(rows(120)[::-1], WordEncoder(), name="rude")
    assert again.weights.id == trained.weights.id
    assert train(rows(120), WordEncoder(), name="rude", seed=1).weights.id != trained.weights.id


def test_figures_are_of_texts_that_it_has_not_seen(trained: Trained) -> None:
    noisy = train(rows(300, noise=0.2), WordEncoder(), name="rude").figures
    assert 0.65 < noisy.auc.value < 0.9, "a fifth of the labels is wrong: nothing can be as good as in training"
    assert noisy.auc.low < noisy.auc.value < noisy.auc.high
    clean = trained.figures
    assert clean.auc.value > 0.95 and clean.recall.value > 0.9 and clean.recall.of == 24
    assert trained.counts["tested_on"] == 48 and trained.counts["trained_on"] == 192


def test_labels_without_meaning_are_told(trained: Trained) -> None:
    noise = train([Example(f"{row.text} 더", n % 4 < 2) for n, row in enumerate(rows(100))], WordEncoder(), name="x")
    assert any("hardly tells the two apart" in note for note in noise.notes)
    assert not any("hardly" in note for note in trained.notes)


def test_the_threshold_keeps_false_alarms_under_the_target() -> None:
    """On fresh examples, too: labels are wrong often enough that the rate is not zero by itself."""
    encoder = WordEncoder()
    for fpr in (0.05, 0.2):
        guard = Classifier(train(rows(400, noise=0.3), encoder, name="rude", fpr=fpr).weights, encoder)
        fresh = [row.text for row in rows(400, seed=9, noise=0.3) if not row.positive]
        rate = logistic.rate(sum(bool(guard.check(text).found) for text in fresh), len(fresh))
        assert rate.low <= fpr, rate


def test_a_kind_of_text_that_is_rare_counts_as_much() -> None:
    few = [row for n, row in enumerate(rows(400)) if not row.positive or n % 16 == 0]
    trained = train(few, WordEncoder(), name="rude")
    assert trained.counts["positive"] == 50 and trained.figures.recall.value > 0.8


def test_too_few_or_one_label_is_refused_and_few_are_doubted() -> None:
    with pytest.raises(ConfigError, match="10 of '1' and 10 of '0' are too few"):
        train(rows(10), WordEncoder(), name="x")
    with pytest.raises(ConfigError, match="0 of '0' are too few"):
        train([row for row in rows(100) if row.positive], WordEncoder(), name="x")
    few = train(rows(20), WordEncoder(), name="x")
    assert any("every figure is a guess" in note for note in few.notes)
    assert any("can't be set" in note for note in few.notes), "16 harmless examples can't show 5 %"
    with pytest.raises(ConfigError, match="between 0 and 1"):
        train(rows(30), WordEncoder(), name="x", fpr=1.5)


def test_repeated_texts_count_once_and_contradictions_not_at_all() -> None:
    twice = [Example("같은 글", True), Example(" 같은  글 ", True), Example("다른 글", False)]
    both = [Example("모를 글", True), Example("모를 글", False), Example("모를 글", False)]
    found = unique(twice + both)
    assert [row.text for row in found.rows] == ["같은 글", "다른 글"]
    assert (found.repeated, found.unclear) == (1, 1)
    decomposed = Example("\u1100\u1161\u11a8", True)
    assert len(unique([Example("각", True), decomposed]).rows) == 1


def test_another_encoder_is_refused(trained: Trained) -> None:
    with pytest.raises(ConfigError, match="'rude' was trained with the encoder words, not with other"):
        Classifier(trained.weights, WordEncoder("other"))
    with pytest.raises(ConfigError, match="32 dimensions, words has 8"):
        Classifier(trained.weights, WordEncoder(dim=8))


def test_a_folder_is_the_same_classifier(trained: Trained, tmp_path: Path) -> None:
    trained.save(tmp_path / "rude")
    kept, fresh = Classifier.load(tmp_path / "rude", WordEncoder()), Classifier(trained.weights, WordEncoder())
    assert kept.id == fresh.id and kept.check("바보 직원") == fresh.check("바보 직원")
    about = json.loads((tmp_path / "rude" / "manifest.json").read_text(encoding="utf-8"))
    assert about["kind"] == "guard-classifier" and about["encoder"] == "words" and about["target_fpr"] == 0.05
    assert about["features"][0] == "vectors" and set(about["figures"]["auc"]) == {"value", "low", "high", "of"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rude"], "no draft stays"


def test_only_a_classifier_is_replaced(trained: Trained, tmp_path: Path) -> None:
    other = train(rows(120, seed=1), WordEncoder(), name="rude")
    (tmp_path / "guard").mkdir()
    trained.save(tmp_path / "guard")
    other.save(tmp_path / "guard")
    assert load(tmp_path / "guard").id == other.weights.id
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(ConfigError, match="is no classifier"):
        trained.save(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def shortened(folder: Path) -> None:
    np.save(folder / "vectors.npy", np.zeros((2, 2), np.float32))


def changed(folder: Path) -> None:
    vectors = np.load(folder / "vectors.npy")
    np.save(folder / "vectors.npy", vectors + 1)


def endless(folder: Path) -> None:
    np.save(folder / "vectors.npy", np.full(32, np.inf, np.float32))


def pickled(folder: Path) -> None:
    np.save(folder / "vectors.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def cut(folder: Path) -> None:
    whole = (folder / "vectors.npy").read_bytes()
    (folder / "vectors.npy").write_bytes(whole[:100])


def without_weights(folder: Path) -> None:
    (folder / "vectors.npy").unlink()


def without_threshold(folder: Path) -> None:
    about = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    del about["threshold"]
    (folder / "manifest.json").write_text(json.dumps(about), encoding="utf-8")


def no_json(folder: Path) -> None:
    (folder / "manifest.json").write_text("{", encoding="utf-8")


def a_list(folder: Path) -> None:
    (folder / "manifest.json").write_text("[]", encoding="utf-8")


DAMAGES = (shortened, changed, endless, pickled, cut, without_weights, without_threshold, no_json, a_list)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_folder_is_one_line(trained: Trained, tmp_path: Path, damage: object) -> None:
    trained.save(tmp_path / "rude")
    assert callable(damage)
    damage(tmp_path / "rude")
    with pytest.raises(ConfigError, match="damaged") as caught:
        load(tmp_path / "rude")
    assert "\n" not in str(caught.value) and "rude" in str(caught.value)


def test_no_folder_and_another_version_are_told(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no classifier"):
        load(tmp_path)
    trained.save(tmp_path / "rude")
    manifest = tmp_path / "rude" / "manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('"version": 1', '"version": 2'), encoding="utf-8")
    with pytest.raises(ConfigError, match="guard-classifier 2, not guard-classifier 1"):
        load(tmp_path / "rude")


# --- the files of examples --------------------------------------------------------------------------------------------


def test_labels_of_all_usual_kinds(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.jsonl", [("가", 1), ("나", 0), ("다", True), ("라", False), ("마", "1"), ("바", "False")]
    )
    assert [row.positive for row in read(file).rows] == [True, False, True, False, True, False]
    assert len(read(file).sha256) == 64


def test_words_need_to_be_told_which(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [("가", "칭찬"), ("나", "불만"), ("다", "문의"), ("라", "불만")])
    with pytest.raises(ReadError, match=r"'불만' \(2\).*--positive"):
        read(file)
    found = read(file, "불만")
    assert [row.positive for row in found.rows] == [False, True, False, True] and found.words == ("불만", "other")
    with pytest.raises(ReadError, match="no example has the label '없음'"):
        read(file, "없음")


def test_tables_as_korean_excel_saves_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes('글,번호,라벨\n"안녕, 하세요",1,0\n꺼져,2,1\n\n'.encode("cp949"))
    assert [tuple(row) for row in read(tmp_path / "a.csv").rows] == [("안녕, 하세요", False), ("꺼져", True)]
    (tmp_path / "b.tsv").write_text("\ufefftext\tlabel\n꺼져\ttrue\n", encoding="utf-8")
    assert [tuple(row) for row in read(tmp_path / "b.tsv").rows] == [("꺼져", True)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "", "no examples in it"),
        ("a.jsonl", '{"text": "가", "label": 1}\n{"text": "나"}\n', "line 2: not a JSON object with text and label"),
        ("a.jsonl", '{"text": "가", "label": [1]}', "line 1: text has to be a string"),
        ("a.jsonl", '{"text": "가", "label": null}', "line 1: text has to be a string"),
        ("a.jsonl", "[]", "line 1: not a JSON object"),
        ("a.csv", "text,kind\n가,1\n", "no column called label"),
        ("a.csv", "text,label\n가,1\n나\n", "line 3: 1 cells"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ReadError, match=message):
        read(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="No such file"):
        read(tmp_path / "none.jsonl")


# --- features and formulas, against slow references -------------------------------------------------------------------


def test_letters_see_through_width_case_and_invisible_characters() -> None:
    assert letters("ＡＢＣ  바\u200b보\n") == letters("abc 바보") == letters(" abc \u1107\u1161보")
    assert len(cells("")) == len(cells(" \n")) == 0
    assert len(cells("\ud800")) > 0, "half a character is no reason to fall over"


@given(st.text(max_size=30))
def test_cells_are_those_of_the_n_grams(text: str) -> None:
    """The rolling hash gives one cell for each n-gram, wherever it stands."""

    def cell(gram: str) -> int:
        rolled = 0
        for char in gram:
            rolled = (rolled * 0x100000001B3 + ord(char) + 1) % 2**64
        return (rolled * 0x9E3779B97F4A7C15) % 2**64 >> (64 - BITS)

    seen = letters(text)
    grams = {seen[i : i + n] for n in range(SHORTEST, LONGEST + 1) for i in range(len(seen) - n + 1)}
    expected = sorted({cell(gram) for gram in grams}) if seen.strip(" ") else []
    assert cells(text).tolist() == expected


def some_table(seed: int, ngrams: bool) -> tuple[Table, Float, NDArray[np.bool_]]:
    """A table, the same in plain numbers, and labels."""
    draw = np.random.default_rng(seed)
    texts = [text for text, _ in labelled(20, seed)] + [""]
    positive = np.arange(len(texts)) % 3 == 0
    dense, found = draw.normal(size=(len(texts), 4)), [cells(text) for text in texts]
    weigh = telling(found, positive) if ngrams else None
    table, plain = Table(dense, found, weigh), dense
    if weigh is not None:
        sparse = np.zeros((len(texts), 1 << BITS))
        for row, at in enumerate(found):
            sparse[row, at] = weigh[at]
        length = np.linalg.norm(sparse, axis=1, keepdims=True)
        plain = np.hstack([plain, (2.0 * sparse / np.where(length > 0, length, 1))[:, weigh > 0]])
    return table, plain, positive


def test_a_table_multiplies_like_the_matrix_that_it_stands_for() -> None:
    table, plain, _ = some_table(0, ngrams=True)
    draw = np.random.default_rng(1)
    right, left = draw.normal(size=table.shape[1]), draw.normal(size=table.shape[0])
    assert np.allclose(table.dot(right), plain @ right)
    assert np.allclose(table.transposed(left), plain.T @ left)


@pytest.mark.parametrize("ngrams", [False, True])
@pytest.mark.parametrize("strength", [0.1, 0.01])
def test_weights_are_at_the_bottom_of_the_loss(ngrams: bool, strength: float) -> None:
    """Against plain gradient descent, written as the textbook has it."""
    table, plain, positive = some_table(2, ngrams)
    x = np.hstack([plain, np.ones((len(plain), 1))])
    share = np.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())
    penalty = np.append(np.full(plain.shape[1], strength), 0.0)
    slow = np.zeros(x.shape[1])
    for _ in range(20_000):
        p = 1 / (1 + np.exp(-(x @ slow)))
        slow -= 0.5 * (x.T @ (share * (p - positive)) + penalty * slow)
    fast = logistic.fit(table, positive, strength)
    assert np.allclose(fast, slow, atol=5e-3)
    warm = logistic.fit(table, positive, strength, start=logistic.fit(table, positive, 1.0))
    assert np.allclose(warm, fast, atol=5e-3)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_auc_counts_pairs(pairs: list[tuple[int, bool]]) -> None:
    scores, positive = np.array([s for s, _ in pairs], float), np.array([p for _, p in pairs])
    if positive.all() or not positive.any():
        assert np.isnan(logistic.auc(scores, positive).value)
        return
    won = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    found = logistic.auc(scores, positive)
    assert found.value == pytest.approx(sum(won) / len(won))
    assert 0 <= found.low <= found.value <= found.high <= 1


@given(
    st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=40), st.sampled_from([0.01, 0.1, 0.3])
)
def test_the_threshold_is_the_lowest_that_may_be(pairs: list[tuple[int, bool]], fpr: float) -> None:
    scores, positive = np.array([s / 10 for s, _ in pairs]), np.array([p for _, p in pairs])
    if positive.all():
        return
    against = scores[~positive]
    chosen = logistic.threshold(scores, positive, fpr)
    assert (against >= chosen).mean() <= fpr + 1e-9
    lower = [s for s in scores if s < chosen]
    assert not lower or (against >= max(lower)).mean() > fpr - 1e-9 or (against >= max(lower)).mean() > fpr


def test_intervals_of_shares() -> None:
    """Values of Wilson's interval from Brown, Cai and DasGupta's formula, worked out by hand."""
    assert logistic.rate(0, 20)[:3] == pytest.approx((0.0, 0.0, 0.1611), abs=1e-4)
    assert logistic.rate(5, 50)[:3] == pytest.approx((0.1, 0.0435, 0.2136), abs=1e-4)
    assert np.isnan(logistic.rate(0, 0).value) and logistic.rate(0, 0)[1:] == (0.0, 1.0, 0)


# --- the command ------------------------------------------------------------------------------------------------------

runner = CliRunner()
app = commands()


def run(*words: str | Path) -> Result:
    return runner.invoke(app, [str(word) for word in words])


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Examples, and `damda guard train` with the tiny encoder."""

    def make(settings: EncoderSettings, *, offline: bool, progress: Progress = quiet) -> WordEncoder:
        return WordEncoder(settings.name)

    monkeypatch.setattr(models, "make_encoder", make)
    return write(tmp_path / "rude.jsonl", labelled(60))


def test_train_writes_a_folder_and_says_how_to_use_it(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "guards" / "rude"
    done = run("guard", "train", file, "--out", out, "--fpr", "0.1", "--encoder", "mine")
    assert done.exit_code == 0, done.output
    assert "false alarms" in done.stdout and "95 % interval" in done.stdout
    assert "classifiers = [" in done.stderr and 'name = "mine"' in done.stderr
    weights = load(out)
    assert (weights.name, weights.encoder) == ("rude", "mine")


def test_train_as_json(file: Path, tmp_path: Path) -> None:
    done = run("guard", "train", file, "--out", tmp_path / "out", "--name", "무례", "--json")
    told = json.loads(done.stdout)
    assert told["name"] == "무례" and told["id"] == load(tmp_path / "out").id and done.stderr == ""
    assert told["counts"]["tested_on"] == 24 and told["figures"]["auc"]["of"] == 24


def test_train_says_no_before_it_works(file: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious", encoding="utf-8")
    refused = run("guard", "train", file, "--out", tmp_path / "mine")
    assert isinstance(refused.exception, ConfigError) and "is no classifier" in str(refused.exception)
    absent = run("guard", "train", tmp_path / "none.jsonl", "--out", tmp_path / "out")
    assert isinstance(absent.exception, ReadError)
    assert run("guard", "train", file, "--out", tmp_path / "out", "--fpr", "2").exit_code == 2
    assert not (tmp_path / "out").exists()


# --- the real encoder -------------------------------------------------------------------------------------------------


def test_with_the_real_encoder(encoder: OnnxEncoder, tmp_path: Path) -> None:
    """Complaints against questions, each put together of parts, so that the words of the test were never seen."""
    things = "배송 환불 직원 화면 결제 포장 예약 좌석 음식 객실 보증 설치".split()
    cross = ["{} 때문에 정말 화가 납니다.", "{} 상태가 너무 실망스럽네요.", "{} 문제로 다시는 이용하지 않겠습니다."]
    calm = ["{} 방법을 알려 주세요.", "{} 절차는 어떻게 되나요?", "{} 시간은 언제인가요?"]
    examples = [
        Example(line.format(thing), lines is cross) for lines in (cross, calm) for line in lines for thing in things
    ]
    trained = train(examples, encoder, name="complaint")
    trained.save(tmp_path / "complaint")
    guard = Classifier.load(tmp_path / "complaint", encoder, "flag")
    assert check(guard, "기사님이 불친절해서 너무 화가 나고 실망했습니다.") == ("flag", "complaint")
    assert check(guard, "영업 시간은 언제까지인가요?") == ("allow", "")


def test_weights_are_plain_numbers(trained: Trained) -> None:
    weights: Weights = trained.weights
    assert weights.vectors.dtype == np.float32 and weights.vectors.shape == (32,)
    assert weights.ngrams is None or weights.ngrams.shape == (2, 1 << BITS)


def test_of_too_many_examples_the_rare_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("damda.answer.guards.train.MOST", 100)
    few = [row for n, row in enumerate(rows(400)) if not row.positive or n % 16 == 0]
    trained = train(few, WordEncoder(), name="rude")
    assert (trained.counts["positive"], trained.counts["negative"]) == (50, 50)
    assert any("100 of 450 examples were used" in note for note in trained.notes)
