"""Figures of answers for Weights & Biases: how long they take, what they cost, how many are found and liked.

Knows: what of a trace is a figure. Does not know: texts; none are sent, whatever ``trace.content`` says.

The package's own variables decide where the figures go: ``WANDB_MODE=offline`` keeps them in a folder, for
``wandb sync`` later.
"""

import importlib
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode

from damda.trace import genai
from damda.trace.spans import CANCELLED

log = logging.getLogger("damda.trace")

_NOTHING_ELSE = {
    "console": "off",  # else what is printed is sent: answers
    "silent": True,
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    "host": "damda",
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
"""What the package would send by itself."""


class Figures(SpanExporter):
    """A run of a project; it begins with the first answer.

    Args:
        project: its name, or ENTITY/NAME.
        home: the run's files go there, unless ``WANDB_DIR`` says otherwise.
    """

    def __init__(self, project: str, home: Path) -> None:
        self._folder = os.environ.get("WANDB_DIR") or str(home)
        self._wandb: Any = importlib.import_module("wandb")
        entity, _, name = project.rpartition("/")
        self._project = {"project": name, **({"entity": entity} if entity else {})}
        self._run: Any = None
        self._failed = False
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Log a line for each answer among the spans."""
        lines = [figures for span in spans if (figures := _figures(span))]
        return SpanExportResult.SUCCESS if all(map(self._log, lines)) else SpanExportResult.FAILURE

    def feedback(self, trace_id: str, score: int) -> None:
        """Log what somebody thinks of an answer."""
        self._log({"feedback": score, "trace_id": trace_id})

    def shutdown(self) -> None:
        """End the run; what was logged is sent or written."""
        with self._lock:
            run, self._run = self._run, None
        if run is not None:
            run.finish()

    def _log(self, figures: dict[str, object]) -> bool:
        with self._lock:
            if self._failed:
                return False
            try:
                if self._run is None:
                    settings = self._wandb.Settings(**_NOTHING_ELSE)
                    self._run = self._wandb.init(**self._project, job_type="damda", dir=self._folder, settings=settings)
                self._run.log(figures)
            except Exception as error:  # whatever it raises, answers go on
                self._failed = True
                log.warning("figures can't be sent to Weights & Biases (%s); no more are", type(error).__name__)
                return False
        return True


def _figures(span: ReadableSpan) -> dict[str, object]:
    facts = span.attributes or {}
    context = span.get_span_context()
    if facts.get("gen_ai.workflow.name") != genai.WORKFLOW or context is None:
        return {}
    assert span.start_time is not None and span.end_time is not None
    shown: dict[str, object] = {
        "trace_id": format(context.trace_id, "032x"),
        "seconds": (span.end_time - span.start_time) / 1e9,
        "failed": int(span.status.status_code is StatusCode.ERROR),
        "cancelled": int(bool(facts.get(CANCELLED))),
    }
    names = {
        "found": genai.FOUND,
        "quotes": genai.QUOTES,
        "unsupported": genai.UNSUPPORTED,
        "input_tokens": genai.INPUT_TOKENS,
        "output_tokens": genai.OUTPUT_TOKENS,
    }
    return shown | {name: int(value) for name, key in names.items() if isinstance(value := facts.get(key), int)}
