"""``/v1/embeddings``, ``/v1/rerank``, ``/v1/models``.

Rerank's shape is Jina's and Cohere's. Knows: names of models, which kind of text is meant. Does not know: batching.
"""

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from damda.assemble.service import RAG
from damda.serve import openai
from damda.serve.backend import Backend
from damda.serve.errors import Refused
from damda.serve.lanes import until_gone
from damda.serve.openai import Body, EmbeddingsRequest, Short
from damda.types import Kind

_STARTED = int(time.time())


class Text(BaseModel):
    """A passage as an object; other fields are taken and ignored."""

    model_config = ConfigDict(extra="ignore")
    text: str


class RerankRequest(Body):
    """``POST /v1/rerank``."""

    model: Short = ""
    query: str
    documents: Annotated[list[str | Text], Field(min_length=1, max_length=1000)]
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool | None = False


def routes(backend: Backend) -> APIRouter:
    """The three routes."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])
    service = backend.service

    @router.post("/embeddings", response_model=None)
    async def embeddings(request: Request, asked: EmbeddingsRequest) -> Response:
        """Vectors of texts: of passages, or of questions where the model's name ends in `:query` or `input_type` says
        so. The two are encoded in different ways."""
        kind = kind_of(asked, service.names["encoder"])
        if asked.dimensions not in (None, service.encoder.dim):
            message = f"vectors have {service.encoder.dim} dimensions, no other number; leave dimensions out"
            raise Refused(400, message, "invalid_value", "dimensions")
        vectors = await until_gone(request, backend.encode(asked.texts, kind))
        tokens = sum(await backend.looking.value(lambda: service.encoder.count_tokens(asked.texts)))
        packed = asked.encoding_format == "base64"
        return JSONResponse(openai.embeddings(vectors, asked.model, tokens, base64=packed))

    @router.post("/rerank", response_model=None)
    async def rerank(request: Request, asked: RerankRequest) -> Response:
        """How well each document answers the query, best first."""
        name = service.names.get("reranker", service.names["encoder"])
        _known(asked.model, ("", name))
        texts = [text if isinstance(text, str) else text.text for text in asked.documents]
        scores = await until_gone(request, backend.score(asked.query, texts))
        order = sorted(range(len(texts)), key=lambda i: (-scores[i], i))[: asked.top_n]
        results: list[dict[str, object]] = [{"index": i, "relevance_score": scores[i]} for i in order]
        if asked.return_documents:
            for result, i in zip(results, order, strict=True):
                result["document"] = {"text": texts[i]}
        return JSONResponse({"model": name, "results": results, "usage": {"total_tokens": 0}})

    @router.get("/models")
    async def models() -> dict[str, object]:
        """The models that can be named in requests."""
        rows = [_row(name) for name in await names(backend)]
        return {"object": "list", "data": rows}

    @router.get("/models/{model:path}")
    async def model(model: str) -> dict[str, object]:
        """One of them."""
        _known(model, await names(backend))
        return _row(model)

    return router


async def names(backend: Backend) -> list[str]:
    """Every model's name."""
    named = backend.service.names
    encoder = named["encoder"]
    written = await backend.llm_names()
    reranker = [named["reranker"]] if "reranker" in named else []
    every = (*([RAG] if backend.rag else []), *written, encoder, f"{encoder}:query", f"{encoder}:passage", *reranker)
    return list(dict.fromkeys(every))


def _row(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": _STARTED, "owned_by": "damda"}


def _known(model: str, known: "tuple[str, ...] | list[str]") -> None:
    if model not in known:
        there = ", ".join(name for name in known if name)
        raise Refused(404, f"no such model here: {model[:80]!r}; there are: {there}", "model_not_found", "model")


def kind_of(asked: EmbeddingsRequest, encoder: str) -> Kind:
    """What the texts are: the model's name says it, else ``input_type``.

    Raises:
        Refused: the name is not that of the encoder.
    """
    by_name: dict[str, Literal["query", "passage"]] = {
        encoder: "query" if asked.input_type == "query" else "passage",
        f"{encoder}:query": "query",
        f"{encoder}:passage": "passage",
    }
    _known(asked.model, list(by_name))
    return by_name[asked.model]
