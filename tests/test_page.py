"""The page in a real browser, against a real service over the example documents with the real encoder."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browsing import Visit, chromium, hwpx, serving
from fakes import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

DOCUMENTS = Path(__file__).parents[1] / "examples" / "documents"
DAYS = "재택근무는 일주일에 며칠까지 할 수 있나요?"
HOSTILE = "<img src=x onerror=alert(1)>.md"
HOSTILE_TEXT = (
    "# 전단 <script>alert(2)</script>\n\n"
    "보라색 우산 대여소의 보증금은 <img src=x onerror=alert(3)> 4천 원입니다.\n\n"
    "[누르세요](javascript:alert(4)) <svg onload=alert(5)>\n"
)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def url(browser: "Browser", model_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(DOCUMENTS, folder / "documents")
    (folder / "documents" / HOSTILE).write_text(HOSTILE_TEXT, encoding="utf-8")
    with serving(folder / "documents", model_cache, folder / "log") as address:
        yield address


@pytest.fixture
def visit(browser: "Browser", url: str) -> Iterator[Visit]:
    """Opens pages; at the end nothing may have been said in the console, asked elsewhere, or popped up."""
    visiting = Visit(browser, url)
    yield visiting
    visiting.check()


def ask(page: "Page", question: str) -> "Locator":
    """Ask, and wait for the answer to be whole; its turn."""
    page.fill("#question", question)
    page.press("#question", "Enter")
    turn = page.locator(".turn").last
    turn.locator(".tools button").first.wait_for()
    return turn


def quotes(page: "Page") -> list[dict[str, Any]]:
    """Of the last answer, as the service sent them."""
    kept = json.loads(page.evaluate("sessionStorage.getItem('damda.conversation')"))
    found: list[dict[str, Any]] = kept[-1]["meta"]["quotes"]
    return found


def marked(page: "Page") -> str:
    """What is highlighted in the open document; it is on the screen, too."""
    page.locator("#panel mark.current >> visible=true").first.wait_for()
    assert page.evaluate(
        """() => {
          const marks = [...document.querySelectorAll("#panel mark.current")].filter((m) => m.getClientRects().length);
          const box = document.getElementById("panel-body").getBoundingClientRect();
          const at = marks[0].getBoundingClientRect();
          return at.top >= box.top && at.bottom <= box.bottom;
        }"""
    )
    text: str = page.evaluate(
        "[...document.querySelectorAll('#panel mark.current')].map((mark) => mark.textContent).join('')"
    )
    return text


def upload(page: "Page", *files: tuple[str, bytes]) -> None:
    """Upload on the page of documents, and wait for the end."""
    page.click("[data-view=documents]")
    given: Any = [{"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in files]
    page.set_input_files("#files", given)
    page.locator("#work .result").wait_for()


def test_an_answer_stands_with_its_quotes(visit: Visit) -> None:
    page = visit()
    turn = ask(page, DAYS)
    assert turn.locator("h2").inner_text() == DAYS
    first = turn.locator(".answer .line").first
    assert "최대 3일까지" in first.inner_text()
    assert first.locator("mark.short").inner_text() == "3일"  # the short answer inside its sentence
    assert first.locator("button.mark").inner_text() == "1"
    assert turn.locator(".source").count() == len(quotes(page)) == turn.locator(".answer button.mark").count()
    assert "재택근무_지침.md" in turn.locator(".source").first.inner_text()
    assert "2. 대상과 일수" in turn.locator(".source").first.inner_text()
    row = turn.locator(".answer .row")  # a table's row, under the names of its columns
    assert row.locator(".column").all_inner_texts() == ["구분", "한도", "비고"]
    assert row.locator(".value").all_inner_texts()[1] == "주 1일"


def test_a_remembered_answer_says_so_and_can_be_made_anew(visit: Visit) -> None:
    page = visit()
    question = "수습 직원은 재택근무를 며칠 할 수 있나요?"
    ask(page, question)
    page.click("#fresh")
    turn = ask(page, question)
    assert "기억해 둔 답입니다." in turn.locator(".notes").inner_text()
    assert turn.locator(".answer .line").count()
    turn.get_by_role("button", name="새로 답하기").click()
    page.wait_for_function("() => !document.querySelector('.turn .notes')?.innerText.includes('기억해')")
    turn.locator(".tools button").first.wait_for()
    assert "기억해" not in turn.inner_text() and quotes(page)


def test_a_quote_opens_its_document_beside_the_answer(visit: Visit) -> None:
    page = visit()
    turn = ask(page, DAYS)
    for at, quote in enumerate(quotes(page)):
        turn.locator(".answer button.mark").nth(at).click()
        assert marked(page) == quote["text"]
        assert turn.locator(".mark.now").all_inner_texts() == [str(quote["n"])] * 2  # in the answer and in the list
        assert quote["source"] in page.locator("#panel-under").inner_text()
    assert turn.is_visible()  # beside, not over
    turn.locator(".source").first.click()
    assert marked(page) == quotes(page)[0]["text"]
    assert page.locator("#panel mark.short").inner_text() == "3일"
    page.locator("#panel-tools button").last.click()  # the next quote
    page.locator("#panel-tools", has_text="2/").wait_for()
    assert marked(page) == quotes(page)[1]["text"]
    page.click("#panel-close")
    assert page.is_hidden("#panel") and turn.locator(".mark.now").count() == 0


def test_an_uploaded_hwpx_is_answered_from(visit: Visit) -> None:
    page = visit()
    garden = "공용 텃밭 🌱🌱 안내", "🌻 공용 텃밭에는 매주 목요일 오후 4시에 물을 줍니다. 호미는 12개가 있습니다."
    upload(page, ("텃밭 안내.hwpx", hwpx(*garden)), ("놀이.exe", b"MZ"), ("빈.hwpx", b"PK\x03\x04 broken"))
    said = page.locator("#work").inner_text()
    assert "1개를 올렸습니다" in said and "2개는 받지 못했습니다" in said
    reasons = page.locator("#work .reasons li").all_inner_texts()
    assert any("놀이.exe" in reason and "exe is not read" in reason for reason in reasons)
    assert any("빈.hwpx" in reason for reason in reasons)
    page.fill("#filter", "텃밭")
    until(lambda: page.locator("#document-list li").count() == 1)
    assert "올린 파일" in page.locator("#document-list").inner_text()

    page.click("[data-view=ask]")
    turn = ask(page, "공용 텃밭에는 언제 물을 주나요?")
    assert "목요일 오후 4시" in turn.locator(".answer").inner_text()
    assert "텃밭 안내.hwpx" in turn.locator(".source").first.inner_text()
    turn.locator("button.mark").first.click()
    assert marked(page) == quotes(page)[0]["text"]  # behind signs that are two units long in JavaScript

    page.click("[data-view=documents]")
    page.fill("#filter", "텃밭")
    page.locator("#document-list .remove").click()
    page.click("#confirm-no")
    assert page.locator("#document-list .remove").count() == 1
    page.locator("#document-list .remove").click()
    page.click("#confirm-yes")
    page.get_by_text("그런 이름의 문서가 없습니다").wait_for()
    page.locator("#document-failures summary").click()  # what can't be read can be deleted as well
    page.locator("#document-failures .remove").click()
    page.click("#confirm-yes")
    page.locator("#document-failures details").wait_for(state="detached")


def test_files_that_are_all_refused_are_named(visit: Visit) -> None:
    visit.expected = ("Failed to load resource: the server responded with a status of 400",)
    page = visit()
    upload(page, ("놀이.exe", b"MZ"))
    assert "올렸습니다" not in page.locator("#work").inner_text()
    assert "exe is not read" in page.locator("#work .reasons li").inner_text()


def test_progress_is_shown_while_files_are_indexed(visit: Visit) -> None:
    page = visit()
    page.evaluate(
        """() => {
          window.seen = [];
          new MutationObserver(() => {
            const bar = document.querySelector("#work progress");
            if (bar) window.seen.push([document.querySelector("#work p").textContent, bar.position]);
          }).observe(document.getElementById("work"), { childList: true, subtree: true, attributes: true });
        }"""
    )
    upload(page, ("긴 글.md", "\n\n".join(f"{n}번째 창고에는 상자가 {n * 3}개 있습니다." for n in range(300)).encode()))
    seen = page.evaluate("window.seen")
    assert any("올리는 중" in words for words, _ in seen)
    assert any("읽고 색인하는 중" in words and 0 < position <= 1 for words, position in seen)
    page.click("#reindex")
    page.get_by_text("색인이 최신입니다").wait_for()


def test_documents_are_listed_filtered_and_opened(visit: Visit) -> None:
    page = visit("#documents")
    page.locator("#document-list li").first.wait_for()
    page.fill("#filter", "재택")
    until(lambda: page.locator("#document-list li").count() == 1)
    page.locator("#document-list .open").click()
    page.locator("#panel .doc h3", has_text="재택근무 지침").wait_for()
    assert page.locator("#panel .doc table").count() == 3
    assert "| --- |" not in page.locator("#panel .doc").inner_text()


def test_search_shows_the_ways_of_searching_side_by_side(visit: Visit) -> None:
    page = visit("#search")
    page.fill("#query", "재택근무 신청 마감")
    page.press("#query", "Enter")
    columns = page.locator("#results .column")
    columns.first.wait_for()
    assert [columns.nth(n).get_attribute("data-mode") for n in range(columns.count())] == ["bm25", "dense", "hybrid"]
    best = columns.last.locator(".hit").first
    best.hover()
    same = page.locator("#results .hit.same")
    assert same.count() > 1
    assert len({same.nth(n).get_attribute("data-id") for n in range(same.count())}) == 1
    other, rank = same.first, int(best.get_attribute("data-rank") or 0)
    apart = rank - int(other.get_attribute("data-rank") or 0)
    expected = "=" if not apart else f"▲{apart}" if apart > 0 else f"▼{-apart}"
    assert other.locator(".delta").inner_text() == expected
    best.focus()
    page.keyboard.press("ArrowLeft")  # to the same passage in the column before
    assert page.evaluate("document.activeElement.dataset.id") == best.get_attribute("data-id")
    assert page.evaluate("document.activeElement.closest('.column').dataset.mode") == "dense"
    page.keyboard.press("Enter")
    assert "3. 신청과 승인" in page.locator("#panel-under").inner_text()
    assert "신청 마감은 전주 금요일 오후 3시입니다." in marked(page)


def test_a_follow_up_carries_the_conversation(visit: Visit) -> None:
    page = visit()
    ask(page, DAYS)
    with page.expect_request("**/v1/chat/completions") as sent:
        ask(page, "임신 중인 직원은요?")
    messages = json.loads(sent.value.post_data or "")["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[0]["content"] == DAYS and "최대 3일" in messages[1]["content"]
    page.reload()
    assert page.locator(".turn h2").all_inner_texts() == [DAYS, "임신 중인 직원은요?"]
    page.locator(".turn").first.locator("button.mark").first.click()
    assert "최대 3일" in marked(page)
    page.click("#panel-close")
    page.click("#fresh")
    assert page.locator(".turn").count() == 0 and page.is_visible("#welcome")


def test_what_the_documents_do_not_answer_is_said_to_be_so(visit: Visit) -> None:
    page = visit()
    turn = ask(page, "우주 정거장의 온도는 몇 도인가요?")
    assert "찾지 못했습니다" in turn.locator(".answer").inner_text()
    near = turn.locator(".nearest .source")
    near.first.wait_for()
    near.first.click()
    assert len(marked(page)) > 20


def test_thumbs_and_a_comment_are_kept_with_the_trace(visit: Visit) -> None:
    page = visit()
    turn = ask(page, DAYS)
    turn.locator(".thumb").last.click()
    turn.locator(".comment input").fill("표가 먼저 나오면 좋겠어요")
    turn.locator(".comment input").press("Enter")
    turn.locator(".comment").wait_for(state="hidden")
    assert turn.locator(".thumb").last.get_attribute("aria-pressed") == "true"
    turn.get_by_text("어떻게 만들었나").click()
    page.locator("#panel .span").first.wait_for()
    assert page.locator("#panel .given q").inner_text() == "표가 먼저 나오면 좋겠어요"

    page.click("[data-view=traces]")
    row = page.locator("button.trace", has_text=DAYS).first
    row.locator(".given.down").wait_for()
    assert row.locator(".yes").count() == 1


def test_a_trace_is_a_waterfall(visit: Visit) -> None:
    page = visit()
    ask(page, "재택근무 신청은 언제까지 해야 하나요?").get_by_text("어떻게 만들었나").click()
    bars = page.locator("#panel .span")
    bars.first.wait_for()
    assert bars.count() > 2
    drawn = page.locator("#panel .drawn")
    boxes = [drawn.nth(n).bounding_box() for n in range(drawn.count())]
    track = page.locator("#panel .track").first.bounding_box()
    assert track and all(
        box and track["x"] - 1 <= box["x"] and box["x"] + box["width"] <= track["x"] + track["width"] + 1
        for box in boxes
    )
    assert all("ms" in text or "초" in text for text in page.locator("#panel .span .ms").all_inner_texts())
    for n in range(bars.count()):
        bars.nth(n).click()
    passages = page.locator("#panel .passages li")
    assert passages.count() >= 5 and "재택근무_지침.md" in passages.first.inner_text()
    assert float(passages.first.locator(".score").inner_text()) > 0
    passages.first.locator("button").click()
    page.locator("#panel .doc").wait_for()


def test_the_keyboard_is_enough(visit: Visit) -> None:
    page = visit()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    page.keyboard.type(DAYS)
    page.keyboard.press("Enter")
    page.locator(".turn .tools button").first.wait_for()
    for _ in range(30):  # backwards from the question, to the first mark
        page.keyboard.press("Shift+Tab")
        if (
            page.evaluate("document.activeElement.matches('.answer button.mark') && document.activeElement.dataset.n")
            == "1"
        ):
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"  # focus can be seen
    page.keyboard.press("Enter")
    assert marked(page) == quotes(page)[0]["text"]
    page.keyboard.press("Escape")
    assert page.is_hidden("#panel")
    assert page.evaluate("document.activeElement.dataset.n") == "1"  # back where it was
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "question"


def test_every_control_has_a_name(visit: Visit) -> None:
    page = visit()
    ask(page, DAYS).locator("button.mark").first.click()
    for view in ("ask", "documents", "search", "traces"):
        page.evaluate(f"location.hash = '#{view}'")
        page.locator(f"#{view}").wait_for()
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll("button, input, textarea, a")]
              .filter((one) => one.checkVisibility() && !(one.getAttribute("aria-label") || one.textContent.trim()))
              .map((one) => one.outerHTML)"""
        )
        assert unnamed == []


def test_markup_in_documents_and_names_stays_text(visit: Visit) -> None:
    page = visit()
    turn = ask(page, "보라색 우산 대여소의 보증금은 얼마인가요?")
    assert "<img src=x onerror=alert(3)> 4천 원" in turn.locator(".answer").inner_text()
    assert HOSTILE in turn.locator(".source").first.inner_text()
    turn.locator("button.mark").first.click()
    assert "<img src=x onerror=alert(3)>" in marked(page)
    assert "<script>alert(2)</script>" in page.locator("#panel .doc").inner_text()
    assert HOSTILE in page.locator("#panel-under").inner_text()
    page.click("[data-view=documents]")
    page.locator("#document-list", has_text=HOSTILE).wait_for()
    page.click("[data-view=search]")
    page.fill("#query", "보라색 우산")
    page.press("#query", "Enter")
    page.locator("#results .hit", has_text="<img src=x onerror=alert(3)>").first.wait_for()
    assert (
        page.locator("body img, #main script, #panel script, [onerror], [onload], a[href^='javascript']").count() == 0
    )


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (360, "dark"), (768, "light"), (1600, "dark")])
def test_nothing_is_wider_than_the_screen(visit: Visit, tmp_path: Path, width: int, scheme: str) -> None:
    page = visit(viewport={"width": width, "height": 740}, color_scheme=scheme, has_touch=width < 500)

    def fits(name: str) -> None:
        page.screenshot(path=tmp_path / f"{name}.png")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        assert page.evaluate("document.getElementById('main').scrollWidth <= innerWidth"), name

    fits("welcome")
    turn = ask(page, DAYS)
    fits("answer")
    turn.locator("button.mark").nth(1).click()
    marked(page)
    fits("document")
    page.go_back() if width < 1024 else page.click("#panel-close")  # a phone's way of closing what covers the page
    page.locator("#panel").wait_for(state="hidden")
    assert page.url.endswith("/")
    for view, ready in (("documents", "#document-list li"), ("search", "#query"), ("traces", "#trace-list li")):
        page.click(f"[data-view={view}]")
        page.locator(ready).first.wait_for()
        if view == "search":
            page.fill("#query", "재택근무")
            page.press("#query", "Enter")
            page.locator("#results .hit").first.wait_for()
        fits(view)


def test_language_and_theme_are_switched_and_remembered(visit: Visit) -> None:
    page = visit(locale="en-US", color_scheme="light")
    assert page.locator("#welcome h1").inner_text() == "What would you like to know?"
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#language")
    page.click("#theme")
    page.reload()
    assert page.locator("#welcome h1").inner_text() == "무엇이 궁금하세요?"
    assert page.evaluate("document.documentElement.lang") == "ko"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
