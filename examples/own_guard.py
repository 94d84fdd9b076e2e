"""A guard of your own: any object with an ``id`` and this ``check`` fits damda.types.Guard."""

import re
from collections.abc import Sequence
from pathlib import Path

import damda
from damda import Hit
from damda.types import MASK, Found, Verdict


class Amounts:
    """Masks amounts of money. ``id`` changes whenever its verdicts would: remembered answers are kept by it."""

    id = "amounts-1"
    _amount = re.compile(r"[\d,]+(?:만|천|백)?\s?원")

    def check(self, text: str, hits: Sequence[Hit] = ()) -> Verdict:
        found = tuple(Found("amount", *match.span()) for match in self._amount.finditer(text))
        if not found:
            return Verdict("allow", text, guard="amounts")
        return Verdict("redact", self._amount.sub(lambda m: MASK * len(m[0]), text), found, guard="amounts")


if __name__ == "__main__":
    kb = damda.open(Path(__file__).parent / "documents", guards={"answer": [Amounts()]})
    kb.refresh()
    answer = kb.ask("국내 출장 일비는 얼마인가요?")
    print(answer.text)
    for verdict in answer.verdicts:
        print(f"{verdict.place}: {verdict.guard} {verdict.action} {verdict.rule}")
