"""The command line. Thin: each command parses, calls the library, shows the result.

Exit codes: 0 done; 1 an error that damda explains; 2 wrong usage; 3 the documents don't answer (ask); 4 some files
could not be read (index --strict); 5 a figure is under its bound (eval --fail-under); 6 some requests failed
(generate); 130 interrupted.
"""

import atexit
import gc
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


class _Interrupted(BaseException):
    """Ctrl-C. Not KeyboardInterrupt: typer would swallow that, and with it the word of what stays stored."""


def commands() -> "typer.Typer":
    """The app with all its commands; each module adds its own when it is imported."""
    from damda.cli import (  # noqa: F401
        adoption,
        bench,
        cache,
        checks,
        compress,
        distill,
        documents,
        fused,
        generate,
        guard,
        lab,
        machine,
        mcp,
        measure,
        plan,
        publish,
        questions,
        reranked,
        serve,
        sts,
        three,
        traces,
        tuned,
    )
    from damda.cli.app import app

    return app


def main() -> None:
    """Entry point: runs the app; turns damda's errors into one line and an exit code."""
    from damda import spinning
    from damda.errors import DamdaError

    def interrupt(signum: int, frame: object) -> None:
        raise _Interrupted

    signal.signal(signal.SIGINT, interrupt)
    # Imports make half a million objects that stay. Looking through them again and again, and once more at the end,
    # would take a fifth of the time that a command takes.
    gc.set_threshold(200_000, 30, 30)
    atexit.register(gc.freeze)
    spinning.short()
    try:
        commands()()
    except DamdaError as error:
        sys.stderr.write(f"damda: {error}\n")
        sys.exit(1)
    except _Interrupted:
        sys.stderr.write("\ndamda: interrupted; what was stored stays, the next run goes on from there\n")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (head, less) went away; pointing stdout at nothing keeps Python's exit quiet.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
