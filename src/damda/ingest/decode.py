"""Bytes -> text: which encoding, and which characters may stay.

Knows: encodings that Korean text files come in. Does not know: files, formats, documents.
"""

import codecs
import re
import unicodedata

from damda.errors import ReadError

# UTF-32 stands before UTF-16: its little-endian mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NEWLINES = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_FORBIDDEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BROKEN_SHARE = 0.001
_CONTROL_SHARE = 0.02
_FEW = 4
_ENOUGH = 50
_FREQUENT = frozenset("이다는의에가을를고은로기지하사한자도서")  # more than a third of any Korean text
_SAMPLE = 200_000


def clean(text: str) -> str:
    """NFC text with ``\\n`` as its only newline, and no control characters but ``\\n`` and ``\\t``; idempotent."""
    text = _FORBIDDEN.sub("", _NEWLINES.sub("\n", text))
    return unicodedata.normalize("NFC", _SURROGATE.sub("\ufffd", text))


def decode(data: bytes, ending: str, declared: str = "") -> str:
    """The text of a text file.

    Order: byte order mark, UTF-16 without a mark (only if there are NUL bytes), UTF-8, the encoding that the file
    declares, CP949 if the result looks Korean, then what charset-normalizer believes. A few broken bytes (1 in 1,000)
    are forgiven and become U+FFFD.

    Args:
        data: the file's content.
        ending: for the error message only, e.g. "txt".
        declared: what the file itself says, e.g. HTML's ``<meta charset>``.

    Raises:
        ReadError: the content is binary, or in an encoding that can't be told.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _not_binary(data[len(mark) :].decode(encoding, "replace"), ending)
    if b"\0" in data and (text := _utf16(data)):
        return text
    # An incremental decoder forgives a file that ends within a character, and nothing else.
    try:
        return _not_binary(codecs.getincrementaldecoder("utf-8")().decode(data), ending)
    except UnicodeDecodeError:
        return _not_binary(_legacy(data, ending, declared), ending)


def _utf16(data: bytes) -> str:
    """UTF-16 without a byte order mark; "" if it is something else."""
    for encoding in ("utf-16-le", "utf-16-be"):
        text = data[: len(data) // 2 * 2].decode(encoding, "replace")
        if sum(map(_is_everyday, text[:_SAMPLE])) > 0.7 * len(text[:_SAMPLE]):
            return text
    return ""


def _legacy(data: bytes, ending: str, declared: str) -> str:
    if "949" in declared or "euc-kr" in declared.lower() or "ksc" in declared.lower():
        declared = "cp949"
    for encoding, trusted in ((declared, True), ("cp949", False), ("utf-8", True)):
        try:
            text = data.decode(encoding or "ascii", "replace")
        except LookupError:
            continue
        few_broken = text.count("\ufffd") <= len(text) * _BROKEN_SHARE
        if few_broken and (trusted or _looks_korean(text[:_SAMPLE])):
            return text
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_SAMPLE]).best()
    if best is None:
        raise _binary(ending)
    return data.decode(best.encoding, "replace")


def _looks_korean(text: str) -> bool:
    """Whether CP949 was right: Japanese read as CP949 gives rare syllables, Chinese gives none of the frequent ones."""
    foreign = [c for c in text if c > "\x7f"]
    hangul = [c for c in foreign if "가" <= c <= "힣"]
    common = sum(len(c.encode("euc_kr", "ignore")) == 2 for c in hangul)  # rare ones are spelt out in 8 bytes
    frequent = sum(c in _FREQUENT for c in hangul)
    mostly = len(hangul) >= 0.5 * len(foreign) and common >= 0.9 * len(hangul)
    return mostly and (len(hangul) < _ENOUGH or frequent >= 0.04 * len(hangul))


def _is_everyday(char: str) -> bool:
    return " " <= char <= "~" or char in "\n\r\t" or "가" <= char <= "힣" or "\u3000" <= char <= "\u30ff"


def _not_binary(text: str, ending: str) -> str:
    if len(_FORBIDDEN.findall(text[:_SAMPLE])) > max(_FEW, _CONTROL_SHARE * min(len(text), _SAMPLE)):
        raise _binary(ending)
    return text


def _binary(ending: str) -> ReadError:
    return ReadError(f"binary content in a .{ending} file; save it as UTF-8 text or give it the right ending")
