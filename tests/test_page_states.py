"""What the page does when things happen to it: streams that stop, servers that refuse. A service is played to it."""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from browsing import STATUS, Reply, Visit, chromium
from fakes import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

REFUSED = "Failed to load resource"
TEXT = "# 안내 🌱🌱\n\n🌻 물은 오후 4시에 줍니다. 호미는 12개입니다.\n\n끝."
SENTENCE = "🌻 물은 오후 4시에 줍니다."


def quote(n: int = 1, text: str = SENTENCE, version: str = "v1") -> dict[str, Any]:
    """As the service sends it: offsets in code points, which are Python's."""
    start = max(TEXT.find(text), 0)
    short = start + text.index("오후 4시")
    place = {"source": "텃밭.md", "title": "안내", "heading": "물", "page": 3, "version": version}
    return (
        {"n": n, "text": text, "doc_id": "텃밭.md", "start": start, "end": start + len(text)}
        | place
        | {"answer": [short, short + 5]}
    )


def meta(**fields: object) -> str:
    """The service's last words on an answer, as JavaScript."""
    shown: dict[str, object] = {"found": True, "quotes": [quote()], "unsupported": [], "asked": "", "trace_id": "t1"}
    return json.dumps(shown | fields)


def document(text: str = TEXT) -> "Callable[[Request], Reply]":
    found = {"id": "텃밭.md", "title": "안내", "source": "텃밭.md", "version": "v1", "text": text, "pages": []}
    return lambda request: (200, found, {})


def always(status: int, content: object, **headers: str) -> "Callable[[Request], Reply]":
    return lambda request: (status, content, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser: "Browser") -> Iterator[Visit]:
    """Pages in front of no service at all; tests add what it answers. `localhost` may use the clipboard."""
    visiting = Visit(browser, "http://localhost:9", replies={"api/document": document()})
    yield visiting
    visiting.check()


def ask(page: "Page", question: str = "물은 언제 주나요?") -> None:
    page.fill("#question", question)
    page.press("#question", "Enter")
    page.locator(".turn").last.wait_for()


def answer(page: "Page") -> str:
    return page.locator(".turn").last.locator("div.answer").inner_text()


def notes(page: "Page") -> str:
    place = page.locator(".turn").last.locator(".notes > *").first
    place.wait_for()
    return place.inner_text()


def test_sentences_are_shown_as_they_come(visit: Visit) -> None:
    page = visit(fed=True)
    ask(page)
    assert "찾는 중" in answer(page)
    page.evaluate(f"say({json.dumps(SENTENCE + ' [1]')})")
    page.get_by_text("오후 4시에 줍니다").wait_for()
    assert page.locator(".mark.pending").inner_text() == "1" and page.locator("button.mark").count() == 0
    assert page.get_attribute("#send", "aria-label") == "멈추기"
    page.evaluate("say('\\n호미는 12개입니다. [근거 없음]')")
    page.get_by_text("호미는 12개입니다").wait_for()
    page.evaluate(f"end({meta(unsupported=['호미는 12개입니다.'], asked='텃밭에 물은 언제 주나요?')})")
    page.locator("button.mark").first.wait_for()
    assert page.locator("mark.short").inner_text() == "오후 4시"  # counted in code points
    assert page.locator(".answer .unsupported").inner_text() == "호미는 12개입니다."
    assert page.locator(".answer .badge").inner_text() == "근거 없음"
    assert "근거가 없는 문장이 1개" in notes(page)
    assert "텃밭에 물은 언제 주나요?" in page.locator(".asked").inner_text()
    assert "3쪽" in page.locator(".source").inner_text()
    assert page.get_attribute("#send", "aria-label") == "보내기"


def test_what_guards_did_is_said(visit: Visit) -> None:
    page = visit(fed=True)
    ask(page)
    verdicts = [
        {"place": "passage", "guard": "injection", "action": "flag", "rule": "override"},
        {"place": "answer", "guard": "personal", "action": "redact", "rule": "rrn, phone"},
        {"place": "answer", "guard": "patterns", "action": "redact", "rule": "<b>사번</b>"},
    ]
    page.evaluate(f"say({json.dumps(SENTENCE + ' [1]')}); end({meta(verdicts=verdicts)})")
    page.locator("button.mark").wait_for()
    said = page.locator(".turn .notes").inner_text()
    assert "가린 것이 있습니다: 주민등록번호, 전화번호, <b>사번</b>" in said and "지시처럼 쓴 말" in said
    assert page.locator(".turn .notes b").count() == 0


def test_a_withheld_answer_is_not_one_that_was_not_found(visit: Visit) -> None:
    page = visit(fed=True)
    ask(page)
    verdicts = [{"place": "question", "guard": "personal", "action": "block", "rule": "rrn"}]
    page.evaluate(
        f"say('안전 규칙에 따라 답하지 않습니다: rrn.'); end({meta(found=False, quotes=[], verdicts=verdicts)})"
    )
    page.locator(".tools button").first.wait_for()
    assert answer(page) == "안전 규칙에 따라 답하지 않습니다: rrn." and page.locator(".turn .nearest").count() == 0


def test_markup_in_an_answer_stays_text(visit: Visit) -> None:
    page = visit(fed=True)
    ask(page, "<b>?</b>")
    evil = "<img src=x onerror=alert(1)> **굵게** <script>alert(2)</script> [2] [1]"
    page.evaluate(f"say({json.dumps(evil)}); end({meta()})")
    page.locator("button.mark").wait_for()
    assert answer(page).startswith("<img src=x onerror=alert(1)> 굵게 <script>alert(2)</script> [2]")  # 2: no quote
    assert page.locator(".turn h2").inner_text() == "<b>?</b>"
    assert page.locator(".turn img, .turn script, .turn b").count() == 0


@pytest.mark.parametrize("way", ["button", "escape"])
def test_an_answer_can_be_stopped(visit: Visit, way: str) -> None:
    page = visit(fed=True)
    ask(page)
    page.evaluate("say('물은 오후 4시에 [1]')")
    page.locator(".mark.pending").wait_for()
    page.click("#send") if way == "button" else page.keyboard.press("Escape")
    assert "멈췄습니다" in notes(page)
    assert page.evaluate("window.aborted") and "물은 오후 4시에" in answer(page)
    ask(page, "다시 묻습니다")
    assert page.evaluate("window.asked.at(-1).messages") == [{"role": "user", "content": "다시 묻습니다"}]


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ("cut()", "끊겼습니다"),
        ("end(undefined)", "끊겼습니다"),  # an end, but without the last words
        ("feed({error: {message: 'the model is gone'}})", "the model is gone"),
    ],
)
def test_an_answer_that_breaks_off_says_so_and_can_be_asked_again(visit: Visit, ending: str, said: str) -> None:
    page = visit(fed=True)
    ask(page)
    page.evaluate(f"say('물은 오후'); {ending}")
    assert said in notes(page)
    page.get_by_text("다시 시도").click()
    until(lambda: page.evaluate("window.asked.length") == 2)
    page.evaluate(f"say({json.dumps(SENTENCE + ' [1]')}); end({meta()})")
    page.locator("button.mark").wait_for()
    assert page.locator(".turn").count() == 1 and page.locator(".problem").count() == 0


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (always(429, {"error": {"message": "x"}}, Retry_After="7"), "7초 뒤에"),
        (always(429, {"error": {"message": "x"}}), "잠시 뒤에"),
        (always(503, {"error": {"message": "the disk is full: make room"}}), "the disk is full: make room"),
        (always(502, "<h1>Bad Gateway</h1>"), "서버에 문제가"),
        (always(0, None), "damda serve가 켜져 있는지"),
    ],
)
def test_errors_are_told_in_words(visit: Visit, reply: "Callable[[Request], Reply]", said: str) -> None:
    visit.expected = (REFUSED,)
    visit.replies = {"v1/chat/completions": reply}
    page = visit()
    ask(page)
    assert said in notes(page)
    page.click("#language")  # what is on the screen is told in the other language, too
    assert said.isascii() or said not in notes(page)


def test_a_key_is_asked_for_and_kept_for_the_tab(visit: Visit) -> None:
    def guarded(request: "Request") -> Reply:
        given = request.headers.get("authorization")
        return (200, STATUS, {}) if given == "Bearer right" else (401, {"error": {"message": "a key is needed"}}, {})

    visit.expected = (REFUSED,)
    visit.replies = {"api/status": guarded}
    page = visit(settled=False)
    page.locator("#key-dialog").wait_for()
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    page.get_by_text("그 키로는 들어갈 수 없습니다").wait_for()
    page.fill("#key", "right")
    page.keyboard.press("Enter")
    page.locator("#stored", has_text="문서 2개").wait_for()
    page.reload()
    page.locator("#stored", has_text="문서 2개").wait_for()
    assert page.is_hidden("#key-dialog")
    assert page.evaluate("JSON.stringify(localStorage)") == "{}"


def test_a_syllable_in_the_making_is_not_sent(visit: Visit) -> None:
    page = visit(fed=True)
    page.fill("#question", "재택근")
    page.evaluate(
        """document.getElementById("question").dispatchEvent(
             new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true, cancelable: true }))"""
    )
    page.press("#question", "Shift+Enter")
    assert page.locator(".turn").count() == 0 and page.input_value("#question") == "재택근\n"


def test_what_the_service_does_not_offer_is_not_shown(visit: Visit) -> None:
    hit = {"chunk": {"id": "a#1", "doc_id": "a", "text": "글", "start": 0, "end": 1, "source": "a"}, "score": -2.5}
    listed = {"documents": [{"id": "a", "source": "a", "version": "1", "uploaded": True}], "total": 1, "failed": []}
    offered = STATUS | {"uploads": False, "modes": [*STATUS["modes"], "rerank"]}

    def found(request: "Request") -> Reply:
        return 200, {"results": {mode: [hit] for mode in json.loads(request.post_data or "")["modes"]}}, {}

    visit.replies = {
        "api/status": always(200, offered),
        "api/search": found,
        "api/documents": always(200, listed),
    }
    page = visit("#documents")
    page.locator("#document-list .open").wait_for()
    assert page.is_hidden("#upload") and page.locator(".remove").count() == 0
    page.click("[data-view=search]")
    page.fill("#query", "글")
    page.press("#query", "Enter")
    page.locator(".column[data-mode=rerank] .hit").wait_for()
    assert page.locator(".column").count() == 4


def test_too_large_an_upload_is_told_before_it_is_sent(visit: Visit) -> None:
    visit.replies = {"api/documents": always(200, {"documents": [], "total": 0, "failed": []})}
    page = visit("#documents")
    page.set_input_files("#files", {"name": "큰.md", "mimeType": "text/markdown", "buffer": b"x" * 2000})
    assert "한 번에 1 kB까지" in page.locator("#work .result").inner_text()


@pytest.mark.parametrize(
    ("text", "said", "marked"),
    [
        (TEXT, "", SENTENCE),
        ("머리말 🎈\n\n" + TEXT, "다른 자리로", SENTENCE),
        ("다른 글", "더는 없습니다", ""),
    ],
)
def test_a_document_that_changed_since_is_told(visit: Visit, text: str, said: str, marked: str) -> None:
    def found(request: "Request") -> Reply:
        if "version=" in request.url and text != TEXT:
            return 404, {"error": {"message": "it has changed since"}}, {}
        return document(text)(request)

    visit.expected = (REFUSED,)
    visit.replies = {"api/document": found}
    page = visit(fed=True)
    ask(page)
    page.evaluate(f"say({json.dumps(SENTENCE + ' [1]')}); end({meta()})")
    page.locator("button.mark").click()
    page.locator("#panel .doc").wait_for()
    shown = page.evaluate("[...document.querySelectorAll('#panel mark.current')].map((m) => m.textContent).join('')")
    assert shown == marked
    notice = page.locator("#panel .notice")
    assert (notice.inner_text() if notice.count() else "") == "" if not said else said in notice.inner_text()


def test_a_long_document_is_shown_in_parts(visit: Visit) -> None:
    rows = [f"{n}째 줄. 아무 말이나 적어 둡니다 그리고 또 적어 둡니다." for n in range(8_000)]
    text = "\n".join([*rows[:4_000], SENTENCE, *rows[4_000:]])
    visit.replies = {"api/document": document(text)}
    page = visit(fed=True)
    ask(page)
    start = text.index(SENTENCE)
    short = start + SENTENCE.index("오후 4시")
    place = {"start": start, "end": start + len(SENTENCE), "answer": [short, short + 5]}
    page.evaluate(f"say({json.dumps(SENTENCE + ' [1]')}); end({meta(quotes=[quote() | place])})")
    page.locator("button.mark").click()
    page.locator("#panel mark.current").first.wait_for()
    shown = page.locator("#panel .doc p")
    assert 1000 < shown.count() < 5_000
    for words in ("앞부분 보기", "뒷부분 보기"):
        while (button := page.get_by_text(words)).is_visible():
            button.click()
    assert shown.count() == 8_001
    assert shown.first.inner_text().startswith("0째") and shown.last.inner_text().startswith("7999째")


def test_an_answer_is_copied_with_its_sources(visit: Visit) -> None:
    page = visit(fed=True)
    ask(page)
    page.evaluate(f"say({json.dumps(SENTENCE + ' [1]')}); end({meta()})")
    page.get_by_label("출처와 함께 복사").click()
    page.locator(".tools .i-done").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{SENTENCE} [1]\n\n[1] 텃밭.md · 물 · 3쪽\n    “{SENTENCE}”"


def test_a_trace_is_drawn_as_a_waterfall(visit: Visit) -> None:
    def span(id: str, parent: str | None, name: str, start: float, seconds: float, **more: object) -> dict[str, object]:
        return {"span_id": id, "parent_id": parent, "name": name, "start": start, "seconds": seconds} | more

    passages = [{"id": "텃밭.md#0", "score": 12.5, "cosine": 0.9, "content": SENTENCE}]
    place = {"damda.document": "텃밭.md", "damda.start": quote()["start"], "damda.end": quote()["end"]}
    spans = [  # in no order; fields may be missing
        span("c", "a", "chat extract", 0.5, 0.5, attributes={"gen_ai.usage.output_tokens": 1200}),
        span("q", "c", "quote", 0.9, 0.1, attributes=place),
        span("a", "elsewhere", "invoke_workflow", 0.0, 1.0, status="ok"),
        span("b", "a", "retrieval", 0.0, 0.25, attributes={"gen_ai.retrieval.documents": json.dumps(passages)}),
        span("d", "a", "cache", 1.0, 0.0, status="error", said="the disk is full"),
    ]
    row = {"trace_id": "t1", "started": 1_800_000_000, "seconds": 1.0, "name": "ask", "feedback": -1, "found": False}
    visit.replies = {
        "api/traces": always(200, {"traces": [row], "next": None}),
        "api/traces/t1": always(200, row | {"comment": "<b>아쉽다</b>", "spans": spans}),
        "api/document": document(),
    }
    page = visit("#traces")
    listed = page.locator("button.trace")
    assert "못 찾음" in listed.inner_text() and "질문은 남기지 않음" in listed.inner_text()
    listed.click()
    bars = page.locator("#panel .span")
    bars.first.wait_for()
    names = page.locator("#panel .label").all_inner_texts()
    assert names == ["invoke_workflow", "retrieval", "chat extract", "quote", "cache"]
    assert page.locator("#panel .ms").all_inner_texts() == ["1.0초", "250 ms", "500 ms", "100 ms", "0.0 ms"]
    assert page.locator("#panel .given q").inner_text() == "<b>아쉽다</b>"
    boxes = page.evaluate(
        """[...document.querySelectorAll("#panel .drawn")].map((drawn) => {
             const [bar, track] = [drawn, drawn.parentElement].map((one) => one.getBoundingClientRect());
             return [(bar.left - track.left) / track.width, bar.width / track.width];
           })"""
    )
    assert boxes[1] == pytest.approx([0, 0.25], abs=0.01) and boxes[2] == pytest.approx([0.5, 0.5], abs=0.01)
    assert "토큰 0 → 1,200" in bars.nth(2).inner_text() and "실패" in bars.nth(4).inner_text()

    bars.first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    passage = page.locator("#panel .passages .source")
    assert "텃밭.md#0" in passage.inner_text() and "12.500" in passage.inner_text()
    bars.nth(4).click()
    assert page.get_by_text("the disk is full").is_visible()
    bars.nth(3).click()
    page.locator("#panel .passages .source").last.click()
    page.locator("#panel mark.current").first.wait_for()
    assert page.locator("#panel mark.current").inner_text() == SENTENCE


def test_a_trace_that_is_written_a_moment_later_is_waited_for(visit: Visit) -> None:
    tries: list[str] = []

    def late(request: "Request") -> Reply:
        tries.append(request.url)
        found = {"trace_id": "t1", "seconds": 1.0, "spans": [{"span_id": "a", "name": "ask", "start": 0, "seconds": 1}]}
        return (200, found, {}) if len(tries) > 2 else (404, {"error": {"message": "no such trace"}}, {})

    visit.expected = (REFUSED,)
    visit.replies = {"api/traces/t1": late}
    page = visit(fed=True)
    ask(page)
    page.evaluate(f"say({json.dumps(SENTENCE + ' [1]')}); end({meta()})")
    page.get_by_text("어떻게 만들었나").click()
    page.locator("#panel .span").wait_for()
    assert len(tries) == 3


def test_a_thumb_can_be_given_changed_and_taken_back(visit: Visit) -> None:
    said: list[dict[str, Any]] = []

    def kept(request: "Request") -> Reply:
        said.append(json.loads(request.post_data or ""))
        return 200, {}, {}

    visit.replies = {"api/traces/t1/feedback": kept}
    page = visit(fed=True)
    ask(page)
    page.evaluate(f"say({json.dumps(SENTENCE + ' [1]')}); end({meta()})")
    up, down = page.get_by_label("좋은 답"), page.get_by_label("아쉬운 답")
    up.click()
    page.get_by_label("한마디 남기기").fill("고마워요")
    page.keyboard.press("Enter")
    page.locator(".comment").wait_for(state="hidden")
    down.click()
    until(lambda: down.get_attribute("aria-pressed") == "true")
    assert up.get_attribute("aria-pressed") == "false"
    page.reload()
    assert down.get_attribute("aria-pressed") == "true"
    down.click()
    until(lambda: down.get_attribute("aria-pressed") == "false")
    assert [(one["score"], one["comment"]) for one in said] == [(1, ""), (1, "고마워요"), (-1, ""), (0, "")]
