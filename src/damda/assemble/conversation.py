"""Settings -> what reads follow-up questions."""

from collections.abc import Sequence

from damda.answer.followup import Nearness, Rules
from damda.answer.history import Conversation, Whole
from damda.answer.rewrite import Rewriter
from damda.embed.encoder import OnnxEncoder
from damda.errors import ConfigError
from damda.generate.extract import Extract, Gated
from damda.morphemes import MorphemeProcess
from damda.search.single import Dense
from damda.search.store import Store
from damda.settings import Settings
from damda.types import Encoder, Generator


def make_followup(
    settings: Settings, encoder: Encoder, analyser: MorphemeProcess, store: Store, generator: Generator
) -> Conversation:
    """What ``answer.followup`` names; making it loads nothing.

    Args:
        generator: the one that answers; ``model`` asks it too.

    Raises:
        ConfigError: a model is wanted, and the generator is none, or can only quote.
    """
    answer = settings.answer
    rules = Rules(analyser, nearness(encoder, store))
    whole: Whole | None = rules
    if answer.followup == "off":
        whole = None
    elif answer.followup == "model" or (answer.followup == "auto" and answer.generator == "remote"):
        writer = generator.generator if isinstance(generator, Gated) else generator
        modes = {"llama": settings.llama.mode, "openvino": settings.openvino.mode}
        if isinstance(writer, Extract) or modes.get(answer.generator) == "quote":
            raise ConfigError(
                'answer.followup = "model" needs a model that writes: answer.generator "remote", or "llama" or '
                '"openvino" in mode "write"; "rules" needs none'
            )
        whole = Rewriter(writer, rules, analyser)
    return Conversation(encoder.count_tokens, answer.history_tokens, whole)


def nearness(encoder: Encoder, store: Store) -> Nearness:
    """Cosine of the nearest stored passage, in standard deviations of unrelated texts' cosine."""
    dense = Dense(store, encoder)
    known = encoder.cosines if isinstance(encoder, OnnxEncoder) else None

    def near(questions: Sequence[str]) -> list[float]:
        _, deviation = known or store.view().cosines()
        return [hits[0].score / deviation if hits else 0.0 for hits in dense.search(questions, 1)]

    return near
