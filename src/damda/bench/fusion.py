"""The encoder's graph as it was exported and as onnxruntime fuses it: time, kernels, the same vectors.

Knows: onnxruntime's levels, and where its profile counts kernels. Does not know: what vectors are for.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damda.bench.subject import Row
from damda.runtime import model_file, open_tokenizer
from damda.types import Progress

LEVELS = {
    "as exported": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
"""https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html"""

TEXTS, TOKENS, ROUNDS = 16, 128, 5


def fusion(folder: Path, texts: Sequence[str], progress: Progress) -> list[Row]:
    """Of an encoder's folder. Ways take turns; each level's vectors are held against those of the graph as exported."""
    fed = _fed(folder, texts)
    with tempfile.TemporaryDirectory() as work:
        sessions = {way: _session(folder, level, Path(work) / way) for way, level in LEVELS.items()}
        vectors = {way: _vectors(session, fed) for way, session in sessions.items()}
        kernels = {way: _kernels(session) for way, session in sessions.items()}
        sessions = {way: _session(folder, level) for way, level in LEVELS.items()}  # without the profile, which costs
        seconds: dict[str, list[float]] = {way: [] for way in sessions}
        for turn in range(ROUNDS + 1):
            for n, (way, session) in enumerate(sessions.items()):
                progress("kernel fusion", turn * len(sessions) + n, (ROUNDS + 1) * len(sessions))
                begun = time.perf_counter()
                _vectors(session, fed)
                if turn:
                    seconds[way].append(time.perf_counter() - begun)
    progress("kernel fusion", 1, 1)
    usual = vectors["as exported"]
    return [
        {
            "study": "kernel fusion",
            "task": f"{len(fed['input_ids'])} texts of {TOKENS} tokens",
            "way": way,
            "seconds": statistics.median(seconds[way]),
            "kernels": kernels[way],
            "least_cosine": float(np.min(np.sum(vectors[way] * usual, axis=-1))),
        }
        for way in LEVELS
    ]


def _fed(folder: Path, texts: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """A batch without padding: the first ``TOKENS`` tokens of a long text, from another place for each row."""
    tokenizer = open_tokenizer(folder / "tokenizer.json")
    ids: list[int] = []
    while len(ids) < TEXTS * TOKENS:
        ids += [token for text in texts for token in tokenizer.encode(text).ids]
    rows = np.array(ids[: TEXTS * TOKENS], np.int64).reshape(TEXTS, TOKENS)
    return {"input_ids": rows, "attention_mask": np.ones_like(rows), "token_type_ids": np.zeros_like(rows)}


def _session(folder: Path, level: str, profile: Path | None = None) -> Any:  # noqa: ANN401  onnxruntime has no types
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    return onnxruntime.InferenceSession(str(model_file(folder)), options, providers=["CPUExecutionProvider"])


def _vectors(session: Any, fed: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:  # noqa: ANN401  as above
    """Unit vectors, shape (texts, dim): the model's own, or the mean over its tokens'."""
    wanted = {one.name: fed[one.name] for one in session.get_inputs()}
    (found,) = session.run([session.get_outputs()[0].name], wanted)
    pooled = np.asarray(found if found.ndim == 2 else found.mean(axis=1), np.float32)
    unit: NDArray[np.float32] = pooled / np.linalg.norm(pooled, axis=-1, keepdims=True)
    return unit


def _kernels(session: Any) -> int:  # noqa: ANN401  as above
    """How many ran, of one run; the session is of no use afterwards."""
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return sum(event.get("cat") == "Node" and str(event.get("name")).endswith("_kernel_time") for event in events)
