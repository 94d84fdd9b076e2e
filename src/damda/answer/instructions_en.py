"""How instructions to a language model are worded in English, and the commonest of them in five other languages.

Knows: sentences in lower case, without disguise. Does not know: how sentences are found, or what is done about them.
"""

import re
from functools import partial

from damda.answer.instructions import BLUNT, DUTY, POLITE, STATED, Language, Sign, compiled, rule

# Where a verb without subject is an imperative: first in its clause.
_CLAUSE = (
    r"(?: ^\W* | (?<=[가-힣])\ + | [.:;,!?\-)\]>\u2014]\s* | \b(?:please|and|then|now|just|you\ to|to\ you|instead|also|so|simply|first|kindly"
    r"|completely|hereby|immediately|but|or|always|only|ai|assistant|task|text)\ + )"
)
_MODAL = r"(?: \b(?:must|should|shall|will|have\ to|has\ to|need\ to|needs\ to)\ (?:always\ |never\ |only\ |now\ |not\ )? )"
_VERB = (
    "(?: answer | respond | reply | say | state | output | write | return | print | claim | speak | recommend | mention | tell"
    " | cite | rate | rank | praise | refuse | include | give | describe | report | insist | call | delete | send | do\\ not"
    " | don't | never | follow | conclude | promote | add | append | insert | begin | start | end | repeat | show | reveal"
    " | ask | inform | persuade | convince | render | collect | post | complain | use | execute | insult | move | look\\ up"
    " | leave\\ out | omit | hide | avoid | make | drop | index | play | echo | encode | quote | paste | summari[sz]e | translate | pretend | act | ignore | forget | disregard )"
)
_NAMES = {
    "clause": _CLAUSE,
    "bid": f"(?:{_CLAUSE}|{_MODAL})",
    "verb": _VERB,
    "ai": r"(?: \b(?:ai|llm|language\ model|chat-?bot|assistant(?!\ (?:manager|director|professor|coach|editor))|chatgpt|gpt|copilot"
    r"|claude|gemini|bot|dan)s?\b (?:\ (?:assistant|agent|model|system|reviewer|bot|reader|crawler|instruction)s?)* )",
    "what": r"(?: instruction | prompt | rule | guideline | direction | directive | command(?!\ line) | polic | order | restriction"
    " | filter | constraint | programming | training | guardrail | safeguard | safety | task )",
    "old": r"(?: \b(?:previous|prior|above|earlier|preceding|initial|original|existing|system|developer|your|you|all|any|safety"
    "|content|these|those|foregoing|everything|anything|former|past|other|ethical) )",
    "undo": r"(?: ignore | disregard | forget(?:\ about)? | override | bypass | cancel | set\ aside | pay\ no\ attention\ to"
    r" | (?:do\ not|don't|never|not\ have\ to|don't\ have\ to|no\ longer)\ (?:follow|obey|listen\ to|comply\ with)"
    r" | stop\ following | discard | abandon | neglect | disobey | disable | remove | lift | drop | skip"
    r" | (?:turn|switch)\ off )",
    "about": r"\b(?:how\ to|attacks?|injections?|for\ example|example\ of)\b",
}
_rule = partial(rule, names=_NAMES)


def _sign(weight: float, pattern: str) -> Sign:
    return Sign(weight, compiled(pattern, _NAMES))


_RULES = (
    _rule(
        "override",
        STATED,
        r"(?:<bid>|\byou\ |\bto\ ) <undo>\b .{0,30} <old> .{0,40} \b<what>",
        but=r"""<about> | \bif\ you\ (?:use|already|have|are\ using|want)\b | \bwhen\ writing\b
        | \bskip\b(?!.*(?:system|prompt|\ all\ |your)) | \b(?:remove|drop)\b(?!.*your) | \b(?:can|may|could|might|how)\b.{0,12}<undo>
        | \bto\ (?:override|disable|remove|skip|cancel|drop|turn|switch)\b(?!.*your)""",
    ),
    _rule("override", STATED, r"<bid><undo>\b .{0,12} \b<what>s? .{0,30} \b(?:system\ (?:message|prompt)|above|given|before|earlier|received)", but=r"<about> | \bwhen\ writing\b | \bif\ you\b"),
    _rule(
        "override",
        STATED,
        r"""<bid><undo>\b .{0,12} \b(?:everything|anything|all|what(?:ever)?|text)\b .{0,20}
        \b(?:above|before|previous|prior|earlier|developer|you\ were|told\ you|been\ told|said|asked)\b | \bignore\ prior\ text\b""",
        but="<about>",
    ),
    _rule("override", STATED, "(?:ignore|disregard)(?:all|any|the|your|of|previous|prior|above|system){1,4}(?:instructions|rules|prompts?)"),
    _rule(
        "override",
        STATED,
        r"""\b(?:your|above|previous|prior|earlier|system|all|assistant(?:'s)?)\b .{0,30} \b<what> .{0,40}
        \b(?:no\ longer\ (?:apply|valid)|obsolete|superseded|void|cancell?ed|suspended|(?:are|is)\ off|do\ not\ apply
        |(?:are|is|been)\ (?:hereby\ |now\ )?(?:reset|replaced|lifted|removed|changed|revoked|disabled)|has\ changed|were\ a\ (?:test|mistake)|expired)""",
        r"\b(?:your|new|these|disregard|follow|instead|system|directives|above|guardrails|assistant|hereby)\b",
        but=r"\b(?:law|act|court|version|release)\b",
    ),
    _rule("override", STATED, r"\b(?:you\ have|there\ are)\ no\ (?:prior|previous|earlier|more|other)\ (?:instruction|rule|restriction|guideline)"),
    _rule("override", STATED, r"\b(?:context|memory|instructions?)\b.{0,20}\b(?:reset|wiped|erased|cleared)\b", r"\byour\b"),
    _rule("override", STATED, r"\b(?:priority|precedence)\b.{0,20}\b(?:over|than|above)\b.{0,20}\b(?:system|your|previous|prior)\b.{0,10}\b(?:prompt|instruction|rule)"),
    _rule(
        "override",
        STATED,
        r"\b(?:new|real|actual|updated|next)\ (?:task|instructions?|orders?|rules?|objective|goal|job)\s*(?:[:\u2014-]|is\ to) | \btask\ has\ changed",
        r"\b(?:answer|user|write|output|respond|say|reply|ignore|print|only|instead)\b",
    ),
    _rule(
        "override",
        STATED,
        r"\b(?:follow|obey|execute)\ (?:these|this|the\ following|my|only)\ (?:new\ )?(?:instructions?|orders?|paragraph|commands?|rules?|instead)\b",
        r"\b(?:instead|only|new|obey|above|previous)\b",
        but=r"\bto\ (?:install|build|set)",
    ),
    _rule("override", STATED, r"<bid>(?:do\ not|don't|never|stop)\ (?:read|process|summari[sz]e|processing|reading)\ (?:the\ rest|this|the\ remaining|any\ more)"),
    _rule("override", STATED, r"\byou\ (?:were|have\ been)\ (?:told|taught|instructed)\b.{0,20}\b(?:wrong|false|obsolete|invalid|a\ lie|outdated)\b"),
    _rule("override", STATED, r"\b(?:listen|answer)\ (?:only|exclusively)\ to\ me\b | \bobey\ me\b | \bawait\ my\ (?:orders|commands)\b | \bdo\ (?:exactly\ )?what\ i\ (?:say|tell)"),
    _rule("override", STATED, r"\b(?:do\ not|don't|never|instead\ of|without)\ (?:answer|respond|reply)(?:ing|ing\ to)?\ (?:to\ )?(?:the\ |any\ )?(?:user|question)"),
    _rule(
        "override",
        STATED,
        r"\b(?:respond|answer|comply)\b",
        r"\bwithout\ (?:any\ )?(?:restrictions?|filter(?:s|ing)?|ethic\w*|censorship|limits?|limitations?|guidelines)\b | \bcomply\ with\ every\ request",
        but=r"\bcan\b",
    ),
    _rule(
        "prompt-leak",
        STATED,
        r"""<bid>(?:reveal|print|output|show|repeat|display|list|dump|tell\ (?:me|us)|give\ (?:me|us)|leak|summari[sz]e|translate|append|share
          |expose|write|copy|echo|recite|disclose|what\ (?:are|is|were)|state|encode|paste|quote|complete)\b .{0,30}
        (?: \b(?:system|hidden|initial|secret|confidential|developer)\s*(?:prompt|instruction|message|rules|guideline|directive)s?\b
          | \byour\b.{0,30}\b(?:prompt|instructions?|guidelines?|rules|directives|configuration|system\ message|context)\b
          | \b(?:rules|instructions|prompt|text|message)\b.{0,20}\b(?:you\ (?:were|have\ been|received|got)|developers?\ gave
            |before\ this\ conversation) )""",
        but=r"<about> | what\ is\ (?:a|the)\ | \bfor\ (?:installing|using|the)",
    ),
    _rule("prompt-leak", STATED, r"<clause>(?:repeat|print|output|copy|echo|recite)\b.{0,12}\b(?:everything|words|text|content|sentences|lines|all)\b.{0,10}\babove\b"),
    _rule(
        "prompt-leak",
        STATED,
        r"\b(?:see|know|share|wording|exact|verbatim|read)\b .{0,30} \byour\ (?:system|initial|hidden|original|secret)\ (?:instruction|prompt|message)",
    ),
    _rule("prompt-leak", STATED, r"\bwhat\b.{0,10}\b(?:were|are|have)\ you\b.{0,8}\b(?:told|instructed|given)\b | \b(?:my|the)\ instructions\ (?:to|for)\ you\b"),
    _rule(
        "prompt-leak",
        STATED,
        r"""(?:reveal|print)(?:your|the)systemprompt | reveal\ (?:everything|all\ (?:your\ )?secrets) | my\ system\ prompt\ is
        | <clause>(?:print|output|dump|reveal|show|look\ up)\b.{0,30}\bapi\ keys?\b.{0,40}\b(?:you|your)\b""",
    ),
    _rule(
        "role",
        STATED,
        r"\byou(?:\ a|')re\ (?:now|no\ longer|dan)\b | \bact\ as\ if\ you\b | \byour\ (?:new|true|real)\ (?:persona|identity|role|name|purpose)\ is\b",
        r"""\b(?:ai|assistant|bot|chatbot|\w*gpt|model|dan|hacker|pirate|terminal|character|unrestricted|without|restrictions?|free|evil
        |admin\w*|called|named|villain|jailbroken|developer\ mode|uncensored|unfiltered|root|polic\w+|obeys?|persona|identity|purpose)\b""",
    ),
    _rule(
        "role",
        STATED,
        r"""(?:<bid>|\byou\ )(?:act\ as|pretend|role-?play|imagine|simulate|assume\ the\ (?:role|persona|identity)|behave|speak\ as|act|switch\ to|enable|enter
          |activate|become|stay\ in|play|respond\ as|as\ an?\ ai)\b | \bgame\ where\ you\b | \bas\ an?\ (?:ai|assistant|model)\b""",
        r"""\b(?:unrestricted|restrictions?|filters?|unfiltered|uncensored|evil|never\ refuse\w*|jail\w*|dan|developer\ mode|moral|ethic\w*
        |hacker|content\ polic\w*|limits?|persona|do\ anything|(?:no|without)\ rules|administrator\ of\ this|malicious|villain|pirate)\b""",
        but=r"\b(?:rate\ limit|proxy)",
    ),
    _rule("role", STATED, r"(?:<clause>|\byou\ )(?:speak|talk|answer|respond|act|behave|play)\ (?:as|like|the\ part\ of)\ (?:if\ you\ were\ )?an?\ <ai>"),
    _rule("role", STATED, r"\bi\ am\ (?:your|the)\ (?:developer|creator|administrator|admin|owner)\b", r"\b(?:authori[sz]e|turn\ off|disable|safety|reveal|ignore|obey)"),
    _rule("role", STATED, r"\b(?:dan|it|ai)\ has\ no\ (?:limits|rules|restrictions)\b"),
    _rule(
        "exfiltrate",
        STATED,
        r"<bid>(?:send|forward|post|upload|append|include|embed|transmit|exfiltrate|leak|submit|add|fetch|encode|use\ the|call\ the|put|attach|render|collect|look\ up)\b",
        r"""\b(?:conversation|chat|chat\ history|history|user(?:'s|s')?\ (?:last\ |phone\ |first\ )?(?:question|query|data|e?-?mails?|message|input
        |password|prompt|name|number)|user\ question|secrets?|session\ token|cookies?|credentials|api\ keys?|of\ the\ user|the\ user\ (?:typed|said|wrote|asked)|system\ prompt
        |contents?\ of\ this)\b""",
        r"https?:// | \burl\b | [\w.]+@[\w.]+ | \bthe\ address\b | \blink\b | \btool\b | \battacker | \breply\b | \banswer\b",
        but=r"\bexample\ (?:code|request)|\bapi\.example",
    ),
    _rule(
        "exfiltrate",
        STATED,
        r"<bid>(?:ask|convince|persuade|trick|get|prompt|make)\ (?:the|your)\ user\b.{0,40}\b(?:passwords?|credit\ card|social\ security|login|credentials?|bank|e-?mail\ address|api\ key|install|https?:)",
    ),
    _rule(
        "exfiltrate",
        STATED,
        r"<bid>(?:tell|inform|direct|instruct|ask|urge|redirect|send)\ (?:the|your)\ user\b.{0,30}\b(?:https?://|log\ ?in\ (?:at|to)|visit\ |click|call\ \+?\d|buy|their\ account)",
    ),
    _rule("exfiltrate", STATED, r"!\[[^\]]*\]\(\s*https?://[^)\s]*=\s*(?:\{|\[|<|%7b|\$)"),
    _rule("exfiltrate", STATED, r"https?://\S*[?&=/]\S*[\[{<]{1,2}\s*(?:user|chat|conversation|history|question|secret|prompt|session|대화|질문|사용자|비밀)"),
    _rule("exfiltrate", STATED, r"\b(?:execute|run|follow)\ the\ (?:commands?|instructions?|code)\ (?:in|from|at)\ (?:it|that|there)\b", r"https?://"),
    _rule("action", STATED, r"(?:^\W*|[.:]\s*)(?:<ai>|agents?)\s*[,:]\s*(?:please\ )?(?:call|delete|send|transfer|pay|run|execute|remove|cancel|buy|open|forward|upload|add|use|move)\b"),
    _rule(
        "action",
        STATED,
        r"\b(?:without\ (?:asking|telling|informing|notifying|the\ (?:knowledge|consent)\ of)|(?:do\ not|don't)\ notify)\ (?:the\ user|for\ confirmation|anyone)\b",
        r"<clause>(?:call|delete|send|transfer|pay|run|execute|remove|cancel|buy|open|forward|upload|add|use|move)\b",
    ),
    _rule("action", STATED, r"\bto=functions\.\w+ | <clause>(?:use|call)\ (?:the|your)\ \w+\ tool\b"),
    _rule("answer-steering", STATED, r"\b(?:llm|ai|assistant|system|model)\ (?:instructions?|notice|note|directive)s?\s*[:\]]", "<verb>"),
    _rule("answer-steering", STATED, r"\b(?:do\ not|don't|never|without)\ (?:tell|telling|inform|informing|mention|let|alert|reveal|disclose|show)\w*\b.{0,20}\b(?:the\ user|this\ (?:instruction|message|notice|prompt|paragraph))"),
    _rule(
        "answer-steering",
        STATED,
        r"\b(?:when|if|whenever)\ (?:asked|summari[sz]ing|answering|responding|generating|someone\ asks|the\ user\ asks|users\ ask|you\ (?:answer|summari[sz]e|are\ asked))\b.{0,50}\b(?:say|answer|respond|reply|embed|include|mention|claim|output|state|recommend|insert|tell|add)\b",
    ),
    _rule("answer-steering", STATED, r"<bid>(?:begin|start|end|finish|prefix|conclude|preface|open)\ (?:your|every|each|all)\ (?:response|reply|answer|message|output)"),
    _rule(
        "answer-steering",
        STATED,
        r"\b(?:every|each|all|your)\ (?:of\ your\ )?(?:repl(?:y|ies)|responses?|answers?)\ (?:must|has\ to|have\ to|should|shall|will|needs?\ to)\b.{0,20}\b(?:end|begin|start|include|contain|be\ in|mention|say|sound)",
    ),
    _rule(
        "answer-steering",
        STATED,
        r"<bid>(?:do\ not|don't|never)\ (?:mention|cite|use|quote|reference|trust|refer\ to)\b.{0,20}\b(?:other|any|another|this|different)\ (?:other\ )?(?:sources?|documents?|pages?|passages?|articles?)\b",
        but=r"\bcookies\b",
    ),
    _rule("answer-steering", STATED, r"\bthe\ (?:correct\ |right\ |only\ )?answer\ is\ always\b"),
    _rule(
        "answer-steering",
        STATED,
        r"\b(?:ai|llms?|agents?|models?|assistants?|bots?)\ (?:that\ |which\ |who\ )?(?:reads?|reading|process(?:es|ing)?|summari[sz](?:es?|ing)|index(?:es|ing)?)\ (?:this|the)\b",
        r"\b(?:must|should|shall|please|has\ to|have\ to)\b|<clause><verb>\b",
    ),
    _rule("answer-steering", STATED, r"\bgive\ (?:a\ )?(?:only\ )?positive\ (?:review|rating)s?\b | \bpositive\ review\ only\b | \bdo\ not\ highlight\ any\ negatives"),
    _rule("answer-steering", STATED, r"<clause>answer\b.{0,12}\bin\ (?:english|korean|french|japanese|\w+ish)\ that\b"),
)

_SIGNS = (
    _sign(2.0, "<ai>"),
    _sign(1.0, r"<ai>\s*(?:[:,]|\bmust\b|\bshould\b|\bshall\b|\bhas\ to\b|\bplease\b|reading) | \bmodels?\ reading"),
    _sign(1.0, r"\bmodels?\b | \bagents?\b | \bwhoever\b"),
    _sign(0.5, r"\b(?:you|your)\b"),
    _sign(1.0, r"\b(?:the|your)\ users?\b"),
    _sign(1.5, r"\b(?:answers?|responses?|repl(?:y|ies)|respond\w*|summar(?:y|ies|i[sz]ing|i[sz]es)|outputs?)\b | <clause>say\b"),
    _sign(1.0, r"\b(?:question|asked|query|asks)\b"),
    _sign(1.0, r"\b<what>"),
    _sign(1.0, r"\b(?:this|the)\ (?:document|text|paragraph|passage|page|message|article|candidate|notice|note)\b"),
    _sign(0.75, r"\b(?:always|never|only|nothing\ (?:but|else)|regardless|whatever|no\ matter|every|all|instead|from\ now\ on|refuse|everything)\b"),
    _sign(0.75, r"(?:(?<=[\s:])|^)['\"\u2018\u201c].{1,60}['\"\u2019\u201d]"),
    _sign(1.0, r"\b(?:claim|recommend|praise|rate|rank|complain|insult|lie|lies|false|fraud\w*|competitors?|pirate|nonsense|banana|positive|best|caps)\b"),
    _sign(1.0, r"\b(?:opposite|incorrect|wrong|fake|untrue|lying|trust\w*|distrust|criticism|negative)\b"),
    _sign(1.0, r"\b(?:when|if|before|after)\ (?:you|it|they)\ (?:summari[sz]e|answer|respond|reply|read|can\ read)"),
    _sign(1.0, r"https?://|[\w.]+@[\w.]+"),
)

ENGLISH = Language(
    topics=re.compile(
        "instruction|prompt|rule|guideline|direct|command|polic|order|restrict|filter|constraint|guardrail|safe|ignor|disregard|forget"
        "|answer|respon|repl|say|summar|user|assistant|bot|llm|model|gpt|pretend|act|imagine|role|your|you|http|@|above|previous|prior"
        "|secret|reveal|ai|obey|task|override|developer|document|tool|agent|whoever|dan|jail|review|text|functions|limit|evil|context|follow|instead|execute|passage|source|cite"
    ),
    moods=(
        (BLUNT, compiled(r"<clause><verb>\b", _NAMES)),
        (POLITE, compiled(rf"\b(?:never|always)\ <verb>\b | {_MODAL}<verb>\b | \bfrom\ now\ on\b", _NAMES)),
        (DUTY, compiled(r"\b(?:must|should|shall)\b", _NAMES)),
    ),
    rules=_RULES,
    signs=_SIGNS,
    enough=4.5,
    core=re.compile(r"\b(?:ai|llm|model|assistant|chat-?bot|bot|gpt|copilot|claude|gemini|agent|you|user|answer|respon|repl|summar|say|output"
        r"|question|asked|whoever)"),
    reports=compiled(r"<about> | \w\( | ;$ | \s=\s", _NAMES),
)


_OTHER = (
    ("override", "(?:以前|前|これまで|上記|先)(?:の|に)?[^。]{0,10}(?:指示|命令|ルール|プロンプト|規則)[^。]{0,10}(?:無視|忘れ|従わな|破棄|取り消)"),
    (
        "override",
        "(?:忽略|无视|無視|忘记|忘記|忘掉|不要遵守|不要理会|抛弃|覆盖)[^。]{0,12}(?:之前|以上|上面|先前|前面|所有|系统|原有|此前)[^。]{0,10}"
        "(?:指令|指示|提示|规则|規則|命令|要求|设定)",
    ),
    ("override", r"\b(?:ignorier|vergiss|vergesst|missacht)\w*\b.{0,30}\b(?:anweisung|regel|instruktion|befehl|vorgabe|anleitung)"),
    ("override", r"\b(?:ignor[ae]|olvid[ae]|descart[ae])\w*\b.{0,30}\b(?:instruccion|instrucci\u00f3n|reglas|indicaciones|\u00f3rdenes|ordenes)"),
    ("override", r"\b(?:ignore[zr]|oublie[zr]?)\b.{0,30}\b(?:instructions|r\u00e8gles|consignes|directives)\b"),
    ("prompt-leak", "(?:システムプロンプト|システムメッセージ|内部指示)[^。]{0,10}(?:出力|表示|教え|見せ|公開)"),
    ("prompt-leak", "(?:输出|显示|告诉|泄露|打印|重复)[^。]{0,10}(?:系统提示|提示词|系统指令|初始指令)"),
)

OTHER = Language(
    topics=re.compile("指示|命令|ルール|プロンプト|規則|指令|提示|规则|要求|ignor|verg|missacht|olvid|descart|oubli|システム"),
    moods=(),
    rules=tuple(_rule(kind, STATED, pattern) for kind, pattern in _OTHER),
)

_SPEECH = re.compile(rf"{_CLAUSE}{_VERB}\b|\bfrom\ now\ on\b", re.VERBOSE)


def bids(sentence: str) -> bool:
    """Whether a sentence, in lower case, has a clause that opens with a verb of speech."""
    return bool(_SPEECH.search(sentence))
