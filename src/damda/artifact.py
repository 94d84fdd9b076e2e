"""The folder that a training leaves behind: whole, with a manifest, or not there.

Knows: drafts, where checkpoints go. Does not know: what is in the folder.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from damda.errors import ConfigError
from damda.manifest import Data
from damda.weights import sha256


def may_write(out: Path) -> None:
    """Find out before minutes of training whether the result may go there.

    Raises:
        ConfigError: something stands there already, or the place can't be written.
    """
    if out.exists():
        raise ConfigError(f"{out} exists already: give another folder, or delete it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        mark = out.parent / f".{out.name}.{os.getpid()}"
        mark.touch()
        mark.unlink()
    except OSError as error:
        raise ConfigError(f"{out.parent} can't be written ({error.strerror}): give another place") from error


def work_folder(out: Path) -> Path:
    """Where checkpoints of the training of ``out`` go; an interrupted training finds them there."""
    return out.parent / f".{out.name}.training"


@contextmanager
def drafted(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``out`` when nothing went wrong, and is gone otherwise.

    Raises:
        ConfigError: the disk refused.
    """
    draft = out.parent / f".{out.name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        yield draft
        draft.rename(out)
    except OSError as error:
        raise ConfigError(f"{out} can't be written ({error.strerror or error}): make room and run again") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def data(path: Path, count: int, use: str, licence: str = "") -> Data:
    """How a file that was used is named in a manifest."""
    return Data(path.name, sha256(path), count, licence, use)


def command() -> str:
    """The command line of this process as it may be published: of absolute paths only the last name."""
    return " ".join([Path(sys.argv[0]).name, *(_named(word) for word in sys.argv[1:])])


def _named(word: str) -> str:
    flag, equals, value = word.rpartition("=")
    return f"{flag}{equals}{Path(value).name}" if Path(value).is_absolute() else word


def forget(work: Path) -> None:
    """Remove checkpoints that are no longer needed."""
    shutil.rmtree(work, ignore_errors=True)
