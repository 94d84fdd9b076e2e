"""The command tree and the options that every command shares.

Knows: names, help, examples. Does not know: what a command does; each imports the library when it runs, so that
`damda --help` stays fast.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="damda",
    help="Ask a folder of documents. Every quote is verbatim and located.",
    epilog="Settings: damda.toml, then DAMDA_... variables, then flags. Exit codes: 0 done, 1 error, 2 usage, 3 not "
    "found, 4 unreadable files (index --strict), 5 under a bound (eval --fail-under), 6 failed requests (generate), "
    "130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Root = Annotated[Path, typer.Argument(help="A folder of documents, one file, or a corpus.jsonl.", show_default=False)]
HomeFlag = Annotated[str | None, typer.Option("--home", help="Where the index lives. Default: .damda in the folder.")]
ConfigFlag = Annotated[
    Path | None, typer.Option("--config", help="A damda.toml. Default: ./damda.toml, or the folder's.")
]
SetFlag = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. answer.quotes=2. Repeatable.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")]
VerboseFlag = Annotated[bool, typer.Option("--verbose", "-v", help="Say more: times, skipped files, scores.")]
ModeFlag = Annotated[str | None, typer.Option("--mode", help="hybrid, bm25, dense, rrf, convex or rerank.")]
GeneratorFlag = Annotated[
    str | None, typer.Option("--generator", "-g", help="extract, llama, openvino, transformers or remote.")
]
SourceFlag = Annotated[str | None, typer.Option("--source", help="Only this file (path below the folder).")]
GlobFlag = Annotated[str | None, typer.Option("--glob", help="Only files that match, e.g. '인사/**'.")]
CacheFlag = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Take a remembered answer; no: make it anew, and remember that.")
]
ServerFlag = Annotated[
    bool,
    typer.Option("--server/--no-server", help="Ask a `damda serve` that runs on these documents; no: do without it."),
]
MetaFlag = Annotated[
    list[str] | None, typer.Option("--meta", metavar="KEY=VALUE", help="Only documents with this field. Repeatable.")
]


def flags(given: list[str] | None, **named: Any) -> dict[str, Any]:  # noqa: ANN401  values are checked by config.load
    """``--set`` pairs and named flags as dotted settings; the named ones win. Names have ``__`` for the dot."""
    return dict(pairs(given, "--set")) | {k.replace("__", "."): v for k, v in named.items() if v is not None}


def pairs(given: list[str] | None, flag: str) -> dict[str, str]:
    """KEY=VALUE strings as a dictionary; anything else is wrong usage."""
    for item in given or []:
        if "=" not in item:
            raise typer.BadParameter(f"{item!r} is not KEY=VALUE", param_hint=flag)
    return dict(item.split("=", 1) for item in given or [])


def version(value: bool) -> None:
    """Print the version and leave."""
    if value:
        import damda

        typer.echo(damda.__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Ask a folder of documents. Every quote is verbatim and located."""
