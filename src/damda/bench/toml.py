"""Settings put into a damda.toml that people write too: lines of theirs stay as they are.

Knows: sections and keys, one a line. Does not know: what settings mean.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from damda.bench.choose import Choice
from damda.config import load
from damda.errors import ConfigError
from damda.generate.techniques import techniques


def put(file: Path, chosen: Sequence[Choice], machine: str) -> None:
    """Write the choices, each behind a comment that says why; the file is replaced in one step.

    Raises:
        ConfigError: it is no TOML, is written in a way that can't be added to, or can't be written.
    """
    try:
        before = file.read_text(encoding="utf-8-sig") if file.exists() else ""
        text = _with(before, chosen, machine)
        wanted, found = _wanted(before, chosen), tomllib.loads(text)
        if found != wanted:
            raise ConfigError(f"{file} is written in a way that can't be added to: {_told(chosen)}")
        draft = file.with_name(file.name + ".part")
        draft.write_text(text, encoding="utf-8")
        try:
            techniques(load(draft, env={}).llama)
        except ConfigError as error:
            draft.unlink()
            raise ConfigError(f"{file} stays as it is: {error}; what is better here: {_told(chosen)}") from error
        draft.replace(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML ({error}); put in yourself: {_told(chosen)}") from error
    except OSError as error:
        raise ConfigError(f"{file} can't be written ({error.strerror}); put in yourself: {_told(chosen)}") from error


def _with(text: str, chosen: Sequence[Choice], machine: str) -> str:
    lines = text.splitlines()
    for choice in chosen:
        section, _, key = choice.key.rpartition(".")
        new = [f"# damda bench, {machine}: {choice.why}", f"{key} = {json.dumps(choice.value, ensure_ascii=False)}"]
        head = next((n for n, line in enumerate(lines) if re.match(rf"\s*\[\s*{section}\s*\]", line)), None)
        if head is None:
            lines += ["", f"[{section}]", *new] if lines else [f"[{section}]", *new]
            continue
        end = next((n for n in range(head + 1, len(lines)) if re.match(r"\s*\[", lines[n])), len(lines))
        there = next((n for n in range(head + 1, end) if re.match(rf"\s*{key}\s*=", lines[n])), None)
        if there is None:
            lines[head + 1 : head + 1] = new
        else:
            begin = there - 1 if lines[there - 1].startswith("# damda bench, ") else there
            lines[begin : there + 1] = new
    return "\n".join(lines) + "\n"


def _wanted(text: str, chosen: Sequence[Choice]) -> Mapping[str, object]:
    """What the file is to say."""
    table = tomllib.loads(text)
    for choice in chosen:
        section, _, key = choice.key.rpartition(".")
        table.setdefault(section, {})[key] = choice.value
    return table


def _told(chosen: Sequence[Choice]) -> str:
    return "; ".join(f"{choice.key} = {json.dumps(choice.value, ensure_ascii=False)}" for choice in chosen)
