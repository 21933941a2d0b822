"""The audit log: who did what to what, when. Never a password, key, token or a customer's text.

Entries are only ever added. What belongs to a change is written in the change's own transaction.
"""

import getpass
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import SQLAlchemyError

from core.access.tables import audit as table
from core.operations.database import open_database
from core.settings import Settings

_log = logging.getLogger("headwater.audit")
_acting: ContextVar[tuple[str, str] | None] = ContextVar("headwater_acting", default=None)


@dataclass(frozen=True)
class Entry:
    """One act. ``role`` is the actor's, or ``operator`` for somebody at this machine's command line."""

    time: datetime
    actor: str
    role: str
    action: str
    object: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the time in ISO 8601."""
        return {**asdict(self), "detail": dict(self.detail), "time": self.time.isoformat()}


def operator() -> str:
    """The name of the machine's user who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"


@contextmanager
def acting_as(actor: str, role: str) -> Iterator[None]:
    """Within, whatever is recorded without a name of its own was done by this one."""
    before = _acting.set((actor, role))
    try:
        yield
    finally:
        _acting.reset(before)


def record(
    database: Engine | Connection,
    action: str,
    object: str,
    now: datetime,
    actor: str | None = None,
    role: str | None = None,
    **detail: Any,
) -> None:
    """Add an entry, with a connection as part of its transaction.

    Unless ``actor`` is given, it is whoever ``acting_as`` names, else the machine's user.
    """
    known = _acting.get() or (operator(), "operator")
    values = {
        "time": now,
        "actor": (actor or known[0])[:120],
        "role": (known[1] if role is None else role)[:64],
        "action": action,
        "object": object[:200],
        "detail": detail,
    }
    with database.begin() if isinstance(database, Engine) else nullcontext(database) as connection:
        connection.execute(insert(table).values(**values))


def note(settings: Settings, action: str, object: str, **detail: Any) -> None:
    """Record what was done in another store, such as the model registry; the deed stands even when this fails."""
    try:
        engine = open_database(table.metadata, settings)
        try:
            record(engine, action, object, datetime.now(UTC), **detail)
        finally:
            engine.dispose()
    except SQLAlchemyError as error:
        _log.error("%s of %s could not be written to the audit log (%s)", action, object, type(error).__name__)


def entries(
    engine: Engine,
    limit: int = 100,
    action: str | None = None,
    actor: str | None = None,
    since: datetime | None = None,
) -> list[Entry]:
    """The latest entries, newest first."""
    wanted = select(table).order_by(table.c.id.desc()).limit(limit)
    for column, value in ((table.c.action, action), (table.c.actor, actor)):
        if value is not None:
            wanted = wanted.where(column == value)
    if since is not None:
        wanted = wanted.where(table.c.time >= since)
    with engine.connect() as connection:
        rows = connection.execute(wanted).all()
    return [Entry(row.time, row.actor, row.role, row.action, row.object, row.detail) for row in rows]
