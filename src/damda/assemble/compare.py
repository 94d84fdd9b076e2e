"""Names -> what `damda lab encoders` compares."""

from collections.abc import Sequence

from damda.assemble import models
from damda.embed.bert import Pooling
from damda.embed.encoder import OnnxEncoder
from damda.settings import Settings
from damda.types import Analyser, Encoder, Progress, Reranker, quiet

REPRESENTATIONS = {
    "one-hot": "which words a text has",
    "bow": "how often it has them",
    "tf-idf": "and how rare they are",
    "bm25": "and how long the text is: the reference",
    "word2vec": "mean of word vectors learnt from these passages",
    "static": "mean of the encoder's input vectors, without the transformer",
    "cls": "the encoder's first token",
    "max": "the greatest of its tokens, in each dimension",
    "mean": "the mean of its tokens: what it was trained for",
}
"""What `damda lab encoders` compares."""


def representation(
    name: str, settings: Settings, analyser: Analyser, corpus: Sequence[str], progress: Progress = quiet
) -> Encoder:
    """An encoder of `REPRESENTATIONS`, or one named as in ``encoder.name``.

    Args:
        analyser: for those that look at words.
        corpus: what the countable ones and word2vec learn from.

    Raises:
        ConfigError, WeightsError, MissingExtra: as it can't be had.
    """
    from damda.embed.lexical import WEIGHTINGS, Lexical

    if weighting := WEIGHTINGS.get(name):
        return Lexical(weighting, analyser, corpus)
    if name in ("word2vec", "static"):
        from damda.embed.static import InputLayer, Word2Vec

        return Word2Vec(analyser, corpus) if name == "word2vec" else InputLayer(models.built_in_encoder(_LAB, progress))
    if name in ("cls", "max"):
        pooling: Pooling = "cls" if name == "cls" else "max"
        return OnnxEncoder(models.built_in_encoder(_LAB, progress), pooling=pooling)
    if name == "mean":
        return OnnxEncoder(models.built_in_encoder(_LAB, progress))
    named = settings.encoder.model_copy(update={"name": name})
    return models.make_encoder(named, offline=settings.offline, progress=progress)


_LAB = "e5-small-koen"


CROSS_ENCODER = "rerank:"
"""What a cross-encoder's name begins with where encoders are compared."""


def cross_encoder(name: str, settings: Settings) -> Reranker:
    """The reranker behind ``rerank:NAME``, NAME as in ``rerank.model``; with time enough for every passage.

    Raises:
        ConfigError, WeightsError: as `models.make_reranker`.
    """
    model = name.removeprefix(CROSS_ENCODER)
    return models.make_unhurried(settings.rerank, offline=settings.offline, model=model)
