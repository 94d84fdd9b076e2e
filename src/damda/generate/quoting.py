"""Decoding that can only quote: a grammar over the sentences of some passages, and the way back from its output.

Knows: llguidance's Lark dialect (https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md) and xgrammar's
EBNF (https://xgrammar.mlc.ai/docs). Does not know: models, prompts. A quote is a run of whole words inside one
sentence, at most LONGEST characters. On 24 KLUE-MRC and TyDi questions Gemma-3-270M found the right sentence 13 times
this way, 12 times with spans of any characters (which end in mid-word), 4 times when it had to choose whole sentences
(it then decides at their first syllable).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from damda.errors import GeneratorError
from damda.korean import sentences
from damda.types import NOT_FOUND

LONGEST = 300
NO_SCHEMA = 'mode = "quote" only copies from passages, which leaves no choice to a JSON schema: set mode to write'


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


def ebnf(choice: Sequence[Sentence], absent: str, *, line: bool) -> str:
    """`grammar` for xgrammar, which has no substrings: a rule a word, with all words of its sentence that may follow.
    How long a quote gets is up to the tokens that there are."""
    rules, starts = list[str](), list[str]()
    for i, sentence in enumerate(choice):
        words = sentence.words.split(" ")
        for j, word in enumerate(words):
            more = f' (" " s{i}_{j + 1})?' if j + 1 < len(words) else ""
            rules.append(f"s{i}_{j} ::= {_json(word)}{more}")
        starts += [f"s{i}_{j}" for j in range(len(words))]
    answer = " | ".join([*starts, *([_json(absent)] if absent else [])])
    root = 'root ::= " "? answer "\\n"' if line else "root ::= answer"
    return "\n".join([root, f"answer ::= {answer}", *rules])


def meant(said: str, absent: str, choice: Sequence[Sentence]) -> str:
    """What to give for a whole answer: NOT_FOUND, or the quote on one line, or the line itself where all may be said.

    Engines ignore a grammar that they can't read, without a word. So what should be verbatim is looked up.

    Raises:
        GeneratorError: it is no quote.
    """
    if not said or said.rstrip(".") == absent:
        return NOT_FOUND
    if not choice:
        return said
    quote = original(said, choice)
    if not quote:
        raise GeneratorError(
            "the engine did not keep to the passages: is it another version than damda's extra names? Set mode to write"
        )
    return " ".join(quote.split())  # a line end inside it would be taken for its end


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
