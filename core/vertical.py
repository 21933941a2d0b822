"""The contract a vertical fills. An installed package registers one under the entry point ``headwater.verticals``.

The three built-in verticals come in through the same door as anybody's fourth.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from core.errors import InputError

GROUP = "headwater.verticals"


@dataclass(frozen=True)
class Job:
    """Something the worker runs again and again; ``seconds`` between two runs."""

    name: str
    run: Callable[[], None]
    seconds: float


@dataclass(frozen=True)
class Vertical:
    """One application on the core. Each hook is a function, called only when that part is needed.

    ``commands`` returns a click group, ``routes`` an API router, ``jobs`` what the worker schedules, ``tables``
    the SQLAlchemy metadata it owns; ``dashboard`` is the import path of its Streamlit app.
    """

    name: str
    summary: str
    commands: Callable[[], Any] | None = None
    routes: Callable[[], Any] | None = None
    jobs: Callable[[], Sequence[Job]] | None = None
    tables: Callable[[], Any] | None = None
    dashboard: str | None = None


def installed() -> dict[str, EntryPoint]:
    """Entry points by vertical name, without importing any of them. Raises InputError for a name used twice."""
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
        known = found.get(point.name)
        if known is not None and known.value != point.value:
            raise InputError(
                f"two installed packages bring a vertical {point.name!r} ({known.value}, {point.value}); uninstall one."
            )
        found[point.name] = point
    return found


def load(name: str) -> Vertical:
    """Import one vertical. Raises InputError when it is not installed or its package is broken."""
    points = installed()
    if name not in points:
        known = ", ".join(points) or "none"
        raise InputError(f"there is no vertical {name!r}; installed: {known}.")
    try:
        vertical = points[name].load()
    except Exception as error:
        raise InputError(f"vertical {name!r} ({points[name].value}) cannot be loaded: {error}.") from error
    if not isinstance(vertical, Vertical):
        raise InputError(f"vertical {name!r}: {points[name].value} is not a core.vertical.Vertical.")
    return vertical
