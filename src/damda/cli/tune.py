"""`damda tune`."""

import typer

from damda.cli.app import app

tune = typer.Typer(
    no_args_is_help=True,
    help="Models and settings tuned on your own documents, adopted only when they measurably help.",
)
app.add_typer(tune, name="tune")
