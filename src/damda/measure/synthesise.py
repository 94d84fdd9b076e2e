"""Questions made from the documents themselves, for owners who have none yet.

Knows: which sentences can be turned into questions by rule, and what to ask a language model. Does not know: where
passages are stored.

A question made from a sentence shares its words, so search looks better on it than on what people ask: such figures
compare settings with one another, and promise nothing. Every question carries how it was made.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from damda.answer.prompt import language
from damda.korean import sentences
from damda.types import Chunk, Generator, Message, Progress

Row = dict[str, Any]
"""{id, text, answers, document, made}: a line of the file that the owner may correct."""

# What a counted thing is asked by. The number and what stands behind it become the question's word.
_COUNTERS = (
    (r"개월", "몇 개월"),
    (r"(?:영업|근무|거래)일", "며칠"),
    (r"일(?=\s|까지|부터|간|마다|을|이|에|의|로|,|\.|$)", "며칠"),
    (r"(?:억|천만|백만|만|천)?\s?원", "얼마"),
    (r"시간", "몇 시간"),
    (r"분(?=\s|까지|부터|간|마다|을|이|에|,|\.|$)", "몇 분"),
    (r"(?:퍼센트|%)", "몇 퍼센트"),
    (r"(?:명|인)(?=\s|까지|이|을|의|,|\.|$)", "몇 명"),
    (r"(?:회|번)(?=\s|까지|이|을|,|\.|$)", "몇 번"),
    (r"년(?=\s|까지|부터|간|마다|을|이|에|의|,|\.|$)", "몇 년"),
    (r"(?:자|글자)(?=\s|까지|이|를|,|\.|$)", "몇 자"),
    (r"점(?=\s|까지|이|을|,|\.|$)", "몇 점"),
)
_NUMBERS = [(re.compile(rf"(?<![제\d])\d[\d,.]*\s?{counter}"), word) for counter, word in _COUNTERS]
# A sentence that begins so leans on the one before it.
_LEANS = re.compile(r"(?:다만|또한|또|그러나|그리고|단|이 경우|이때|이 때|그|이|해당|위|전항|제\s?\d+항)[,\s]")
# How a statement ends, and how the same is asked. The first that fits is taken.
_ENDINGS = (
    (re.compile(r"(?:입니다|이다|임)\.?$"), "인가요?"),
    (re.compile(r"합니다\.?$|한다\.?$|함\.?$"), "하나요?"),
    (re.compile(r"됩니다\.?$|된다\.?$|됨\.?$"), "되나요?"),
    (re.compile(r"습니다\.?$"), "나요?"),
    (re.compile(r"는다\.?$"), "나요?"),
    (re.compile(r"있다\.?$"), "있나요?"),
    (re.compile(r"없다\.?$"), "없나요?"),
)
_LEADING = re.compile(r"^[\s\-*•·>#①-⑳]+|^\(?(?:\d{1,2}|[가-하])\\?[.)]\s*|\*\*")
_SHORTEST, _LONGEST = 15, 90
# A particle behind a consonant -> behind a vowel.
_OPEN = {"이": "가", "을": "를", "은": "는", "과": "와", "으로": "로"}

_ASK = {
    "ko": "다음 글을 읽은 사람이 이 글 없이 물을 만한 질문을 하나 만드세요. 글의 낱말을 되도록 그대로 쓰지 말고, "
    "답은 글에 있는 그대로 짧게 옮기세요. 두 줄로만 답하세요.\n질문: ...\n답: ...",
    "en": "Write one question that the following text answers, as somebody would ask it who has not seen the text. "
    "Use other words where you can, and copy a short answer from the text as it stands. Two lines only.\n"
    "Question: ...\nAnswer: ...",
}
_SAID = re.compile(r"(?:질문|question)\s*[:：]\s*(.+?)\s*\n+\s*(?:답|answer)\s*[:：]\s*(.+)", re.IGNORECASE)


def by_rules(passages: Sequence[Chunk], count: int, *, seed: int = 0) -> list[Row]:
    """At most ``count`` questions: from sentences with one number first, then from headings."""
    order = list(passages)
    random.Random(seed).shuffle(order)
    numbers = [row for chunk in order for row in _of_numbers(chunk)]
    headings = [row for chunk in order for row in _of_heading(chunk)]
    return _numbered(_distinct([*_spread(numbers), *headings])[:count])


def by_model(
    passages: Sequence[Chunk], count: int, generator: Generator, progress: Progress, *, seed: int = 0
) -> list[Row]:
    """At most ``count`` questions by a language model; one whose answer is not in its passage is dropped."""
    order = list(passages)
    random.Random(seed).shuffle(order)
    rows: list[Row] = []
    for chunk in order[: 3 * count]:
        progress("making questions", len(rows), count)
        if len(rows) == count:
            break
        prompt = [Message("system", _ASK[language(chunk.text)]), Message("user", chunk.text)]
        said = "".join(delta.text for delta in generator.stream(prompt, max_tokens=200))
        found = _SAID.search(said)
        if found and (answer := _flat(found[2])) and answer in _flat(chunk.text):
            rows.append(_row(chunk, found[1], [found[2].strip()], generator.id))
    progress("making questions", count, count)
    return _numbered(_distinct(rows))


def _of_numbers(chunk: Chunk) -> Iterator[Row]:
    """ "연차는 15일이다." -> "연차는 며칠인가요?", answered by "15일"."""
    for start, end in sentences(chunk.text, wrapped=True):
        said = _LEADING.sub("", " ".join(chunk.text[start:end].split()))
        if not _SHORTEST <= len(said) <= _LONGEST or _LEANS.match(said) or "|" in said or '"' in said:
            continue
        found = [(match, word) for pattern, word in _NUMBERS for match in pattern.finditer(said)]
        if len(found) != 1 or len(re.findall(r"\d[\d,.]*", said)) != 1:
            continue
        ((match, word),) = found
        asked = said[: match.start()] + word + _after(word, said[match.end() :])
        for ending, question in _ENDINGS:
            if ending.search(asked):
                yield _row(chunk, ending.sub(question, asked), [match[0]], "rule: number")
                break


def _after(word: str, rest: str) -> str:
    """What stands behind the counter, its particle in the form that the question's word takes."""
    if not word.endswith(("얼마", "퍼센트")):
        return rest
    found = re.match(r"(이|을|은|과|으로)(?=\s|$)", rest)
    return _OPEN[found[1]] + rest[found.end() :] if found else rest


def _of_heading(chunk: Chunk) -> Iterator[Row]:
    """The last part of the path of headings, asked for; what counts as an answer is not known."""
    name = re.sub(r"^[\d.\-\s]+|^제\s?\d+\s?조(?:의\d+)?\s*|[()（）#*]", "", chunk.heading.rpartition(" > ")[2]).strip()
    if 4 <= len(name) <= 40 and " | " not in name:
        about = f"{chunk.title}: " if chunk.title and chunk.title not in name else ""
        text = f"{about}{name}에 대해 알려 주세요." if language(name) == "ko" else f"{about}What about {name}?"
        yield _row(chunk, text, [], "rule: heading")


def _row(chunk: Chunk, text: str, answers: list[str], made: str) -> Row:
    return {"id": "", "text": text, "answers": answers, "document": chunk.doc_id, "made": made}


def _spread(rows: Sequence[Row]) -> list[Row]:
    """One of each document in turn, so that a long one does not crowd out the rest."""
    waiting: dict[str, list[Row]] = {}
    for row in rows:
        waiting.setdefault(row["document"], []).append(row)
    out = []
    while waiting:
        out += [mine.pop(0) for mine in waiting.values()]
        waiting = {document: mine for document, mine in waiting.items() if mine}
    return out


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """Without questions that were made of several passages: nobody knows which of them is meant."""
    times = Counter(row["text"] for row in rows)
    return [row for row in rows if times[row["text"]] == 1]


def _numbered(rows: list[Row]) -> list[Row]:
    return [row | {"id": f"s{n:03}"} for n, row in enumerate(rows, 1)]


def _flat(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".")
