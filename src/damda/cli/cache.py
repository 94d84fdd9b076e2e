"""`damda cache`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from damda.cli.app import ConfigFlag, HomeFlag, JsonFlag, QuietFlag, Root, SetFlag, app, flags

if TYPE_CHECKING:
    from damda.settings import Settings

cache = typer.Typer(no_args_is_help=True, help="What is remembered: answers, a language model's texts, read prompts.")
app.add_typer(cache, name="cache")


@cache.command(epilog="Examples: damda cache stats ./documents  |  damda cache stats ./documents --json")
def stats(
    path: Root, home: HomeFlag = None, config: ConfigFlag = None, set_: SetFlag = None, json: JsonFlag = False
) -> None:
    """How much is remembered, how often it was of use, and the time that it saved."""
    import time

    from damda.assemble import remembering
    from damda.cli import show

    settings, folder = _there(path, config, flags(set_, home=home))
    memory = remembering.make_memory(settings, folder)
    kept, prompts = memory.stats(), remembering.make_states(settings, folder).stats()
    memory.close()
    if json:
        show.as_json({"file": str(memory.path), "answers": kept, "prompts": prompts})
        return
    asked = kept.exact + kept.semantic + kept.misses
    rows = [
        ("remembered", f"{kept.entries:,} texts, {kept.bytes / 1e6:.1f} of {settings.cache.megabytes:,.0f} MB"),
        ("asked", f"{asked:,} times"),
        ("same question", _share(kept.exact, asked)),
        ("same meaning", _share(kept.semantic, asked)),
        ("near, but other", _share(kept.refused, asked)),
        ("time saved", f"{kept.saved:,.1f} s"),
    ]
    if kept.entries:
        rows.append(("oldest", time.strftime("%Y-%m-%d %H:%M", time.localtime(kept.oldest))))
    if prompts.files:
        rows.append(("read prompts", f"{prompts.files:,} files, {prompts.bytes / 1e6:.1f} MB"))
    for name, value in rows:
        show.out.print(f"{name:<16} {value}")


def _share(part: int, whole: int) -> str:
    return f"{part:,}" + (f" ({100 * part / whole:.0f} %)" if whole else "")


@cache.command(epilog="Examples: damda cache clear ./documents  |  damda cache clear ./documents --only prompts")
def clear(
    path: Root,
    only: Annotated[
        Literal["answers", "texts", "prompts"] | None,
        typer.Option("--only", help="answers from the documents, texts of the bare model, or read prompts (llama.kv)."),
    ] = None,
    home: HomeFlag = None,
    config: ConfigFlag = None,
    set_: SetFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Forget what is remembered. Nothing is lost but time: it is made again when it is asked for."""
    from damda.assemble import remembering
    from damda.cli import show

    settings, folder = _there(path, config, flags(set_, home=home))
    memory = remembering.make_memory(settings, folder)
    kinds = {"answers": "answer", "texts": "text"}
    count = 0 if only == "prompts" else memory.clear(kind=kinds.get(only or "", ""))
    memory.close()
    prompts = remembering.make_states(settings, folder).clear() if only in (None, "prompts") else 0
    if json:
        show.as_json({"texts": count, "prompts": prompts})
        return
    show.note(f"{count} texts and {prompts} read prompts are forgotten", silent=quiet)


def _there(path: Path, config: Path | None, named: dict[str, object]) -> "tuple[Settings, Path]":
    """The settings for these documents, and their home."""
    from damda.assemble import root_of
    from damda.config import find
    from damda.home import home_of

    root = root_of(path)
    settings = find(config, named, root)
    return settings, home_of(root, settings.home)
