"""The folder that a training leaves behind: whole, with a manifest, or not there.

Knows: drafts, where checkpoints go. Does not know: what is in the folder.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from damda.errors import ConfigError
from damda.manifest import Data
from damda.weights import cache_folder, sha256


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
        ConfigError: the disk refused, or another process is filling it.
    """
    draft = out.parent / f".{out.name}.draft"
    # Not beside the result: the file of a lock stays when it is released.
    locks = cache_folder() / "locks"
    lock = FileLock(locks / hashlib.sha256(str(out.absolute()).encode()).hexdigest()[:16], timeout=0)
    try:
        locks.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise ConfigError(f"another process is writing {out}: wait for it, or give another folder") from error
    except OSError as error:
        raise ConfigError(f"{locks} can't be written ({error.strerror or error}); set DAMDA_CACHE") from error
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft
        draft.rename(out)
    except OSError as error:
        raise ConfigError(f"{out} can't be written ({error.strerror or error}): make room and run again") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        lock.release()


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
