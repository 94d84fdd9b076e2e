"""Traces in a terminal: a list, and one as a waterfall of its steps.

Knows: columns, bars, which facts are worth a line. Does not know: where traces come from.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.markup import escape

from damda.cli.show import out
from damda.trace import genai
from damda.traces import Kept, Step, Summary

_THUMB = {1: "+1", -1: "-1"}
_DOCUMENTS = 5
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def listing(found: Sequence[Summary]) -> None:
    """A line a trace, newest first."""
    out.print(_line("trace", "when", "ms", "tokens", "found", "quotes", "liked", ""), style="dim")
    for one in found:
        state = one.status if one.status != "ok" else "" if one.found is None else "yes" if one.found else "no"
        line = _line(
            one.id[:8],
            time.strftime("%m-%d %H:%M:%S", time.localtime(one.started)),
            "" if one.ms is None else f"{one.ms:,.0f}",
            _tokens(one),
            state,
            "" if one.quotes is None else str(one.quotes),
            _THUMB.get(one.feedback or 0, ""),
            _short(one.question or one.name, 60),
        )
        out.print(escape(line), style="red" if one.status == "error" else "")


def _line(*c: str) -> str:
    return f"{c[0]:8}  {c[1]:14} {c[2]:>8} {c[3]:>11}  {c[4]:10} {c[5]:>6} {c[6]:>5}  {c[7]}".rstrip()


def draw(kept: Kept, *, verbose: bool) -> None:
    """One trace: what it is, then its steps with bars on one scale."""
    one = kept.summary
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.started))
    took = "not finished" if one.ms is None else f"{one.ms:,.1f} ms"
    out.print(f"[bold]{one.id}[/bold]  {when}  {took}{'' if one.status == 'ok' else f'  [red]{one.status}[/red]'}")
    if one.question:
        out.print(f"  {escape(_short(one.question, 200))}")
    if summary := _outcome(one):
        out.print(f"  {escape(summary)}", style="dim")
    rows = list(_rows(kept.steps, 0))
    if not rows:
        return
    whole = max(step.start_ms + step.ms for step, _ in rows) or 1.0
    names = min(max(cell_len(step.name) + 2 * depth for step, depth in rows), 44)
    bars = max(min(out.width, 120) - names - 26, 10)
    for step, depth in rows:
        name = set_cell_size("  " * depth + _short(step.name, names - 2 * depth), names)
        colour = {"error": "red", "cancelled": "yellow"}.get(step.status, "cyan")
        bar = _bar(step.start_ms / whole, step.ms / whole, bars)
        out.print(
            f"{escape(name)} [{colour}]{bar}[/{colour}] {step.start_ms:9,.1f} {step.ms:9,.1f} ms", overflow="ignore"
        )
        for line in _facts(step, verbose):
            out.print(f"{'  ' * depth}  {escape(line)}", style="dim")


def _rows(steps: Sequence[Step], depth: int) -> Iterator[tuple[Step, int]]:
    for step in steps:
        yield step, depth
        yield from _rows(step.steps, min(depth + 1, 12))


def _bar(start: float, share: float, width: int) -> str:
    """At its place; a step too short to be seen has an eighth of a column."""
    eighths = max(round(share * width * 8), 1)
    before = min(int(start * width), width - 1)
    full, rest = divmod(min(eighths, (width - before) * 8), 8)
    return (" " * before + "█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def _tokens(one: Summary) -> str:
    return "" if one.input_tokens is None else f"{one.input_tokens:,}+{one.output_tokens or 0:,}"


def _outcome(one: Summary) -> str:
    parts = []
    if one.found is not None:
        parts.append(f"{one.quotes} quotes, {one.unsupported} unsupported" if one.found else "not found")
    if one.input_tokens is not None:
        parts.append(f"{one.input_tokens:,} tokens in, {one.output_tokens or 0:,} out")
    if one.feedback:
        parts.append(f"feedback {_THUMB[one.feedback]}" + (f": {one.comment}" if one.comment else ""))
    return " · ".join(parts)


_SHOWN = {
    "error.type": "",
    "damda.mode": "mode",
    "gen_ai.retrieval.top_k": "k",
    "damda.candidates": "hits",
    "damda.best_score": "best",
    "damda.confidence": "confidence",
    "damda.each.best": "took passage",
    "damda.each.odds": "odds",
    genai.INPUT_TOKENS: "tokens in",
    genai.OUTPUT_TOKENS: "tokens out",
    genai.READ_BEFORE: "of them read before",
    genai.GUESSED: "guessed",
    genai.RIGHT: "right",
    "gen_ai.response.time_to_first_chunk": "first words after s",
    "damda.document": "",
    genai.CACHED: "",
    "damda.guard": "",
    "damda.place": "",
    "damda.action": "",
    "damda.rule": "",
}


def _facts(step: Step, verbose: bool) -> Iterator[str]:
    """What is worth knowing of a step; with ``verbose`` everything that was kept."""
    facts = step.attributes
    if verbose:
        for name, value in facts.items():
            yield f"{name}: {value}"
        if step.said:
            yield f"error: {step.said}"
        return
    line = [f"{label} {facts[name]}".strip() for name, label in _SHOWN.items() if name in facts]
    if facts.get("damda.supported") is False:
        line.append("no passage supports it")
    if step.said:
        line.append(step.said)
    if line:
        yield " · ".join(line)
    yield from _documents(facts)


def _documents(facts: Mapping[str, Any]) -> Iterator[str]:
    found = json.loads(facts.get(genai.DOCUMENTS, "[]"))
    for n, one in enumerate(found[:_DOCUMENTS], 1):
        parts = "".join(f"  {name} {one[name]}" for name in ("bm25", "cosine") if name in one)
        yield f"{n}. {one['id']}  {one['score']}{parts}"
    if len(found) > _DOCUMENTS:
        yield f"   and {len(found) - _DOCUMENTS} more"


def _short(text: str, limit: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
