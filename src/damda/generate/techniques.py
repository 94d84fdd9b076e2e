"""What llama.cpp can do to be faster, smaller or longer, as settings -> its parameters.

Knows: xllamacpp's names for it. Does not know: requests, slots, files of saved states.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from damda.errors import ConfigError
from damda.generate.gguf import fingerprint
from damda.settings import LlamaSettings
from damda.weights import gguf

_FLASH = {"auto": "AUTO", "on": "ENABLED", "off": "DISABLED"}
_GUESSES = {"ngram": "NGRAM_SIMPLE", "draft": "DRAFT_SIMPLE"}

_NGRAM = 4
"""Tokens that must have stood there before, for what followed them then to be guessed."""


@dataclass(frozen=True, slots=True)
class Techniques:
    """How a model is run; what is written of it is the same, but for rounding, unless a comment says otherwise.

    Attributes:
        flash: "auto", "on", "off": attention in one pass, without the matrix of all tokens by all (Dao et al. 2022,
            arXiv:2205.14135).
        cache: form of keys and values, "f16", "q8_0" or "q4_0"; the packed ones change what is written.
        guesses: "none", "ngram" (what followed the same words before), "draft" (a smaller model); the model checks
            them (Leviathan et al. 2023, arXiv:2211.17192).
        guessed: tokens of a guess, at most.
        draft: of the smaller model.
        rope: "none", "linear" (Chen et al. 2023, arXiv:2306.15595), "yarn" (Peng et al. 2023, arXiv:2309.00071):
            positions beyond those that the model was trained for; changes what is written.
        factor: by how much longer.
        adapters: LoRA adapters, each a GGUF file and how much it counts; change what is written.
        prompts: megabytes of memory for prompts that were read before; change a word now and then.
    """

    flash: str = "auto"
    cache: str = "f16"
    guesses: str = "none"
    guessed: int = 8
    draft: Path | None = None
    rope: str = "none"
    factor: float = 1.0
    adapters: tuple[tuple[Path, float], ...] = ()
    prompts: int = 0

    @property
    def changing(self) -> str:
        """What of it changes what is written, in short; "" for nothing. Answers that are remembered go by it."""
        said = [self.cache] if self.cache != "f16" else []
        said += [f"{self.rope}{self.factor:g}"] if self.rope != "none" else []
        said += [f"{path.name}={scale:g}-{fingerprint(path)}" for path, scale in self.adapters]
        said += ["prompts"] if self.prompts else []  # read from its middle on, a prompt is cut into other batches
        return ",".join(said)

    @property
    def said(self) -> list[str]:
        """What is switched on, for people."""
        said = [f"flash attention {self.flash}", f"cache {self.cache}"]
        said += [f"guesses {self.guesses}, up to {self.guessed} tokens"] if self.guesses != "none" else []
        said += [f"{self.rope} x {self.factor:g}"] if self.rope != "none" else []
        said += [f"LoRA {path.name} x {scale:g}" for path, scale in self.adapters]
        said += [f"prompts in {self.prompts} MB"] if self.prompts else []
        return said


def techniques(settings: LlamaSettings) -> Techniques:
    """What the settings ask for.

    Raises:
        ConfigError: they contradict each other, or a file is not there.
    """
    if settings.cache != "f16" and settings.flash_attention == "off":
        raise ConfigError(
            f"llama.cache {settings.cache} needs flash attention: set llama.flash_attention to auto or on"
        )
    if (settings.speculation == "draft") != bool(settings.draft):
        raise ConfigError('llama.draft and llama.speculation = "draft" go together: set both or neither')
    if (settings.rope == "none") != (settings.rope_factor == 1):
        raise ConfigError("llama.rope and llama.rope_factor go together: a factor above 1, and linear or yarn")
    if settings.kv and settings.prompt_megabytes:
        raise ConfigError("llama.kv and llama.prompt_megabytes keep the same prompts, in other ways: set one of them")
    draft = Path(gguf(settings.draft)) if settings.draft else None
    adapters = tuple(_adapter(given) for given in settings.lora)
    for path in (*([draft] if draft else []), *(path for path, _ in adapters)):
        if not path.is_file():
            raise ConfigError(f"{path} is not there: llama.draft and llama.lora are GGUF files")
    return Techniques(
        settings.flash_attention,
        settings.cache,
        settings.speculation,
        settings.guess,
        draft,
        settings.rope,
        settings.rope_factor,
        adapters,
        settings.prompt_megabytes,
    )


def _adapter(given: str) -> tuple[Path, float]:
    path, equals, scale = given.rpartition("=")
    if not equals:
        return Path(given).expanduser(), 1.0
    try:
        return Path(path).expanduser(), float(scale)
    except ValueError as error:
        raise ConfigError(
            f"llama.lora {given!r}: behind = stands how much it counts, as in adapter.gguf=0.5"
        ) from error


def apply(wanted: Techniques, params: Any, xllamacpp: Any, trained: int) -> None:  # noqa: ANN401  xllamacpp has no types
    """Set a model's parameters.

    Args:
        params: its CommonParams.
        trained: tokens that the model was trained for; 0: not known.
    """

    def named(enum: str, name: str) -> Any:  # noqa: ANN401  as above
        return getattr(getattr(xllamacpp, enum), f"{enum.upper()}_{name}")

    params.flash_attn_type = named("llama_flash_attn_type", _FLASH[wanted.flash])
    if wanted.cache != "f16":
        params.cache_type_k = params.cache_type_v = named("ggml_type", wanted.cache.upper())
    params.cache_ram_mib = wanted.prompts
    if wanted.rope != "none":
        # llama.cpp's server has a longer context for YaRN alone; without what YaRN adds, that is linear scaling.
        params.rope_scaling_type = named("llama_rope_scaling_type", "YARN")
        params.rope_freq_scale, params.yarn_orig_ctx = 1 / wanted.factor, trained
        if wanted.rope == "linear":
            params.yarn_ext_factor = 0.0
    if wanted.adapters:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(path), scale) for path, scale in wanted.adapters]
    if wanted.guesses != "none":
        guessing = params.speculative
        guessing.types = [named("common_speculative_type", _GUESSES[wanted.guesses])]
        guessing.ngram_simple.size_n, guessing.ngram_simple.size_m = _NGRAM, wanted.guessed
        guessing.draft.n_max = wanted.guessed
        if wanted.draft:
            guessing.draft.mparams.path = str(wanted.draft)
