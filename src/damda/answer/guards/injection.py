"""A guard against instructions that are not the user's: planted in a passage, or in a question against the system.

Knows: where such a sentence begins and ends, comments, templates of chats, places that a reader does not see. Does not
know: what was asked, what a language model would do with it. Rules only: no model, nothing learnt.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal

from damda.answer.guards.disguise import Plain, figures_read, has_figures, hidden, plain
from damda.answer.guards.instructions import commands, fingerprint, kinds
from damda.korean import sentences
from damda.types import MASK, Found, Hit, Verdict

VERSION = "injection-1"  # goes up when the same rules would find something else


class Injection:
    """Finds instructions to a language model.

    Args:
        action: what is done about a text that has some. flag: it goes on, with a verdict that says where they stand;
            redact: they are masked; block: the text does not go on.
    """

    def __init__(self, action: Literal["flag", "redact", "block"] = "flag") -> None:
        self._action = action
        self.id = f"{VERSION}:{fingerprint()}:{action}"

    def check(self, text: str, hits: Sequence[Hit] = ()) -> Verdict:
        """Whole sentences (comments, runs of code) that instruct; ``hits`` do not matter."""
        found = tuple(planted(text))
        if not found:
            return Verdict("allow", text, guard="injection")
        left = {"flag": text, "redact": _masked(text, found), "block": ""}[self._action]
        return Verdict(self._action, left, found, guard="injection")


def _masked(text: str, found: Sequence[Found]) -> str:
    pieces = list(text)
    for _, start, end in found:
        pieces[start:end] = MASK * (end - start)
    return "".join(pieces)


def planted(text: str) -> list[Found]:
    """What in a text instructs a language model, in the order in which it stands there.

    Rules: override (earlier instructions are to be dropped), prompt-leak, role, exfiltrate, action (a tool is to be
    used), answer-steering, template (a chat template's marks, a false end of the document), encoded; and beside one of
    them, or alone for a comment, hidden: nobody sees it.
    """
    read = plain(text)
    found = list(_told(read, list(_pieces(sentences(read.text)))))
    found += list(_templates(read))
    found += list(_unseen(read, found))
    found = [Found(rule, *read.span(start, end)) for rule, start, end in found]
    for run in hidden(text):
        if _tells(run.text):
            found.append(Found("encoded", run.start, run.end))
    return sorted(set(found), key=lambda one: (one.start, one.end, one.rule))


_LONGEST, _AGAIN = 1000, 200
"""Characters that are looked at as one sentence; of the piece before that are looked at again."""


def _pieces(spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Sentences; what has no end is cut, since the time that rules take grows faster than a sentence."""
    for start, end in spans:
        while end - start > _LONGEST:
            yield start, start + _LONGEST
            start += _LONGEST - _AGAIN
        yield start, end


def _tells(text: str) -> bool:
    read = plain(text)
    return any(kinds(read.text[start:end]) for start, end in _pieces(sentences(read.text)))


def _told(read: Plain, spans: Sequence[tuple[int, int]]) -> Iterator[Found]:
    """Sentences that instruct, and imperatives right behind them."""
    before = ""
    last = 0
    for start, end in spans:
        sentence = read.text[start:end]
        said, length = _first(sentence)
        if not said and has_figures(sentence):
            said, length = _first(figures_read(sentence))
        if not said and before and "\n" not in read.text[last:start] and commands(sentence):
            said, length = before, len(sentence)
        if said:
            yield Found(said, start, start + length)
        before, last = said, end


# Korean imperatives behind which another sentence may begin without a stop.
_ENDED = re.compile(r"(?:세요|십시오|시오|줘|줘요|[하해려어아여]라|[할말]\s?것)\s(?=[가-힣a-z\d])")

_CLAUSES = 8
"""Of one sentence that are looked at by themselves."""


def _first(sentence: str) -> tuple[str, int]:
    """The surest kind of instruction in a sentence, "" for none, and its length: up to where, with no stop, another
    clause begins that tells nothing."""
    said = kinds(sentence)
    for match in islice(_ENDED.finditer(sentence), _CLAUSES):
        part, rest = sentence[: match.end() - 1], sentence[match.end() :]
        if (found := kinds(part)) and not kinds(rest) and not commands(rest):
            return found[0], len(part)
    return (said[0] if said else ""), len(sentence)


_TOKENS = re.compile(
    r"""<\| \s* (?: im_start | im_end | im_sep | system | user | assistant | endoftext | start_header_id
        | end_header_id | eot_id | begin_of_text | end_of_text | end | endofprompt | message | channel ) \s* \|>
      | \[/?inst\] | <</?sys>> | <(?:start|end)_of_turn> | </?(?:system|assistant)> | \{\{\W?(?:system|assistant)\}\}
      | ^\#{2,} \s* (?:system|instruction|assistant|시스템|지시|명령) (?:\ prompt|\ message)? \s* : .*
      | ^\W{0,4} (?:end\ of\ (?:document|context|data|input|passage|text)s?|(?:문서|본문|자료)(?:의)?\ ?끝) \W{0,6}\n+
        (?= .{0,40} (?:system|시스템|지시|instruction|task|명령|assistant|user|사용자|answer|답) )
      | ^\s* (?:human|user) \s* : .* \n+ \s* (?:assistant|ai) \s* : .*""",
    re.VERBOSE | re.MULTILINE,
)


_MAYBE = re.compile(r"<|\[/?inst|\{\{|\#\#|끝|end of|human|user")


def _templates(read: Plain) -> Iterator[Found]:
    """From a chat template's mark to the end of its line, and the line below where nothing else stands there."""
    if not _MAYBE.search(read.text):  # a quick look first
        return
    ends = 0
    for match in _TOKENS.finditer(read.text):
        if match.start() < ends:
            continue
        ends = read.text.find("\n", match.end()) % (len(read.text) + 1)
        if not re.search(r"\w", _TOKENS.sub("", read.text[match.start() : ends]).replace("system", "")):
            ends = read.text.find("\n", ends + 1) % (len(read.text) + 1)
        yield Found("template", match.start(), len(read.text[:ends].rstrip()))


_COMMENT = re.compile(
    r"""<!-- (.*?) (?:-->|\Z) | ^\s*\[(?://|comment)\]: \s* (?:\#|<>) \s* (.*?) $
      | <(\w+)\b [^>]{0,300} (?: display\s*:\s*none | visibility\s*:\s*hidden | font-size\s*:\s*0
        | opacity\s*:\s*0(?![.\d]) | [;"'\s]color\s*:\s*(?:\#fff(?:fff)?\b|white\b|transparent) | \shidden\b )
        [^>]{0,300} > (.*?) (?:</\3>|\Z)""",
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_SPOKEN_TO = re.compile(
    r"\b(?:ai|llm|assistant|chat-?bot|language models?|gpt|system)s?\b"
    r"|인공지능|언어 ?모델|챗봇|\b봇|어시스턴트|비서|에이전트|시스템"
)
_LABEL = re.compile(
    r"\s*(?:ai|llm|assistant|chat-?bot|gpt|system|인공지능|챗봇|시스템|비서|어시스턴트)\s*:\s*\S+\s+\S+\s+\S"
)


def _unseen(read: Plain, told: Sequence[Found]) -> Iterator[Found]:
    """Comments and elements nobody sees that speak to an assistant; found sentences with unseen characters in them."""
    if "<" in read.text or "]:" in read.text:
        for match in _COMMENT.finditer(read.text):
            inside = match[1] or match[2] or match[4] or ""
            if any(match.start() <= one.start < match.end() for one in told) or (
                _SPOKEN_TO.search(inside) and commands(inside) or _LABEL.match(inside)
            ):
                yield Found("hidden", *match.span())
    if read.unseen:
        yield from (Found("hidden", one.start, one.end) for one in told)
