"""When two spellings are one question.

Knows: widths, cases, white space, closing marks. Does not know: meaning.
"""

import re
import unicodedata

from damda.korean import nfc

_CLOSING = re.compile(r"[\s?？.。…~]+$")
_SHOUTED = re.compile(r"(?<![\d\s])[\s?？.。…~!！]+$")
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "『": "』", "«": "»"}
_WRITTEN = re.compile(r"(?<![\w.+#/@-])(?:[A-Z][a-z]+(?:['’][a-z]+)?|I)(?![\w+#/@])")
_KEPT = ("<super>", "<sub>", "<fraction>", "<circle>")
_SPACE = re.compile(r"\s+")


def normalised(question: str) -> str:
    """The question without what never changes its meaning.

    Goes: compatibility forms of characters (NFKC: "ＡＢＣ", "㎏", half-width Hangul), white space more than one blank,
    quotation marks around the whole, "?", "." and "~" at the end, "!" unless after a digit, the capital of a word that
    has no other ("What", "I"; not "US", "iPhone", "mW", "C++"). Stays: everything else, among it superscripts,
    fractions and circled numbers, which NFKC would make other numbers ("2⁵" is not 25), and the line ends and blanks of
    a text of several lines: it may be a program.
    """
    text = _compatible(nfc(question)).strip()
    if "\n" in text or "\r" in text:
        return text
    text = _SPACE.sub(" ", text)
    while len(text) > 2 and _QUOTES.get(text[0]) == text[-1] and text[-1] not in text[1:-1]:
        text = text[1:-1].strip()
    bare = _SHOUTED.sub("", text) if text.rstrip("?？.。…~!！ ")[-1:].isalpha() else _CLOSING.sub("", text)
    return _WRITTEN.sub(lambda word: word[0].lower(), bare or text)


def _compatible(text: str) -> str:
    if text.isascii() or unicodedata.is_normalized("NFKC", text):
        return text
    if any(unicodedata.decomposition(char).startswith(_KEPT) for char in text):
        parts = re.split(f"([{re.escape(''.join(c for c in text if _kept(c)))}])", text)
        return "".join(part if _kept(part) else unicodedata.normalize("NFKC", part) for part in parts)
    return unicodedata.normalize("NFKC", text)


def _kept(part: str) -> bool:
    return len(part) == 1 and unicodedata.decomposition(part).startswith(_KEPT)
