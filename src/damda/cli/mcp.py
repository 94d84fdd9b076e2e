"""`damda mcp`."""

from typing import Annotated

import typer

from damda.cli.app import ConfigFlag, GeneratorFlag, HomeFlag, QuietFlag, Root, SetFlag, VerboseFlag, app, flags


@app.command(
    epilog="Examples: damda mcp ./documents  |  damda mcp ./documents --http --port 9000  |  "
    "damda keys ./documents make office && damda mcp ./documents --http --host 0.0.0.0"
)
def mcp(
    path: Root,
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP at /mcp instead of stdin and stdout.")] = False,
    host: Annotated[str | None, typer.Option("--host", help="With --http, as `damda serve`.")] = None,
    port: Annotated[int | None, typer.Option("--port", "-p", help="With --http, as `damda serve`.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="With --http, as `damda serve`.")] = False,
    generator: GeneratorFlag = None,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Tools for assistants that speak MCP: ask, search, read. They start it themselves; docs/mcp.md says how."""
    if not http and (host is not None or port is not None or insecure):
        raise typer.BadParameter("--host, --port and --insecure need --http")

    from damda.assemble import root_of
    from damda.cli import show
    from damda.serve import mcp, process

    mcp.check()
    named = flags(set_, home=home, answer__generator=generator, serve__host=host, serve__port=port)
    order = process.Order(str(root_of(path)), str(config.resolve()) if config else None, named, insecure, only_mcp=True)
    if http:
        from damda.cli.serve import over_http

        over_http(path, order, quiet=quiet, verbose=verbose)
        return
    from damda.serve.app import follow

    show.note(f"serving {path} over stdin and stdout (MCP)", silent=quiet)
    mcp.over_stdio(order.service, follow, lambda said: show.note(said, silent=quiet))
