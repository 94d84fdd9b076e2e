"""`damda serve`, `damda keys`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    "damda keys ./documents make office && damda serve ./documents --host 0.0.0.0"
)
def serve(
    path: Root,
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
    """Answer over HTTP: a page for people, OpenAI's interface for programs. Follows the folder as it changes."""
    from damda.assemble import root_of
    from damda.serve import process

    named = flags(
        set_,
        home=home,
        answer__generator=generator,
        serve__host=host,
        serve__port=port,
        serve__workers=workers,
    )
    order = process.Order(str(root_of(path)), str(config.resolve()) if config else None, named, insecure)
    over_http(path, order, quiet=quiet, verbose=verbose)


def over_http(path: Path, order: "Order", *, quiet: bool, verbose: bool) -> None:
    """Serve until a signal ends it."""
    from damda.cli import show
    from damda.serve import mcp, process

    settings = order.settings()
    built = order.service()
    process.check(settings, built.kb.home, insecure=order.insecure)
    one = settings.serve.workers == 1
    if one and not built.kb.exists():
        from damda.cli.documents import refreshed

        refreshed(built.kb, silent=quiet, verbose=verbose)

    def started(url: str) -> None:
        at = url + mcp.PATH if order.only_mcp else url
        show.note(f"serving {path} at {at}; Ctrl-C ends it", silent=quiet)
        if settings.serve.mcp and not mcp.available():
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
