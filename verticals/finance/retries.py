"""A read followed by a write, tried again when another process wrote the same thing in between."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import IntegrityError

T = TypeVar("T")
_ATTEMPTS = 10


def retrying(change: Callable[[], T]) -> T:
    """Run a read-then-write again when another process stored the same thing in between."""
    for attempt in range(_ATTEMPTS):
        try:
            return change()
        except IntegrityError:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")
