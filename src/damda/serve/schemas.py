"""What answers look like, as JSON Schema, for the OpenAPI description.

Knows: names and types of fields. Does not know: routes' code, what fields mean; docs/decisions/0013-serving.md says it.
A test sends thousands of requests and compares the answers with this.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
INT: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOL: Schema = {"type": "boolean"}
ANY: Schema = {"type": "object"}


def obj(**fields: Schema) -> Schema:
    """An object that has all these fields."""
    return {"type": "object", "required": [*fields], "properties": fields}


def rows(of: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": of}


def maybe(what: Schema) -> Schema:
    """The same, or null."""
    return {"anyOf": [what, {"type": "null"}]}


def by_name(of: Schema) -> Schema:
    """An object with any names."""
    return {"type": "object", "additionalProperties": of}


ERROR = obj(error=obj(message=TEXT, type=TEXT, param=maybe(TEXT), code=maybe(TEXT)))
_PLACE = {"text": TEXT, "doc_id": TEXT, "start": INT, "end": INT, "title": TEXT, "heading": TEXT, "source": TEXT}
_CHUNK = obj(id=TEXT, version=TEXT, **_PLACE)
_HIT = obj(chunk=_CHUNK, score=maybe(NUMBER), by=TEXT, cosine=maybe(NUMBER), bm25=maybe(NUMBER))
_QUOTE = obj(n=INT, version=TEXT, page=maybe(INT), answer=maybe(rows(INT)), **_PLACE)
_VERDICT = obj(place=TEXT, guard=TEXT, action=TEXT, rule=TEXT, score=maybe(NUMBER), passage=TEXT)
_REMARKS = {"cached": TEXT, "cached_for": TEXT, "verdicts": rows(_VERDICT), "trace_id": TEXT}
_FROM_DOCUMENTS = obj(found=BOOL, quotes=rows(_QUOTE), unsupported=rows(TEXT), asked=TEXT, **_REMARKS)
_DAMDA = {"anyOf": [_FROM_DOCUMENTS, obj(**_REMARKS)]}  # of a bare language model the second
_USAGE = obj(prompt_tokens=INT, completion_tokens=INT, total_tokens=INT)
_HEAD = {"id": TEXT, "object": TEXT, "created": INT, "model": TEXT}
_MODEL = obj(id=TEXT, object=TEXT, created=INT, owned_by=TEXT)
_VECTOR = obj(object=TEXT, index=INT, embedding={"anyOf": [rows(NUMBER), TEXT]})
_STATE = obj(source=TEXT, error=TEXT)


def _completion(choice: Schema) -> Schema:
    return obj(**_HEAD, choices=rows(choice), usage=_USAGE, damda=_DAMDA)


_CHAT = _completion(obj(index=INT, message=obj(role=TEXT, content=TEXT), finish_reason=TEXT))
_WRITTEN = _completion(obj(index=INT, text=TEXT, finish_reason=TEXT))
_CHANGED = obj(saved=rows(TEXT), refused=rows(obj(name=TEXT, reason=TEXT)), report=ANY)
_STATUS = obj(
    name=TEXT,
    version=TEXT,
    encoder=TEXT,
    documents=INT,
    chunks=INT,
    images=INT,
    pending=INT,
    failed=rows(_STATE),
    generator=TEXT,
    mode=TEXT,
    modes=rows(TEXT),
    models=rows(TEXT),
    uploads=BOOL,
    formats=rows(TEXT),
    max_upload=INT,
    trace=BOOL,
)
_LISTED = obj(
    documents=rows(obj(id=TEXT, source=TEXT, version=TEXT, uploaded=BOOL)),
    total=INT,
    failed=rows(obj(source=TEXT, error=TEXT, uploaded=BOOL)),
)
_DOCUMENT = obj(id=TEXT, text=TEXT, title=TEXT, source=TEXT, version=TEXT, meta=by_name(TEXT), pages=rows(INT))
_TRACE = obj(trace_id=TEXT, name=TEXT, started=NUMBER, seconds=maybe(NUMBER), status=TEXT, question=maybe(TEXT))
_SPAN = obj(span_id=TEXT, parent_id=maybe(TEXT), name=TEXT, start=NUMBER, seconds=NUMBER, status=TEXT, attributes=ANY)

JSON, STREAM, PLAIN = "application/json", "text/event-stream", "text/plain"


def _in(schema: Schema, *others: str) -> dict[str, Schema]:
    """Content of a response: JSON, or events."""
    return {JSON: {"schema": schema}, **{other: {"schema": obj(data=TEXT)} for other in others}}


SUCCESS: dict[tuple[str, str], dict[str, Schema]] = {
    ("post", "/v1/chat/completions"): _in(_CHAT, STREAM),
    ("post", "/v1/completions"): _in(_WRITTEN, STREAM),
    ("post", "/v1/embeddings"): _in(
        obj(object=TEXT, data=rows(_VECTOR), model=TEXT, usage=obj(prompt_tokens=INT, total_tokens=INT))
    ),
    ("post", "/v1/rerank"): _in(obj(model=TEXT, results=rows(obj(index=INT, relevance_score=maybe(NUMBER))))),
    ("get", "/v1/models"): _in(obj(object=TEXT, data=rows(_MODEL))),
    ("get", "/v1/models/{model}"): _in(_MODEL),
    ("post", "/api/search"): _in(obj(results=by_name(rows(_HIT)), trace_id=TEXT)),
    ("get", "/api/traces"): _in(obj(traces=rows(_TRACE), next=maybe(NUMBER))),
    ("get", "/api/traces/{trace_id}"): _in({**_TRACE, "properties": {**_TRACE["properties"], "spans": rows(_SPAN)}}),
    ("post", "/api/traces/{trace_id}/feedback"): _in(obj(trace_id=TEXT, score=INT)),
    ("get", "/api/status"): _in(_STATUS),
    ("get", "/api/documents"): _in(_LISTED),
    ("post", "/api/documents"): _in(_CHANGED, STREAM),
    ("delete", "/api/documents"): _in(_CHANGED, STREAM),
    ("post", "/api/index"): _in(_CHANGED, STREAM),
    ("get", "/api/document"): _in(_DOCUMENT),
    ("get", "/health"): _in(obj(status=TEXT)),
    ("get", "/ready"): _in(obj(status=TEXT)),
    ("get", "/metrics"): {PLAIN: {"schema": TEXT}},
}
"""(method, path) -> content of the answer when all went well. A stream's events are JSON, or ``[DONE]``."""
