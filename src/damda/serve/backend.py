"""What the routes ask: the knowledge base and the models, behind queues.

Knows: which work runs in which lane, and what is batched. Does not know: HTTP.
"""

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from damda import trace
from damda.answer.direct import Direct, Limits
from damda.assemble.service import Service
from damda.errors import DamdaError
from damda.generate.engine import cores
from damda.plain import plain
from damda.serve.batch import Batcher
from damda.serve.indexing import Indexing
from damda.serve.keys import Keys
from damda.serve.lanes import Lanes, each
from damda.serve.metrics import Metrics
from damda.serve.uploads import Uploads
from damda.types import Answer, Delta, Hit, Kind, Message, Mode, Recall, Where

log = logging.getLogger(__name__)

_LAST_SECONDS = 5.0
"""How long work that nobody waits for any more may take to notice."""


@dataclass(frozen=True, slots=True)
class Query:
    """One search; those that differ in the text alone are made together."""

    text: str
    k: int
    mode: Mode | None
    where: Where | None
    span: trace.Span = trace.OFF
    """Of the request that it belongs to."""

    def apart(self) -> str:
        """What searches must have in common to be made together."""
        return json.dumps([self.k, self.mode, plain(self.where)], sort_keys=True)


class Backend:
    """One process' share of the service.

    Args:
        service: what is served.
        keys: who may ask.
        rag: there are documents to answer from.
    """

    def __init__(self, service: Service, keys: Keys, *, rag: bool = True) -> None:
        self.rag = rag
        self.service, self.kb, self.settings, self.keys = service, service.kb, service.settings, keys
        serve, wide = self.settings.serve, cores()
        self.metrics = Metrics()
        self.uploads = Uploads(self.kb.root, images=bool(self.settings.image.name), on=serve.uploads)
        self.indexing = Indexing(self.kb, self.uploads)
        self.answering = Lanes("answers", service.answers, serve.queue)
        self.looking = Lanes("requests", 4, serve.queue)
        """For what reads the store and is over soon."""
        self._searching = Lanes("searches", wide, serve.queue)
        self._encoding = Lanes("texts", wide, serve.queue)
        size, wait, queue = serve.batch, serve.batch_wait, serve.queue
        self._searches = Batcher("searches", self._search, self._searching, size=size, wait=wait, queue=queue)
        self._texts = Batcher("embeddings", self._encode, self._encoding, size=size, wait=wait, queue=queue)
        self._pairs = Batcher("rerankings", self._score, self._encoding, size=size, wait=wait, queue=queue)
        self.ready = threading.Event()

    def warm(self) -> None:
        """Load everything that the first question would wait for. Blocks."""
        if not self.rag:  # the language model is elsewhere, or loads when it is first asked
            self.ready.set()
            return
        self.kb.warm()
        self.service.encoder.encode(["준비"], kind="query")
        if self.kb.exists():
            with trace.muted():
                self.kb.search("준비", 1)
            self.metrics.passages.set(self.kb.count())
            self.ready.set()

    async def close(self) -> bool:
        """Drop what waits, wait a little for what runs; whether all of it has ended."""
        self.indexing.stop()
        every = (self.answering, self.looking, self._searching, self._encoding, self.indexing.lanes)
        for lanes in every:
            lanes.close()
        end = time.monotonic() + _LAST_SECONDS
        while any(lanes.pending for lanes in every) and time.monotonic() < end:
            await asyncio.sleep(0.02)
        self.keys.close()
        return not any(lanes.pending for lanes in every)

    async def search(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """Hits for each query."""
        asking = trace.current()
        return await self._searches.ask([replace(query, span=asking) for query in queries])

    async def encode(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """Unit vectors, shape (len(texts), dim)."""
        with trace.embeddings(self.service.encoder.id, self.service.encoder.dim, len(texts)):
            return np.stack(await self._texts.ask([(kind, text) for text in texts]))

    async def score(self, query: str, passages: Sequence[str]) -> list[float]:
        """How well each passage answers."""
        with trace.reranking(self.service.scorer.id, len(passages)):
            return await self._pairs.ask([(query, passage) for passage in passages])

    def answer(
        self, question: str, history: Sequence[Message], where: Where | None, recall: Recall
    ) -> AsyncGenerator[Delta | Answer, None]:
        """Sentences as they are checked; last, the Answer."""
        return self._said(lambda: self.kb.stream(question, history=history, where=where, recall=recall))

    def chat(
        self, model: Direct, messages: Sequence[Message], limits: Limits, recall: Recall
    ) -> AsyncGenerator[Delta | Answer, None]:
        """A bare language model's answer to a conversation; last, the Answer."""
        return self._said(lambda: model.chat(messages, limits, recall=recall))

    def complete(
        self, model: Direct, prompt: str, limits: Limits, recall: Recall
    ) -> AsyncGenerator[Delta | Answer, None]:
        """How a bare language model goes on; last, the Answer."""
        return self._said(lambda: model.complete(prompt, limits, recall=recall))

    async def llm(self, name: str) -> Direct | None:
        """The bare language model of this name; None: there is none."""
        llms = self.service.llms
        return await self.looking.value(lambda: llms.get(name)) if llms else None

    async def llm_names(self) -> list[str]:
        """Names of the bare language models."""
        llms = self.service.llms
        return await self.looking.value(llms.names) if llms else []

    def _said(self, make: Callable[[], Iterator[Delta | Answer]]) -> AsyncGenerator[Delta | Answer, None]:
        """What is said, in a lane, below the span of the request."""
        asking = trace.current()

        def made() -> Iterator[Delta | Answer]:
            with asking.current():
                return make()

        return self.answering.stream(each(made))

    # --- in threads: a batch -> its results, an error in the place of each that failed --------------------------------

    def _search(self, queries: Sequence[Query]) -> list[list[Hit] | Exception]:
        self.metrics.batches.labels("search").observe(len(queries))
        found: list[list[Hit] | Exception] = [[] for _ in queries]
        groups: dict[str, list[int]] = {}
        for i, query in enumerate(queries):
            groups.setdefault(query.apart(), []).append(i)
        for rows in groups.values():
            one = queries[rows[0]]
            try:
                hits = self.kb.search_batch(
                    [queries[i].text for i in rows],
                    one.k,
                    where=one.where,
                    mode=one.mode,
                    parents=[queries[i].span for i in rows],
                )
            except DamdaError as error:
                for i in rows:
                    found[i] = error
                continue
            for i, of_one in zip(rows, hits, strict=True):
                found[i] = of_one
        return found

    def _encode(self, texts: Sequence[tuple[Kind, str]]) -> list[NDArray[np.float32] | Exception]:
        self.metrics.batches.labels("embedding").observe(len(texts))
        found: list[NDArray[np.float32] | Exception] = [np.empty(0, np.float32)] * len(texts)
        kinds: tuple[Kind, ...] = ("query", "passage")
        for kind in kinds:
            rows = [i for i, (wanted, _) in enumerate(texts) if wanted == kind]
            if rows:
                vectors = self.service.encoder.encode([texts[i][1] for i in rows], kind=kind)
                for i, vector in zip(rows, vectors, strict=True):
                    found[i] = vector
        return found

    def _score(self, pairs: Sequence[tuple[str, str]]) -> list[float | Exception]:
        self.metrics.batches.labels("rerank").observe(len(pairs))
        return list(self.service.scorer.score(pairs))
