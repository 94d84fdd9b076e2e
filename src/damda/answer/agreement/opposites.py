"""Words that mean the opposite, or one of two: two questions with one of each can't share an answer.

Knows: pairs, in the forms that Kiwi gives (stems of verbs), and English ones. Does not know: negation (`polarity`).
"""

from functools import lru_cache

from damda.answer.agreement.question import Question
from damda.answer.agreement.synonyms import same

_KOREAN = """
켜 틀 점등 / 끄 소등
열 오픈 개방 / 닫 폐쇄 잠그 닫히
열리 / 닫히
가능 / 불가능 불가
시작 개시 시작되 착수 / 끝 끝나 종료 마치 마감 끝내 완료 중단 그만두
올리 높이 인상 상승 늘리 키우 오르 증가 늘 늘어나 확대 / 내리 낮추 인하 하락 줄이 감소 줄 줄어들 축소 떨어지 떨어뜨리
높 / 낮
많 다수 / 적 소수
크 대형 / 작 소형
길 / 짧
넓 / 좁
두껍 / 얇
무겁 / 가볍
빠르 빨리 신속 이르 일찍 / 느리 천천히 늦 늦게
강하 세 / 약하
강 / 약
밝 / 어둡
덥 뜨겁 / 춥 차갑
따뜻 / 시원
온수 / 냉수
난방 히터 / 냉방 에어컨
가열 / 냉각
비싸 / 싸 저렴
쉽 / 어렵
좋 / 나쁘 싫
좋아하 선호 / 싫어하 혐오
사랑 / 미움 증오
가깝 / 멀
새롭 새 최신 신규 신형 / 낡 구형 오래되 기존 오래
깨끗 / 더럽
안전 / 위험
편하 편리 / 불편
같 동일 / 다르 상이
맞 정답 옳 / 틀리 오답 그르
참 / 거짓
진짜 / 가짜
성공 합격 통과 / 실패 불합격 탈락
승리 이기 / 패배 지
승인 허가 수락 허용 허락 동의 찬성 / 거절 거부 반려 기각 불허 금지 반대 차단
허용 / 차단 금지
긍정 / 부정
장점 이점 / 단점 결점
강점 / 약점
이득 이익 흑자 수익 / 손해 손실 적자
최대 최고 최다 최장 상한 / 최소 최저 최하 최단 하한
이상 초과 / 이하 미만
이상 / 미만
초과 / 이하
이전 전 앞 앞서 / 이후 후 뒤 나중
직전 / 직후
사전 / 사후
전반 / 후반
앞 / 뒤
앞면 / 뒷면
위 위쪽 상단 / 아래 밑 아래쪽 하단
왼쪽 좌측 왼 좌 / 오른쪽 우측 오른 우
안 안쪽 내부 실내 속 / 밖 바깥 외부 실외 야외
내부 / 외부
국내 / 국외 해외
동쪽 / 서쪽
남쪽 / 북쪽
동 / 서
남 / 북
입금 / 출금 송금 인출
수입 / 지출
수입 / 수출
사 구매 구입 매수 사들이 / 팔 판매 매도 매각
구매자 매수인 / 판매자 매도인
빌리 대출 차용 / 빌려주 갚 상환 반납
대여 / 반납
돌려받 / 돌려주
넘겨받 / 넘겨주
물려받 / 물려주
건네받 / 건네주
주 보내 발송 송신 전송 부치 / 받 수신 수령
발신 / 수신
보낸 / 받은
송신자 발신자 / 수신자
들어오 들어가 입장 입실 입주 / 나가 나오 퇴장 퇴실 퇴거
입력 / 출력
입구 / 출구
입사 채용 취직 취업 / 퇴사 퇴직 해고 사직
입학 / 졸업
입원 / 퇴원
입국 / 출국
체크인 / 체크아웃
출근 / 퇴근
출발 떠나 / 도착
출발지 / 도착지 목적지
가 / 오
가져가 / 가져오
갈 때 / 올 때
타 탑승 승차 / 하차
올라가 오르 / 내려가 내려오
상행 / 하행
추가 등록 더하 넣 삽입 포함 / 삭제 제거 빼 지우 제외 말소 취소
가입 / 탈퇴 해지
등록 신청 예약 / 취소 철회 해지
신청 / 철회 취소
설치 / 제거 삭제
연결 접속 / 해제 끊 차단
로그인 / 로그아웃
잠그 잠금 / 풀 해제
설정 지정 / 해제
활성 / 비활성
적용 / 미적용 해제
저장 / 삭제 지우
보이 표시 / 숨기 숨김
공개 / 비공개
유료 / 무료
유선 / 무선
유효 / 무효
유죄 / 무죄
의무 필수 / 선택 임의
정규직 / 비정규직 계약직
정상 / 비정상 이상 고장
자동 / 수동
직접 / 간접
처음 최초 첫 / 마지막 최후 끝
시초 / 말기
먼저 / 나중
오전 / 오후
낮 / 밤
아침 / 저녁
여름 / 겨울
봄 / 가을
평일 / 주말
어제 / 내일
과거 예전 / 미래 현재
남자 남성 / 여자 여성
아버지 아빠 / 어머니 엄마
할아버지 / 할머니
형 오빠 / 누나 언니
아들 / 딸
남편 / 아내
아이 어린이 아동 미성년자 / 어른 성인
부모 / 자녀 자식
상사 / 부하
교사 선생 선생님 교수 / 학생
의사 / 환자
고용주 사용자 사장 / 근로자 직원 노동자
임대인 집주인 / 임차인 세입자
원고 / 피고
채권자 / 채무자
갑 / 을
고객 손님 / 직원
앉 / 서
일어나 깨 / 자 눕
잠들 / 깨
웃 / 울
살 / 죽
태어나 출생 / 죽 사망
결혼 / 이혼
만나 / 헤어지
묻 질문 / 답하 대답 답변
배우 / 가르치
잃어버리 잃 분실 / 찾
기억 / 잊 잊어버리
모으 모이 / 흩어지 버리
밀 / 당기 끌
잡 / 놓
묶 / 풀
붙이 붙 / 떼 떨어지
싣 / 내리
채우 / 비우
입 / 벗
신 / 벗
펴 펼치 / 접
늘리 / 줄이
확대 / 축소
확장 / 축소
팽창 / 수축
전체 전부 모두 / 일부 부분
항상 언제나 / 가끔 절대
자주 / 드물 가끔
흔하 / 드물
개인 / 단체 법인
단수 / 복수
직렬 / 병렬
온라인 / 오프라인
암호화 / 복호화
압축 / 해제
인코딩 / 디코딩
업로드 올리 / 다운로드 내려받 받
업그레이드 / 다운그레이드
충전 / 방전
입찰 / 낙찰
현금 / 카드
신용 / 체크
월세 / 전세
도시 / 농촌 시골
육지 / 바다
하늘 / 땅
흡연 / 금연
동기 / 비동기
홀수 / 짝수
양수 / 음수
플러스 / 마이너스
덧셈 / 뺄셈
곱셈 / 나눗셈
가로 / 세로
수평 / 수직
원인 이유 / 결과
공급 / 수요
생산 / 소비
공격 / 방어 수비
전쟁 / 평화
칭찬 / 비난 비판
찬성 / 반대
늦추 / 당기 앞당기
미루 연기 연장 / 앞당기 당기 단축
늘어나 / 줄어들
살찌 찌 / 빠지 빼
건강 / 병
음식 / 음료
전임자 / 후임자
선배 / 후배
유리 / 불리
충분 / 부족
풍부 / 부족
넘치 / 모자라
간단 단순 / 복잡
젊 / 늙
뜨 / 지
일출 / 일몰
얼 / 녹
마르 / 젖
조용 / 시끄럽
행복 / 불행
친절 / 불친절
만족 / 불만
적합 / 부적합
합법 / 불법
유지 계속 / 중단 중지 멈추 변경
영상 / 영하
재생 / 정지 멈추
고정 / 변동
""".strip()

_ENGLISH = """
on / off
open opened opens opening / close closed closes closing shut
enable enabled enables enabling / disable disabled disables disabling
start begin starts begins started began starting beginning / stop end ends ended finish finished stopped ending quit
before prior / after following
first earliest / last latest final
max maximum most largest biggest highest greatest / min minimum least smallest lowest fewest
more greater above over exceed / less fewer below under
increase raise grow up rise rose increased raised / decrease lower reduce shrink down fall fell decreased reduced drop
high higher tall / low lower short
big large larger bigger / small smaller little
long longer longest / short shorter shortest
fast faster quick fastest / slow slower slowest
early earlier / late later
buy buys bought purchase buyer / sell sells sold sale seller
import imports imported / export exports exported
send sends sent sender / receive receives received recipient receiver
add adds added insert include including / remove removes removed delete deleted exclude
allow allows allowed permit permitted / forbid forbidden prohibit prohibited ban banned deny block blocked
accept accepted approve approved / reject rejected refuse refused decline declined
enter entry entrance input / exit leave output
arrive arrival arrives arrived / depart departure departs departed leave
deposit deposits / withdraw withdrawal withdrawals
income revenue profit / expense expenses loss cost
win won winner / lose lost loser
pass passed success succeed / fail failed failure
same equal / different unequal
true right correct / false wrong incorrect
public / private
free / paid
old oldest older / new newest newer young youngest
hot warm heat heating / cold cool cooling
cheap cheapest cheaper / expensive costly
easy easier easiest / hard difficult harder hardest
good best better / bad worst worse
male man men boy father husband son brother / female woman women girl mother wife daughter sister
employer / employee
teacher / student
landlord / tenant
lock locks locked / unlock unlocks unlocked
login signin / logout signout
install installed / uninstall uninstalled remove
connect connected / disconnect disconnected
encrypt encryption / decrypt decryption
compress / decompress extract
upload uploads / download downloads
push / pull
import / export
left / right
top upper / bottom lower
inside indoor indoors internal / outside outdoor outdoors external
north northern / south southern
east eastern / west western
advantage advantages pros / disadvantage disadvantages cons
minimum / maximum
required mandatory / optional
active / inactive
legal / illegal
alive birth born / dead death died
cause causes / effect effects result
question ask / answer
give gives gave / take takes took get
lend lent / borrow borrowed
arrival / departure
all every both / some part one
always / never sometimes
show / hide
expand / collapse
encode / decode
ascending / descending
odd / even
positive / negative
horizontal / vertical
wired / wireless
day / night
morning / evening
sunrise / sunset
""".strip()


_TURNING = frozenset(
    "취소 해제 철회 해지 중단 중지 거절 거부 실패 위반 연체 환불 반품 제외 폐지 무효 예상 예측 재발급 미납"
    " 반납 탈퇴 포기 금지"
    " cancel cancelled cancellation undo revoke".split()
)
"""Words that turn another one over, or make a guess of it: "예약" and "예약 취소"."""


def _pairs(lines: str) -> list[tuple[frozenset[str], frozenset[str]]]:
    sides = (line.split(" / ") for line in lines.splitlines())
    return [(frozenset(one.split()), frozenset(other.split())) for one, other in sides]


_PAIRS = _pairs(_KOREAN)
_ENGLISH_PAIRS = _pairs(_ENGLISH)


def opposites(one: Question, other: Question) -> str:
    """ "opposite: 켜/끄" where one has a word and the other its opposite, and neither has both; or a word that turns
    the rest over, which the other has not."""
    mine, theirs = _forms(one), _forms(other)
    if turned := {word for word in (mine ^ theirs) & _TURNING if not same((word,), theirs if word in mine else mine)}:
        return f"opposite: {min(turned)}"
    only_mine, only_theirs = mine - theirs, theirs - mine
    if not only_mine or not only_theirs:
        return ""
    for left, right in _PAIRS if one.korean else _ENGLISH_PAIRS:
        for first, second in ((left, right), (right, left)):
            a, b = first & only_mine, second & only_theirs
            if a and b and not (first & theirs) and not (second & mine):
                return f"opposite: {min(a)}/{min(b)}"
    return ""


@lru_cache(maxsize=1024)
def _forms(question: Question) -> frozenset[str]:
    if not question.korean:
        return frozenset(question.words)
    forms = set(question.forms)
    for form in question.forms:  # "최대용량", "출발시간"
        if len(form) >= 3:
            forms.update((form[:2], form[-2:]))
    return frozenset(forms)
