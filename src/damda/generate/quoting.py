"""Decoding that can only quote: a grammar over the sentences of some passages, and the way back from its output.

Knows: llguidance's Lark dialect (https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md). Does not know:
models, prompts. A quote is a run of whole words inside one sentence, at most LONGEST characters. On 24 KLUE-MRC and
TyDi questions Gemma-3-270M found the right sentence 13 times this way, 12 times with spans of any characters (which
end in mid-word), 4 times when it had to choose whole sentences (it then decides at their first syllable).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from damda.korean import sentences

LONGEST = 300


@dataclass(frozen=True, slots=True)
class Sentence:
    """``text`` stands verbatim in a passage; ``words`` is it with single spaces, as a model writes it."""

    text: str
    words: str


def quotable(passages: Sequence[str]) -> list[Sentence]:
    """The sentences of the passages, each once; none without a letter or digit."""
    found: dict[str, Sentence] = {}
    for passage in passages:
        for start, end in sentences(passage, wrapped=True):
            text = passage[start:end]
            words = " ".join(text.split())
            if any(char.isalnum() for char in words):
                found.setdefault(words, Sentence(text, words))
    return list(found.values())


def grammar(choice: Sequence[Sentence], absent: str, *, line: bool) -> str:
    """A grammar for one quote out of ``choice``, or the literal ``absent``.

    Args:
        choice: at least one sentence.
        absent: what the model says when nothing answers; "": it must quote.
        line: the answer is a line of a longer text: a space before it, a line end after it.
    """
    pieces = [re.findall(r" |[^ ]+", sentence.words) for sentence in choice]
    rules = [f'S{i}: %regex {{"substring_chunks": {_json(chunks)}}}' for i, chunks in enumerate(pieces)]
    spans = " | ".join(f"S{i}" for i in range(len(rules)))
    # The empty string and lone spaces are substrings too: the second regex asks for something, and not too much of it.
    body = f"ANSWER: ({spans}) & /(?s: ?[^ ].{{0,{LONGEST - 1}}})/" + (f" | {_json(absent)}" if absent else "")
    start = 'start: " "? ANSWER "\\n"' if line else "start: ANSWER"
    return "\n".join(["%llguidance {}", start, body, *rules])


def original(answer: str, choice: Sequence[Sentence]) -> str:
    """The passage's own characters for a quote that a model wrote; "" where it is no run of words of any sentence.

    A last word that was cut off (no room for more tokens) is left out, unless it is the only one.
    """
    words = " ".join(answer.rstrip("\ufffd").split())  # half a syllable, where the tokens ran out
    for sentence in choice if words else ():
        for match in re.finditer(rf"(?<!\S){re.escape(words)}", sentence.words):
            cut = match.end()
            if sentence.words[cut : cut + 1].strip() and " " in words:
                cut = sentence.words.rindex(" ", match.start(), cut)
            return _slice(sentence, match.start(), cut)
    return ""


def _slice(sentence: Sentence, start: int, end: int) -> str:
    """``sentence.words[start:end]`` as it stands in ``sentence.text``, whose white space may be wider."""
    offsets, at = [], 0
    for char in sentence.words:
        while char != " " and sentence.text[at].isspace():
            at += 1
        offsets.append(at)
        at += 1
    return sentence.text[offsets[start] : offsets[end - 1] + 1]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
