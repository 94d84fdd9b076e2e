"""The command line. Thin: each command parses, calls the library, shows the result.

Exit codes: 0 done; 1 an error that damda explains; 2 wrong usage; 3 the documents don't answer (ask); 4 some files
could not be read (index --strict); 130 interrupted.
"""

import sys


def main() -> None:
    """Entry point: runs the app; turns damda's errors into one line and an exit code."""
    from damda.cli.app import app
    from damda.errors import DamdaError

    try:
        app()
    except DamdaError as error:
        sys.stderr.write(f"damda: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("\ndamda: interrupted; what was stored stays, the next run goes on from there\n")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (head, less) went away; pointing stdout at nothing keeps Python's exit quiet.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
