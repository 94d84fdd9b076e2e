"""Candidates: other settings for the same documents, to be measured beside those in use, then adopted or dropped.

Knows: whose tables may be dropped, what to keep for a roll back. Does not know: how a candidate was made, or measured.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from damda import adopted, config
from damda.adopted import Adoption, Kind
from damda.assemble import TABLES, assemble
from damda.errors import BusyError, StoreError
from damda.home import described, writing_tables
from damda.knowledge import KnowledgeBase
from damda.search import tables
from damda.settings import Settings
from damda.types import Progress, quiet


@dataclass(frozen=True, slots=True)
class Candidate:
    """Settings to be measured.

    Attributes:
        kb: the same documents with these settings. ``sync`` fills tables of their own, goes on where a killed run
            stopped, and disturbs nobody: others answer from, and write to, the tables in use.
        changes: the settings that differ, as dotted keys.
        before: fingerprint of the tables in use.
    """

    kb: KnowledgeBase
    changes: Mapping[str, Any]
    before: str

    @property
    def tables(self) -> str:
        """Fingerprint of its tables; "" when it shares those in use."""
        return "" if self.kb.fingerprint == self.before else self.kb.fingerprint

    def adopt(self, kind: Kind, why: Mapping[str, Any]) -> Adoption:
        """From now on whoever opens the documents does so with these settings, and with the tables as they are here.

        Raises:
            StoreError: the home can't be written.
        """
        adoption = Adoption(kind, self.changes, why, self.tables)
        adopted.push(self.kb.home, adoption, before=self.before)
        return adoption

    def drop(self) -> bool:
        """Drop its tables, unless they are in use, adopted or kept for a roll back; whether they were dropped.

        Raises:
            BusyError: another process is filling them.
            StoreError: the disk refused.
        """
        return bool(self.tables) and _drop(self.kb.home, self.tables, only="candidate")


def make(live: KnowledgeBase, settings: Settings, changes: Mapping[str, Any], progress: Progress = quiet) -> Candidate:
    """A candidate; nothing is stored yet.

    Args:
        live: the documents as they are in use.
        settings: those of ``live``.
        changes: what differs, as dotted keys, e.g. ``{"encoder.name": "/docs/.damda/artifacts/encoder-1a2b"}``.
        progress: told about making the encoder.

    Raises:
        ConfigError: a setting is unknown or impossible, or something else that is set does not go with it, such as a
            classifier that was trained with another encoder.
        WeightsError: a model's files are missing or damaged.
    """
    other = config.changed(settings, {**changes, "home": str(live.home)})
    return Candidate(assemble(live.root, other, progress, candidate=True), dict(changes), live.fingerprint)


@dataclass(frozen=True, slots=True)
class Unneeded:
    """Something in a home that can go.

    Attributes:
        what: "tables" or "artifact".
        name: the fingerprint, or the artifact's name.
        why: what it was there for.
        bytes: on disk.
    """

    what: str
    name: str
    why: str
    bytes: int


def unneeded(kb: KnowledgeBase, settings: Settings) -> list[Unneeded]:
    """Kept tables that are not in use, and artifacts that neither the settings nor an adoption names.

    Without them a roll back encodes everything again. Another process may still use tables of earlier settings.

    Raises:
        StoreError: the home can't be read.
    """
    now = adopted.read(kb.home)
    sizes = tables.sizes(kb.home / TABLES)
    old = {name: why for name, why in now.kept.items() if name not in (kb.fingerprint, now.tables)}
    found = [Unneeded("tables", name, why, sizes.get(name, 0)) for name, why in sorted(old.items())]
    folder = (kb.home / adopted.ARTIFACTS).resolve()
    named = [*_texts(settings.model_dump()), *(text for a in now.stack for text in _texts(dict(a.settings)))]
    used = {path.relative_to(folder).parts[:1] for path in _paths(named) if path.is_relative_to(folder)}
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    return found + [
        Unneeded("artifact", path.name, "nothing refers to it", tables.size_of(path))
        for path in there
        if (path.name,) not in used
    ]


def clean(kb: KnowledgeBase, gone: list[Unneeded]) -> list[Unneeded]:
    """Delete what is `unneeded`; returns what was. Tables that another process is filling stay.

    Raises:
        StoreError: the disk refused.
    """
    done = []
    for item in gone:
        if item.what == "tables":
            try:
                if _drop(kb.home, item.name):
                    done.append(item)
            except BusyError:
                continue
        else:
            _delete(kb.home / adopted.ARTIFACTS / item.name)
            done.append(item)
    return done


def _drop(home: Path, fingerprint: str, only: str = "") -> bool:
    """Drop tables that are kept; with ``only``, if that is why. Those that are adopted are not among the kept."""
    with writing_tables(home, fingerprint):
        now = adopted.read(home)
        why = now.kept.get(fingerprint, "")
        if not why or only not in ("", why):
            return False
        in_use = why == "candidate" and fingerprint == described(home)  # somebody has set what it was made of
        if not in_use:
            tables.drop(home / TABLES, fingerprint)
        adopted.release(home, fingerprint)
    return not in_use


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _paths(texts: list[str]) -> Iterator[Path]:
    for text in texts:
        try:
            yield Path(text).expanduser().resolve()
        except (OSError, RuntimeError, ValueError):
            continue  # a text that is no path


def _delete(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} can't be deleted ({error.strerror}): make it writable and run again") from error
