"""Names and addresses of people in a Korean text.

Knows: surnames, syllables of given names, the words beside a name (labels, titles, particles), and how addresses are
written. Does not know: words. There is no dictionary and no morphological analysis here: a name without any sign beside
it is not found, and so are names of public roles (a president, a player) left alone.
"""

import re
from collections.abc import Iterator, Sequence

from damda.answer.cues import Candidate

_SURNAMES = (
    "김이박최정강조윤장임한오서신권황안송류유홍전고문양손배백허남심노하곽성차주우구민진지엄채원천방공현함변염여추도소석선설마길연위표명기반라왕금옥육"
    "인맹제모탁국어은편용예경봉사부가복태목형피두감음빈동온호범좌팽승간상시갈"
)
_COMMON = "김이박최정강조윤장임한오서신권황안송류유홍전고문양손배백허남심노하곽성차주우구민진지엄채원천방공현함변염여추도소석선설마길"
_DOUBLE = "남궁|황보|제갈|사공|선우|서문|독고|동방|탁|망절"
_FIRST = (
    "가강건경계관광교국규근금기길나남다대덕도동두라란래려루리린마만명모무문미민바범병보복봄봉빈빛상새서석선설성세소솔송수순슬승시신아안애양언여연열"
    "영예오옥완용우욱운웅원유윤율은을이인일임자장재전정제조종주준중지진찬창채천철초춘충치태필하학한해향헌혁현형혜호홍화환효훈휘희"
)
_SECOND = (
    "건결경곤관광구국규균근금기길나남늘담덕동라람란래련령록룡름리린림명모미민범별봄복봉배빈상석선섭성세솔송수숙순슬승신실아안애양언연열엽영예옥완용욱"
    "우운웅원유윤율은음익인일임자재전정제조종주준중지진찬창채천철춘태택필하학한해향헌혁현협형혜호홍화환회효훈휘흠희"
)
_FULL = rf"(?:(?:{_DOUBLE})[{_FIRST}][{_SECOND}]|[{_SURNAMES}][{_FIRST}][{_SECOND}])"
_LIKELY = rf"(?:(?:{_DOUBLE})[{_FIRST}][{_SECOND}]|[{_COMMON}][{_FIRST}][{_SECOND}])"
_SHORT = rf"[{_COMMON}][{_SECOND}]"
_PARTICLES = "입니다|이에요|예요|이라고|라고|이라는|라는|이며|이고|이나|이랑|인데|에게서|에게|한테|께서|께|님|씨|의|은|는|이가|이는|이의|이|가|을|를|과|와|도|만|로|으로"
_ENDED = rf"(?:\s?(?:씨|님|귀하))?(?:{_PARTICLES})?(?![가-힣A-Za-z0-9])"
_LABELS = (
    "고객명|고객|성명|성함|이름|본명|환자명|환자|회원명|회원|신청인|신청자|민원인|담당자|담당|대표자|대표이사|대표|예금주|수취인|수령인|수령자|수신인|수신자|수신|발신인"
    "|발신자|발신|받는\\s?분|받는\\s?사람|보내는\\s?분|보내는\\s?사람|주문자|구매자|참석자|작성자|보호자|피보험자|보험자|계약자|계약인|임차인|임대인|매수인|매도인|근로자"
    "|위임인|대리인|세대주|배우자|자녀|학생|학부모|지원자|응시자|원고|피고|고소인|피고소인|피해자|증인|채무자|채권자|보증인|진료의|주치의|예약자|방문자|직원명|직원|사원명"
    "|사용자|명의자|명의|소유자|운전자|세입자|상담원|상담사|작성|기안자|결재자|승인자|가입자|당사자|입금자|입금자명|송금인|문의자|제보자|연락\\s?담당|을|갑|병"
)
_LABELLED = re.compile(
    rf"(?<![가-힣])(?:{_LABELS})(?:\s?\([^()\n]{{1,12}}\))?[\"'*`]{{0,3}}\s?[:：=|]\s?[\"'*`]{{0,3}}({_FULL}|{_SHORT}){_ENDED}"
)
_TOLD = re.compile(
    rf"(?<![가-힣])(?:{_LABELS}|저는|제\s이름은|이름은|성함은|성명은|본인은|본인|예금주는|담당자는|대표자는)(?:인|은|는)?"
    rf"[\s(,]\s?({_LIKELY})(?=\s?[(,)]|{_ENDED})"
)
_TITLES = (
    "씨|님|군|양|귀하|과장|부장|차장|대리|사원|주임|팀장|파트장|그룹장|실장|본부장|센터장|지점장|국장|계장|반장|소장|원장|이사|상무|전무|사장|부사장|회장|대표|교수"
    "|박사|변호사|세무사|노무사|회계사|의사|간호사|약사|환자|고객|회원|선생|어르신|주무관|사무관|서기관|연구원|매니저|책임|선임|수석|강사|조교|학생|민원인|신청인"
    "|사무장|점장|조합원|주민|보호자|인턴|프로님|이사님"
)
_TITLED = re.compile(
    rf"(?<![가-힣])(?:({_LIKELY})\s?(?:{_TITLES})|({_SHORT})\s?(?:씨|님))"
    r"(?:님)?(?:께서|께|에게|한테|의|은|는|이|가|을|를|과|와|도|로|으로|입니다|이며|이고)?(?![가-힣])"
)
_BESIDE = re.compile(rf"(?<![가-힣A-Za-z0-9])({_LIKELY}){_ENDED}")
_LATIN = re.compile(
    r"(?:\b(?:name|customer|patient|applicant|holder|employee|contact)\"?|성명|이름|영문명|고객명)\s?[:：=]\s?\"?"
    r"((?:[A-Z][a-z]+|[A-Z]{2,})(?:[ -](?:[A-Z][a-z]+|[A-Z]{2,}))?,? (?:[A-Z][a-z]+|[A-Z]{2,})(?:-[A-Za-z][a-z]+)?)(?![A-Za-z])"
)
_KEYED = re.compile(
    rf"\b(?:\w*name|customer|patient|user|owner|holder|recipient|sender|manager|employee|applicant|contact)[\"']?\s?[:=]\s?[\"']?"
    rf"({_FULL}|{_SHORT}){_ENDED}",
    re.IGNORECASE,
)
# Words that are made like names.
_WORDS = frozenset(
    "이미지 우수한 신규 정보 주소 전화 이름 성명 안내 신청 문의 서명 연락 이메일 전문 전임 정기 유료 주요 고지서 명세서 신고서 우선순 고유한 유일한 주민 주문 지원 "
    "지정 선정 선임 전원 인원 성인 임원 직원 회원 공인 한인 시인 본인 노인 주인 지인 여인 상인 장인 이상 이하 이전 이후 이유 이용 유형 유용 조회 조건 조정 조직 서울 "
    "부산 경기 강원 전남 전북 경남 경북 제주 국민 시민 서민 농민 이민 신한 기업 우리 하나 오전 오후 주식 주간 연간 시간 기간 정원 공원 병원 학원 지점 전체 전용 공용 "
    "한국인 외국인 이용자 이동 변동 공동 고정 설정 제정 개정 수정 인정 예정 일정 결정 신호 번호 기호 보호 변호 성별 유일 기일 마일 소요 고온 고용 고속 공식 공지 "
    "여자 남자 하자 우주 위주 연주 제주도 서울시 인천시 선생 학생 심사 이사 인사 의사 감사 조사 변호사 도서 문서 순서 부서 양식 방식 형식 의식 주의 유의 동의 정의 "
    "소송 방송 전송 배송 송신 수신 고려 이해 방해 피해 손해 신장 시장 공장 소장 원장 조장 이장 반장 사장 부장 국장 임시 동시 수시 표시 유사시 주택 선택 혜택 "
    "국제 문제 과제 규제 강제 제제 선제 전제 유연 자연 공연 지연 강연 출연 금연 이은 이어 하여 주기 전기 경기 용기 자기 소기 조기 시기 공기 모기 인기 기기 동기 "
    "안전한 중요한 유명한 유능한 성실한 다양한 간단한 필요한 가능한 동일한 일정한 적절한 정확한 완전한 이러한 그러한 유효한 상세한 공정한 강력한 안정한 신속한 용이한 "
    "이상의 이하의 이전의 이후의 전자우 정보화 전산화 민주화 고도화 현대화 기계화 자동화 지역화 조사원 상담원 연구원 공무원 국회의 이사회 위원회 전시회 동호회 학부모 "
    "도로명 지번명 전화기 세탁기 자전거 지하철 고속도 인천공 서울역 도시락 유모차 주차장 정류장 한마디 이마트 하나은 우리은 성명서 기준일 신청일 시작일 종료일 "
    "유통기 소비자 생산자 관리자 운영자 사용자 담당자 대표자 책임자 신청자 지원자 구매자 이수자 유공자 고령자 장애인 법정대 전세자 임차인 임대인 채무자 공급자 제공자 "
    "이메일 주민등 여권번 계좌번 연락처 휴대폰 비밀번 주소지 소재지 거주지 근무지 주문서 고객님 선생님 원장님 사장님 부장님 과장님 한글날 어린이 하루종".split()
)
# Endings that make an adjective or a noun of what only looks like a name.
_WORD_END = re.compile(r".(?:[가-힣](?:한|인|적|성|화|자)|(?:신청|계약|동의|고지|명세|안내|신고|진단|증명|확인)서)$")


def names(text: str, beside: Sequence[Candidate] = ()) -> Iterator[Candidate]:
    """Names with a sign beside them: a label, a title, or, on one line with it, a person's number (``beside``)."""
    for pattern, weight in ((_LABELLED, 1), (_KEYED, 1), (_LATIN, 1), (_TOLD, 1), (_TITLED, 1)):
        for match in pattern.finditer(text):
            group = 1 if match[1] else 2
            if not _is_word(match[group], sure=pattern in (_LABELLED, _KEYED)):
                yield Candidate("name", *match.span(group), weight)
    for begin, end in {_line(text, one) for one in beside if one.kind in _PERSONS}:
        for match in _BESIDE.finditer(text, begin, end):
            if not _is_word(match[1], sure=False):
                yield Candidate("name", *match.span(1), 0)


_PERSONS = frozenset(("rrn", "frn", "driver", "passport", "card", "account", "phone", "email"))
_FAR = 60
"""Characters between a number and the name of whom it is, at most."""


def _line(text: str, one: Candidate) -> tuple[int, int]:
    begin = text.rfind("\n", 0, one.start) + 1
    end = text.find("\n", one.end)
    return max(begin, one.start - _FAR), min(len(text) if end < 0 else end, one.end + _FAR)


def _is_word(name: str, *, sure: bool) -> bool:
    """Whether it only looks like a name; ``sure``: its sign leaves little doubt."""
    if name in _WORDS:
        return True
    return not sure and bool(_WORD_END.match(name) or (name[-1] in "은인" and name[:-1] in _WORDS))
