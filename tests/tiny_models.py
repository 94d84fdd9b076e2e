"""Transformers small enough to be trained in a test, with a tokenizer of made-up words, and texts that have a topic.

Needs the extra ``tune``; tests' child processes import this too.
"""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from damda.measure.similarity import Pair
from damda.tune.mine import Example

TOPICS = 12
WORDS = 8
SPECIAL = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
VOCABULARY = [*SPECIAL, "query", "passage", ":", *(f"t{t}w{w}" for t in range(TOPICS) for w in range(WORDS))]


def one_thread() -> Iterator[None]:
    """While a file's tests run: more threads than free cores wait for one another, and these models are tiny."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sentence(topic: int, drawn: random.Random, words: int = 5) -> str:
    """Words of one topic."""
    return " ".join(f"t{topic}w{drawn.randrange(WORDS)}" for _ in range(words))


def scored_pairs(count: int, seed: int = 0) -> list[Pair]:
    """Half of one topic (about 1), half of two (about 0)."""
    drawn = random.Random(seed)
    found = []
    for n in range(count):
        topic = drawn.randrange(TOPICS)
        other = topic if n % 2 else (topic + 1 + drawn.randrange(TOPICS - 1)) % TOPICS
        first, second = (sentence(t, drawn, drawn.randrange(3, 7)) for t in (topic, other))
        found.append(Pair(first, second, round((0.9 if n % 2 else 0.1) + drawn.uniform(-0.1, 0.1), 3)))
    return found


def examples(count: int, seed: int = 0) -> list[Example]:
    """A question of a topic's words; a passage of the same topic answers it, one of another topic does not."""
    drawn = random.Random(seed)
    found = []
    for n in range(count):
        topic = drawn.randrange(TOPICS)
        texts = [sentence(t, drawn, 6) for t in (topic, topic, (topic + 1) % TOPICS)]
        found.append(Example(texts[0], texts[1], (texts[2],), str(n)))
    return found


def notes(folder: Path) -> Path:
    """A folder of sixty notes of one topic each; beside it asked.csv, with two questions a note."""
    drawn = random.Random(3)
    root = folder / "docs"
    root.mkdir()
    rows = ["question,document"]
    for n in range(60):
        text = sentence(n % TOPICS, drawn, 8)
        (root / f"note{n}.txt").write_text(f"{text} number{n}.", encoding="utf-8")
        rows += [f"{' '.join(drawn.sample(text.split(), 4))} number{n} {k}?,note{n}.txt" for k in ("which", "why")]
    (folder / "asked.csv").write_text("\n".join(rows), encoding="utf-8")
    return root


def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fixture: one stands beside the notes, and their passages need no guard."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAMDA_GUARD__PASSAGE", "")
    return notes(tmp_path)


def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fixture: what damda runs and what is trained, in one folder, as a training leaves it."""
    from damda.tune.backbone import open_model
    from damda.tune.export import export

    folder = tmp_path_factory.mktemp("encoder") / "tiny"
    folder.mkdir()
    export(open_model(bert(folder.parent / "raw")), folder, "tiny", ["t1w1 t2w2"])
    return folder


def tokenizer(folder: Path, *, closes: bool = True) -> None:
    """Whole words, between ``<s>`` and ``</s>``, or behind ``<s>`` only."""
    vocabulary = {word: n for n, word in enumerate(VOCABULARY)}
    around: list[dict[str, Any]] = [
        {"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    ]
    around += [{"SpecialToken": {"id": "</s>", "type_id": 0}}] if closes else []
    content = {
        "version": "1.0",
        "added_tokens": [
            {"id": n, "content": word, "special": True}
            | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
            for n, word in enumerate(SPECIAL)
        ],
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "vocab": vocabulary, "unk_token": "<unk>", "continuing_subword_prefix": "##"}
        | {"max_input_chars_per_word": 100},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": around,
            "pair": [*around, *around[2:], {"Sequence": {"id": "B", "type_id": 0}}, *around[2:]],
            "special_tokens": {s: {"id": s, "ids": [vocabulary[s]], "tokens": [s]} for s in ("<s>", "</s>")},
        },
    }
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>", "bos_token": "<s>"}
    about = names | {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64}
    for name, written in (("tokenizer.json", content), ("tokenizer_config.json", about)):
        (folder / name).write_text(json.dumps(written), encoding="utf-8")


def _save(kind: str, config: Any, folder: Path, *, closes: bool = True) -> Path:  # noqa: ANN401  of transformers
    import torch
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()

    folder.mkdir(parents=True)
    torch.manual_seed(7)
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for parameter in model.parameters():  # as they come, the layers change hardly anything
            if parameter.dim() > 1:
                parameter.mul_(5)
    model.save_pretrained(folder)
    tokenizer(folder, closes=closes)
    return folder


_SIZES: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "pad_token_id": 0,
}


def bert(folder: Path, **changed: Any) -> Path:  # noqa: ANN401  of BertConfig
    """A folder with a random BERT of two layers."""
    from transformers import BertConfig

    return _save("BertModel", BertConfig(**{**_SIZES, "max_position_embeddings": 64, **changed}), folder)


def roberta(folder: Path) -> Path:
    """A folder with a random RoBERTa: its positions begin behind the padding token's id."""
    from transformers import RobertaConfig

    return _save("RobertaModel", RobertaConfig(**{**_SIZES, "max_position_embeddings": 65}), folder)


def gemma(folder: Path) -> Path:
    """A folder with a random Gemma 3: causal, every other layer looks back 16 tokens only."""
    from transformers import Gemma3TextConfig

    config = Gemma3TextConfig(
        **_SIZES,
        num_key_value_heads=1,
        head_dim=8,
        sliding_window=16,
        max_position_embeddings=64,
        layer_types=["sliding_attention", "full_attention"],
        bos_token_id=2,
        eos_token_id=3,
    )
    return _save("Gemma3TextModel", config, folder, closes=False)


def columns(pairs: Sequence[Pair]) -> dict[str, list[Any]]:
    """Pairs as the losses take them."""
    return {
        "first": [pair.first for pair in pairs],
        "second": [pair.second for pair in pairs],
        "label": [pair.score for pair in pairs],
    }


def llama(folder: Path, *, chats: bool = False, **changed: Any) -> Path:  # noqa: ANN401  of LlamaConfig
    """A folder with a random Llama of two layers, with a head of its own, with a chat template or without."""
    from transformers import LlamaConfig

    sizes = _SIZES | {"num_key_value_heads": 2, "max_position_embeddings": 128, "bos_token_id": 2, "eos_token_id": 3}
    _save("LlamaForCausalLM", LlamaConfig(**{**sizes, **changed}), folder, closes=False)
    if chats:
        about = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        about["chat_template"] = "{% for message in messages %}{{ message.content }} {% endfor %}passage :"
        (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    return folder
