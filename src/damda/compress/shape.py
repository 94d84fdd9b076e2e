"""A model's config or header -> its shape: what has to be known to say how much memory it takes and how fast it can be.

Knows: config.json of transformers, the header of a GGUF file, the header of safetensors. Does not know: weights, bytes
a number, machines.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from damda.errors import ConfigError, WeightsError
from damda.generate import gguf
from damda.pretrained import tensors

GATED = frozenset("exaone gemma gemma2 gemma3 gemma3_text granite llama mistral olmo2 phi3 qwen2 qwen3 smollm3".split())
"""model_type of models whose layers have four matrices of attention and three of a gated MLP, and no experts."""

PATTERNS = {"gemma2": 2, "gemma3": 6, "cohere2": 4, "gpt-oss": 2}
"""llama.cpp's name -> every how many-th layer sees everything, where the header has a window and doesn't say."""


class Tensors(NamedTuple):
    """Tensors that are alike.

    Attributes:
        what: attribute of `Counts`; those of experts count in two.
        kind: ggml's number of their form; `UNSAID` for a config's.
        shape: how wide the rows are, how many there are, and how many experts have such a matrix each.
        copies: how many tensors.
    """

    what: str
    kind: int
    shape: tuple[int, ...]
    copies: int


UNSAID = -1


@dataclass(frozen=True, slots=True)
class Counts:
    """How many weights there are of each sort.

    Attributes:
        table: the words' vectors.
        head: what makes the next word of a vector, where that is not the table again; 0: it is.
        linear: all other matrices, experts included.
        small: norms and biases.
        experts: those of ``linear`` that belong to experts.
    """

    table: int = 0
    head: int = 0
    linear: int = 0
    small: int = 0
    experts: int = 0

    @property
    def all(self) -> int:
        """Their sum."""
        return self.table + self.head + self.linear + self.small


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model is, but for its weights.

    Attributes:
        heads: of queries, a layer.
        kv_heads: of keys and values, by layer.
        key_dim, value_dim: numbers of one head's key, and of its value.
        windows: tokens that a layer looks back, by layer; 0: all.
        context: tokens that it was trained for; 0: not said.
        used: share of the experts that one token passes through.
        tensors: what the weights consist of.
        norms: a layer; 2 where nothing says.
    """

    name: str
    architecture: str
    hidden: int
    heads: int
    kv_heads: tuple[int, ...]
    key_dim: int
    value_dim: int
    windows: tuple[int, ...]
    vocabulary: int
    context: int
    counts: Counts
    used: float = 1.0
    tensors: tuple[Tensors, ...] = ()
    norms: int = 2

    @property
    def layers(self) -> int:
        """How many."""
        return len(self.kv_heads)

    @property
    def multiplied(self) -> float:
        """Weights that every token is multiplied with: of the experts those that it passes through; the table only
        where it serves as the head."""
        of = self.counts
        return of.linear - of.experts * (1 - self.used) + (of.head or of.table)

    @property
    def attention(self) -> str:
        """The field's name for how queries share keys and values."""
        most = max(self.kv_heads)
        if most == self.heads:
            return "multi-head"
        return "multi-query" if most == 1 else f"grouped-query, {self.heads} over {most}"


def shape(path: Path) -> Shape:
    """Of a folder with a config.json, of a config.json alone, or of a GGUF file.

    Raises:
        WeightsError: it can't be read, or is damaged.
        ConfigError: it is none of these, or of an architecture whose memory is laid out otherwise.
    """
    if path.is_dir():
        path = path / "config.json"
    if path.suffix == ".json":
        return _of_config(path)
    if path.suffix == ".gguf":
        return _of_gguf(path, gguf.header(path))
    raise ConfigError(f"{path} is no model: give a folder with a config.json, a config.json, or a .gguf file")


def widths(path: Path) -> list[int]:
    """How many weights the rows of the layers' matrices have: of a GGUF file, or of a folder with safetensors.

    Raises:
        WeightsError: it is damaged.
    """
    if path.suffix == ".gguf":
        named = [(_known_to_gguf(of.name), of.shape[0], len(of.shape)) for of in gguf.header(path).tensors]
    else:
        named = [
            (_known_to_transformers(name), about["shape"][-1] if about["shape"] else 0, len(about["shape"]))
            for file in sorted(path.glob("*.safetensors"))
            for name, about in tensors(file).items()
        ]
    return sorted({width for what, width, dimensions in named if dimensions > 1 and what in ("linear", "experts")})


def _of_gguf(path: Path, header: gguf.Header) -> Shape:
    def whole(key: str, default: int | None = None) -> int:
        value = header.fact(key)
        value = default if value is None else value
        if not isinstance(value, int):
            raise ConfigError(f"{path} doesn't say {header.architecture}.{key}: it is no model that writes text")
        return value

    layers, hidden, heads = whole("block_count"), whole("embedding_length"), _most(header.fact("attention.head_count"))
    kv_heads = _by_layer(header.fact("attention.head_count_kv"), layers, heads)
    if not layers or not heads or header.fact("ssm.state_size") or header.fact("attention.kv_lora_rank"):
        raise ConfigError(f"{path}: {header.architecture or 'this'} keeps something else than keys and values a token")
    key_dim = whole("attention.key_length", hidden // heads)
    tensors = _alike((_known_to_gguf(of.name), of.kind, of.shape) for of in header.tensors)
    experts = whole("expert_count", 0)
    norms = sum(t.name.startswith("blk.") and t.name.endswith("_norm.weight") for t in header.tensors)
    table = next((t for t in header.tensors if t.name == "token_embd.weight"), None)
    return Shape(
        path.stem,
        header.architecture,
        hidden,
        heads,
        kv_heads,
        key_dim,
        whole("attention.value_length", key_dim),
        _windows_of_gguf(header, layers),
        table.shape[-1] if table else 0,
        header.context,
        _counted(tensors),
        used=whole("expert_used_count", experts) / experts if experts else 1.0,
        tensors=tensors,
        norms=round(norms / layers) or 2,
    )


def _windows_of_gguf(header: gguf.Header, layers: int) -> tuple[int, ...]:
    window, pattern = header.fact("attention.sliding_window"), header.fact("attention.sliding_window_pattern")
    if not isinstance(window, int) or not window:
        return (0,) * layers
    if isinstance(pattern, tuple) and len(pattern) == layers:
        return tuple(window if slides else 0 for slides in pattern)
    every = pattern if isinstance(pattern, int) and pattern else PATTERNS.get(header.architecture, 1)
    # Of an architecture that is not known: as if every layer saw everything, which is never too little.
    return tuple(0 if (layer + 1) % every == 0 else window for layer in range(layers))


def _known_to_gguf(name: str) -> str:
    if name.startswith("token_embd."):
        return "table"
    if name.startswith("output."):
        return "head"
    return "experts" if "_exps." in name else "linear"


def _of_config(path: Path) -> Shape:
    config = _json(path)
    # A model that sees pictures too has its text model's config inside.
    config = {**config, **config["text_config"]} if isinstance(config.get("text_config"), dict) else config
    kind = str(config.get("model_type", ""))
    if "kv_lora_rank" in config or "state_size" in config or "ssm_cfg" in config:
        raise ConfigError(f"{path}: {kind} keeps something else than keys and values a token")
    layers, hidden, heads = (
        _number(config, path, *names)
        for names in (
            ("num_hidden_layers", "num_layers", "n_layer"),
            ("hidden_size", "n_embd"),
            ("num_attention_heads", "n_head"),
        )
    )
    key_dim = int(config.get("head_dim") or hidden // heads)
    shared = config.get("num_key_value_heads") or heads
    kv_heads = tuple(map(int, shared)) if isinstance(shared, list) else (int(shared),) * layers
    vocabulary = _number(config, path, "vocab_size")
    tensors = _stored(path.parent) or _computed(config, path, hidden, heads, kv_heads, key_dim, vocabulary)
    experts = int(config.get("num_local_experts") or config.get("num_experts") or 0)
    if config.get("tie_word_embeddings", kind.startswith("gemma")):
        tensors = tuple(of for of in tensors if of.what != "head")
    return Shape(
        path.parent.resolve().name,
        kind,
        hidden,
        heads,
        kv_heads,
        key_dim,
        key_dim,
        _windows_of_config(config, layers),
        vocabulary,
        int(config.get("max_position_embeddings") or config.get("n_positions") or 0),
        _counted(tensors),
        used=int(config.get("num_experts_per_tok", experts)) / experts if experts else 1.0,
        tensors=tensors,
    )


def _windows_of_config(config: Mapping[str, Any], layers: int) -> tuple[int, ...]:
    window = int(config.get("sliding_window") or 0)
    if not window or config.get("use_sliding_window") is False:
        return (0,) * layers
    types = config.get("layer_types")
    if isinstance(types, list) and len(types) == layers:
        return tuple(window if kind == "sliding_attention" else 0 for kind in types)
    pattern = config.get("sliding_window_pattern") or config.get("_sliding_window_pattern")
    if pattern:
        return tuple(0 if (layer + 1) % int(pattern) == 0 else window for layer in range(layers))
    return (window,) * layers


def _stored(folder: Path) -> tuple[Tensors, ...]:
    """By what the weights' own headers say; none: there are no safetensors."""
    return _alike(
        (_known_to_transformers(name), UNSAID, tuple(reversed(about["shape"])))
        for file in sorted(folder.glob("*.safetensors"))
        for name, about in tensors(file).items()
    )


def _known_to_transformers(name: str) -> str:
    if any(part in name for part in ("embed_tokens.", "wte.", "word_embeddings.")):
        return "table"
    if name.startswith("lm_head."):
        return "head"
    return "experts" if ".experts." in name else "linear"


def _alike(tensors: Iterable[tuple[str, int, tuple[int, ...]]]) -> tuple[Tensors, ...]:
    """Of (what it is, its form, its shape)."""
    counts = Counter((what if len(shape) > 1 else "small", kind, shape) for what, kind, shape in tensors)
    return tuple(Tensors(*of, copies) for of, copies in sorted(counts.items()))


def _counted(tensors: Iterable[Tensors]) -> Counts:
    found = {"table": 0, "head": 0, "linear": 0, "small": 0, "experts": 0}
    for of in tensors:
        found[of.what] += prod(of.shape) * of.copies
    return Counts(**{**found, "linear": found["linear"] + found["experts"]})


def _computed(
    config: Mapping[str, Any],
    path: Path,
    hidden: int,
    heads: int,
    kv_heads: Sequence[int],
    key_dim: int,
    vocabulary: int,
) -> tuple[Tensors, ...]:
    """By the config alone, with two norms a layer; what some models have more of those is a thousandth of all."""
    kind = config.get("model_type")
    if kind not in GATED:
        raise ConfigError(
            f"{path}: how many weights a {kind} has can't be told from its config alone; put its .safetensors beside it"
        )
    inner, layers = _number(config, path, "intermediate_size"), len(kv_heads)
    shared = Counter(key_dim * count for count in kv_heads)
    matrices = (
        ("table", (hidden, vocabulary), 1),
        ("head", (hidden, vocabulary), 1),
        ("linear", (hidden, heads * key_dim), layers),
        ("linear", (heads * key_dim, hidden), layers),
        *(("linear", (hidden, rows), 2 * count) for rows, count in shared.items()),
        ("linear", (hidden, inner), 2 * layers),
        ("linear", (inner, hidden), layers),
        ("small", (hidden,), 2 * layers + 1),
    )
    return tuple(Tensors(what, UNSAID, shape, copies) for what, shape, copies in matrices)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"{path} can't be read: {error.strerror or error}") from error
    except ValueError as error:
        raise WeightsError(f"{path} is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} is no config of a model")
    return found


def _number(config: Mapping[str, Any], path: Path, *names: str) -> int:
    for name in names:
        if isinstance(config.get(name), int) and config[name] > 0:
            return int(config[name])
    raise ConfigError(f"{path} doesn't say {names[0]}: it is no config of a model that writes text")


def _by_layer(value: gguf.Fact, layers: int, default: int) -> tuple[int, ...]:
    if isinstance(value, tuple) and len(value) == layers:
        return tuple(int(one) for one in value)
    return (value if isinstance(value, int) else default,) * layers


def _most(value: gguf.Fact) -> int:
    if isinstance(value, tuple):
        return max((int(one) for one in value), default=0)
    return value if isinstance(value, int) else 0
