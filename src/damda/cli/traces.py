"""`damda trace`."""

from typing import TYPE_CHECKING, Annotated

import typer

from damda.cli.app import ConfigFlag, HomeFlag, JsonFlag, Root, SetFlag, VerboseFlag, app, flags

if TYPE_CHECKING:
    from damda.traces import Traces


@app.command(
    epilog="Examples: damda trace ./documents  |  damda trace ./documents last  |  "
    "damda trace ./documents 4f1c --json  |  damda trace ./documents --bad"
)
def trace(
    path: Root,
    id: Annotated[
        str | None, typer.Argument(help="A trace, by the beginning of its id, or last.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="List so many.", min=1, max=10_000)] = 20,
    slow: Annotated[
        float | None, typer.Option("--slow", metavar="MS", help="List only those that took so long.", min=0)
    ] = None,
    bad: Annotated[bool, typer.Option("--bad", help="List only those with a thumb down.")] = False,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """How answers and searches were made: the latest, or one with its steps, times, tokens and scores."""
    from damda.assemble import root_of
    from damda.cli import show, waterfall
    from damda.config import find
    from damda.home import home_of
    from damda.traces import Traces

    root = root_of(path)
    settings = find(config, flags(set_, home=home), root)
    traces = Traces(home_of(root, settings.home))
    if id is None:
        found = traces.recent(limit, slow_ms=slow, bad=bad)
        if json:
            show.as_json(found)
        elif found:
            waterfall.listing(found)
        else:
            chosen = slow is not None or bad
            show.note(_why_none(settings.trace.on, chosen), silent=False)
        return
    kept = traces.get(_whole(traces, id))
    if kept is None:
        raise typer.BadParameter(f"trace {id} is gone", param_hint="ID")
    if json:
        show.as_json(kept)
    else:
        waterfall.draw(kept, verbose=verbose)


def _whole(traces: "Traces", start: str) -> str:
    """The id that is meant."""
    if start == "last":
        latest = traces.recent(1)
        if not latest:
            raise typer.BadParameter("no traces are kept here yet", param_hint="ID")
        return latest[0].id
    ids = traces.matching(start)
    if not ids:
        raise typer.BadParameter(
            f"no trace begins with {start!r}; without an ID the latest are listed", param_hint="ID"
        )
    if len(ids) > 1:
        raise typer.BadParameter(f"{start!r} begins {len(ids)} ids or more: {', '.join(ids[:3])}", param_hint="ID")
    return ids[0]


def _why_none(on: bool, chosen: bool) -> str:
    if chosen:
        return "no trace is like that; without --slow and --bad the latest are listed"
    if not on:
        return "tracing is off (trace.on = false)"
    return "no traces are kept here yet: ask or search something first"
