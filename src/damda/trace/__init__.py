"""What happened, when, and how long it took: OpenTelemetry spans, and where they go.

    with trace.span("bm25") as step:
        ...
        step.set({"damda.candidates": 50})

Knows: spans, their names, the sinks. Does not know: what the steps do. Until `start` is called nothing is imported and
next to no time is taken. docs/tracing.md is for readers of traces, docs/decisions/0014-tracing.md has the reasons.
"""

from damda.trace.genai import (
    answered,
    answering,
    asked,
    embeddings,
    generation,
    guarded,
    guarding,
    quoted,
    quoting,
    recalled,
    recalling,
    reranking,
    retrieval,
    running,
    searched,
    searching,
    spared,
)
from damda.trace.spans import OFF, Span
from damda.trace.tracing import Tracing, active, current, muted, note, span, start

__all__ = [
    "OFF",
    "Span",
    "Tracing",
    "active",
    "answered",
    "answering",
    "asked",
    "current",
    "embeddings",
    "generation",
    "guarded",
    "guarding",
    "muted",
    "note",
    "quoted",
    "quoting",
    "recalled",
    "recalling",
    "reranking",
    "retrieval",
    "running",
    "searched",
    "searching",
    "span",
    "spared",
    "start",
]
