"""A real `damda serve` and a real Chromium for the tests of the page, and the strictness that all of them share."""

import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

import damda.serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page, Request, Route

_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()

# Takes the place of fetch for answers: the test feeds the stream, and sees when the page lets go of it.
FED = """
(() => {
  const real = window.fetch;
  window.asked = [];
  window.fetch = (path, options) => {
    if (!String(path).endsWith("chat/completions")) return real(path, options);
    window.asked.push(JSON.parse(options.body));
    const encoder = new TextEncoder();
    const body = new ReadableStream({
      start(control) {
        window.feed = (event) => control.enqueue(encoder.encode(`data: ${JSON.stringify(event)}\\n\\n`));
        window.say = (content) => window.feed({ choices: [{ index: 0, delta: { content } }] });
        window.end = (damda) => { window.feed({ choices: [{ index: 0, delta: {} }], damda }); control.close(); };
        window.cut = () => control.error(new TypeError("network error"));
        options.signal.addEventListener("abort", () => {
          window.aborted = true;
          control.error(new DOMException("aborted", "AbortError"));
        });
      },
    });
    return Promise.resolve(new Response(body));
  };
})();
"""


@contextmanager
def serving(documents: Path, cache: Path, log: Path) -> Iterator[str]:
    """A `damda serve` over a folder, on any free port; its address."""
    command = [sys.executable, "-c", "from damda.cli import main; main()", "serve", str(documents), "--port", "0"]
    environment = os.environ | {"DAMDA_CACHE": str(cache), "PYTHONUNBUFFERED": "1", "DAMDA_TRACE__CONTENT": "true"}
    with log.open("w") as said, subprocess.Popen(command, stderr=said, stdout=said, env=environment) as process:
        try:
            yield _address(process, log)
        finally:
            process.terminate()
            process.wait(60)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    from fakes import until

    def told() -> "re.Match[str] | None":
        assert process.poll() is None, log.read_text()
        return re.search(r"http://127\.0\.0\.1:\d+", log.read_text())

    until(lambda: told() is not None, 120)
    found = told()
    assert found is not None
    return found.group()


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Debian's Chromium, headless; skips, saying so, where it or playwright is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (group browser)")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium on this machine")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


STATUS: dict[str, Any] = {
    "version": "0",
    "name": "documents",
    "documents": 2,
    "pending": 0,
    "failed": [],
    "modes": ["hybrid", "bm25", "dense"],
    "mode": "hybrid",
    "uploads": True,
    "max_upload": 1000,
    "formats": [".md"],
    "trace": True,
}
PAGE = Path(damda.serve.__file__).parent / "page"

Reply = tuple[int, object, dict[str, str]]
"""Status, JSON (None: the connection breaks), headers."""


@dataclass
class Visit:
    """Pages of one test. `check` fails for whatever no page may ever do."""

    browser: "Browser"
    url: str
    faults: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()  # beginnings of console errors that the test provokes
    replies: "Mapping[str, Callable[[Request], Reply]] | None" = None  # by path, in place of a service

    def __call__(self, path: str = "", *, fed: bool = False, settled: bool = True, **context: Any) -> "Page":  # noqa: ANN401  as playwright's
        """A new page with storage of its own, in Korean and 1280 pixels wide unless told otherwise."""
        options: Mapping[str, Any] = {"locale": "ko-KR", "viewport": {"width": 1280, "height": 860}} | context
        browsing = self.browser.new_context(**options)
        if self.replies is not None:
            browsing.route("**/*", self._played)
            browsing.grant_permissions(["clipboard-read", "clipboard-write"])
        page = browsing.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("dialog", self._popped_up)
        page.on("request", lambda request: self._asked(request.url))
        if fed:
            page.add_init_script(FED)
        page.goto(f"{self.url}/{path}")
        if settled:  # the service has said what it is
            page.locator("#stored span").first.wait_for(state="attached")
        return page

    def _played(self, route: "Route") -> None:
        path = urlsplit(route.request.url).path.lstrip("/")
        replies: dict[str, Callable[[Request], Reply]] = {"api/status": lambda request: (200, STATUS, {})}
        replies |= self.replies or {}
        if path in replies:
            status, content, headers = replies[path](route.request)
            if content is None:
                route.abort("connectionrefused")
            else:
                route.fulfill(status=status, json=content, headers={"Content-Type": "application/json"} | headers)
        elif (file := PAGE / (path.removeprefix("page/") or "index.html")).is_file():
            route.fulfill(path=file)
        else:
            route.fulfill(status=404, json={"error": {"message": f"no {path}"}})

    def _popped_up(self, dialog: "Dialog") -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not text.startswith(self.expected or ("\0",)):
            self.faults.append(f"console: {text}")

    def _asked(self, url: str) -> None:
        if urlsplit(url)[:2] != urlsplit(self.url)[:2]:
            self.faults.append(f"request to {url}")

    def check(self) -> None:
        for context in self.browser.contexts:
            context.close()
        assert not self.faults, self.faults


def hwpx(*paragraphs: str) -> bytes:
    """A small HWPX file."""
    word = "http://www.hancom.co.kr/hwpml/2011"
    text = "".join(f"<hp:p><hp:run><hp:t>{paragraph}</hp:t></hp:run></hp:p>" for paragraph in paragraphs)
    parts = {
        "mimetype": "application/hwp+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="Contents/content.hpf" media-type="application/hwpml-package+xml"/></rootfiles>'
        "</container>",
        "Contents/content.hpf": '<package xmlns="http://www.idpf.org/2007/opf/"><manifest><item id="section0" '
        'href="Contents/section0.xml" media-type="application/xml"/></manifest><spine><itemref idref="section0"/>'
        "</spine></package>",
        "Contents/section0.xml": f'<hs:sec xmlns:hs="{word}/section" xmlns:hp="{word}/paragraph">{text}</hs:sec>',
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()
