"""Addresses of people's homes and offices in a Korean text.

Knows: provinces, cities, counties and districts by name, and how road and lot addresses are put together. Does not
know: whether a street exists. A region alone ("서울 강남구") is no address: it needs a number of a house or a flat.
"""

import re
from collections.abc import Iterator

from damda.answer.guards.cues import Candidate

_PROVINCE = (
    r"(?:서울(?:특별시|시)?|(?:부산|대구|인천|광주|대전|울산)(?:광역시|시)?|세종(?:특별자치시|시)?|경기(?:도)?|(?:강원|전북|제주)(?:특별자치도|도)?"
    r"|충청[남북]도|전라[남북]도|경상[남북]도|충[남북](?:도)?|전남(?:도)?|경[남북](?:도)?|대한민국)"
)
_CITIES = (
    "수원|성남|의정부|안양|부천|광명|평택|동두천|안산|고양|과천|구리|남양주|오산|시흥|군포|의왕|하남|용인|파주|이천|안성|김포|화성|광주|양주|포천|여주|춘천|원주|강릉|동해|태백"
    "|속초|삼척|청주|충주|제천|천안|공주|보령|아산|서산|논산|계룡|당진|전주|군산|익산|정읍|남원|김제|목포|여수|순천|나주|광양|포항|경주|김천|안동|구미|영주|영천|상주|문경|경산"
    "|창원|진주|통영|사천|김해|밀양|거제|양산|제주|서귀포"
)
_COUNTIES = (
    "연천|가평|양평|홍천|횡성|영월|평창|정선|철원|화천|양구|인제|고성|양양|보은|옥천|영동|진천|괴산|음성|단양|증평|금산|부여|서천|청양|홍성|예산|태안|완주|진안|무주|장수|임실"
    "|순창|고창|부안|담양|곡성|구례|고흥|보성|화순|장흥|강진|해남|영암|무안|함평|영광|장성|완도|진도|신안|의성|청송|영양|영덕|청도|고령|성주|칠곡|예천|봉화|울진|울릉|의령"
    "|함안|창녕|남해|하동|산청|함양|거창|합천|강화|옹진|기장|달성|울주|군위"
)
_DISTRICTS = (
    "종로|용산|성동|광진|동대문|중랑|성북|강북|도봉|노원|은평|서대문|마포|양천|강서|구로|금천|영등포|동작|관악|서초|강남|송파|강동|부산진|동래|해운대|사하|금정|연제|수영"
    "|사상|수성|달서|미추홀|연수|남동|부평|계양|광산|유성|대덕|장안|권선|팔달|영통|수정|중원|분당|만안|동안|원미|소사|오정|상록|단원|덕양|일산동|일산서|처인|기흥|수지|상당"
    "|서원|흥덕|청원|동남|서북|완산|덕진|의창|성산|마산합포|마산회원|진해|영도"
)
_TOWN = rf"(?:(?:{_CITIES})시|(?:{_COUNTIES})군|(?:{_DISTRICTS})구)"
_REGION = rf"(?:{_PROVINCE}\s?(?:{_TOWN}|[가-힣]{{1,4}}[시군구](?=[\s,]))?|{_TOWN})"
_VILLAGE = r"[가-힣]{1,6}\d{0,2}(?:읍|면|동|리|가)"
_ROAD = r"[가-힣]{1,10}\d{0,4}(?:번)?(?:대로|로|길|거리|가|안길)"
_HOUSE = r"(?:지하|산)?\s?\d{1,5}(?:-\d{1,4})?(?:번지|번)?"
_FLAT = (
    r"(?:[가-힣A-Za-z0-9]{1,12}\s?)??(?:제?[0-9A-Za-z가나다라]{1,4}동\s?)?(?:지하\s?)?"
    r"(?:제?\d{1,5}호|\d{1,3}층(?:\s?\d{1,5}호)?)"
)
# A unit after the number: it counts something ("서울시 조례로 30일").
_UNITS = (
    r"(?! ?(?:년|월|일|원|명|개|건|회|차|만|억|천|위|세|배|종|번째|분|초|점|가지|시간|주|조|항|평|km|m\b|㎞|%|퍼센트)"
    r"|[.,]\d|\d)"
)
_ADDRESS = re.compile(
    rf"(?<![가-힣])(?:(?:{_REGION})[\s,]{{1,2}}){{1,4}}(?:[가-힣]{{1,4}}구\s)?(?:{_VILLAGE}\s)?(?:{_VILLAGE}\s)?"
    rf"(?:(?:(?:{_ROAD}\s?){{1,3}}|{_VILLAGE}\s){_HOUSE}{_UNITS}|(?:[가-힣0-9A-Za-z]{{2,14}}\s){{0,3}}\d{{1,4}}동\s?\d{{1,5}}호)"
    rf"(?:,?\s{{0,2}}{_FLAT})?(?:\s?\((?=[가-힣])[가-힣A-Za-z0-9 ,·.-]{{2,30}}\))?(?:,?\s{{0,2}}{_FLAT})?"
)
# Without a region: a road and a number, where a label says address or a flat follows.
_BARE = rf"(?:{_ROAD}\s?){{1,2}}{_HOUSE}(?![0-9])"
_TAIL = rf"(?:,?\s{{0,2}}{_FLAT})?(?:\s?\([가-힣A-Za-z0-9 ,·.-]{{2,30}}\))?(?:,?\s{{0,2}}{_FLAT})?"
_SAID = re.compile(
    rf"[\"'*`]{{0,3}}\s?(?:는|은|[:=|])\s?[\"'*`]{{0,3}}((?:[가-힣]{{1,5}}[시군구동읍면]\s?){{0,3}}{_BARE}{_TAIL})"
)
_LABELS = frozenset("주소 주소지 거주지 소재지 배송지 수령지 자택 본적 직장".split())
_WITH_FLAT = re.compile(rf"(?<![가-힣])({_BARE},?\s{{0,2}}\d{{1,4}}동\s?\d{{1,5}}호)")
_LATIN = re.compile(
    r"(?<!\w)(?:(?:#|Apt\.? |Unit )?[\w-]{1,8},? ){0,3}\d{1,5}(?:-\d{1,4})?,? (?:[A-Z][a-z]+(?:-?\d*)?[- ]?){1,3}-?"
    r"(?:daero|ro|gil)(?:\s?\d{1,3}(?:beon)?-gil)?(?:, ?[A-Z][a-z]+(?:-(?:dong|eup|myeon|ri|gu|gun|si|do))?){1,4}"
)
_FLAT_NUMBER = re.compile(r"동\s?\d+호")
_PROVINCES = frozenset(
    "서울 부산 대구 인천 광주 대전 울산 세종 경기 강원 전북 전남 충북 충남 경북 경남 충청 전라 경상 제주 대한".split()
)
_TOWNS = frozenset(
    [f"{name}시" for name in _CITIES.split("|")]
    + [f"{name}군" for name in _COUNTIES.split("|")]
    + [f"{name}구" for name in _DISTRICTS.split("|")]
)


def addresses(text: str) -> Iterator[Candidate]:
    """Region, road or village, number; then building, flat, and what stands in brackets."""
    seen = 0
    for anchor in _ANCHOR.finditer(text):  # without one there is nothing to look at
        for word in _WORD.finditer(
            text, max(seen, text.rfind("\n", 0, anchor.start()), anchor.start() - _LONG), anchor.end()
        ):
            if address := _begun(text, word):
                yield address
        seen = anchor.start()
    if _FLAT_NUMBER.search(text):
        for match in _WITH_FLAT.finditer(text):
            yield Candidate("address", *match.span(1), 1)
    if "-ro" in text or "-gil" in text or "-daero" in text:
        for match in _LATIN.finditer(text):
            yield Candidate("address", *match.span(), 1)


_ANCHOR = re.compile(r"[로길리가동읍면산하]\s?\d")
_WORD = re.compile("[가-힣]+")
_LONG = 60
"""Characters from the start of an address to its first number, at most."""


def _begun(text: str, word: re.Match[str]) -> Candidate | None:
    """The address that begins with a word, or, where it is a label, after it."""
    if word[0][:2] in _PROVINCES or word[0] in _TOWNS:
        match = _ADDRESS.match(text, word.start())
        return Candidate("address", *match.span(), 2) if match else None
    if word[0] in _LABELS or word[0][:-1] in _LABELS:
        match = _SAID.match(text, word.end() - (word[0] not in _LABELS))
        return Candidate("address", *match.span(1), 1) if match else None
    return None
