"""`damda tune status`, `rollback`, `clean`: what a home has adopted, and the way back."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damda.cli.app import ConfigFlag, HomeFlag, JsonFlag, Root, SetFlag, flags
from damda.cli.tune import tune

if TYPE_CHECKING:
    from damda.overrides import Overridden

DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")]


@tune.command(epilog="Examples: damda tune status ./documents  |  damda tune status ./documents --json")
def status(
    path: Root = Path(),
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
) -> None:
    """What is adopted, since when and why, which settings override it, and what is kept for a roll back."""
    from rich.markup import escape

    from damda import adopted
    from damda.assemble import TABLES, root_of
    from damda.cli import show
    from damda.config import home_for
    from damda.home import described
    from damda.overrides import overridden
    from damda.search.tables import sizes

    root, named = root_of(path), flags(set_, home=home)
    folder = home_for(config, named, root)
    now, bytes_of = adopted.read(folder), sizes(folder / TABLES)
    ignored, gone = overridden(config, named, root), adopted.vanished(folder)
    if json:
        kept = [{"tables": name, "why": why, "bytes": bytes_of.get(name, 0)} for name, why in now.kept.items()]
        show.as_json({"adopted": now.stack, "overridden": ignored, "vanished": gone, "kept": kept})
        return
    if not now.stack:
        show.out.print("nothing is adopted: the settings are in effect as they are set")
    for adoption in now.stack:
        show.out.print(f"[bold]{adoption.kind}[/bold]  since {adoption.at}")
        _lines("  ", adoption.settings)
        for reason in _reasons(adoption.why):
            show.out.print(escape(f"  {reason}"), style="dim")
        if not _reasons(adoption.why):
            _lines("  why  ", adoption.why)
    _ignored(ignored)
    for key, value in gone.items():
        show.out.print(f"[red]gone[/red]  {escape(f'{key}: {value}')}; put it back, or `damda tune rollback`")
    for name, why in now.kept.items():
        used = ", in use" if name == described(folder) else ""
        show.out.print(f"kept  tables {name}: {_WHY[why]}, {bytes_of.get(name, 0):,} bytes{used}")


_WHY: dict[str, str] = {
    "candidate": "of a candidate",
    "before": "from before an adoption",
    "undone": "of an adoption that was undone",
}


@tune.command(epilog="Example: damda tune rollback ./documents")
def rollback(
    path: Root,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
) -> None:
    """Undo the last adoption. Services that run already go on as they were started."""
    from rich.markup import escape

    from damda import adopted
    from damda.assemble import root_of
    from damda.cli import show
    from damda.config import find, home_for, value_of
    from damda.errors import ConfigError
    from damda.overrides import overridden

    root, named = root_of(path), flags(set_, home=home)
    folder = home_for(config, named, root)
    undone = adopted.pop(folder)
    if undone is None:
        raise ConfigError(f"nothing is adopted in {folder}: there is nothing to undo")
    settings = find(config, named, root)
    now = {key: value_of(settings, key) for key in undone.settings}
    ignored = overridden(config, named, root)
    if json:
        show.as_json({"undone": undone, "now": now, "overridden": ignored})
        return
    show.out.print(escape(f"undone: the {undone.kind} adopted {undone.at}; now in effect:"))
    _lines("  ", now)
    _ignored(ignored)


@tune.command(epilog="Examples: damda tune clean ./documents --dry-run  |  damda tune clean ./documents")
def clean(
    path: Root,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    dry_run: DryRunFlag = False,
    json: JsonFlag = False,
) -> None:
    """Delete tables kept for a roll back, and artifacts that nothing refers to; a roll back encodes again then."""
    from rich.markup import escape

    from damda import adopted
    from damda.assemble import assemble, candidates, root_of
    from damda.cli import show
    from damda.config import find

    root = root_of(path)
    settings = find(config, flags(set_, home=home), root)
    with show.progress(json) as tell:
        kb = assemble(root, settings, tell)
    with adopted.tuning(kb.home):
        found = candidates.unneeded(kb, settings)
        gone = found if dry_run else candidates.clean(kb, found)
    if json:
        show.as_json({"deleted": [] if dry_run else gone, "found": found, "bytes": sum(item.bytes for item in gone)})
        return
    for item in found:
        left = "" if item in gone else "; another process is filling it: it stays"
        show.out.print(escape(f"{item.what} {item.name}: {item.bytes:,} bytes, {_WHY.get(item.why, item.why)}{left}"))
    total = f"{sum(item.bytes for item in gone):,} bytes"
    show.out.print(f"{total} would be freed" if dry_run else f"{total} freed")


def _reasons(why: Mapping[str, Any]) -> list[str]:
    """The sentences of the verdicts; all their figures stand in ``--json``."""
    verdicts = why.get("verdicts") or [why]
    return [str(reason) for verdict in verdicts for reason in verdict.get("reasons", ())]


def _lines(start: str, values: Mapping[str, Any]) -> None:
    import json

    from rich.markup import escape

    from damda.cli import show
    from damda.plain import plain

    for key, value in values.items():
        text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
        show.out.print(escape(f"{start}{key} = {text}"))


def _ignored(overridden: "list[Overridden]") -> None:
    from rich.markup import escape

    from damda.cli import show

    for it in overridden:
        show.out.print(
            escape(f"without effect: {it.key} = {it.adopted}, as {it.source} sets it to {it.value}"), style="yellow"
        )
