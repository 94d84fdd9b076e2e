"""Settings: what the home has adopted, then ``damda.toml``, then the environment, then flags; the later wins. Unknown
keys are errors.

Knows: names, types, defaults and where a value came from. Does not know: whether a model or a folder exists; building
settings reads at most one TOML file, the environment and the home's adopted.json.

Environment: ``DAMDA_`` + section + ``__`` + key, e.g. ``DAMDA_ANSWER__QUOTES=2``; lists are separated by commas.
Environment variables are for secrets too: ``DAMDA_REMOTE__API_KEY``.
"""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from damda import adopted
from damda.errors import ConfigError
from damda.home import home_of
from damda.sources import Sources, flat, merged, sources_of
from damda.types import NO_META, Mode


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReadSettings(Section):
    """Which files are read, and when a file is too much."""

    ignore: tuple[str, ...] = Field(default=(), description="gitignore-style patterns of files to leave out")
    max_bytes: int = Field(default=200_000_000, gt=0, description="larger files are reported, not read")
    max_chars: int = Field(default=20_000_000, gt=0, description="longer texts are reported, not stored")
    timeout: float = Field(default=120, gt=0, description="seconds that one file may take to read")


class ChunkSettings(Section):
    """How documents are cut into passages."""

    tokens: int = Field(default=256, ge=16, le=8192, description="most tokens of a passage, by the encoder's tokenizer")


class EncoderSettings(Section):
    """What turns text into vectors."""

    name: str = Field(
        default="e5-small-koen",
        description="e5-small-koen (Korean and English), e5-small (any language), a folder with an ONNX encoder, "
        "hub:OWNER/NAME, or a URL ending in /v1",
    )
    model: str = Field(default="", description="for a URL: the model's name there")
    api_key: str = Field(default="", repr=False, description="for a URL: the key, if it wants one")
    query_prefix: str | None = Field(default=None, description="put before questions; None: what the model declares")
    passage_prefix: str | None = Field(default=None, description="put before passages; None: what the model declares")
    threads: int = Field(default=0, ge=0, description="0: as many as there are cores")


class ImageSettings(Section):
    """Images among the documents, found by text and by other images; see docs/images.md."""

    name: str = Field(
        default="", description="a folder with a CLIP or SigLIP model as two ONNX files, or hub:OWNER/NAME; empty: off"
    )
    variant: str = Field(
        default="", description="which of its ONNX files, e.g. quantized for text_model_quantized.onnx; empty: the full"
    )
    passages: bool = Field(
        default=True, description="encode passages for it too, so that an image finds them; it is most of the work"
    )


class SearchSettings(Section):
    """How passages are found."""

    mode: Mode = Field(
        default="hybrid", description="hybrid, bm25, dense, rrf, convex, or rerank: hybrid put in order by rerank.model"
    )
    candidates: int = Field(default=50, ge=1, le=1000, description="hits of each search that are fused")
    rrf_k: int = Field(default=60, ge=1, description="the constant of reciprocal rank fusion")
    weight: float = Field(default=0.5, ge=0, le=1, description="weight of BM25 in mode convex; dense has the rest")
    vectors: float = Field(
        default=9.0,
        ge=0,
        description="hybrid: what a deviation of cosine counts, in units of BM25; `damda tune fusion` learns it",
    )
    adapter: str = Field(
        default="", description="an adapter.npy that turns questions' vectors; `damda tune encoder` makes and adopts it"
    )
    user_dictionary: str = Field(default="", description="a Kiwi user dictionary: word TAB tag TAB score")


class RerankSettings(Section):
    """A model that reads question and passage together; used where ``search.mode`` is rerank."""

    model: str = Field(
        default="", description="a folder with an ONNX cross-encoder, hub:OWNER/NAME, or a URL ending in /v1"
    )
    name: str = Field(default="", description="for a URL: the model's name there")
    api_key: str = Field(default="", repr=False, description="for a URL: the key, if it wants one")
    top: int = Field(default=30, ge=1, le=1000, description="hits that are looked at again")
    budget: float = Field(
        default=1.0, gt=0, description="seconds a question; what is not scored by then keeps its place"
    )
    max_tokens: int = Field(default=512, ge=16, description="of question and passage together")
    window: int = Field(
        default=0, ge=0, description="tokens of a passage that are read, those nearest to the question; 0: all"
    )
    weight: float = Field(
        default=0.0, ge=0, description="of a local model: what a unit of the hybrid's score counts beside a logit"
    )
    ceiling: float | None = Field(
        default=None,
        description="of a local model: the highest logit to be expected; hits that would not become the first even "
        "with it are not read; not set: all are",
    )


class AnswerSettings(Section):
    """How an answer is made."""

    generator: Literal["extract", "llama", "transformers", "remote"] = Field(
        default="extract",
        description="extract: sentences of the documents; llama: a GGUF; transformers: a folder; remote: a URL",
    )
    passages: int = Field(default=5, ge=1, le=50, description="passages that the generator sees")
    quotes: int = Field(default=3, ge=1, le=20, description="most quotes of an extractive answer")
    threshold: float | None = Field(default=None, ge=0, le=1, description="extract: below it, 'not found'")
    instructions: str = Field(default="", description="put behind the rules that a language model is given")
    max_tokens: int = Field(default=512, ge=1, description="most tokens that a language model writes")
    temperature: float = Field(default=0.0, ge=0, le=2, description="0: the same answer every time")
    followup: Literal["auto", "rules", "model", "off"] = Field(
        default="auto",
        description="how a follow-up question is made whole from the conversation: rules; model: the generator's, the "
        "rules where it fails; auto: model for remote, else rules; off: searched for as it is",
    )
    history_tokens: int = Field(
        default=1000, ge=0, description="of the conversation, by the encoder's tokenizer, that a follow-up is read with"
    )


class CacheSettings(Section):
    """Answers that are remembered; see docs/caching.md."""

    mode: Literal["auto", "semantic", "exact", "off"] = Field(
        default="auto",
        description="exact: the same question; semantic: one that means the same, too; auto: semantic where a language "
        "model answers, else exact",
    )
    llm: Literal["exact", "semantic", "off"] = Field(
        default="exact", description="the same for the bare language model, where temperature is 0"
    )
    threshold: float | None = Field(
        default=None, ge=0, le=1, description="least similarity of a question that means the same; None: as measured"
    )
    days: float = Field(default=30, gt=0, description="older answers go")
    megabytes: float = Field(default=200, gt=0, description="of the cache; beyond, what was not used for longest goes")


class GuardSettings(Section):
    """What is checked before it goes on; see docs/guards.md. Guards: length, language, patterns, personal, injection,
    classifier, topics, judge."""

    question: tuple[str, ...] = Field(default=(), description="guards of questions, in this order")
    passage: tuple[str, ...] = Field(
        default=("injection",), description="guards of the passages that a language model is given"
    )
    answer: tuple[str, ...] = Field(
        default=("personal",), description="guards of answers: each sentence is checked before it leaves"
    )
    redact: tuple[str, ...] = Field(
        default=("rrn", "frn", "passport", "driver", "card"),
        description="personal: kinds of data that are masked; see `damda guard kinds`",
    )
    block: tuple[str, ...] = Field(default=(), description="personal: kinds of data that stop the whole text")
    injection: Literal["flag", "redact", "block"] = Field(
        default="flag",
        description="what is done about planted instructions: flag: a language model is told that they are data; "
        "redact: they are masked; block: the passage is left out, the question refused",
    )
    unsupported: Literal["mark", "drop"] = Field(
        default="mark", description="sentences that no passage supports: marked, or left out"
    )
    max_chars: int = Field(default=8000, ge=1, description="length: most characters")
    languages: tuple[str, ...] = Field(default=("ko", "en"), description="language: those that are allowed")
    patterns: str = Field(default="", description="patterns: a file of regular expressions; see docs/guards.md")
    classifiers: tuple[str, ...] = Field(
        default=(), description="classifier: folders that `damda guard train` has made"
    )
    classifier: Literal["flag", "block"] = Field(default="block", description="classifier: what is done")
    topics: str = Field(default="", description="topics: a file of examples, allowed or forbidden; see docs/guards.md")
    judge: str = Field(default="", description="judge: what a language model is to refuse, in words, or a file with it")


class LlamaSettings(Section):
    """A GGUF model in this process."""

    model: str = Field(default="", description="a GGUF file, or a name that `damda models` lists")
    mode: Literal["quote", "write"] = Field(
        default="write", description="quote: only spans of the passages; write: free text, checked after"
    )
    context: int = Field(default=4096, ge=256, description="tokens of prompt and answer together, for one request")
    threads: int = Field(default=0, ge=0, description="0: as many as there are cores")
    slots: int = Field(
        default=1, ge=1, le=64, description="requests worked on at once; each has memory for llama.context tokens"
    )
    kv: bool = Field(default=False, description="keep what was computed of prompts on disk, in the home")
    kv_megabytes: float = Field(default=2000, gt=0, description="of that; beyond, what was not used for longest goes")


class TransformersSettings(Section):
    """A folder of transformers in this process: slow; for formats that llama.cpp does not read. Extra compress."""

    model: str = Field(default="", description="a folder with config.json and .safetensors, quantised or not")
    context: int = Field(default=4096, ge=256, description="tokens of prompt and answer together, for one request")
    threads: int = Field(default=0, ge=0, description="0: as many as there are cores")


class RemoteSettings(Section):
    """Any OpenAI-compatible chat endpoint."""

    url: str = Field(default="", description="base URL, e.g. http://127.0.0.1:8000/v1")
    model: str = Field(default="", description="its name there; empty: the only one that the server lists")
    api_key: str = Field(default="", repr=False, description="the key, if the server wants one")
    timeout: float = Field(default=60, gt=0, description="seconds without a byte before giving up")
    retries: int = Field(default=2, ge=0, description="tries again after 429, 5xx or no connection")


class ServeSettings(Section):
    """The service, `damda serve`; see docs/serving.md."""

    host: str = Field(
        default="127.0.0.1", description="address to listen on; any other than this machine's own needs a key"
    )
    port: int = Field(default=8080, ge=0, le=65535, description="0: any free one")
    workers: int = Field(default=1, ge=1, le=64, description="processes over one index, each with its own models")
    answers: int = Field(default=0, ge=0, le=1024, description="answers made at once; 0: as the generator can take")
    queue: int = Field(default=64, ge=1, description="requests that may wait; more are told to come back later (429)")
    batch: int = Field(default=32, ge=1, le=1024, description="most texts, or searches, that are worked on together")
    batch_wait: float = Field(default=0.002, ge=0, le=1, description="seconds to wait for others to join a batch")
    uploads: bool = Field(default=True, description="take uploads, into the folder damda-uploads among the documents")
    mcp: bool = Field(default=True, description="speak MCP at /mcp too, where the extra mcp is installed")
    max_upload: int = Field(default=50_000_000, gt=0, description="bytes of one upload, all its files together")
    max_body: int = Field(default=1_000_000, gt=0, description="bytes of any other request")
    rescan: float = Field(default=30, ge=0, description="seconds between looks at the folder for changes; 0: none")
    shutdown: float = Field(default=30, gt=0, description="seconds that running answers get after SIGTERM")


class TraceSettings(Section):
    """What is remembered of each answer and search; see docs/tracing.md."""

    on: bool = Field(default=True, description="keep traces in the home")
    content: bool = Field(default=False, description="with questions, passages and answers, not only sizes and scores")
    keep: int = Field(default=10_000, ge=1, description="traces; older ones go")
    keep_days: float = Field(default=30, gt=0, description="older traces go")
    otlp: str = Field(default="", description="send traces there too: an OTLP/HTTP URL; extra otlp")
    wandb: str = Field(default="", description="send figures of answers to this Weights & Biases project; extra wandb")


class Settings(Section):
    """All settings, frozen."""

    home: str = Field(default="", description="where the index lives; empty: .damda in the documents' folder")
    offline: bool = Field(default=False, description="never ask a model hub, even for a model that is named hub:...")
    read: ReadSettings = ReadSettings()
    chunk: ChunkSettings = ChunkSettings()
    encoder: EncoderSettings = EncoderSettings()
    image: ImageSettings = ImageSettings()
    search: SearchSettings = SearchSettings()
    rerank: RerankSettings = RerankSettings()
    answer: AnswerSettings = AnswerSettings()
    cache: CacheSettings = CacheSettings()
    guard: GuardSettings = GuardSettings()
    llama: LlamaSettings = LlamaSettings()
    transformers: TransformersSettings = TransformersSettings()
    remote: RemoteSettings = RemoteSettings()
    serve: ServeSettings = ServeSettings()
    trace: TraceSettings = TraceSettings()


def load(
    file: Path | None = None, flags: Mapping[str, Any] = NO_META, env: Mapping[str, str] | None = None
) -> Settings:
    """Settings from a TOML file, the environment and flags, in that order of increasing precedence.

    Args:
        file: a damda.toml; None for none.
        flags: dotted keys, e.g. ``{"search.mode": "bm25"}``; values that are None were not given.
        env: the environment; None: this process's.

    Raises:
        ConfigError: a key is unknown or a value impossible. Names the key, where it was set, and what is wrong.
    """
    return validated(sources_of(file, flags, env))


def find(
    file: str | os.PathLike[str] | None = None, flags: Mapping[str, Any] = NO_META, root: Path | None = None
) -> Settings:
    """Settings for documents at ``root``: from the damda.toml given, or found in the current folder or beside them;
    below them all, what their home has adopted.

    Raises:
        ConfigError: as in `load`.
        StoreError: what the home has adopted can't be read.
    """
    sources = sources_of(found(file, root), flags, None)
    settings = validated(sources)
    home = _home(settings, root)
    taken = adopted.read(home).settings if home else {}
    return validated([(str(home / adopted.FILE), taken), *sources]) if home and taken else settings


def home_for(file: str | os.PathLike[str] | None, flags: Mapping[str, Any], root: Path) -> Path:
    """The home of documents at ``root``, whatever it has adopted.

    Raises:
        ConfigError: as in `load`.
    """
    home = _home(validated(sources_of(found(file, root), flags, None)), root)
    assert home is not None
    return home


def changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """The settings with others instead, as dotted keys.

    Raises:
        ConfigError: a key is unknown or a value impossible.
    """
    return validated([("these settings", flat(settings.model_dump())), ("the changes", changes)])


def value_of(settings: Settings, key: str) -> Any:  # noqa: ANN401  whatever it is set to
    """The value of a dotted key."""
    return reduce(getattr, key.split("."), settings)


def describe() -> dict[str, str]:
    """All settings as dotted keys, each with what it is for."""
    known: dict[str, str] = {}
    for name, info in Settings.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, Section):
            known |= {f"{name}.{key}": inner.description or "" for key, inner in section.model_fields.items()}
        else:
            known[name] = info.description or ""
    return known


def found(file: str | os.PathLike[str] | None, root: Path | None) -> Path | None:
    """The damda.toml that counts, if any."""
    if file is not None:
        return Path(file)
    folders = [Path(), *([root if root.is_dir() else root.parent] if root else [])]
    return next((path for folder in folders if (path := folder / "damda.toml").is_file()), None)


def _home(settings: Settings, root: Path | None) -> Path | None:
    """None: there are no documents, and no home is set."""
    if root is None:
        return home_of(Path(), settings.home) if settings.home else None
    return home_of(root.expanduser().resolve(), settings.home)


def validated(sources: Sources) -> Settings:
    """Settings from what was set.

    Raises:
        ConfigError: as in `load`.
    """
    try:
        return Settings.model_validate(merged(sources))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][:2])
        unknown = first["type"] == "extra_forbidden"
        if unknown:
            # A section that does not exist is reported without the key in it; that is what was set, so say it whole.
            key = next((k for _, values in reversed(sources) for k in values if k.split(".")[0] == key), key)
        exact = [name for name, values in sources if key in values]
        below = [name for name, values in sources if any(k.startswith(f"{key}.") for k in values)]
        origin = (exact or below or ["settings"])[-1]
        what = f"unknown setting{_similar(key)}" if unknown else f"{first['msg']}, not {first['input']!r}"
        if origin.endswith(adopted.FILE):
            what += "; `damda tune rollback` undoes the last adoption"
        raise ConfigError(f"{key} in {origin}: {what}") from error


def _similar(key: str) -> str:
    close = get_close_matches(key, describe(), n=1)
    return f"; did you mean {close[0]}?" if close else "; `damda doctor --settings` lists all"
