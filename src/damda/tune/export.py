"""A trained model -> a folder that damda runs without torch: int8 ONNX beside sentence-transformers' own layout.

Knows: which models damda's own graph fits, how the others are exported, how near the result is to the original. Does
not know: how the model was trained or what it is good for.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from damda.embed.bert import Bert, graph
from damda.embed.bert import Pooling as Way
from damda.embed.encoder import OnnxEncoder
from damda.errors import EncoderError
from damda.tune.encoding import TorchEncoder, prefix

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

OURS = ("bert", "roberta", "xlm-roberta")
"""Kinds of models that damda's own graph computes."""

_LEAST = 0.97
"""Mean cosine between original and export below which something went wrong; int8 alone costs some .004."""

_WHOLE = ".whole"
"""Where an export in float32 stays until it is known that int8 is good enough."""

_ENOUGH = 200
"""Passages from which on the spread of cosines is worth writing down."""


def export(
    model: "SentenceTransformer", folder: Path, name: str, sample: Sequence[str], passages: Sequence[str] = ()
) -> dict[str, float]:
    """Write a model into an empty folder, as sentence-transformers loads it and as damda does.

    Args:
        model: a transformer, a pooling layer (mean, CLS or max), unit length.
        folder: exists.
        name: what vectors of it are marked with; a digest of the weights is put behind it.
        sample: texts to compare both on.
        passages: to measure the spread of cosines on, where there are enough.

    Returns:
        ``cosine_mean`` and ``cosine_least`` between the vectors of the original and of the export, on at most 64 texts,
        and ``bits`` of its weights: 8, or 32 where int8 would change the vectors too much.

    Raises:
        EncoderError: the model is not of that form, or its export computes something else.
    """
    pooling = pooling_of(model)
    model.save(str(folder), create_model_card=False)
    own = is_ours(model[0].auto_model.config)
    for exact in (False,) if own else (False, True):
        if own:
            _write_own(model, folder, name, pooling)
        else:
            _write_general(model, folder, exact=exact)
        card = _card(model, folder, name, pooling)
        encoder = OnnxEncoder(folder)
        figures = _compared(model, encoder, sample[:64])
        if figures["cosine_mean"] >= _LEAST:
            break
    else:
        raise EncoderError(f"the export of {name} differs from it: mean cosine {figures['cosine_mean']:.3f}")
    shutil.rmtree(folder / _WHOLE, ignore_errors=True)
    if len(passages) >= _ENOUGH:
        _write_card(folder, card | {"cosines": spread(encoder, passages)})
    return figures | {"bits": 32.0 if exact else 8.0}


def pooling_of(model: "SentenceTransformer") -> Way:
    """How a model pools.

    Raises:
        EncoderError: in another way than damda can, or it has further layers.
    """
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    kinds: dict[str, Way] = {"mean": "mean", "cls": "cls", "max": "max"}
    layers = [type(module) for module in model]
    mode = model[1].pooling_mode if len(layers) > 1 and layers[1] is Pooling else ""
    if layers != [Transformer, Pooling, Normalize] or mode not in kinds:
        raise EncoderError("a model of a transformer, a pooling layer (mean, CLS, max) and unit length can be exported")
    return kinds[mode]


def first_position(config: Any) -> int:  # noqa: ANN401  of transformers
    """Row of the position table that the first token takes: RoBERTa's stand behind the padding token's id."""
    return int(config.pad_token_id) + 1 if config.model_type in ("roberta", "xlm-roberta") else 0


def is_ours(config: Any) -> bool:  # noqa: ANN401  of transformers
    """Whether damda's own graph computes the model."""
    return config.model_type in OURS and config.hidden_act == "gelu"


def own_bert(body: Any) -> Bert:  # noqa: ANN401  a model of transformers
    """The weights of one of `OURS`."""
    tensors = {key: value.detach().float().cpu().numpy() for key, value in body.state_dict().items()}
    config = body.config
    return Bert(
        config.num_hidden_layers,
        config.num_attention_heads,
        config.layer_norm_eps,
        tensors,
        first_position(config),
    )


def _write_own(model: "SentenceTransformer", folder: Path, name: str, pooling: Way) -> None:
    import onnx

    onnx.save(graph(own_bert(model[0].auto_model), name, pooling), str(folder / "model.onnx"))


def _write_general(model: "SentenceTransformer", folder: Path, *, exact: bool) -> None:
    """Any other transformer, by torch's exporter and onnxruntime's quantiser; ``exact``: take what was quantised."""
    from damda.tune.general import quantise, write

    whole = folder / _WHOLE / "model.onnx"
    if exact:
        for path in whole.parent.iterdir():
            path.replace(folder / path.name)
        return
    whole.parent.mkdir()
    write(model, whole)
    quantise(whole, folder / "model.onnx")


def _card(model: "SentenceTransformer", folder: Path, name: str, pooling: Way) -> dict[str, Any]:
    card: dict[str, Any] = {
        "dim": model.get_embedding_dimension(),
        "query_prefix": prefix(model, "query"),
        "passage_prefix": prefix(model, "passage"),
        "max_tokens": model.max_seq_length or 512,
        "pooling": pooling,
    }
    card["id"] = f"{name}@{_digest(folder, card)}"
    _write_card(folder, card)
    return card


def _digest(folder: Path, card: dict[str, Any]) -> str:
    whole = hashlib.sha256(repr(sorted(card.items())).encode())
    # The exporter puts big weights beside the graph.
    for path in (*sorted(folder.glob("model.onnx*")), folder / "tokenizer.json"):
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:12]


def _write_card(folder: Path, card: dict[str, Any]) -> None:
    (folder / "damda.json").write_text(json.dumps(card, ensure_ascii=False), encoding="utf-8")


def _compared(model: "SentenceTransformer", encoder: OnnxEncoder, texts: Sequence[str]) -> dict[str, float]:
    original = TorchEncoder(model, "original", batch=8).encode(texts, kind="passage")
    cosines = (original * encoder.encode(texts, kind="passage")).sum(axis=1)
    return {"cosine_mean": float(cosines.mean()), "cosine_least": float(cosines.min())}


def spread(encoder: OnnxEncoder, passages: Sequence[str]) -> tuple[float, float]:
    """Mean and standard deviation of the cosine between two passages that have nothing to do with one another."""
    vectors = encoder.encode(passages, kind="passage")
    apart = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    return float(apart.mean()), float(apart.std())
