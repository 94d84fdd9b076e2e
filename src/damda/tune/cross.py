"""A backbone and a fresh head -> a cross-encoder: one number for a question and a passage that are read together.

Knows: how the two texts are joined, the head, which layer learns how fast, the export to an int8 graph. Does not know:
where examples come from, what the number is used for.

The pair is one text with the tokenizer's own marks between its halves, so that sentence-transformers trains it as it
trains any other text, and the ids are those that a tokenizer makes of a pair at run time.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from damda.embed.bert import scoring_graph
from damda.errors import EncoderError
from damda.korean import nfc
from damda.search.rerank import OnnxReranker
from damda.tune.backbone import freeze_words, open_model
from damda.tune.export import OURS, is_ours, own_bert
from damda.tune.train import Texts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Pair = tuple[str, str]
"""A question and a passage."""

HEAD_RATE = 1e-3
"""Learning rate of the head, which begins at nothing."""

DECAY = 0.9
"""What each layer's learning rate is of that of the layer above it: what lies deep is known already (Howard & Ruder,
"Universal Language Model Fine-tuning for Text Classification", ACL 2018)."""

_LEAST = 0.95
"""Correlation of scores below which an export went wrong."""


def open_cross(folder: Path, tokens: int) -> "SentenceTransformer":
    """A backbone with a head on the mean of its tokens' vectors; the head answers 0 for everything yet.

    Args:
        folder: as `open_model` wants it.
        tokens: of question and passage together, at most.

    Raises:
        EncoderError: the backbone is none that damda's own graph computes.
        MissingExtra, WeightsError, ConfigError: as in `open_model`.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling

    encoder = open_model(folder)
    config = encoder[0].auto_model.config
    if not is_ours(config):
        raise EncoderError(f"{folder} is a {config.model_type}: a reranker can be made of {', '.join(OURS)}")
    freeze_words(encoder)
    hidden = int(encoder[0].get_embedding_dimension())
    head = Dense(
        hidden,
        1,
        activation_function=torch.nn.Identity(),
        init_weight=torch.zeros(1, hidden),
        init_bias=torch.zeros(1),
    )
    model = SentenceTransformer(modules=[encoder[0], Pooling(hidden, "mean"), head], device=str(encoder.device))
    model.max_seq_length = min(tokens, encoder.max_seq_length or tokens)
    return model


def joiner(model: "SentenceTransformer") -> Callable[[Pair], str]:
    """Makes one text of two, which becomes the same ids as the tokenizer makes of the pair."""
    tokenizer = model.tokenizer
    first, second = (tokenizer(letter, add_special_tokens=False)["input_ids"] for letter in "ab")
    ids = tokenizer("a", "b")["input_ids"]
    a, b = ids.index(first[-1]), len(ids) - 1 - ids[::-1].index(second[-1])
    marks = "".join(tokenizer.convert_ids_to_tokens(ids[a + 1 : b - len(second) + 1]))
    return lambda pair: f"{nfc(pair[0])}{marks}{nfc(pair[1])}"


def columns(model: "SentenceTransformer", lists: Sequence[Sequence[Pair]], labels: Sequence[Sequence[float]]) -> Texts:
    """Lists of pairs, each of one question and equally long, as columns; ``label``: what share of it each deserves."""
    join = joiner(model)
    joined = [[join(pair) for pair in pairs] for pairs in lists]
    return {
        **{f"passage_{n}": [row[n] for row in joined] for n in range(len(joined[0]))},
        "label": [list(row) for row in labels],
    }


def rates(model: "SentenceTransformer", rate: float) -> dict[str, float]:
    """Patterns of weights' names -> learning rates: the highest layer learns at ``rate``, the head at its own."""
    layers = int(model[0].auto_model.config.num_hidden_layers)
    deep = {rf"\.layer\.{n}\.": rate * DECAY ** (layers - 1 - n) for n in range(layers)}
    return {**deep, r"\.embeddings\.(?!word)": rate * DECAY**layers, r"\.2\.linear\.": HEAD_RATE}


class TorchScorer:
    """Fits ``Scorer``: a model in training."""

    id = "in training"

    def __init__(self, model: "SentenceTransformer") -> None:
        self._model, self._join = model, joiner(model)

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """The head's numbers."""
        trained = self._model.training
        found = self._model.encode([self._join(pair) for pair in pairs], batch_size=16, show_progress_bar=False)
        self._model.train(trained)
        return [float(value) for value in np.asarray(found).reshape(-1)]


def export(model: "SentenceTransformer", folder: Path, name: str, sample: Sequence[Pair]) -> dict[str, float]:
    """Write a cross-encoder into an empty folder: an int8 graph with its tokenizer, as `OnnxReranker` reads it, beside
    the weights as sentence-transformers loads them.

    Args:
        sample: pairs to compare both on.

    Returns:
        ``correlation`` of the original's numbers and the export's.

    Raises:
        EncoderError: the export computes something else.
    """
    import onnx

    model.save(str(folder), create_model_card=False)
    weight, bias = (value.detach().float().cpu().numpy() for value in (model[2].linear.weight, model[2].linear.bias))
    graph = scoring_graph(own_bert(model[0].auto_model), name, weight.reshape(-1), float(bias[0]))
    onnx.save(graph, str(folder / "model.onnx"))
    exported = np.clip(OnnxReranker(folder, max_tokens=model.max_seq_length).score(sample), 1e-9, 1 - 1e-9)
    said = np.array(TorchScorer(model).score(sample))
    found = float(np.corrcoef(said, np.log(exported / (1 - exported)))[0, 1])
    if said.std() and not found >= _LEAST:
        raise EncoderError(f"the export of {name} differs from it: the scores' correlation is {found:.3f}")
    return {"correlation": found}
