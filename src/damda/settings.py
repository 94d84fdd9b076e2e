"""All settings: names, types, defaults, and what each is for.

Knows: which values are possible. Does not know: where a value came from (``config``), whether a model or a folder
exists.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from damda.types import Mode


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

    generator: Literal["extract", "llama", "openvino", "transformers", "remote"] = Field(
        default="extract",
        description="extract: the documents' sentences; llama, openvino: a GGUF; transformers: a folder; remote: a URL",
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
    each: int = Field(
        default=0,
        ge=0,
        le=20,
        description="quote: read so many passages each alone, in slots of their own, give the best quote; 0: together",
    )
    context: int = Field(default=4096, ge=256, description="tokens of prompt and answer together, for one request")
    threads: int = Field(default=0, ge=0, description="0: as many as there are cores")
    slots: int = Field(
        default=1, ge=1, le=64, description="requests worked on at once; each has memory for llama.context tokens"
    )
    kv: bool = Field(default=False, description="keep what was computed of prompts on disk, in the home")
    kv_megabytes: float = Field(default=2000, gt=0, description="of that; beyond, what was not used for longest goes")
    flash_attention: Literal["auto", "on", "off"] = Field(
        default="auto", description="attention without the matrix of all tokens by all"
    )
    cache: Literal["f16", "q8_0", "q4_0"] = Field(default="f16", description="form of keys and values in memory")
    speculation: Literal["none", "ngram", "draft"] = Field(
        default="none", description="guess ahead: ngram: what followed the same words before; draft: a smaller model"
    )
    draft: str = Field(default="", description="speculation draft: a smaller GGUF with the same vocabulary")
    guess: int = Field(default=8, ge=1, le=64, description="speculation: tokens of a guess, at most")
    rope: Literal["none", "linear", "yarn"] = Field(
        default="none", description="positions beyond those that the model was trained for"
    )
    rope_factor: float = Field(default=1, ge=1, description="rope: by how much longer")
    lora: tuple[str, ...] = Field(default=(), description="LoRA adapters, GGUF files; adapter.gguf=0.5 counts half")
    prompt_megabytes: int = Field(default=0, ge=0, description="memory for prompts that were read before")


class TransformersSettings(Section):
    """A folder of transformers in this process: slow; for formats that llama.cpp does not read. Extra compress."""

    model: str = Field(default="", description="a folder with config.json and .safetensors, quantised or not")
    context: int = Field(default=4096, ge=256, description="tokens of prompt and answer together, for one request")
    threads: int = Field(default=0, ge=0, description="0: as many as there are cores")


class OpenvinoSettings(Section):
    """A GGUF, or a folder of OpenVINO's own: fast at reading prompts and with many requests at once. Extra openvino."""

    model: str = Field(default="", description="a GGUF file, a name that `damda models` lists, or a folder of OpenVINO")
    mode: Literal["quote", "write"] = Field(
        default="write", description="quote: only spans of the passages; write: free text, checked after"
    )
    context: int = Field(default=4096, ge=256, description="tokens of prompt and answer together, for one request")
    threads: int = Field(default=0, ge=0, description="0: as many as there are cores")
    slots: int = Field(
        default=8,
        ge=1,
        le=256,
        description="requests worked on at once; each has memory for openvino.context tokens",
    )
    batch: int = Field(default=512, ge=16, description="tokens of all requests that are computed at once")
    prefixes: bool = Field(
        default=False, description="keep what was computed of prompts in memory, as long as it has room"
    )
    speculation: Literal["none", "ngram", "draft"] = Field(
        default="none", description="guess ahead: ngram: what followed the same words before; draft: a smaller model"
    )
    draft: str = Field(default="", description="speculation draft: a folder of OpenVINO with the same vocabulary")
    guess: int = Field(default=5, ge=1, le=64, description="speculation: tokens of a guess, at most")


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
    openvino: OpenvinoSettings = OpenvinoSettings()
    remote: RemoteSettings = RemoteSettings()
    serve: ServeSettings = ServeSettings()
    trace: TraceSettings = TraceSettings()
