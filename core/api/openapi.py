"""The OpenAPI document: FastAPI's, with every status that can come."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from core.api.problems import Problem, answer

_DESCRIPTION = """Fine-tuned language models and the applications built on them.

Times are UTC in ISO 8601. Probabilities and confidences are 0 to 1. Every error is an RFC 9457 problem document
(`application/problem+json`). Every answer has an `X-Request-ID`; one that is sent in (1 to 64 letters, digits, dots,
dashes, underscores) is kept."""


def document(app: FastAPI) -> dict[str, Any]:
    """Made once, at the first request for it."""
    if app.openapi_schema is None:
        made = get_openapi(title="Headwater", version=version("headwater"), description=_DESCRIPTION, routes=app.routes)
        for path, operations in made["paths"].items():
            for operation in operations.values():
                _statuses(path, operation)
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs", {}))
        schemas["Problem"] = problem
        app.openapi_schema = made
    return app.openapi_schema


def _statuses(path: str, operation: dict[str, Any]) -> None:
    responses = operation.setdefault("responses", {})
    if "422" in responses and "HTTPValidationError" in str(responses["422"]):
        del responses["422"]
    expected = [500]
    if path.startswith("/v1/"):
        expected += [401, 403, 422, 429, 503]
    if "requestBody" in operation:
        expected += [400, 413, 422]
    if operation.get("parameters"):
        expected += [422]
    if "{" in path:
        expected += [404]
    for status in expected:
        responses.setdefault(str(status), answer(status))
    operation["responses"] = dict(sorted(responses.items()))
