"""A process that remembers answers until it is killed: python cache_child.py FILE NAME [COUNT]."""

import sys
from pathlib import Path

from damda.answer.memory.remembered import Memory


def main() -> None:
    file, name, *count = sys.argv[1:]
    memory = Memory(Path(file), days=30, megabytes=200)
    for number in range(int(count[0]) if count else 1_000_000):
        kept = memory.put(f"{name} {number}", "scope", f"{name} {number} " * 2000, kind="answer")
        sys.stdout.write(f"{number} {kept}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
