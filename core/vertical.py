"""The contract a vertical fills. An installed package registers one under the entry point ``headwater.verticals``.

The three built-in verticals come in through the same door as anybody's fourth.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
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
class Queue:
    """What waits to be done in a vertical, for the status page.

    ``oldest``: since when the first in it could have been done; ``patience_s``: from what age on that is a fault of
    ours, None for what waits for people.
    """

    name: str
    waiting: int
    oldest: datetime | None = None
    patience_s: float | None = None


@dataclass(frozen=True)
class Wheel:
    """A model that people's corrections improve: see ``core.operations.flywheel``.

    ``task`` is the one of its recorded corrections and ``model`` the name it is registered or shipped under. ``recipe``
    is a TOML file; without one, the champion's own counts. ``changes`` are overrides of it for a challenger that starts
    from the champion (``training.epochs=2``), ``rehearse`` how many of the recipe's rows of each label it sees again
    (None: all). ``new`` corrections since the last turn make the next one worth it, which the worker begins no sooner
    than ``seconds`` after it.
    ``keep`` says which corrections are for this model, all unless given. ``refusal``: why it cannot be turned; then
    nothing else matters.
    """

    name: str
    task: str
    model: str
    recipe: Path | None = None
    changes: Sequence[str] = ()
    rehearse: int | None = None
    new: int = 20
    seconds: float = 86_400
    keep: Callable[[Any], bool] | None = None
    refusal: str = ""


@dataclass(frozen=True)
class Process:
    """Something else ``headwater up`` keeps running for a vertical, such as a local feed server.

    ``command``: the program and its arguments; ``{python}`` stands for the interpreter. It must end on SIGTERM.
    ``health``: an http address on loopback that answers below 400 once the process can be used; without one it counts
    as ready when it has run for a second. ``port``: what it listens on, so that a port in use is found beforehand.
    """

    name: str
    command: Sequence[str]
    health: str | None = None
    port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Vertical:
    """One application on the core. Each hook is a function, called only when that part is needed.

    ``commands`` returns a click group, ``routes`` an API router, ``jobs`` what the worker schedules, ``tables``
    the SQLAlchemy metadata it owns. ``dashboard`` is the file of its Streamlit app (``dashboards/support.py``, from
    the project's root, or absolute) and ``port`` where it is served. ``prepare(report)`` is called by ``headwater up``
    before anything serves: it makes what is missing (reads the shipped knowledge in, say), tells ``report`` one line
    for each step that takes time, and does nothing when all is there. ``processes``: what else must run.
    ``queues(engine, now)`` tells what waits, from the vertical's own tables, which are there when it is asked.
    ``wheels`` returns the models that corrections improve; the worker turns them.
    ``imports`` returns what ``headwater import FORMAT PATH`` calls with the path, by format; each tells plain values.
    """

    name: str
    summary: str
    commands: Callable[[], Any] | None = None
    routes: Callable[[], Any] | None = None
    jobs: Callable[[], Sequence[Job]] | None = None
    tables: Callable[[], Any] | None = None
    dashboard: str | None = None
    port: int | None = None
    prepare: Callable[[Callable[[str], None]], None] | None = None
    processes: Callable[[], Sequence[Process]] | None = None
    imports: Callable[[], Mapping[str, Callable[[Path], dict[str, Any]]]] | None = None
    queues: Callable[[Any, datetime], Sequence[Queue]] | None = None
    wheels: Callable[[], Sequence[Wheel]] | None = None


def installed() -> dict[str, EntryPoint]:
    """Entry points by vertical name, without importing any of them.

    HEADWATER_ONLY (names with commas between) leaves out all others, as ``headwater up --only`` does for what it
    starts. Raises InputError for a name used twice.
    """
    only = [name.strip() for name in os.environ.get("HEADWATER_ONLY", "").split(",") if name.strip()]
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
        if only and point.name not in only:
            continue
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


def importers() -> dict[str, Callable[[Path], dict[str, Any]]]:
    """What the installed verticals can bring in, by format. Raises InputError for a format that two of them claim."""
    found: dict[str, Callable[[Path], dict[str, Any]]] = {}
    for name in installed():
        vertical = load(name)
        for format, read in (vertical.imports() if vertical.imports is not None else {}).items():
            if format in found:
                raise InputError(f"two installed applications import {format!r}; uninstall one of them.")
            found[format] = read
    return found
