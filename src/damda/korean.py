"""What is particular to Korean text: normalisation, sentence ends, morphemes.

Knows: Unicode's NFC, where a sentence ends, which morphemes carry content. Does not know: documents, indexes, models.

English and numbers go the same way: a search over content morphemes has to find "GPT-4" and "3.2" too.
"""

import re
import tempfile
import threading
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from damda.errors import ConfigError
from damda.types import Morpheme

if TYPE_CHECKING:
    from kiwipiepy import Kiwi

# A name for what `content` puts out: stored morphemes made by another version are made again.
MORPHEMES_VERSION = "kiwi-content-1"


_HALF = re.compile("[\ud800-\udfff]")


def nfc(text: str) -> str:
    """NFC. macOS writes Hangul decomposed, and no vocabulary or dictionary knows decomposed Hangul.

    Half characters (what Python makes of bytes that are no text) become U+FFFD: no analyser or tokenizer takes them.
    """
    text = _HALF.sub("\ufffd", text)
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


_END = re.compile(
    r"""
    [.!?。！？…]+ ["'”’」』)\]】]* (?:\[\d{1,3}\])* (?=\s|$)      # a stop, closing marks, note marks, white space
    | (?<=[다요죠음함임됨]) \. (?=["'“‘(「]?[가-힣A-Z])   # "했다.그리고": typed without a space
    | \n+
    """,
    re.VERBOSE,
)
# A stop after these does not end a sentence: "1. 목적", "1의2. 범위", "2024. 1. 1.부터", "J. Kim", "e.g. this".
_NO_END = re.compile(
    r"(?:^|\s|\()(?:\d{1,4}(?:의\d{1,2})?|[가나다라마바사아자차카타파하]|[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|No|Fig|vs|etc|cf|e\.g|i\.e|approx|Inc|Ltd|Co)\\?\.$"
)


def sentences(text: str, *, wrapped: bool = False) -> list[tuple[int, int]]:
    """Spans of the sentences, without the white space around them. Line ends end a sentence too.

    Args:
        text: anything.
        wrapped: the text is a document's; line ends that only wrap a paragraph end no sentence.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    soft = _wraps(text) if wrapped else frozenset()
    for match in _END.finditer(text):
        if match.start() in soft:
            continue
        if match[0] == "." and _NO_END.search(text[max(start, match.end() - 12) : match.end()]):
            continue
        start = _append(spans, text, start, match.end())
    _append(spans, text, start, len(text))
    return spans


# A line shorter than this (a Hangul syllable is two columns wide) was ended by its author, not by a margin.
_WRAPPED_FROM = 40
# The word that stands on the next line would have reached beyond this share of the paragraph's longest line.
_FULL = 0.8
# Line ends that end what they say (marks, Markdown's hard breaks, Korean final forms), and lines that are no prose.
_CLOSED = re.compile(
    r"""[.!?。！？…:：;({}>|\\] ["'”’」』)\]】*_`]* $ | [ ]{2}$ | (?:다|요|죠|까|음|함|됨|임|것|바람) [*_`]* $
      | \S[ ]{3,}\S | [ ]\|[ ]""",
    re.VERBOSE,
)
# Line starts that begin something: rows, headings, pictures, rules, list items, notes, articles, links, labels.
_OPENED = re.compile(
    r"""\s* (?: [|#<>{}~] | ``` | !\[ | \.\w | -{3} | ={3} | [-*+•·○◦▪□■※▶→☞] \s
      | \(?(?:\d{1,3}(?:의\d+)?|[가-하A-Za-z])\\?[.)] \s
      | [\u2460-\u2473\u326e-\u327b\u2600-\u27bf\U0001f000-\U0001faff] | 제\s?\d+\s?[조장절편관항]
      | \[[^\]]*\]: | \S{1,12}[ ]{2,}\S | ["'“‘*_`]* [^\s:：]{1,12} (?:\s[^\s:：]{1,8})? ["'”’*_`]* [:：] [ ]+\S )""",
    re.VERBOSE,
)


def _wraps(text: str) -> frozenset[int]:
    """Where a line end only wraps a paragraph: a long line without an end, before a word that had no room on it."""
    found: list[int] = []
    fence = False
    block: list[tuple[int, int]] = []  # lines of one paragraph
    start = 0
    for line in f"{text}\n\n".split("\n"):
        mark = line.lstrip().startswith(("```", "~~~"))
        fence ^= mark
        if line.strip() and not mark and not fence:
            block.append((start, start + len(line)))
        else:
            found += _inside(text, block)
            block = []
        start += len(line) + 1
    return frozenset(found)


def _inside(text: str, block: list[tuple[int, int]]) -> list[int]:
    """Wrapping line ends of one paragraph, given its lines."""
    if len(block) < 2:
        return []
    lines = [text[a:b] for a, b in block]
    widths = [_width(line.rstrip()) for line in lines]
    return [
        block[n][1]
        for n, (line, following) in enumerate(zip(lines, lines[1:], strict=False))
        if widths[n] >= _WRAPPED_FROM
        and widths[n] + 1 + _width(following.split()[0]) > _FULL * max(widths)
        and not line.lstrip().startswith(("|", "#", "<"))
        and not _CLOSED.search(line)
        and not _OPENED.match(following)
    ]


def _width(line: str) -> int:
    """Columns on a terminal; Hangul and Han take two."""
    return len(line) + sum(char >= "\u1100" for char in line)


def _append(spans: list[tuple[int, int]], text: str, start: int, end: int) -> int:
    """Add text[start:end], stripped, unless it is blank; returns ``end``."""
    stripped = text[start:end]
    left = start + len(stripped) - len(stripped.lstrip())
    right = start + len(stripped.rstrip())
    if right > left:
        spans.append((left, right))
    return end


# Content: nouns, bound nouns, numerals, determiners, verbs, adjectives, roots, noun affixes, adverbs, foreign words,
# Han characters, numbers, addresses. Particles, endings, copula and auxiliaries are left out.
_CONTENT = frozenset(
    "NNG NNP NNB NR MM VV VA XR XPN XSN MAG SL SH SN W_URL W_EMAIL W_HASHTAG W_MENTION W_SERIAL".split()
)
_NOUNS = frozenset(("NNG", "NNP"))
_PARTS = frozenset("NNG NNP XR XSN XPN NR".split())
# Kiwi's log probability of a morpheme that it makes up ("컴퓨" of "컴퓨터") lies below this; that of a known one above.
_GUESSED = -17.0
# Verbs and adverbs that nearly every question and passage has.
_EMPTY = frozenset("하 되 있 없 않 같 이 아니 대하 위하 따르 의하 통하 그리고 또 및 등 더 가장".split())
# English function words; the rest of English is kept as it is written, in lower case.
_EMPTY_ENGLISH = frozenset(
    "a an the of in on at to for from by with and or is are was were be been do does did has have had it its this that"
    " what which who when where how why as".split()
)


class Morphemes:
    """Content morphemes by Kiwi.

    Args:
        user_dictionary: a file of ``word TAB tag [TAB score]`` lines; "" for none.
        threads: Kiwi's own worker threads for a batch.

    Raises:
        ConfigError: the user dictionary can't be read.
    """

    def __init__(self, user_dictionary: str = "", threads: int = 1) -> None:
        self._dictionary = user_dictionary
        self._threads = threads
        self._kiwi: Kiwi | None = None
        self._lock = threading.Lock()
        self.id = MORPHEMES_VERSION
        if user_dictionary:
            import hashlib

            try:
                self.id += ":" + hashlib.sha256(Path(user_dictionary).read_bytes()).hexdigest()[:8]
            except OSError as error:
                raise ConfigError(f"search.user_dictionary {user_dictionary}: {error.strerror}") from error
        # Parts depend on the dictionary, so each analyser keeps its own memory of them.
        self._parts = lru_cache(maxsize=200_000)(self._split)

    def content(self, texts: Sequence[str]) -> list[list[str]]:
        """Content morphemes of each text, in order, in lower case; a compound noun is followed by its parts."""
        kiwi = self.load()
        return [
            [form for token in tokens for form in self._forms(token.form, token.tag)]
            for tokens in kiwi.tokenize([nfc(text) for text in texts])
        ]

    def tags(self, texts: Sequence[str]) -> list[list[Morpheme]]:
        """All morphemes of each text, in order, with their places in it; irregular verbs have no tag of their own."""
        return [
            [Morpheme(token.form, token.tag.split("-")[0], token.start, token.end) for token in tokens]
            for tokens in self.load().tokenize(list(texts))
        ]

    def load(self) -> "Kiwi":
        """Load Kiwi now (seconds); later calls return at once."""
        with self._lock:
            if self._kiwi is None:
                self._kiwi = self._open()
        return self._kiwi

    def _open(self) -> "Kiwi":
        from kiwipiepy import Kiwi

        # Without the dictionary of multi-word names: it triples the loading time and hides compounds' parts.
        kiwi = Kiwi(num_workers=self._threads, load_multi_dict=False)
        if self._dictionary:
            try:
                # Through a copy, for Kiwi takes the mark that Windows editors put at a file's start for part of a word.
                words = Path(self._dictionary).read_text(encoding="utf-8-sig")
                with tempfile.TemporaryDirectory() as folder:
                    copy = Path(folder) / "words"
                    copy.write_text(words, encoding="utf-8")
                    kiwi.load_user_dictionary(str(copy))
            except (OSError, ValueError, RuntimeError) as error:
                raise ConfigError(f"search.user_dictionary {self._dictionary}: {error}") from error
        return kiwi

    def _forms(self, form: str, tag: str) -> list[str]:
        tag = tag.split("-")[0]  # VV-I, VA-R: irregular and regular conjugation
        if tag not in _CONTENT or form in _EMPTY:
            return []
        if tag == "SL":
            form = form.lower()
            return [] if form in _EMPTY_ENGLISH else [form]
        if tag in _NOUNS and len(form) >= 3:
            return [form, *self._parts(form)]
        return [form]

    def _split(self, noun: str) -> tuple[str, ...]:
        """Nouns of two and more syllables inside a compound noun; empty when it is not a compound."""
        assert self._kiwi is not None
        tokens = self._kiwi.tokenize(noun, blocklist=[(noun, "NNG"), (noun, "NNP")])
        if len(tokens) < 2 or any(token.tag not in _PARTS or token.score < _GUESSED for token in tokens):
            return ()
        return tuple(token.form for token in tokens if len(token.form) >= 2)
