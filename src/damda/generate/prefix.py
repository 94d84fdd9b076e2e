"""Requests whose prompt begins as one did before: its beginning is read once, saved, and restored ever after.

Knows: in which order llama.cpp reads, saves and restores. Does not know: messages, where the beginning ends, files.

A request starts from an empty slot or from a restored one, never from what another request left there: what is computed
depends on how a prompt is cut into batches, and that would otherwise depend on what was asked before. So the first
request restores what it has just saved, too: of models with a sliding window only the window is saved, and sums over it
are rounded in another order afterwards.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from threading import Semaphore

from damda.errors import GeneratorError
from damda.generate import kv, wire
from damda.generate.engine import Engine

log = logging.getLogger(__name__)

LEAST = 256
"""Tokens of a beginning that is worth a file."""


class Prefixes:
    """The saved beginnings of one model.

    Args:
        weights: what tells this model from any other: a state restored under other weights of the same shape is
            accepted by llama.cpp, and makes nonsense.
    """

    def __init__(self, engine: Engine, states: kv.States, weights: str) -> None:
        self.engine = engine
        self._states, self._parts = states, (weights, *engine.conditions)
        self._bytes = 0.0  # a token, once it is known
        self.usable = True

    def shared(self, request: Mapping[str, object], twin: Mapping[str, object]) -> list[int]:
        """The tokens that two requests begin with and the first does not end with; [] where they are too few."""
        if not self.usable:
            return []
        tokens, others = self.engine.tokens(request), self.engine.tokens(twin)
        most = min(len(tokens) - 1, len(others))
        same = next((at for at in range(most) if tokens[at] != others[at]), most)
        return tokens[:same] if same >= LEAST else []

    def restore(self, tokens: Sequence[int], slot: int) -> bool:
        """Whether the slot now holds these tokens and nothing else."""
        path = self._states.find(kv.key(self._parts, tokens))
        if path is None:
            return False
        try:
            if self.engine.restore(slot, path.name) == len(tokens):
                return True
            log.warning("%s holds another prompt than its name says: it is made again", path)
            path.unlink(missing_ok=True)
        except (GeneratorError, OSError) as error:  # another process deleted it just now
            log.debug("%s was not restored: %s", path.name, error)
        return False

    def wanted(self, tokens: Sequence[int]) -> bool:
        """Whether reading these tokens for themselves would end in a file."""
        return self._states.saving and self._states.fits(len(tokens) * self._bytes)

    def save(self, tokens: Sequence[int], slot: int) -> bool:
        """Whether the slot, which has read these tokens and nothing else, could be saved."""
        draft = self._states.draft()
        if draft is None:
            return False
        try:
            number, size = self.engine.save(slot, draft.name)
        except GeneratorError as error:
            draft.unlink(missing_ok=True)
            self._states.fail(f"{draft.parent} can't be written ({error})")
            return False
        if number != len(tokens):
            draft.unlink(missing_ok=True)
            self.give_up(f"llama.cpp saved {number} of {len(tokens)} tokens")
            return False
        self._bytes = size / number
        return self._states.keep(kv.key(self._parts, tokens), draft, size)

    def give_up(self, why: str) -> None:
        """No more of this with this model: the answers were right, but nothing was gained."""
        if self.usable:
            log.warning("%s: llama.kv is of no use with this model, and is off", why)
        self.usable = False


class Begun:
    """An engine for one request, whose prompt begins with ``tokens``. Stands in for an Engine with `worker.pieces`."""

    def __init__(self, prefixes: Prefixes, tokens: Sequence[int]) -> None:
        self._prefixes, self._engine, self._tokens = prefixes, prefixes.engine, tokens

    @property
    def free(self) -> Semaphore:
        """The engine's."""
        return self._engine.free

    def run(self, request: Mapping[str, object], heard: Callable[[object], bool]) -> None:
        """See ``Engine.run``."""
        with self._engine.slot() as slot:
            ready = self._prefixes.restore(self._tokens, slot)
            if not ready and self._prefixes.wanted(self._tokens):
                read = self._read(slot, heard)
                if heard({}):
                    return
                ready = read and self._prefixes.save(self._tokens, slot) and self._prefixes.restore(self._tokens, slot)
            if ready:
                self._engine.send({**request, "cache_prompt": True}, self._checked(heard), slot)
            else:
                self._engine.send(request, heard, slot)

    def _read(self, slot: int, heard: Callable[[object], bool]) -> bool:
        """Whether the beginning was read to its end. The reader gets signs of life, and can give up."""
        ends: list[object] = []

        def told(chunk: object) -> bool:
            if wire.at(chunk, "choices", 0, "finish_reason"):
                ends.append(chunk)
            return heard({})

        # It makes a token all the same; that one is never computed with, so the slot holds the prompt alone.
        self._engine.send({"prompt": list(self._tokens), "max_tokens": 0, "temperature": 0.0}, told, slot)
        return bool(ends)

    def _checked(self, heard: Callable[[object], bool]) -> Callable[[object], bool]:
        """Notices where llama.cpp read the beginning once more: the template changed, or the model can't go on."""

        def told(chunk: object) -> bool:
            used = wire.at(chunk, "prompt_progress", "cache")
            if isinstance(used, int) and used != len(self._tokens):
                self._prefixes.give_up(f"llama.cpp used {used} of {len(self._tokens)} restored tokens")
            return heard(chunk)

        return told
