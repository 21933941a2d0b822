"""Every error as one kind of document: ``application/problem+json`` (RFC 9457), without the caller's text in it."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import compile_path

from core.errors import InputError, MissingExtra
from core.serving.batching import DeadlineExceeded, Overloaded

MEDIA_TYPE = "application/problem+json"
_MOST_ERRORS = 20
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}  # Python 3.11 still has the names of RFC 2616


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    location: list[str | int] = Field(
        description="Where: body, query, path or header, then field names and positions counted from 0.",
        examples=[["body", "texts", 0]],
    )
    message: str = Field(description="What is wrong, without the value.", examples=["Field required"])


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    model_config = ConfigDict(json_schema_extra={"description": "An RFC 9457 problem document."})

    type: str = Field("about:blank", description="Kind of problem; about:blank means: what the status says.")
    title: str = Field(description="The status in words.", examples=["Unprocessable Content"])
    status: int = Field(description="HTTP status code.", examples=[422], ge=400, le=599)
    detail: str = Field(description="One sentence: what is wrong and what to do.", examples=["A text is blank."])
    request_id: str | None = Field(
        None, description="The request's X-Request-ID, to be found in the log.", examples=["5f2c8a4e9b0d4c71"]
    )
    errors: list[FieldError] | None = Field(None, description="Status 422 only: each field that is wrong, up to 20.")


class NotFound(InputError):
    """There is no such thing: status 404 where an InputError gives 422."""


class Unavailable(Exception):
    """Not now: status 503; ``retry_after_s`` says when to try again, in seconds."""

    def __init__(self, detail: str, retry_after_s: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


def problem(
    status: int,
    detail: str,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[FieldError] | None = None,
) -> JSONResponse:
    """A response that carries a problem document."""
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    listed = None if errors is None else list(errors)
    document = Problem(
        type="about:blank", title=title, status=status, detail=detail, request_id=request_id, errors=listed
    )
    return JSONResponse(document.model_dump(exclude_none=True), status, dict(headers or {}), media_type=MEDIA_TYPE)


def retry_after(seconds: float) -> dict[str, str]:
    """The header, in whole seconds, at least one."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


_MEANINGS = {
    400: "The body is not JSON in UTF-8.",
    401: "No key, or a wrong one.",
    403: "The key's role may not do this.",
    404: "There is no such thing.",
    409: "It is not in the state this needs.",
    413: "The body is too large.",
    422: "The request is not valid; the document says where.",
    429: "Too many requests; Retry-After says when to try again.",
    500: "An error of ours; its request id is in the log.",
    503: "Too busy or not ready; Retry-After says when to try again.",
}


def answer(status: int) -> dict[str, Any]:
    """The OpenAPI response object of an error status."""
    found: dict[str, Any] = {
        "description": _MEANINGS[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in (429, 503):
        found["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
        }
    return found


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """``responses=`` of a route that answers with further error statuses, for example ``documented(404, 409)``."""
    return {status: answer(status) for status in statuses}


def request_id(request: Request) -> str | None:
    """The request's id, where the middleware has given it one."""
    return request.scope.get("state", {}).get("request_id")


def _methods(request: Request) -> list[str]:
    """All methods of a path (RFC 9110, 10.2.1); each of its routes knows only its own."""
    known: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.path and route.methods and compile_path(route.path)[0].match(request.scope["path"]):
            known |= set(route.methods)
    return sorted(known)


def install(app: FastAPI) -> None:
    """Turn what handlers raise into problem documents. What nobody expected is the middleware's."""

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        detail = error.detail if isinstance(error.detail, str) else str(error.detail)
        if error.status_code == 400:  # FastAPI's, for a body that cannot be decoded
            detail = "The body cannot be read; send JSON in UTF-8, not nested deeper than makes sense."
        elif error.status_code == 404 and detail == "Not Found":
            detail = "There is nothing at this path; see /openapi.json."
        elif error.status_code == 405 and detail == "Method Not Allowed":
            detail = "This path does not take this method; the Allow header names those it takes."
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods(request))
        return problem(error.status_code, detail, request_id(request), headers)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        found = [FieldError(location=list(e["loc"]), message=e["msg"]) for e in error.errors()[:_MOST_ERRORS]]
        for each in found:  # a field's name is the caller's, too: cut what is absurd, keep it encodable
            each.location = [
                part if isinstance(part, int) else part.encode("utf-8", "replace").decode()[:100]
                for part in each.location
            ]
        detail = "The request is not valid; see errors."
        return problem(422, detail, request_id(request), errors=found)

    async def wrong_input(request: Request, error: Exception) -> JSONResponse:
        status = 404 if isinstance(error, NotFound) else 422
        return problem(status, str(error), request_id(request))

    async def missing(request: Request, error: Exception) -> JSONResponse:
        return problem(503, str(error), request_id(request), retry_after(3600))

    async def busy(request: Request, error: Exception) -> JSONResponse:
        seconds = getattr(error, "retry_after_s", 1.0)
        detail = str(error)
        detail = detail[:1].upper() + detail[1:].rstrip(".") + "."
        return problem(503, detail, request_id(request), retry_after(seconds))

    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(InputError, wrong_input)
    app.add_exception_handler(MissingExtra, missing)
    for kind in (Overloaded, DeadlineExceeded, Unavailable):
        app.add_exception_handler(kind, busy)
