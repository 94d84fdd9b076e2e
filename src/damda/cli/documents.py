"""`damda index`, `damda status`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damda.cli.app import ConfigFlag, HomeFlag, JsonFlag, QuietFlag, Root, ServerFlag, SetFlag, VerboseFlag, app, flags

if TYPE_CHECKING:
    from damda.ingest.sync import Report
    from damda.knowledge import KnowledgeBase


def opened(root: Path, config: Path | None, settings: Mapping[str, Any], *, silent: bool) -> "KnowledgeBase":
    """`damda.open` with a progress bar for the very first use."""
    import damda
    from damda.cli import show

    with show.progress(silent) as tell:
        return damda.open(root, settings=settings, config_file=config, progress=tell)


def opened_warm(root: Path, config: Path | None, settings: Mapping[str, Any], *, silent: bool) -> "KnowledgeBase":
    """`opened`, for commands that need the models: they load while the rest of damda is imported and opened."""
    from damda.config import find
    from damda.morphemes import MorphemeProcess

    if root.expanduser().exists():
        MorphemeProcess(find(config, settings, root.expanduser()).search.user_dictionary).load()
    kb = opened(root, config, settings, silent=silent)
    kb.warm()
    return kb


def refreshed(kb: "KnowledgeBase", *, silent: bool, verbose: bool) -> None:
    """Bring the index up to date before a question, saying what was done when anything was."""
    from damda.cli import show

    if changes := kb.changes():
        show.note(f"settings changed ({changes}): everything is encoded again", silent=silent)
    with show.progress(silent) as tell:
        report = kb.refresh(tell)
    _looked(report, silent=silent, verbose=verbose)


def after_the_look(
    events: "Iterator[Mapping[str, Any]]", *, silent: bool, verbose: bool
) -> "Iterator[Mapping[str, Any]]":
    """What a service tells after it has brought the index up to date, of which is said what would be said here."""
    from damda.cli import show

    with show.progress(silent) as tell:
        for event in events:
            if event.get("type") == "refreshed":
                break
            tell(event["what"], event["done"], event["total"])
    report = event["report"]
    _looked(_report(report) if report else None, silent=silent, verbose=verbose)
    yield from events


def _looked(report: "Report | None", *, silent: bool, verbose: bool) -> None:
    from damda.cli import show

    if report is None:
        show.note("another process is indexing this folder; answering from what it has stored so far", silent=silent)
    elif report.changed and not silent:
        show.report(report, verbose=verbose)


@contextmanager
def traced(kb: "KnowledgeBase", config: Path | None, settings: Mapping[str, Any]) -> Iterator[None]:
    """Keep traces of what is asked meanwhile, if the settings say so."""
    from damda import trace
    from damda.config import find

    tracing = trace.start(find(config, settings, kb.root), kb.home)
    try:
        yield
    finally:
        tracing.close()


def _by_service(path: Path, config: Path | None, settings: Mapping[str, Any], *, silent: bool) -> "Report | None":
    """What a service did that runs on these documents; None: there is none."""
    from damda.cli import show, through
    from damda.errors import DamdaError

    events = through.index(path, config, settings)
    if events is None:
        return None
    with show.progress(silent) as tell:
        for event in events:
            if event["type"] == "progress":
                tell(event["what"], event["done"], event["total"])
            if event["type"] == "error":
                raise DamdaError(event["error"]["message"])
            if event["type"] == "done":
                return _report(event["report"])
    raise AssertionError("the events end with what became of it")


def _report(row: Mapping[str, Any]) -> "Report":
    from damda.ingest.sync import Report
    from damda.ingest.walk import Skipped
    from damda.library import FileState

    skipped, failed = [Skipped(**one) for one in row["skipped"]], [FileState(**one) for one in row["failed"]]
    return Report(**{**row, "skipped": skipped, "failed": failed})


@app.command(epilog="Examples: damda index ./documents  |  damda index ./documents --strict --json")
def index(
    path: Root,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    server: ServerFlag = True,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 4 when a file could not be read.")] = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Read a folder and store it for searching; later runs store only what changed."""
    from damda.cli import show

    settings = flags(set_, home=home)
    report = _by_service(path, config, settings, silent=quiet) if server else None
    if report is None:
        kb = opened(path, config, settings, silent=quiet)
        if changes := kb.changes():
            show.note(f"settings changed ({changes}): everything is encoded again", silent=quiet)
        with show.progress(quiet) as tell:
            report = kb.sync(tell)
    if json:
        show.as_json(report)
    elif not quiet:
        show.report(report, verbose=verbose)
    if strict and report.failed:
        raise typer.Exit(4)


@app.command(epilog="Example: damda status ./documents --json")
def status(
    path: Root, home: HomeFlag = None, config: ConfigFlag = None, set_: SetFlag = None, json: JsonFlag = False
) -> None:
    """What is stored, what changed since, and which files could not be read and why."""
    from rich.markup import escape

    from damda.adopted import read
    from damda.cli import show

    kb = opened(path, config, flags(set_, home=home), silent=json)
    state = kb.status()
    if json:
        show.as_json(state)
        return
    show.out.print(f"documents  {state.documents} in {state.chunks} passages")
    if state.images:
        show.out.print(f"images     {state.images}")
    show.out.print(f"pending    {state.pending} files changed since; `damda index` reads them")
    adopted = ", adopted: see `damda tune status`" if read(kb.home).tables == kb.fingerprint else ""
    show.out.print(f"encoder    {escape(state.encoder)}{adopted}")
    show.out.print(f"home       {escape(state.home)}")
    for file in state.failed:
        show.out.print(f"failed     {escape(file.source)}: {escape(file.error)}")
