"""One active worker: a lease in the database, renewed by heartbeats, with a fencing token.

Whoever holds the lease works. When its heartbeat is older than the lease lasts, another may take over, and the token
grows by one. A holder that was only asleep finds its token outdated at its next heartbeat, and a job's transaction
that calls ``fence`` first fails instead of writing (Kleppmann, "How to do distributed locking", 2016). Clocks of
several machines must agree to within the lease, as NTP keeps them.
"""

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, select, update

from core.operations.database import insert_unless_known
from core.operations.tables import leases

SECONDS = 30.0


class LeaseLost(RuntimeError):
    """Another process holds the lease now; nothing may be written any more on behalf of this one."""


@dataclass(frozen=True)
class Grant:
    """The right to work: the lease's name and the token it was given with."""

    name: str
    token: int


_grant: ContextVar[Grant | None] = ContextVar("grant", default=None)


def utc_now() -> datetime:
    """The system's time."""
    return datetime.now(UTC)


def identity() -> str:
    """Names this process, never another one: host, process id, and chance against their reuse."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


class Lease:
    """A process's view of the lease ``name``. Not held until ``acquire`` says so.

    ``clock`` gives the time that is compared with other processes' heartbeats; ``monotonic`` measures, in seconds,
    how long ago this process last knew that it holds the lease.
    """

    def __init__(
        self,
        engine: Engine,
        name: str = "worker",
        seconds: float = SECONDS,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        holder: str | None = None,
    ) -> None:
        self.engine, self.name, self.seconds = engine, name, seconds
        self.holder = holder or identity()
        self._clock, self._monotonic = clock, monotonic
        self._lock = threading.Lock()
        self._grant: Grant | None = None
        self._known = 0.0  # monotonic time of the last proof that it is held
        self._seen: tuple[int, datetime] | None = None  # another's token and heartbeat …
        self._seen_at = 0.0  # … and since when they stand still

    @property
    def grant(self) -> Grant | None:
        """The right to work, or None: not held, or not confirmed for as long as a lease lasts."""
        with self._lock:
            if self._grant is None or self._monotonic() - self._known > self.seconds:
                return None
            return self._grant

    def acquire(self) -> Grant | None:
        """Take the lease if it is free or its holder is silent; None while another one works."""
        now = self._clock()
        with self.engine.begin() as connection:
            row = self._row(connection)
            if row is None:
                values = {"holder": self.holder, "token": 1, "acquired": now, "heartbeat": now, "seconds": self.seconds}
                made = connection.execute(insert_unless_known(connection, leases).values(name=self.name, **values))
                if made.rowcount != 1:
                    return None  # somebody was quicker by a moment
                return self._granted(1)
            if not self._free(row, now):
                return None
            taken = connection.execute(
                update(leases)
                .where(self._mine(row.holder, row.token), leases.c.heartbeat == row.heartbeat)
                .values(holder=self.holder, token=row.token + 1, acquired=now, heartbeat=now, seconds=self.seconds)
            )
            if taken.rowcount != 1:
                return None
        return self._granted(row.token + 1)

    def renew(self) -> bool:
        """Say that we are alive; False when the lease is another's, and then it is given up for good."""
        with self._lock:
            grant = self._grant
        if grant is None:
            return False
        with self.engine.begin() as connection:
            renewed = connection.execute(
                update(leases).where(self._mine(self.holder, grant.token)).values(heartbeat=self._clock())
            )
        if renewed.rowcount == 1:
            self._granted(grant.token)
            return True
        with self._lock:
            self._grant = None
        return False

    def release(self) -> None:
        """Let the next one in at once; nothing when it is not ours."""
        with self._lock:
            grant, self._grant = self._grant, None
        if grant is None:
            return
        with self.engine.begin() as connection:
            connection.execute(
                update(leases)
                .where(self._mine(self.holder, grant.token))
                .values(holder="", heartbeat=self._clock() - timedelta(seconds=self.seconds))
            )

    def _granted(self, token: int) -> Grant:
        with self._lock:
            self._grant, self._known = Grant(self.name, token), self._monotonic()
            return self._grant

    def _free(self, row: Row[Any], now: datetime) -> bool:
        if not row.holder or now - row.heartbeat > timedelta(seconds=row.seconds):
            return True
        # A heartbeat from the future (a clock was set back) never gets old; that it stands still tells as much.
        seen = (row.token, row.heartbeat)
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._monotonic()
        return self._monotonic() - self._seen_at > row.seconds

    def _mine(self, holder: str, token: int) -> ColumnElement[bool]:
        return and_(leases.c.name == self.name, leases.c.holder == holder, leases.c.token == token)

    def _row(self, connection: Connection) -> Row[Any] | None:
        return connection.execute(select(leases).where(leases.c.name == self.name)).one_or_none()


@contextmanager
def working_under(grant: Grant | None) -> Iterator[None]:
    """Within, ``fence`` checks this grant."""
    before = _grant.set(grant)
    try:
        yield
    finally:
        _grant.reset(before)


def fence(connection: Connection) -> None:
    """First statement of a job's writing transaction: raises LeaseLost when another worker has taken over.

    The lease's row stays locked until the transaction ends, so nobody can take over in between. Outside of a
    worker's job (a command run by hand) it does nothing.
    """
    grant = _grant.get()
    if grant is None:
        return
    # An update, not a select: on SQLite it takes the write lock, on PostgreSQL the row's.
    held = connection.execute(
        update(leases)
        .where(leases.c.name == grant.name, leases.c.token == grant.token, leases.c.holder != "")
        .values(token=grant.token)
    )
    if held.rowcount != 1:
        raise LeaseLost(f"the lease {grant.name!r} was taken over; what this job found is left to the next worker")
