"""llama.cpp's own interface, through ctypes: logits and times that its server does not give.

Knows: names, arguments and structures of llama.h, as xllamacpp 2026.10 brings it. Does not know: what is done with
logits.

xllamacpp is the server; but the library that it brings has all functions of llama.h. Structures are handed by value,
and grow from version to version: `Native` looks at their defaults, and refuses where they are not those that it knows.
"""

import ctypes
import importlib.util
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damda import spinning
from damda.errors import GeneratorError, MissingExtra
from damda.generate.engine import cores

Library = Any
"""A loaded library has no type of its own."""

_POINTER, _INT, _TEXT = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p


class _ModelParams(ctypes.Structure):
    """``llama_model_params``, whose defaults are right; longer than it is, for what may be added."""

    _fields_ = (("opaque", ctypes.c_uint64 * 24),)


class _ContextParams(ctypes.Structure):
    """``llama_context_params``."""

    _fields_ = (
        ("n_ctx", ctypes.c_uint32),
        ("n_batch", ctypes.c_uint32),
        ("n_ubatch", ctypes.c_uint32),
        ("n_seq_max", ctypes.c_uint32),
        ("n_rs_seq", ctypes.c_uint32),
        ("n_outputs_max", ctypes.c_uint32),
        ("n_outputs_max_per_seq", ctypes.c_uint32),
        ("n_threads", _INT),
        ("n_threads_batch", _INT),
        ("kinds", _INT * 5),
        ("rope", ctypes.c_float * 6),
        ("yarn_orig_ctx", ctypes.c_uint32),
        ("defrag_thold", ctypes.c_float),
        ("cb_eval", _POINTER),
        ("cb_eval_user_data", _POINTER),
        ("type_k", _INT),
        ("type_v", _INT),
        ("opaque", ctypes.c_uint64 * 24),
    )


class _Batch(ctypes.Structure):
    """``llama_batch``."""

    _fields_ = (
        ("n_tokens", _INT),
        ("token", ctypes.POINTER(_INT)),
        ("embd", _POINTER),
        ("pos", ctypes.POINTER(_INT)),
        ("n_seq_id", ctypes.POINTER(_INT)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(_INT))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    )


_CALLS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "llama_backend_init": (None, ()),
    "llama_log_set": (None, (_POINTER, _POINTER)),
    "llama_model_default_params": (_ModelParams, ()),
    "llama_context_default_params": (_ContextParams, ()),
    "llama_model_load_from_file": (_POINTER, (_TEXT, _ModelParams)),
    "llama_model_get_vocab": (_POINTER, (_POINTER,)),
    "llama_model_n_ctx_train": (_INT, (_POINTER,)),
    "llama_model_free": (None, (_POINTER,)),
    "llama_init_from_model": (_POINTER, (_POINTER, _ContextParams)),
    "llama_free": (None, (_POINTER,)),
    "llama_vocab_n_tokens": (_INT, (_POINTER,)),
    "llama_vocab_bos": (_INT, (_POINTER,)),
    "llama_vocab_get_add_bos": (ctypes.c_bool, (_POINTER,)),
    "llama_tokenize": (_INT, (_POINTER, _TEXT, _INT, ctypes.POINTER(_INT), _INT, ctypes.c_bool, ctypes.c_bool)),
    "llama_get_memory": (_POINTER, (_POINTER,)),
    "llama_memory_clear": (None, (_POINTER, ctypes.c_bool)),
    "llama_batch_init": (_Batch, (_INT, _INT, _INT)),
    "llama_batch_free": (None, (_Batch,)),
    "llama_decode": (_INT, (_POINTER, _Batch)),
    "llama_get_logits_ith": (ctypes.POINTER(ctypes.c_float), (_POINTER, _INT)),
}
"""What they return, what they take. Source: llama.h."""

_ROPE, _SCALE = 1, 1
"""Where ``rope_scaling_type`` stands among the kinds, and ``rope_freq_scale`` among the numbers after it."""

_ROPES = {"linear": 1, "yarn": 2}
"""``llama_rope_scaling_type``."""

_CACHES = {"f16": 1, "q8_0": 8, "q4_0": 2}
"""ggml's numbers."""

_CACHED = re.compile(rb"llama_kv_cache: size = +([0-9.]+) MiB")
"""llama.cpp's own words; one line for layers that see everything, one for those with a window."""

_DEFAULTS = {"n_ctx": 512, "n_batch": 2048, "n_ubatch": 512, "n_seq_max": 1, "type_k": 1, "type_v": 1}


def opened() -> Library | None:
    """The library that xllamacpp brings; None: it is not installed."""
    found = importlib.util.find_spec("xllamacpp")
    folders = (found.submodule_search_locations or []) if found else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("xllamacpp*.so"))]
    try:
        with spinning.shortly():
            return ctypes.CDLL(str(files[0])) if files else None
    except OSError:
        return None  # built for another system: whoever needs it says that it is not there


def declare(library: Library, calls: dict[str, tuple[Any, tuple[Any, ...]]]) -> None:
    """Say what functions return and take.

    Raises:
        AttributeError: the library has not all of them.
    """
    for name, (gives, takes) in calls.items():
        call = getattr(library, name)
        call.restype, call.argtypes = gives, takes


@cache
def _llama() -> Library:
    library = opened()
    if library is None:
        raise MissingExtra("llama.cpp", "llama")
    try:
        declare(library, _CALLS)
    except AttributeError as error:
        raise GeneratorError(_OTHER) from error
    library.llama_log_set(_SILENT, None)
    library.llama_backend_init()
    found = library.llama_context_default_params()
    if any(getattr(found, name) != expected for name, expected in _DEFAULTS.items()):
        raise GeneratorError(_OTHER)
    return library


_OTHER = "this xllamacpp has another interface: install the version that damda's extra llama names"

_LISTENS = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_SILENT = _LISTENS(lambda level, text, data: None)
"""Takes llama.cpp's log, which would go to the terminal."""


class Native:
    """A GGUF in memory, and a cache for some requests.

    Args:
        context: tokens of each request.
        requests: how many at once.
        threads: 0 for one a core.
        rope, factor: how positions are scaled, "none", "linear" or "yarn", and by how much.
        trained: tokens that the model was trained for, where they are scaled.
        cache: form of keys and values, "f16", "q8_0" or "q4_0".

    Attributes:
        size: words that the model knows.
        cached: bytes of the cache for keys and values, as llama.cpp says in its log; 0: it says nothing.

    Raises:
        MissingExtra: xllamacpp is not installed.
        GeneratorError: it is of another version, or can't load the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        context: int,
        requests: int = 1,
        threads: int = 0,
        rope: str = "none",
        factor: float = 1,
        trained: int = 0,
        cache: str = "f16",
    ) -> None:
        self._library, self._model, self._context = _llama(), None, None
        self._model = self._library.llama_model_load_from_file(
            str(path).encode(), self._library.llama_model_default_params()
        )
        if not self._model:
            raise GeneratorError(f"llama.cpp can't load {path.name}")
        self._vocabulary = self._library.llama_model_get_vocab(self._model)
        self.size: int = self._library.llama_vocab_n_tokens(self._vocabulary)
        params = self._library.llama_context_default_params()
        params.n_ctx, params.n_seq_max = context * requests, requests
        params.n_batch = params.n_ubatch = max(512, requests)
        params.n_threads = params.n_threads_batch = threads or cores()
        if rope != "none":
            params.kinds[_ROPE], params.rope[_SCALE] = _ROPES[rope], 1 / factor
            params.yarn_orig_ctx = trained
        params.type_k = params.type_v = _CACHES[cache]
        said: list[bytes] = []
        self._library.llama_log_set(hears := _LISTENS(lambda level, text, data: said.append(text)), None)
        self._context = self._library.llama_init_from_model(self._model, params)
        self._library.llama_log_set(_SILENT, None)
        del hears  # it had to live until here
        self.cached = round(sum(map(float, _CACHED.findall(b"".join(said)))) * 2**20)
        if not self._context:
            self.close()
            raise GeneratorError(f"llama.cpp has no memory for {requests} requests of {context} tokens")
        self._batch = self._library.llama_batch_init(params.n_batch, 0, 1)
        self._most: int = params.n_batch

    @property
    def first(self) -> int | None:
        """The token that a text begins with; None: with none."""
        wanted = self._library.llama_vocab_get_add_bos(self._vocabulary)
        return int(self._library.llama_vocab_bos(self._vocabulary)) if wanted else None

    def tokens(self, text: str) -> list[int]:
        """Without the one that a text begins with."""
        data = text.encode()
        room = (_INT * (len(data) + 8))()
        count = self._library.llama_tokenize(self._vocabulary, data, len(data), room, len(room), False, False)
        return list(room[:count])

    def forget(self) -> None:
        """What was read."""
        self._library.llama_memory_clear(self._library.llama_get_memory(self._context), True)

    def read(self, tokens: Sequence[int], logits: Sequence[bool], *, at: int = 0, request: int = 0) -> None:
        """Read tokens of one request, the first of which is its token number ``at``.

        Args:
            logits: of which tokens they are wanted; as many as tokens.
        """
        for begin in range(0, len(tokens), self._most):
            part = tokens[begin : begin + self._most]
            self._put([(token, at + begin + n, request, logits[begin + n]) for n, token in enumerate(part)])

    def step(self, tokens: Sequence[int], at: int) -> None:
        """One more token for each request, all of which have ``at`` before it."""
        self._put([(token, at, request, True) for request, token in enumerate(tokens)])

    def logits(self, at: int) -> NDArray[np.float32]:
        """After the token that was ``at`` in what was read last, shape (size,). Gone with the next read."""
        found = self._library.llama_get_logits_ith(self._context, at)
        return np.ctypeslib.as_array(found, (self.size,))

    def _put(self, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        batch = self._batch
        batch.n_tokens = len(rows)
        for n, (token, place, request, wanted) in enumerate(rows):
            batch.token[n], batch.pos[n], batch.logits[n] = token, place, wanted
            batch.n_seq_id[n], batch.seq_id[n][0] = 1, request
        if done := self._library.llama_decode(self._context, batch):
            raise GeneratorError(f"llama.cpp failed ({done})")

    def close(self) -> None:
        """Give the memory back."""
        if self._context:
            self._library.llama_batch_free(self._batch)
            self._library.llama_free(self._context)
        if self._model:
            self._library.llama_model_free(self._model)
        self._model = self._context = None
