"""`damda serve`, `damda keys`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damda.cli.app import (
    ConfigFlag,
    GeneratorFlag,
    HomeFlag,
    JsonFlag,
    QuietFlag,
    Root,
    SetFlag,
    VerboseFlag,
    app,
    flags,
)

if TYPE_CHECKING:
    from damda.serve.keys import Keys
    from damda.serve.process import Order


@app.command(
    epilog="Examples: damda serve ./documents  |  damda serve ./documents --port 9000 -g llama  |  "
    "damda keys ./documents make office && damda serve ./documents --host 0.0.0.0  |  "
    "damda serve --llm http://127.0.0.1:8000/v1"
)
def serve(
    path: Annotated[
        Path | None,
        typer.Argument(help="Documents; none: only a language model is served.", show_default=False),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option("--llm", help="URL of an OpenAI-compatible server whose models are served, remembered, guarded."),
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option("--port", "-p", help="Default: 8080; 0: any free one.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", help="Processes over one index. Default: 1.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Want no API key, whoever can reach the address.")
    ] = False,
    generator: GeneratorFlag = None,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Answer over HTTP: a page for people, OpenAI's interface for programs. Follows the folder as it changes.

    Without documents it stands in front of a language model: a client changes its base URL, and what it asks is
    remembered, guarded and traced.
    """
    from damda.assemble import root_of
    from damda.serve import process

    named = flags(
        set_,
        home=home,
        answer__generator=generator,
        remote__url=llm,
        serve__host=host,
        serve__port=port,
        serve__workers=workers,
    )
    root = root_of(path) if path else _without_documents(config, named)
    order = process.Order(str(root), str(config.resolve()) if config else None, named, insecure, rag=path is not None)
    over_http(path or "a language model", order, quiet=quiet, verbose=verbose)


def _without_documents(config: Path | None, named: dict[str, Any]) -> Path:
    """A folder for what is remembered, traced, and the keys, where there are no documents beside which they could be.

    Raises:
        ConfigError: there is no language model either.
        StoreError: the folder can't be made.
    """
    from damda.assemble.llms import home_without_documents
    from damda.config import find
    from damda.errors import ConfigError, StoreError

    settings = find(config, named)
    if not (settings.remote.url or settings.llama.model or settings.openvino.model or settings.transformers.model):
        raise ConfigError("nothing to serve: give a folder of documents, or --llm URL, or set llama.model")
    folder = home_without_documents(settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} can't be made ({error.strerror}): give another place with --home") from error
    return folder


def over_http(what: Path | str, order: "Order", *, quiet: bool, verbose: bool) -> None:
    """Serve until a signal ends it."""
    from damda.cli import show
    from damda.serve import mcp, process

    settings = order.settings()
    built = order.service()
    process.check(settings, built.kb.home, insecure=order.insecure)
    one = settings.serve.workers == 1
    if one and order.rag and not built.kb.exists():
        from damda.cli.documents import refreshed

        refreshed(built.kb, silent=quiet, verbose=verbose)

    def started(url: str) -> None:
        at = url + mcp.PATH if order.only_mcp else url
        show.note(f"serving {what} at {at}; Ctrl-C ends it", silent=quiet)
        if order.rag and settings.serve.mcp and not mcp.available():
            show.note(f"no {mcp.PATH}: it needs pip install 'damda[mcp]'", silent=not verbose)

    process.run(order, built if one else None, started, access_log=verbose)


@app.command(
    epilog="Examples: damda keys ./documents  |  damda keys ./documents make office --per-minute 60  |  "
    "damda keys ./documents revoke office"
)
def keys(
    path: Root,
    action: Annotated[str, typer.Argument(help="list, make NAME, or revoke NAME.")] = "list",
    name: Annotated[str | None, typer.Argument(help="A key's name or id.", show_default=False)] = None,
    per_minute: Annotated[int, typer.Option("--per-minute", help="Requests of this key; 0: no limit.", min=0)] = 0,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> None:
    """API keys of `damda serve`: list, make, revoke. A key is shown once; only a hash of it is stored."""
    from damda.assemble import root_of
    from damda.cli import show
    from damda.config import find
    from damda.home import home_of
    from damda.serve.keys import Keys

    root = root_of(path)
    there = Keys(home_of(root, find(config, flags(None, home=home), root).home))
    if action == "list" and name is None:
        _list(there, json)
    elif action == "make" and name:
        key, secret = there.make(name, per_minute)
        if json:
            show.as_json({"id": key.id, "name": key.name, "key": secret})
        else:
            show.out.print(secret, markup=False)
            show.note("this is the only time that it is shown; send it as Authorization: Bearer KEY", silent=False)
    elif action == "revoke" and name:
        key = there.revoke(name)
        show.as_json(key) if json else show.note(f"{key.name} ({key.id}) is revoked", silent=False)
    else:
        raise typer.BadParameter("give nothing, `list`, `make NAME`, or `revoke NAME`")


def _list(there: "Keys", json: bool) -> None:
    import time

    from rich.markup import escape

    from damda.cli import show

    rows = there.all()
    if json:
        show.as_json(rows)
        return
    for key in rows:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(key.made))
        limit = f"{key.per_minute} a minute" if key.per_minute else "no limit"
        state = "revoked" if key.revoked else "in force"
        show.out.print(f"{key.id}  {escape(key.name):<20}{state:<10}{limit:<14}[dim]{made}[/dim]")
    if not rows:
        show.note("no keys; `damda keys FOLDER make NAME` makes one", silent=False)
