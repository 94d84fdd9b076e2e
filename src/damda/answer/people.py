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
    "건겸결경곤관광교국규균근금기길나남늘담덕동라람란래련령례록룡름리린림명모문미민백범별본봄복봉배빈상서석선섭성세소솔송수숙순슬승식신실심아안애양언연열엽영"
    "예옥완용욱우운웅원월유윤율은음익인일임자장재전정제조종주준중지진찬창채천철초춘출충태택표필하학한해향헌혁현협형혜호홍화환회효훈휘흠희"
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
    (
        "강대국 강아지 거주지 경상남 경찰서 계약서 계좌번 고객님 고령자 고속도 고지서 공급자 공무원 공제금 공화국 과장님 "
        "관리자 구매자 구성원 국회의 권리자 근무지 기준일 노동자 노예제 노하우 담당자 대표자 도라지 도로명 도서관 도시락 "
        "도시조 도자기 동의서 동호회 마무리 명세서 문의자 문화재 민원실 민원인 방송국 방정식 배우자 변호인 보조금 부장님 "
        "비밀번 사용자 사장님 상담원 상여금 생산자 서기관 서울시 서울역 석기 선생님 성명서 세무서 세탁기 소규모 소나기 소방서 "
        "소비자 소시지 소유자 소재지 소화기 시작일 신고서 신기록 신문지 신청서 신청인 신청일 신청자 심리학 안내서 어린이 "
        "여권번 여기서 연구원 연락처 외국인 우선권 우선순 우주선 운영자 원리금 원자재 원장님 원주민 위원회 유공자 유모차 "
        "유언장 유인원 유전자 유치원 유통기 이마트 이메일 이미지 이사장 이사회 이수자 이슬람 이용자 이주민 인천공 인천시 "
        "임대인 임신부 임차인 자전거 장기수 장려금 장애인 장학금 전라남 전라북 전세금 전시회 전자기 전자우 전화기 정류장 "
        "정치인 제공자 제주도 조교수 조사원 조선인 조정금 종료일 주문서 주문자 주미국 주민등 주소지 주차장 증명서 지금은 "
        "지도자 지번명 지원금 지원자 지하철 지휘관 진단서 차라리 채무자 책임자 천문학 천주교 최대한 최소한 최연소 최우선 "
        "추기경 하여금 학부모 한가지 한국인 한글날 한나라 한동안 한마디 함경남 현미경 확인서 황금기 황무지 황태자 휴대폰 "
    ).split()
)
# Words of two syllables: no names by themselves, and what an ending makes of them is seldom one.
_STEMS = frozenset(
    (
        "가능 간단 감사 강경 강력 강연 강원 강인 강제 강조 강하 강화 개정 결정 경기 경남 경력 경북 경영 경우 경유 계약 "
        "계좌 고객 고려 고민 고속 고시 고온 고용 고정 고치 공개 공기 공동 공식 공언 공연 공용 공원 공유 공인 공장 공전 "
        "공정 공지 과제 구성 구장 구조 구현 국내 국민 국외 국장 국제 권리 권유 권장 권한 규제 금연 금일 기간 기기 기본 "
        "기업 기일 기존 기준 기호 기획 남기 남성 남자 노선 노인 농민 다양 담당 당일 대표 도모 도서 도시 동기 동시 동의 "
        "동일 마시 매도 매수 매일 명예 명일 모든 무료 무상 무선 문서 문의 문장 문제 문학 문헌 미상 미정 반려 반장 방대 "
        "방문 방송 방식 방지 방해 방향 배경 배송 배신 배우 배치 백신 번호 변경 변동 변신 변호 변화 변환 병원 보호 복종 "
        "본인 부산 부서 부장 비상 사본 사장 상담 상세 상인 서류 서명 서민 서비 서울 선배 선불 선생 선언 선임 선전 선정 "
        "선착 선택 선호 설명 설정 설치 성명 성별 성실 성인 성장 소명 소송 소요 소유 소장 소재 소중 소지 손해 송금 송신 "
        "수시 수신 수정 순서 승인 시간 시기 시민 시인 시장 신경 신고 신규 신문 신봉 신선 신성 신속 신입 신장 신중 신청 "
        "신한 신호 심리 심사 심장 안내 안전 안정 양상 양성 양식 양호 어느 여러 여성 여인 여자 연간 연결 연구 연기 연락 "
        "연말 연장 연주 연체 영업 예금 예약 예정 오일 오전 오후 완전 용기 용이 우려 우리 우세 우수 우승 우아 우연 우주 "
        "원래 원본 원상 원인 원장 위반 위원 위임 위주 유능 유도 유래 유료 유리 유명 유사 유선 유연 유용 유의 유일 유지 "
        "유형 유효 의사 의식 이동 이루 이름 이미 이민 이번 이사 이상 이어 이용 이유 이의 이자 이장 이전 이체 이하 이해 "
        "이후 인근 인기 인사 인원 인접 인정 인증 일정 임금 임대 임명 임시 임신 임원 임차 입금 자기 자연 장관 장애 장인 "
        "재무 저번 적절 전국 전기 전남 전담 전문 전북 전산 전선 전설 전세 전속 전송 전시 전용 전원 전일 전임 전제 전체 "
        "전하 전화 전환 접수 정교 정규 정기 정리 정보 정복 정원 정의 정지 정직 정해 정확 제정 제주 조건 조기 조리 조사 "
        "조선 조성 조용 조장 조정 조직 조회 주간 주관 주기 주도 주말 주목 주문 주민 주소 주식 주요 주의 주인 주장 주중 "
        "주차 주택 중요 지나 지난 지대 지도 지명 지불 지시 지연 지원 지인 지점 지정 지하 지향 직원 진단 진동 진료 진학 "
        "차량 채소 총무 최근 최신 추가 추진 추천 출금 출연 표시 피해 필요 하나 하원 하자 학생 학원 한도 한인 한정 함유 "
        "해당 허용 현금 현명 현상 현실 현장 현재 현지 형식 혜택 홍보 확인 환자 회원 후배 "
    ).split()
)
_VERBAL = "한하해"
_ENDINGS = "한하해은인기지화성자형서학식제장상의"


def names(text: str, beside: Sequence[Candidate] = ()) -> Iterator[Candidate]:
    """Names with a sign beside them: a label, a title, or, on one line with it, a person's number (``beside``)."""
    for pattern, weight in ((_LABELLED, 1), (_KEYED, 1), (_LATIN, 1), (_TOLD, 1), (_TITLED, 1)):
        for match in pattern.finditer(text):
            group = 1 if match[1] else 2
            if not _is_word(match[group], "" if pattern in (_LABELLED, _KEYED) else _VERBAL):
                yield Candidate("name", *match.span(group), weight)
    for begin, end in {_line(text, one) for one in beside if one.kind in _PERSONS}:
        for match in _BESIDE.finditer(text, begin, end):
            if not _is_word(match[1], _ENDINGS):
                yield Candidate("name", *match.span(1), 0)


_PERSONS = frozenset(("rrn", "frn", "driver", "passport", "card", "account", "phone", "email"))
_FAR = 60
"""Characters between a number and the name of whom it is, at most."""


def _line(text: str, one: Candidate) -> tuple[int, int]:
    begin = text.rfind("\n", 0, one.start) + 1
    end = text.find("\n", one.end)
    return max(begin, one.start - _FAR), min(len(text) if end < 0 else end, one.end + _FAR)


def _is_word(name: str, endings: str) -> bool:
    """Whether it only looks like a name: a word, or one with an ending."""
    return name in _WORDS or name in _STEMS or (name[-1] in endings and name[:-1] in _STEMS)
