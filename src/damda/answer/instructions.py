"""Sentences that tell a language model what to do: what they are about, and in which mood.

Knows: Korean and English, and the commonest form in five other languages. Does not know: disguises, offsets, documents.

A rule is several patterns that must all be found in one sentence: who is spoken to (the assistant), what about (earlier
instructions, its prompt, its answers, its user) and the mood (an imperative; in Korean an ending). A manual's "이 명령을
실행하세요" has the mood and not the rest, a report on attacks the rest and not the mood.
"""

import re
from typing import NamedTuple


class Rule(NamedTuple):
    """``kind`` names what the sentence wants; it is found where all of ``all`` are and ``but`` is not."""

    kind: str
    all: tuple[re.Pattern[str], ...]
    but: re.Pattern[str] | None = None


def kinds(sentence: str) -> list[str]:
    """Kinds of instruction in one sentence, in lower case without disguise; the surest first, none for others."""
    squashed = "".join(sentence.split()).translate(_QUOTES)
    found = []
    if _HANGUL.search(squashed):
        found = [rule.kind for rule in KOREAN if _holds(rule, squashed)]
    if _LATIN.search(sentence):
        found += [rule.kind for rule in ENGLISH if _holds(rule, sentence)]
    if not found:
        found = [rule.kind for rule in OTHER if _holds(rule, sentence)]
    return list(dict.fromkeys(found))


def _holds(rule: Rule, text: str) -> bool:
    return all(pattern.search(text) for pattern in rule.all) and not (rule.but and rule.but.search(text))


def commands(sentence: str) -> bool:
    """Whether a sentence, in lower case, is an imperative in Korean or opens with a verb of speech in English."""
    squashed = "".join(sentence.split()).translate(_QUOTES)
    return bool(_IMPERATIVE.search(squashed) or _SAY_EN.search(sentence))


def _rule(kind: str, *patterns: str, but: str = "") -> Rule:
    names = dict(_NAMES)
    built = [re.compile(pattern.format_map(names), re.VERBOSE) for pattern in patterns]
    return Rule(kind, tuple(built), re.compile(but.format_map(names), re.VERBOSE) if but else None)


_QUOTES = str.maketrans("", "", "\"'`*“”‘’「」『』")
_HANGUL = re.compile("[가-힣]")
_LATIN = re.compile("[a-z]{4}")

# An imperative or a request, in Korean written without spaces. Short endings count at a sentence's end only, and never
# where they are reported ("하라고 했다").
DO = r"""(?: 세요 | 십시오 | 십시요 | 줘(?!야) | 줄래 | 바랍니다 | 주라(?![고는며던니면]) | 도록(?:해라|하라|하십)
  | (?:시오|달라|하자) (?![가-힣])
  | (?<=[하해아어여거려와러켜워둬꿔내마말써돼라려져춰봐쳐혀펴겨줘]) 라 (?![가-힣]) | (?<![에을를]) 따라 (?= [.!] | $ )
  | (?<=[할말을길룰릴줄쓸킬]) 것 (?: 이다 | 입니다 )? (?![가-힣]) | 금지 (?: 한다 | 합니다 | 된다 )? (?![가-힣])
  | (?<=[해아어려켜마봐둬써돼여워꿔춰내지]) (?:야(?:돼|해))? (?= [.!~)\]>] | $ ) )"""
_IMPERATIVE = re.compile(DO, re.VERBOSE)
MUST = r"(?: 야(?:만)?(?:한다|합니다|해요|된다|됩니다|해(?![가-힣])|함(?![가-힣])) )"

_NAMES = {
    "do": DO,
    "must": MUST,
    "told": f"(?:{DO}|{MUST})",
    # who
    "ai": r"(?: (?<![a-z])ai(?![a-z]) | 인공지능 | 언어모델 | (?<![a-z])llm | 챗봇 | 어시스턴트 | assistant | (?:chat)?gpt"
    r" | 클로드 | 제미나이 | 코파일럿 | (?<![가-힣])에이전트 | (?<![가-힣])비서(?=[는은에야여,:]) | 요약(?:기|시스템|봇)"
    r" | (?:답변|응답|대답|글)을?(?:생성|작성)하는(?:모델|시스템) )",
    "name": r"(?: 모델 | 비서 | 에이전트 | 어시스턴트 | 시스템 | 도우미 | 심사 | 검색 | 여러분 | 들 | 님 | 봇 )*",
    "you": r"(?: (?<![가-힣])(?: 너 | 넌 | 네 | 네가 | 니가 | 너희 | 당신 | 귀하 ) )",
    "user": r"(?: 사용자 | 질문자 | 질문한사람 | 유저 | 이용자 | 물어본사람 )",
    # what
    "order": r"(?: 지시 | 지침 | 명령(?!줄|행|프롬) | 규칙 | (?<!명령)프롬프트 | prompt | instruction | 가이드라인 | 행동강령 )",
    "bound": r"(?: 제한 | 제약 | 검열 | 필터 | 정책 | 윤리 | 도덕 | 안전장치 | 안전규칙 | 규제 | 가드레일 | 금기 )",
    "prior": r"(?: 이전(?!버전) | 앞선 | 앞서 | 앞의 | 앞에 | 위의 | 위에 | (?<![가-힣])위(?=지시|지침|명령|규칙|프롬) | 상기"
    r" | 기존 | 지금까지 | 여태 | 원래 | 본래 | 초기 | 최초 | 처음 | 사전(?=지시|지침|명령|규칙) | 모든 | 일체 | 시스템"
    r" | system | 개발자 | 관리자 | 너(?:의|에게|한테) | 네가 | 당신 | 받은 | 주어진 | 내려진 | 입력된 | 설정된 | 다른 | 안전 )",
    "drop": r"(?: 무시 | 잊 | 폐기 | 무효 | 취소 | 파기 | 철회 | 건너뛰 | 제쳐 | 버리 | 버려 | 우회 | 덮어쓰 | 없던(?:것|일)으로"
    r" | 따르지(?:마|말|않) | 지키지(?:마|말|않) | 효력 | 유효하지 | 벗어나 | 어기 | 어겨 | 거역 | 불복 | 중단 | 해제 )",
    # not instructions, but about them
    "about": r"(?: 려면 | 라는(?!지시|명령|말|단어|문구|문장) | 라고하는 | 하는(?:방법|법|공격|기법|이유|것[은이]) | 공격(?:이|은|을|자|의)"
    r" | 인젝션 | injection | 뜻(?:이|은) | 무엇인가 | 뭐라고 )",
}

_REVEAL = r"""(?: 출력 | 보여 | 알려 | 공개 | 말해 | 말하 | 복사 | 반복 | 나열 | 번역 | 적어 | 적으 | 첨부 | 포함 | 유출 | 노출 | 내놔
  | 내놓 | 밝혀 | 밝히 | 써 | 털어 | 읊 | 요약 | 제시 | 기재 | 인쇄 | 드러내 )"""
_ANSWER = r"""(?: 답변 | 대답 | (?<![가-힣])답[하해을은만] | 라고만?답 | 다고만?답 | 로만?답 | 응답 | 출력 | 요약 | 인용 | 언급 | 추천 | 말하
  | 말해 | 안내 | 보고하 | 거절 | 거부 | 평가 | 적어 | 쓰[라세십] | 써라 | 주장 | 표시 | 소개 | 권하 | 권유 | 칭찬 | 설명 | 알려 | 거짓 )"""
_CARRY = r"""(?: 전송 | 보내 | 보낼 | 전달 | 업로드 | 포함 | 붙 | 삽입 | 넣 | 첨부 | 올려 | 올리 | 호출 | 접속 | 클릭 | 로그인 | 방문
  | 안내 | 유출 | 추가 | 제출 | 첨가 )"""
_ADDRESS = r"(?: https?:// | www\. | [\w.]+@[\w.]+ | \d+\.\d+\.\d+\.\d+ | url | 링크 | 외부(?:서버|주소|사이트) | 아래주소 | 다음주소 | 이미지 )"

KOREAN = (
    # earlier instructions are to be dropped
    _rule(
        "override",
        r"""{prior} .{{0,25}} {order} .{{0,14}} {drop} (?:로|어|해)?(?:버리|버려)?
        (?: 하고 | 하며 | 한(?:다음|뒤|후|채|다(?![고는])) | 해도 | 해(?![서야온왔진졌]) | [가-힣]{{0,4}}{told}
          | 고 | 된다(?![고는]) | 됩니다 | (?:되|하)었 | 됐 | 린(?:다음|뒤|후) | 은(?:다음|뒤|후) | 지?않 | 하지않 | 니 | [.!]?$ )""",
        r"{told} | 한다(?:[.!]|$) | (?:었|했|됐)(?:다|습니다)[.!]? | (?:해|취소|무시|폐기|무효|해제)[.!]?$",
        but=r"{about} | {prior}.{{0,25}}{order}.{{0,14}}{drop}.{{0,6}}(?:었다|했다|였다)[고는며]"
        r" | (?:무시|폐기|취소|철회|해제|중단)(?:하|했|해|한)(?:고|다|며|였다)(?!.*{do})"
        r" | 정했 | 마련했 | 뛰었",
    ),
    _rule("override", r"{order}.{{0,6}}(?:다|전부|모두|전체|싹)?(?:무시|잊)(?:해|하|어|고).{{0,3}}", r"{do}", r"{prior}|{ai}|{you}", but=r"{about}"),
    _rule("override", r"(?:이전|앞서|위에|지금까지|여태).{{0,12}}(?:내용|말|들은|대화|맥락|것)(?:은|을|들은)?(?:다|전부|모두|싹)?(?:무시|잊)(?:해|하|어)", r"{do}", but=r"{about}"),
    _rule("override", r"{bound}(?:사항)?(?:을|를|은|는|이나)?.{{0,6}}(?:무시|우회|해제|벗어나|끄고|꺼|풀고|없애|어기|어겨|비활성화|중단|제거)", r"{do} | 우회[.!]?$ | 우회해서답", r"{ai}|{you}|답|대답|응답|콘텐츠|컨텐츠|모든|안전|윤리|도덕|데이터|대화", but=r"{about}"),
    _rule("override", r"(?:새|새로운|진짜|실제|다음|이문단의|이문서의|아래|내)(?:지시|명령|임무|규칙|작업|말|지침|내용)(?:사항)?[가-힣]{{0,4}}(?:만|이우선|을최우선|을우선|를우선|를최우선|이다[:.]|:|를따르|을따르)", r"{do} | 우선한다 | :", r"{prior}.{{0,20}}(?:{order}|설정|내용) | 지금부터 | 이제 | {drop}", but=r"{about}"),
    _rule("override", r"(?:이|본|해당|아래)(?:문단|문서|글|단락|메시지)의(?:명령|지시|지침|규칙)[이가을를].{{0,12}}(?:우선|따르|따라|수행|실행)", r"{told} | 우선한다", but=r"{about}"),
    _rule("override", r"(?:사용자|유저|질문자)(?:의)?(?:질문|요청|말|지시).{{0,4}}(?:무시|답하지(?:말|마)|대신)", r"{told}", r"{do}", but=r"{about}"),
    _rule("override", r"(?:나머지|다른)(?:내용|문단|부분|문서)(?:은|는|을|를)?(?:읽지|보지|참고하지)(?:말고|마)", r"(?:지시|명령|이문|답|출력)", r"{do}"),
    _rule("override", r"{order}(?:를|을|은)?(?:모두|전부|다)?(?:삭제|초기화|지우|지워)", r"{prior}|입력된", r"처음부터|새|{ai}|{you}|내가|아래|{order}$", r"{told}|{order}만", but=r"{about}|파일|코드|버전"),
    _rule("override", r"설정(?:값|을|를).{{0,6}}(?:초기화|무시|잊|삭제).{{0,4}}(?:하고|한뒤)", r"내가|내말|규칙만|답|응답|지시|명령", r"{do}", but=r"{about}"),
    # its prompt and secrets are to be shown
    _rule(
        "prompt-leak",
        r"""(?: (?:시스템|system|개발자|숨겨진|숨은|비밀|비공개|내부설정과|처음에?|초기|최초에?|원래) [가-힣]{{0,8}}
            (?: {order} | 메시지(?:를|의)?(?:전문|원문|전체|내용|그대로) | 안내문 )
          | (?: {you}(?:의|가|에게|한테|는)? | 네가 ) .{{0,12}} (?: {order} | 제한사항 | 초기설정 | 내부설정 )
          | (?<!명령)(?:프롬프트|지시문|systemprompt)(?:의|를|을)?(?:원문|전체|전문|처음|첫|그대로|내용) )
        .{{0,30}} """
        + _REVEAL,
        _REVEAL + r"[가-힣]{{0,6}}(?:{told}|줄래|줄수있|봐)",
        but=r"{about} | 보여주는 | 알려주는 | {order}(?:를|을)(?:만들|작성|입력|설정|쓰는|바꾸)",
    ),
    _rule("prompt-leak", r"(?:위에?|이전|앞|(?:이)?대화가?)[가-힣]{{0,8}}(?:내용|텍스트|문장|글|대화|전의텍스트|프롬프트)(?:를|을)?.{{0,14}}(?:첫줄|처음부터|전부|모두|그대로|한글자|토씨|단어).{{0,14}}(?:반복|출력|복사|적어|적으|말해|써)", r"{do}"),
    _rule("prompt-leak", r"(?:관리자|시스템|admin|루트|root|서버|비밀)(?:의)?(?:비밀번호|암호|토큰|패스워드|키) | api키 | 비밀키 | apikey", r"(?:출력|말|공개|물어보|유출|노출|보여)(?:하|해|주|줘|세|라|십|시)", r"{do}", but=r"{about}|함수|출력하는|보여주는|지(?:마|말)"),
    # another role
    _rule("role", r"(?:너|당신)(?:는|은)(?:이제|지금|앞으로|더이상|오늘|이순간).*(?:이다|이야|야|입니다|아니다|아닙니다|가된다|된다|맡습니다|맡는다|가진다|연기한다|행동한다|없습니다|없다|없어)[.!]?$", r"{ai} | {bound} | (?:해적|해커|악당|관리자|콘솔|터미널|dan|개발자|전문가|역할|캐릭터|이름|비서|자유|모드|노예|친구|존재|주인)", but=r"{about}"),
    _rule("role", r"(?:지금|이제|앞으로|이순간|오늘)(?:부터|는)?(?:는|당신은|너는|넌|네|너의|모든)", r"(?:너|넌|당신|네가)", r"(?:이다|이야|야|입니다|아니다|아닙니다|가진다|말해라|행동해|연기해|이라고생각|없어|없다)[.!]?$ | {do}", r"{ai} | {bound} | 역할 | 해적 | 해커 | 악당 | 관리자 | 이름 | 권한 | 주인 | 모드 | dan | 거절 | 거부", but=r"{about}"),
    _rule("role", r"(?:{bound}|규칙|한계|법|양심|결과)(?:이나법|나법|이나|과|와)?(?:을|를|이|가|은|는|의|에서|에)?[가-힣]{{0,6}}(?:없는|없이|벗어난|무시하는|신경쓰지않는|풀린|해제된|구애받지않는|상관없는)", r"{ai} | 로봇 | 척 | 것처럼 | 상상 | 가정 | 모드 | 답 | 대답 | 응답 | 대응 | 세상에서 | 캐릭터", r"{told} | 모드활성화 | (?:야|이다|겠어\??)[.!]?$", but=r"{about}"),
    _rule("role", r"(?:탈옥|jailbreak|dan|무제한|제한없는|무검열|개발자|디버그|갓|악마)(?:모드)(?:인것처럼|로답|로대답|로응답|로행동|로동작|로전환|로들어|로진입|로작동|를?활성화)", r"{told} | 활성화(?:한다)?[.!]?$", r"탈옥|jailbreak|(?<![a-z])dan|무제한|제한없는|무검열|지금|이제|것처럼|답|응답", but=r"{about} | 페이지 | 안드로이드 | 휴대폰"),
    _rule("role", r"(?:{ai}|로봇|해커|악당)[가-힣]{{0,4}}(?:인척|척하|인것처럼|라고상상|라고가정|이라고상상|이라고가정|역할을|역할극|처럼행동|처럼굴|처럼말|로서역할)", r"{do}", but=r"{about} | 척하는"),
    _rule("role", r"(?:악한|악의적인|사악한|비윤리적인|부도덕한|나쁜|디스토피아)[가-힣]{{0,8}}(?:{ai}|로봇|모델|비서)[가-힣]{{0,3}}(?:라면|라고|인척|처럼|역할)", r"{do}|까요?\??$|(?:어|니|나)\??$", but=r"{about}"),
    _rule("role", r"(?:인|는)척(?:하면서|하고|하며|해|하라).*", r"(?:폭탄|해킹|마약|불법|비밀|무기|답|대답|응답|행동|{ai})", r"{do}", but=r"{about}"),
    _rule("role", r"(?:역할|배역|캐릭터)(?:을|를)(?:맡아|맡습|연기|수행)", r"{ai}|{you}|무엇이든|절대", r"{told}|맡습니다", but=r"{about}"),
    # something is to be carried out, or the user to be sent somewhere
    _rule("exfiltrate", _ADDRESS, r"(?:{user}(?:의|가|를|에게)?|질문내용|질문을붙|대화(?:내용|기록|이력|를)|지금까지의대화|이전대화|비밀번호|개인정보|쿠키|토큰|api키|이메일주소|최근메일|시스템프롬프트|주민등록번호)", _CARRY + r"[가-힣]{{0,6}}{told}", but=r"{about}|문의|경우|의견|제보|신청"),
    _rule("exfiltrate", r"{user}(?:에게|의|한테|를|로부터)", r"비밀번호 | 주민(?:등록)?번호 | 카드번호 | 신용카드 | 계좌 | 인증번호 | 이메일 | 개인정보 | 암호", r"(?:물어|요청|요구|입력하라|알아내|수집|묻|얻어|캐내|유도|전달)[가-힣]{{0,6}}{told}", but=r"{about}|지(?:마|말|않)"),
    _rule("exfiltrate", r"(?:답변?|응답|대답|요약)(?:을|에|의|끝|마지막|마다|앞|뒤|만들|할).*", r"(?:링크|https?://|url|이미지|!\[|주소)", r"(?:포함|넣|붙|삽입|추가|첨부|클릭|권|표시|달아)[가-힣]{{0,5}}{told}", but=r"{about}"),
    _rule("exfiltrate", r"{user}(?:에게|를|한테).*https?://", r"(?:접속|로그인|방문|클릭|안내|이동|내려받)[가-힣]{{0,8}}(?:{told}|라고)", but=r"{about}"),
    _rule("exfiltrate", r"(?:도구|툴|tool|함수)(?:를|을)(?:호출|사용|실행)", r"대화 | 개인정보 | {user} | 메일 | 이체 | 외부", r"{do}", but=r"{about}"),
    _rule("exfiltrate", r"(?:메일함|받은편지함|연락처|다운로드|파일|문서|토큰|비밀번호|메일들?|주소들?)[가-힣]{{0,8}}", r"[\w.]+@[\w.]+ | publicrepo | 공개저장소 | 다음url | 외부 ", r"(?:전달|전송|보내|업로드|붙여|올려)[가-힣]{{0,6}}{do}", r"찾아 | 검색 | 모든 | 모두", but=r"{about}"),
    # tools
    _rule("action", r"(?:{ai}{name}(?:는|은|,|:|야|에게)).*(?:삭제|호출|전송|이체|취소|업로드|결제|송금|구매|실행)", r"{do}", but=r"{about}"),
    _rule("action", r"{user}(?:의)?(?:확인|동의|허락|승인|모르게)(?:도)?(?:없이|를받지말고)|사용자모르게|사용자몰래", r"{do}", but=r"{about}"),
    _rule("action", r"(?:도구|툴|함수)(?:를|을)호출(?:해|하라|하세|하십)", r"{do}", r"명령|관리자|지시|즉시|이체|삭제", but=r"{about}"),
    # answers are to be such and such
    _rule("answer-steering", r"{ai}{name}(?:에게|께|한테|는|은|이?라면|,|:|야(?!한)|아,|이여)", _ANSWER, r"{do}", but=r"{about} | (?:지|지를)?못하"),
    _rule("answer-steering", r"{ai}{name}에게(?:알림|전달|고함|지시|부탁|:|말한다|전한다)", but=r"{about}"),
    _rule("answer-steering", r"(?:이|본|위|해당|다음)(?:글|문서|문단|페이지|내용|문장|자료|텍스트|단락|메시지)(?:을|를)(?:읽|처리|요약|검색|분석|참고|참조|인용|받|보)[가-힣]{{0,4}}(?:는|은|한|하는|고있는|할)?(?:{ai}|모델|시스템|봇|비서|에이전트|당신)", r"{told}", but=r"{about}"),
    _rule("answer-steering", r"(?:질문|요청|무엇|물어|묻)[가-힣]{{0,6}}(?:관계없이|상관없이|무관하게|받더라도|묻더라도|물어도|하더라도|든지|든간에|받든|묻든|하든)", r"(?:답|대답|응답|출력|말하|모른다고|라고)", r"{told}", but=r"{about}"),
    _rule("answer-steering", r"라고만(?:답|대답|응답|출력|말|적|써|쓰|하)", r"{do}", but=r"{about} | 모르면 | 면모른"),
    _rule("answer-steering", r"(?:이라고|라고|다고)(?:만|만을)?(?:답변?|대답|응답|출력|주장)(?:하|해)", r"(?:항상|무조건|반드시|언제나|모든|누가|어떤|절대|때에?는|유일|만이|지금부터|앞으로|말고|대신)", r"{told}", but=r"{about}"),
    _rule("answer-steering", r"(?:단어|말|문자열|문장|한마디)(?:만|로만|만을)(?:답|대답|응답|출력|말|쓸|반복)", r"{do} | 답할수있다 | 할수있다", r"답하지 | 오직 | {ai} | {you} | 질문 | 지금부터 | 모든 | 시스템", but=r"{about}"),
    _rule("answer-steering", r"{user}(?:가|에게|한테)(?:는|이)?[가-힣]{{0,12}}(?:알리|말하|보여주|보이|언급하|밝히|공개하|드러내|전하)지(?:마|말)", but=r"{about} | 비밀번호 | 오류"),
    _rule("answer-steering", r"(?:이|본|위)(?:내용|문장|지시|문단|명령|사실|메시지|글)(?:을|를|은|는)(?:사용자|이용자|누구|아무|절대)[가-힣]{{0,6}}[가-힣]{{0,8}}지(?:마|말)", but=r"{about}"),
    _rule("answer-steering", r"{user}(?:에게|한테)(?:는)?.{{0,40}}(?:라고|다고|냐고|도록|하라고|으라고)(?:만)?(?:말|답|안내|거짓|권|알려|알리|전|속|설득|하세|하라|하십|해)", r"(?:라고|다고|도록)(?:만)?[가-힣]{{0,8}}{do}", but=r"{about} | 오류 | 화면 | 메시지를 | 버튼"),
    _rule("answer-steering", r"{user}(?:를|을)(?:속|기만|협박|위협|설득|유도|조종)", r"{told}", but=r"{about} | 해서는 | 여서는 | 지(?:마|말|않)"),
    _rule("answer-steering", r"(?:모든|매|이후|앞으로|항상|지금부터)[가-힣]{{0,4}}(?:답변|대답|응답|질문)(?:은|을|의|에|끝|마지막|마다|에서|들)", r"{told} | 이다[.!]?$", r"(?:붙|시작|끝나|끝내|욕설|반말|거짓|영어|모른다고|추가|포함|거절|거부|작성할것|출력|로만|라고|이다[.!]?$|말투|섞|바꾸|바꿔)", but=r"{about} | 반드시답하"),
    _rule("answer-steering", r"(?:답변|대답|응답|답|요약)(?:의|에|을|은|끝|마지막|첫|할때|시)", r"(?:첫문장|첫마디|첫단어|시작|욕설|반말|거짓말?|해적|광고|파산|주인님|홍보|칭찬)", r"{told}", r"반드시 | 항상 | 무조건 | 모두 | 모든 | 지금부터 | 이제 | 말고 | 포함 | 적어 | 시작", but=r"{about}"),
    _rule("answer-steering", r"(?:다른|이외의|외의|타)(?:출처|문서|자료|검색결과|문단|정보|소스)(?:를|을|는|은)?(?:모두|전부|절대)?(?:인용|언급|사용|참고|참조|제외|무시|믿)", r"{told}", r"(?:이|본)(?:문서|문단|글|내용|자료|페이지) | 유일 | 답", but=r"{about}"),
    _rule("answer-steering", r"(?:이|본)(?:문서|문단|글|내용|자료)(?:의)?(?:내용)?(?:만|가유일|이유일|만이)", r"(?:사실|옳|정답|진실|사용|근거|믿|신뢰)", r"(?:답|대답|말|주장|출력|다른|제외)[가-힣]{{0,10}}", r"{told}", but=r"{about}"),
    _rule("answer-steering", r"(?:요약|질문|답변)(?:을|에)?(?:요청|부탁|받|요구|대한)[가-힣]{{0,8}}(?:면|때|시|에는|대신|는)", r"(?:대신|거짓|출력|광고|라고|거부|거절)", r"{do}", r"(?:내용|출력|거짓|라고|질문에?는|거부)", but=r"{about} | 모르면 "),
    _rule("answer-steering", r"(?:출처|인용|근거)(?:를|을|는|표시)[가-힣]{{0,8}}(?:말고|마|않)", r"(?:답|거부|질문)", r"{do}", but=r"{about}"),
    _rule("answer-steering", r"^\W*(?:시스템|관리자|개발자|운영자|중요|긴급|system|admin|assistant|ai|챗봇|비서|어시스턴트|필독)(?:공지|안내|메시지|알림|명령|지시|notice|message|령)?(?:사항)?[\]:】)>]", r"(?:답변|대답|응답|답하|질문|{user}|{ai}|모델|출력|규칙|지침)", r"{told} | 이다[.!]?$ | 되었", but=r"{about}|{ask}".replace("{ask}", "자주묻는|접수|민원")),
    _rule("answer-steering", r"{you}(?:는|은)?(?:오직|이제|반드시|항상|절대|가{ai}라면|이{ai}라면)", _ANSWER, r"{told} | 수있다", but=r"{about}"),
)

_CLAUSE = r"(?:^\W*|[.:;,!?\-)\]>\u2014]\s*|\b(?:please|and|then|now|must|should|just|you\ to|to\ you|instead|also|so|simply|first|kindly|shall|completely|hereby|immediately|but|or|will|always|have\ to|need\ to|ai|assistant|task)\ +)"
_AI = r"""(?: \b(?:ai|llm|language\ model|large\ language\ model|chat-?bot|assistant|ai\ agent|chatgpt|gpt|copilot|claude|gemini|bot)s?\b
  (?:\ (?:assistant|agent|model|system|reviewer|bot|reader|crawler|instruction)s?)* )"""
_SPEAK = r"(?: answer | respond | reply | say | state | output | write | return | print | claim | speak | recommend | mention | tell | cite | rate | praise | refuse | include | give | describe | report | insist | call | delete | send | do\ not | don't | never | follow | ignore | conclude | promote )"
_WHAT = r"(?: instruction | prompt | rule | guideline | direction | directive | command(?!\ line) | polic | order | restriction | filter | constraint | programming | training | guardrail | safeguard | safety | task )"
_OLD = r"(?: \b(?: previous | prior | above | earlier | preceding | initial | original | existing | system | developer | your | you | all | any | safety | content | these | those | foregoing | everything | anything | former | past | other | ethical ) )"
_EN_NAMES = _NAMES | {"clause": _CLAUSE, "ai": _AI, "speak": _SPEAK, "what": _WHAT, "old": _OLD}


def _english(kind: str, *patterns: str, but: str = "") -> Rule:
    built = [re.compile(pattern.format_map(_EN_NAMES), re.VERBOSE) for pattern in patterns]
    return Rule(kind, tuple(built), re.compile(but.format_map(_EN_NAMES), re.VERBOSE) if but else None)


_UNDO = r"(?: ignore | disregard | forget(?:\ about)? | override | bypass | cancel | set\ aside | pay\ no\ attention\ to | (?:do\ not|don't|never)\ (?:follow|obey|listen\ to|comply\ with) | stop\ following | discard | abandon | neglect | disobey | disable | remove | lift | drop | skip )"
_SAY_EN = re.compile(_CLAUSE + _SPEAK + r"\b | \bfrom\ now\ on\b", re.VERBOSE)

ENGLISH = (
    _english("override", r"{clause}" + _UNDO + r"\b .{{0,30}} {old} .{{0,40}} \b{what}", but=r"\b(?:if\ you\ (?:use|already|have|are\ using|want)|how\ to|attack|injection|when\ writing|for\ example)\b | \bskip\b(?!.*(?:system|prompt|\ all\ |your)) | \bremove\b(?!.*your)"),
    _english("override", r"{clause}" + _UNDO + r"\b .{{0,12}} \b(?:everything|anything|all|what(?:ever)?)\b .{{0,20}} \b(?:above|before|previous|prior|earlier|developer|you\ were\ told|told\ you|been\ told|said)\b", but=r"\b(?:how\ to|attack|injection)\b"),
    _english("override", r"{clause}" + _UNDO + r"\b .{{0,12}} \b{what}s? .{{0,30}} \b(?:system\ (?:message|prompt)|above|given|before|earlier|received)", but=r"\bhow\ to\b|\bwhen\ writing\b|\bif\ you\b"),
    _english("override", r"ignore(?:all|any|the|your|of|previous|prior|above){{1,4}}(?:instructions|rules|prompts?)|disregard(?:all|any|the|your|previous|prior|above|system){{1,4}}(?:instructions|rules|prompts?)"),
    _english("override", r"\b(?:your|above|previous|prior|earlier|system)\b .{{0,30}} \b{what} .{{0,40}} \b(?:no\ longer\ (?:apply|valid)|obsolete|superseded|void|cancell?ed|been\ (?:reset|replaced|lifted|removed|changed)|has\ changed|do\ not\ apply|were\ a\ (?:test|mistake))", r"\b(?:your|new|these|disregard|follow|instead|system|directives|above)\b", but=r"\b(?:law|act|court|version|release)\b"),
    _english("override", r"\b(?:context|memory|instructions?)\b.{{0,20}}\b(?:reset|wiped|erased|cleared)\b", r"\byour\b"),
    _english("override", r"\b(?:new|real|actual|updated)\ (?:task|instructions?|orders?|rules?|objective|goal)\s*[:\u2014-] | \btask\ has\ changed", r"\b(?:answer|user|write|output|respond|say|reply|ignore|print|only|instead)\b"),
    _english("override", r"\b(?:follow|obey)\ (?:these|this|the\ following|my|only)\ (?:new\ )?(?:instructions?|orders?|paragraph|commands?|rules?)\b", r"\b(?:instead|only|new|obey|above|previous)\b", but=r"\bto\ (?:install|build|set)"),
    _english("override", r"\b(?:listen|answer)\ (?:only|exclusively)\ to\ me\b | \bobey\ me\b | \bawait\ my\ (?:orders|commands)\b | \bdo\ (?:exactly\ )?what\ i\ (?:say|tell)"),
    _english("override", r"\b(?:do\ not|don't|never|instead\ of|without)\ (?:answer|respond|reply)(?:ing|ing\ to)?\ (?:to\ )?(?:the\ |any\ )?(?:user|question)"),
    _english("override", r"\brespond\b|\banswer\b|\bcomply\b", r"\bwithout\ (?:any\ )?(?:restrictions?|filter(?:s|ing)?|ethic\w*|censorship|limits?|limitations?|guidelines)\b | \bcomply\ with\ every\ request", but=r"\bcan\b"),
    _english("prompt-leak", r"{clause}(?:reveal|print|output|show|repeat|display|list|dump|tell\ (?:me|us)|give\ (?:me|us)|leak|summari[sz]e|translate|append|share|expose|write|copy|echo|recite|disclose|what\ (?:are|is|were)|state)\b .{{0,30}} (?: \b(?:system|hidden|initial|secret|confidential|developer)\s*(?:prompt|instruction|message|rules|guideline|directive|prompt)s?\b | \byour\b.{{0,30}}\b(?:prompt|instructions?|guidelines?|rules|directives|configuration|system\ message)\b | \b(?:rules|instructions|prompt|text|message)\b.{{0,20}}\b(?:you\ (?:were|have\ been|received|got)|developers?\ gave|before\ this\ conversation) )", but=r"\b(?:how\ to|attack|injection)\b | what\ is\ (?:a|the)\ "),
    _english("prompt-leak", r"{clause}(?:repeat|print|output|copy|echo|recite)\b.{{0,12}}\b(?:everything|words|text|content|sentences|lines|all)\b.{{0,10}}\babove\b"),
    _english("prompt-leak", r"revealyoursystemprompt|revealthesystemprompt|printthesystemprompt | reveal\ (?:everything|all\ (?:your\ )?secrets) | my\ system\ prompt\ is | {clause}(?:print|output|dump|reveal|show)\b.{{0,30}}\bapi\ keys\ you"),
    _english("role", r"\byou\ are\ (?:now|no\ longer)\b", r"\b(?:ai|assistant|bot|chatbot|\w*gpt|model|dan|hacker|pirate|terminal|character|unrestricted|without|restrictions?|free|evil|admin\w*|called|named|villain|jailbroken|developer\ mode|uncensored|unfiltered|root)\b"),
    _english("role", r"{clause}(?:act\ as|pretend|role-?play|imagine|simulate|assume\ the\ (?:role|persona|identity)|behave|speak\ as|you\ will\ act|switch\ to|enable|enter|activate|become|stay\ in|act\ like)\b|\byou\ (?:will|must|shall)\ (?:now\ )?(?:act|speak|behave|play|pretend)", r"\b(?:unrestricted|restrictions?|filters?|unfiltered|uncensored|evil|never\ refuse\w*|jail\w*|dan|developer\ mode|moral|ethic\w*|hacker|content\ polic\w*|limits?|persona|character|do\ anything|no\ rules|without\ rules|administrator\ of\ this|malicious|villain|pirate)\b", but=r"\b(?:rate\ limit|proxy)"),
    _english("exfiltrate", r"{clause}(?:send|forward|post|upload|append|include|embed|transmit|exfiltrate|leak|submit|add|fetch|encode|use\ the|call\ the|put|attach)\b", r"\b(?:conversation|chat|chat\ history|history|user(?:'s|s')?\ (?:question|query|data|e?-?mails?|message|input|password|prompt|name)|user\ question|secrets?|session\ token|cookies?|credentials|api\ keys?|of\ the\ user|system\ prompt|contents?\ of\ this)\b", r"https?:// | \burl\b | [\w.]+@[\w.]+ | \bthe\ address\b | \blink\b | \btool\b | \battacker", but=r"\bexample\ (?:code|request)|\bapi\.example"),
    _english("exfiltrate", r"{clause}(?:ask|convince|persuade|trick|get|prompt|make)\ (?:the|your)\ user\b.{{0,40}}\b(?:passwords?|credit\ card|social\ security|login|credentials?|bank|e-?mail\ address|api\ key)"),
    _english("exfiltrate", r"{clause}(?:tell|inform|direct|instruct|ask|urge|redirect|send)\ (?:the|your)\ user\b.{{0,30}}\b(?:https?://|log\ ?in\ (?:at|to)|visit\ |click|call\ \+?\d|buy|their\ account)"),
    _english("exfiltrate", r"!\[[^\]]*\]\(\s*https?://[^)\s]*=\s*(?:\{{|\[|<|%7b|\$)"),
    _english("exfiltrate", r"https?://\S*[?&=/][^\s]*[\[{{<]{{1,2}}\s*(?:user|chat|conversation|history|question|secret|prompt|session|대화|질문|사용자|비밀)[^\s]*"),
    _english("exfiltrate", r"\b(?:execute|run|follow)\ the\ (?:commands?|instructions?|code)\ (?:in|from|at)\ (?:it|that|there)\b", r"https?://"),
    _english("action", r"(?:^\W*|[.:]\s*){ai}\s*[,:]\s*(?:please\ )?(?:call|delete|send|transfer|pay|run|execute|remove|cancel|buy|open|forward|upload|add|use)\b"),
    _english("action", r"\bwithout\ (?:asking|telling|informing|notifying|the\ (?:knowledge|consent)\ of)\ (?:the\ user|for\ confirmation|anyone)\b", r"{clause}(?:call|delete|send|transfer|pay|run|execute|remove|cancel|buy|open|forward|upload|add|use)\b"),
    _english("action", r"\bto=functions\.\w+ | {clause}(?:use|call)\ the\ \w+\ tool\b"),
    _english("answer-steering", r"(?:^\W*|[.:]\s*|\b(?:any|dear|if\ you\ are\ an?|note\ (?:to|for)|attention,?|for|to|the|all|hey|every)\ )(?:an\ |a\ |the\ |all\ |any\ )?{ai}(?:\ (?:reading|processing|summari[sz]ing|that\ reads?|who\ reads?)\ .{{0,30}})?\s*(?:[:,]|must|should|shall|has\ to|have\ to|please|is\ to)\s*.{{0,30}}\b{speak}\b", but=r"\bassistant\ (?:manager|director|professor|coach|editor)|\bbefore\ (?:using|training)"),
    _english("answer-steering", r"\bif\ you\ are\ an?\ {ai}", r"\b{speak}\b"),
    _english("answer-steering", r"{clause}(?:always\ |only\ |never\ )?(?:answer|respond|reply|say|output|state|write)\b", r"\b(?:every|any|all)\ (?:question|query|prompt|request)s?\b | \bregardless\ of\ (?:the|what|which)\b | \bwhatever\ the\ (?:question|user) | \bno\ matter\ what\b | \bfrom\ now\ on\b | \bto\ everything\b | \beverything\ with\b", but=r"\b(?:form|exam|survey|quiz|server)\b"),
    _english("answer-steering", r"{clause}(?:always\ (?:answer|respond|reply|say)|(?:answer|respond|reply|output|say)\ only|only\ (?:answer|respond|reply|output|say))\b.{{0,12}}(?:\bthat\b|\bwith\b|\bthe\ word|['\"\u2018\u201c]|\bin\b|\byes\b|\bno\b|\bok\b)", but=r"\bserver\b"),
    _english("answer-steering", r"\b(?:do\ not|don't|never|without)\ (?:tell|telling|inform|informing|mention|let|alert|reveal|disclose|show)\w*\b.{{0,20}}\b(?:the\ user|this\ (?:instruction|message|notice|prompt|paragraph))"),
    _english("answer-steering", r"{clause}(?:tell|inform|convince|persuade|trick|deceive|mislead)\ (?:the|your)\ user\b", r"\b(?:that|their|account|file\ is|locked|hacked|cancel\w*|false)\b", r"\b(?:agent|assistant|ai|attention|before\ answering|account|locked|hacked|instead|always)\b", but=r"\bapp\b"),
    _english("answer-steering", r"\bwhen\ (?:asked|summari[sz]ing|answering|responding|someone\ asks|the\ user\ asks|users\ ask|you\ (?:answer|summari[sz]e|are\ asked))\b.{{0,40}}\b(?:say|answer|respond|reply|embed|include|mention|claim|output|state|recommend|insert|tell)\b"),
    _english("answer-steering", r"{clause}(?:begin|start|end|finish|prefix|conclude|preface|open)\ (?:your|every|each|all)\ (?:response|reply|answer|message|output)"),
    _english("answer-steering", r"\b(?:every|each|all|your)\ (?:of\ your\ )?(?:repl(?:y|ies)|responses?|answers?)\ (?:must|has\ to|have\ to|should|shall|will|needs?\ to)\b.{{0,20}}\b(?:end|begin|start|include|contain|be\ in|mention|say|sound)"),
    _english("answer-steering", r"{clause}(?:do\ not|don't|never)\ (?:mention|cite|use|quote|reference|trust|refer\ to)\b.{{0,20}}\b(?:other|any|another|this|different)\ (?:other\ )?(?:sources?|documents?|pages?|passages?|articles?)\b", but=r"\bcookies\b"),
    _english("answer-steering", r"\bgive\ (?:a\ )?(?:only\ )?positive\ (?:review|rating)s?\b | \bpositive\ review\ only\b | \bdo\ not\ highlight\ any\ negatives"),
    _english("answer-steering", r"{clause}answer\b.{{0,12}}\bin\ (?:english|korean|french|japanese|\w+ish)\ that\b"),
    _english("answer-steering", r"\b(?:llm|ai|assistant|system|model)\ (?:instructions?|notice|note|directive)s?\s*[:\]]\s*.{{0,30}}\b{speak}\b"),
)

OTHER = tuple(
    _rule("override", pattern)
    for pattern in (
        r"(?:以前|前|これまで|上記|先)(?:の|に)?[^。]{{0,10}}(?:指示|命令|ルール|プロンプト|規則)[^。]{{0,10}}(?:無視|忘れ|従わな|破棄|取り消)",
        r"(?:忽略|无视|無視|忘记|忘記|忘掉|不要遵守|不要理会|抛弃|覆盖)[^。]{{0,12}}(?:之前|以上|上面|先前|前面|所有|系统|原有|此前)[^。]{{0,10}}(?:指令|指示|提示|规则|規則|命令|要求|设定)",
        r"\b(?:ignorier|vergiss|vergesst|missacht)\w*\b.{{0,30}}\b(?:anweisung|regel|instruktion|befehl|vorgabe|anleitung)",
        r"\b(?:ignor[ae]|olvid[ae]|descart[ae])\w*\b.{{0,30}}\b(?:instruccion|instrucci\u00f3n|reglas|indicaciones|\u00f3rdenes|ordenes|instru\u00e7\u00f5es)",
        r"\b(?:ignore[zr]?|oublie[zr]?)\b.{{0,30}}\b(?:instructions|r\u00e8gles|consignes|directives)\b.{{0,20}}\b(?:pr\u00e9c\u00e9dent|ant\u00e9rieur|ci-dessus)",
    )
) + tuple(
    _rule("prompt-leak", pattern)
    for pattern in (
        r"(?:システムプロンプト|システムメッセージ|内部指示)[^。]{{0,10}}(?:出力|表示|教え|見せ|公開)",
        r"(?:输出|显示|告诉|泄露|打印|重复)[^。]{{0,10}}(?:系统提示|提示词|系统指令|初始指令)",
    )
)
