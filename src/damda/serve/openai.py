"""OpenAI's shapes: what its clients send, and what they expect back.

Format: https://platform.openai.com/docs/api-reference. Knows: field names, footnotes, the ``damda`` field beside
OpenAI's. Does not know: HTTP, models, where an answer comes from.

Parameters that an answer would be wrong without are refused (several choices, tools, log probabilities); those
that only tune (top_p, seed, penalties) are taken and ignored, since clients send them always.
"""

import base64
import json
import re
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from damda.plain import plain
from damda.types import NO_META, Answer, Finish, Message, Quote, Usage, Where

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Short = Annotated[str, StringConstraints(max_length=1000)]

_MARK = re.compile(r"(?<=\s)\[(\d{1,3})\](?=\s|$)")
_MOST_TEXTS = 2048


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Body(_Request):
    """The whole of a request."""

    @model_validator(mode="before")
    @classmethod
    def _characters(cls, data: Any) -> Any:  # noqa: ANN401  whatever was sent
        """JSON can hold halves of surrogate pairs. They are no characters: no model reads them, and a text that can't
        be encoded would spoil the batch that it is in for others."""
        try:
            if isinstance(data, dict):
                json.dumps(data, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("a text has half of a surrogate pair in it, which is no character") from error
        return data


class Filter(_Request):
    """Which documents count; see ``types.Where``."""

    source: Short = ""
    glob: Short = ""
    meta: dict[str, str] = Field(default_factory=dict, max_length=32)

    def where(self) -> Where | None:
        """None when nothing is filtered."""
        if not (self.source or self.glob or self.meta):
            return None
        return Where(self.source, self.glob, self.meta or NO_META)


class Extension(_Request):
    """What damda takes beside OpenAI's fields."""

    footnotes: bool = Field(default=True, description="quotes as Markdown footnotes under the text")
    where: Filter = Filter()


class StreamOptions(_Request):
    include_usage: bool | None = False


class Part(_Request):
    """A part of a message; only text is understood."""

    type: str
    text: str = ""


class ChatMessage(_Request):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None

    def message(self) -> Message:
        """As damda has it.

        Raises:
            ValueError: it holds something else than text.
        """
        if self.role in ("tool", "function"):
            raise ValueError("messages of tools are not supported")
        role: Literal["system", "user", "assistant"] = (
            "system" if self.role in ("system", "developer") else "user" if self.role == "user" else "assistant"
        )
        if isinstance(self.content, str) or self.content is None:
            return Message(role, self.content or "")
        if other := next((part.type for part in self.content if part.type != "text"), None):
            raise ValueError(f"content of type {other!r} is not supported; only text is")
        return Message(role, "\n".join(part.text for part in self.content))


class _Written(Body):
    """What chat and plain completions share."""

    model: Short
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    stop: Short | Annotated[list[Short], Field(max_length=4)] | None = None
    n: int | None = Field(default=1, description="1; more are not supported")
    damda: Extension = Extension()

    @field_validator("n")
    @classmethod
    def _one(cls, value: int | None) -> int | None:
        if value not in (None, 1):
            raise ValueError("only one choice is made; leave n out")
        return value

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or ())

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


class Schema(_Request):
    """A JSON schema with a name, which nobody here needs."""

    schema_: dict[str, Any] = Field(alias="schema")


class Format(_Request):
    """What a text shall be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: Schema | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Format":
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("response_format of type json_schema wants a json_schema with a schema")
        return self


class ChatRequest(_Written):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1000)]
    max_completion_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    tools: list[dict[str, Any]] | None = Field(default=None, description="not supported")
    logprobs: bool | None = Field(default=None, description="not supported")
    response_format: Format | None = Field(default=None, description="json_schema, json_object (not model damda), text")

    @model_validator(mode="after")
    def _answerable(self) -> "ChatRequest":
        if self.tools:
            raise ValueError("tools are not supported; leave them out")
        if self.logprobs:
            raise ValueError("logprobs are not supported; leave it out")
        self.conversation()
        return self

    def conversation(self) -> list[Message]:
        """The messages as damda has them, none of them empty."""
        said = [message for given in self.messages if (message := given.message()).content.strip()]
        if not said or said[-1].role != "user":
            raise ValueError("the last message must be the user's question, and not empty")
        return said

    @property
    def most_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def schema_text(self) -> str:
        """The JSON schema of the answer; "": any text."""
        wanted = self.response_format
        if wanted is None or wanted.type == "text":
            return ""
        return json.dumps(wanted.json_schema.schema_ if wanted.json_schema else {"type": "object"})


class CompletionRequest(_Written):
    """``POST /v1/completions``."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]
    echo: bool | None = Field(default=None, description="not supported")
    suffix: str | None = Field(default=None, description="not supported")
    logprobs: int | None = Field(default=None, description="not supported")

    @model_validator(mode="after")
    def _answerable(self) -> "CompletionRequest":
        if self.echo or self.suffix or self.logprobs:
            raise ValueError("echo, suffix and logprobs are not supported; leave them out")
        if not self.text.strip():
            raise ValueError("the prompt is empty")
        return self

    @property
    def text(self) -> str:
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]


class EmbeddingsRequest(Body):
    """``POST /v1/embeddings``.

    ``input_type`` is not OpenAI's: question or passage, where the model's name doesn't say.
    """

    model: Short
    input: str | Annotated[list[str], Field(min_length=1, max_length=_MOST_TEXTS)]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(default=None, description="the model's own, or left out")
    input_type: Literal["query", "passage", "document"] | None = None

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


def chat_completion(answer: Answer, model: str, *, footnotes: bool) -> dict[str, object]:
    """The body of a chat completion for an answer from the documents, with the ``damda`` field."""
    text = with_footnotes(answer) if footnotes else answer.text
    return chat(text, model, finish_of(answer), answer.usage) | {"damda": extension(answer)}


def finish_of(answer: Answer) -> Finish:
    """How the text of an answer from the documents ended."""
    return "content_filter" if answer.blocked else "stop"


def chat(text: str, model: str, finish: Finish, usage: Usage) -> dict[str, object]:
    """The body of a chat completion."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return head("chat.completion", model) | {"choices": [choice], "usage": counted(usage)}


def completion(text: str, model: str, finish: Finish, usage: Usage) -> dict[str, object]:
    """The body of a plain completion."""
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return head("text_completion", model) | {"choices": [choice], "usage": counted(usage)}


def embeddings(vectors: "NDArray[np.float32]", model: str, tokens: int, *, base64: bool) -> dict[str, object]:
    """The body for vectors of shape (n, dim); ``base64``: as little-endian float32."""
    rows = [_packed(row) if base64 else row.tolist() for row in vectors]
    data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def head(kind: str, model: str) -> dict[str, object]:
    """What every completion, and every chunk of one, begins with."""
    prefix = "cmpl" if kind == "text_completion" else "chatcmpl"
    return {"id": f"{prefix}-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def counted(usage: Usage) -> dict[str, int]:
    """Usage; zeros where no language model was asked."""
    total = usage.prompt_tokens + usage.completion_tokens
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": total,
    }


def extension(answer: Answer) -> dict[str, object]:
    """The ``damda`` field: what OpenAI's shape has no place for."""
    return {
        "found": answer.found,
        "quotes": [{"n": n, **plain(quote)} for n, quote in enumerate(answer.quotes, 1)],
        "unsupported": list(answer.unsupported),
        "asked": answer.asked,
        **remarks(answer),
    }


def remarks(answer: Answer) -> dict[str, object]:
    """The ``damda`` field of what the bare language model says."""
    return {
        "cached": answer.cached,
        "cached_for": answer.cached_for,
        "verdicts": [
            {
                "place": verdict.place,
                "guard": verdict.guard,
                "action": verdict.action,
                "rule": verdict.rule,
                "score": plain(verdict.score),
                "passage": verdict.passage,
            }
            for verdict in answer.verdicts
        ],
        "trace_id": answer.trace_id,
    }


def as_footnotes(text: str) -> str:
    """``[1]``, as damda marks quotes, as ``[^1]``."""
    return _MARK.sub(r"[^\1]", text)


def footnotes(quotes: Sequence[Quote]) -> str:
    """The notes themselves, each quote with its place; "" for no quotes."""
    lines = []
    for n, quote in enumerate(quotes, 1):
        page = f"p. {quote.page}" if quote.page else ""
        place = " · ".join(part for part in (quote.source or quote.doc_id, page, quote.heading) if part)
        lines.append(f"[^{n}]: “{' '.join(quote.text.split())}” ({place}, {quote.start}–{quote.end})")
    return "\n\n" + "\n".join(lines) if lines else ""


def with_footnotes(answer: Answer) -> str:
    """The whole text with its notes."""
    return as_footnotes(answer.text) + footnotes(answer.quotes)


def _packed(row: "NDArray[np.float32]") -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode("ascii")
