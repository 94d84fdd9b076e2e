"""A model that does what it is told, run by test_elsewhere.py in a process of its own."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from damda.errors import WeightsError
from damda.generate.elsewhere import serve
from damda.types import Delta, Usage


class Obedient:
    context, chats = 64, True

    def count(self, request: Mapping[str, object]) -> int:
        return len(str(request["prompt"]).split())

    def run(
        self,
        request: Mapping[str, object],
        *,
        most: int,
        temperature: float,
        stop: Sequence[str],
        grammar: str = "",
        schema: str = "",
    ) -> Iterator[Delta]:
        what = str(request["prompt"])
        os.write(1, b"what libraries print goes elsewhere\n")
        if what == "die":
            os.abort()
        if what == "fail":
            raise RuntimeError("the library's own words")
        try:
            for n in range(most):
                yield Delta(f"말{n} ")
                time.sleep(0.01)
        except GeneratorExit:
            with open(sys.argv[2], "a", encoding="utf-8") as given_up:
                given_up.write(f"{what}\n")
            raise
        yield Delta(finish="length", usage=Usage(self.count(request), most))


def load() -> Obedient:
    if sys.argv[1] == "die":
        os.abort()
    if sys.argv[1] == "unreadable":
        raise WeightsError("m.gguf can't be read")
    return Obedient()


if __name__ == "__main__":
    serve(load)
