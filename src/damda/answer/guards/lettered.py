"""Identifiers that are told by letters and marks: passports, number plates, addresses of machines and of mail.

Knows: how they are written and what looks like them. Does not know: numbers told by their digits alone (`identifiers`).
"""

import ipaddress
import re
from collections.abc import Iterator

from damda.answer.guards.cues import Candidate, cue


def find(text: str) -> list[Candidate]:
    """All that may be such an identifier; spans can overlap."""
    found = list(emails(text))
    if "::" in text or text.count(":") >= 7:
        found += machines_v6(text)
    for run in _RUN.finditer(text):  # every search begins at digits: nothing is looked for in the words between
        length = run.end() - run.start()
        found += plate(text, run) if length in (2, 3) else ()
        found += machine(text, run) if length <= 3 and text.startswith(".", run.end()) else ()
        found += passport(text, run) if length in (3, 7, 8) else ()
    return found


_RUN = re.compile("[0-9]+")
_PASSPORT = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z](?:\d{8}|\d{3}[A-Za-z]\d{4}|[A-Za-z]\d{7})(?![A-Za-z0-9_])(?!-\w)")
_SURE_PASSPORT = re.compile(r"M(?:\d{8}|\d{3}[A-Z]\d{4})|[SROD]\d{3}[A-Z]\d{4}")
_OWN_PASSPORT = re.compile(r"[MSRODmsrod](?:\d{8}|\d{3}[A-Za-z]\d{4})")


def passport(text: str, run: re.Match[str]) -> Iterator[Candidate]:
    """M12345678, and M123A4567 since 2021; other letters, and two, where a word for passport stands before."""
    begin = run.start() - (2 if run.end() - run.start() == 7 else 1)
    match = _PASSPORT.match(text, begin) if begin >= 0 else None
    if match:
        said = cue(text, match.start())
        if said == "passport":
            yield Candidate("passport", *match.span(), 4)
        elif not said and (
            _SURE_PASSPORT.match(match[0]) or (len(text) < 64 and _OWN_PASSPORT.fullmatch(text.strip()))
        ):
            yield Candidate("passport", *match.span(), 2)


_LETTERS = "가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주바사아자배하허호"
_PLATE = re.compile(rf"\d{{2,3}}\s?[{_LETTERS}]\s?\d{{4}}(?![0-9]|[.,-][0-9])")
_REGION = re.compile(r"(?:서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충북|충남|전북|전남|경북|경남|제주)\s?$")
_NO_PLATE_BEFORE = re.compile(r"[0-9][-.,/]$|제\s?$")
# "12조 3456억", "11호 2023년", "38도 1234": these letters are units too.
_AMBIGUOUS = re.compile(r"\d\s?[조호도주부수자하구로보소고]\s|\d\s[가-힣]|조\d")
_NO_PLATE = re.compile(r"\s?(?:년|월|일|원|만|억|조|명|개|건|회|위|%|km|m\b|㎞|㎡|t\b|톤)")


def plate(text: str, run: re.Match[str]) -> Iterator[Candidate]:
    """12가 3456, 123가 4567, 서울 12가 3456."""
    match = _PLATE.match(text, run.start())
    before = text[max(0, run.start() - 3) : run.start()]
    if match and not _NO_PLATE.match(text, match.end()) and not _NO_PLATE_BEFORE.search(before):
        region = _REGION.search(before)
        start = run.start() - len(region[0]) if region else run.start()
        said = cue(text, start)
        if said == "plate" or region or (said != "other" and not _AMBIGUOUS.search(match[0])):
            yield Candidate("plate", start, match.end(), 4 if said == "plate" else 2)


_V4 = re.compile(r"(?<![0-9A-Za-z_-])(?<![0-9]\.)[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z_])(?!\.[0-9])")
_V6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")


def machine(text: str, run: re.Match[str]) -> Iterator[Candidate]:
    """A machine's address, version 4; not that of no one machine: loopback, unspecified, masks."""
    match = _V4.match(text, run.start())
    if match and _somebody(match[0]):
        said = cue(text, match.start())
        # "1.2.3.4" is a version or a heading as well.
        small = all(int(part) < 32 for part in match[0].split("."))
        if said != "other" and not (small and said != "ip"):
            yield Candidate("ip", *match.span(), 2)


def machines_v6(text: str) -> Iterator[Candidate]:
    """Addresses of version 6, but the loopback."""
    for match in _V6.finditer(text):
        if len(match[0]) >= 9 and any(map(str.isdigit, match[0])) and _somebody(match[0]):
            yield Candidate("ip", *match.span(), 2)


def _somebody(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (ip.is_loopback or ip.is_unspecified or ip.is_multicast or address.startswith(("255.", "0.")))


_LOCAL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._%+'-]*[A-Za-z0-9_+-])?\s?$")
_DOMAIN = re.compile(r"\s?((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+)([A-Za-z]{2,24})(?![A-Za-z0-9])")
_AT = re.compile(r" ?[(\[] ?(?:at|앳|골뱅이|@) ?[)\]] ?|@", re.IGNORECASE)
_SAID_AT = re.compile(r"[(\[] ?(?:at|앳|골뱅이) ?[)\]]", re.IGNORECASE)
_FILES = frozenset("png jpg jpeg gif svg webp css js ts mjs tsx jsx json md html py rs go yml yaml sh gz zip".split())


def emails(text: str) -> Iterator[Candidate]:
    """Local part, @ (or "(at)", "[골뱅이]"), a domain with a dot. No names of packages, files or repositories."""
    for at in _AT.finditer(text) if "@" in text or _SAID_AT.search(text) else ():
        local = _LOCAL.search(text, max(0, at.start() - 65), at.start())
        domain = _DOMAIN.match(text, at.end())
        if not local or not domain:
            continue
        spaced = local[0][-1].isspace() != text[at.end()].isspace()
        versioned = all(label.isdigit() for label in domain[1].split(".")[:2])
        repository = local[0] == "git" or text[max(0, local.start() - 3) : local.start()] == "://"
        if not (spaced or versioned or repository or domain[2].lower() in _FILES):
            yield Candidate("email", local.start(), domain.end(), 5)
