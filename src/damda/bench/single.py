"""Techniques that one request feels: guessing ahead, attention in one pass, packed keys and values, known prompts.

Knows: how each is switched, and what to ask so that it shows. Does not know: how a request is timed (``subject``).

Ways take turns, round by round, so that a machine that is busy now and then is busy for all of them.
"""

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from damda.bench.subject import Heard, Row, Subject, engine, heard
from damda.generate.engine import Engine
from damda.types import Progress

ROUNDS = 3

_WRITTEN, _LONG = 48, 96
"""Tokens of an answer."""


def speculation(subject: Subject, progress: Progress) -> list[Row]:
    """None, n-grams, a smaller model: on copying, which quotes are, and on free text."""
    ways: dict[str, dict[str, Any]] = {"none": {}, "ngram": {"guesses": "ngram"}}
    if subject.draft:
        ways["draft"] = {"guesses": "draft", "draft": subject.draft}
    engines = {way: engine(subject, context=1024, **given) for way, given in ways.items()}
    passage = subject.text(60)
    begun = passage[: len(passage) // 4]
    texts = {
        "copying": f"Copy this text word for word.\n\n{passage}\n\nThe text once more:\n\n{begun}",
        "free text": "Write a short story about a library by the sea.",
    }
    rows: list[Row] = []
    for task, text in texts.items():
        asked = subject.request(text, _LONG)
        found = _turns(engines, asked, progress, f"speculation, {task}")
        rows += [
            {
                "study": "speculation",
                "task": task,
                "way": way,
                "tokens_per_second": _median(answers, "speed"),
                "acceptance": _share(answers),
                "same": _same(answers, found["none"]),
            }
            for way, answers in found.items()
        ]
    return rows


def flash_attention(subject: Subject, progress: Progress) -> list[Row]:
    """On and off, by the length of the prompt."""
    lengths = [n for n in (256, 1024, 3072) if n + 2 * _WRITTEN < (subject.trained() or 4096)]
    engines = {way: engine(subject, context=max(lengths) * 2, flash=way) for way in ("off", "on")}
    rows: list[Row] = []
    for length in lengths:
        asked = subject.request(_cut(subject, next(iter(engines.values())), length), _WRITTEN, exactly=True)
        found = _turns(engines, asked, progress, f"flash attention, {length}")
        rows += [
            {
                "study": "flash attention",
                "task": f"{answers[0].read} tokens read",
                "way": way,
                "first": _median(answers, "first"),
                "tokens_per_second": _median(answers, "speed"),
                "same": _same(answers, found["off"]),
            }
            for way, answers in found.items()
        ]
    return rows


def packed_cache(subject: Subject, progress: Progress) -> list[Row]:
    """Keys and values in 16, 8 and 4 bits, behind a prompt of some length."""
    engines = {kind: engine(subject, context=2048, cache=kind) for kind in ("f16", "q8_0", "q4_0")}
    asked = subject.request(_cut(subject, engines["f16"], 1024), _WRITTEN, exactly=True)
    found = _turns(engines, asked, progress, "packed cache")
    rows: list[Row] = [
        {
            "study": "packed cache",
            "task": f"{answers[0].read} tokens read",
            "way": kind,
            "first": _median(answers, "first"),
            "tokens_per_second": _median(answers, "speed"),
            "same_words": _agreement(answers[0].text, found["f16"][0].text),
        }
        for kind, answers in found.items()
    ]
    return rows


def prefixes(subject: Subject, progress: Progress) -> list[Row]:
    """A passage that was read before: computed again, still in memory, or restored from a file after a restart."""
    with tempfile.TemporaryDirectory() as folder:
        states = Path(folder)
        fresh = engine(subject, context=2048)
        text = _cut(subject, fresh, 1000)
        asked = [subject.request(f"{text}\n\n{question}", 8, exactly=True) for question in subject.questions[:ROUNDS]]
        kept = engine(subject, context=2048, prompts=256)
        saver = engine(subject, context=2048, states=states)
        tokens = _common([saver.tokens(one) for one in asked])
        _save(saver, tokens)
        del saver
        after = engine(subject, context=2048, states=states)
        heard(kept, asked[-1])
        ways: dict[str, Callable[[Mapping[str, object]], Heard]] = {
            "computed": lambda one: heard(fresh, one),
            "in memory": lambda one: heard(kept, {**one, "cache_prompt": True}),
            "restored": lambda one: _restored(after, one),
        }
        rows: list[Row] = []
        usual = list[str]()
        for n, (way, ask) in enumerate(ways.items()):
            progress("prefixes", n, len(ways))
            answers = [ask(one) for one in asked]
            usual = usual or [one.text for one in answers]
            rows.append(
                {
                    "study": "prefixes",
                    "task": f"{len(tokens)} tokens that are known",
                    "way": way,
                    "first": _median(answers, "first"),
                    "read": statistics.median(one.read for one in answers),
                    "same": [one.text for one in answers] == usual,
                }
            )
        progress("prefixes", len(ways), len(ways))
    return rows


def _save(saver: Engine, tokens: Sequence[int]) -> None:
    with saver.free, saver.slot() as slot:
        saver.send({"prompt": list(tokens), "max_tokens": 0, "temperature": 0.0}, lambda _: False, slot)
        saver.save(slot, "known")


def _restored(after: Engine, request: Mapping[str, object]) -> Heard:
    def send(asked: Mapping[str, object], hear: Callable[[object], bool]) -> None:
        with after.slot() as slot:
            after.restore(slot, "known")
            after.send({**asked, "cache_prompt": True}, hear, slot)

    return heard(after, request, send)


def _turns(
    engines: Mapping[str, Engine], asked: Mapping[str, object], progress: Progress, what: str
) -> dict[str, list[Heard]]:
    """Each way's answers, of `ROUNDS` rounds; a first one, which pays for what is made once, is not counted."""
    found: dict[str, list[Heard]] = {way: [] for way in engines}
    for turn in range(ROUNDS + 1):
        for n, (way, one) in enumerate(engines.items()):
            progress(what, turn * len(engines) + n, (ROUNDS + 1) * len(engines))
            answer = heard(one, asked)
            if turn:
                found[way].append(answer)
    progress(what, 1, 1)
    return found


def _cut(subject: Subject, one: Engine, tokens: int) -> str:
    return subject.cut(tokens, lambda text: one.count({"prompt": text}))


def _common(prompts: Sequence[Sequence[int]]) -> list[int]:
    """The tokens that all of them begin with; not all of any."""
    shortest = min(map(len, prompts)) - 1
    same = next((n for n in range(shortest) if len({prompt[n] for prompt in prompts}) > 1), shortest)
    return list(prompts[0][:same])


def _median(answers: Sequence[Heard], name: str) -> float:
    return float(statistics.median(getattr(one, name) for one in answers))


def _share(answers: Sequence[Heard]) -> float | None:
    """Of what was guessed, what was right; None: nothing was guessed."""
    guessed = sum(one.guessed for one in answers)
    return sum(one.right for one in answers) / guessed if guessed else None


def _same(answers: Sequence[Heard], usual: Sequence[Heard]) -> bool:
    return {one.text for one in answers} == {usual[0].text}


def _agreement(text: str, usual: str) -> float:
    """Share of the words before the first that differs."""
    mine, theirs = text.split(), usual.split()
    same = next((n for n, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1]), None)
    return (min(len(mine), len(theirs)) if same is None else same) / max(1, len(theirs))


def studies() -> Iterator[tuple[str, Callable[[Subject, Progress], list[Row]]]]:
    """Name and function of each."""
    yield "speculation", speculation
    yield "flash attention", flash_attention
    yield "packed cache", packed_cache
    yield "prefixes", prefixes
