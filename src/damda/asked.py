"""The date or the quantity that a question asks for, found in a sentence.

Knows: how Korean and English ask for numbers, and how numbers are written. Does not know: which sentences there are.

Only what can be told by form is looked for. Names, places and reasons are not: picking them by form was right for
fewer than one question in five.
"""

import re
from dataclasses import dataclass

_WHEN = re.compile(r"언제|날짜|생일|시기|몇\s*월|(?:때|날|시점)[은는이]|\bwhen\b|what (?:date|day)", re.IGNORECASE)
_YEAR = re.compile(
    r"년도|연도|몇\s*년(?!\s*(?:동안|간|이나|만에|째|마다))|해[은는가]|(?:what|which) year", re.IGNORECASE
)
_COUNT = re.compile(r"몇\s*([가-힣a-zA-Z%㎡]+)")
_MANY = re.compile(
    r"몇|얼마|나이|인구|면적|무게|높이|길이|거리|how (?:many|much|long|old|far|tall|high|often)|what percent",
    re.IGNORECASE,
)

_PLAIN = r"\d[\d,.]*(?<![,.])(?:\s?[만천백억조]+(?:\s?\d[\d,.]*(?<![,.]))?)*"
_NUMBER = rf"{_PLAIN}(?:\s?[~∼\-–]\s?{_PLAIN})?\s?"
_UNITS = (
    "번째|개월|주년|퍼센트|시간|달러|종류|가지|마리|그램|미터|킬로미터|제곱킬로미터|개국|년|월|일|주|시|분|초|명|개|번|살|세|권|편|대|차|회|위"
    "|층|원|척|장|곳|국|도|인|군|배|점|호|종|표|석|칸|쌍|자|(?:kg|km|cm|mm|ha|m|g|t)(?:[23²³]|\\b)|%|℃|°C"
)
_UNIT = re.compile(_UNITS)
_QUANTITY = re.compile(rf"(?<![\w.,])[$€£₩]?{_NUMBER}(?:{_UNITS}|(?:m|b|tr)illion\b)?", re.IGNORECASE)
_BEFORE = r"(?:기원전\s?|서기\s?|약\s?)?"
# Years of a count ("2년 뒤") or of a reign, before the same one in figures ("25년인 1443년"), are no dates.
_YEAR_FORM = r"\d{1,4}년(?!\s?(?:뒤|후|전|동안|간|만에|째|이상|이내|인\s?\d|\s?\(\d{3,4}))"
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DATE = re.compile(
    rf"{_BEFORE}{_YEAR_FORM}(?:\s?\d{{1,2}}월(?:\s?\d{{1,2}}일)?)?|\d{{1,2}}월(?:\s?\d{{1,2}}일)?|{_BEFORE}\d{{1,2}}세기"
    rf"|\d{{4}}[-.]\s?\d{{1,2}}[-.]\s?\d{{1,2}}|(?:\d{{1,2}} )?(?:{_MONTHS})(?: \d{{1,2}}\b)?(?:,? \d{{4}})?"
    r"|(?<![\w.,])\d{4}(?![\d,]|\.\d|[가-힣])"
)
_DAYS = re.compile(
    rf"(?<![\w.,])(?:\d{{4}}년\s?)?(?:\d{{1,2}}월\s?)?{_NUMBER}일"
)  # "며칠" asks for a date or for a count of days
_ONLY_YEAR = re.compile(rf"(?:기원전\s?)?{_YEAR_FORM}|(?<!\d)\d{{4}}(?!\d)")
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Number:
    """The kind of number that a question asks for.

    Attributes:
        form: what it looks like.
        said: numbers that the question itself has; they are no answer.
    """

    form: re.Pattern[str]
    said: frozenset[str]

    def find(self, text: str) -> tuple[int, int] | None:
        """Span of the first one in the text that the question has not said itself; None: there is none."""
        for match in self.form.finditer(text):
            if not self.said.issuperset(_DIGITS.findall(match[0])):
                return match.start(), match.start() + len(match[0].rstrip())
        return None


def number(question: str) -> Number | None:
    """The number that a question asks for; None: it asks for none, or for none that can be told by its form."""
    said = frozenset(_DIGITS.findall(question))
    counted = _COUNT.search(question)
    unit = _UNIT.match(counted[1]) if counted else None
    if _YEAR.search(question):
        return Number(_ONLY_YEAR, said)
    if unit is not None and unit[0] not in ("월", "일"):
        return Number(re.compile(rf"(?<![\w.,]){_NUMBER}{re.escape(unit[0])}"), said)
    if "며칠" in question:
        return Number(_DAYS, said)
    if _WHEN.search(question):
        return Number(_DATE, said)
    return Number(_QUANTITY, said) if _MANY.search(question) else None
