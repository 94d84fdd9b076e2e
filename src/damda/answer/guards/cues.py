"""What stands around a number in a text, and so what the number is.

Knows: words that announce each kind of personal data, labels of numbers that are none, tables' columns, and when digits
are a part of something longer. Does not know: how any kind is written, or whether a number is a right one.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple


class Candidate(NamedTuple):
    """Perhaps an identifier of ``kind`` at ``text[start:end]``; where two overlap, the greater ``weight`` stays."""

    kind: str
    start: int
    end: int
    weight: int = 1


def resolve(found: Sequence[Candidate]) -> list[Candidate]:
    """Those that overlap nothing of greater weight (or length, or that stands earlier), in order."""
    kept: list[Candidate] = []
    for one in sorted(found, key=lambda c: (-c.weight, c.start - c.end, c.start)):
        at = bisect_left(kept, one.end, key=_start)
        if not at or kept[at - 1].end <= one.start:
            kept.insert(at, one)
    return kept


def _start(one: Candidate) -> int:
    return one.start


BANKS = "국민|신한|농협|카카오|토스|씨티|수협|축협|새마을|신협|우체국"
"""Banks that are named without the word for bank; the others' names are words and places too."""
_CUES = re.compile(
    r"""
      (?P<rrn>    주민\s?(?:등록)?\s?번|주민등록|주민번|민증|신분증|\brrn|resident|jumin|ssn)
    | (?P<frn>    외국인\s?(?:등록)?\s?번|외국인등록|거소신고|\bfrn|alien|foreigner)
    | (?P<brn>    사업자|\bbrn|business[\s_]?(?:reg|no|num|lic)|biz[\s_]?(?:no|num|reg))
    | (?P<driver> 면허|driver|licen[cs]e)
    | (?P<passport> 여권|passport)
    | (?P<card>   카드|card\b|card[\s_]?n|visa|master|amex)
    | (?P<account>계좌|통장|입금|송금|이체|예금|환급|환불|가상계|(?:"""
    + BANKS
    + r""")(?:은행|뱅크|중앙회|금고)?(?=\W|$)|은행|뱅크|금고|account|acct|\bbank|iban
        |\bkb\b|\bnh\b|\bibk\b)
    | (?P<phone>  전화|연락처|연락|휴대|핸드폰|핸폰|폰번|무선|팩스|직통|내선|문의|문자|\bfax|\btel|phone
        |mobile|\bcell|contact|\bh\.?p\b|\bm\.|☎|☏|📞|📱)
    | (?P<plate>  차량|번호판|자동차|차\s?번호|\bcar\b|plate|vehicle)
    | (?P<ip>     (?<![a-z])ip(?![a-z])|아이피|접속|서버|호스트|host|server|address|remote|client|addr)
    | (?P<other>  법인\s?(?:등록)?\s?번|(?:주문|송장|운송장|등기|상품|제품|문서|관리|접수|사건|예약|승인|거래|견적|부품
          |특허|출원|일련|품목|우편|학생|직원|사원|청구|계약|증권|배송|조회|신고|허가|고시|공고|시험|수험|모델|자산|도면|티켓
          |라이[선센]스)\s?(?:번호|번|코드|id\b|no\b)
        |품번|학번|사번|모델명|코드|바코드|시리얼|버전|금액|합계|총액|조회수|규격|타임스탬프|isbn|issn|\bdoi|barcode
        |\bsku|serial|version
        |\bver\b|code\b|order|invoice|tracking|product|\bpart\b|model|ticket|issue|timestamp|\bhash|commit|build)
    """,
    re.VERBOSE,
)
_REACH = 28
"""Characters before a number in which its label stands."""
_EARLIER = re.compile(r"\d(?:[-.]?\d){3}")


def cue(text: str, start: int) -> str:
    """Which kind of number the nearest word before ``start`` announces; "other": none of a person's; "": nothing.

    Words before an earlier number are that one's. In a table (cells parted by ``|``, tab, ``,`` or ``;``) without a
    word in the row it is the column's head that counts.
    """
    window = text[max(0, start - _REACH) : start].lower()
    earlier = 0
    for match in _EARLIER.finditer(window):
        earlier = match.end()
    return _last_cue(window[earlier:]) or _last_cue(column(text, start).lower())


def _last_cue(words: str) -> str:
    last = ""
    for match in _CUES.finditer(words):
        last = match.lastgroup or ""
    return last


def column(text: str, at: int) -> str:
    """The head of the column that ``at`` stands in; "" where it is in no table."""
    begin, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
    row = text[begin : end if end >= 0 else len(text)]
    for mark in "|\t,;":
        if begin and (cells := row.count(mark)):
            head, line_end = "", begin - 1
            for _ in range(_ROWS):  # upwards, as long as the lines have as many cells
                line_begin = text.rfind("\n", 0, max(0, line_end)) + 1
                line = text[line_begin:line_end]
                if line.count(mark) != cells:
                    break
                head, line_end = (line if line.strip("|-: \t") else head), line_begin - 1
            found = head.split(mark)[text.count(mark, begin, at)] if head else ""
            if found:
                return found if len(found.strip()) <= _HEAD else ""
    return ""


_ROWS = 40
_HEAD = 24
"""A longer cell is no head of a column, and its line perhaps no row of a table."""


class Number:
    """Digits that were found in a text, and what can be said of the place where they stand."""

    def __init__(self, text: str, match: re.Match[str], cues: dict[int, str]) -> None:
        self.text = text
        self.match = match
        self.start, self.end = match.span()
        self.digits = re.sub(r"\D", "", match[0])
        self.bare = match[0].isdigit()
        self._cues = cues

    @property
    def cue(self) -> str:
        """`cue`, looked up once for each place."""
        if self.start not in self._cues:
            self._cues[self.start] = cue(self.text, self.start)
        return self._cues[self.start]

    @property
    def alone(self) -> bool:
        """Nothing else stands in the text: a form's field, a table's cell."""
        return len(self.text) < _CELL and self.text.strip() == self.match[0].strip()

    @property
    def free(self) -> bool:
        """Not the edge of something longer: a number, a decimal, a code, a word of hexadecimal digits."""
        before, after = self.text[max(0, self.start - 2) : self.start], self.text[self.end : self.end + 2]
        if before[-1:].isdigit() or after[:1].isdigit() or _LONGER_BEFORE.search(before) or _LONGER_AFTER.match(after):
            return False
        return not self.bare or not (_LETTER_BEFORE.search(before) or _LETTER_AFTER.match(after))

    @property
    def counted(self) -> bool:
        """A unit follows: an amount, a count, a measure."""
        return bool(_UNIT.match(self.text, self.end))

    def take(self, kind: str, weight: int = 1) -> Candidate:
        return Candidate(kind, self.start, self.end, weight)


_CELL = 64
_LONGER_BEFORE = re.compile(r"[0-9][-.+]$|[A-Za-z]-$|\*[-*]?$")
_LONGER_AFTER = re.compile(r"[-.+][0-9]|-[A-Za-z]|-?\*")
_LETTER_BEFORE = re.compile(r"[A-Za-z_/#%&]$")
_LETTER_AFTER = re.compile(r"[A-Za-z_]")
_UNIT = re.compile(r" ?(?:원|명|개|건|만|억|조|천|회|㎡|%|달러|엔|유로|kg|km|cm|mm|㎞|ms|초|분|바이트|bytes?\b)")
