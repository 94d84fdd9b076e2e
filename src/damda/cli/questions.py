"""`damda ask`, `damda chat`, `damda search`."""

import json as jsonlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damda.cli.app import (
    CacheFlag,
    ConfigFlag,
    GeneratorFlag,
    GlobFlag,
    HomeFlag,
    JsonFlag,
    MetaFlag,
    ModeFlag,
    QuietFlag,
    Root,
    ServerFlag,
    SetFlag,
    SourceFlag,
    VerboseFlag,
    app,
    flags,
    pairs,
)
from damda.cli.documents import after_the_look, opened, opened_warm, refreshed, traced

if TYPE_CHECKING:
    from damda.knowledge import KnowledgeBase
    from damda.types import Answer, Delta, Hit, Recall, Where


@app.command(
    epilog="Examples: damda ask ./documents '재택근무는 일주일에 며칠까지 할 수 있나요?'  |  "
    "damda ask ./documents 'How many days of leave?' --glob 'en/**' --json"
)
def ask(
    path: Root,
    question: Annotated[str, typer.Argument(help="A question, in the documents' language.", show_default=False)],
    generator: GeneratorFlag = None,
    mode: ModeFlag = None,
    source: SourceFlag = None,
    glob: GlobFlag = None,
    meta: MetaFlag = None,
    cache: CacheFlag = True,
    server: ServerFlag = True,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Answer a question with numbered, verbatim, located quotes. Indexes what changed first."""
    from damda.cli import show

    if not question.strip():
        raise typer.BadParameter("the question is empty", param_hint="QUESTION")
    settings = flags(set_, home=home, answer__generator=generator, search__mode=mode)
    where = _where(source, glob, meta)
    recall: Recall = "use" if cache else "renew"
    silent = quiet or json
    items = _from_service(path, config, settings, question, where, recall, silent, verbose) if server else None
    if items:
        answer = _shown(items, path.expanduser().resolve(), json=json, verbose=verbose)
    else:
        kb = opened_warm(path, config, settings, silent=silent)
        with traced(kb, config, settings):
            refreshed(kb, silent=silent, verbose=verbose)
            answer = _shown(kb.stream(question, where=where, recall=recall), kb.root, json=json, verbose=verbose)
    if not answer.found:
        if not answer.hits and not answer.blocked:
            show.note(_why_nothing(where), silent=quiet)
        raise typer.Exit(3)


@app.command(epilog="Example: damda chat ./documents --generator llama")
def chat(
    path: Root,
    generator: GeneratorFlag = None,
    mode: ModeFlag = None,
    source: SourceFlag = None,
    glob: GlobFlag = None,
    meta: MetaFlag = None,
    cache: CacheFlag = True,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Ask one question after another; an empty line or Ctrl-D ends it. Questions may also come from a pipe, one a line.

    A follow-up ("수습 직원은?", "What about contractors?") is made whole from the questions before it, and shown as it
    was searched for; answer.followup says how.
    """
    from damda.types import Message

    settings = flags(set_, home=home, answer__generator=generator, search__mode=mode)
    kb = opened_warm(path, config, settings, silent=quiet)
    with traced(kb, config, settings):
        refreshed(kb, silent=quiet, verbose=verbose)
        where, history = _where(source, glob, meta), list[Message]()
        for question in _questions():
            items = kb.stream(question, history=history, where=where, recall="use" if cache else "renew")
            answer = _shown(items, kb.root, verbose=verbose)
            history += [Message("user", question), Message("assistant", answer.text)]


@app.command(
    epilog="Examples: damda search ./documents '연차 휴가' -k 5  |  "
    "damda search corpus.jsonl --queries queries.jsonl --run bm25.run --mode bm25  |  "
    "damda search ./documents '파란 막대 그래프' --images  |  damda search ./documents --image photo.png"
)
def search(
    path: Root,
    query: Annotated[str | None, typer.Argument(help="What to look for.", show_default=False)] = None,
    queries: Annotated[
        Path | None, typer.Option("--queries", help="JSON lines of {id, text}: search for all of them.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="Write a TREC run file of documents (with --queries).")
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", help="Name of the run in its last column. Default: the mode.")
    ] = None,
    images: Annotated[bool, typer.Option("--images", help="Find images instead of passages (image.name).")] = False,
    image: Annotated[
        Path | None, typer.Option("--image", help="Look for what this image shows, instead of a QUERY.")
    ] = None,
    k: Annotated[
        int | None, typer.Option("-k", help="Hits a query. Default: 10; 100 for a run.", min=1, max=1000)
    ] = None,
    mode: ModeFlag = None,
    source: SourceFlag = None,
    glob: GlobFlag = None,
    meta: MetaFlag = None,
    server: ServerFlag = True,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Find passages, or images; no answer is made of them."""

    if [query, queries, image].count(None) != 2 or (run is None) != (queries is None):
        raise typer.BadParameter("give one of QUERY, --image FILE, or --queries FILE together with --run FILE")
    if images and queries:
        raise typer.BadParameter("--images takes a QUERY or --image FILE, no --queries")
    asked = _read_queries(queries) if queries else []
    where = _where(source, glob, meta)
    if server and query and not images:
        from damda.cli import through
        from damda.plain import plain

        wanted = {"query": query, "k": k or 10, "mode": mode, "where": plain(where) if where else {}}
        events = through.search(path, config, flags(set_, home=home), wanted)
        if events is not None:
            from damda.answer.memory.stored import hit_of

            (told,) = after_the_look(events, silent=quiet or json, verbose=verbose)
            found = [hit_of(row) for row in told["hits"]]
            _show_hits(found, path.expanduser().resolve(), where, json, quiet, verbose)
            return
    open_kb = opened if images or image else opened_warm  # looking at images needs neither words nor passages' vectors
    settings = flags(set_, home=home, search__mode=mode)
    kb = open_kb(path, config, settings, silent=quiet or json)
    if images or image:
        kb.check_images()
    refreshed(kb, silent=quiet or json, verbose=verbose)
    if run is not None:
        _write_run(kb, asked, run, k or 100, where, tag, silent=quiet or json)
        return
    with traced(kb, config, settings):
        found = _found(kb, query, image, images, k or 10, where)
    _show_hits(found, kb.root, where, json, quiet, verbose, images=images)


def _show_hits(
    found: "list[Hit]",
    root: Path,
    where: "Where | None",
    json: bool,
    quiet: bool,
    verbose: bool,
    images: bool = False,
) -> None:
    from damda.cli import show

    if not found:
        show.note(_why_nothing(where, images), silent=quiet)
    if json:
        show.as_json(found)
    else:
        show.hits(found, root, verbose=verbose)


def _where(source: str | None, glob: str | None, meta: list[str] | None) -> "Where | None":
    from damda.types import Where

    where = Where(source or "", glob or "", pairs(meta, "--meta"))
    return None if where == Where() else where


def _found(
    kb: "KnowledgeBase", query: str | None, image: Path | None, images: bool, k: int, where: "Where | None"
) -> "list[Hit]":
    if image is not None:
        return kb.search_by_image(image, k, images=images, where=where)
    return kb.search_images(query or "", k, where=where) if images else kb.search(query or "", k, where=where)


def _why_nothing(where: "Where | None", images: bool = False) -> str:
    what = "image" if images else "document"
    if where:
        return f"no stored {what} matches the filter"
    return f"nothing is stored: the folder has no readable {what}s"


def _from_service(
    path: Path,
    config: Path | None,
    settings: dict[str, Any],
    question: str,
    where: "Where | None",
    recall: "Recall",
    silent: bool,
    verbose: bool,
) -> "Iterator[Delta | Answer] | None":
    """The answer of a service that runs on these documents; None: there is none."""
    from damda.answer.memory.stored import answer_of
    from damda.cli import through
    from damda.plain import plain
    from damda.types import Delta

    asked = {"question": question, "where": plain(where) if where else {}, "recall": recall}
    events = through.ask(path, config, settings, asked)
    if events is None:
        return None
    told = after_the_look(events, silent=silent, verbose=verbose)
    return (answer_of(event["answer"]) if "answer" in event else Delta(event["text"]) for event in told)


def _shown(items: "Iterator[Delta | Answer]", root: Path, *, json: bool = False, verbose: bool) -> "Answer":
    """Print an answer as it is made, then its quotes; or all of it as JSON."""
    from damda.cli import show
    from damda.types import Answer

    said = False
    for item in items:
        if isinstance(item, Answer):
            if json:
                show.as_json(item)
                return item
            if said:
                sys.stdout.write("\n")
            show.answer(item, root, verbose=verbose, text=not said or not item.found)
            return item
        if json:
            continue
        sys.stdout.write(item.text)
        sys.stdout.flush()
        said = True
    raise AssertionError("a stream ends with its Answer")


def _questions() -> Iterator[str]:
    if not sys.stdin.isatty():
        for line in filter(None, map(str.strip, sys.stdin)):
            sys.stdout.write(f"\n? {line}\n")
            yield line
        return
    try:
        import readline  # noqa: F401  gives input() history and editing
    except ImportError:  # Windows has no readline; input() works without it
        pass
    while True:
        try:
            question = input("\n? ").strip()
        except EOFError:
            return
        if not question:
            return
        yield question


def _read_queries(path: Path) -> list[tuple[str, str]]:
    from damda.errors import ReadError

    queries: list[tuple[str, str]] = []
    number = 0
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):  # noqa: B007
            if line.strip():
                row = jsonlib.loads(line)
                queries.append((str(row.get("id", row.get("_id"))), str(row["text"])))
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, AttributeError) as error:
        raise ReadError(f"{path}, line {number}: not a JSON object with id and text ({error})") from error
    return queries


def _write_run(
    kb: "KnowledgeBase",
    queries: list[tuple[str, str]],
    path: Path,
    k: int,
    where: "Where | None",
    tag: str | None,
    *,
    silent: bool,
) -> None:
    from damda.cli import show
    from damda.measure.retrieval import best_of_documents, run_lines

    # A document's passages share a rank: more passages than documents have to be found.
    wanted = min(3 * k, 1000)
    draft = path.with_name(path.name + ".part")
    with draft.open("w", encoding="utf-8") as file, show.progress(silent) as tell:
        for at in range(0, len(queries), 32):
            tell("searching", at, len(queries))
            batch = queries[at : at + 32]
            for (query_id, _), hits in zip(
                batch, kb.search_batch([t for _, t in batch], wanted, where=where), strict=True
            ):
                if best := best_of_documents(hits)[:k]:
                    ranked = [(doc_id, hit.score) for doc_id, hit in best]
                    file.write(run_lines(query_id, ranked, tag or best[0][1].by))
    draft.replace(path)
    show.note(f"{len(queries)} queries written to {path}", silent=silent)
