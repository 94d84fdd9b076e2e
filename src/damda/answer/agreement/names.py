"""Names, codes and foreign words of a question: what no other word may stand for.

Knows: proper nouns by Kiwi's tags, Latin words, codes with digits, capitals in English,
a few names with two spellings.
Does not know: who bears them.
"""

import re
from functools import lru_cache

from damda.answer.agreement.bounds import LITTLE
from damda.answer.agreement.question import Question

_CODE = re.compile(r"[A-Za-z]+(?:[-_./+#]*[A-Za-z0-9]+)*(?:\+\+|#)?|[A-Za-z]*\d+[A-Za-z][\w-]*")
_CAPITAL = re.compile(r"\b[A-Z][\w'’-]*")
_SPELLINGS = (
    "gmail 지메일|google 구글|youtube 유튜브|facebook 페이스북 페북|instagram 인스타그램 인스타|twitter 트위터"
    "|naver 네이버"
    "|kakaotalk 카카오톡 카톡|kakao 카카오|netflix 넷플릭스|wifi wi-fi 와이파이|bluetooth 블루투스|iphone 아이폰"
    "|android 안드로이드"
    "|windows 윈도우 윈도우즈 윈도|mac 맥|linux 리눅스|excel 엑셀|word 워드|email e-mail 이메일 메일|app 앱 어플"
    " 애플리케이션"
    "|api 에이피아이|pc 피씨 컴퓨터|tv 티비 텔레비전 텔레비젼 테레비|sns 에스엔에스|usb 유에스비|cctv 씨씨티비"
    "|id 아이디|pdf 피디에프"
    "|python 파이썬|java 자바|docker 도커|server 서버|file 파일|slack 슬랙|zoom 줌|bus 버스|taxi 택시|card 카드"
    "|ai 에이아이 인공지능"
    "|usa us 미국|uk 영국|korea 한국 대한민국 우리나라|japan 일본|china 중국|seoul 서울|busan 부산|ok 오케이|sms"
    " 문자|qr 큐알|vpn 브이피엔"
)
_SAME = {name: line.split()[0] for line in _SPELLINGS.split("|") for name in line.split()}


def called(form: str) -> str:
    """One spelling for names that have two: "wifi" for "와이파이"."""
    return _SAME.get(form, form)


def differ(one: Question, other: Question) -> str:
    """ "name: Seoul" for one that only one of the two has."""
    for here, there in ((one, other), (other, one)):
        also = {_SAME.get(form, form) for form in names(there) | there.forms}
        for name in sorted(names(here)):
            if _SAME.get(name, name) not in also and name not in there.compact and not _is_short(name, there):
                return f"name: {name}"
    return ""


_ENDINGS = ("도", "시", "군", "구", "카드", "은행", "랑", "이", "님", "씨", "메일")


def _is_short(name: str, there: Question) -> bool:
    """Whether the other says "제주" for "제주도"."""
    bases = (name.removesuffix(ending) for ending in _ENDINGS if name.endswith(ending))
    return any(len(base) >= 2 and base in there.compact for base in bases)


@lru_cache(maxsize=1024)
def names(question: Question) -> frozenset[str]:
    """All of them, in lower case."""
    if not question.korean:
        capitals = {m[0].lower() for m in _CAPITAL.finditer(question.text) if m.start() > 0}
        codes = {m[0].lower() for m in _CODE.finditer(question.text) if any(c.isdigit() for c in m[0])}
        return frozenset((capitals - LITTLE) | codes)
    found = {m[0].lower() for m in _CODE.finditer(question.text)}
    found |= {token.form.lower() for token in question.said if token.tag == "NNP" and len(token.form) > 1}
    return frozenset(found)
