"""Every error that damda raises on purpose.

The command line prints these without a traceback; anything else is a bug and keeps its traceback.

    DamdaError
    ├── ConfigError          a setting is unknown, malformed or impossible
    ├── MissingExtra         an optional dependency is needed; names the extra to install
    ├── ReadError            one file can't be read; the others go on
    ├── WeightsError         a model's files can't be found, made, verified or published
    ├── EncoderError         text could not be turned into vectors
    ├── RerankerError        hits could not be put in another order
    ├── StoreError           what is on disk can't be opened, read or written
    │   └── BusyError        another process is writing to the same home
    └── GeneratorError       a language model failed
        └── UnreachableError no connection, or no answer in time
"""


class DamdaError(Exception):
    """Root of the tree. The message is one line: what went wrong, where, and what to do next."""


class ConfigError(DamdaError):
    """A setting is unknown, malformed or impossible."""


class MissingExtra(DamdaError):
    """An optional dependency is needed.

    Args:
        what: the feature that was asked for, e.g. "the llama generator".
        extra: the extra that brings it, e.g. "llama".
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra that is not installed: pip install 'damda[{extra}]'")
        self.extra = extra


class ReadError(DamdaError):
    """One file can't be read. The message is the reason alone; the caller knows the name."""


class WeightsError(DamdaError):
    """A model's files can't be found, made, verified or published."""


class EncoderError(DamdaError):
    """Text could not be turned into vectors."""


class RerankerError(DamdaError):
    """Hits could not be put in another order."""


class StoreError(DamdaError):
    """What is on disk can't be opened, read or written."""


class BusyError(StoreError):
    """Another process is writing to the same home."""


class GeneratorError(DamdaError):
    """A language model failed."""


class UnreachableError(GeneratorError):
    """A remote model gave no connection, or no answer in time."""
