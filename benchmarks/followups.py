"""Follow-up questions: what is found and quoted with each way of making them whole.

python benchmarks/followups.py [--home DIR] [--split dev|test] [--model NAME]

Asks the conversations of examples/conversations.jsonl, turn by turn; each way sees the answers that it got itself.
"controls" are second questions that stand alone; "strangers" are the questions of examples/questions.jsonl, each after
the first question of a conversation that has nothing to do with it. --model: a GGUF chat model that rewrites, too.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import machine

import damda
from damda import weights
from damda.answer.followup import Rules
from damda.answer.history import Whole
from damda.answer.prompt import language
from damda.answer.rewrite import Rewriter
from damda.assemble import models
from damda.assemble.conversation import nearness
from damda.generate.llama import Llama
from damda.measure.answers import holds
from damda.measure.retrieval import paired_p
from damda.search.store import Store
from damda.settings import LlamaSettings, Settings
from damda.types import Answer, Message

EXAMPLES = Path(__file__).parent.parent / "examples"
FIRST, NEW = "first", "new"


class Asked(NamedTuple):
    """One question as it was searched for: the gold document is first, among five; its answer stands in the quotes."""

    group: str
    asked: str
    first: bool
    five: bool
    quoted: bool


class Turn(NamedTuple):
    """A question with the earlier turns of its conversation, as far as they are known before asking."""

    group: str
    question: str
    document: str
    answer: str


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--home", default="", help="where the index is kept between runs")
    arguments.add_argument("--split", choices=("dev", "test"), help="one half only; default: both")
    arguments.add_argument("--model", default="", help="a GGUF chat model, as in llama.model")
    arguments.add_argument("--show", action="store_true", help="print every question as it was searched for")
    given = arguments.parse_args()
    settings = {"answer.followup": "off"} | ({"home": given.home} if given.home else {})
    kb = damda.open(EXAMPLES / "documents", settings=settings)
    kb.refresh()
    ways = make_ways(kb, given.model)
    result: dict[str, Any] = {}
    for split in [given.split] if given.split else ["dev", "test"]:
        talks = conversations(split)
        asked = {name: [ask for talk in talks for ask in talked(kb, talk, whole)] for name, whole in ways.items()}
        result[split] = {"ways": table(asked), "milliseconds_a_follow_up": slowness(talks, ways)}
        show(split, asked, result[split], every=given.show)
    if not given.split:
        machine.save("followups", {"rewriting_model": given.model, "splits": result})


def make_ways(kb: damda.KnowledgeBase, model: str) -> dict[str, Whole]:
    """Each way of making a follow-up whole."""
    settings = Settings()
    encoder, analyser = models.make_encoder(settings.encoder, offline=True), models.make_analyser(settings)
    near = nearness(encoder, cast(Store, kb._store))
    rules = Rules(analyser, near)
    ways: dict[str, Whole] = {
        "alone": lambda question, history: question,
        "previous question before it": lambda question, history: f"{_users(history)[-1]} {question}",
        "grammar only": Rules(analyser),
        "nearness only": by_nearness(near),
        "rules": rules,
        "rules and the answer before": with_answer(rules),
    }
    if model:
        llama = Llama(LlamaSettings(model=model), path=weights.gguf_path(model))
        ways["model"] = Rewriter(llama, lambda question, history: question, analyser)
        ways["model, else rules"] = Rewriter(llama, rules, analyser)
    return ways


def by_nearness(near: Callable[[Sequence[str]], list[float]]) -> Whole:
    """Both questions together where a passage is nearer to them, without looking at grammar."""

    def whole(question: str, history: Sequence[Message]) -> str:
        both = f"{question} {_users(history)[-1]}"
        alone, together = near([question, both])
        return both if together > alone else question

    return whole


def with_answer(rules: Whole) -> Whole:
    """A follow-up with the first line of the answer before, too."""

    def whole(question: str, history: Sequence[Message]) -> str:
        asked = rules(question, history)
        return asked if asked == question else f"{asked} {history[-1].content.splitlines()[0]}"

    return whole


def _users(history: Sequence[Message]) -> list[str]:
    return [message.content for message in history if message.role == "user"]


def conversations(split: str) -> list[list[Turn]]:
    """The conversations of one half, then the strangers."""
    rows = [json.loads(line) for line in (EXAMPLES / "conversations.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["split"] == split]
    talks = []
    for row in rows:
        talk = []
        for turn in row["turns"]:
            tongue = language(turn["question"])
            group = {FIRST: FIRST, NEW: "controls"}.get(turn["kind"], f"follow-ups {tongue}")
            talk.append(Turn(group, turn["question"], turn["document"], turn["answer"]))
        talks.append(talk)
    draw = random.Random(split)
    for line in (EXAMPLES / "questions.jsonl").read_text(encoding="utf-8").splitlines():
        question = json.loads(line)
        others = [talk[0] for talk in talks if talk[0].document != question["document"] and talk[0].group == FIRST]
        if question["document"]:
            stranger = Turn("strangers", question["text"], question["document"], question["quote"])
            talks.append([draw.choice(others), stranger])
    return talks


KNOWN: dict[str, Answer] = {}


def talked(kb: damda.KnowledgeBase, talk: Sequence[Turn], whole: Whole) -> list[Asked]:
    """The turns after the first one, each with the conversation that led to it."""
    history: list[Message] = []
    found = []
    for turn in talk:
        asked = whole(turn.question, history) if history else turn.question
        if asked not in KNOWN:
            KNOWN[asked] = kb.ask(asked)
        answer = KNOWN[asked]
        if history:
            documents = [hit.chunk.doc_id for hit in answer.hits]
            quoted = any(q.doc_id == turn.document and holds(q.text, [turn.answer]) for q in answer.quotes)
            first = documents[:1] == [turn.document]
            found.append(Asked(turn.group, asked, first, turn.document in documents, quoted))
        history += [Message("user", turn.question), Message("assistant", answer.text)]
    return found


def table(asked: dict[str, list[Asked]]) -> dict[str, Any]:
    """For each way and group its figures, with p of the difference to searching for the question alone."""
    groups = ["follow-ups ko", "follow-ups en", "controls", "strangers"]
    figures: dict[str, Any] = {}
    for name, rows in asked.items():
        figures[name] = {}
        for group in ["follow-ups", *groups]:
            at = [n for n, row in enumerate(rows) if row.group.startswith(group)]
            mine, alone = [rows[n] for n in at], [asked["alone"][n] for n in at]
            figures[name][group] = {
                "questions": len(at),
                "hit@1": share([row.first for row in mine]),
                "hit@5": share([row.five for row in mine]),
                "quoted": share([row.quoted for row in mine]),
                "changed": share([a.asked != b.asked for a, b in zip(mine, alone, strict=True)]),
                "p_hit@1": round(paired_p([float(r.first) for r in mine], [float(r.first) for r in alone]), 4),
                "p_quoted": round(paired_p([float(r.quoted) for r in mine], [float(r.quoted) for r in alone]), 4),
            }
    rules = asked["rules"]
    before = asked["previous question before it"]
    at = [n for n, row in enumerate(rules) if row.group.startswith("follow-ups")]
    p = paired_p([float(rules[n].quoted) for n in at], [float(before[n].quoted) for n in at])
    figures["rules"]["follow-ups"]["p_quoted_over_previous_question"] = round(p, 4)
    return figures


def share(values: Sequence[bool]) -> float:
    return round(sum(values) / max(len(values), 1), 3)


def slowness(talks: Sequence[Sequence[Turn]], ways: dict[str, Whole]) -> dict[str, float]:
    """Median time of making a question whole that was not seen before."""
    times: dict[str, list[float]] = {}
    for name, whole in ways.items():
        for talk in talks[:20]:
            for rules in ways.values():
                if isinstance(rules, Rules):
                    rules.join.cache_clear()
            begun = time.perf_counter()
            whole(talk[1].question, [Message("user", talk[0].question), Message("assistant", "답 [1]")])
            times.setdefault(name, []).append(1000 * (time.perf_counter() - begun))
    return {name: round(sorted(found)[len(found) // 2], 2) for name, found in times.items()}


def show(split: str, asked: dict[str, list[Asked]], result: dict[str, Any], *, every: bool) -> None:
    for name, rows in asked.items() if every else ():
        for row in rows:
            marks = "".join(str(int(mark)) for mark in (row.first, row.five, row.quoted))
            print(f"{name[:12]:12} {row.group:14} {marks} {row.asked}")
    for name, groups in result["ways"].items():
        print(f"\n{split}: {name} ({result['milliseconds_a_follow_up'][name]} ms)")
        for group, figures in groups.items():
            print(f"  {group:14}", "  ".join(f"{key} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
