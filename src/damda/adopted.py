"""Settings that a tuning run has measured to be better, kept in a home: what is adopted, since when, and why.

Knows: ``adopted.json``, what it says of settings and of the tables that belong to them. Does not know: which settings
there are, models, how a table is made or dropped.

A stack: the last adoption is undone first. Settings that are paths inside the home are written relative to it, so that
a home may be moved. ``kept`` names tables that no sync may drop although they are not the current ones.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from damda.errors import BusyError, StoreError

FILE = "adopted.json"
ARTIFACTS = "artifacts"
"""In a home: what was trained, a folder each."""

Kind = Literal["encoder", "fusion", "reranker"]
Kept = Literal["candidate", "before", "undone"]
"""Why tables are kept: they are being built or measured; they were current before the last adoption; before a roll
back."""

_IN_HOME = "in home"
_PATIENCE = 10.0
"""Seconds to wait for another process that is writing the file; it takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """One change of settings.

    Attributes:
        kind: what was tuned.
        settings: dotted keys, as in damda.toml; paths are absolute here.
        why: the figures that spoke for it; any JSON.
        tables: fingerprint of the tables that belong to it; "" when it needs no others than before.
        at: when, ISO 8601, UTC.
    """

    kind: Kind
    settings: Mapping[str, Any]
    why: Mapping[str, Any] = field(default_factory=dict)
    tables: str = ""
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(frozen=True, slots=True)
class Adopted:
    """What a home has adopted, oldest first, and the fingerprints of tables that it keeps beside the current ones."""

    stack: tuple[Adoption, ...] = ()
    kept: Mapping[str, Kept] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """All that is adopted, as dotted keys."""
        return settings(self.stack)

    @property
    def tables(self) -> str:
        """Fingerprint of the tables that the adopted settings ask for; "" when they ask for none of their own."""
        return next((adoption.tables for adoption in reversed(self.stack) if adoption.tables), "")

    @property
    def spared(self) -> frozenset[str]:
        """Fingerprints of all tables that no sync may drop."""
        return frozenset((*self.kept, *filter(None, (self.tables,))))


def settings(stack: Sequence[Adoption]) -> dict[str, Any]:
    """The settings of adoptions, oldest first: later ones win."""
    return {key: value for adoption in stack for key, value in adoption.settings.items()}


def read(home: Path) -> Adopted:
    """What is adopted in a home; nothing where there is no such file.

    Raises:
        StoreError: the file can't be read.
    """
    path = home / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        stack = tuple(_adoption(entry, home) for entry in content["adoptions"])
        kept = {str(tables): _one_of(Kept, why) for tables, why in content["kept"].items()}
    except (FileNotFoundError, NotADirectoryError):
        return Adopted()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            f"{path} can't be read ({type(error).__name__}: {error}): put back a copy of it, or delete it to go on "
            "with nothing adopted"
        ) from error
    return Adopted(stack, kept)


def push(home: Path, adoption: Adoption, *, before: str) -> Adopted:
    """Adopt. The tables before are kept for a roll back, those of earlier times are not any more.

    Args:
        before: fingerprint of the tables that were current; of no account when the adoption has none of its own.

    Raises:
        StoreError: the file can't be read or written.
    """
    if "home" in adoption.settings:
        raise ValueError("a home can't say where it is")
    with _changing(home) as now:
        kept = dict(now.kept)
        if adoption.tables:
            kept = {tables: why for tables, why in kept.items() if why == "candidate"}
            kept |= {tables: "before" for tables in (before, now.tables) if tables}
            kept.pop(adoption.tables, None)
        return _write(home, Adopted((*now.stack, adoption), kept))


def pop(home: Path) -> Adoption | None:
    """Undo the last adoption; what was undone, None when nothing is adopted. No tables are lost by it.

    Raises:
        StoreError: the file can't be read or written.
    """
    if not read(home).stack:
        return None
    with _changing(home) as now:
        if not now.stack:
            return None
        *rest, last = now.stack
        kept = dict(now.kept)
        if last.tables:
            kept[last.tables] = "undone"
        _write(home, Adopted(tuple(rest), kept))
        return last


def keep(home: Path, tables: str) -> None:
    """From now on, until `release`, no sync drops these tables of a candidate. Others are spared already.

    Raises:
        StoreError: the file can't be read or written.
    """
    if tables not in read(home).spared:
        with _changing(home) as now:
            if tables not in now.spared:
                _write(home, replace(now, kept={**now.kept, tables: "candidate"}))


def release(home: Path, tables: str) -> None:
    """The next sync may drop them, unless they are the current ones.

    Raises:
        StoreError: the file can't be read or written.
    """
    if tables in read(home).kept:
        with _changing(home) as now:
            _write(home, replace(now, kept={name: why for name, why in now.kept.items() if name != tables}))


def vanished(home: Path) -> dict[str, str]:
    """Adopted settings that name a path where nothing is any more."""
    named = {key: value for key, value in read(home).settings.items() if isinstance(value, str)}
    return {key: value for key, value in named.items() if Path(value).is_absolute() and not Path(value).exists()}


@contextmanager
def tuning(home: Path) -> Iterator[None]:
    """For the whole of a tuning run, and for cleaning: whoever has it may count on artifacts and candidates to stay.

    Raises:
        BusyError: another process tunes or cleans.
        StoreError: the folder can't be made or written.
    """
    with _locked(home, "tune.lock", 0, "another process is tuning or cleaning {home}: wait until it is done"):
        yield


@contextmanager
def _changing(home: Path) -> Iterator[Adopted]:
    """Read it, for the time until it is written again."""
    with _locked(home, "adopted.lock", _PATIENCE, f"another process holds {{home}}/{FILE}: try again"):
        yield read(home)


@contextmanager
def _locked(home: Path, name: str, patience: float, busy: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / name, timeout=patience)
        lock.acquire()
    except Timeout as error:
        raise BusyError(busy.format(home=home)) from error
    except OSError as error:
        raise StoreError(f"{home} can't be written ({error.strerror}): make it writable and run again") from error
    try:
        yield
    finally:
        lock.release()


def _write(home: Path, adopted: Adopted) -> Adopted:
    """In one step."""
    entries = [
        {
            "kind": adoption.kind,
            "settings": {key: _to_store(value, home) for key, value in adoption.settings.items()},
            "at": adoption.at,
            "why": dict(adoption.why),
            "tables": adoption.tables,
        }
        for adoption in adopted.stack
    ]
    text = json.dumps({"adoptions": entries, "kept": dict(adopted.kept)}, ensure_ascii=False, indent=1)
    draft = home / f".{FILE}.{os.getpid()}"
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(home / FILE)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StoreError(f"{home} can't be written ({error.strerror}): make room and run again") from error
    return adopted


def _adoption(entry: Mapping[str, Any], home: Path) -> Adoption:
    found = {str(key): _from_store(value, home) for key, value in entry["settings"].items()}
    if "home" in found:
        raise ValueError("it sets home")
    kind: Kind = _one_of(Kind, entry["kind"])
    return Adoption(kind, found, {**entry["why"]}, str(entry["tables"]), str(entry["at"]))


def _one_of(names: Any, value: Any) -> Any:  # noqa: ANN401  a Literal and one of its values
    if value not in get_args(names):
        raise ValueError(f"{value!r} is none of {', '.join(get_args(names))}")
    return value


def _to_store(value: Any, home: Path) -> Any:  # noqa: ANN401  a setting's value
    if isinstance(value, (list, tuple)):
        return [_to_store(item, home) for item in value]
    if isinstance(value, str) and Path(value).is_absolute() and Path(value).resolve().is_relative_to(home.resolve()):
        return {_IN_HOME: Path(value).resolve().relative_to(home.resolve()).as_posix()}
    return value


def _from_store(value: Any, home: Path) -> Any:  # noqa: ANN401  a setting's value
    if isinstance(value, list):
        return [_from_store(item, home) for item in value]
    return str(home.resolve() / value[_IN_HOME]) if isinstance(value, dict) else value
