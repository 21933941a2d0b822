"""Text that is text: no NUL, no half of a surrogate pair, no NaN – checked once for every route of the API."""

import math
import re
from typing import Annotated, Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import StringConstraints

from core.api.config import MAX_CHARACTERS

# Something besides white space, and no NUL (which PostgreSQL cannot store). Also in the schema, so that a client can
# know before it sends.
PATTERN = r"^[^\x00]*[^\s\x00][^\x00]*$"
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CHARACTERS, pattern=PATTERN)]

# Only a body that has one of these somewhere can hold what is refused; it alone is looked through. A NUL byte means
# UTF-16 or UTF-32, which Python's reader takes, too.
_SUSPECT = re.compile(rb"\x00|\\u0000|\\u[dD][89a-fA-F]|NaN|Infinity|[eE]\+?[0-9]{3}|[0-9]{300}")


async def clean(request: Request) -> None:
    """A dependency of all routes: raises RequestValidationError (422) where text or numbers cannot be kept.

    JSON allows the escapes of NUL and of lone surrogates, and Python's reader NaN; databases, tokenizers and UTF-8
    do not.
    """
    found = [
        _error((place, name), "has a NUL character")
        for place, values in (("query", request.query_params.multi_items()), ("path", request.path_params.items()))
        for name, value in values
        if "\x00" in str(value) or "\x00" in name
    ]
    content = request.headers.get("content-type", "")
    if not found and "json" in content and _SUSPECT.search(await request.body()):
        try:
            found = list(_faults(await request.json(), ("body",)))[:20]
        except ValueError:
            return  # FastAPI has refused it, or the route takes no body
    if found:
        raise RequestValidationError(found)


def _faults(value: Any, place: tuple[str | int, ...]) -> Any:
    if isinstance(value, str):
        if "\x00" in value:
            yield _error(place, "has a NUL character")
        elif not _encodes(value):
            yield _error(place, "has half of a surrogate pair, which is no character")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield _error(place, "is not a finite number")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _faults(key, place)
            yield from _faults(item, (*place, key if _encodes(key) else "?"))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _faults(item, (*place, position))


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _error(place: tuple[str | int, ...], message: str) -> dict[str, Any]:
    return {"type": "value_error", "loc": place, "msg": f"The value {message}"}
