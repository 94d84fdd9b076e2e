"""`damda tune`: the group; its commands stand in modules of their own."""

import typer

from damda.cli.app import app

tune = typer.Typer(
    no_args_is_help=True,
    help="Models and settings tuned on your own documents, adopted only when they measurably help.",
)
app.add_typer(tune, name="tune")


@tune.callback()
def _group() -> None:
    """Models and settings tuned on your own documents, adopted only when they measurably help."""
