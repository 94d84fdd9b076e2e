"""The numbers that Word writes before paragraphs ("제3조", "1.2", "가.") and that stand nowhere in their text.

Knows: numbering.xml (ECMA-376 part 1, 17.9) and Korean number formats. Does not know: paragraphs' text.
"""

import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from damda.ingest.ooxml import attr, child, children

_SERIES = {
    "ganada": "가나다라마바사아자차카타파하",
    "chosung": "ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅌㅍㅎ",
    "decimalEnclosedCircle": "①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳",
    "decimalEnclosedCircleChinese": "①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳",
    "koreanDigital": "일이삼사오육칠팔구",
    "koreanCounting": "일이삼사오육칠팔구",
    "upperLetter": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "lowerLetter": "abcdefghijklmnopqrstuvwxyz",
}
_ROMAN = ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


@dataclass(frozen=True, slots=True)
class _Level:
    form: str
    text: str
    start: int


class Numbering:
    """Counts as Word does: each list has a counter a level; a level starts anew when a higher one moves on."""

    def __init__(self, root: Element | None) -> None:
        lists = {attr(found, "abstractNumId"): _levels(found) for found in children(root, "abstractNum")}
        self._abstract: dict[str, str] = {}
        for found in children(root, "num"):
            link = child(found, "abstractNumId")
            self._abstract[attr(found, "numId")] = attr(link, "val") if link is not None else ""
        self._lists = lists
        self._counts: dict[str, dict[int, int]] = {}

    def label(self, properties: Element | None) -> tuple[str, int]:
        """(what stands before the paragraph: "", "-" for any bullet, or its number; how deep its list is)."""
        number = child(properties, "numPr", "numId")
        depth = child(properties, "numPr", "ilvl")
        if number is None or attr(number, "val") in ("", "0"):
            return "", 0
        level = int(attr(depth, "val")) if depth is not None and attr(depth, "val").isdigit() else 0
        key = self._abstract.get(attr(number, "val"), "")
        found = self._lists.get(key, {}).get(level)
        if found is None or found.form in ("bullet", "none"):
            return "-", min(level, 8)
        counts = self._counts.setdefault(key, {})
        counts[level] = counts.get(level, found.start - 1) + 1
        for deeper in [d for d in counts if d > level]:
            del counts[deeper]
        return self._write(key, found.text, counts).strip(), min(level, 8)

    def _write(self, key: str, pattern: str, counts: dict[int, int]) -> str:
        def number(match: "re.Match[str]") -> str:
            level = int(match[1]) - 1
            known = self._lists[key].get(level)
            return _format(counts.get(level, known.start if known else 1), known.form if known else "decimal")

        return re.sub("%([1-9])", number, pattern)


def _levels(abstract: Element) -> dict[int, _Level]:
    levels = {}
    for found in children(abstract, "lvl"):
        form, text, start = child(found, "numFmt"), child(found, "lvlText"), child(found, "start")
        first = attr(start, "val") if start is not None else "1"
        levels[int(attr(found, "ilvl", "0"))] = _Level(
            attr(form, "val") if form is not None else "decimal",
            attr(text, "val") if text is not None else "",
            int(first) if first.isdigit() else 1,
        )
    return levels


def _format(value: int, form: str) -> str:
    series = _SERIES.get(form, "")
    if 0 < value <= len(series):
        return series[value - 1]
    if form in ("lowerRoman", "upperRoman") and 0 < value < 40:
        text, left = "", value
        for worth, sign in _ROMAN:
            text += sign * (left // worth)
            left %= worth
        return text.upper() if form == "upperRoman" else text
    return f"{value:02}" if form == "decimalZero" else str(value)
