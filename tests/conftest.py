"""Shared fixtures, and the rule that no test talks to the network."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeAnalyser, FakeEncoder, Opener, opener
from hypothesis import settings
from tracing_fixtures import start as start

from damda import spinning
from damda.assemble.models import built_in_encoder
from damda.embed.encoder import OnnxEncoder
from damda.korean import Morphemes

# Other programs share the machine, so no test may depend on how long one example takes, and threads that wait for one
# another let go of their cores.
spinning.short()
settings.register_profile("damda", deadline=None, database=None)
settings.load_profile("damda")

_LOCAL = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True)
def own_interrupt() -> Iterator[None]:
    """What a command sets for Ctrl-C ends with the test that ran it: another may count on KeyboardInterrupt."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anything but this machine fails the test that tries it."""

    def guarded(name: str) -> None:
        real = getattr(socket.socket, name)

        def connect(self: socket.socket, address: Any) -> Any:  # noqa: ANN401  as in socket
            if self.family != socket.AF_UNIX and not str(address[0]).startswith(_LOCAL):
                pytest.fail(f"a test tried to connect to {address}")
            return real(self, address)

        monkeypatch.setattr(socket.socket, name, connect)

    guarded("connect")
    guarded("connect_ex")


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the developer has set for himself does not reach the tests."""
    for name in [name for name in os.environ if name.startswith("DAMDA_") and name != "DAMDA_CACHE"]:
        monkeypatch.delenv(name)


@pytest.fixture
def fake_encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture
def fake_analyser() -> FakeAnalyser:
    return FakeAnalyser()


@pytest.fixture
def open_fake(monkeypatch: pytest.MonkeyPatch) -> Opener:
    """``damda.open`` with fakes in place of e5 and Kiwi."""
    return opener(monkeypatch.setattr)


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for ``$DAMDA_CACHE`` with the built-in encoder in it, made from the installed package once."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAMDA_CACHE", str(cache))
        built_in_encoder("e5-small-koen")
    return cache


@pytest.fixture(scope="session")
def encoder(model_cache: Path) -> OnnxEncoder:
    """The real built-in encoder."""
    (folder,) = (model_cache / "encoders").glob("e5-small-koen-*")
    return OnnxEncoder(folder)


@pytest.fixture(scope="session")
def morphemes() -> Morphemes:
    """The real analyser: Kiwi takes seconds to load."""
    return Morphemes()
