"""Personal data in a text, and the guard that masks it or stops the text.

Knows: the kinds, odd characters in which they hide, what to do about each. Does not know: how a kind is written (the
modules beside this one), or where the text comes from.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from damda.answer.guards import identifiers, lettered, people, places
from damda.answer.guards.cues import resolve
from damda.errors import ConfigError
from damda.types import MASK, Found, Hit, Verdict

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "rrn": "resident registration number (주민등록번호)",
        "frn": "foreigner's registration number (외국인등록번호)",
        "brn": "business registration number (사업자등록번호)",
        "driver": "driver's licence number (운전면허번호)",
        "passport": "passport number (여권번호)",
        "card": "number of a credit or debit card",
        "account": "bank account number, where a word for bank or account stands beside it",
        "phone": "telephone number; not a firm's free or shared line (080, 1588)",
        "email": "e-mail address",
        "address": "postal address, down to a house or a flat",
        "plate": "number plate of a car",
        "ip": "IP address, but loopback and masks",
        "name": "a person's name, where a label, a title or another of these stands beside it",
    }
)
"""Kinds of personal data, each with what it is."""

# Changes whenever the same text would be found to hold something else: answers are remembered under it.
VERSION = 1


class Personal:
    """Masks the kinds in ``redact``, and stops a text with one of ``block``.

    Raises:
        ConfigError: a kind is none of `KINDS`.
    """

    def __init__(self, redact: Sequence[str], block: Sequence[str] = ()) -> None:
        for setting, kinds in (("redact", redact), ("block", block)):
            if unknown := [kind for kind in kinds if kind not in KINDS]:
                raise ConfigError(f"guard.{setting}: no kind {', '.join(unknown)}; there are {', '.join(KINDS)}")
        self._redact = frozenset(redact)
        self._block = frozenset(block)
        self.id = f"personal:{VERSION}:{','.join(sorted(self._redact))}:{','.join(sorted(self._block))}"

    def check(self, text: str, hits: Sequence[Hit] = ()) -> Verdict:
        """``found`` holds what the action is for: with block, only kinds that block."""
        found = find(text, self._redact | self._block)
        blocking = tuple(one for one in found if one.rule in self._block)
        if blocking:
            return Verdict("block", "", blocking, guard="personal")
        if found:
            return Verdict("redact", mask(text, found), tuple(found), guard="personal")
        return Verdict("allow", text, guard="personal")


def find(text: str, kinds: Collection[str] = KINDS) -> list[Found]:
    """Personal data of these kinds, in order, not overlapping; offsets are those of ``text`` as it is."""
    plain, places_of = _plain(text)
    plain = _BROKEN.sub(lambda match: match[0].replace("\n", " "), plain)
    found = identifiers.find(plain) + lettered.find(plain) if _MARKED.search(plain) else []
    if "address" in kinds or "name" in kinds:
        found += places.addresses(plain)
        found += people.names(plain, resolve(found))
    spans = [one for one in resolve(found) if one.kind in kinds]
    if places_of is None:
        return [Found(one.kind, one.start, one.end) for one in spans]
    return [Found(one.kind, places_of[one.start], places_of[one.end - 1] + 1) for one in spans]


def mask(text: str, found: Sequence[Found]) -> str:
    """The text with letters and digits of what was found masked; spaces, hyphens and other marks stay."""
    parts, at = [], 0
    for one in found:
        parts += [text[at : one.start], *(MASK if char.isalnum() else char for char in text[one.start : one.end])]
        at = one.end
    return "".join([*parts, text[at:]])


# --- odd characters ---------------------------------------------------------------------------------------------------

# A registration number that a line end parts. It counts as parted by a space: its checksum, or a label, has to agree.
_BROKEN = re.compile(r"(?<=\d{6})-?\n-?(?=\d{7}(?!\d))")
_MARKED = re.compile(rf"[0-9@]|[{identifiers.SAID}]{{4}}| ?[(\[] ?(?:at|앳|골뱅이)", re.IGNORECASE)
# Anything but ASCII, Hangul syllables and the like, and Han; and the letters that are typed for a hyphen.
_ODD = re.compile("[^\x00-\x7f가-힣ㄱ-ㅠㅢ-ㅣ\u4e01-\u9fff]")
_HYPHENS = "\u2212\u30fc\u3161\u4e00\uff0d\uff5e\u223c\u02d7\u2043\u207b"


def _plain(text: str) -> tuple[str, list[int] | None]:
    """The text with plain digits, spaces and hyphens and without invisible characters.

    Returns:
        It, and the place in ``text`` of each of its characters; None: the same place.
    """
    plain = _ODD.sub(lambda match: _fold(match[0]), text)
    if len(plain) == len(text):
        return plain, None
    return plain, [place for place, char in enumerate(text) if char.isascii() or _fold(char)]


@lru_cache(maxsize=4096)
def _fold(char: str) -> str:
    """One plain character for an odd one, or none for an invisible one."""
    category = unicodedata.category(char)
    if char in _HYPHENS or category == "Pd":
        return "-"
    if category in ("Cf", "Mn", "Me", "Cc") or char in "\u115f\u1160\u3164\uffa0":
        return ""
    if category == "Zs":
        return " "
    if category == "Nd":
        return str(unicodedata.decimal(char))
    return unicodedata.normalize("NFKC", char) if "\uff01" <= char <= "\uff5e" else char
