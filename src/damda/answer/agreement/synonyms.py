"""Words of everyday questions that stand for one another.

Knows: groups of them, in the forms that Kiwi gives. Does not know: context: a word may stand in several groups.
"""

from collections.abc import Iterable

_SAME = """
메일 이메일 편지 전자메일 전자우편
사용 이용 쓰 활용 사용하
알리 말하 말씀 궁금 가르치 설명 안내 찾 검색 확인 알아보
일정 스케줄 스케쥴 계획 예정
약속 모임 만나 미팅 모이 만남
회의 미팅 회의하
이유 까닭 원인 계기 사유
방법 방식 법 절차 수단 어떻게 어떻
시간 시각 때 언제 시기 시점 날짜 날 며칠 요일 일시
장소 곳 위치 어디 지역
개수 갯수 수 숫자 몇 개 횟수 건 통
가격 비용 요금 금액 값 돈 얼마 가격대
사람 분 인원 누구 명
크기 용량 사이즈
정도 얼마나 수준
온도 기온
주의 조심 조심하
색 색깔 컬러
아침 오전
잊 잊어버리 까먹
개봉 상영
외출 나가
일출 해돋이
결제 사 구매
한가하 여유 한가
이르 빠르 일찍
강수량 비 강우량
강설량 눈
물건 거 것 제품 상품
집 집안 집안 실내
불 조명 전등 등 전구 라이트
티비 텔레비전 tv 텔레비젼 티브이
에어컨 냉방 에어콘
난방 보일러 히터
핸드폰 휴대폰 휴대전화 스마트폰 폰 전화기
컴퓨터 pc 피씨 노트북
잃어버리 잃 분실 분실하
외부 바깥 실외 밖 야외
사용자 이용자 유저 고객
버전 버젼
날짜 일자 일수 동안
나이대 연령대
온라인 인터넷
출국 나가
명령 명령어
어머님 어머니
아버님 아버지
금액 액수
비밀번호 암호 패스워드 비번
아이디 계정 id
홈페이지 웹사이트 사이트 누리집
회사 직장 업체 기업
직원 사원 근로자
월급 급여 임금 봉급
휴가 연차
음식 요리 메뉴
식당 음식점 맛집
옷 의류
아이 어린이 애 아기 자녀
엄마 어머니
아빠 아버지
가장 제일 최고
많이 많 자주
조금 약간 적
빨리 빠르 신속
시작 개시 시작되
끝나 끝 종료 마치 마감 끝내
변경 바꾸 수정 변환 전환 고치 조정 변하
설정 세팅 맞추 지정 조정 조절 설정하
조작 조정 조절
삭제 지우 제거 없애
추가 더하 넣
보내 전송 발송 송신 부치
받 수신 수령
옮기 이동
저장 보관
만들 생성 제작 작성 제작하
작성 쓰 적
읽 보 열람 확인
보이 나오 표시
사 구매 구입
팔 판매
열 오픈
켜 틀 작동 가동 돌리
취소 철회
예약 예매
신청 접수 등록 지원
가입 등록
제출 내
연락 전화
고르 선택 택 선호 원하
좋아하 선호 즐기 원하
생각 의견 보기
추천 소개
도착 오
출발 떠나
타 탑승
걸리 소요
필요 요구
가능 수
고장 망가지 고장나
수리 고치
청소 치우 닦
빨래 세탁 빨
태어나 출생 생일
죽 사망 숨지
결혼 혼인
살 거주
일하 근무
담당 맡 책임
발생 일어나 생기
포함 들어가 담기
제공 주 지원
차이 다르 차이점
뜻 의미
이름 명칭 성함 명
나이 연령 살
주소 위치
문제 오류 에러
해결 고치
연결 접속 연동
늘리 늘 증가 증가하
줄이 줄 감소
놀 놀러가
가 방문
여행 관광
날씨 기상 하늘
한가 여유 자유 편하
편하 좋 낫 괜찮 나
더 보다
광고 홍보
사진 이미지 그림
영화 무비
프로그램 방송 프로
음악 노래 곡
업데이트 갱신 최신화
다운로드 내려받 다운
회원 가입자
대통령 대통령직
배우 출연
감독 연출
저자 작가 지은이 쓰
설립 세우 창립 창설 만들
수도 서울
인구 사람
면적 넓이 크기
길이 길
높이 높 키
무게 무겁
속도 빠르기 빠르
거리 멀
국가 나라
언어 말
환불 환급
예상 예측 전망
중단 중지
배송 배달 택배
수업 강의
시험 테스트 고사
숙제 과제
학교 학원
선생님 교사 선생 교수
친구 벗
병원 의원
약 의약품
"""


def _groups(lines: str) -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for number, line in enumerate(lines.strip().splitlines()):
        for word in line.split():
            found.setdefault(word, set()).add(number)
    return {word: frozenset(numbers) for word, numbers in found.items()}


_GROUP = _groups(_SAME)
_NO_GROUP: frozenset[int] = frozenset()


def same(some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether a word of the one stands for a word of the other."""
    groups = {group for word in some for group in _GROUP.get(word, _NO_GROUP)}
    return bool(groups) and any(groups & _GROUP.get(word, _NO_GROUP) for word in others)
