"""A program that runs in a process of its own, tells how far it is, and leaves a result or the reason why not.

Knows: pipes, lines of JSON. Does not know: what the program does.

Not `damda.child`, whose processes answer many short requests: these do one long piece of work each, so that what they
take of memory is theirs alone, and that killing them leaves nothing.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from damda.types import NO_META, Progress


class Failed(Exception):
    """The program ended with an error; the message is the last line of its own words."""


def run(
    command: Sequence[str], request: Mapping[str, Any], progress: Progress, env: Mapping[str, str] = NO_META
) -> Any:  # noqa: ANN401  JSON
    """Start it, hand it the request, pass on how far it is; what it gives as "result", None for nothing.

    Args:
        command: its first words are a Python and the options that it wants.
        env: variables beside this process's.

    Raises:
        Failed: it ended with an error.
    """
    result: Any = None
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, **env},
        )
        assert process.stdin and process.stdout
        with process:
            try:
                with contextlib.suppress(BrokenPipeError):  # it has ended already; why, it says itself
                    process.stdin.write(json.dumps(request).encode())
                    process.stdin.close()
                for line in process.stdout:
                    told = json.loads(line)
                    if "result" in told:
                        result = told["result"]
                    else:
                        progress(told["what"], told["done"], told["total"])
            except BaseException:
                process.kill()
                raise
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").strip().splitlines()
    if process.returncode:
        raise Failed(lines[-1] if lines else f"ended with {process.returncode} and said nothing")
    return result


def answer(work: Callable[[dict[str, Any], Progress], Any]) -> None:
    """For the program: do the work that is asked on stdin. What libraries print goes to stderr from now on."""
    asked = json.loads(sys.stdin.read())
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(what: str, done: int, total: int) -> None:
        told.write(json.dumps({"what": what, "done": done, "total": total}) + "\n")
        told.flush()

    result = work(asked, tell)
    told.write(json.dumps({"result": result}) + "\n")
    told.flush()
