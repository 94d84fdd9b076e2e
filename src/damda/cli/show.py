"""How things look in a terminal, and as JSON.

Knows: consoles, progress bars, links. Does not know: where the things shown come from.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote as percent

from rich.console import Console
from rich.markup import escape

from damda.plain import plain
from damda.types import Answer, Hit, Progress, Quote, quiet

if TYPE_CHECKING:
    from damda.ingest.sync import Report

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def as_json(value: object) -> None:
    """Print a value as JSON; dataclasses become objects, numbers that are none become null."""
    sys.stdout.write(json_text(value))


def json_text(value: object) -> str:
    """What `as_json` prints."""
    return json.dumps(plain(value), ensure_ascii=False, indent=1) + "\n"


@contextmanager
def progress(silent: bool) -> Iterator[Progress]:
    """A bar on a terminal; a line every ten seconds where stderr is a file; nothing when silent."""
    if silent:
        yield quiet
    elif err.is_terminal:
        with _bars() as bars:
            yield bars
    else:
        yield _lines()


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Bars(*columns, console=err, transient=True) as bars:

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total or None)
            bars.update(tasks[what], completed=done, total=total or None)

        yield tell


def _lines() -> Progress:
    said: dict[str, float] = {}

    def tell(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - said.get(what, now if done else 0.0) >= 10 or (done == 0 and what not in said):
            said[what] = now
            err.print(f"{what}: {100 * done // total if total else 0} %")

    return tell


def report(done: "Report", *, verbose: bool) -> None:
    """What an indexing run did."""
    parts = [f"{done.documents} documents stored ({done.chunks} passages)", f"{done.unchanged} files unchanged"]
    if done.images:
        parts.insert(1, f"{done.images} images")
    if done.removed:
        parts.append(f"{done.removed} removed")
    if done.skipped:
        parts.append(f"{len(done.skipped)} skipped")
    if done.failed:
        parts.append(f"{len(done.failed)} failed")
    err.print(f"{', '.join(parts)}; {done.wall:.1f} s")
    for file in done.failed:
        err.print(f"  failed   {escape(file.source)}: {escape(file.error)}")
    for skipped in done.skipped if verbose else ():
        err.print(f"  skipped  {escape(skipped.source)}: {escape(skipped.reason)}")
    if done.skipped and not verbose:
        err.print("  --verbose names the skipped files")
    if verbose:
        err.print("  " + ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in done.seconds.items()))


def answer(given: Answer, root: Path, *, verbose: bool, text: bool = True) -> None:
    """An answer with its quotes and where they stand."""
    if text:
        out.print(escape(given.text))
    if given.asked:
        label = "searched for:" if given.asked.isascii() else "찾은 말:"
        out.print(f"\n {label} {escape(given.asked)}", style="dim")
    for line in _remarks(given):
        out.print(f" {escape(line)}", style="dim")
    _quotes(given, root)
    if not given.found and given.hits and not given.blocked:
        out.print("The nearest passages:" if given.text.isascii() else "가장 가까운 문단:", style="dim")
        for hit in given.hits[:3]:
            out.print(f"  - {hit_place(hit, root)}", style="dim")
    if verbose:
        for hit in given.hits:
            err.print(
                f"  {hit.by} {hit.score:8.3f}  bm25 {hit.bm25:6.2f}  cosine {hit.cosine:.3f}  {escape(hit.chunk.id)}"
            )


def _quotes(given: Answer, root: Path) -> None:
    if given.quotes:
        out.print()
    for n, quote in enumerate(given.quotes, 1):
        short = f" · [not dim bold]{escape(quote.short)}[/]" if quote.answer else ""
        out.print(f" [{n}] {place(quote, root)}{short}", style="dim")
        if " ".join(quote.text.split()) not in given.text:
            out.print(f"     “{escape(_short(quote.text))}”", style="dim")


def _remarks(given: Answer) -> Iterator[str]:
    """That an answer was remembered, and what guards did."""
    korean = not given.text.isascii()
    if given.cached_for:
        said = f"“{given.cached_for}”"
        yield f"기억해 둔 답: {said} 의 답입니다" if korean else f"remembered: the answer to {said}"
    elif given.cached:
        yield "기억해 둔 답입니다" if korean else "remembered"
    for line in dict.fromkeys(f"{v.place} · {v.guard}: {v.rule} ({v.action})" for v in given.verdicts):
        yield f"guard · {line}"


def hits(found: list[Hit], root: Path, *, verbose: bool) -> None:
    """Search results."""
    for n, hit in enumerate(found, 1):
        out.print(f"[bold]{n}[/bold]  {hit_place(hit, root)}  [dim]{hit.by} {hit.score:.3f}[/dim]")
        if hit.chunk.text:
            out.print("   " + escape(hit.chunk.text if verbose else _short(hit.chunk.text)))


def place(quote: Quote, root: Path) -> str:
    """Source, page, heading and offsets; the source is a link that terminals open."""
    page = f"p. {quote.page}" if quote.page else ""
    parts = (_link(quote.source, root, quote.page), page, escape(quote.heading), f"{quote.start}–{quote.end}")
    return " · ".join(part for part in parts if part)


def hit_place(hit: Hit, root: Path) -> str:
    """Like `place`, for a passage."""
    chunk = hit.chunk
    span = f"{chunk.start}–{chunk.end}" if chunk.text else ""
    parts = (_link(chunk.source, root, None), escape(chunk.heading), span)
    return " · ".join(part for part in parts if part)


def _link(source: str, root: Path, page: int | None) -> str:
    path = root / source if root.is_dir() else root
    target = "file://" + percent(str(path)) + (f"#page={page}" if page else "")
    return f"[link={target}]{escape(source)}[/link]"


def _short(text: str, limit: int = 240) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def note(text: str, *, silent: bool) -> None:
    """A remark on stderr."""
    if not silent:
        err.print(escape(text), style="dim")
