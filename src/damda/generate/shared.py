"""What is slow to load and takes memory: made when it is first needed, once for all who name it alike.

Knows: threads, who still holds it. Does not know: models.
"""

from collections.abc import Callable
from threading import Lock
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

Thing = TypeVar("Thing")


class Shared(Generic[Thing]):
    """Something that ``load`` makes.

    Args:
        load: may raise; it is then called again by who asks next.
    """

    def __init__(self, load: Callable[[], Thing]) -> None:
        self._load = load
        self._lock = Lock()
        self._loaded: Thing | None = None

    def get(self) -> Thing:
        """It, made now if it is not there."""
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def drop(self) -> None:
        """Its memory goes when nobody uses it any more; who asks next has it made again."""
        with self._lock:
            self._loaded = None


_known: "WeakValueDictionary[tuple[object, ...], Shared[Any]]" = WeakValueDictionary()
_lock = Lock()


def shared(key: tuple[object, ...], load: Callable[[], Thing]) -> Shared[Thing]:
    """The one of this key, for as long as somebody holds it; else a new one."""
    with _lock:
        found: Shared[Thing] = _known.get(key) or Shared(load)
        _known[key] = found
        return found
