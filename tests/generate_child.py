"""Answers a batch file with fakes, in a process of its own that a test may kill.

    python generate_child.py REQUESTS OUT PAUSE AT_ONCE

Says on stdout which request was answered, once its line was written.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import sleep

from fakes import FakeEncoder

from damda.answer.direct import Direct, Writer
from damda.answer.guard import Guards
from damda.assemble.llms import Llms
from damda.cli import main as command_line
from damda.serve import batchfile, offline
from damda.types import Delta, Hit, Message, Usage


class Echo:
    """A language model that says what it is asked, a character a token; "FAIL" in a prompt makes it fail."""

    id = "echo"

    def __init__(self, pause: float = 0.0) -> None:
        self._pause = pause

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        schema: str = "",
    ) -> Iterator[Delta]:
        return self.complete(messages[-1].content, max_tokens=max_tokens, temperature=temperature, stop=stop)

    def complete(
        self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, stop: Sequence[str] = ()
    ) -> Iterator[Delta]:
        sleep(self._pause)
        for char in prompt[:max_tokens]:
            yield Delta(char)
        yield Delta(
            finish="length" if len(prompt) > max_tokens else "stop", usage=Usage(1, min(len(prompt), max_tokens))
        )


def llms(writer: Writer) -> Llms:
    """A language model that is called ``llm`` only."""
    return Llms(lambda name: Direct(writer, Guards()), "", lambda: ())


def models(pause: float = 0.0) -> offline.Models:
    return offline.Models(None, llms(Echo(pause)), FakeEncoder(), "fake")


def main(requests: str, out: str, pause: str, at_once: str) -> None:
    write = batchfile.Answers.write

    def told(self: batchfile.Answers, text: bytes) -> None:
        write(self, text)
        os.write(1, f"{json.loads(text)['custom_id']}\n".encode())

    batchfile.Answers.write = told  # type: ignore[method-assign]
    offline.run(batchfile.read(Path(requests)), models(float(pause)), Path(out), at_once=int(at_once))


if __name__ == "__main__":
    if sys.argv[1] == "command":  # the whole command, with a model that takes its time
        from damda.assemble import models as made

        made.make_writer = lambda settings: Echo(0.05)
        sys.argv[1:2] = ["generate"]
        command_line()
    else:
        main(*sys.argv[1:])
