"""Every piece of data that crosses a room, and the Protocols that rooms fulfil for one another.

Knows: shapes and invariants. Does not know: files, models, settings, or any other module of damda.

Data flows one way: file -> Document -> Chunk -> (store) -> Hit -> Message -> Delta -> Answer.
Offsets are Python string offsets (code points) into ``Document.text``, which is always NFC.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Mode = Literal["hybrid", "bm25", "dense", "rrf", "convex", "rerank"]
Kind = Literal["query", "passage"]
Role = Literal["system", "user", "assistant"]
Place = Literal["question", "passage", "answer"]
Action = Literal["allow", "flag", "redact", "block"]
Finish = Literal["stop", "length", "content_filter"]
Recall = Literal["use", "renew", "off"]
"""Of a cache: take what it has; make it anew and keep that; neither take nor keep."""

NO_META: Mapping[str, str] = MappingProxyType({})

NOT_FOUND = "NOT_FOUND"
"""What a Generator streams, and nothing else, when the passages do not answer the question."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text with an identity.

    Attributes:
        id: stable name: the path below the indexed folder with ``/`` between parts, or the id in a corpus.jsonl.
        text: NFC text, Markdown where the file had structure (headings, lists, tables).
        title: the document's own title, else its file name without ending.
        source: the file that it came from, relative to the indexed folder (several documents share a corpus.jsonl).
        version: hash of the bytes that it was read from.
        meta: free fields; a search can filter by them.
        pages: offset in ``text`` at which each page starts, first page first; empty where there are no pages.
    """

    id: str
    text: str
    title: str = ""
    source: str = ""
    version: str = ""
    meta: Mapping[str, str] = field(default_factory=lambda: NO_META)
    pages: tuple[int, ...] = ()

    def page_at(self, offset: int) -> int | None:
        """Page number, from 1, that holds the character at ``offset``; None where the document has no pages."""
        return bisect_right(self.pages, offset) or None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: a span of a document. ``document.text[start:end] == text``, always.

    ``title`` and ``heading`` (the path of headings above the passage) are context for encoders and readers; they
    are no part of ``text`` and have no offsets.
    """

    id: str
    doc_id: str
    text: str
    start: int
    end: int
    title: str = ""
    heading: str = ""
    source: str = ""
    version: str = ""

    def in_context(self) -> str:
        """The passage as models and indexes see it: title and headings above its text."""
        return "\n".join(part for part in (self.title, self.heading, self.text) if part)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that a search found. ``by`` names the search: bm25, dense, rrf, convex, hybrid, rerank, image.

    An image is a passage without text, from 0 to 0; its file is ``chunk.source``.

    Scores of different searches can't be compared; ``cosine`` and ``bm25`` carry the parts of a fused score where
    they are known (NaN where not), for readers that judge how sure a hit is.
    """

    chunk: Chunk
    score: float
    by: str
    cosine: float = float("nan")
    bm25: float = float("nan")


@dataclass(frozen=True, slots=True)
class Quote:
    """Words of a document, verbatim: ``document.text[start:end] == text`` was checked against the stored document.
    Where a guard masks something, a `MASK` stands in the place of each character of it, and nothing else differs.

    ``answer`` is the date or quantity in it that the question asks for, as offsets into the document; None where the
    question asks for something else, or the quote has none. ``version`` is the document's that it was compared with.
    """

    text: str
    doc_id: str
    start: int
    end: int
    source: str = ""
    title: str = ""
    heading: str = ""
    page: int | None = None
    answer: tuple[int, int] | None = None
    version: str = ""

    @property
    def short(self) -> str:
        """The words that ``answer`` points at; "" for None."""
        return self.text[self.answer[0] - self.start : self.answer[1] - self.start] if self.answer else ""


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of generated text; the last one of a stream has ``finish``."""

    text: str = ""
    finish: Finish | None = None
    usage: Usage | None = None


MASK = "\u25cf"
"""Stands in the place of each character that a guard redacts, so that every offset stays what it was."""


class Found(NamedTuple):
    """Something that a guard looks for, at ``text[start:end]``; ``rule`` names it: "rrn", "toxic"."""

    rule: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a guard makes of a text.

    Attributes:
        action: allow: it goes on as it is; flag: so too, with a warning; redact: with what was found masked; block: not
            at all.
        text: what may go on: as long as the text that was checked, each redacted character a `MASK`; "" for block.
        found: what the action is for, in the order in which it stands in the text.
        score: how sure the guard is, on its own scale; NaN for rules.
        guard: which guard: "personal".
        place: what was checked; set by whoever asked the guard.
        passage: id of the passage that was checked.
    """

    action: Action
    text: str
    found: tuple[Found, ...] = ()
    score: float = float("nan")
    guard: str = ""
    place: Place = "question"
    passage: str = ""

    @property
    def allowed(self) -> bool:
        """Whether the text goes on, be it redacted."""
        return self.action != "block"

    @property
    def rule(self) -> str:
        """Names of what was found, each once: "rrn, phone"."""
        return ", ".join(dict.fromkeys(found.rule for found in self.found))


@dataclass(frozen=True, slots=True)
class Answer:
    """What ``ask`` returns.

    Attributes:
        text: for people; ``[1]`` refers to ``quotes[0]``.
        found: False when the documents do not answer the question; ``text`` then says so.
        quotes: verbatim and located, in the order in which ``text`` refers to them.
        hits: the passages that the answer was made from, best first.
        unsupported: sentences of ``text`` that no passage supports; always empty for extractive answers.
        asked: the question as it was searched for, where a follow-up was made whole from the conversation; else "".
        verdicts: of the guards that found something.
        cached: "exact" or "semantic" for an answer that was remembered; "" for one that was made now.
        cached_for: the earlier question whose answer it is, where that was another one.
        trace_id: of the trace that tells how the answer was made; "" where none is kept.
    """

    text: str
    found: bool = True
    quotes: tuple[Quote, ...] = ()
    hits: tuple[Hit, ...] = ()
    unsupported: tuple[str, ...] = ()
    usage: Usage = Usage()
    asked: str = ""
    verdicts: tuple[Verdict, ...] = ()
    cached: str = ""
    cached_for: str = ""
    trace_id: str = ""

    @property
    def blocked(self) -> bool:
        """Whether a guard withheld the answer, or the rest of it."""
        return any(not verdict.allowed and verdict.place != "passage" for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class Where:
    """A filter on passages; all given conditions must hold.

    Attributes:
        source: exact ``Document.source``.
        glob: shell pattern over ``Document.source``; ``*`` stays within a folder, ``**`` crosses folders.
        meta: fields of ``Document.meta`` that must have these values.
    """

    source: str = ""
    glob: str = ""
    meta: Mapping[str, str] = field(default_factory=lambda: NO_META)


class Encoder(Protocol):
    """Text to vectors. ``id`` changes whenever the vectors would: two encoders' vectors are never mixed."""

    @property
    def id(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def encode(self, texts: Sequence[str], *, kind: Kind) -> "NDArray[np.float32]":
        """Unit-length vectors, shape (len(texts), dim). ``kind`` has no default: a forgotten prefix fails silently."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens that each text takes of the encoder's window, prefix and special tokens not counted."""
        ...


class ImageEncoder(Protocol):
    """Text and images to vectors of one space. ``id`` changes whenever the vectors would."""

    @property
    def id(self) -> str: ...

    def encode(self, texts: Sequence[str], *, kind: Kind) -> "NDArray[np.float32]":
        """Unit-length vectors, shape (len(texts), dim); what does not fit the window is cut off."""
        ...

    def encode_images(self, images: Sequence[bytes]) -> "NDArray[np.float32]":
        """Unit-length vectors of image files' content, shape (len(images), dim); ReadError where there is no image."""
        ...


class Analyser(Protocol):
    """Text to the words that a lexical search knows. ``id`` changes whenever they would."""

    @property
    def id(self) -> str: ...

    def content(self, texts: Sequence[str]) -> list[list[str]]: ...


class Morpheme(NamedTuple):
    """A morpheme as it stands in a text: ``text[start:end]``, ``form`` in its dictionary form, Kiwi's ``tag``."""

    form: str
    tag: str
    start: int
    end: int


class Tagger(Protocol):
    """Text to its morphemes, all of them, in order."""

    def tags(self, texts: Sequence[str]) -> list[list[Morpheme]]: ...


class Searcher(Protocol):
    """Questions to passages. Batch in, batch out; hybrid search is a Searcher too."""

    @property
    def id(self) -> str: ...

    def search(self, queries: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        """At most ``k`` hits for each query, best first."""
        ...


class Reranker(Protocol):
    """Puts hits in another order, by reading question and passage together."""

    @property
    def id(self) -> str: ...

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """All the hits, best first; ``by`` tells which were scored."""
        ...


class Scorer(Protocol):
    """How well a passage answers a question, as a number; for texts that are no hits. ``id`` is the model's."""

    @property
    def id(self) -> str: ...

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """A number for each (question, passage), higher for better; comparable for the same question."""
        ...


class Generator(Protocol):
    """Messages to text. Streaming is the primitive; a whole answer is a drain of the stream.

    ``passages`` are the passages that the answer may quote, best first. They stand in the messages too, for models that
    just read text; generators that choose or constrain spans (extract, llama in quote mode) take them from here.
    The question is the content of the last message.
    """

    @property
    def id(self) -> str: ...

    def stream(
        self,
        messages: Sequence[Message],
        *,
        passages: Sequence[Hit] = (),
        max_tokens: int = 512,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> Iterator[Delta]: ...


class Completer(Protocol):
    """Text that goes on where a prompt ends: no chat template, no passages. A stream like a Generator's."""

    @property
    def id(self) -> str: ...

    def complete(
        self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, stop: Sequence[str] = ()
    ) -> Iterator[Delta]: ...


class Guard(Protocol):
    """Looks at a text before it goes on. ``id`` changes whenever its verdicts would: answers are remembered by it."""

    @property
    def id(self) -> str: ...

    def check(self, text: str, hits: Sequence[Hit] = ()) -> Verdict:
        """What to do with a text; ``hits`` are the passages that an answer was made from."""
        ...


class Cache(Protocol):
    """Remembers answers. ``scope`` names everything else that one depends on: documents, generator, prompt, guards,
    filter. Nothing is answered from another scope."""

    def get(self, question: str, scope: str) -> Answer | None: ...

    def put(self, question: str, scope: str, answer: Answer) -> None: ...


class Progress(Protocol):
    """Told about long work: ``progress("encode", 120, 3400)``. Units are the caller's; total 0 means unknown."""

    def __call__(self, what: str, done: int, total: int) -> None: ...


def quiet(what: str, done: int, total: int) -> None:
    """The Progress that says nothing."""
