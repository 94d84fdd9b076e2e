"""Korean identifiers made of digits: registration numbers, licences, cards, accounts, telephones.

Knows: how each is written, its checksum where it has one, what looks like it and is not. Does not know: identifiers
with letters (`lettered`), people, what is done about what is found, or odd characters (`find` is given a text with
plain digits, spaces and hyphens).

A number is taken for one of a kind where its own form is proof enough, or where the nearest word before it says so.
Sources: resident and foreigner's numbers, weights 2 to 9 and 2 to 5 modulo 11; business numbers, weights 1 3 7 1 3 7 1
3 5 modulo 10; cards, ISO/IEC 7812-1 (Luhn).
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import NamedTuple

from damda.answer.guards.cues import BANKS, Candidate, Number


def find(text: str) -> list[Candidate]:
    """All that may be an identifier; spans can overlap."""
    found = list(_spoken(text)) if "일공" in text or "일영" in text else []
    cues: dict[int, str] = {}
    for blob in _BLOB.finditer(text):
        digits = sum(map(str.isdigit, blob[0]))
        # Each form stands inside one run of digits and marks; what it must not touch is at most two characters away.
        begin, end = max(0, blob.start() - 6), min(len(text), blob.end() + 3)
        for form in _FORMS:
            if digits < form.least:
                continue
            for match in form.pattern.finditer(text, begin, end):
                if candidate := form.check(Number(text, match, cues)):
                    found.append(candidate)
            if found and found[-1].weight >= _SURE and found[-1].start <= blob.start() and found[-1].end >= blob.end():
                break  # the whole run is explained
    return found


# --- checksums --------------------------------------------------------------------------------------------------------


def birth(digits: str) -> bool:
    """Whether the first seven digits of a registration number name a day and a century; days to come count too."""
    century = {"1": 1900, "2": 1900, "5": 1900, "6": 1900, "3": 2000, "4": 2000, "7": 2000, "8": 2000}.get(digits[6])
    if century is None:
        return False
    try:
        date(century + int(digits[:2]), int(digits[2:4]), int(digits[4:6]))
    except ValueError:
        return False
    return True


_SURE = 3
_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)


def registration_checks(digits: str) -> bool:
    """Whether the last of 13 digits is right. Numbers given since October 2020 have a random one."""
    total = sum(int(digit) * weight for digit, weight in zip(digits, _WEIGHTS, strict=False))
    return ((13 if digits[6] in "5678" else 11) - total % 11) % 10 == int(digits[12])


def business_checks(digits: str) -> bool:
    """Whether the last of a business number's ten digits is right."""
    total = sum(int(digit) * weight for digit, weight in zip(digits, (1, 3, 7, 1, 3, 7, 1, 3, 5), strict=False))
    return digits[:3] >= "100" and -(total + int(digits[8]) * 5 // 10) % 10 == int(digits[9])


def luhn(digits: str) -> bool:
    """Luhn's sum, modulo 10."""
    doubled = [(0, 2, 4, 6, 8, 1, 3, 5, 7, 9)[int(digit)] for digit in digits[-2::-2]]
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0


# --- one function for each form ---------------------------------------------------------------------------------------


def _registration(number: Number) -> Candidate | None:
    """13 digits, 6-7. Since October 2020 there is no checksum: it is only asked for where the words are against it."""
    kind = "frn" if number.digits[6] in "5678" else "rrn"
    if not number.free or not birth(number.digits) or number.counted or number.cue == "other":
        return None
    checks, said = registration_checks(number.digits), number.cue in ("rrn", "frn")
    spaced = number.match[2] is not None and not number.match[2].strip()
    if not checks and not said:
        barcode = number.bare and number.digits.startswith("880") and bar_code(number.digits)
        if spaced or barcode or number.cue not in ("", "ip", "phone"):
            return None
    return number.take(kind, 4 if said or checks else 3)


def bar_code(digits: str) -> bool:
    """Whether 13 digits are an EAN (a bar code): weights 1 and 3 modulo 10."""
    return (sum(map(int, digits[0::2])) + 3 * sum(map(int, digits[1::2]))) % 10 == 0


def _business(number: Number) -> Candidate | None:
    if not number.free or number.counted:
        return None
    said = number.cue == "brn"
    if business_checks(number.digits):
        if said or (number.alone if number.bare else number.cue == ""):
            return number.take("brn", 4 if said else 2)
    return number.take("brn", 3) if said and not number.bare else None


_OFFICES = frozenset("11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 28".split())


def _driver(number: Number) -> Candidate | None:
    """2-2-6-2: office, year, serial number, a check digit whose rule is not public."""
    if not number.free or number.counted:
        return None
    said = number.cue == "driver"
    if said:
        return number.take("driver", 4)
    if number.digits[:2] not in _OFFICES or number.cue:
        return None
    if number.bare and (not number.alone or _CLOCK.match(number.digits)):
        return None
    return number.take("driver", 2)


_CLOCK = re.compile(r"20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d$")


def _card(number: Number) -> Candidate | None:
    """16 digits (15 of American Express). Domestic cards, from 9 on, need not keep to Luhn where a word says card."""
    if not number.free or number.counted:
        return None
    said = number.cue == "card"
    if luhn(number.digits) and number.digits[0] in "34569" and len(set(number.digits)) > 1:
        if said or number.cue not in ("other", "account"):
            return number.take("card", 4 if said else 3)
    return number.take("card", 3) if said and number.digits[0] == "9" else None


def _mobile(number: Number) -> Candidate | None:
    """010 and the older 011, 016 to 019: their form is proof, unless they are bare and old."""
    if not number.free or number.counted or (number.bare and number.cue == "other"):
        return None
    if number.digits.startswith("01") and not number.digits.startswith("010") and number.bare and number.cue != "phone":
        return None
    return number.take("phone", 4 if number.cue == "phone" else 3)


def _landline(number: Number) -> Candidate | None:
    """Area codes, 070, 050x. Lines that anybody may call for nothing or a firm's (080, 1588) are nobody's."""
    if not number.free or number.counted or number.cue in ("other", "brn", "driver", "card"):
        return None
    if (number.bare or " " in number.match[0].strip()) and number.cue != "phone" and "(" not in number.match[0]:
        return None
    return number.take("phone", 4 if number.cue == "phone" else 3)


def _abroad(number: Number) -> Candidate | None:
    """+82 10-..., +1 202-...: the plus sign and at least nine digits."""
    if not 9 <= len(number.digits) <= 15 or not number.free or number.counted:
        return None
    return number.take("phone", 4)


def _local(number: Number) -> Candidate | None:
    """123-4567 after a word for telephone."""
    said = number.cue == "phone" and not number.digits.startswith(("15", "16", "18"))
    return number.take("phone", 1) if said and number.free and not number.counted else None


def _account(number: Number) -> Candidate | None:
    """Each bank has its own forms, none with a public checksum: a word for bank or account must stand beside."""
    if not 10 <= len(number.digits) <= 16 or not number.free or number.counted or number.digits.startswith("00000"):
        return None
    if number.digits.startswith("3333") and _KAKAO.fullmatch(number.match[0]) and number.cue in ("", "phone"):
        return number.take("account", 2)
    said = number.cue == "account" or (number.cue == "" and _BANK_AFTER.match(number.text, number.end))
    return number.take("account", 3) if said and not _DATED.match(number.match[0]) else None


_KAKAO = re.compile(r"3333-\d{2}-\d{7}")
_BANK_AFTER = re.compile(
    rf"\s?[(\[,/]?\s?(?:(?:{BANKS})(?:은행|뱅크|\W|$)|[가-힣]{{1,3}}은행|예금주|(?:번\s?)?계좌"
    r"|으?로\s?(?:입금|송금|이체))"
)
_DATED = re.compile(r"(?:19|20)\d\d[-. ]{1,2}(?:0?[1-9]|1[0-2])[-. ]{1,2}(?:[0-2]?\d|3[01])(?!\d)")


class _Form(NamedTuple):
    pattern: re.Pattern[str]
    check: Callable[[Number], Candidate | None]
    least: int


_BLOB = re.compile(r"[0-9](?:[-.() ]{0,3}[0-9]){6,}")
_AREA = r"(?:2|[3-6][1-5]|70|50\d?)"
_S = r"(?:[-.]| ?- ?| )?"  # between the groups of a telephone number
_FORMS = tuple(
    _Form(re.compile(pattern), check, least)
    for pattern, check, least in (
        (r"(?<!\d)(\d{6})( ?[-.] ?| )?(\d{7})(?!\d)", _registration, 13),
        (r"(?<!\d)\d{3}(?: ?- ?| )\d{2}(?: ?- ?| )\d{5}(?!\d)|(?<!\d)\d{10}(?!\d)", _business, 10),
        (r"(?<!\d)\d{2}([- ])\d{2}\1\d{6}\1\d{2}(?!\d)|(?<!\d)\d{12}(?!\d)", _driver, 12),
        (r"(?<!\d)\d{4}([-. ]?)\d{4}\1\d{4}\1\d{4}(?!\d)|(?<!\d)3[47]\d\d([- ]?)\d{6}\2\d{5}(?!\d)", _card, 15),
        (rf"(?<!\d)(?:\(01[016789]\)|01[016789]\)?){_S}\d{{3,4}}{_S}\d{{4}}(?!\d)", _mobile, 10),
        (rf"(?<!\d)(?:\(0{_AREA}\)|0{_AREA}\)?){_S}\d{{3,4}}{_S}\d{{4}}(?!\d)", _landline, 9),
        (rf"(?:\+|(?<!\d)00)82{_S}(?:\(0\)|0)?{_S}\d{{1,3}}{_S}\d{{3,4}}{_S}\d{{4}}(?!\d)", _abroad, 9),
        (r"\+[1-9]\d{0,2}(?:[-. ]?(?:\(\d{1,4}\)|\d{1,4})){2,5}(?!\d)", _abroad, 9),
        (r"(?<!\d)(?<!\d[-.)])\d{3,4}-\d{4}(?!\d)", _local, 7),
        (r"(?<!\d)\d{2,6}(?:[- ]\d{1,8}){1,4}(?!\d)|(?<!\d)\d{10,16}(?!\d)", _account, 10),
    )
)

SAID = "공영일이삼사오육륙칠팔구"
_SPOKEN = re.compile(rf"(?<![가-힣])[공영]일[공영][-. ]?[{SAID}]{{4}}[-. ]?[{SAID}]{{4}}(?![{SAID}])")


def _spoken(text: str) -> Iterator[Candidate]:
    """A mobile number whose digits are written as words."""
    return (Candidate("phone", *match.span(), 3) for match in _SPOKEN.finditer(text))
