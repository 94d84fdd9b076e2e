"""Text as a language model understands it, whatever it was made to look like.

Knows: characters that nobody sees, letters that look like others, letters spaced out, figures for letters, common
encodings. Does not know: what an instruction is.
"""

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import unquote_to_bytes


class Plain(NamedTuple):
    """A text in lower case without disguise.

    Attributes:
        text: what is read.
        at: for each character of ``text`` the offset of the original that it came from, then the original's length;
            None where both are the same.
        unseen: whether characters between letters were left out that nobody sees, or letters swapped for lookalikes.
    """

    text: str
    at: Sequence[int] | None
    unseen: bool

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Offsets in the original of ``text[start:end]``."""
        if self.at is None:
            return start, end
        return self.at[start], self.at[end - 1] + 1 if end > start else self.at[start]


# Zero width, joiners, direction marks, soft hyphen, variation selectors, fillers, tags, invisible operators.
_UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f\U000e0100-\U000e01ef"
)
_ODD = re.compile("[^\x00-\x7f\u00b7\u2010-\u201f\u2026\u3001-\u301f\u3041-\u30ff\u3131-\u3163\u4e00-\u9fff가-힣]+")
_DROPPED = re.compile(f"[{_UNSEEN}]")
# Letters of Cyrillic, Greek, Armenian and the phonetic alphabet, each with the Latin letter that it looks like.
_LOOK = str.maketrans(
    "аеорсухіјѕһԁԛԝӏвкмнтгπАВЕКМНОРСТХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧαεικνορτυχωɡɑıօոսցʀɪɴᴏᴀᴇᴛᴜᴅᴍʟᴘꜱᴄᴠᴡᴋʜɢʙ\u0130",
    "aeopcyxijshdqwlbkmhtrnabekmhopctxijsabezhikmnoptyxaeiknoptuxwgaionugrinoaetudmlpscvwkhgbi",
)


def plain(text: str) -> Plain:
    """NFKC, lower case, without unseen characters, lookalikes as Latin letters, spaced-out letters put together."""
    at: list[int] | None = None
    unseen = False
    if _ODD.search(text):
        text, at, unseen = _visible(text)
    text = text.lower()
    return _together(text, at, unseen)


def _visible(text: str) -> tuple[str, list[int], bool]:
    pieces: list[str] = []
    at: list[int] = []
    done = 0
    unseen = False
    for match in _ODD.finditer(text):
        begin, end = match.span()
        pieces.append(text[done:begin])
        at.extend(range(done, begin))
        for offset in range(begin, end):
            char = text[offset]
            if _DROPPED.match(char):
                unseen |= 0 < offset < len(text) - 1 and text[offset - 1].isalpha() and text[offset + 1].isalpha()
                continue
            shown = unicodedata.normalize("NFKC", char)
            look = shown.translate(_LOOK)
            unseen |= look != char and look.isascii() and look.isalpha()
            pieces.append(look)
            at.extend([offset] * len(look))
        done = end
    pieces.append(text[done:])
    at.extend(range(done, len(text) + 1))
    return "".join(pieces), at, unseen


_SPACED = re.compile(r"(?<![a-z가-힣])(?:[a-z가-힣][ .\-_*/|·~,]{1,3}){5,}[a-z가-힣](?![a-z가-힣])")
_BETWEEN = re.compile(r"[^a-z가-힣]+")


def _together(text: str, at: list[int] | None, unseen: bool) -> Plain:
    """Letters that stand alone, at least six in a row, become words; what parts words is what parts letters least."""
    runs = list(_SPACED.finditer(text))
    if not runs:
        return Plain(text, at, unseen)
    old = range(len(text) + 1) if at is None else at
    pieces: list[str] = []
    new: list[int] = []
    done = 0
    for run in runs:
        pieces.append(text[done : run.start()])
        new.extend(old[done : run.start()])
        gaps = [gap[0] for gap in _BETWEEN.finditer(run[0])]
        usual = max(set(gaps), key=gaps.count)
        offset = run.start()
        while offset < run.end():
            gap = _BETWEEN.match(text, offset, run.end())
            if gap is None:
                pieces.append(text[offset])
                new.append(old[offset])
                offset += 1
                continue
            if gap[0] != usual:
                pieces.append(" ")
                new.append(old[offset])
            offset = gap.end()
        done = run.end()
    pieces.append(text[done:])
    new.extend(old[done:])
    return Plain("".join(pieces), new, True)


_FIGURE = re.compile("[a-z][0134578@$!|]{1,2}[a-z]")
_FIGURES = re.compile(r"\b(?=[a-z]*[0134578@$!|])(?=[0134578@$!|]*[a-z])[a-z0134578@$!|]{3,}")
_LETTERS = str.maketrans("0134578@$!|", "oieastbasil")


def has_figures(text: str) -> bool:
    """Whether figures stand inside words, in a text in lower case."""
    return bool(_FIGURE.search(text))


def figures_read(text: str) -> str:
    """ "1gn0r3 4ll" as "ignore all", of the same length."""
    return _FIGURES.sub(lambda match: match[0].translate(_LETTERS), text)


class Hidden(NamedTuple):
    """``original[start:end]`` says ``text`` to whom can read it."""

    start: int
    end: int
    text: str


# No code is shorter, and few other words are as long: what follows is looked for only where there are such.
_LONG = re.compile(r"[A-Za-z0-9+/=_%&#;\\-]{16}")
_SPACED_CODE = re.compile(r"[0-9a-fA-F]{2}(?:[ :,][0-9a-fA-F]{2}){8}")
_TAGS = re.compile("[\U000e0020-\U000e007e]{4,}")
_FLAG = "\U0001f3f4"  # what follows it is a part of its name
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{20,}={0,2}(?![A-Za-z0-9+/=])")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{2}[ :,]?){15,}[0-9a-fA-F]{2}(?![0-9A-Za-z])")
_ESCAPES = re.compile(
    r"(?:&\#x?[0-9a-fA-F]{2,6};){8,} |"
    r" (?:%[0-9a-fA-F]{2}){8,} | (?:\\u[0-9a-fA-F]{4}[ ]?){4,} | (?:\\x[0-9a-fA-F]{2}){8,}",
    re.VERBOSE,
)
# "ignore", "forget", "disregard", "instructions", "prompt", "reveal" as rot13 and from right to left.
_ROT13 = re.compile(r"vtaber|sbetrg|qvfertneq|vafgehpgvba|cebzcg|erirny")
_BACKWARDS = re.compile(r"erongi|tegrof|dragersid|noitcurtsni|tpmorp|laever")
_MOST = 4000
"""Characters of one run that are decoded: a picture in a data: URL is longer and says nothing."""


def hidden(text: str) -> Iterator[Hidden]:
    """What stands in the text in a code, decoded: tag characters, Base64, hexadecimal, escapes, rot13, backwards."""
    if not text.isascii():
        for run in _TAGS.finditer(text):
            if text[run.start() - 1 : run.start()] != _FLAG:
                yield Hidden(*run.span(), "".join(chr(ord(char) - 0xE0000) for char in run[0]))
    if _LONG.search(text) or _SPACED_CODE.search(text) or text.count("\\u") > 3:
        yield from _coded(text)
    low = text.lower()
    if len(low) != len(text):
        return
    if _ROT13.search(low):
        yield from _turned(low, _ROT13, lambda line: codecs.encode(line, "rot13"))
    if _BACKWARDS.search(low):
        yield from _turned(low, _BACKWARDS, lambda line: line[::-1])


def _coded(text: str) -> Iterator[Hidden]:
    for run in _BASE64.finditer(text):
        yield from _said(run, _base64(run[0][:_MOST]))
    for run in _HEX.finditer(text):
        yield from _said(run, bytes.fromhex(re.sub("[ :,]", "", run[0])))
    for run in _ESCAPES.finditer(text):
        yield from _said(run, _unescaped(run[0]).encode("utf-8", "replace"))


def _turned(text: str, word: re.Pattern[str], read: Callable[[str], str]) -> Iterator[Hidden]:
    """Lines with such a word in them, as they are read."""
    ends = -1
    for match in word.finditer(text):
        if match.start() > ends:
            start = text.rfind("\n", 0, match.start()) + 1
            ends = text.find("\n", match.end()) % (len(text) + 1)
            yield Hidden(start, ends, read(text[start:ends]))


def _base64(run: str) -> bytes:
    run = run.rstrip("=").replace("-", "+").replace("_", "/")
    run = run[: len(run) - (len(run) % 4 == 1)]
    try:
        return base64.b64decode(run + "=" * (-len(run) % 4))
    except binascii.Error:
        return b""


def _unescaped(run: str) -> str:
    if run[0] == "&":
        return html.unescape(run)
    if run[0] == "%":
        return unquote_to_bytes(run).decode("utf-8", "replace")
    if run[1] == "x":
        return bytes.fromhex(run.replace("\\x", "")).decode("utf-8", "replace")
    return "".join(chr(int(code, 16)) for code in run.replace(" ", "").split("\\u")[1:])


def _said(run: re.Match[str], data: bytes) -> Iterator[Hidden]:
    """The decoded text, if it is text."""
    text = data.decode("utf-8", "ignore")
    if len(text) >= 8 and sum(char.isalpha() or char.isspace() for char in text) > 0.8 * len(text):
        yield Hidden(*run.span(), text)
