"""Serves a folder with fakes, in a process of its own.

    python serve_child.py ROOT SETTINGS ["insecure"]

SETTINGS are flags as JSON. Says its URL on stdout. Workers import this file too (it is their ``__mp_main__``), so the
fakes are put in place when it is imported.
"""

import json
import sys
from pathlib import Path

from fakes import FakeEncoder, use_fakes
from serving import Told

from damda.answer.direct import Writer
from damda.assemble import models
from damda.errors import DamdaError
from damda.serve import process
from damda.settings import Settings

TOLD = Told()
real = models.make_writer


def make_writer(settings: Settings) -> Writer:
    return TOLD if settings.remote.model == "acme/told-1" else real(settings)


use_fakes(setattr, FakeEncoder())
models.make_writer = make_writer


def main(root: str, flags: str, insecure: str = "") -> None:
    order = process.Order(str(Path(root).resolve()), None, json.loads(flags), bool(insecure))
    settings, service = order.settings(), order.service()
    process.check(settings, service.kb.home, insecure=order.insecure)
    if settings.serve.workers == 1:
        service.kb.refresh()
    process.run(order, service if settings.serve.workers == 1 else None, lambda url: print(url, flush=True))  # noqa: T201


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except DamdaError as error:
        sys.exit(f"damda: {error}")
