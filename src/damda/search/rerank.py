"""A second look at the best hits, by a model that reads question and passage together.

Knows: cross-encoders in ONNX, servers with ``/v1/rerank``, a budget of time; also scores for pairs that are no hits.
Does not know: how hits were found.

Off unless ``search.mode`` is "rerank": a reranker costs more than the search itself, and has to show on questions of
one's own that it puts the hits in a better order (`damda eval --modes hybrid,rerank`).
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import zip_longest
from math import exp, inf
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from damda import trace
from damda.api import Api
from damda.errors import RerankerError, WeightsError
from damda.korean import nfc
from damda.runtime import model_file, model_length, open_session, open_tokenizer
from damda.search.window import shortened
from damda.types import Encoder, Hit, Reranker, Searcher, Where

_BATCH = 8
_INPUTS = frozenset(("input_ids", "attention_mask", "token_type_ids"))


class Reranked:
    """A searcher whose best hits are put in another order. Fits ``Searcher``.

    Args:
        searcher: finds.
        reranker: orders.
        top: hits that are looked at again.
    """

    def __init__(self, searcher: Searcher, reranker: Reranker, top: int) -> None:
        self.id = f"rerank({searcher.id},{reranker.id},{top})"
        self._searcher, self._reranker, self._top = searcher, reranker, top

    def search(self, queries: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        """At most ``k`` hits for each query; those beyond ``top`` follow in the order in which they were found."""
        found = self._searcher.search(queries, max(k, self._top), where)
        return [
            in_order(self._reranker, query, hits, self._top)[:k] for query, hits in zip(queries, found, strict=True)
        ]


def in_order(reranker: Reranker, query: str, hits: Sequence[Hit], top: int) -> list[Hit]:
    """The first ``top`` hits in the reranker's order, then the others in their own."""
    best = hits[:top]
    with trace.reranking(reranker.id, len(best)):
        return [*reranker.rerank(query, best), *hits[top:]]


class OnnxReranker:
    """A cross-encoder. Fits ``Reranker``; opening is cheap, the model loads with the first question.

    Args:
        folder: holds ``model.onnx`` or ``onnx/model.onnx``, and ``tokenizer.json``; the model answers one number a
            pair, or two of which the second says "relevant".
        max_tokens: of question and passage together; longer passages are cut, there or where the model ends.
        window: tokens of a passage's text that are read, those that have most to do with the question; 0: all.
        budget: seconds a question; what is not scored by then keeps its place behind what is.
        weight: what a unit of the score that a hit was found with counts beside the model's logit.
        ceiling: highest logit to be expected: hits that would not become the first even with it are not read, and keep
            their place behind those that are (a cascade). Infinite: all are read.
        threads: batches that run at the same time; 0: one a core.

    Raises:
        WeightsError: files are missing or damaged.
        RerankerError: the model is no cross-encoder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_tokens: int = 512,
        window: int = 0,
        budget: float = 1.0,
        weight: float = 0.0,
        ceiling: float = inf,
        threads: int = 0,
    ) -> None:
        self._model, self._tokenizer_file = model_file(folder), folder / "tokenizer.json"
        with self._model.open("rb") as file:
            self.id = f"onnx:{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}@{max_tokens}"
        if window:
            self.id += f":{window}"
        if weight or ceiling < inf:
            self.id += f"+{weight:g}<{ceiling:g}"
        try:
            self._max_tokens = min(max_tokens, model_length(folder))
        except (ValueError, TypeError, AttributeError) as error:
            raise WeightsError(f"{folder}: its description can't be read: {error}") from error
        self._window, self._budget = window, budget
        self._weight, self._ceiling = weight, ceiling
        self._threads = threads or os.cpu_count() or 1
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any, frozenset[str]] | None = None

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Hits that were read, marked "rerank", by ``logit + weight * score as found``; then those that were not.

        Args:
            hits: best first, by their scores.

        Returns:
            Scores of what was read are that sum as a probability, the score of the first hit taken as 0.
        """
        tokenizer, until = self._load()[0], time.monotonic() + self._budget
        logits: list[float | None] = []
        wave = self._size() * self._threads
        while len(logits) < len(hits) and not self._settled(hits, logits) and not (logits and until < time.monotonic()):
            some = hits[len(logits) : len(logits) + wave]
            logits += self._logits([(query, shortened(query, h.chunk, tokenizer, self._window)) for h in some], until)
        read = [
            replace(hit, score=_probability(logit + self._weight * (hit.score - hits[0].score)), by="rerank")
            for hit, logit in zip(hits, logits, strict=False)
            if logit is not None
        ]
        left = [hit for hit, logit in zip_longest(hits, logits) if logit is None]
        return [*sorted(read, key=lambda hit: -hit.score), *left]

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The probability that each passage answers its question; all of them, however long it takes."""
        return [_probability(logit) for logit in self._logits(pairs) if logit is not None]

    def _settled(self, hits: Sequence[Hit], logits: Sequence[float | None]) -> bool:
        """Whether nothing that is left could become the first."""
        read = ((hit, logit) for hit, logit in zip(hits, logits, strict=False) if logit is not None)
        sums = [logit + self._weight * hit.score for hit, logit in read]
        return bool(sums) and max(sums) >= self._ceiling + self._weight * hits[len(logits)].score

    def _size(self) -> int:
        """Pairs a batch. Without a mask nothing can be padded: each pair runs alone."""
        return _BATCH if "attention_mask" in self._load()[2] else 1

    def _logits(self, pairs: Sequence[tuple[str, str]], until: float = inf) -> list[float | None]:
        """None for what the time does not suffice for; the first batch is done in any case."""
        size = self._size()
        batches = [pairs[at : at + size] for at in range(0, len(pairs), size)]

        def run(number: int) -> Sequence[float | None]:
            late = number > 0 and time.monotonic() >= until
            return [None] * len(batches[number]) if late else self._batch(batches[number])

        if self._threads == 1 or len(batches) < 2:
            done = [run(number) for number in range(len(batches))]
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                done = [*pool.map(run, range(len(batches)))]
        return [logit for batch in done for logit in batch]

    def _batch(self, texts: Sequence[tuple[str, str]]) -> list[float]:
        tokenizer, session, inputs = self._load()
        pairs = tokenizer.encode_batch([(nfc(query), passage) for query, passage in texts])
        width = max(len(pair.ids) for pair in pairs)
        feed = {name: np.zeros((len(pairs), width), np.int64) for name in inputs}
        for row, pair in enumerate(pairs):
            for name, values in zip(_ORDER, (pair.ids, pair.attention_mask, pair.type_ids), strict=True):
                if name in feed:
                    feed[name][row, : len(values)] = values
        logits = np.asarray(session.run(None, feed)[0], np.float32).reshape(len(pairs), -1)
        if logits.shape[1] > 2:
            raise RerankerError(f"{self._model} answers {logits.shape[1]} numbers a pair: it is no cross-encoder")
        # Two numbers: how much "relevant" has before "not".
        return [float(x) for x in (logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0])]

    def _load(self) -> tuple[Any, Any, frozenset[str]]:
        with self._lock:
            if self._loaded is None:
                tokenizer, session = open_tokenizer(self._tokenizer_file), open_session(self._model)
                tokenizer.enable_truncation(self._max_tokens)
                inputs = frozenset(i.name for i in session.get_inputs())
                if unknown := inputs - _INPUTS:
                    raise RerankerError(f"{self._model} wants {', '.join(sorted(unknown))}: it is no cross-encoder")
                self._loaded = tokenizer, session, inputs
            return self._loaded


_ORDER = ("input_ids", "attention_mask", "token_type_ids")


def _probability(logit: float) -> float:
    return 1 / (1 + exp(-min(max(logit, -60), 60)))


class RemoteReranker:
    """Any server with ``/v1/rerank`` as Jina and Cohere have it (vLLM, TEI, llama.cpp). Fits ``Reranker``.

    Args:
        url: base URL that ends in ``/v1``.
        model: its name there; empty: the first that the server lists.
        api_key: sent as a bearer token when not empty.
        budget: seconds for an answer.
        transport, sleep: for tests.

    Raises:
        RerankerError: the server can't be reached, refuses, or answers something else than scores.
    """

    def __init__(
        self,
        url: str,
        model: str = "",
        *,
        api_key: str = "",
        budget: float = 60.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = Api(
            url,
            api_key=api_key,
            key_setting="DAMDA_RERANK__API_KEY",
            error=RerankerError,
            timeout=budget,
            transport=transport,
            sleep=sleep,
        )
        self._model = model or self._api.first_model("rerank.name")
        self.id = f"remote:{self._model}@{self._api.host}"

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Hits by the server's score, marked "rerank"; any that it leaves out keep their place behind them."""
        scores = self._ask(query, [hit.chunk.in_context() for hit in hits]) if hits else {}
        order = sorted(scores, key=lambda i: (-scores[i], i))
        return [replace(hits[i], score=scores[i], by="rerank") for i in order] + [
            hit for i, hit in enumerate(hits) if i not in scores
        ]

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The server's score of each passage for its question; one request a question.

        Raises:
            RerankerError: it left one out.
        """
        found: list[float] = [0.0] * len(pairs)
        for query in dict.fromkeys(query for query, _ in pairs):
            rows = [i for i, pair in enumerate(pairs) if pair[0] == query]
            scores = self._ask(query, [pairs[i][1] for i in rows])
            if len(scores) < len(rows):
                raise RerankerError(f"{self._api.url} left passages without a score")
            for at, row in enumerate(rows):
                found[row] = scores[at]
        return found

    def _ask(self, query: str, texts: list[str]) -> dict[int, float]:
        body: dict[str, object] = {"model": self._model, "query": nfc(query), "documents": texts, "top_n": len(texts)}
        answer = self._api.ask("POST", "rerank", body)
        try:
            scores = {int(row["index"]): float(row["relevance_score"]) for row in answer["results"]}
        except (KeyError, TypeError, ValueError) as error:
            raise RerankerError(f"{self._api.url} did not answer with scores; does it have /v1/rerank?") from error
        if not scores.keys() <= set(range(len(texts))):
            raise RerankerError(f"{self._api.url} answered scores for passages that it was not given")
        return scores


class Cosine:
    """An encoder where there is no cross-encoder: the cosine of question and passage. Fits ``Scorer``."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.id = encoder.id

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Cosines. A question that stands in several pairs is encoded once."""
        if not pairs:
            return []
        row = {query: n for n, query in enumerate(dict.fromkeys(query for query, _ in pairs))}
        queries = self._encoder.encode(list(row), kind="query")
        passages = self._encoder.encode([passage for _, passage in pairs], kind="passage")
        return [float(queries[row[query]] @ vector) for (query, _), vector in zip(pairs, passages, strict=True)]
