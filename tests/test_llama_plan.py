"""The cache that `damda plan` foresees is the one that llama.cpp says it has made."""

import importlib.util
import re
import subprocess
import sys

import pytest

from damda import weights
from damda.compress import memory
from damda.compress.shape import shape

pytestmark = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="needs the extra llama")

# In a process of its own: llama.cpp writes its log to the process's stderr, from a thread that ends with it.
LOADED = """
import os, sys, time
import xllamacpp
path, context, slots, kind, whole = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel = path, int(context) * int(slots), int(slots)
params.kv_unified, params.swa_full = False, whole == "whole"
params.n_batch = params.n_ubatch = 512
params.cache_type_k = params.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{kind.upper()}")
params.api_keys, params.ui, params.fit_params, params.cache_ram_mib, params.verbosity = ["x"], False, False, 0, 5
server = xllamacpp.Server(params)
time.sleep(0.5)
os._exit(0)
"""


@pytest.mark.parametrize("model", ["smollm2-135m", "gemma3-270m"])
@pytest.mark.parametrize(
    ("context", "slots", "kind", "whole"),
    [(4096, 1, "f16", False), (1000, 2, "f16", False), (4096, 1, "q8_0", False), (2048, 3, "q4_0", True)],
)
def test_a_cache_is_as_large_as_planned(model: str, context: int, slots: int, kind: str, whole: bool) -> None:
    """SmolLM2 shares keys and values among three heads each; Gemma 3 has one head of them, and windows."""
    path = weights.gguf_path(model)
    if path is None:
        pytest.skip(f"damda models pull {model}")
    words = [str(path), str(context), str(slots), kind, "whole" if whole else ""]
    done = subprocess.run([sys.executable, "-c", LOADED, *words], capture_output=True, text=True, timeout=120)
    said = re.findall(r"llama_kv_cache: size = +([\d.]+) MiB", done.stdout + done.stderr)
    assert said, done.stderr[-2000:]
    planned = memory.cache(shape(path), context, slots, kind, windowed=not whole) / 2**20
    assert planned == pytest.approx(sum(map(float, said)), abs=0.01)
