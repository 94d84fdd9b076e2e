"""Requests made from the OpenAPI description of a running service, good ones and broken ones, and what must hold then.

Knows: schemathesis. A test sends hundreds of them, `benchmarks/fuzz.py` ten thousand.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def operations(description: Mapping[str, Any]) -> list[Any]:
    """Each operation of an OpenAPI description, as schemathesis has it."""
    schema = schemathesis.openapi.from_dict(dict(description))
    return [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]


MODELS = ("damda", "llm", "acme/told-1", "e5-small-koen", "e5-small-koen:query", "none")
ASKED = ("연차 휴가는 며칠?", "nothing", "drip 1", "\\ ' \" % \x00", "library opens")


def meant(case: Case[Any], model: str, question: str) -> None:
    """Half of the good requests name a model that there is, and end with a question: else all are refused alike."""
    if isinstance(case.body, dict) and "model" in case.body:
        case.body["model"] = model
        for refused in ("tools", "logprobs", "response_format", "n", "echo", "suffix", "dimensions"):
            case.body.pop(refused, None)
        if "messages" in case.body:
            case.body["messages"] = [{"role": "user", "content": question}]
        if "prompt" in case.body:
            case.body["prompt"] = question
    if case.path_parameters and "model" in case.path_parameters:
        case.path_parameters["model"] = model


def fuzz(operation: Any, url: str, examples: int, number: int) -> "Counter[int]":  # noqa: ANN401  has no public type
    """Send requests to one operation, half of them broken.

    Args:
        operation: of `operations`.
        url: of the service.
        examples: of each kind, good and broken.
        number: the seed.

    Returns:
        How many answers had each status.

    Raises:
        Exception: the first answer that is a server error, or none that the description tells of.
    """
    statuses: Counter[int] = Counter()
    with requests.Session() as session:
        session.trust_env = False
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @seed(number)
            @settings(
                max_examples=examples,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                verbosity=Verbosity.quiet,
                suppress_health_check=list(HealthCheck),
            )
            @given(
                case=operation.as_strategy(mode),
                model=st.sampled_from(MODELS),
                question=st.sampled_from(ASKED),
                better=st.booleans() if mode.is_positive else st.just(False),
            )
            def send(case: Case[Any], model: str, question: str, better: bool) -> None:
                if better:
                    meant(case, model, question)
                answer = case.call(base_url=url, session=session, timeout=30)
                statuses[answer.status_code] += 1
                case.validate_response(answer, checks=CHECKS)

            try:
                send()
            except Unsatisfiable:  # what takes nothing can't be asked for wrongly
                if mode.is_positive:
                    raise
    return statuses
