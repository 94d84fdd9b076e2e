"""damda's steps as spans with OpenTelemetry's names for generative AI.

Knows: those names (https://github.com/open-telemetry/semantic-conventions-genai, July 2026), what is content, what
damda adds under ``damda.``. Does not know: where spans go.

Questions, prompts, answers and passages' texts are recorded only where `Span.content` says so.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from math import isfinite
from types import TracebackType

from damda.trace.spans import OFF, Span, Value
from damda.trace.tracing import active, note, span
from damda.types import Answer, Delta, Hit, Message, Place, Quote, Usage, Verdict

OPERATION, PROVIDER, MODEL = "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"
INPUT_TOKENS, OUTPUT_TOKENS = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
INPUT, OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
DOCUMENTS, QUERY = "gen_ai.retrieval.documents", "gen_ai.retrieval.query.text"
FOUND, QUOTES, UNSUPPORTED = "damda.found", "damda.quotes", "damda.unsupported"
BLOCKED, CACHED = "damda.blocked", "damda.cached"
TECHNIQUES, GUESSED, RIGHT = "damda.techniques", "damda.guessed", "damda.guessed.right"
READ_BEFORE = "gen_ai.usage.cache_read.input_tokens"
WORKFLOW = "answer"


def answering(*, parent: Span = OFF) -> Span:
    """The span of a whole answer. Not current: the answer is given out while it is made."""
    made = span(
        f"invoke_workflow {WORKFLOW}",
        {OPERATION: "invoke_workflow", "gen_ai.workflow.name": WORKFLOW},
        parent=parent,
        current=False,
    )
    made.hasten()
    return made


def asked(made: Span, question: str) -> None:
    """What an answer is made to, as its guards let it through."""
    if made.content:
        made.set({INPUT: _messages([Message("user", question)])})


def answered(made: Span, answer: Answer) -> None:
    """What came of it."""
    if not made:
        return
    facts: dict[str, Value] = {
        FOUND: answer.found,
        QUOTES: len(answer.quotes),
        UNSUPPORTED: len(answer.unsupported),
    }
    # A remembered answer has spent nothing.
    facts |= {CACHED: answer.cached} if answer.cached else _tokens(answer.usage)
    if answer.blocked:
        facts[BLOCKED] = True
    if made.content:
        facts[OUTPUT] = _messages([Message("assistant", answer.text)])
    made.set(facts)


def guarding(guard: str, place: Place, *, parent: Span) -> Span:
    """The span of a guard that looks at a text. The conventions have no name for it (yet)."""
    return span("guard", {"damda.place": place, "damda.guard": guard}, parent=parent)


def guarded(made: Span, verdicts: Sequence[Verdict]) -> None:
    """What the guard says, of one text or several. What it found is not repeated: it is what must not be seen."""
    if not made:
        return
    found = [verdict for verdict in verdicts if verdict.action != "allow"]
    facts: dict[str, Value] = {"damda.action": ", ".join(dict.fromkeys(v.action for v in found)) or "allow"}
    if found:
        facts["damda.rule"] = ", ".join(dict.fromkeys(verdict.rule for verdict in found))
    scores = [verdict.score for verdict in verdicts if isfinite(verdict.score)]
    if scores:
        facts["damda.score"] = round(max(scores), 4)
    made.set(facts)


def recalling(*, parent: Span) -> Span:
    """The span of a look into a cache."""
    return span("cache", parent=parent)


def recalled(made: Span, how: str) -> None:
    """Whether it was there: "exact", "semantic", or "" for a miss."""
    made.set({CACHED: how or "miss"})


class Retrieval:
    """The spans of a search: one, or one for each of the requests that it is made for. As a context manager, like one.

    The steps of a search for several are below the first of them; the others are linked to it.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans

    def __enter__(self) -> "Retrieval":
        self._spans[0].__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for made in self._spans:
            made.__exit__(kind, error, trace)

    def found(self, lists: Sequence[Sequence[Hit]]) -> None:
        """What was found for each query. A batch for one request is not told apart."""
        if len(lists) == len(self._spans):
            for made, hits in zip(self._spans, lists, strict=True):
                made.defer(DOCUMENTS, partial(_documents, hits, made.content))


def retrieval(source: str, searcher: str, queries: Sequence[str], k: int, parents: Sequence[Span] = ()) -> Retrieval:
    """The span of a search.

    Args:
        source: name of what is searched.
        searcher: its id, which begins with the mode.
        queries: one, or a batch.
        k: hits that are wanted of each.
        parents: the span above each query, where a batch was put together from several requests, or where it is not
            the current one.
    """
    facts: dict[str, Value] = {
        OPERATION: "retrieval",
        PROVIDER: "damda",
        "gen_ai.data_source.id": source,
        "gen_ai.retrieval.top_k": k,
        "damda.mode": searcher.partition("(")[0],
    }
    if len(queries) != 1:
        facts["damda.queries"] = len(queries)
    name = f"retrieval {source}".rstrip()
    spans: list[Span] = []
    for parent in parents or (OFF,):
        made = span(name, facts, kind="client", parent=parent, links=spans[:1], current=not spans)
        if made.content:
            made.set({QUERY: queries[len(spans)] if parents else "\n".join(queries)})
        spans.append(made)
    return Retrieval(spans)


def _documents(hits: Sequence[Hit], content: bool) -> str:
    return _json([_document(hit, content) for hit in hits])


def _document(hit: Hit, content: bool) -> dict[str, str | float]:
    shown: dict[str, str | float] = {"id": hit.chunk.id, "score": round(hit.score, 4)}
    if isfinite(hit.bm25):
        shown["bm25"] = round(hit.bm25, 3)
    if isfinite(hit.cosine):
        shown["cosine"] = round(hit.cosine, 4)
    if content:
        shown["content"] = hit.chunk.text
    return shown


def searching(by: str) -> Span:
    """The span of one of the searches that a retrieval is made of: bm25, dense."""
    return span(by)


def searched(made: Span, lists: Sequence[Sequence[tuple[int, float]]]) -> None:
    """How much it found, and the best score."""
    if made:
        made.set({"damda.candidates": sum(map(len, lists))})
        scores = [scored[0][1] for scored in lists if scored]
        if scores:
            made.set({"damda.best_score": round(max(scores), 4)})


def embeddings(encoder: str, dim: int, texts: int) -> Span:
    """The span of an encoder at work.

    Args:
        encoder: its id.
        dim: length of its vectors.
        texts: how many it is given.
    """
    if active() is None:
        return OFF
    operation, model = "embeddings", _model(encoder)
    facts = {OPERATION: operation, **model, "gen_ai.embeddings.dimension.count": dim, "damda.texts": texts}
    return span(f"{operation} {model[MODEL]}", facts, kind="client")


def reranking(reranker: str, hits: int) -> Span:
    """The span of a second look at hits. The conventions have no name for it (yet)."""
    if active() is None:
        return OFF
    operation = "rerank"
    facts = {OPERATION: operation, **_model(reranker), "damda.candidates": hits}
    return span(f"{operation} {facts[MODEL]}", facts, kind="client" if facts[PROVIDER] == "openai" else "internal")


def quoting(*, parent: Span) -> Span:
    """The span of a sentence that is tied to a quote."""
    return span("quote", parent=parent)


def quoted(made: Span, sentence: str, quote: Quote | None) -> None:
    """The quote; None: there is none."""
    if not made:
        return
    facts: dict[str, Value] = {"damda.supported": quote is not None}
    if quote is not None:
        facts |= {"damda.document": quote.doc_id, "damda.start": quote.start, "damda.end": quote.end}
    if made.content:
        facts["damda.sentence"] = sentence
    made.set(facts)


class Generation:
    """The span of text in the making; as a context manager, like a span."""

    def __init__(self, made: Span, model: Callable[[], str]) -> None:
        self._span, self._model = made, model
        self._named, self._begun, self._text = False, time.perf_counter(), list[str]()

    def __enter__(self) -> "Generation":
        self._span.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._span.__exit__(kind, error, trace)

    def steps(self, deltas: Iterator[Delta]) -> Iterator[Delta]:
        """The deltas; what makes them sees this span as the current one."""
        return self._span.steps(deltas)

    def took(self, delta: Delta) -> None:
        """A piece of text was made."""
        made = self._span
        if not made:
            return
        if not self._named:
            self._named = True
            self._name(self._model())
        if made.content:
            self._text.append(delta.text)
        facts: dict[str, Value] = {}
        if delta.usage:
            facts |= _tokens(delta.usage)
        if delta.finish:
            facts["gen_ai.response.finish_reasons"] = [delta.finish]
            if made.content:
                facts[OUTPUT] = _messages([Message("assistant", "".join(self._text))])
        if facts:
            made.set(facts)

    def _name(self, generator: str) -> None:
        operation = "extract" if generator.startswith("extract") else "chat"
        first = round(time.perf_counter() - self._begun, 4)
        facts = {OPERATION: operation, **_model(generator), "gen_ai.response.time_to_first_chunk": first}
        self._span.set(facts)
        self._span.rename(operation if operation == "extract" else f"{operation} {facts[MODEL]}")


def generation(
    prompt: Sequence[Message],
    max_tokens: int,
    temperature: float,
    *,
    model: Callable[[], str],
    parent: Span = OFF,
) -> Generation:
    """The span of a generator at work. Not current: text is given out while it is made.

    Args:
        prompt: what it is given.
        max_tokens, temperature: as it is told.
        model: tells its id; asked when its first words are there. A remote one may have to ask its server which model
            it has, and a trace must not be what asks first.
        parent: the span above; without, the current one.
    """
    facts: dict[str, Value] = {
        OPERATION: "chat",
        "gen_ai.request.max_tokens": max_tokens,
        "gen_ai.request.temperature": temperature,
        "gen_ai.request.stream": True,
    }
    made = span("chat", facts, parent=parent, current=False)
    if made.content:
        made.set({INPUT: _messages(prompt)})
    return Generation(made, model)


def running(techniques: Sequence[str]) -> None:
    """How the engine works that makes the text of the current span."""
    note({TECHNIQUES: list(techniques)})


def spared(cached: int, guessed: int, right: int) -> None:
    """What it did not have to compute: tokens of the prompt that it had read before; of guesses, all and right ones."""
    note({READ_BEFORE: cached, **({GUESSED: guessed, RIGHT: right} if guessed else {})})


@cache
def _model(id: str) -> Mapping[str, Value]:
    """Provider, model and server, as far as an id tells."""
    how, _, rest = id.partition(":")
    if how == "remote":
        # remote:MODEL@HOST, and of an encoder :PREFIX|PREFIX behind it. "openai" is the flavour of the API.
        name, _, server = rest.rpartition("@")
        host, _, port = server.partition(":")
        facts: dict[str, Value] = {PROVIDER: "openai", MODEL: name, "server.address": host}
        digits = port.partition(":")[0]
        return facts | ({"server.port": int(digits)} if digits.isdecimal() else {})
    if how == "llama":
        return {PROVIDER: "llama.cpp", MODEL: rest.partition(":")[0]}
    if how in ("openvino", "transformers"):
        return {PROVIDER: how, MODEL: rest.partition(":")[0]}
    return {PROVIDER: "damda", MODEL: id.partition("(")[0]}


def _tokens(usage: Usage) -> dict[str, Value]:
    """None where no language model was asked."""
    return {INPUT_TOKENS: usage.prompt_tokens, OUTPUT_TOKENS: usage.completion_tokens} if usage != Usage() else {}


def _messages(messages: Sequence[Message]) -> str:
    """In the conventions' JSON schema."""
    shown = [{"role": m.role, "parts": [{"type": "text", "content": m.content}]} for m in messages]
    return _json(shown)


def _json(value: object) -> str:
    from pydantic_core import to_json  # a fifth of the time that json takes

    return to_json(value).decode()
