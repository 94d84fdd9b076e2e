"""One model, measured in a process of its own: ``python -m damda.compress.measured``, a request on stdin.

Knows: what is measured, and how, on either engine. Does not know: other models, tables.

Perplexity is llama.cpp's: windows of 512 tokens, the first of which is the one that texts begin with (where the model
has one), and of each window the second half counts. Bits a byte are the same losses, over the bytes of the text instead
of its tokens, so that models with other tokenizers compare: mean loss in bits, times tokens of the whole text, over its
bytes.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from damda.answer.prompt import messages
from damda.compress import apart
from damda.measure.answers import exact_match, f1, holds
from damda.settings import LlamaSettings, OpenvinoSettings, TransformersSettings
from damda.types import NOT_FOUND, Chunk, Generator, Hit, Progress

WINDOW = 512
"""Tokens."""

OPENVINO = "openvino_model.xml"
"""A folder with it is OpenVINO's."""

_RUNS, _SPOKEN, _SECONDS = 3, 32, 10
"""Times of each measurement, of which the middle one counts; tokens that are written, and for how long at most."""

_CONTEXT = 2048
"""Of a request that reads: passage, question and answer."""


class Model(Protocol):
    """A model in memory, as far as it is measured."""

    @property
    def first(self) -> int | None: ...

    def tokens(self, text: str) -> list[int]: ...

    def losses(self, window: Sequence[int], begin: int) -> list[float]:
        """Natural logarithms of each next token's probability, negated, from the one behind ``begin`` on."""
        ...

    def begin(self, tokens: Sequence[int]) -> None:
        """Read a prompt, into an empty cache."""
        ...

    def go_on(self, token: int) -> None:
        """Read one more."""
        ...


class OfGguf:
    """By llama.cpp."""

    def __init__(self, path: Path) -> None:
        from damda.generate.native import Native

        self._native = Native(path, context=WINDOW + _SPOKEN)
        self._at = 0

    @property
    def first(self) -> int | None:
        return self._native.first

    def tokens(self, text: str) -> list[int]:
        return self._native.tokens(text)

    def losses(self, window: Sequence[int], begin: int) -> list[float]:
        self._native.forget()
        self._native.read(window, [n >= begin for n in range(len(window))])
        return [_loss(self._native.logits(n), window[n + 1]) for n in range(begin, len(window) - 1)]

    def begin(self, tokens: Sequence[int]) -> None:
        self._native.forget()
        self._native.read(tokens, [n == len(tokens) - 1 for n in range(len(tokens))])
        self._native.logits(len(tokens) - 1)  # waits for it
        self._at = len(tokens)

    def go_on(self, token: int) -> None:
        self._native.step([token], self._at)
        self._native.logits(0)
        self._at += 1

    def close(self) -> None:
        self._native.close()


class OfFolder:
    """By transformers."""

    def __init__(self, path: Path) -> None:
        from damda.generate.transformer import Loaded

        self._loaded = Loaded(path, context=_CONTEXT)
        self._cache: Mapping[str, Any] = {}

    @property
    def first(self) -> int | None:
        with_it, without = (
            self._loaded.tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False)
        )
        return int(with_it[0]) if with_it[0] != without[0] else None

    def tokens(self, text: str) -> list[int]:
        return [int(token) for token in self._loaded.tokenizer(text, add_special_tokens=False)["input_ids"]]

    def losses(self, window: Sequence[int], begin: int) -> list[float]:
        logits = self._loaded.read(window, self._loaded.cache(), len(window) - begin).numpy()
        return [_loss(logits[n - begin], window[n + 1]) for n in range(begin, len(window) - 1)]

    def begin(self, tokens: Sequence[int]) -> None:
        self._cache = self._loaded.cache()
        self._loaded.read(tokens, self._cache)

    def go_on(self, token: int) -> None:
        self._loaded.read([token], self._cache)

    def close(self) -> None:
        """Nothing: it goes with the process."""


class OfOpenvino:
    """By OpenVINO, in the precision and with the keys and values that it chooses by itself."""

    def __init__(self, path: Path) -> None:
        from damda.generate.engine import cores
        from damda.generate.paged import require

        require()
        import openvino
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
        wanted = {"INFERENCE_NUM_THREADS": cores(), "PERFORMANCE_HINT": "LATENCY"}
        core = openvino.Core()
        graph = core.read_model(str(path / OPENVINO))
        _from_one_on(graph)
        self._model = core.compile_model(graph, "CPU", wanted)
        self._named = {name for port in self._model.inputs for name in port.names}
        self._request = self._model.create_infer_request()
        self._at = 0

    @property
    def first(self) -> int | None:
        with_it, without = (self._tokenizer.encode("a", add_special_tokens=special).ids for special in (True, False))
        return int(with_it[0]) if with_it[0] != without[0] else None

    def tokens(self, text: str) -> list[int]:
        return [int(token) for token in self._tokenizer.encode(text, add_special_tokens=False).ids]

    def losses(self, window: Sequence[int], begin: int) -> list[float]:
        self._forget()
        logits = self._read(window, begin)
        return [_loss(logits[n - begin], window[n + 1]) for n in range(begin, len(window) - 1)]

    def begin(self, tokens: Sequence[int]) -> None:
        self._forget()
        self._read(tokens, len(tokens) - 1)

    def _forget(self) -> None:
        self._request.reset_state()
        self._at = 0

    def go_on(self, token: int) -> None:
        self._read([token], 0)

    def _read(self, tokens: Sequence[int], first: int) -> Any:  # noqa: ANN401  an array of float32
        """Logits from the token ``first`` on, shape (tokens, vocabulary)."""
        begin, self._at = self._at, self._at + len(tokens)
        fed = {
            "input_ids": np.array([list(tokens)], np.int64),
            "attention_mask": np.ones((1, self._at), np.int64),
            "position_ids": np.arange(begin, self._at, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
            _FIRST: np.array([first], np.int64),
        }
        found = self._request.infer({name: value for name, value in fed.items() if name in self._named})
        return next(iter(found.values()))[0]

    def close(self) -> None:
        """Nothing: it goes with the process."""


_FIRST = "first"


def _from_one_on(graph: Any) -> None:  # noqa: ANN401  an openvino.Model
    """Give it an input that says from which token on logits are wanted: the head is most of a small model, and
    openvino-genai's pipelines don't compute it for tokens that nobody asks about, either."""
    from openvino import Type, opset13

    head = graph.output("logits").node.input_value(0).node
    while head.get_type_name() != "MatMul":  # behind it may stand a conversion, or a cap
        head = head.input_value(0).node
    first = opset13.parameter([1], Type.i64, name=_FIRST)
    first.output(0).set_names({_FIRST})
    one = np.array([1], np.int64)
    end = np.array([np.iinfo(np.int64).max])
    kept = opset13.slice(head.input_value(0), first, end, step=one, axes=one)
    head.input(0).replace_source_output(kept.output(0))
    graph.add_parameters([first])


def _of(path: Path) -> OfGguf | OfFolder | OfOpenvino:
    if path.suffix == ".gguf":
        return OfGguf(path)
    return OfOpenvino(path) if (path / OPENVINO).is_file() else OfFolder(path)


def _loss(logits: Any, token: int) -> float:  # noqa: ANN401  an array of float32, shape (vocabulary,)
    exact = np.asarray(logits, np.float64)
    top = exact.max()
    return float(top + math.log(np.exp(exact - top).sum()) - exact[token])


def measure(asked: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """All figures of one model.

    Args:
        asked: "model": its file or folder; "texts": name -> text; "windows": of each, at most; "reading": rows of
            {question, passage, title, answers, other, other_title}, ``other`` being a passage that does not answer;
            "most": tokens of an answer.
    """
    path = Path(asked["model"])
    begun = time.perf_counter()
    progress("loading", 0, 1)
    model = _of(path)
    model.begin(_prompt(model, 64))
    loaded = time.perf_counter() - begun
    figures: dict[str, Any] = {"load_seconds": loaded, "memory": memory(), **speed(model, progress)}
    figures["texts"] = {
        name: perplexity(model, text, asked["windows"], partial(progress, f"reading {name}"))
        for name, text in asked["texts"].items()
    }
    model.close()
    if asked["reading"]:
        with _writer(path) as writer:
            figures["reading"] = reading(writer, asked["reading"], asked["most"], progress)
    return figures


def speed(model: Model, progress: Progress) -> dict[str, float]:
    """Tokens a second: of a prompt of 512, and written one by one behind 64."""
    prompt, short = _prompt(model, WINDOW), _prompt(model, 64)
    taken: dict[str, list[float]] = {"prefill": [], "decode": []}
    for n in range(_RUNS):
        progress("timing", n, _RUNS)
        begun = time.perf_counter()
        model.begin(prompt)
        taken["prefill"].append(WINDOW / (time.perf_counter() - begun))
        model.begin(short)
        begun, spoken = time.perf_counter(), 0
        for token in prompt[:_SPOKEN]:
            model.go_on(token)
            spoken += 1
            if time.perf_counter() - begun > _SECONDS:
                break
        taken["decode"].append(spoken / (time.perf_counter() - begun))
        if time.perf_counter() - begun > _SECONDS:
            break
    progress("timing", _RUNS, _RUNS)
    return {what: statistics.median(runs) for what, runs in taken.items()}


def _prompt(model: Model, count: int) -> list[int]:
    some = model.tokens("The library opens at nine and closes at six. 도서관은 아홉 시에 열고 여섯 시에 닫는다. ")
    return (some * (count // len(some) + 1))[:count]


def perplexity(model: Model, text: str, windows: int, progress: Callable[[int, int], None]) -> dict[str, float]:
    """See above; "tokens": how many losses were counted. Windows are spread over the text.

    Raises:
        ValueError: the text has less than one window.
    """
    first = model.first
    begins = [] if first is None else [first]
    ids = begins + model.tokens(text)
    count = len(ids) // WINDOW
    if not count:
        raise ValueError(f"a text has {len(ids)} tokens; {WINDOW} are needed")
    starts = [WINDOW * (n * count // min(windows, count)) for n in range(min(windows, count))]
    losses: list[float] = []
    for n, start in enumerate(starts):
        progress(n, len(starts))
        window = ids[start : start + WINDOW]
        losses += model.losses([*begins, *window[len(begins) :]], WINDOW // 2)
    progress(len(starts), len(starts))
    mean = sum(losses) / len(losses)
    return {
        "perplexity": math.exp(mean),
        "bits_a_byte": mean / math.log(2) * len(ids) / len(text.encode()),
        "tokens": len(losses),
        "windows": len(starts),
    }


def reading(writer: Generator, rows: Sequence[Mapping[str, Any]], most: int, progress: Progress) -> dict[str, float]:
    """Each question is asked twice: with the passage that answers it, and with one that does not.

    Returns:
        exact, f1: KorQuAD's, over all questions; holds: a right wording stands in the answer; verbatim: share of the
        answers that stand in their passage as they are; refusal: F1 of refusing where the passage does not answer.
    """
    scores: dict[str, list[float]] = {"exact": [], "f1": [], "holds": [], "verbatim": []}
    right = wrong = 0
    for n, row in enumerate(rows):
        progress("answering", n, len(rows))
        said = _said(writer, row["question"], row["passage"], row["title"], most)
        wrong += not said
        for name, figure in (("exact", exact_match), ("f1", f1), ("holds", holds)):
            scores[name].append(float(figure(said, row["answers"])) if said else 0.0)
        other = _said(writer, row["question"], row["other"], row["other_title"], most)
        right += not other
        for text, passage in ((said, row["passage"]), (other, row["other"])):
            if text:
                scores["verbatim"].append(float(" ".join(text.split()) in " ".join(passage.split())))
    progress("answering", len(rows), len(rows))
    precision, recall = right / max(right + wrong, 1), right / len(rows)
    refusal = 2 * precision * recall / (precision + recall) if right else 0.0
    means = {name: sum(of) / len(of) if of else 0.0 for name, of in scores.items()}
    return {**means, "refusal": refusal, "questions": len(rows)}


def _said(writer: Generator, question: str, passage: str, title: str, most: int) -> str:
    """The answer; "" for none."""
    hits = [Hit(Chunk("0", "0", passage, 0, len(passage), title=title), 1.0, "given")]
    deltas = writer.stream(messages(question, hits), passages=hits, max_tokens=most)
    text = "".join(delta.text for delta in deltas).strip()
    return "" if NOT_FOUND in text else text


@contextmanager
def _writer(path: Path) -> Iterator[Generator]:
    if path.suffix == ".gguf":
        from damda.generate.llama import Llama

        llama = Llama(LlamaSettings(context=_CONTEXT), path=path)
        yield llama
        llama.close()
    elif (path / OPENVINO).is_file():
        from damda.generate.openvino import Openvino

        openvino = Openvino(OpenvinoSettings(context=_CONTEXT, slots=1), path=path)
        yield openvino
        openvino.close()
    else:
        from damda.generate.transformer import Transformer

        yield Transformer(TransformersSettings(context=_CONTEXT), folder=path)


def memory(process: int | str = "self") -> int:
    """Bytes that a process holds; where the system doesn't say, the most that this one held."""
    try:
        resident = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        import resource
        import sys

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    import os

    return int(resident) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    apart.answer(measure)
